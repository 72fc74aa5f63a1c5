"""Articles with vectors simple enough to check by hand, and what must be true of an index on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event

from ingest.articles.passages import split
from rag.models.embedding import Vectors, normalized
from rag.schema import NO_FILTERS, Article, Filters, Passage, Query
from rag.store import files
from rag.store.catalog.reading import Catalog
from rag.store.catalog.rows import StoredArticle
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.columns import Columns
from rag.store.derived.fulltext import FullTextIndex
from rag.store.derived.matrix import Matrix
from rag.store.derived.sync import ARTICLE_MATRIX, COLUMNS, PASSAGE_MATRIX, article_vectors
from rag.store.files import CATALOG, CHROMA, FULLTEXT, VECTORS, store_in_use
from rag.store.index import Index
from rag.store.writer import IndexWriter, open_for_writing

MODEL, SPLITTER, DIMENSION = "model", "splitter", 4
SENTENCES = [f"Sentence {n} of the story has exactly ten words in it." for n in range(40)]
LONG = "\n\n".join(SENTENCES)
"""A text of several passages."""


def axis(number: int) -> Vectors:
    """A unit vector."""
    return np.eye(DIMENSION, dtype=np.float32)[number]


def stored(
    name: str, vector: int | Vectors, text: str = "Short text.", group: str = "", **fields: Any
) -> StoredArticle:
    """An article whose passages and sentences all have one vector, or that of an axis."""
    values = {
        "title": f"Title {name}",
        "source": "Source",
        "url": f"https://x.example/{name}",
        "author": "Ada",
        "published": date(2024, 1, 31),
    }
    article = Article(name, text=text, **{**values, **fields})
    passages, unit = split(article), axis(vector) if isinstance(vector, int) else normalized(vector.reshape(1, -1))[0]
    of_sentences = [np.tile(unit, (len(passage.sentences), 1)) for passage in passages]
    return StoredArticle(article, passages, np.tile(unit, (len(passages), 1)), of_sentences, group)


def opened(folder: Path) -> Any:
    """The index in a folder, opened for writing."""
    return open_for_writing(folder, MODEL, SPLITTER)


def write(folder: Path, *articles: StoredArticle) -> None:
    """Open an index, write these articles, and close it."""
    with opened(folder) as writer:
        writer.put(articles)


def nearest(index: Index, vector: Vectors, limit: int, filters: Filters = NO_FILTERS) -> list[tuple[Passage, float]]:
    """The passages nearest to a vector, most similar first, as a question without a word finds them."""
    similar = {c.key: c.similarity for c in index.candidates(Query("", filters), vector, limit)}
    found = index.passages(sorted(similar, key=lambda key: -similar[key]))
    return [(each.passage, similar[each.passage.key]) for each in found]


def nearest_articles(index: Index, vector: Vectors, limit: int, filters: Filters = NO_FILTERS) -> list[str]:
    """The ids of the articles of the nearest passages."""
    return [passage.article_id for passage, _ in nearest(index, vector, limit, filters)]


def articles_with_words(index: Index | IndexWriter, text: str, filters: Filters = NO_FILTERS) -> list[str]:
    """The ids of the articles of the passages that have one of these words."""
    store = index if isinstance(index, IndexWriter) else index._current()
    words = store.fulltext if isinstance(index, IndexWriter) else index._fulltext(store)
    keys = [key for key, _ in words.search(text, 1000, filters)]
    return [each.passage.article_id for each in store.catalog.passages(keys)]


def texts(index: Index) -> dict[str, str]:
    """The text of every article, by id."""
    articles = {entry.id: index.article(entry.id) for entry in index.articles()}
    return {name: article.text for name, article in articles.items() if article}


def assert_in_step(folder: Path) -> None:
    """The catalogue's counts are right, and every derived index has just the catalogue's passages and vectors."""
    store = store_in_use(folder)
    catalog = Catalog(folder, store / CATALOG)
    state, entries = catalog.state(), list(catalog.all_entries())
    vectors = {key: own for keys, page in catalog.vector_pages() for key, own in zip(keys, page, strict=True)}
    assert (state.articles, state.passages) == (len(entries), len(vectors))
    assert sum(entry.passages for entry in entries) == len(vectors)
    assert FullTextIndex(store / FULLTEXT).keys() == vectors.keys()
    means = {key: own for keys, page in article_vectors(catalog) for key, own in zip(keys, page, strict=True)}
    for name, end, of_keys in (
        (PASSAGE_MATRIX, state.next_passage, vectors),
        (ARTICLE_MATRIX, state.next_article, means),
    ):
        if state.dimension:
            assert Matrix.exists(store / VECTORS / name, state.identity, state.dimension, end)
            keys = np.arange(1, end)
            rows = Matrix(store / VECTORS / name, state.dimension).vectors(keys)
            wanted = [of_keys.get(key, np.zeros(state.dimension)) for key in keys.tolist()]
            assert np.allclose(rows, normalized(np.array(wanted).reshape(rows.shape)), atol=0.02)
    rows = Columns(store / VECTORS / COLUMNS).mask(np.arange(state.next_passage), None, None)
    assert not state.dimension or vectors.keys() <= set(np.flatnonzero(rows).tolist())
    chroma = ChromaVectors.open(store / CHROMA, state.identity)
    if chroma is None:
        assert not vectors
    else:
        assert set(chroma.keys()) == vectors.keys()
        held = chroma.vectors(list(vectors))
        assert all(np.allclose(held[key], own, atol=0.01) for key, own in vectors.items())


class Killed(BaseException):
    """Simulates the end of the process."""


@contextmanager
def killed_before(step: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every change of a file fails from the one of this number on, counted from 0.

    The steps are SQL statements that write, commits, writes to a matrix, to Chroma and of state files, and commits of
    the full text.
    """
    numbers = count()

    def reach(*_: object) -> None:
        if next(numbers) >= step:
            raise Killed

    def on_statement(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            reach()

    def patched(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: object, **named: object) -> object:
            reach()
            return real(*given, **named)

        patch.setattr(owner, name, call)

    for owner, name in (
        (Matrix, "write"),
        (FullTextIndex, "commit"),
        (ChromaVectors, "upsert"),
        (ChromaVectors, "delete"),
        (files, "_write"),
    ):
        patched(owner, name)
    event.listen(Engine, "before_cursor_execute", on_statement)
    event.listen(Engine, "commit", reach)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)
        event.remove(Engine, "commit", reach)
        patch.undo()


def killed_at_each_step(
    start: Path, patch: pytest.MonkeyPatch, action: Callable[[Path], object]
) -> Iterator[tuple[Path, bool]]:
    """Copies of an index on which an action was killed, each one step later; the last one, on which it was not.

    Each comes with whether the action was killed.
    """
    for step in count():
        folder = start.with_name(f"{start.name}{step}")
        shutil.copytree(start, folder)
        try:
            with killed_before(step, patch):
                action(folder)
        except Killed:
            yield folder, True
        else:
            yield folder, False
            return
