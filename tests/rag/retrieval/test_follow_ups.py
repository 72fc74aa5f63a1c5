"""Follow-ups: which questions depend on the conversation, and what they take from it."""

from __future__ import annotations

import pytest

from rag.chain import Chain
from rag.retrieval.follow_ups import DEPENDENT, INDEPENDENT, UNCLEAR, carried_words, dependence, in_context, names_in
from rag.schema import Query, Turn
from rag.store.derived.fulltext import FullTextIndex

IRAQ = "What did Iraq tell the Security Council?"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("And what did it say about airspace?", DEPENDENT),
        ("What about the airspace?", DEPENDENT),
        ("Why?", DEPENDENT),
        ("Did he deny it?", DEPENDENT),
        ("Where was she born?", DEPENDENT),
        ("What else did the letter say?", DEPENDENT),
        ("When?", DEPENDENT),
        ("Did this help the harbor?", DEPENDENT),
        ("Did Ada Moor say when she would come?", INDEPENDENT),
        ("What did the council decide about Dolm?", INDEPENDENT),
        ("How many bees died in 2023?", INDEPENDENT),
        ("Why were night buses and ferries delayed?", UNCLEAR),
        ("Has the growing population kept its schools?", UNCLEAR),
    ],
)
def test_how_much_a_question_depends_on_the_conversation(question: str, expected: float) -> None:
    assert dependence(question, FullTextIndex()) == expected


def test_names_are_runs_of_capitalized_words() -> None:
    assert names_in("The Port of Tolm told Ada Moor that it was late. What?") == ["Port of Tolm", "Ada Moor"]


def test_the_title_and_the_latest_names_are_carried_over() -> None:
    turns = [Turn("Who closed the pier?", "Ada Moor did."), Turn("Where is it?", "In Cape Dolm.")]
    assert carried_words(["Pier closed"], turns) == "Pier closed Cape Dolm Ada Moor"
    assert carried_words([], []) == ""


def test_a_first_question_and_an_independent_one_take_nothing(sample_chain: Chain) -> None:
    query = Query("And what did it say about airspace?")
    assert in_context(query, [], sample_chain.index) is query
    named = Query("What did the mayor of Harrow say?")
    assert in_context(named, [Turn(IRAQ, "A letter.")], sample_chain.index) is named


@pytest.mark.slow
def test_the_cited_article_is_taken_along(sample_chain: Chain) -> None:
    turn = Turn(IRAQ, "A letter.", ("iraq-letter-security-council",))
    query = in_context(Query("And what else did it say?"), [turn], sample_chain.index)
    assert (query.weight, query.articles, query.said) == (DEPENDENT, turn.articles, ("A letter.",))
    assert "Iraq" in query.carried or "Security" in query.carried


@pytest.mark.slow
def test_turns_that_name_no_article_are_looked_for(sample_chain: Chain) -> None:
    said = sample_chain.ask(IRAQ)
    query = in_context(Query("And what else did it say?"), [Turn(IRAQ, said.text)], sample_chain.index)
    assert query.articles == (said.citations[0].passage.article_id,)


@pytest.mark.slow
def test_a_follow_up_finds_its_subject_and_tells_something_new(sample_chain: Chain) -> None:
    first = sample_chain.ask(IRAQ)
    turn = Turn(IRAQ, first.text, tuple(c.passage.article_id for c in first.citations))
    answer = sample_chain.ask("And what did it say about airspace?", [turn])
    assert answer.grounded
    assert "airspace" in answer.text
    assert all(c.passage.article_id.startswith("iraq") for c in answer.citations)


@pytest.mark.slow
def test_a_follow_up_about_what_no_article_knows_is_not_answered(sample_chain: Chain) -> None:
    history = [Turn(IRAQ, "A letter.", ("iraq-letter-security-council",))]
    assert not sample_chain.ask("What about pancakes?", history).grounded
    assert sample_chain.ask("Why?", history).grounded


@pytest.mark.slow
def test_an_independent_question_keeps_its_subject(sample_chain: Chain) -> None:
    history = [Turn(IRAQ, "A letter.", ("iraq-letter-security-council",))]
    from eval.pairs.reading import sample_pairs

    pairs = [p for p in sample_pairs() if p.answerable and not p.history and "iraq" not in str(p.articles)][:40]
    alone = [sample_chain.ask(pair.question).text for pair in pairs]
    after = [sample_chain.ask(pair.question, history).text for pair in pairs]
    assert sum(a != b for a, b in zip(alone, after, strict=True)) <= 2
