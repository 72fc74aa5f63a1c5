"""Fills a new store from the articles of the one in use: with another model, or to replace what is damaged.

Knows nothing of the model: a function that embeds passages is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.catalog.reading import Catalog, sql_errors
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.source_states import SourceState, SourceStates
from rag.store.catalog.writing import create_catalog
from rag.store.files import CATALOG, delete_other_stores, new_store, store_in_use, use_store
from rag.store.lock import locked
from rag.store.writer import IndexWriter, finishing

ARTICLES_AT_ONCE = 32

Embed = Callable[[Sequence[Passage]], tuple[Vectors, list[Vectors]]]
"""Passages → their vectors, and those of their sentences."""
Progress = Callable[[int, int], object]
"""Called with the number of passages done, and of all."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that an index holds: its articles in batches, its source states, and what it was built with.

    `passages` is their number.
    """

    embedding_model: str
    splitter: str
    passages: int
    articles: Iterable[Sequence[StoredArticle]]
    states: Iterable[SourceState]


def rebuild(folder: Path, embedding_model: str, embed: Embed, progress: Progress) -> int:
    """Embed the stored text with another model; returns the number of passages.

    The new store comes into use at the end; until then, and if this is interrupted, the old one is in use.
    Raises IndexMissing, IndexLocked, IndexMismatch or StoreError.
    """
    store_in_use(folder)  # raises IndexMissing before the folder is locked, which would create it
    with locked(folder):
        old = store_in_use(folder)
        delete_other_stores(folder, old)
        catalog = Catalog(folder, old / CATALOG)
        state, stored = catalog.state(), catalog.stored_articles(ARTICLES_AT_ONCE)
        embedded = (_embed_all(batch, embed) for batch in stored)
        contents = Contents(embedding_model, state.splitter, state.passages, embedded, SourceStates(catalog).all())
        return fill(folder, contents, progress)


def fill(folder: Path, contents: Contents, progress: Progress) -> int:
    """Fill a new store of a locked folder, and put it into use; returns the number of passages."""
    with sql_errors(folder):
        store, done = new_store(folder), 0
        create_catalog(store / CATALOG, contents.embedding_model, contents.splitter)
        with finishing(IndexWriter(folder, store, contents.embedding_model)) as writer:
            for batch in contents.articles:
                writer.put(batch)
                done += sum(len(stored.passages) for stored in batch)
                progress(done, contents.passages)
            writer.states.put(contents.states)
        use_store(folder, store)
    return done


def _embed_all(batch: Sequence[StoredArticle], embed: Embed) -> list[StoredArticle]:
    """The articles with new vectors; their passages are embedded together."""
    vectors, sentences = embed([passage for stored in batch for passage in stored.passages])
    embedded, first = list[StoredArticle](), 0
    for stored in batch:
        own = slice(first, first + len(stored.passages))
        embedded.append(replace(stored, vectors=vectors[own], sentence_vectors=sentences[own]))
        first = own.stop
    return embedded
