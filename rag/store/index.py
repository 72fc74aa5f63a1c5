"""The index: articles and passages in Chroma, their words in tantivy.

Chroma is the source of truth. An article's row is the commit mark: a passage whose digest is not that of its
article's row is not yet, or no longer, part of the index, and readers drop it. The generation in the articles'
collection metadata grows with every write; readers compare it and reopen, since an open Chroma client does not
find what another process adds. The full-text folder's stamp runs one ahead while a write is under way: that is how
an interrupted one is known, and mended by the next writer. A stamp that nobody touched saves readers the comparison.

The collections come in pairs. A rebuild fills a new pair beside the one in use, and the last thing it does is to mark
it as built: of those that are, the newest is the index.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from rag.errors import IndexChanging
from rag.models.embedding import Vectors
from rag.schema import Article, ArticleEntry, Copy, Filters, Passage, Query
from rag.store.connection import (
    FULLTEXT_FOLDER,
    PAGE,
    Connection,
    all_entries,
    check_made_with,
    committed_passages,
    connect,
    database_file_number,
    found_pages,
    newest,
    whole_fulltext,
)
from rag.store.fulltext import FullTextIndex
from rag.store.rows import (
    SENTENCE_VECTORS,
    conditions,
    entries,
    passages,
    unpacked,
)
from rag.store.vectors import (
    LostVectors,
    changing,
    store_errors,
)

MOST_ELSEWHERE = 20
MAX_ATTEMPTS, RETRY_SECONDS = 5, 0.05
"""How often, and after what a wait, a reader looks again at what another process is just writing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage's id, its cosine similarity to a question's vector, and its BM25 (0: no word in common)."""

    passage_id: str
    similarity: float
    bm25: float


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage and the vectors of its sentences, of length 1, a row each."""

    passage: Passage
    sentence_vectors: Vectors


Given = ParamSpec("Given")
Seen = TypeVar("Seen")


def retry_while_changing(look: Callable[Given, Seen]) -> Callable[Given, Seen]:
    """A look at the index that is repeated while another process changes it; raises IndexChanging in the end."""

    @wraps(look)
    def looked(*given: Given.args, **named: Given.kwargs) -> Seen:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return look(*given, **named)
            except IndexChanging:
                time.sleep(RETRY_SECONDS)
        return look(*given, **named)

    return looked


@dataclass(frozen=True, slots=True)
class View:
    """One generation of the index; `file` tells an index from another one made in its place.

    `mark` is that of the full text's stamp where it says that nothing was written since; otherwise None.
    """

    store: Connection
    fulltext: FullTextIndex
    generation: int
    file: int
    mark: tuple[int, int] | None


class Index:
    """An index, opened for reading; opening and reading change nothing. Safe to share between threads."""

    _counts = True
    """Whether the full text's passages are counted when it is opened, which takes a while where there are many."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises IndexMissing, IndexMismatch or StoreError, each naming the command that mends it."""
        self.folder = folder
        self.embedding_model = embedding_model
        self._lock = threading.Lock()
        self._view = self._open()

    @property
    def fulltext(self) -> FullTextIndex:
        """The full-text side, of the newest generation."""
        return self._fresh().fulltext

    @retry_while_changing
    def candidates(self, query: Query, vector: Vectors, limit: int) -> list[Candidate]:
        """The passages nearest to a query in meaning and those nearest in words, at most `limit` of each.

        `vector` has the shape (dimension,). Passages that the filters leave out are not looked at; those of the
        articles the query prefers are among the candidates, at most `limit` of them.
        """
        view = self._fresh()
        bm25 = dict(view.fulltext.search(query.question, limit, query.filters, query.carried, query.weight))
        with store_errors(self.folder):
            near = _nearest(view.store, vector, limit, query.filters)
            if query.articles:
                preferred = query.filters.and_also(Filters(article_ids=query.articles))
                near |= _nearest(view.store, vector, limit, preferred)
            near |= _similarities(view.store, vector, [i for i in bm25 if i not in near])
        return [Candidate(passage_id, similarity, bm25.get(passage_id, 0.0)) for passage_id, similarity in near.items()]

    @retry_while_changing
    def closest(self, vector: Vectors, filters: Filters) -> float:
        """The cosine similarity of the nearest passage that the filters allow; 0 if there is none."""
        with store_errors(self.folder):
            return max(_nearest(self._fresh().store, vector, 1, filters).values(), default=0.0)

    def passages(self, passage_ids: Sequence[str]) -> list[StoredPassage]:
        """Those of these passages that are committed, in the order asked for.

        Where some are gone, another process has replaced them since they were found: IndexChanging is raised, once the
        index is opened anew, and looking for them again finds what is there now.
        """
        if not passage_ids:
            return []
        view = self._fresh()
        with store_errors(self.folder):
            found = view.store.passages.get(passage_ids, "documents", "metadatas")
        if len(found["ids"]) < len(set(passage_ids)):
            self._reopened(view)
            raise changing(self.folder)
        rows = zip(found["ids"], found["metadatas"], strict=True)
        vectors = {i: unpacked(str(row[SENTENCE_VECTORS])) for i, row in rows if row}
        stored = {p.id: StoredPassage(p, vectors[p.id]) for p in passages(found)}
        return self._live(view, [stored[passage_id] for passage_id in passage_ids if passage_id in stored])

    @retry_while_changing
    def article(self, article_id: str) -> Article | None:
        """An article with its full text, joined from its passages, but without its captions; None if unknown.

        Raises IndexChanging where some of its passages are not there.
        """
        view = self._fresh()
        with store_errors(self.folder):
            known = entries(view.store.articles.get([article_id], "metadatas"))
            found = view.store.passages.find([{"article_id": article_id}], "documents", "metadatas")
        if not known:
            return None
        entry = known[0]
        parts = sorted((p for p in passages(found) if p.digest == entry.digest), key=lambda p: p.ordinal)
        if len(parts) != entry.passages:
            raise changing(self.folder)
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
        """Where else an article's story stands: its copies, and the articles that tell it in nearly the same words."""
        view = self._fresh()
        with store_errors(self.folder):
            of_it = [{"story": entry.duplicate_group}]
            found = entries(view.store.articles.find(of_it, "metadatas", limit=MOST_ELSEWHERE))
        others = [e for e in found if e.id != entry.id]
        near = [place for e in others for place in (Copy(e.id, e.origin, e.title, e.source, e.url), *e.copies)]
        # A page that was saved as well as fetched is no other place to its reader.
        elsewhere = {(place.source, place.url): place for place in (*entry.copies, *near)}
        elsewhere.pop((entry.source, entry.url), None)
        return tuple(elsewhere.values())[:MOST_ELSEWHERE]

    @retry_while_changing
    def related(self, article_id: str, limit: int) -> list[ArticleEntry]:
        """The articles nearest to one in meaning, the nearest first, each story once and without its own.

        None where the article is unknown, or Chroma has lost its vector.
        """
        view = self._fresh()
        own = self._entries(view, [article_id])
        with store_errors(self.folder):
            vector = view.store.articles.vectors([article_id])
            if not own or not vector:
                return []
            try:
                [found] = view.store.articles.nearest(
                    vector[article_id].reshape(1, -1), limit + MOST_ELSEWHERE, with_rows=True
                )
            except LostVectors:  # another article's vector is lost, and what is near cannot be told
                return []
        near = entries({"ids": [one.id for one in found], "metadatas": [one.row or None for one in found]})
        stories = {
            entry.duplicate_group: entry
            for entry in reversed(near)
            if entry.duplicate_group != own[article_id].duplicate_group
        }
        return list(reversed(stories.values()))[:limit]

    @retry_while_changing
    def article_vectors(self, article_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these articles, by id; those that are unknown, or that Chroma has lost, are left out."""
        view = self._fresh()
        with store_errors(self.folder):
            return view.store.articles.vectors(article_ids)

    def articles(self) -> Iterator[ArticleEntry]:
        """All articles, page by page."""
        view = self._fresh()
        with store_errors(self.folder):
            yield from all_entries(view.store)

    @retry_while_changing
    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those of these articles that are indexed, by id."""
        return self._entries(self._fresh(), article_ids)

    @retry_while_changing
    def counts(self) -> tuple[int, int]:
        """How many articles and how many passages there are."""
        view = self._fresh()
        with store_errors(self.folder):
            return view.store.articles.count(), view.store.passages.count()

    @property
    def generation(self) -> int:
        """A number that grows with every write."""
        return self._fresh().generation

    @property
    def dimension(self) -> int:
        """Numbers in a vector, as the index says of itself; 0 while it is empty."""
        return int(self._fresh().store.metadata.get("dimension", 0))

    def rows(self) -> Iterator[list[tuple[str, Passage | None, Vectors | None]]]:
        """All passages by id with their vectors, page by page, committed or not; None for what Chroma lost."""
        view = self._fresh()
        with store_errors(self.folder):
            for found in found_pages(view.store):
                known = {passage.id: passage for passage in passages(found)}
                vectors = view.store.passages.vectors(found["ids"])
                yield [(i, known.get(i), vectors.get(i)) for i in found["ids"]]

    def passage_vectors(self, passage_ids: Sequence[str]) -> dict[str, tuple[Vectors, Vectors]]:
        """The vectors of these passages and those of their sentences, by id; without those that Chroma lost."""
        view = self._fresh()
        with store_errors(self.folder):
            vectors = view.store.passages.vectors(passage_ids)
            found = view.store.passages.get(vectors, "metadatas")
        rows = zip(found["ids"], found["metadatas"], strict=True)
        return {i: (vectors[i], unpacked(str(row[SENTENCE_VECTORS]))) for i, row in rows if row}

    def articles_without_vector(self) -> list[str]:
        """The articles whose own vector Chroma lost."""
        view, lost = self._fresh(), list[str]()
        with store_errors(self.folder):
            for page in view.store.articles.pages(PAGE):
                ids = page["ids"]
                vectors = view.store.articles.vectors(ids)
                lost += [article_id for article_id in ids if article_id not in vectors]
        return lost

    def fulltext_ids(self) -> set[str]:
        """The passages in the full text's folder, which a reader does not use where it is out of step."""
        try:
            return FullTextIndex(self.folder / FULLTEXT_FOLDER).ids()
        except ValueError:
            return set()

    def nearest(self, vectors: Vectors, limit: int) -> list[dict[str, float]]:
        """For each vector the nearest passages by id, committed or not, with their similarity.

        None at all for one that Chroma cannot search by, since its graph of vectors leads to what is no longer there.
        """
        view = self._fresh()
        with store_errors(self.folder):
            try:
                found = view.store.passages.nearest(vectors, limit)
            except LostVectors:  # one such vector spoils all that were asked with it
                middle = len(vectors) // 2
                return (
                    [*self.nearest(vectors[:middle], limit), *self.nearest(vectors[middle:], limit)] if middle else [{}]
                )
        return [{near.id: near.similarity for near in one} for one in found]

    def _entries(self, view: View, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        with store_errors(self.folder):
            found = view.store.articles.get(article_ids, "metadatas")
        return {entry.id: entry for entry in entries(found)}

    def _live(self, view: View, stored: list[StoredPassage]) -> list[StoredPassage]:
        """Those whose passage belongs to the version of its article that was committed last."""
        known = self._entries(view, [s.passage.article_id for s in stored])
        live = {(entry.id, entry.digest) for entry in known.values()}
        return [s for s in stored if (s.passage.article_id, s.passage.digest) in live]

    def _fresh(self) -> View:
        view = self._view
        if view.mark and view.mark == FullTextIndex.mark(self.folder / FULLTEXT_FOLDER):
            return view
        with store_errors(self.folder):
            current = (*newest(view.store.database, self.folder), database_file_number(self.folder))
        return view if current == (view.store.articles.name, view.generation, view.file) else self._reopened(view)

    def _reopened(self, stale: View) -> View:
        with self._lock:
            if self._view is stale:
                self._view = self._open()
            return self._view

    @retry_while_changing
    def _open(self) -> View:
        folder = self.folder / FULLTEXT_FOLDER
        for left in reversed(range(MAX_ATTEMPTS)):
            file, mark, store = database_file_number(self.folder), FullTextIndex.mark(folder), connect(self.folder)
            with store_errors(self.folder):
                check_made_with(store.metadata, self.embedding_model, self.folder)
                generation = int(store.metadata.get("generation", 0))
                fulltext = _stored_lexical(folder, generation, store, counted=self._counts)
            if fulltext or not left or FullTextIndex.mark(folder) == mark:
                break
            time.sleep(RETRY_SECONDS)  # another process writes, and what was looked at first is out of date
        unwritten = mark if mark and mark[0] == generation else None
        return View(store, fulltext or _lexical_in_memory(store, self.folder), generation, file, unwritten)


def _stored_lexical(folder: Path, generation: int, store: Connection, *, counted: bool) -> FullTextIndex | None:
    # While a write is under way its stamp is one ahead, and what it holds is not what the articles' rows say.
    writing = FullTextIndex.stamp(folder) == generation + 1
    passages = store.passages.count() if counted and not writing else None
    return whole_fulltext(folder, generation + writing, passages)


def _lexical_in_memory(store: Connection, folder: Path) -> FullTextIndex:
    log.info("building the full-text index of %s in memory", folder)
    fulltext = FullTextIndex()
    with store_errors(folder):
        fulltext.replace([], committed_passages(store))
    return fulltext


def _nearest(store: Connection, vector: Vectors, limit: int, filters: Filters) -> dict[str, float]:
    """Ids of the nearest passages with their similarity."""
    [found] = store.passages.nearest(vector.reshape(1, -1), limit, conditions(filters))
    return {near.id: near.similarity for near in found}


def _similarities(store: Connection, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
    """These passages' similarity to a vector; an id that is gone is left out."""
    if not passage_ids:
        return {}
    found = store.passages.get(passage_ids, "embeddings")
    return {i: float(np.dot(own, vector)) for i, own in zip(found["ids"], found["embeddings"], strict=True)}
