"""Verifies a store: every row of the catalogue, and what each derived index holds of it. Changes nothing."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import func, select, text

from rag.errors import StoreError
from rag.store.catalog.reading import PAGE, Catalog, State
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.salvage import DAMAGE, Salvage, SalvagedArticle
from rag.store.catalog.tables import facets, passages, places
from rag.store.derived.columns import Columns
from rag.store.derived.fulltext import FullTextIndex
from rag.store.derived.matrix import Matrix
from rag.store.derived.probe import LIKE, ChromaFindings, Progress, probe
from rag.store.derived.sync import ARTICLE_MATRIX, COLUMNS, PASSAGE_MATRIX, existing_matrix, matrix_ends
from rag.store.files import CHROMA, FULLTEXT, VECTORS, DerivedState

FEW_UNFOUND, MOST_UNFOUND = 5, 0.01
"""So many passages, and this share of all, may not be found by their own vector: Chroma's search is approximate."""


@dataclass(slots=True)
class Problems:
    """What is wrong with a store, which has so many whole articles and passages.

    Of the catalogue: `pages` are SQLite's own findings, `damaged` the ids of articles whose rows are not as they were
    written, `lost` the number of articles without a row, `stray` that of passages without an article, `vectors` that of
    articles of which only vectors are damaged, `miscounted` names what does not agree with the articles.
    Of the derived indexes: `matrix` counts vectors that are missing or wrong, `columns` articles whose day or source
    is, `unsearchable` passages that the full text does not have, `outdated` those that only it has; `chroma` is what is
    wrong there.
    """

    articles: int = 0
    passages: int = 0
    pages: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    lost: int = 0
    stray: int = 0
    vectors: int = 0
    miscounted: list[str] = field(default_factory=list)
    matrix: int = 0
    columns: int = 0
    unsearchable: int = 0
    outdated: int = 0
    chroma: ChromaFindings = field(default_factory=ChromaFindings)

    @property
    def is_catalog_damaged(self) -> bool:
        """Whether the catalogue has to be replaced by one that holds what is whole of it."""
        return any((self.pages, self.damaged, self.lost, self.stray, self.vectors, self.miscounted))

    @property
    def is_fulltext_damaged(self) -> bool:
        """Whether the full text has to be built again."""
        return any((self.unsearchable, self.outdated))


def verify(folder: Path, store: Path, progress: Progress) -> Problems:
    """Verify a store of an index. Raises StoreError if it has no catalogue."""
    return _Verification(folder, store).run(progress)


class _Verification:
    """One verification: counts what the articles say, and compares everything else with it."""

    def __init__(self, folder: Path, store: Path) -> None:
        self._store, self._salvage = store, Salvage(folder, store)
        self._catalog: Catalog = self._salvage.catalog
        self._problems = Problems()
        self._keys: list[range] = []
        self._article_keys: list[int] = []
        self._sources = Counter[str]()
        self._places = set[tuple[int, int, str, str]]()
        self._matrices: dict[str, Matrix | None] = {}

    def run(self, progress: Progress) -> Problems:
        problems, state = self._problems, self._salvage.state
        problems.pages = self._integrity()
        if state and state.dimension:
            self._matrices = {name: existing_matrix(self._store, name, state) for name in matrix_ends(state)}
        total = state.passages if state else 0
        for article in self._salvage.articles():
            self._count(article)
            progress(problems.passages, max(total, problems.passages) * 2)
        self._compare_counts(state)
        if problems.is_catalog_damaged:
            problems.matrix = problems.columns = 0  # all derived indexes are built again
        elif state and state.dimension:
            self._compare_columns(state)
            self._compare_fulltext()
            half = problems.passages
            problems.chroma = self._within_tolerance(
                probe(self._store, search=True, progress=lambda done, all_: progress(half + done, half + all_))
            )
        return problems

    def _integrity(self) -> list[str]:
        try:
            with self._catalog.reading() as connection:
                found = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check"))]
        except StoreError as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def _count(self, article: SalvagedArticle) -> None:
        problems, stored = self._problems, article.stored
        if stored is None:
            problems.damaged.append(article.article_id)
            return
        problems.articles += 1
        problems.passages += len(stored.passages)
        self._keys.append(article.keys)
        self._article_keys.append(article.key)
        self._sources[stored.article.source] += 1
        own = [(article.article_id, stored.article.origin), *((copy.id, copy.origin) for copy in stored.copies)]
        self._places.update((article.key, number, *place) for number, place in enumerate(own))
        if article.has_vectors and article.keys:
            self._compare_vectors(article, stored)
        elif not article.has_vectors:
            problems.vectors += 1

    def _compare_vectors(self, article: SalvagedArticle, stored: StoredArticle) -> None:
        keys = np.arange(article.keys.start, article.keys.stop)
        mean = stored.vectors.mean(axis=0, keepdims=True)
        pairs = ((PASSAGE_MATRIX, keys, stored.vectors), (ARTICLE_MATRIX, np.array([article.key]), mean))
        for name, rows, vectors in pairs:
            matrix = self._matrices.get(name)
            if matrix is None:
                self._problems.matrix += len(rows)
                continue
            lengths = np.linalg.norm(vectors, axis=1)
            cosines = np.einsum("ij,ij->i", matrix.vectors(rows), vectors)
            self._problems.matrix += int((~(cosines >= LIKE * lengths)).sum())

    def _compare_counts(self, state: State | None) -> None:
        problems = self._problems
        if state is None:
            problems.miscounted.append("the index's own row")
            return
        problems.lost = max(0, state.articles - problems.articles - len(problems.damaged))
        if self._salvage.states() is None:
            problems.miscounted.append("the states of sources")
        if problems.damaged or problems.lost:
            return
        if (state.articles, state.passages) != (problems.articles, problems.passages) or self._keys_reach(state):
            problems.miscounted.append("the numbers of articles and passages")
        with suppress(*DAMAGE), self._catalog.reading() as connection:
            query = select(places.c.article_key, places.c.number, places.c.id, places.c.origin)
            if {tuple(row) for row in connection.execute(query)} != self._places:
                problems.miscounted.append("the places of articles")
            counts = select(facets.c.source, facets.c.articles)
            if {source: n for source, n in connection.execute(counts) if n} != dict(self._sources):
                problems.miscounted.append("the numbers of articles of each source")
            rows = int(connection.execute(select(func.count()).select_from(passages)).scalar_one())
            problems.stray = max(0, rows - problems.passages)

    def _keys_reach(self, state: State) -> bool:
        """Whether a key is used that the state counts as free."""
        last = max((own.stop for own in self._keys), default=0)
        return last > state.next_passage or max(self._article_keys, default=0) >= state.next_article

    def _compare_columns(self, state: State) -> None:
        file = self._store / VECTORS / COLUMNS
        columns = Columns(file if Columns.exists(file, state.next_passage) else None)
        for page in self._catalog.article_rows(PAGE):
            for row in page:
                own = slice(row.first_passage, row.first_passage + row.passages)
                mask = columns.mask(own, (row.published, row.published), [row.source])
                self._problems.columns += len(mask) < row.passages or not mask.all()

    def _compare_fulltext(self) -> None:
        problems, folder = self._problems, self._store / FULLTEXT
        live = {key for own in self._keys for key in own}
        try:
            found, count = self._words(folder)
        except ValueError:
            found, count = set[int](), 0
        problems.unsearchable = len(live - found)
        problems.outdated = len(found - live) + count - len(found)

    def _words(self, folder: Path) -> tuple[set[int], int]:
        """The keys in the full text, and how often there is one; none if it belongs to another index."""
        state = self._salvage.state
        if not state or DerivedState.read(folder).identity != state.identity:
            return set(), 0
        fulltext = FullTextIndex(folder)
        return fulltext.keys(), fulltext.count

    def _within_tolerance(self, found: ChromaFindings) -> ChromaFindings:
        few = max(FEW_UNFOUND, self._problems.passages * MOST_UNFOUND)
        return ChromaFindings(found.broken, found.missing, found.outdated, 0 if found.unfound <= few else found.unfound)


def discard_damaged(store: Path, problems: Problems) -> None:
    """Let the next writer build the derived indexes again that are damaged."""
    if problems.matrix:
        for name in (PASSAGE_MATRIX, ARTICLE_MATRIX):
            (store / VECTORS / name).unlink(missing_ok=True)
    if problems.columns:
        (store / VECTORS / COLUMNS).unlink(missing_ok=True)
    if problems.is_fulltext_damaged:
        DerivedState.forget(store / FULLTEXT)
    if problems.chroma:
        DerivedState.forget(store / CHROMA)
