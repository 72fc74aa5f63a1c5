"""Confidence: its signs and its curve."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.confidence import Confidence, Signs, signs_of
from rag.lexical import LexicalIndex
from rag.schema import Hit, Passage

TEXT = "The pier was closed by a storm."
shares = st.floats(0, 1)


def hit(text: str = TEXT, similarity: float = 0.6) -> Hit:
    passage = Passage("a#0", "a", "d", 0, 0, len(text), text, ((0, len(text)),), "Title", "", "", "", None)
    return Hit(passage, 1.0, (similarity,))


def signs(question: str, similarity: float = 0.6) -> Signs:
    lexical = LexicalIndex()
    lexical.replace([], [hit().passage])
    return signs_of(question, [hit(similarity=similarity)], lexical)


def test_a_question_whose_words_are_all_there() -> None:
    assert signs("Was the pier closed?") == Signs(similarity=0.6, unlike=0.0, missing=0.0)


def test_a_question_with_words_nowhere_to_be_found() -> None:
    found = signs("Was the zeppelin closed?")
    closed, zeppelin = math.log(1 + 0.5 / 1.5), math.log(1 + 1.5 / 0.5)
    assert found.missing == pytest.approx(zeppelin / (closed + zeppelin))
    assert found.unlike == pytest.approx(0.4 * found.missing)


def test_no_hits_and_no_words_are_no_reason_for_confidence() -> None:
    curve = Confidence.packaged()
    assert curve.of(signs_of("zeppelin", [], LexicalIndex())) < 0.1
    assert curve.of(signs("what did they say?", similarity=0.1)) < 0.1


@given(shares, shares, shares, st.floats(0.01, 1))
def test_better_signs_never_mean_less_confidence(similarity: float, unlike: float, missing: float, more: float) -> None:
    curve = Confidence.packaged()
    before = curve.of(Signs(similarity, unlike, missing))
    assert 0 < before < 1
    assert curve.of(Signs(similarity + more, unlike, missing)) > before
    assert curve.of(Signs(similarity, unlike + more, missing)) <= before
    assert curve.of(Signs(similarity, unlike, missing + more)) <= before
