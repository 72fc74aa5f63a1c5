"""An index that another process keeps changing: each face goes on answering, and shows whole articles."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio_client
import pytest

from eval.pairs.schema import QAPair
from eval.run import evaluate
from rag.answer.extractive import ExtractiveGenerator
from rag.chain import Chain
from rag.config import Config
from rag.store.index import Index
from rag.suggest import openers
from tests.conftest import ROOT
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
TIMES = 5
CHANGES = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from rag.store.writer import open_for_writing

folder, model, splitter, end = Path(sys.argv[2]), *sys.argv[3:5], Path(sys.argv[5])
while not end.exists():
    with open_for_writing(folder, model, splitter) as writer:
        for page in list(writer.catalog.stored_articles(5)):
            writer.put(page)
"""
"""Stores every article again and again, as an ingest does that finds all of them updated."""


@pytest.fixture
def chain(sample_chain: Chain, tmp_path: Path) -> Chain:
    """The chain over a copy of the sample index, which is changed."""
    shutil.copytree(sample_chain.index.folder, tmp_path / "index")
    index = Index(tmp_path / "index", sample_chain.index.embedding_model)
    generator = ExtractiveGenerator(index, Config().sentences)
    return replace(
        sample_chain, index=index, retriever=replace(sample_chain.retriever, index=index), generator=generator
    )


@pytest.fixture(autouse=True)
def _changing(chain: Chain, tmp_path: Path) -> Iterator[None]:
    """Another process changes the index from the beginning of the test to its end."""
    index, end = chain.index, tmp_path / "end"
    state = index._current().catalog.state()
    command = [sys.executable, "-c", CHANGES, str(ROOT), str(index.folder), state.embedding_model, state.splitter, end]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        while index.generation == state.generation and process.poll() is None:
            time.sleep(0.01)
        before = index.generation
        yield
        while index.generation == before and process.poll() is None:
            time.sleep(0.01)
    finally:
        end.touch()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_python_and_llamaindex_are_answered(chain: Chain) -> None:
    from rag.llama import PullquoteQueryEngine, PullquoteRetriever

    engine = PullquoteQueryEngine(chain)
    for _ in range(TIMES):
        assert chain.ask(QUESTION).grounded
        assert chain.retrieve(QUESTION)
        assert PullquoteRetriever(chain).retrieve(QUESTION)
        assert engine.query(QUESTION).source_nodes
        assert asyncio.run(engine.aquery(QUESTION)).source_nodes
    assert openers(chain)


def test_the_command_answers(chain: Chain) -> None:
    for arguments in ((), ("--json",)):
        status, out, _ = run("ask", QUESTION, "--index", chain.index.folder, *arguments)
        assert status == 0
        assert "Iraq" in out


def test_the_page_answers(chain: Chain) -> None:
    session = ChatSession()
    for _ in range(TIMES):
        *_, conversation = ChatController(chain).ask(QUESTION, (), session)
        assert conversation
        assert not conversation[-1].error
        assert conversation[-1].answer
        assert conversation[-1].answer.grounded


def test_programs_are_answered_by_the_endpoints_and_the_tools(chain: Chain) -> None:
    with served(build_app(chain), tools=tools_of(chain)) as url:
        client = gradio_client.Client(url, verbose=False, analytics_enabled=False)
        for name in ("/ask", "/search"):
            assert "Iraq" in json.dumps(client.predict(QUESTION, api_name=name))
        for tool in ("ask", "search"):
            told = asyncio.run(called(url, tool, {"question": QUESTION}))
            assert not told.is_error
            assert "Iraq" in told.content[0].text


def test_an_evaluation_counts_every_question(chain: Chain) -> None:
    entry = next(chain.index.articles())
    pairs = [
        QAPair(str(n), QUESTION, ("letter",), (entry.id,), (), answerable=True, origin=f"pairs, line {n}")
        for n in range(TIMES)
    ]
    report = evaluate(chain, pairs)
    assert (report.asked, report.excluded, report.interrupted) == (TIMES, 0, False)


def test_articles_are_shown_whole(chain: Chain) -> None:
    entry = max(chain.index.articles(), key=lambda e: e.passages)
    whole = chain.index.article(entry.id)
    assert whole
    for _ in range(TIMES):
        assert chain.index.article(entry.id) == whole
        shown = opened_html(lambda: Reader(chain.index).article(entry.id))
        assert "error" not in shown
        articles = Endpoints(chain, ArticleList(chain.index)).articles()["articles"]
        assert entry.id in json.dumps(articles), "it is listed"
