"""Sentence scores are the weighted sums that are documented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.retrieval.scoring import QuestionProfile, is_prose, jaccard, sentence_fits
from rag.schema import Passage
from rag.store.derived.fulltext import FullTextIndex

TEXT = "The pier was closed by a storm. It opens again in May."
PASSAGE = Passage("a#0", "a", "d", 0, 0, len(TEXT), TEXT, ((0, 31), (32, 54)), "Harbor", "", "", "", None)


def fulltext() -> FullTextIndex:
    index = FullTextIndex()
    index.add([PASSAGE])
    index.commit()
    return index


def test_a_score_is_the_documented_weighted_sum() -> None:
    index = fulltext()
    first, second = sentence_fits(QuestionProfile.of("When: harbor, pier, again?", index), PASSAGE, (0.4, 0.5), index)
    # All words are as rare. The first has "pier", with the title "harbor" too; it offers no date.
    assert first == pytest.approx(0.4 + 0.2 / 3 + 0.3 * 2 / 3 + 0.3 * 2 / 3)
    # The second has "again", with the title two, with the sentence before it all three; it offers a date.
    assert second == pytest.approx(0.5 + 0.2 / 3 + 0.3 * 2 / 3 + 0.3 + 0.3)


def test_what_is_carried_over_counts_less() -> None:
    index = fulltext()
    profile = QuestionProfile.of("pier", index, carried="storm pier", weight=0.5)
    assert profile.rarity["storm"] == pytest.approx(profile.rarity["pier"] / 2)
    assert profile.coverage(frozenset({"pier"})) == pytest.approx(2 / 3)
    assert QuestionProfile.of("pier", index, carried="storm").rarity.keys() == {"pier"}, (
        "without a weight nothing is carried"
    )


def test_coverage_is_weighted_by_rarity() -> None:
    index = fulltext()
    assert QuestionProfile.of("", index).coverage(frozenset({"pier"})) == 0.0
    known, unknown = (index.rarity([term])[term] for term in ("pier", "zeppelin"))
    assert QuestionProfile.of("pier zeppelin", index).coverage(frozenset({"pier"})) == pytest.approx(
        known / (known + unknown)
    )


def test_jaccard() -> None:
    assert jaccard(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0


@pytest.mark.parametrize(
    ("text", "quotable"),
    [
        ("No . Rower Seat Weight Club Born", False),
        ("1 . 2 . 3 . No .", False),
        ("Ada Moor Bow 61 Tolm 1990", False),
        ("It burned at 5 p.m. on Friday.", True),
        ("THE PIER OF TOLM BURNED.", True),
        ("أغلق ميناء تولم أبوابه يوم الثلاثاء.", True),
        ("Nobody came to Tolm.", True),
    ],
)
def test_rows_of_a_table_are_no_prose(text: str, quotable: bool) -> None:
    assert is_prose(text) == quotable


def test_a_sentence_is_read_after_the_heading_before_it() -> None:
    text = "The pier was closed by a storm. Ferry again\nIt opens in May."
    under = replace(PASSAGE, text=text, end=len(text), sentences=((0, 31), (44, 60)))
    index = fulltext()
    [_, plain] = sentence_fits(QuestionProfile.of("zeppelin", index), under, (0.0, 0.0), index)
    [_, headed] = sentence_fits(QuestionProfile.of("ferry", index), under, (0.0, 0.0), index)
    assert (plain, headed) == (0.0, pytest.approx(0.3))
