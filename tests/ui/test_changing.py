"""An index that another process keeps changing: questions are answered from what is left, and nothing fails."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.pairs.schema import QAPair
from eval.run import evaluate
from ingest.articles.passages import SPLITTER
from rag.answer.extractive import ExtractiveGenerator
from rag.chain import Chain
from rag.config import Config
from rag.schema import Query
from rag.store.index import Candidate, Index
from rag.store.writer import open_for_writing
from rag.suggest import openers
from ui.services.api import Endpoints
from ui.services.article_list import ArticleList
from ui.services.chat import ChatController, ChatSession
from ui.services.reader import Reader

pytestmark = pytest.mark.slow

QUESTION = "What did Iraq tell the Security Council?"


@pytest.fixture
def chain(sample_chain: Chain, tmp_path: Path) -> Chain:
    """The chain over a copy of the sample index, which a test may change."""
    shutil.copytree(sample_chain.index.folder, tmp_path / "index")
    index = Index(tmp_path / "index", sample_chain.index.embedding_model)
    generator = ExtractiveGenerator(index, Config().sentences)
    return replace(
        sample_chain, index=index, retriever=replace(sample_chain.retriever, index=index), generator=generator
    )


def remove(index: Index, article_id: str) -> None:
    with open_for_writing(index.folder, index.embedding_model, SPLITTER) as writer:
        writer.remove([article_id])
        writer.finish()


@pytest.fixture
def removed(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The articles removed so far: of each question's candidates the best one's, before its passages are read."""
    gone, real = list[str](), Index.candidates

    def candidates(self: Index, query: Query, *given: Any) -> list[Candidate]:
        found = real(self, query, *given)
        best = max(found, key=lambda c: c.similarity + c.bm25)
        [stored] = chain.index.passages([best.key])
        gone.append(stored.passage.article_id)
        remove(self, gone[-1])
        return found

    monkeypatch.setattr(Index, "candidates", candidates)
    return gone


def test_a_question_is_answered_from_what_is_left(chain: Chain, removed: list[str]) -> None:
    answer = chain.ask(QUESTION)
    assert len(removed) == 1
    assert answer.hits
    assert not {hit.passage.article_id for hit in answer.hits} & set(removed)
    *_, conversation = ChatController(chain).ask(QUESTION, (), ChatSession())
    assert conversation
    assert not conversation[-1].error
    asked = Endpoints(chain, ArticleList(chain.index)).search(QUESTION)
    assert asked["hits"]


@pytest.mark.usefixtures("removed")
def test_an_evaluation_goes_on(chain: Chain) -> None:
    entry = next(chain.index.articles())
    pair = QAPair("1", QUESTION, ("letter",), (entry.id,), (), answerable=True, origin="pairs, line 1")
    assert evaluate(chain, [pair, replace(pair, id="2")])


def test_a_removed_article_is_neither_shown_nor_listed(chain: Chain) -> None:
    article_list = ArticleList(chain.index)
    [entry, *others] = article_list.index.articles()
    assert Reader(chain.index).article(entry.id)
    remove(chain.index, entry.id)
    assert Reader(chain.index).article(entry.id) is None
    listed = Endpoints(chain, article_list).articles()
    assert listed["total"] == len(others)
    assert entry.id not in {each["id"] for each in listed["articles"]}
    assert openers(chain)
