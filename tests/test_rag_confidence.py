"""Confidence: its signs and its curve."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.confidence import Confidence, Signs, signs_of
from rag.lexical import LexicalIndex
from rag.schema import Hit, Passage
from rag.sentences import Need

TEXT = "The pier was closed by a storm."
shares = st.floats(0, 1)


def hit(text: str = TEXT, similarity: float = 0.6) -> Hit:
    passage = Passage("a#0", "a", "d", 0, 0, len(text), text, ((0, len(text)),), "Title", "", "", "", None)
    return Hit(passage, 1.0, (similarity,))


def signs(question: str, similarity: float = 0.6) -> Signs:
    lexical = LexicalIndex()
    lexical.replace([], [hit().passage])
    return signs_of(Need.of(question, lexical), [hit(similarity=similarity)], lexical)


def test_a_question_whose_words_are_all_there() -> None:
    assert signs("Was the pier closed?") == Signs(similarity=0.6, covered=1.0, extent=pytest.approx(0.6 * 2 / 20))


def test_a_question_with_words_that_are_not_there() -> None:
    closed, zeppelin = math.log(1 + 0.5 / 1.5), math.log(1 + 1.5 / 0.5)
    assert signs("Was the zeppelin closed?").covered == pytest.approx(closed / (closed + zeppelin))


def test_a_long_question_is_met_less_nearly() -> None:
    words = " ".join(f"word{n}" for n in range(40))
    assert signs(words).extent == pytest.approx(0.6), "no longer than the longest"


def test_no_hits_and_no_words_are_no_reason_for_confidence() -> None:
    curve, lexical = Confidence.packaged(), LexicalIndex()
    assert curve.of(signs_of(Need.of("zeppelin", lexical), [], lexical)) < 0.1
    assert curve.of(signs("what did they say?", similarity=0.1)) < 0.1


@given(shares, shares, shares, st.floats(0.01, 1))
def test_better_signs_never_mean_less_confidence(similarity: float, covered: float, extent: float, more: float) -> None:
    curve = Confidence.packaged()
    before = curve.of(Signs(similarity, covered, extent))
    assert 0 < before < 1
    assert curve.of(Signs(similarity + more, covered, extent)) > before
    assert curve.of(Signs(similarity, covered + more, extent)) >= before
    assert curve.of(Signs(similarity, covered, extent + more)) >= before
