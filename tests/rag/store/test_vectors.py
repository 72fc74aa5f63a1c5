"""Requests of any size: the limits of Chroma and SQLite do not affect the index."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import ingest
from ingest.articles.passages import SPLITTER, split
from ingest.check import check, repair
from ingest.pipeline import remove
from ingest.updater import Model
from rag.config import Config
from rag.models.embedding import Vectors, normalized
from rag.schema import Article, Copy, Filters, Query
from rag.store.index import Index
from rag.store.rebuild import rebuild
from rag.store.rows import StoredArticle
from rag.store.writer import IndexWriter, open_for_writing
from tests.conftest import ROOT
from tests.support.hashing import HashEmbedder

SMALL, MANY = 3, 5600
"""A batch size that Chroma is limited to, and a number of rows above its own limit (5,461)."""


def test_only_batched_collection_calls_a_collection() -> None:
    """Few modules may import a library (tests/test_layout.py); behind Chroma's, one class splits requests."""
    tree = ast.parse((ROOT / "rag" / "store" / "vectors.py").read_text("utf-8"))
    rows, database = (
        next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        for name in ("BatchedCollection", "Database")
    )
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "_collection"]
    assert uses
    assert {id(node) for node in uses} <= {id(node) for node in ast.walk(rows)}
    opened = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "get_collection"]
    assert {id(node) for node in opened} <= {id(node) for node in ast.walk(database)}
    others = [path for path in (ROOT / "rag").rglob("*.py") if path.name != "vectors.py"]
    assert not [path.name for path in others if re.search(r"\._collection\b", path.read_text("utf-8"))]


def stored(name: str, vector: Sequence[float], text: str = "", **fields: Any) -> StoredArticle:
    """An article whose passages all have one vector of two numbers."""
    values = {"source": f"Source {name}", "published": date(2024, 1, 31), **fields}
    article = Article(name, f"Title {name}", text or f"Text of {name}.", **values)
    passages, unit = split(article), normalized(np.array([vector], dtype=np.float32))
    of_sentences = [np.tile(unit, (len(passage.sentences), 1)) for passage in passages]
    return StoredArticle(article, passages, np.tile(unit, (len(passages), 1)), of_sentences)


def fan(count: int) -> list[StoredArticle]:
    """Articles whose vectors stand side by side, the first one along the first axis."""
    angles = np.linspace(0, 1.5, count)
    return [stored(f"a{n:05}", (np.cos(a), np.sin(a))) for n, a in enumerate(angles)]


def copies(name: str) -> tuple[Copy, ...]:
    return (Copy(f"{name}-copy", f"/copies/{name}", "", "Copier", ""),)


@pytest.fixture(params=["as it is", "small"])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Chroma as it is, or limited to three rows, ids or values per request, which fails on more."""
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

    if request.param == "as it is":
        return 0

    def limited(name: str) -> None:
        real = getattr(Collection, name)

        def call(self: Collection, *given: Any, **named: Any) -> Any:
            assert not given, "by name, or this cannot be counted"
            assert len(named.get("ids") or ()) <= SMALL
            assert len(named["query_embeddings"] if name == "query" else ()) <= SMALL
            for term in (named.get("where") or {}).get("$and", [named.get("where") or {}]):
                for condition in term.values():
                    assert not isinstance(condition, dict) or len(condition.get("$in", ())) <= SMALL
            found = real(self, **named)
            assert name != "get" or len(found["ids"]) <= SMALL
            return found

        monkeypatch.setattr(Collection, name, call)

    for name in ("get", "query", "add", "upsert", "update", "delete"):
        limited(name)
    monkeypatch.setattr(Client, "get_max_batch_size", lambda _: SMALL)
    return SMALL


@pytest.fixture
def writer(tmp_path: Path, limit: int) -> Iterator[IndexWriter]:
    with open_for_writing(tmp_path / "index", "model", SPLITTER) as writer:
        yield writer


def axis(vectors: Sequence[float]) -> Vectors:
    return np.array(vectors, dtype=np.float32)


@pytest.mark.slow
def test_the_limits_do_not_change_results(writer: IndexWriter) -> None:
    articles = fan(10)
    writer.put(articles)
    names = [one.article.id for one in articles]
    ids = [one.passages[0].id for one in articles]
    assert writer.entries(names).keys() == set(names)
    assert [each.passage.id for each in writer.passages(ids[::-1])] == ids[::-1]
    assert writer.article_vectors(names).keys() == writer.entries(names).keys()
    assert writer.passage_vectors(ids).keys() == set(ids)
    digests = [one.article.text_digest for one in articles]
    assert writer.find_by_text(digests).keys() == set(digests)
    assert [e.id for e in writer.related(names[0], 8)] == names[1:9]
    assert [len(near) for near in writer.neighbours(np.concatenate([a.vectors for a in articles]), 7)] == [7] * 10
    assert [max(found, key=lambda i: found[i]) for found in _nearest(writer, articles)] == ids
    assert sorted(i for page in writer.rows() for i, _, _ in page) == ids
    assert [entry.id for entry in writer.articles()] == names
    assert (writer.articles_without_vector(), writer.counts()) == ([], (10, 10))


def _nearest(index: Index, articles: Sequence[StoredArticle]) -> list[dict[str, float]]:
    return index.nearest(np.concatenate([one.vectors for one in articles]), 5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_filters_with_long_lists_allow_what_they_name(writer: IndexWriter, count: int) -> None:
    articles = fan(12)
    writer.put(articles)
    wanted = articles[12 - count :]
    sources, names = (tuple(getattr(one.article, of) for one in wanted) for of in ("source", "id"))
    nearest = [one.passages[0].id for one in wanted]
    for filters in (
        Filters(sources=sources),
        Filters(article_ids=names),
        Filters(date(2024, 1, 1), date(2024, 2, 1), sources, names),
        Filters(sources=tuple(one.article.source for one in articles), article_ids=names),
    ):
        found = writer.candidates(Query("", filters), axis([1, 0]), 5)
        assert [c.passage_id for c in sorted(found, key=lambda c: -c.similarity)] == nearest[:5], "the nearest of all"
        assert writer.closest(axis([1, 0]), filters) == pytest.approx(found[0].similarity)


@pytest.mark.slow
def test_a_story_with_many_places_and_an_article_with_many_passages(writer: IndexWriter) -> None:
    long = stored("long", (1, 0), "\n\n".join(f"Sentence {n} of it {'goes on ' * 45}." for n in range(20)))
    assert len(long.passages) > 2 * SMALL
    writer.put([long, *(replace(one, duplicate_group="one") for one in fan(30))])
    read = writer.article("long")
    assert read
    assert read.text == long.article.text
    assert len(writer.vectors("long")[0]) == len(long.passages)
    assert 3 < len(writer.elsewhere(writer.entries(["a00000"])["a00000"])) <= 20
    assert writer.remove(["long"]) == 1
    assert writer.counts() == (30, 30)


@pytest.mark.slow
def test_an_index_is_rebuilt_repaired_and_emptied_in_small_batches(limit: int, tmp_path: Path) -> None:
    config, corpus = Config(index=tmp_path / "index", embedding_model="hash"), tmp_path / "corpus.jsonl"
    texts = (f"The bees of valley{n} swarmed{n} early{n}." for n in range(8))
    corpus.write_text("\n".join(json.dumps({"id": f"a{n}", "title": f"{n}", "text": t}) for n, t in enumerate(texts)))
    model = Model("hash", HashEmbedder())
    assert ingest([corpus], config, model=model).added == 8
    rebuild(config.index, "hash", model.embed, lambda *_: None)
    with open_for_writing(config.index, "hash", SPLITTER) as writer:
        writer.reinsert_passages([i for page in writer.rows() for i, _, _ in page])
    findings = check(config, lambda *_: None)
    assert (findings.lines, findings.articles) == ([], 8)
    assert repair(config, replace(findings, unfound=[]), lambda *_: None).lines == []
    copied = tmp_path / "copied.jsonl"
    copied.write_text(corpus.read_text().replace('"a', '"b'))
    assert ingest([corpus, copied], config, model=model).duplicates == 8
    copied.unlink()
    ingest([tmp_path], config, model=model)
    assert not any(entry.copies for entry in Index(config.index, "hash").articles()), "the sweep forgets all copies"
    assert remove([f"a{n}" for n in range(8)], config) == []
    assert Index(config.index, "hash").counts() == (0, 0)


@pytest.mark.slow
def test_more_articles_than_chroma_takes_at_once(tmp_path: Path) -> None:
    """The real limit: copies of all articles are set and cleared, all articles are found, and removed."""
    folder, articles = tmp_path / "index", fan(MANY)
    names = [one.article.id for one in articles]
    with open_for_writing(folder, "model", SPLITTER) as writer:
        writer.put(articles)
        writer.set_copies({name: copies(name) for name in names})
        assert all(entry.copies == copies(entry.id) for entry in writer.articles())
        of_all = Filters(sources=tuple(f"Source {n}" for n in range(33_000)), article_ids=tuple(names))
        assert not writer.candidates(Query("", of_all), axis([1, 0]), 5)
        of_all = replace(of_all, sources=(*of_all.sources, *(one.article.source for one in articles)))
        assert writer.candidates(Query("", of_all), axis([1, 0]), 5)[0].passage_id == articles[0].passages[0].id
        writer.set_copies(dict.fromkeys(names, ()))
        assert writer.remove(names) == MANY
        assert writer.counts() == (0, 0)
