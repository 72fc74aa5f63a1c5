"""The extractive answer: which sentences, in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingest.articles.passages import split
from rag.answer.extractive import (
    Candidate,
    candidates,
    corroborating_quotes,
    in_lines,
    one_per_sub_question,
    select,
    with_antecedents,
)
from rag.schema import Article, Hit, Passage, Quote
from rag.store.derived.fulltext import FullTextIndex

TEXT = "The pier was closed by a storm. Too short. The pier opens again in May, the harbor master said."


def passage(name: str = "a", text: str = TEXT) -> Passage:
    [found] = split(Article(name, "Storm", text))
    return found


def hit(of: Passage, *fit: float, score: float = 0.0, sub_questions: tuple[tuple[float, ...], ...] = ()) -> Hit:
    return Hit(of, score, fit, fit, sub_question_fits=sub_questions)


def candidate(words: str, score: float, offered: bool = False, name: str = "a") -> Candidate:
    return Candidate(Quote(passage(name), 0, 31), frozenset(words.split()), score, offered)


def quoted(found: list[Candidate]) -> list[str]:
    return [c.quote.text for c in found]


def test_sentences_are_ranked_and_fragments_left_out() -> None:
    ranked = candidates("When does the pier open again?", [hit(passage(), 0.5, 0.9, 0.8)], FullTextIndex())
    assert quoted(ranked) == [TEXT[43:95], TEXT[0:31]]
    assert [c.has_answer_type for c in ranked] == [True, False]


def test_the_score_of_the_passage_counts_a_little() -> None:
    hits = [hit(passage("a"), 0.5, 0.0, 0.0, score=1.0), hit(passage("b"), 0.6, 0.0, 0.0)]
    assert [c.article_id for c in candidates("storm", hits, FullTextIndex())[:2]] == ["a", "b"]


def test_close_candidates_are_chosen_without_repetitions() -> None:
    ranked = [candidate("a b c", 1.0), candidate("a b c d", 0.97), candidate("x y", 0.94), candidate("z", 0.8)]
    assert select(ranked, 3) == [ranked[0], ranked[2]]
    assert select(ranked, 1) == [ranked[0]]
    assert select([], 3) == []


def test_if_the_best_has_the_answer_type_the_others_must_too() -> None:
    ranked = [candidate("a", 1.0, True), candidate("b", 0.97), candidate("c", 0.91, True), candidate("d", 0.8, True)]
    assert select(ranked, 3) == [ranked[0], ranked[2]]


def test_a_repetition_with_other_figures_is_not_left_out() -> None:
    told = "The fire on the ferry killed {} people in the port of Tolm."
    a, b, c = (passage(name, told.format(n)) for name, n in (("a", 12), ("b", 15), ("c", 12)))
    fulltext = FullTextIndex()
    ranked = candidates("How many did the fire kill?", [hit(a, 1.0), hit(b, 0.99), hit(c, 0.98)], fulltext)
    assert [c.article_id for c in select(ranked, 3)] == ["a", "b"]
    assert [
        q.passage.article_id
        for q in corroborating_quotes(ranked[0], [hit(a, 1.0), hit(b, 0.99), hit(c, 0.98)], fulltext)
    ] == ["c"]


def test_duplicates_of_a_hit_corroborate_its_sentence() -> None:
    folded = replace(hit(passage("a"), 0.9, 0.0, 0.2), duplicates=(passage("b"),))
    [best, *_] = candidates("storm", [folded], FullTextIndex())
    assert [q.passage.article_id for q in corroborating_quotes(best, [folded], FullTextIndex())] == ["b"]


def test_near_duplicates_corroborate_nothing() -> None:
    a, b, c = (
        replace(passage(name), duplicate_group=duplicate_group)
        for name, duplicate_group in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    hits = [hit(a, 0.9, 0.0, 0.2), hit(b, 0.8, 0.0, 0.1), hit(c, 0.7, 0.0, 0.1)]
    [best, *_] = candidates("storm", hits, FullTextIndex())
    assert [q.passage.article_id for q in corroborating_quotes(best, hits, FullTextIndex())] == ["c"]


def test_a_sentence_comes_after_its_antecedent() -> None:
    text = "Ada Moor is the harbor master. She said the pier opens again in June. Bread is dearer than it was."
    ranked = candidates("When does it open?", [hit(passage("a", text), 0.3, 0.9, 0.1)], FullTextIndex())
    chosen = select(ranked, 3)
    assert quoted(chosen) == ["She said the pier opens again in June."]
    assert quoted(with_antecedents(chosen, 3)) == [
        "Ada Moor is the harbor master.",
        "She said the pier opens again in June.",
    ]
    assert quoted(with_antecedents(chosen, 1)) == ["She said the pier opens again in June."], (
        "no room, and nothing else"
    )
    other = candidate("bread", 2.0)
    assert with_antecedents([other, *chosen], 2) == [other], "rather one sentence than one nobody understands"
    assert quoted(with_antecedents([other, *chosen], 3))[1:] == quoted(with_antecedents(chosen, 3))


def test_each_sub_question_gets_a_sentence() -> None:
    a, b = passage("a", "The port was closed on Monday."), passage("b", "The bridge fell into the river on Friday.")
    hits = [hit(a, 0.9, sub_questions=((0.9,), (0.1,))), hit(b, 0.2, sub_questions=((0.1,), (0.8,)))]
    assert [
        c.article_id
        for c in one_per_sub_question("Did the port close before the bridge fell?", hits, FullTextIndex(), 3)
    ] == ["a", "b"]
    assert one_per_sub_question("one question", [hit(a, 0.9)], FullTextIndex(), 3) == []


@pytest.mark.parametrize(
    "line",
    [
        "By Ada Moor and Ben Hale",
        "Reporting by Ada Moor and Ben Hale",
        "Photo: the pier before the storm",
        "© 2024 The Bay Times, all rights reserved",
        "Sign up for our morning letter here",
    ],
)
def test_a_byline_is_no_answer(line: str) -> None:
    found = candidates(
        "Who closed the pier?",
        [hit(passage("a", f"The pier was closed by a storm.\n\n{line}"), 0.1, 0.9)],
        FullTextIndex(),
    )
    assert quoted(found) == ["The pier was closed by a storm."]


def test_an_answer_shows_a_list_with_the_sentence_that_introduces_it() -> None:
    text = "Kelm is a port. To enter the port you need:\n- a passport  or card\n- ten crowns\n\nIt is open."
    ranked = candidates("What do I need?", [hit(passage(text=text), 0.5, 0.9, 0.1)], FullTextIndex())
    assert ranked[0].quote.text == "To enter the port you need:\n- a passport  or card\n- ten crowns"
    assert in_lines(ranked[0].quote.text) == "To enter the port you need:\n- a passport or card\n- ten crowns"
