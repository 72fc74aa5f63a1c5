"""Confidence: its features and its curve."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.confidence import Confidence, Features, features_of
from rag.retrieval.scoring import QuestionProfile
from rag.schema import Hit, Passage
from rag.store.derived.fulltext import FullTextIndex

TEXT = "The pier was closed by a storm. It did not open again in 1987."
SENTENCES = ((0, 31), (32, 62))
shares = st.floats(0, 1)


def hit(similarity: float = 0.6, best: int = 0, text: str = TEXT, **told: Any) -> Hit:
    passage = Passage("a#0", "a", "d", 0, 0, len(text), text, SENTENCES, "Title", "", "", "", None)
    fit = (1.0, 0.5) if best == 0 else (0.5, 1.0)
    return Hit(replace(passage, **told), 1.0, (similarity, 0.1), fit)


def features(question: str, *hits: Hit) -> Features:
    fulltext = FullTextIndex()
    fulltext.add([hit().passage])
    fulltext.commit()
    return features_of(QuestionProfile.of(question, fulltext), hits or [hit()], fulltext)


def test_a_question_whose_words_are_all_there() -> None:
    found = features("Was the pier closed?")
    assert found == Features(0.6, length_similarity=pytest.approx(0.6 * 2 / 20), match=1.0, entities=1.0, polarity=1.0)


def test_a_question_with_words_that_are_not_there() -> None:
    closed, zeppelin = math.log(1 + 0.5 / 1.5), math.log(1 + 1.5 / 0.5)
    unlike = (1 - 0.6) * (1 - closed / (closed + zeppelin))
    assert features("Was the zeppelin closed?").match == pytest.approx(1 - unlike)


def test_length_similarity_is_capped() -> None:
    words = " ".join(f"word{n}" for n in range(40))
    assert features(words).length_similarity == pytest.approx(0.6), "no longer than the longest"


@pytest.mark.parametrize(
    ("question", "told", "named"),
    [
        ("Was it closed in 1987?", {}, 1.0),
        ("Was it closed in 1988?", {}, 0.0),
        ("Did Ada Moor close it in 1987?", {}, 1 / 3),
        ("Did Ada Moor close it?", {"title": "Ada Moor resigns"}, 1.0),
        ("What does Bay Times say?", {"source": "Bay Times"}, 1.0),
        ("Was it closed on March 5?", {"published": date(2024, 3, 5)}, 1.0),
        ("was it closed by ada?", {}, 1.0),
    ],
)
def test_entity_coverage(question: str, told: dict[str, Any], named: float) -> None:
    assert features(question, hit(**told)).entities == pytest.approx(named)


def test_any_hit_may_have_the_names() -> None:
    other = hit(text="A ferry of Tolm was late, and it ran aground off the cape again.")
    assert features("Was Tolm late?").entities == 0.0
    assert features("Was Tolm late?", hit(), other).entities == 1.0


def test_a_negated_question_needs_a_negated_sentence() -> None:
    asked = "What did not open?"
    assert features(asked).polarity == pytest.approx(1 / 20)
    assert features(asked, hit(best=1)).polarity == 1.0
    assert features(f"{asked} {' '.join(f'word{n}' for n in range(40))}").polarity == 1.0, (
        "a long question asks for more"
    )


def test_no_hits_and_no_words_are_no_reason_for_confidence() -> None:
    curve, fulltext = Confidence.packaged(), FullTextIndex()
    assert curve.of(features_of(QuestionProfile.of("zeppelin", fulltext), [], fulltext)) < 0.1
    assert curve.of(features("what did they say?", hit(similarity=0.1))) < 0.1


@given(st.lists(shares, min_size=5, max_size=5), st.integers(0, 4), st.floats(0.01, 1))
def test_better_features_never_mean_less_confidence(found: list[float], which: int, more: float) -> None:
    curve = Confidence.packaged()
    before = curve.of(Features(*found))
    found[which] += more
    assert 0 < before < curve.of(Features(*found)) < 1
