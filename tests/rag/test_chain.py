"""The chain over the sample corpus: right answers, exact quotes, and silence where it knows nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from eval.pairs.reading import sample_pairs, sample_questions
from ingest import ingest
from rag import ask
from rag.chain import Chain, checked
from rag.config import Config
from rag.errors import QuestionError
from rag.models.servers import load_llm
from rag.retrieval.retriever import Retriever
from rag.schema import Answer, Filters, Hit, Query, Turn
from tests.conftest import ROOT
from tests.support.llm_server import scripted

pytestmark = pytest.mark.slow

IRAQ = "What did Iraq tell the Security Council?"


def assert_quotes(answer: Answer, chain: Chain) -> None:
    """Every marker is a citation of a hit, and every citation an exact quote."""
    markers = {int(number) for number in re.findall(r"\[(\d+)\]", answer.text)}
    assert markers == {citation.number for citation in answer.citations}
    hits = {passage.id for hit in answer.hits for passage in (hit.passage, *hit.duplicates)}
    for citation in answer.citations:
        article = chain.index.article(citation.passage.article_id)
        assert article is not None
        assert article.text[citation.start : citation.end] == citation.quote
        assert citation.passage.id in hits


def assert_every_sentence_is_a_quote(answer: Answer, chain: Chain) -> None:
    """And every sentence is one of the quotes."""
    assert_quotes(answer, chain)
    quotes = {" ".join(citation.quote.split()).replace("[", "(").replace("]", ")") for citation in answer.citations}
    sentences = [said.strip() for said in re.split(r"(?:\[\d+\])+", answer.text)][:-1]
    assert not answer.grounded or quotes.issuperset(sentences)


def test_the_question_of_the_readme(sample_chain: Chain) -> None:
    answer = sample_chain.ask(IRAQ)
    assert answer.grounded
    assert {citation.passage.article_id for citation in answer.citations} <= {
        "iraq-letter-security-council",
        "iraq-airspace-complaint",
    }
    assert_every_sentence_is_a_quote(answer, sample_chain)


def test_every_sample_answer_quotes_the_articles(sample_chain: Chain) -> None:
    for pair in sample_pairs():
        assert_every_sentence_is_a_quote(sample_chain.ask(pair.question), sample_chain)


def test_most_sample_questions_are_answered_correctly(sample_chain: Chain) -> None:
    pairs = [pair for pair in sample_pairs() if pair.answerable and not pair.history]
    answers = [sample_chain.ask(pair.question) for pair in pairs]
    right = [
        answer.grounded and any(gold.lower() in answer.text.lower() for gold in pair.answers)
        for pair, answer in zip(pairs, answers, strict=True)
    ]
    assert sum(right) >= 0.7 * len(pairs), [p.question for p, r in zip(pairs, right, strict=True) if not r]


@pytest.mark.parametrize(
    "question",
    [
        "Who won the chess championship in Reykjavik?",
        "What is the best recipe for sourdough pancakes?",
        "How many moons does Jupiter have?",
        "asdf qwerty zxcv",
        "???",
    ],
)
def test_abstains_where_the_articles_do_not_answer(sample_chain: Chain, question: str) -> None:
    answer = sample_chain.ask(question)
    assert not answer.grounded
    assert answer.citations == ()
    assert answer.hits
    assert answer.notice
    assert answer.confidence < 0.45


def test_a_streamed_answer_ends_as_ask_returns_it(sample_chain: Chain) -> None:
    steps = list(sample_chain.stream(IRAQ))
    for before, after in pairwise(steps):
        assert after.text.startswith(before.text)
    assert steps[-1].text == sample_chain.ask(IRAQ).text


@pytest.mark.parametrize("question", ["", " \n ", "x" * 10_000])
def test_invalid_questions_are_refused(sample_chain: Chain, question: str) -> None:
    with pytest.raises(QuestionError):
        sample_chain.ask(question)


def test_unencodable_characters_do_no_harm(sample_chain: Chain) -> None:
    assert checked("What\ud800?") == "What??"
    assert sample_chain.ask("What did Iraq \ud800 tell the Security Council?\0").grounded


def test_asking_from_python(sample_index: Path) -> None:
    assert ask(IRAQ, sample_index).grounded


def test_example_questions_come_with_the_sample_only(sample_chain: Chain, config: Config, tmp_path: Path) -> None:
    questions = sample_questions(sample_chain.index)
    assert questions[0] == IRAQ
    assert len(questions) == 4
    (tmp_path / "a.txt").write_text("A night bus will link the islands from May.")
    ingest([tmp_path / "a.txt"], config)
    assert sample_questions(Chain.from_config(config).index) == []


def test_the_first_real_input(config: Config) -> None:
    folder = ROOT.parent / "shared" / "data" / "seeds"
    if not folder.is_dir():
        pytest.skip("the first real input is not on this machine")
    ingest([folder], config)
    chain = Chain.from_config(config)
    answer = chain.ask(IRAQ)
    assert answer.grounded
    assert {citation.passage.title.split()[0] for citation in answer.citations} == {"Iraq"}
    assert "carrying out its duty" in answer.text or "creating claims" in answer.text or "cornerstone" in answer.text
    assert_every_sentence_is_a_quote(answer, chain)
    assert "Vietnam" in chain.ask("Where will Putin and Trump meet?").text
    assert not chain.ask("What did Putin say about grain prices?").grounded


BRIDGE = "What did the mayor of Tolm say about the old bridge{}?"
NEWS = [
    ("tolm-march", "Bay Times", "2024-03-05", "The mayor of Tolm said the old bridge will be closed until the summer."),
    ("tolm-june", "Dolm Post", "2024-06-10", "The mayor of Tolm said the old bridge will be open before the harvest."),
    ("bees", "Bay Times", "2024-06-11", "Bees in the valley of Dolm have survived a hard winter better than feared."),
]


@pytest.fixture(scope="module")
def news_chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("news")
    rows = [dict(zip(("id", "source", "date", "text"), row, strict=True)) | {"title": "News"} for row in NEWS]
    (folder / "news.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingest([folder / "news.jsonl"], Config(index=folder / "index"))
    return Chain.from_config(Config(index=folder / "index"))


def articles_of(answer: Answer) -> set[str]:
    return {citation.passage.article_id for citation in answer.citations}


@pytest.mark.parametrize(
    ("words", "cited"),
    [
        (" in March 2024", {"tolm-march"}),
        (" since April 2024", {"tolm-june"}),
        (" according to the Dolm Post", {"tolm-june"}),
        ("", {"tolm-march", "tolm-june"}),
    ],
)
def test_filters_are_read_out_of_the_question(news_chain: Chain, words: str, cited: set[str]) -> None:
    answer = news_chain.ask(BRIDGE.format(words), today=date(2024, 7, 1))
    assert articles_of(answer) == cited
    assert bool(answer.read) == bool(words)
    assert {hit.passage.article_id for hit in answer.hits} <= cited | {"bees"}


def test_a_lifted_filter_is_not_applied(news_chain: Chain) -> None:
    question = BRIDGE.format(" in March 2024")
    [read] = news_chain.ask(question, today=date(2024, 7, 1)).read
    for lifted in ((read.words,), (question,)):
        answer = news_chain.ask(question, today=date(2024, 7, 1), lifted=lifted)
        assert (answer.read, articles_of(answer)) == ((), {"tolm-march", "tolm-june"})


def test_a_filter_without_an_answer_is_dropped_with_a_notice(news_chain: Chain) -> None:
    answer = news_chain.ask(BRIDGE.format(" last week"), today=date(2024, 5, 20))
    assert answer.grounded
    assert answer.read == ()
    assert answer.notice == "No article published 13–19 May 2024 answers this; all articles were searched."


def test_given_filters_are_applied(news_chain: Chain) -> None:
    question = BRIDGE.format("")
    assert articles_of(news_chain.ask(question, filters=Filters(published_after=date(2024, 6, 1)))) == {"tolm-june"}
    assert articles_of(news_chain.ask(question, filters=Filters(sources=("Bay Times",)))) == {"tolm-march"}
    nothing = news_chain.ask(question, filters=Filters(sources=("nobody",)))
    assert (nothing.grounded, nothing.hits) == (False, ())
    assert "widen" in nothing.notice


def test_filters_that_contradict_each_other_allow_nothing(news_chain: Chain) -> None:
    question = BRIDGE.format(" according to the Dolm Post")
    answer = news_chain.ask(question, filters=Filters(sources=("Bay Times",)), today=date(2024, 7, 1))
    assert articles_of(answer) == {"tolm-march"}
    assert answer.notice.startswith("No article from Dolm Post answers this")
    assert Filters(sources=("a",)).and_also(Filters(sources=("b",))).sources != ()


def test_the_expected_answer_is_emphasised(sample_chain: Chain) -> None:
    answers = [sample_chain.ask(pair.question) for pair in sample_pairs()]
    told = [answer.text[start:end] for answer in answers for start, end in answer.emphasis]
    assert len(told) >= 10
    assert all(words.strip() == words and "[" not in words for words in told)


def with_query_log(of: Chain) -> tuple[Chain, list[str]]:
    """The chain, and the questions that it looks for."""
    looked_for: list[str] = []

    class Listening(Retriever):
        def retrieve(self, query: Query) -> list[Hit]:
            looked_for.append(query.question)
            return super().retrieve(query)

    found = of.retriever
    return replace(of, retriever=Listening(found.index, found.embedder, found.candidates, found.hits)), looked_for


def test_the_words_of_a_filter_are_not_searched(news_chain: Chain) -> None:
    chain, looked_for = with_query_log(news_chain)
    club = "According to Bay Times, what did the Bay Timeshare club say?"
    for question in (BRIDGE.format(" in March 2024"), club, "What happened in March 2024?", "in March 2024"):
        chain.retrieve(question, today=date(2024, 7, 1))
    assert looked_for[:2] == [BRIDGE.format(""), "What did the Bay Timeshare club say?"]
    assert "in March 2024" in looked_for[-1], "nothing else is left"


def test_a_rewritten_question_is_searched_without_its_filters(news_chain: Chain) -> None:
    chain, looked_for = with_query_log(news_chain)
    history = [Turn("What did the mayor of Tolm say about the old bridge?", "It will be closed.", ("tolm-march",))]
    with scripted(lambda _: f"In March 2024, {BRIDGE.format('')}") as server:
        asking = replace(chain, model=load_llm("tiny", server.url))
        asking.ask("And what did he say about it in March 2024?", history, today=date(2024, 7, 1))
    assert looked_for[0] == BRIDGE.format("")


def test_a_story_in_three_outlets_is_cited_once_with_duplicates(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "wire"
    folder.mkdir()
    duplicate_group = (
        "The ferry to the islands of Kelm will stop at noon on Friday, the harbour master said. A strike of the crews "
        "is planned for the weekend. Nobody has said how long it will last, and the council did not meet. Bread and "
        "milk were brought over by fishermen on Thursday evening, and the school remains closed until further notice."
    )
    for name, text in (
        ("wire", duplicate_group),
        ("copy", duplicate_group),
        ("edited", duplicate_group.replace("Bread and milk", "Bread, milk, tea")),
    ):
        front = f"title: Ferry stops\nsource: {name.title()} News\nurl: https://{name}.example/ferry\nsection: Islands"
        (folder / f"{name}.md").write_text(f"---\n{front}\n---\n{text}")
    ingest([folder], config)
    answer = Chain.from_config(config).ask("When will the ferry to the islands stop?")
    assert answer.grounded
    assert "noon on Friday" in answer.text
    assert len({citation.passage.article_id for citation in answer.citations}) == 1
    [first, *_] = answer.citations
    places = {first.passage.source, *(copy.source for copy in first.duplicates)}
    assert places == {"Wire News", "Copy News", "Edited News"}
    assert all(copy.url.endswith(".example/ferry") for copy in first.duplicates)
    assert first.extra == (("section", "Islands"),)


def test_asking_loads_no_library_for_training_models(sample_index: Path) -> None:
    names = ["torch", "transformers", "sentence_transformers", "scipy", "sklearn", "llama_index", "openvino_telemetry"]
    code = (
        "import sys; from rag import ask\n"
        f"answer = ask({IRAQ!r}, {str(sample_index)!r})\n"
        f"print(answer.grounded, [name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True []"
