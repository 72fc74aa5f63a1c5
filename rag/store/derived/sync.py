"""The indexes derived from the catalogue: opened by readers, kept in step by the writer, built again when lost.

Each records the generation that it holds. Whoever writes applies what was written since: a process killed at any point
leaves an index that is behind, and the next writer lets it catch up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.catalog.reading import PAGE, Catalog, Removal, State
from rag.store.catalog.rows import StoredArticle, date_number
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.chroma_files import (
    forget_checksums,
    has_checksums,
    is_complete,
    is_intact,
    record_checksums,
    reserved,
)
from rag.store.derived.columns import Columns
from rag.store.derived.fulltext import FullTextIndex
from rag.store.derived.matrix import Matrix
from rag.store.derived.probe import probe
from rag.store.files import CHROMA, FULLTEXT, VECTORS, DerivedState

PASSAGE_MATRIX, ARTICLE_MATRIX, COLUMNS = "passages.i8", "articles.i8", "passages.columns"
COMMIT_PASSAGES, COMMIT_SECONDS = 2_000, 2.0
"""The full text is committed after so many passages or seconds: each commit makes a segment, which has to be merged."""
CHROMA_BATCH = 5_000
"""Passages that are added to Chroma at once."""
MOST_BEHIND, BEHIND_SHARE = 2_000, 0.05
"""Passages by which Chroma may be behind when a write ends, and their share of those it has: readers find them by exact
search, and a write of one article need not open Chroma."""
UNRECORDED_SHARE = 0.05
"""Of all passages, the share after whose writing the checksums of Chroma's files are computed, which reads them all.
Readers open Chroma only then."""
ARTICLES_AT_ONCE = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Matrices:
    """The vectors of passages and of articles, each the mean of its passages'."""

    passages: Matrix
    articles: Matrix


def open_matrices(store: Path, catalog: Catalog, state: State) -> Matrices:
    """The matrices in a store's folder; each is built in memory if its file is lost or damaged."""
    if not state.dimension:
        return Matrices(Matrix(None, 0), Matrix(None, 0))
    opened = []
    for name, end in matrix_ends(state).items():
        matrix = existing_matrix(store, name, state)
        if matrix is None:
            log.warning("%s is lost or damaged; its vectors are read from the catalogue", store / VECTORS / name)
            matrix = Matrix.in_memory(_matrix_pages(catalog, name), end, state.dimension)
        opened.append(matrix)
    return Matrices(*opened)


def matrix_ends(state: State) -> dict[str, int]:
    """The matrices by name, each with a key above all of its own."""
    return {PASSAGE_MATRIX: state.next_passage, ARTICLE_MATRIX: state.next_article}


def existing_matrix(store: Path, name: str, state: State) -> Matrix | None:
    """A matrix in a store's folder; None if its file is lost or damaged."""
    file = store / VECTORS / name
    is_whole = Matrix.exists(file, state.identity, state.dimension, matrix_ends(state)[name])
    return Matrix(file, state.dimension) if is_whole else None


def _matrix_pages(catalog: Catalog, name: str) -> Iterator[tuple[list[int], Vectors]]:
    """The keys and vectors that a matrix holds, in pages."""
    return catalog.vector_pages() if name == PASSAGE_MATRIX else article_vectors(catalog)


def open_fulltext(store: Path, catalog: Catalog) -> FullTextIndex:
    """The full text in a store's folder; built in memory if it is lost, damaged or another index's."""
    fulltext = _intact_fulltext(store / FULLTEXT, catalog)
    if fulltext:
        return fulltext
    log.warning("%s is lost or damaged; the full text is built in memory", store / FULLTEXT)
    fulltext = FullTextIndex()
    for page in catalog.passage_pages():
        fulltext.add(page)
    fulltext.commit()
    fulltext.close()
    return fulltext


def _intact_fulltext(folder: Path, catalog: Catalog) -> FullTextIndex | None:
    state, found = catalog.state(), DerivedState.read(folder)
    if found.identity != state.identity:
        return None
    try:
        fulltext = FullTextIndex(folder)
    except ValueError:
        return None
    has_all = found.generation != state.generation or fulltext.count == state.passages
    # It may also have more than `state`, which was read before.
    return fulltext if has_all or catalog.state().generation != state.generation else None


def open_columns(store: Path, catalog: Catalog, state: State) -> Columns:
    """What filters need of each passage; built in memory if its file is lost or damaged."""
    file = store / VECTORS / COLUMNS
    if Columns.exists(file, state.next_passage):
        return Columns(file)
    return _columns_of(catalog, state)


def _columns_of(catalog: Catalog, state: State) -> Columns:
    rows = (row for page in catalog.article_rows(PAGE) for row in page)
    return Columns.of(((r.first_passage, r.passages, r.published, r.source) for r in rows), state.next_passage)


def article_vectors(catalog: Catalog) -> Iterator[tuple[list[int], Vectors]]:
    """The keys of all articles with passages, and the means of their passages' vectors, in pages."""
    for page in catalog.article_rows(ARTICLES_AT_ONCE):
        own = {a.key: range(a.first_passage, a.first_passage + a.passages) for a in page if a.passages}
        vectors = catalog.vectors([key for keys in own.values() for key in keys])
        yield list(own), np.stack([np.mean([vectors[key] for key in keys], axis=0) for keys in own.values()])


def _discard_newer(store: Path, state: State) -> None:
    """Give up derived indexes that are newer than the catalogue, which lost writes: it uses their keys again."""
    for name in (FULLTEXT, CHROMA):
        held = DerivedState.read(store / name)
        if held.identity == state.identity and held.generation > state.generation:
            log.warning("%s is newer than the catalogue; it is written again", store / name)
            DerivedState.forget(store / name)


class DerivedWriter:
    """Keeps the derived indexes of one store in step with its catalogue."""

    def __init__(self, store: Path, catalog: Catalog) -> None:
        """Lets every derived index catch up, except Chroma if it is behind by little; builds again what is lost."""
        self._store, self._catalog = store, catalog
        state = catalog.state()
        self._identity = state.identity
        _discard_newer(store, state)
        self.matrices = self._open_matrices(state)
        self._clear(catalog.removals(DerivedState.read(store / FULLTEXT).generation))
        self.fulltext = self._open_fulltext(state)
        self._chroma: ChromaVectors | None = None
        self._is_settled, self._unrecorded = True, 0
        self._uncommitted, self._committed = 0, time.monotonic()

    def reserve(self, state: State, dimension: int) -> None:
        """Create the matrices of an index that has no vectors yet."""
        if not state.dimension:
            files = [self._store / VECTORS / name for name in matrix_ends(state)]
            for file in files:
                Matrix.create(file, self._identity, dimension)
            self.matrices = Matrices(*(Matrix(file, dimension) for file in files))

    def write_ahead(self, state: State, batch: Sequence[StoredArticle], sources: Mapping[str, int]) -> None:
        """Write vectors and columns before the rows they belong to are committed: who sees these finds the former.

        `state` has the first keys, `sources` the keys of the articles' sources.
        """
        self.matrices.passages.write(state.next_passage, np.concatenate([stored.vectors for stored in batch]))
        self.matrices.articles.write(state.next_article, np.stack([s.vectors.mean(axis=0) for s in batch]))
        rows = [(len(s.passages), date_number(s.article.published), sources[s.article.source]) for s in batch]
        Columns.append(self._store / VECTORS / COLUMNS, state.next_passage, rows)

    def apply(self, removed: Sequence[Removal], added: Sequence[Passage]) -> None:
        """Apply one committed write."""
        self.fulltext.delete(removal.article_id for removal in removed)
        self.fulltext.add(added)
        self._clear(removed)
        self._uncommitted += len(added) + len(removed)
        if self._uncommitted >= COMMIT_PASSAGES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit_words()
        if self._behind(self._catalog.state()) >= CHROMA_BATCH:
            self.update_chroma()

    def _clear(self, removed: Sequence[Removal]) -> None:
        for removal in removed:
            self.matrices.passages.clear(removal.first_passage, removal.passages)
            self.matrices.articles.clear(removal.article_key, 1)

    def commit_words(self) -> None:
        """Make what was written visible to full-text search."""
        state = self._catalog.state()
        folder = self._store / FULLTEXT
        if DerivedState.read(folder).generation != state.generation:
            self.fulltext.commit()
            DerivedState(self._identity, state.generation, state.next_passage - 1).write(folder)
        self._uncommitted, self._committed = 0, time.monotonic()

    def update_chroma(self) -> None:
        """Write to Chroma what it does not have, and delete what was removed since."""
        try:
            self._update_chroma()
        except StoreError as error:
            log.warning("%s", error)
            self._chroma = None
            self._update_chroma()  # opens it anew, or replaces what is damaged

    def _update_chroma(self) -> None:
        state, folder = self._catalog.state(), self._store / CHROMA
        with reserved(folder, wait=True):
            self._is_settled = False
            chroma = self._chroma = self._chroma or self._open_chroma()
            known = chroma.state
            forget_checksums(folder)
            for keys, vectors in self._catalog.vector_pages(known.through, CHROMA_BATCH):
                chroma.upsert(keys, vectors)
                self._unrecorded += len(keys)
            for removal in self._catalog.removals(known.generation):
                # Also what is newer than `through`: an interrupted update may have added it.
                chroma.delete(np.arange(removal.first_passage, removal.first_passage + removal.passages))
            chroma.record(state.generation, state.next_passage - 1)
            self._is_settled = True
            if self._unrecorded >= state.passages * UNRECORDED_SHARE:
                record_checksums(folder)
                self._unrecorded = 0

    def finish(self) -> int:
        """Bring all in step, Chroma if it is far behind; returns the generation that all of them hold."""
        state = self._catalog.state()
        self.commit_words()
        held = DerivedState.read(self._store / CHROMA)
        is_damaged = held.through > 0 and not self._chroma and not is_complete(self._store / CHROMA)
        if is_damaged or self._behind(state) > min(MOST_BEHIND, held.through * BEHIND_SHARE):
            self.update_chroma()
            held = DerivedState.read(self._store / CHROMA)
        return held.generation

    def close(self) -> None:
        """Release the files."""
        if self._chroma:
            self._chroma = None
            if self._is_settled and not has_checksums(self._store / CHROMA):
                record_checksums(self._store / CHROMA)
        self.fulltext.close()

    def _behind(self, state: State) -> int:
        """The passages that Chroma does not have, and those that it has but were removed."""
        held = DerivedState.read(self._store / CHROMA)
        if held.identity != self._identity:
            return state.passages
        return state.next_passage - 1 - held.through + self._catalog.count_removed(held.generation)

    def _open_chroma(self) -> ChromaVectors:
        """The vectors as they are; empty ones if they are lost, damaged or another index's."""
        folder = self._store / CHROMA
        is_known = DerivedState.read(folder).identity == self._identity
        # A process that was killed while it wrote has left no checksums.
        if is_known and (is_intact(folder) or not probe(self._store, search=False)):
            with suppress(StoreError):
                opened = ChromaVectors.open(folder, self._identity)
                if opened:
                    return opened
        if is_known:
            log.warning("%s is damaged; it is written again from the catalogue", folder)
        return ChromaVectors.create(folder, self._identity)

    def _open_matrices(self, state: State) -> Matrices:
        if state.dimension:
            for name, end in matrix_ends(state).items():
                if existing_matrix(self._store, name, state) is None:
                    file, pages = self._store / VECTORS / name, _matrix_pages(self._catalog, name)
                    Matrix.build(file, state.identity, state.dimension, pages, end)
            if not Columns.exists(self._store / VECTORS / COLUMNS, state.next_passage):
                _columns_of(self._catalog, state).save(self._store / VECTORS / COLUMNS)
        return open_matrices(self._store, self._catalog, state)

    def _open_fulltext(self, state: State) -> FullTextIndex:
        """The full text, with all that was written."""
        folder = self._store / FULLTEXT
        fulltext, held = _intact_fulltext(folder, self._catalog), DerivedState.read(folder)
        if fulltext:
            try:
                return self._caught_up(fulltext, held, state)
            except StoreError as error:
                log.warning("%s; it is built again", error)
                fulltext.discard()
        return self._caught_up(FullTextIndex(folder, create=True), DerivedState(state.identity, -1), state)

    def _caught_up(self, fulltext: FullTextIndex, held: DerivedState, state: State) -> FullTextIndex:
        if held.generation != state.generation:
            fulltext.delete(removal.article_id for removal in self._catalog.removals(held.generation))
            for page in self._catalog.passage_pages(held.through):
                fulltext.delete({passage.article_id for passage in page if passage.ordinal == 0})
                fulltext.add(page)
            fulltext.commit()
            DerivedState(state.identity, state.generation, state.next_passage - 1).write(self._store / FULLTEXT)
        return fulltext
