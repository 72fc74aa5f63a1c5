"""Reads the index: finds passages by vector, words and filters, and returns articles and passages.

The catalogue is the source of truth. What the derived indexes find is looked up there: a passage that was removed
since is left out, and one that was added since is found by exact search. Readers never wait for a writer.

Never writes. Knows nothing of embedding and of ranking: it receives vectors, and returns similarities and BM25 scores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.schema import Article, ArticleEntry, Copy, Filters, Query
from rag.store.catalog.listing import Listing
from rag.store.catalog.quantization import Keys
from rag.store.catalog.reading import Catalog, State, check_built_with
from rag.store.catalog.rows import StoredPassage, article_from, date_number
from rag.store.derived.columns import Columns
from rag.store.derived.dense import DenseIndex
from rag.store.derived.fulltext import FullTextIndex
from rag.store.derived.matrix import Matrix
from rag.store.derived.scan import Mask
from rag.store.derived.sync import open_columns, open_fulltext, open_matrices
from rag.store.files import CATALOG, FULLTEXT, POINTER, DerivedState, store_in_use
from rag.store.hints import repair_hint

MAX_COPIES = 20
MAX_SOURCES = 10_000
MAX_READINGS = 10
"""Of an article that another process changes meanwhile."""
SPARE = 10
"""Passages that are requested where one is wanted, since some may have been removed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage's key, its cosine similarity to a question's vector, and its BM25 score (0: no word in common)."""

    key: int
    similarity: float
    bm25: float


@dataclass(slots=True)
class Store:
    """One store, opened; `pointer` is the state of the file that names it, `sources` are those of a generation.

    `generation` is the last write that it has if vectors or columns are in memory, since their files were missing.
    """

    folder: Path
    pointer: tuple[int, int]
    generation: int | None
    catalog: Catalog
    dense: DenseIndex
    columns: Columns
    article_vectors: Matrix
    fulltext: FullTextIndex
    fulltext_state: DerivedState
    sources: tuple[int, tuple[str, ...]] = (-1, ())

    @property
    def is_current(self) -> bool:
        """Whether what is in memory is up to date; files always are."""
        return self.generation is None or self.generation == self.catalog.state().generation


class Index:
    """An index, opened for reading; opening and reading change nothing. Safe to share between threads."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises IndexMissing, IndexMismatch or StoreError, each with the command that fixes it."""
        self.folder = folder
        self.embedding_model = embedding_model
        self._lock = threading.Lock()
        self._store = self._open()

    @property
    def fulltext(self) -> FullTextIndex:
        """The full-text side, with all that was written to it."""
        return self._fulltext(self._current())

    @property
    def generation(self) -> int:
        """A number that grows with every write."""
        return self._state().generation

    @property
    def dimension(self) -> int:
        """The number of dimensions of the index's vectors; 0 while it is empty."""
        return self._state().dimension

    @property
    def listing(self) -> Listing:
        """Lists of the articles: searched, sorted, counted."""
        return Listing(self._current().catalog)

    def candidates(self, query: Query, vector: Vectors, limit: int) -> list[Candidate]:
        """The passages nearest to a query by vector and those nearest by words, about `limit` of each.

        `vector` has the shape (dimension,). Only passages that the filters allow are searched; if the query prefers
        articles, at most `limit` of their passages are added.
        """
        store = self._current()
        words = self._fulltext(store)
        bm25 = dict(words.search(query.question, limit, query.filters, query.carried, query.weight))
        similar = self._nearest(store, vector, limit, query.filters)
        if query.articles:
            preferred = query.filters.and_also(Filters(article_ids=query.articles))
            similar |= self._nearest(store, vector, limit, preferred)
        others = np.array([key for key in bm25 if key not in similar], dtype=np.int64)
        similar |= _scores(others, store.dense.similarities(vector, others))
        existing = store.catalog.existing(list(similar))
        return [Candidate(key, value, bm25.get(key, 0.0)) for key, value in similar.items() if key in existing]

    def closest(self, vector: Vectors, filters: Filters) -> float:
        """The cosine similarity of the nearest passage that the filters allow; 0 if there is none."""
        store = self._current()
        near = self._nearest(store, vector, SPARE, filters)
        existing = store.catalog.existing(list(near))
        return max((value for key, value in near.items() if key in existing), default=0.0)

    def passages(self, keys: Sequence[int]) -> list[StoredPassage]:
        """The passages among these keys, in the given order, without those that have been removed."""
        return self._current().catalog.passages(keys) if keys else []

    def article(self, article_id: str) -> Article | None:
        """An article with its full text; `captions` and `lists` are empty, as they are not stored. None if unknown.

        Raises StoreError if it lacks passages.
        """
        catalog = self._current().catalog
        for _ in range(MAX_READINGS):
            parts, entry = catalog.passages_of(article_id), catalog.entries([article_id]).get(article_id)
            if not entry:
                return None
            if parts and parts[0].passage.digest == entry.digest:  # it has not changed between the two statements
                return article_from(entry, [part.passage for part in parts])
        raise StoreError(f"the article {article_id} is damaged in {self.folder}; {repair_hint(self.folder)}")

    def elsewhere(self, entry: ArticleEntry) -> tuple[Copy, ...]:
        """Other places of an article: its copies, its near duplicates, and their copies."""
        near = self._current().catalog.find_by_group(entry.duplicate_group, MAX_COPIES)
        others = [e for e in near if e.id != entry.id]
        copies = [copy for e in others for copy in (Copy(e.id, e.origin, e.title, e.source, e.url), *e.copies)]
        # A page that was saved as well as fetched is the same place to a reader.
        places = {(copy.source, copy.url): copy for copy in (*entry.copies, *copies)}
        places.pop((entry.source, entry.url), None)
        return tuple(places.values())[:MAX_COPIES]

    def related(self, article_id: str, limit: int) -> list[ArticleEntry]:
        """The articles nearest to one by vector, nearest first: one per duplicate group, and none of its own group.

        Empty if the article is unknown.
        """
        store, own = self._current(), self.article_vectors([article_id]).get(article_id)
        if own is None:
            return []
        end = store.catalog.state().next_article
        keys, _ = store.article_vectors.nearest(own, limit + MAX_COPIES, np.arange(1, end))
        found = store.catalog.find_by_key(keys.tolist())
        near = [found[key] for key in keys.tolist() if key in found]
        group = next((e.duplicate_group for e in near if e.id == article_id), "")
        groups = {e.duplicate_group: e for e in reversed(near) if e.duplicate_group != group and e.id != article_id}
        return list(reversed(groups.values()))[:limit]

    def article_vectors(self, article_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these articles, by id, without those that are unknown."""
        store = self._current()
        keys = {article_id: key for article_id, (key, _, _) in store.catalog.article_keys(article_ids).items()}
        vectors = store.article_vectors.vectors(np.array(list(keys.values()), dtype=np.int64))
        return dict(zip(keys, vectors, strict=True))

    def articles(self) -> Iterator[ArticleEntry]:
        """All articles, read in pages."""
        return self._current().catalog.all_entries()

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """The indexed articles among these, by id."""
        return self._current().catalog.entries(article_ids)

    def counts(self) -> tuple[int, int]:
        """The numbers of articles and of passages."""
        state = self._state()
        return state.articles, state.passages

    def sources(self) -> list[str]:
        """The sources of the articles, most frequent first."""
        store, generation = self._current(), self.generation
        if store.sources[0] != generation:
            store.sources = generation, tuple(source for source, _ in Listing(store.catalog).by_source(MAX_SOURCES))
        return list(store.sources[1])

    def published(self) -> tuple[date, date] | None:
        """The first and the last day of publication; None if no article has a date."""
        return self._current().catalog.published()

    def open_vectors(self, *, wait: bool = False) -> None:
        """Open Chroma's vectors in the background, as a process does that will answer many questions."""
        dense = self._current().dense
        dense.open_in_background()
        if wait:
            dense.wait_until_open()

    def _fulltext(self, store: Store) -> FullTextIndex:
        """The full text of a store, opened again if more was written to it; not if it has been deleted."""
        newest = DerivedState.read(store.folder / FULLTEXT)
        if newest.identity and newest != store.fulltext_state:
            with self._lock:
                if newest != store.fulltext_state:  # no other thread has opened it meanwhile
                    store.fulltext, store.fulltext_state = open_fulltext(store.folder, store.catalog), newest
        return store.fulltext

    def _nearest(self, store: Store, vector: Vectors, limit: int, filters: Filters) -> dict[int, float]:
        """The passages nearest to a vector that the filters allow, with their similarities; some may be removed."""
        end = store.catalog.state().next_passage
        if filters.article_ids:
            keys = store.catalog.passage_keys(filters.article_ids)
            allowed = self._allowed(store, keys, filters)
            return _scores(*store.dense.among(vector, limit, keys if allowed is None else keys[allowed]))
        return _scores(*store.dense.nearest(vector, limit, end, self._allowed(store, slice(0, end), filters)))

    def _allowed(self, store: Store, keys: Keys | slice, filters: Filters) -> Mask | None:
        """Which of these passages the filters on days and sources allow; None if they allow all."""
        first, last = filters.published_after, filters.published_before
        if not (first or last or filters.sources):
            return None
        # Articles without a date have the number 0, below that of any day.
        days = (date_number(first or date.min), date_number(last or date.max)) if first or last else None
        sources = store.catalog.source_keys(filters.sources).values() if filters.sources else None
        return store.columns.mask(keys, days, sources)

    def _state(self) -> State:
        return self._current().catalog.state()

    def _current(self) -> Store:
        """The store in use; opened again if another is in use or in its place, or parts in memory are out of date."""
        store = self._store
        if _pointer(self.folder) == store.pointer and store.is_current:
            return store
        with self._lock:
            if self._store is store:
                self._store = self._open()
            return self._store

    def _open(self) -> Store:
        pointer, folder = _pointer(self.folder), store_in_use(self.folder)
        catalog = Catalog(self.folder, folder / CATALOG)
        state = catalog.state()
        check_built_with(state, self.embedding_model, self.folder)
        matrices, newest = open_matrices(folder, catalog, state), DerivedState.read(folder / FULLTEXT)
        fulltext, columns = open_fulltext(folder, catalog), open_columns(folder, catalog, state)
        dense = DenseIndex(folder, state.identity, matrices.passages)
        in_memory = columns.is_in_memory or matrices.passages.is_in_memory or matrices.articles.is_in_memory
        generation = state.generation if in_memory else None
        return Store(folder, pointer, generation, catalog, dense, columns, matrices.articles, fulltext, newest)


def _pointer(folder: Path) -> tuple[int, int]:
    """The state of the file that names the store in use; zeros if there is none."""
    try:
        status = (folder / POINTER).stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def _scores(keys: Keys, similarities: npt.NDArray[np.float32]) -> dict[int, float]:
    return dict(zip(keys.tolist(), similarities.tolist(), strict=True))
