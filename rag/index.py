"""The index: articles and passages in Chroma, their words in tantivy. The only file that imports chromadb.

Chroma is the source of truth. An article's row is written last: it is the commit mark, and passages whose digest
is not that of their article's row are leftovers of an interrupted write, which no reader gets to see. The
generation in the articles' collection metadata grows with every write; readers compare it and reopen, since an
open Chroma client does not find what another process adds.
"""

from __future__ import annotations

import json
import logging
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.lexical import LexicalIndex
from rag.models import Vectors
from rag.schema import Article, ArticleEntry, Passage

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

FORMAT = 1
"""Raised when what is stored of a passage or an article changes its meaning."""
PAGE = 1000
LEXICAL_FOLDER = "lexical"
LOCK_FILE = "write.lock"
DATABASE = "chroma.sqlite3"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with all that is written for it: its passages and their vectors, row by row."""

    article: Article
    passages: Sequence[Passage]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Near:
    """A passage and its vector's cosine similarity to the one asked for."""

    passage: Passage
    similarity: float


@dataclass(frozen=True, slots=True)
class _View:
    """One generation of the index, as a reader sees it."""

    client: ClientAPI
    passages: Collection
    articles: Collection
    lexical: LexicalIndex
    generation: int


class Index:
    """An index, opened for reading; opening and reading write nothing. Safe to share between threads."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises IndexMissing, IndexMismatch or StoreError, each naming the command that mends it."""
        self.folder = folder
        self.embedding_model = embedding_model
        self._lock = threading.Lock()
        self._view = self._open()

    @property
    def lexical(self) -> LexicalIndex:
        """The full-text side, of the newest generation."""
        return self._fresh().lexical

    def nearest(self, vector: Vectors, limit: int) -> list[Near]:
        """The passages most similar to a vector of shape (dimension,), most similar first."""
        view = self._fresh()
        with _store_errors(self.folder):
            limit = min(limit, view.passages.count())
            if not limit:
                return []
            found = view.passages.query(
                query_embeddings=vector.reshape(1, -1), n_results=limit, include=["documents", "metadatas", "distances"]
            )
        rows = zip(found["ids"][0], found["documents"][0], found["metadatas"][0], strict=True)  # type: ignore[index]
        passages = [_passage(*row) for row in rows]
        similar = [1 - float(distance) for distance in found["distances"][0]]  # type: ignore[index]
        live = self._live(view, passages)
        return [Near(p, s) for p, s in zip(passages, similar, strict=True) if p.id in live]

    def compare(self, vector: Vectors, passage_ids: Sequence[str]) -> list[Near]:
        """These passages and their similarity to a vector, in no particular order; unknown ids are left out."""
        if not passage_ids:
            return []
        view = self._fresh()
        with _store_errors(self.folder):
            found = view.passages.get(ids=list(passage_ids), include=["documents", "metadatas", "embeddings"])
        passages = _passages(found)
        vectors = np.asarray(found["embeddings"], dtype=np.float32).reshape(len(passages), -1)
        live = self._live(view, passages)
        similar = vectors @ vector if len(passages) else np.zeros(0)
        return [Near(p, float(s)) for p, s in zip(passages, similar, strict=True) if p.id in live]

    def article(self, article_id: str) -> Article | None:
        """An article with its full text, joined from its passages; None if there is none of this id."""
        view = self._fresh()
        with _store_errors(self.folder):
            entries = _entries(view.articles.get(ids=[article_id], include=["metadatas"]))
            found = view.passages.get(where={"article_id": article_id}, include=["documents", "metadatas"])
        if not entries:
            return None
        entry = entries[0]
        parts = sorted((p for p in _passages(found) if p.digest == entry.digest), key=lambda p: p.ordinal)
        text = "".join(part.text for part in parts)
        return Article(
            entry.id, entry.title, text, entry.source, entry.url, entry.author, entry.published, entry.origin
        )

    def articles(self) -> Iterator[ArticleEntry]:
        """All articles, page by page."""
        view = self._fresh()
        for offset in range(0, view.articles.count(), PAGE):
            yield from _entries(view.articles.get(limit=PAGE, offset=offset, include=["metadatas"]))

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those of these articles that are indexed, by id."""
        return self._entries(self._fresh(), article_ids)

    def counts(self) -> tuple[int, int]:
        """How many articles and how many passages there are."""
        view = self._fresh()
        return view.articles.count(), view.passages.count()

    def _entries(self, view: _View, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        if not article_ids:
            return {}
        with _store_errors(self.folder):
            found = view.articles.get(ids=list(dict.fromkeys(article_ids)), include=["metadatas"])
        return {entry.id: entry for entry in _entries(found)}

    def _live(self, view: _View, passages: Sequence[Passage]) -> set[str]:
        entries = self._entries(view, [passage.article_id for passage in passages])
        return {p.id for p in passages if p.article_id in entries and entries[p.article_id].digest == p.digest}

    def _fresh(self) -> _View:
        view = self._view
        with _store_errors(self.folder):
            if _generation(view.client) == view.generation:
                return view
        with self._lock:
            if self._view is view:
                self._view = self._open(reopen=True)
            return self._view

    def _open(self, *, reopen: bool = False) -> _View:
        if not (self.folder / DATABASE).is_file():
            raise IndexMissing(_no_index(self.folder))
        client = _connect(self.folder, reopen=reopen)
        try:
            articles, passages = (_collection(client, name) for name in ("articles", "passages"))
        except LookupError as error:
            raise IndexMissing(_no_index(self.folder)) from error
        _check(articles.metadata or {}, self.embedding_model, self.folder)
        generation = _generation(client)
        lexical = _open_lexical(self.folder / LEXICAL_FOLDER, generation, passages)
        return _View(client, passages, articles, lexical, generation)


class IndexWriter(Index):
    """An index, opened for writing by this process alone. Made by `open_for_writing`."""

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add these articles, or replace them; each is findable, with its text, once this returns.

        In this order, so that a process killed at any point leaves either the old version or none, to be written
        again by the next run: passages, full text, superseded passages out, article rows.
        """
        view = self._fresh()
        ids = [stored.article.id for stored in batch]
        old = self._passage_ids(view, ids)
        passages = [passage for stored in batch for passage in stored.passages]
        vectors = np.concatenate([stored.vectors for stored in batch])
        self._check_dimension(view, vectors.shape[1])
        with _store_errors(self.folder):
            for part in _parts(view.client, len(passages)):
                view.passages.upsert(
                    ids=[passage.id for passage in passages[part]],
                    embeddings=vectors[part],
                    documents=[passage.text for passage in passages[part]],
                    metadatas=[_passage_row(passage) for passage in passages[part]],
                )
            view.lexical.replace(ids, passages, view.generation + 1)
            self._drop_passages(view, sorted(old - {passage.id for passage in passages}))
            view.articles.upsert(
                ids=ids,
                embeddings=np.stack([stored.vectors.mean(axis=0) for stored in batch]),
                metadatas=[_article_row(stored) for stored in batch],
            )
        self._commit(view, dimension=vectors.shape[1])

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove these articles with all that belongs to them; returns how many there were."""
        view = self._fresh()
        known = list(self.entries(article_ids))
        if not known:
            return 0
        with _store_errors(self.folder):
            self._drop_passages(view, sorted(self._passage_ids(view, known)))
            view.lexical.replace(known, [], view.generation + 1)
            for part in _parts(view.client, len(known)):
                view.articles.delete(ids=known[part])
        self._commit(view)
        return len(known)

    def _passage_ids(self, view: _View, article_ids: Sequence[str]) -> set[str]:
        of_these = {"article_id": {"$in": [*article_ids]}}
        with _store_errors(self.folder):
            found = view.passages.get(where=of_these, include=[])  # type: ignore[arg-type]  # a union too wide to infer
        return set(found["ids"])

    def _drop_passages(self, view: _View, ids: Sequence[str]) -> None:
        for part in _parts(view.client, len(ids)):
            view.passages.delete(ids=list(ids[part]))

    def _check_dimension(self, view: _View, dimension: int) -> None:
        known = (view.articles.metadata or {}).get("dimension", dimension)
        if known != dimension:
            raise IndexMismatch(
                f"the vectors in {self.folder} have {known} numbers, those of {self.embedding_model} {dimension}; "
                f"{_ingest_anew(self.folder)}"
            )

    def _commit(self, view: _View, **made_with: int) -> None:
        generation = view.generation + 1
        with _store_errors(self.folder):
            metadata = {**(view.articles.metadata or {}), **made_with, "generation": generation}
            view.articles.modify(metadata=metadata)
        self._view = _View(view.client, view.passages, view.articles, view.lexical, generation)


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer, making it if there is none.

    `splitter` names what cut the passages: an index must not hold passages cut in two ways. Raises IndexLocked
    when another process writes, IndexMismatch when the index was made otherwise, StoreError when it cannot be
    written at all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise IndexLocked(
            f"another process is writing to the index {folder}; wait until it is done, or give another --index"
        ) from error
    except OSError as error:
        raise StoreError(
            f"cannot write to the index {folder} ({error.strerror or error}); make it writable, or give another --index"
        ) from error
    try:
        _create(folder, embedding_model, splitter)
        _repair_lexical(folder)
        yield IndexWriter(folder, embedding_model)
    finally:
        lock.release()


def _create(folder: Path, embedding_model: str, splitter: str) -> None:
    """Make the two collections where they are missing; check that they were made for what is asked now."""
    made_with = {"format": FORMAT, "embedding_model": embedding_model, "splitter": splitter}
    with _store_errors(folder):
        client = _connect(folder, reopen=True)
        for name, metadata in (("passages", made_with), ("articles", {**made_with, "generation": 0})):
            try:
                _collection(client, name)
            except LookupError:
                client.create_collection(
                    name, metadata=metadata, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
                )
        found: Mapping[str, Any] = _collection(client, "articles").metadata or {}
    _check(found, embedding_model, folder)
    if found.get("splitter") != splitter:
        raise IndexMismatch(
            f"the passages in {folder} were cut by {found.get('splitter')}, this version cuts by {splitter}; "
            f"{_ingest_anew(folder)}"
        )


def _check(found: Mapping[str, Any], embedding_model: str, folder: Path) -> None:
    if found.get("format") != FORMAT:
        raise IndexMismatch(
            f"the index {folder} has format {found.get('format')}, this version reads {FORMAT}; {_ingest_anew(folder)}"
        )
    if found.get("embedding_model") != embedding_model:
        raise IndexMismatch(
            f"the index {folder} was made with another embedding model than {embedding_model}; set "
            f"PULLQUOTE_EMBEDDING_MODEL={found.get('embedding_model')}, or {_ingest_anew(folder)}"
        )


def ingest_command(folder: Path) -> str:
    """The command that fills an index."""
    return f"pullquote ingest PATH --index {shlex.quote(str(folder))}"


def _ingest_anew(folder: Path) -> str:
    return f"make a new one: {ingest_command(Path(f'{folder}-new'))}"


def _no_index(folder: Path) -> str:
    return f"there is no index at {folder}; make one: {ingest_command(folder)}"


def _connect(folder: Path, *, reopen: bool) -> ClientAPI:
    """A client of the folder's Chroma; with `reopen`, one that sees what other processes wrote."""
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings

    with _store_errors(folder):
        if reopen:
            SharedSystemClient.clear_system_cache()
        return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def _collection(client: ClientAPI, name: str) -> Collection:
    """Raises LookupError if there is none. Without an embedding function: Chroma's own would download a model."""
    from chromadb.errors import NotFoundError

    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError as error:
        raise LookupError(name) from error


def _generation(client: ClientAPI) -> int:
    return int((_collection(client, "articles").metadata or {}).get("generation", 0))


def _open_lexical(folder: Path, generation: int, passages: Collection) -> LexicalIndex:
    if LexicalIndex.stamp(folder) in (generation, generation + 1):  # one ahead while a write is under way
        try:
            return LexicalIndex(folder)
        except ValueError as error:
            log.warning("cannot open the full-text index %s (%s); building it in memory", folder, error)
    lexical = LexicalIndex()
    lexical.replace([], _all_passages(passages), generation)
    return lexical


def _repair_lexical(folder: Path) -> None:
    """Make the full-text folder hold what Chroma holds."""
    with _store_errors(folder):
        client = _connect(folder, reopen=False)
        lexical, generation = folder / LEXICAL_FOLDER, _generation(client)
        if LexicalIndex.stamp(lexical) == generation and LexicalIndex.can_open(lexical):
            return
        LexicalIndex.delete(lexical)
        LexicalIndex(lexical).replace([], _all_passages(_collection(client, "passages")), generation)


def _all_passages(passages: Collection) -> Iterator[Passage]:
    for offset in range(0, passages.count(), PAGE):
        yield from _passages(passages.get(limit=PAGE, offset=offset, include=["documents", "metadatas"]))


def _parts(client: ClientAPI, length: int) -> Iterator[slice]:
    size = client.get_max_batch_size()
    return (slice(start, start + size) for start in range(0, length, size))


@contextmanager
def _store_errors(folder: Path) -> Iterator[None]:
    """Chroma's own errors, and those of the disk below it, as ours."""
    import sqlite3

    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, sqlite3.Error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"the index {folder} cannot be used ({reason}); check that the folder is writable and the disk not full, "
            f"or {_ingest_anew(folder)}"
        ) from error


def _passage_row(passage: Passage) -> dict[str, str | int]:
    return {
        "article_id": passage.article_id,
        "digest": passage.digest,
        "ordinal": passage.ordinal,
        "start": passage.start,
        "end": passage.end,
        "sentences": json.dumps(passage.sentences),
        "title": passage.title,
        "source": passage.source,
        "url": passage.url,
        "author": passage.author,
        "published": _date_number(passage.published),
    }


def _article_row(stored: StoredArticle) -> dict[str, str | int]:
    article = stored.article
    return {
        "digest": article.digest,
        "title": article.title,
        "source": article.source,
        "url": article.url,
        "author": article.author,
        "published": _date_number(article.published),
        "origin": article.origin,
        "passages": len(stored.passages),
    }


def _passages(found: Any) -> list[Passage]:
    return [_passage(*row) for row in zip(found["ids"], found["documents"], found["metadatas"], strict=True)]


def _passage(passage_id: str, text: str, row: Mapping[str, Any]) -> Passage:
    return Passage(
        id=passage_id,
        article_id=row["article_id"],
        digest=row["digest"],
        ordinal=row["ordinal"],
        start=row["start"],
        end=row["end"],
        text=text,
        sentences=tuple((start, end) for start, end in json.loads(row["sentences"])),
        title=row["title"],
        source=row["source"],
        url=row["url"],
        author=row["author"],
        published=_number_date(row["published"]),
    )


def _entries(found: Any) -> list[ArticleEntry]:
    rows = zip(found["ids"], found["metadatas"], strict=True)
    return [
        ArticleEntry(
            id=article_id,
            title=row["title"],
            source=row["source"],
            url=row["url"],
            author=row["author"],
            published=_number_date(row["published"]),
            origin=row["origin"],
            digest=row["digest"],
            passages=row["passages"],
        )
        for article_id, row in rows
    ]


def _date_number(day: date | None) -> int:
    """20240131, so that ranges filter; 0 for none, since Chroma stores no None."""
    return day.year * 10000 + day.month * 100 + day.day if day else 0


def _number_date(number: int) -> date | None:
    return date(number // 10000, number // 100 % 100, number % 100) if number else None
