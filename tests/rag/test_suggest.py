"""Questions that are suggested: about names of the articles, answered by them, and not what was asked already."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import ingest
from rag.chain import Chain
from rag.config import Config
from rag.language.facts import words_of
from rag.schema import Filters
from rag.store.index import Index
from rag.suggest import MOST_SUGGESTED, _names, follow_ups, openers

TEXT = (
    "The council of Tolm met on Tuesday. Orla Fennimore said the pier would close. Israeli threats were spoken of. "
    "Later Fennimore signed the plan, and Tolm was quiet. After that, Orla Fennimore left for Skarra Bay. "
    "Officials in Tolm said nothing. Nobody told Fennimore. Samsung and Mozilla were there.\n\nBREAKING NEWS TODAY"
)


def asked_of(text: str) -> list[str]:
    seen = _names([("a", text)])
    return [seen[name].question for name in sorted(seen, key=lambda name: -seen[name].times)]


def test_names_become_questions() -> None:
    assert asked_of(TEXT) == [
        "What did Orla Fennimore say?",
        "What is said about Tolm?",
        "What is said about Skarra Bay?",
    ], "not a weekday, what belongs to a noun, two names at once, or shouting"


def test_a_verb_at_the_start_of_a_sentence_is_no_part_of_a_name() -> None:
    text = "He met Orla Fennimore. Using Orla Fennimore, they won. It was Orla Fennimore."
    assert asked_of(text) == ["What is said about Orla Fennimore?"]


@settings(max_examples=150)
@given(
    st.text(max_size=200) | st.lists(st.sampled_from([*TEXT.split(), "\n", "O’", "U.S."]), max_size=40).map(" ".join)
)
def test_any_text_can_be_read(text: str) -> None:
    for question in asked_of(text):
        assert "\n" not in question
        assert len(question) < 80


@pytest.mark.slow
@pytest.mark.parametrize("question", ["What did Iraq tell the Security Council?", "Why did bread become dearer?"])
def test_suggestions_are_answered_and_new(sample_chain: Chain, question: str) -> None:
    answer = sample_chain.ask(question)
    suggested = follow_ups(sample_chain, answer, [question])
    assert 0 < len(suggested) <= MOST_SUGGESTED
    for following in suggested:
        answered = sample_chain.ask(following)
        assert answered.grounded
        assert {c.quote for c in answered.citations} - {c.quote for c in answer.citations}
        name = words_of(following.removeprefix("What did ").removeprefix("What is said about "))[0]
        assert name not in words_of(question)
    assert not set(suggested) & set(follow_ups(sample_chain, answer, [question, *suggested]))


@pytest.mark.slow
def test_suggesting_searches_nothing(sample_chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = sample_chain.ask("Why did bread become dearer?")
    for name in ("candidates", "closest", "articles"):
        monkeypatch.delattr(Index, name)
    assert follow_ups(sample_chain, answer)


@pytest.mark.slow
def test_suggestions_respect_the_filters(sample_chain: Chain) -> None:
    for source in ("The Tavrin Ledger", "Harbour Wire"):
        only = Filters(sources=(source,))
        answer = sample_chain.ask("Why did bread become dearer?", filters=only)
        for question in follow_ups(sample_chain, answer):
            answered = sample_chain.ask(question, filters=only)
            assert answered.grounded
            assert {citation.passage.source for citation in answered.citations} == {source}


def test_a_long_article_is_read_quickly_enough() -> None:
    assert asked_of(f"{TEXT}\n\n" * 20_000)[0] == "What did Orla Fennimore say?"


@pytest.mark.slow
def test_nothing_is_suggested_after_no_answer(sample_chain: Chain) -> None:
    answer = sample_chain.ask("Who won the chess olympiad of Ruritania in 1911?")
    assert not answer.grounded
    assert follow_ups(sample_chain, answer) == ()


@pytest.mark.slow
def test_first_questions_are_answered_out_of_different_articles(sample_chain: Chain) -> None:
    suggested = openers(sample_chain)
    assert len(suggested) == MOST_SUGGESTED
    answers = [sample_chain.ask(question) for question in suggested]
    assert all(answer.grounded for answer in answers)
    assert len({answer.citations[0].passage.article_id for answer in answers}) == len(answers)


@pytest.mark.slow
def test_articles_in_other_languages_suggest_nothing(tmp_path: Path) -> None:
    german = (
        "Der Rat von Tolm hat am Dienstag beschlossen, die Brücke zu schließen. Bürgermeisterin Orla Fennimore sagte, "
        "dass die Arbeiten bis zum Herbst dauern werden. In Tolm war es danach still, und Orla Fennimore ging."
    )
    (tmp_path / "rat.json").write_text(f'{{"title": "Rat", "text": "{german}", "language": "de"}}', "utf-8")
    config = Config(index=tmp_path / "index")
    ingest([tmp_path / "rat.json"], config)
    chain = Chain.from_config(config)
    assert openers(chain) == ()
