"""Reads the index: articles and passages from Chroma, their words from tantivy.

Chroma is the source of truth. An article's row is the commit mark: a passage whose digest is not that of its
article's row is not yet, or no longer, part of the index, and readers ignore it. The generation in the articles'
collection metadata grows with every write; readers compare it and reopen, since an open Chroma client does not
find what another process adds. During a write the full text's generation file is one ahead: that marks an interrupted
write, which the next writer repairs. While that file is unchanged, readers skip the comparison.

Never writes. Knows nothing of embedding and of ranking: it receives vectors, and returns similarities and BM25 scores.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from rag.errors import IndexChanging
from rag.models.embedding import Vectors
from rag.schema import Article, ArticleEntry, Copy, Filters, Passage, Query
from rag.store.connection import (
    FULLTEXT_FOLDER,
    PAGE,
    Connection,
    check_built_with,
    connect,
    database_inode,
    pair_in_use,
)
from rag.store.fulltext import FileState, FullTextIndex
from rag.store.rows import entries_from, filter_conditions, passages_from, sentence_vectors_from
from rag.store.vectors import LostVectors, index_changing, store_errors

MAX_COPIES = 20
MAX_ATTEMPTS, RETRY_SECONDS = 5, 0.05
"""Of a reader, while another process changes what it reads."""

log = logging.getLogger(__name__)
retry_while_changing = retry(
    retry=retry_if_exception_type(IndexChanging),
    stop=stop_after_attempt(MAX_ATTEMPTS),
    wait=wait_fixed(RETRY_SECONDS),
    reraise=True,
)
"""Decorator that repeats a reading while another process changes the index; raises IndexChanging in the end."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage's id, its cosine similarity to a question's vector, and its BM25 score (0: no word in common)."""

    passage_id: str
    similarity: float
    bm25: float


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage and the vectors of its sentences, one row each, of length 1."""

    passage: Passage
    sentence_vectors: Vectors


@dataclass(frozen=True, slots=True)
class View:
    """One generation of the index, opened.

    `inode` distinguishes it from an index recreated in its place. `file_state` is that of the full text's generation
    file if no write was under way; as long as it is unchanged, the view is current.
    """

    store: Connection
    fulltext: FullTextIndex
    generation: int
    inode: int
    file_state: FileState | None


class Index:
    """An index, opened for reading; opening and reading change nothing. Safe to share between threads."""

    _counts_passages = True
    """Whether opening counts the full text's passages, which takes a while if there are many."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises IndexMissing, IndexMismatch or StoreError, each with the command that fixes it."""
        self.folder = folder
        self.embedding_model = embedding_model
        self._lock = threading.Lock()
        self._view = self._open()

    @property
    def fulltext(self) -> FullTextIndex:
        """The full-text side of the newest generation."""
        return self._current().fulltext

    @property
    def generation(self) -> int:
        """A number that grows with every write."""
        return self._current().generation

    @property
    def dimension(self) -> int:
        """The number of dimensions of the index's vectors; 0 while it is empty."""
        return int(self._current().store.metadata.get("dimension", 0))

    @retry_while_changing
    def candidates(self, query: Query, vector: Vectors, limit: int) -> list[Candidate]:
        """The passages nearest to a query by vector and those nearest by words, at most `limit` of each.

        `vector` has the shape (dimension,). Only passages that the filters allow are searched; if the query prefers
        articles, at most `limit` of their passages are added.
        """
        with self._reading() as view:
            bm25 = dict(view.fulltext.search(query.question, limit, query.filters, query.carried, query.weight))
            similar = _nearest(view.store, vector, limit, query.filters)
            if query.articles:
                preferred = query.filters.and_also(Filters(article_ids=query.articles))
                similar |= _nearest(view.store, vector, limit, preferred)
            similar |= _similarities(view.store, vector, [i for i in bm25 if i not in similar])
        return [Candidate(i, similarity, bm25.get(i, 0.0)) for i, similarity in similar.items()]

    @retry_while_changing
    def closest(self, vector: Vectors, filters: Filters) -> float:
        """The cosine similarity of the nearest passage that the filters allow; 0 if there is none."""
        with self._reading() as view:
            return max(_nearest(view.store, vector, 1, filters).values(), default=0.0)

    def passages(self, passage_ids: Sequence[str]) -> list[StoredPassage]:
        """The committed passages among these, in the given order.

        If some are gone, another process has replaced them since they were found: then the index is reopened, and
        IndexChanging is raised, so that a new search finds the current ones.
        """
        if not passage_ids:
            return []
        with self._reading() as view:
            rows = view.store.passages.get(passage_ids, "documents", "metadatas")
            if len(rows["ids"]) < len(set(passage_ids)):
                self._reopen(view)
                raise index_changing(self.folder)
            vectors, found = sentence_vectors_from(rows), {p.id: p for p in passages_from(rows)}
            entries = view.store.entries(passage.article_id for passage in found.values())
        committed = {(entry.id, entry.digest) for entry in entries.values()}
        passages = [found[i] for i in passage_ids if i in found]
        return [StoredPassage(p, vectors[p.id]) for p in passages if (p.article_id, p.digest) in committed]

    @retry_while_changing
    def article(self, article_id: str) -> Article | None:
        """An article with its full text; `captions` and `lists` are empty, as they are not stored. None if unknown.

        Raises IndexChanging if some of its passages are missing.
        """
        with self._reading() as view:
            entry = view.store.entries([article_id]).get(article_id)
            rows = view.store.passages.find([{"article_id": article_id}], "documents", "metadatas")
        if not entry:
            return None
        parts = sorted((p for p in passages_from(rows) if p.digest == entry.digest), key=lambda p: p.ordinal)
        if len(parts) != entry.passages:
            raise index_changing(self.folder)
        return Article(
            id=entry.id,
            title=entry.title,
            text="".join(part.text for part in parts),
            source=entry.source,
            url=entry.url,
            author=entry.author,
            published=entry.published,
            origin=entry.origin,
            language=entry.language,
            extra=entry.extra,
        )

    @retry_while_changing
    def elsewhere(self, entry: ArticleEntry) -> tuple[Copy, ...]:
        """Other places of an article: its copies, its near duplicates, and their copies."""
        with self._reading() as view:
            same_group = [{"story": entry.duplicate_group}]
            near = entries_from(view.store.articles.find(same_group, "metadatas", limit=MAX_COPIES))
        others = [e for e in near if e.id != entry.id]
        copies = [copy for e in others for copy in (Copy(e.id, e.origin, e.title, e.source, e.url), *e.copies)]
        # A page that was saved as well as fetched is the same place to a reader.
        places = {(copy.source, copy.url): copy for copy in (*entry.copies, *copies)}
        places.pop((entry.source, entry.url), None)
        return tuple(places.values())[:MAX_COPIES]

    @retry_while_changing
    def related(self, article_id: str, limit: int) -> list[ArticleEntry]:
        """The articles nearest to one by vector, nearest first: one per duplicate group, and none of its own group.

        Empty if the article is unknown, or Chroma has lost vectors.
        """
        with self._reading() as view:
            entry = view.store.entries([article_id]).get(article_id)
            vector = view.store.articles.vectors([article_id])
            if not entry or not vector:
                return []
            try:
                [matches] = view.store.articles.nearest(
                    vector[article_id].reshape(1, -1), limit + MAX_COPIES, with_metadata=True
                )
            except LostVectors:  # the vector of another article is lost, so the nearest ones are unknown
                return []
        near = entries_from({"ids": [m.id for m in matches], "metadatas": [m.metadata or None for m in matches]})
        groups = {e.duplicate_group: e for e in reversed(near) if e.duplicate_group != entry.duplicate_group}
        return list(reversed(groups.values()))[:limit]

    @retry_while_changing
    def article_vectors(self, article_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these articles, by id, without those that are unknown or that Chroma has lost."""
        with self._reading() as view:
            return view.store.articles.vectors(article_ids)

    def articles(self) -> Iterator[ArticleEntry]:
        """All articles, read in pages."""
        with self._reading() as view:
            yield from view.store.all_entries()

    @retry_while_changing
    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """The indexed articles among these, by id."""
        with self._reading() as view:
            return view.store.entries(article_ids)

    @retry_while_changing
    def counts(self) -> tuple[int, int]:
        """The numbers of articles and of passages."""
        with self._reading() as view:
            return view.store.articles.count(), view.store.passages.count()

    def rows(self) -> Iterator[list[tuple[str, Passage | None, Vectors | None]]]:
        """Pages of all passages with their vectors, by id, committed or not; None for what Chroma has lost."""
        with self._reading() as view:
            for page in view.store.passage_pages():
                passages = {passage.id: passage for passage in passages_from(page)}
                vectors = view.store.passages.vectors(page["ids"])
                yield [(i, passages.get(i), vectors.get(i)) for i in page["ids"]]

    def passage_vectors(self, passage_ids: Sequence[str]) -> dict[str, tuple[Vectors, Vectors]]:
        """The vectors of these passages and of their sentences, by id, without those that Chroma has lost."""
        with self._reading() as view:
            vectors = view.store.passages.vectors(passage_ids)
            sentences = sentence_vectors_from(view.store.passages.get(vectors, "metadatas"))
        return {i: (vectors[i], own) for i, own in sentences.items()}

    def articles_without_vector(self) -> list[str]:
        """The articles whose vector Chroma has lost."""
        with self._reading() as view:
            articles = view.store.articles
            pages = ((page["ids"], articles.vectors(page["ids"])) for page in articles.pages(PAGE))
            return [article_id for ids, vectors in pages for article_id in ids if article_id not in vectors]

    def fulltext_ids(self) -> set[str]:
        """The passages in the full text's folder, even if readers do not use it because it is out of step."""
        try:
            return FullTextIndex(self.folder / FULLTEXT_FOLDER).ids()
        except ValueError:
            return set()

    def nearest(self, vectors: Vectors, limit: int) -> list[dict[str, float]]:
        """For each vector the similarity of the nearest passages, by id, committed or not.

        Empty for a vector that Chroma cannot search by, because its graph of vectors refers to a lost one.
        """
        with self._reading() as view:
            try:
                results = view.store.passages.nearest(vectors, limit)
            except LostVectors:  # one such vector fails the whole request
                middle = len(vectors) // 2
                halves = (vectors[:middle], vectors[middle:]) if middle else ()
                return [result for half in halves for result in self.nearest(half, limit)] or [{}]
        return [{match.id: match.similarity for match in matches} for matches in results]

    @contextmanager
    def _reading(self) -> Iterator[View]:
        """The newest generation, with the store's errors as StoreError."""
        with store_errors(self.folder):
            yield self._current()

    def _current(self) -> View:
        view = self._view
        if view.file_state and view.file_state == FullTextIndex.file_state(self.folder / FULLTEXT_FOLDER):
            return view
        with store_errors(self.folder):
            # The file first: without it, Chroma fails whenever it has no open connection left.
            newest = (database_inode(self.folder), *pair_in_use(view.store.database, self.folder))
        return view if newest == (view.inode, view.store.articles.name, view.generation) else self._reopen(view)

    def _reopen(self, stale: View) -> View:
        with self._lock:
            if self._view is stale:
                self._view = self._open()
            return self._view

    @retry_while_changing
    def _open(self) -> View:
        folder = self.folder / FULLTEXT_FOLDER
        for _ in range(MAX_ATTEMPTS):
            inode, state, store = database_inode(self.folder), FullTextIndex.file_state(folder), connect(self.folder)
            with store_errors(self.folder):
                check_built_with(store.metadata, self.embedding_model, self.folder)
                fulltext = _fulltext_in_folder(folder, store, counted=self._counts_passages)
            if fulltext or FullTextIndex.file_state(folder) == state:
                break
            time.sleep(RETRY_SECONDS)  # another process writes, and what was read first is out of date
        unwritten = state if state and state[0] == store.generation else None
        return View(store, fulltext or _fulltext_in_memory(store, self.folder), store.generation, inode, unwritten)


def _fulltext_in_folder(folder: Path, store: Connection, *, counted: bool) -> FullTextIndex | None:
    # During a write the generation file is one ahead, and the full text may differ from the articles' rows.
    writing = FullTextIndex.read_generation(folder) == store.generation + 1
    passages = store.passages.count() if counted and not writing else None
    return FullTextIndex.open_current(folder, store.generation + writing, passages)


def _fulltext_in_memory(store: Connection, folder: Path) -> FullTextIndex:
    log.info("building the full-text index of %s in memory", folder)
    fulltext = FullTextIndex()
    with store_errors(folder):
        fulltext.replace([], store.committed_passages())
    return fulltext


def _nearest(store: Connection, vector: Vectors, limit: int, filters: Filters) -> dict[str, float]:
    """The similarity of the nearest passages, by id."""
    [matches] = store.passages.nearest(vector.reshape(1, -1), limit, filter_conditions(filters))
    return {match.id: match.similarity for match in matches}


def _similarities(store: Connection, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
    """The similarity of these passages to a vector, by id; unknown ids are left out."""
    if not passage_ids:
        return {}
    rows = store.passages.get(passage_ids, "embeddings")
    return {i: float(np.dot(own, vector)) for i, own in zip(rows["ids"], rows["embeddings"], strict=True)}
