"""The index: articles and passages in Chroma, their words in tantivy. The only file that imports chromadb.

Chroma is the source of truth. An article's row is the commit mark: a passage whose digest is not that of its
article's row is not yet, or no longer, part of the index, and readers drop it. The generation in the articles'
collection metadata grows with every write; readers compare it and reopen, since an open Chroma client does not
find what another process adds. The full-text folder's stamp runs one ahead while a write is under way: that is how
an interrupted one is known, and mended by the next writer.
"""

from __future__ import annotations

import json
import logging
import shlex
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from filelock import FileLock, Timeout

from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.lexical import LexicalIndex
from rag.models import Vectors
from rag.schema import Article, ArticleEntry, Passage

if TYPE_CHECKING:
    from chromadb.api.client import Client
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


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Connection:
    """A client of its own, closed when the last one who uses it lets go."""

    client: Client
    passages: Collection
    articles: Collection


@dataclass(frozen=True, slots=True)
class _View:
    """One generation of the index; `file` tells an index from another one made in its place."""

    store: _Connection
    lexical: LexicalIndex
    generation: int
    file: int


class Index:
    """An index, opened for reading; opening and reading change nothing. Safe to share between threads."""

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
        near = self._nearest(view, vector, limit)
        if near is None:
            near = self._nearest(self._reopened(view), vector, limit)
        return near or []

    def compare(self, vector: Vectors, passage_ids: Sequence[str]) -> list[Near]:
        """These passages and their similarity to a vector, in no particular order; unknown ids are left out."""
        if not passage_ids:
            return []
        view = self._fresh()
        with _store_errors(self.folder):
            found = view.store.passages.get(ids=list(passage_ids), include=["documents", "metadatas", "embeddings"])
        passages = _passages(found)
        vectors = np.asarray(found["embeddings"], dtype=np.float32).reshape(len(passages), -1)
        similar = vectors @ vector if passages else np.zeros(0)
        return self._live(view, [Near(p, float(s)) for p, s in zip(passages, similar, strict=True)])

    def article(self, article_id: str) -> Article | None:
        """An article with its full text, joined from its passages, but without its captions; None if unknown."""
        view = self._fresh()
        with _store_errors(self.folder):
            entries = _entries(view.store.articles.get(ids=[article_id], include=["metadatas"]))
            found = view.store.passages.get(where={"article_id": article_id}, include=["documents", "metadatas"])
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
        with _store_errors(self.folder):
            yield from _all_entries(view.store)

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those of these articles that are indexed, by id."""
        return self._entries(self._fresh(), article_ids)

    def counts(self) -> tuple[int, int]:
        """How many articles and how many passages there are."""
        view = self._fresh()
        with _store_errors(self.folder):
            return view.store.articles.count(), view.store.passages.count()

    def _nearest(self, view: _View, vector: Vectors, limit: int) -> list[Near] | None:
        """None if the view's vectors are of passages that are gone: another process has removed them since."""
        with _store_errors(self.folder):
            limit = min(limit, view.store.passages.count())
            if not limit:
                return []
            found = view.store.passages.query(
                query_embeddings=vector.reshape(1, -1), n_results=limit, include=["documents", "metadatas", "distances"]
            )
        if None in found["metadatas"][0]:  # type: ignore[index]
            return None
        rows = zip(found["ids"][0], found["documents"][0], found["metadatas"][0], strict=True)  # type: ignore[index]
        distances = found["distances"][0]  # type: ignore[index]
        near = [Near(_passage(*row), 1 - float(d)) for row, d in zip(rows, distances, strict=True)]
        return self._live(view, near)

    def _entries(self, view: _View, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        if not article_ids:
            return {}
        with _store_errors(self.folder):
            found = view.store.articles.get(ids=list(dict.fromkeys(article_ids)), include=["metadatas"])
        return {entry.id: entry for entry in _entries(found)}

    def _live(self, view: _View, near: list[Near]) -> list[Near]:
        """Those whose passage belongs to the version of its article that was committed last."""
        entries = self._entries(view, [n.passage.article_id for n in near])
        live = {(entry.id, entry.digest) for entry in entries.values()}
        return [n for n in near if (n.passage.article_id, n.passage.digest) in live]

    def _fresh(self) -> _View:
        view = self._view
        with _store_errors(self.folder):
            current = (_generation(view.store), _file(self.folder))
        return view if current == (view.generation, view.file) else self._reopened(view)

    def _reopened(self, stale: _View) -> _View:
        with self._lock:
            if self._view is stale:
                self._view = self._open()
            return self._view

    def _open(self) -> _View:
        file = _file(self.folder)
        store = _connect(self.folder)
        with _store_errors(self.folder):
            _check(store.articles.metadata or {}, self.embedding_model, self.folder)
            generation = _generation(store)
            return _View(store, _open_lexical(self.folder / LEXICAL_FOLDER, generation, store), generation, file)


class IndexWriter(Index):
    """An index, opened for writing by this process alone. Made by `open_for_writing`.

    After a write that failed, the writer refuses to go on; opening for writing again mends what it left.
    """

    _interrupted = False

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add these articles, or replace them; each is there, with its text, once this returns.

        Passages first, then the articles' rows, which commit them, then the superseded passages out: a process
        killed at any point leaves either the old version or the new one.
        """
        if not batch:
            return
        view = self._fresh()
        ids = [stored.article.id for stored in batch]
        passages = [passage for stored in batch for passage in stored.passages]
        vectors = np.concatenate([stored.vectors for stored in batch])
        self._check_dimension(view, vectors.shape[1])
        with self._writing(view, dimension=vectors.shape[1]):
            old = self._passage_ids(view, ids)
            for part in _parts(view.store, len(passages)):
                view.store.passages.upsert(
                    ids=[passage.id for passage in passages[part]],
                    embeddings=vectors[part],
                    documents=[passage.text for passage in passages[part]],
                    metadatas=[_passage_row(passage) for passage in passages[part]],
                )
            view.lexical.replace(ids, passages)
            view.store.articles.upsert(
                ids=ids,
                embeddings=np.stack([stored.vectors.mean(axis=0) for stored in batch]),
                metadatas=[_article_row(stored) for stored in batch],
            )
            _delete_passages(view.store, old - {passage.id for passage in passages})

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove these articles with all that belongs to them; returns how many there were."""
        view = self._fresh()
        known = list(self._entries(view, article_ids))
        if not known:
            return 0
        with self._writing(view):
            old = self._passage_ids(view, known)
            for part in _parts(view.store, len(known)):
                view.store.articles.delete(ids=known[part])
            view.lexical.replace(known, [])
            _delete_passages(view.store, old)
        return len(known)

    @contextmanager
    def _writing(self, view: _View, **made_with: int) -> Iterator[None]:
        """Stamp the full text one generation ahead, write, and raise the generation to it."""
        if self._interrupted:
            raise StoreError(f"an earlier write to {self.folder} failed; run the command again, which mends it")
        self._interrupted = True
        generation = view.generation + 1
        with _store_errors(self.folder):
            LexicalIndex.write_stamp(self.folder / LEXICAL_FOLDER, generation)
            yield
            metadata = {**(view.store.articles.metadata or {}), **made_with, "generation": generation}
            view.store.articles.modify(metadata=metadata)
        self._view = replace(view, generation=generation)
        self._interrupted = False

    def _passage_ids(self, view: _View, article_ids: Sequence[str]) -> set[str]:
        of_these = {"article_id": {"$in": [*article_ids]}}
        found = view.store.passages.get(where=of_these, include=[])  # type: ignore[arg-type]  # too wide to infer
        return set(found["ids"])

    def _check_dimension(self, view: _View, dimension: int) -> None:
        known = (view.store.articles.metadata or {}).get("dimension", dimension)
        if known != dimension:
            raise IndexMismatch(
                f"the vectors in {self.folder} have {known} numbers, those of {self.embedding_model} {dimension}; "
                f"{_ingest_anew(self.folder)}"
            )


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer, making it if there is none, and mending what an interrupted write left.

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
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"cannot write to the index {folder} ({reason}); make it writable, or give another --index"
        ) from error
    try:
        with _store_errors(folder):
            _create(folder, embedding_model, splitter)
            _mend(folder)
        yield IndexWriter(folder, embedding_model)
    finally:
        lock.release()


def _create(folder: Path, embedding_model: str, splitter: str) -> None:
    """Make the two collections where they are missing; check that they were made for what is asked now."""
    made_with = {"format": FORMAT, "embedding_model": embedding_model, "splitter": splitter}
    with closing(_client(folder)) as client:
        there = {collection.name: collection.metadata or {} for collection in client.list_collections()}
        # The articles' collection is made last, so its metadata stands for the whole.
        if found := there.get("articles"):
            _check(found, embedding_model, folder)
            if found.get("splitter") != splitter:
                raise IndexMismatch(
                    f"the passages in {folder} were cut by {found.get('splitter')}, this version cuts by {splitter}; "
                    f"{_ingest_anew(folder)}"
                )
        for name, metadata in (("passages", made_with), ("articles", {**made_with, "generation": 0})):
            if name not in there:
                client.create_collection(
                    name, metadata=metadata, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
                )


def _mend(folder: Path) -> None:
    """After an interrupted write, drop the passages that no article's row commits and build the full text anew."""
    store, lexical = _connect(folder), folder / LEXICAL_FOLDER
    generation = _generation(store)
    if _whole_lexical(lexical, generation, store.passages.count()):
        return
    live = _digests(store)
    for page in _pages(store):
        _delete_passages(store, {p.id for p in page if live.get(p.article_id) != p.digest})
    LexicalIndex.delete(lexical)
    LexicalIndex(lexical, create=True).replace([], _committed_passages(store))
    LexicalIndex.write_stamp(lexical, generation)


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


def _file(folder: Path) -> int:
    """The database file's number, which another one made in its place does not have; raises IndexMissing."""
    try:
        return (folder / DATABASE).stat().st_ino
    except (OSError, ValueError) as error:
        raise IndexMissing(_no_index(folder)) from error


_openings = count(1)


def _client(folder: Path) -> Client:
    """A client with a view of its own of what is on the disk.

    Chroma keeps one system, with its vectors, for each spelling of a path. A new spelling ("/./" and "//./" for the
    digits of a running number) makes a new system, which sees what was written since, and which can be closed
    without closing the one that another thread still reads from.
    """
    import chromadb
    from chromadb.config import Settings

    spelling = "".join("/." if digit == "0" else "//." for digit in f"{next(_openings):b}")
    settings = Settings(anonymized_telemetry=False)
    return cast("Client", chromadb.PersistentClient(f"{folder.resolve()}{spelling}", settings=settings))


def _connect(folder: Path) -> _Connection:
    """Raises IndexMissing if there are no collections of ours."""
    from chromadb.errors import NotFoundError

    with _store_errors(folder):
        client = _client(folder)
        try:
            # Without an embedding function: Chroma's own would download a model.
            passages, articles = (client.get_collection(n, embedding_function=None) for n in ("passages", "articles"))
        except NotFoundError as error:
            client.close()
            raise IndexMissing(_no_index(folder)) from error
        store = _Connection(client, passages, articles)
        weakref.finalize(store, client.close).atexit = False
        return store


def _generation(store: _Connection) -> int:
    # A collection object keeps the metadata it was made with; the newest has to be asked for.
    current = store.client.get_collection(store.articles.name, embedding_function=None)
    return int((current.metadata or {}).get("generation", 0))


def _open_lexical(folder: Path, generation: int, store: _Connection) -> LexicalIndex:
    # While a write is under way its stamp is one ahead, and what it holds is not what the articles' rows say.
    writing = LexicalIndex.stamp(folder) == generation + 1
    lexical = _whole_lexical(folder, generation + writing, None if writing else store.passages.count())
    if lexical is None:
        log.info("building the full-text index of %s in memory", folder)
        lexical = LexicalIndex()
        lexical.replace([], _committed_passages(store))
    return lexical


def _whole_lexical(folder: Path, generation: int, passages: int | None) -> LexicalIndex | None:
    """The full text in a folder, if it is of this generation and holds as many passages."""
    if LexicalIndex.stamp(folder) != generation:
        return None
    try:
        lexical = LexicalIndex(folder)
    except ValueError:
        return None
    return lexical if passages in (None, lexical.count) else None


def _all_entries(store: _Connection) -> Iterator[ArticleEntry]:
    for offset in range(0, store.articles.count(), PAGE):
        yield from _entries(store.articles.get(limit=PAGE, offset=offset, include=["metadatas"]))


def _digests(store: _Connection) -> dict[str, str]:
    return {entry.id: entry.digest for entry in _all_entries(store)}


def _pages(store: _Connection) -> Iterator[list[Passage]]:
    # From the end, so that a page may be deleted while the pages before it are still to come.
    for offset in reversed(range(0, store.passages.count(), PAGE)):
        yield _passages(store.passages.get(limit=PAGE, offset=offset, include=["documents", "metadatas"]))


def _committed_passages(store: _Connection) -> Iterator[Passage]:
    live = _digests(store)
    for page in _pages(store):
        yield from (passage for passage in page if live.get(passage.article_id) == passage.digest)


def _delete_passages(store: _Connection, ids: set[str]) -> None:
    ordered = sorted(ids)
    for part in _parts(store, len(ordered)):
        store.passages.delete(ids=ordered[part])


def _parts(store: _Connection, length: int) -> Iterator[slice]:
    size = store.client.get_max_batch_size()
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
