"""An index that another process keeps changing: each face says so, and what to do; none shows half an article."""

from __future__ import annotations

import asyncio
import html
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio_client
import pytest

from eval.pairs.schema import QAPair
from eval.run import evaluate
from rag.answer.extractive import ExtractiveGenerator
from rag.chain import Chain
from rag.config import Config
from rag.errors import IndexChanging
from rag.schema import Query
from rag.store.index import MAX_ATTEMPTS, Candidate, Index
from rag.store.vectors import Database
from rag.suggest import openers
from tests.ui.cli.test_main import run
from tests.ui.server.test_app import _no_open_loops, served  # noqa: F401
from tests.ui.server.test_mcp import called, tools_of
from ui.page.app import build_app
from ui.page.reader import opened_html
from ui.services.api import Endpoints
from ui.services.article_list import ArticleList
from ui.services.chat import ChatController, ChatSession
from ui.services.reader import Reader

pytestmark = pytest.mark.slow

QUESTION = "What did Iraq tell the Security Council?"
TOLD = "is being changed by another process; try again in a moment"


@pytest.fixture
def chain(sample_chain: Chain, tmp_path: Path) -> Chain:
    """The chain over a copy of the sample index, which a test may spoil."""
    shutil.copytree(sample_chain.index.folder, tmp_path / "index")
    index = Index(tmp_path / "index", sample_chain.index.embedding_model)
    generator = ExtractiveGenerator(index, Config().sentences)
    return replace(
        sample_chain, index=index, retriever=replace(sample_chain.retriever, index=index), generator=generator
    )


def delete(folder: Path, choose: Callable[[list[str]], list[str]]) -> None:
    """Take passages out of an index, as another process does that has it open."""
    with closing(Database(folder)) as database:
        rows = database.collection("passages")
        rows.delete(choose([i for page in rows.pages(1000) for i in page["ids"]]))


@pytest.fixture
def times(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often, from now on, the best of the passages that were found is gone before it is read; a test sets it."""
    left, real = [1000], Index.candidates

    def candidates(self: Index, query: Query, *given: Any) -> list[Candidate]:
        found = real(self, query, *given)
        if left[0]:
            left[0] -= 1
            best = max(found, key=lambda c: c.similarity + c.bm25)
            delete(self.folder, lambda _: [best.passage_id])
        return found

    monkeypatch.setattr(Index, "candidates", candidates)
    return left


def test_a_question_is_answered_once_the_changes_are_over(chain: Chain, times: list[int]) -> None:
    times[0] = MAX_ATTEMPTS - 1
    answer = chain.ask(QUESTION)
    assert (answer.grounded, times) == (True, [0])


@pytest.mark.usefixtures("times")
def test_python_and_llamaindex_raise_it(chain: Chain) -> None:
    from rag.llama import PullquoteQueryEngine, PullquoteRetriever

    engine = PullquoteQueryEngine(chain)
    for ask in (chain.ask, chain.retrieve, engine.query, PullquoteRetriever(chain).retrieve):
        with pytest.raises(IndexChanging, match=TOLD):
            ask(QUESTION)
    with pytest.raises(IndexChanging, match=TOLD):
        asyncio.run(engine.aquery(QUESTION))


@pytest.mark.usefixtures("times")
def test_the_command_prints_one_line(chain: Chain) -> None:
    for arguments in ((), ("--json",)):
        status, out, errors = run("ask", QUESTION, "--index", chain.index.folder, *arguments)
        assert (status, out) == (1, "")
        assert TOLD in errors
        assert "Traceback" not in errors


@pytest.mark.usefixtures("times")
def test_the_page_shows_it_in_the_conversation(chain: Chain) -> None:
    *_, conversation = ChatController(chain).ask(QUESTION, (), ChatSession())
    assert conversation
    assert TOLD in conversation[-1].error
    assert conversation[-1].answer is None


@pytest.mark.usefixtures("times")
def test_programs_are_told_by_the_endpoints_and_the_tools(chain: Chain) -> None:
    with served(build_app(chain), tools=tools_of(chain)) as url:
        client = gradio_client.Client(url, verbose=False, analytics_enabled=False)
        for name in ("/ask", "/search"):
            with pytest.raises(Exception, match=TOLD):
                client.predict(QUESTION, api_name=name)
        for tool in ("ask", "search"):
            told = asyncio.run(called(url, tool, {"question": QUESTION}))
            assert told.is_error
            assert TOLD in told.content[0].text


@pytest.mark.usefixtures("times")
def test_an_evaluation_ends_with_it(chain: Chain) -> None:
    entry = next(chain.index.articles())
    pair = QAPair("1", QUESTION, ("letter",), (entry.id,), (), answerable=True, origin="pairs, line 1")
    with pytest.raises(IndexChanging, match=TOLD):
        evaluate(chain, [pair])


def test_an_article_of_which_passages_are_missing_is_not_shown_in_part(chain: Chain) -> None:
    entry = max(chain.index.articles(), key=lambda e: e.passages)
    delete(chain.index.folder, lambda ids: [i for i in ids if i.startswith(f"{entry.id}#")][1:2])
    with pytest.raises(IndexChanging, match="pullquote check --fix --index"):
        chain.index.article(entry.id)
    assert TOLD in html.unescape(opened_html(lambda: Reader(chain.index).article(entry.id)))
    assert openers(chain), "what is asked about the other articles is suggested all the same"
    articles = Endpoints(chain, ArticleList(chain.index)).articles()["articles"]
    assert entry.id in json.dumps(articles), "it is listed"
