"""The extractive answer: which sentences, in which order."""

from __future__ import annotations

import pytest

from rag.generate import Candidate, candidates, coverage, select, similar_words
from rag.lexical import LexicalIndex
from rag.schema import Hit, Passage, Quote

TEXT = "The pier was closed by a storm. Too short. The pier opens again in May, the harbor master said."
SPANS = ((0, 31), (32, 42), (43, 95))


def passage(name: str = "a", text: str = TEXT, spans: tuple[tuple[int, int], ...] = SPANS) -> Passage:
    return Passage(f"{name}#0", name, "d", 0, 0, len(text), text, spans, "Storm", "", "", "", None)


def candidate(words: str, score: float, offered: bool = False) -> Candidate:
    return Candidate(Quote(passage(), 0, 31), frozenset(words.split()), score, offered)


def test_sentences_are_ranked_and_fragments_left_out() -> None:
    lexical = LexicalIndex()
    lexical.replace([], [passage()])
    ranked = candidates("When does the pier open again?", [Hit(passage(), 1.0, (0.5, 0.9, 0.5))], lexical)
    assert [c.quote.text for c in ranked] == [TEXT[43:95], TEXT[0:31]]
    assert ranked[0].offers
    assert ranked[0].score > ranked[1].score


def test_a_score_is_the_weighted_sum_it_is_said_to_be() -> None:
    lexical = LexicalIndex()
    lexical.replace([], [passage()])
    [best, _] = candidates("storm in May", [Hit(passage(), 2.0, (0.4, 0.0, 0.4))], lexical)
    # Both words are as rare; the sentence has "may", its title "storm".
    assert best.score == pytest.approx(0.4 + 0.25 * 0.5 + 0.5 * 1 + 0.1 * 2.0)


def test_nearly_as_good_and_not_the_same() -> None:
    ranked = [candidate("a b c", 1.0), candidate("a b c d", 0.95), candidate("x y", 0.85), candidate("z", 0.7)]
    assert select(ranked, 3) == [ranked[0], ranked[2]]
    assert select(ranked, 1) == [ranked[0]]
    assert select([], 3) == []


def test_when_the_best_offers_what_is_asked_the_others_must_too() -> None:
    ranked = [candidate("a", 1.0, True), candidate("b", 0.95), candidate("c", 0.75, True), candidate("d", 0.65, True)]
    assert select(ranked, 3) == [ranked[0], ranked[2]]


def test_coverage_is_weighted_by_rarity() -> None:
    rarity = {"pier": 1.0, "zeppelin": 3.0}
    assert coverage(rarity, frozenset({"pier"})) == 0.25
    assert coverage(rarity, frozenset({"pier", "zeppelin", "more"})) == 1.0
    assert coverage({}, frozenset({"pier"})) == 0.0


def test_similar_words() -> None:
    assert similar_words(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3)
    assert similar_words(frozenset(), frozenset()) == 1.0
