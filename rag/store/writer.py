"""Writes the index: one writer at a time, each batch of articles in one transaction, the derived indexes after it.

Knows nothing of embedding and of sources: it receives articles with their vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from rag.errors import IndexMismatch, IndexMissing
from rag.models.embedding import Vectors
from rag.schema import ArticleEntry, Copy, Span
from rag.store.catalog.reading import check_built_with, sql_errors
from rag.store.catalog.rows import Sketched, StoredArticle, bands_of
from rag.store.catalog.source_states import SourceStateWriter
from rag.store.catalog.writing import CatalogWriter, create_catalog
from rag.store.derived.fulltext import FullTextIndex
from rag.store.derived.sync import DerivedWriter
from rag.store.files import CATALOG, delete_other_stores, new_store, store_in_use, use_store
from rag.store.hints import new_index_hint
from rag.store.lock import locked

REMOVED_AT_ONCE = 1000


class IndexWriter:
    """An index, opened for writing by this process alone. Created by `open_for_writing`."""

    def __init__(self, folder: Path, store: Path, embedding_model: str) -> None:
        self.folder, self.store, self.embedding_model = folder, store, embedding_model
        self.catalog = CatalogWriter(folder, store / CATALOG)
        self.states = SourceStateWriter(self.catalog)
        self._derived = DerivedWriter(store, self.catalog)

    @property
    def fulltext(self) -> FullTextIndex:
        """The full-text side, with all that was written."""
        self._derived.commit_words()
        return self._derived.fulltext

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add or replace these articles; each is stored, with its text, when this returns.

        The vectors are written before the transaction that commits the articles: whoever finds an article also finds
        its vectors. A process killed at any point leaves either the old version or the new one.
        """
        if not batch:
            return
        present, dimension = self.catalog.present, batch[0].vectors.shape[1]
        self._check_dimension(dimension)
        self._derived.reserve(present, dimension)
        sources = self.catalog.add_sources([stored.article.source for stored in batch])
        self._derived.write_ahead(present, batch, sources)
        removed, keys = self.catalog.put(batch, dimension)
        added = [
            replace(passage, key=key)
            for stored, own in zip(batch, keys, strict=True)
            for passage, key in zip(stored.passages, own, strict=True)
        ]
        self._derived.apply(removed, added)

    def set_copies(self, copies: Mapping[str, Sequence[Copy]]) -> None:
        """Replace the copies of these articles; unknown ones are ignored."""
        if copies:
            self.catalog.set_copies(copies)

    def remove(self, article_ids: Sequence[str]) -> int:
        """Delete these articles with their passages; returns how many there were."""
        removed = 0
        for start in range(0, len(article_ids), REMOVED_AT_ONCE):
            removals = self.catalog.remove(article_ids[start : start + REMOVED_AT_ONCE])
            self._derived.apply(removals, [])
            removed += len(removals)
        return removed

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """The indexed articles among these, by id."""
        return self.catalog.entries(article_ids)

    def find_by_text(self, text_digests: Sequence[str]) -> dict[str, ArticleEntry]:
        """The articles with one of these texts, by the text's digest."""
        return self.catalog.find_by_text(text_digests)

    def vectors(self, article_id: str) -> tuple[Vectors, list[Vectors], list[tuple[Span, ...]]]:
        """The vectors of an article's passages and of their sentences, and the sentences' spans, passage by passage."""
        rows = self.catalog.passages_of(article_id)
        vectors = self.catalog.vectors([row.passage.key for row in rows])
        return (
            np.stack([vectors[row.passage.key] for row in rows]),
            [row.sentence_vectors for row in rows],
            [row.passage.sentences for row in rows],
        )

    def similar(self, sketches: Sequence[str]) -> list[list[Sketched]]:
        """For each sketch the articles that may be near duplicates."""
        own = [bands_of(sketch) for sketch in sketches]
        found = self.catalog.find_by_band([band for bands in own for band in bands])
        return [list(dict.fromkeys(found[band] for band in bands if band in found)) for bands in own]

    def finish(self) -> None:
        """Bring the derived indexes in step."""
        self.catalog.forget_removals(self._derived.finish())

    def close(self) -> None:
        """Release all files."""
        self._derived.close()
        self.catalog.close()

    def _check_dimension(self, dimension: int) -> None:
        known = self.catalog.present.dimension
        if known not in (0, dimension):
            raise IndexMismatch(
                f"the vectors in {self.folder} have {known} numbers, but those of {self.embedding_model} have "
                f"{dimension}; {new_index_hint(self.folder)}"
            )


@contextmanager
def finishing(writer: IndexWriter) -> Iterator[IndexWriter]:
    """Bring the derived indexes in step after a block that succeeds, and release all files after any."""
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer; creates it if there is none, and repairs it after an interrupted write.

    `splitter` names the current way of cutting passages, and is recorded. Articles cut by an earlier version stay as
    they are until they change. Raises IndexLocked when another process writes, IndexMismatch when the index was built
    with another embedding model, StoreError when it cannot be written at all.
    """
    with locked(folder), finishing(_opened(folder, embedding_model, splitter)) as writer:
        try:
            yield writer
        except KeyboardInterrupt:
            writer.finish()  # what is stored is found as after any other ingest; another Ctrl-C ends this too
            raise


def _opened(folder: Path, embedding_model: str, splitter: str) -> IndexWriter:
    with sql_errors(folder):
        try:
            store = store_in_use(folder)
        except IndexMissing:
            store = new_store(folder)
            create_catalog(store / CATALOG, embedding_model, splitter)
            use_store(folder, store)
        delete_other_stores(folder, store)
        writer = IndexWriter(folder, store, embedding_model)
    check_built_with(writer.catalog.present, embedding_model, folder)
    writer.catalog.set_splitter(splitter)
    return writer
