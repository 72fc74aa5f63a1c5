"""The index: articles and passages in Chroma, their words in tantivy. The only file that imports chromadb.

Chroma is the source of truth. An article's row is the commit mark: a passage whose digest is not that of its
article's row is not yet, or no longer, part of the index, and readers drop it. The generation in the articles'
collection metadata grows with every write; readers compare it and reopen, since an open Chroma client does not
find what another process adds. The full-text folder's stamp runs one ahead while a write is under way: that is how
an interrupted one is known, and mended by the next writer.
"""

from __future__ import annotations

import base64
import json
import logging
import shlex
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from filelock import FileLock, Timeout

from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.lexical import LexicalIndex, date_number, number_date
from rag.models import Vectors, normalized
from rag.schema import Article, ArticleEntry, Filters, Passage, Query

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

FORMAT = 2
"""Raised when what is stored of a passage or an article changes its meaning."""
SENTENCE_VECTORS = "sentence_vectors"
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
    sentence_vectors: Sequence[Vectors]


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


class StalePassages(Exception):
    """Passages that were found are gone: they are being replaced. Looking again finds what replaces them."""


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

    def candidates(self, query: Query, vector: Vectors, limit: int) -> list[Candidate]:
        """The passages nearest to a query in meaning and those nearest in words, at most `limit` of each.

        `vector` has the shape (dimension,). Passages that the filters leave out are not looked at; those of the
        articles the query prefers are among the candidates, at most `limit` of them.
        """
        view = self._fresh()
        bm25 = dict(view.lexical.search(query.question, limit, query.filters, query.carried, query.weight))
        with _store_errors(self.folder):
            near = _nearest(view.store, vector, limit, query.filters)
            if query.articles:
                preferred = query.filters.and_also(Filters(article_ids=query.articles))
                near |= _nearest(view.store, vector, limit, preferred)
            near |= _similarities(view.store, vector, [i for i in bm25 if i not in near])
        return [Candidate(passage_id, similarity, bm25.get(passage_id, 0.0)) for passage_id, similarity in near.items()]

    def closest(self, vector: Vectors, filters: Filters) -> float:
        """The cosine similarity of the nearest passage that the filters allow; 0 if there is none."""
        with _store_errors(self.folder):
            return max(_nearest(self._fresh().store, vector, 1, filters).values(), default=0.0)

    def passages(self, passage_ids: Sequence[str]) -> list[StoredPassage]:
        """Those of these passages that are committed, in the order asked for.

        Where some are gone, another process is replacing them: what was found before is out of date, and so
        StalePassages is raised, once the index is opened anew.
        """
        if not passage_ids:
            return []
        view = self._fresh()
        with _store_errors(self.folder):
            found = view.store.passages.get(ids=list(passage_ids), include=["documents", "metadatas"])
        if len(found["ids"]) < len(passage_ids):
            self._reopened(view)
            raise StalePassages
        vectors = [_unpacked(str(row[SENTENCE_VECTORS])) for row in found["metadatas"] or ()]
        stored = {p.id: StoredPassage(p, v) for p, v in zip(_passages(found), vectors, strict=True)}
        return self._live(view, [stored[passage_id] for passage_id in passage_ids])

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

    def _entries(self, view: _View, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        if not article_ids:
            return {}
        with _store_errors(self.folder):
            found = view.store.articles.get(ids=list(dict.fromkeys(article_ids)), include=["metadatas"])
        return {entry.id: entry for entry in _entries(found)}

    def _live(self, view: _View, stored: list[StoredPassage]) -> list[StoredPassage]:
        """Those whose passage belongs to the version of its article that was committed last."""
        entries = self._entries(view, [s.passage.article_id for s in stored])
        live = {(entry.id, entry.digest) for entry in entries.values()}
        return [s for s in stored if (s.passage.article_id, s.passage.digest) in live]

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
        sentences = [of_one for stored in batch for of_one in stored.sentence_vectors]
        self._check_dimension(view, vectors.shape[1])
        with self._writing(view, dimension=vectors.shape[1]):
            old = self._passage_ids(view, ids)
            for part in _parts(view.store, len(passages)):
                view.store.passages.upsert(
                    ids=[passage.id for passage in passages[part]],
                    embeddings=vectors[part],
                    documents=[passage.text for passage in passages[part]],
                    metadatas=[_passage_row(*row) for row in zip(passages[part], sentences[part], strict=True)],
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


def _nearest(store: _Connection, vector: Vectors, limit: int, filters: Filters) -> dict[str, float]:
    """Ids of the nearest passages with their similarity."""
    limit = min(limit, store.passages.count())
    if not limit:
        return {}
    found = store.passages.query(
        query_embeddings=vector.reshape(1, -1), n_results=limit, where=_where(filters), include=["distances"]
    )
    distances = found["distances"] or [[]]
    return {i: 1 - float(distance) for i, distance in zip(found["ids"][0], distances[0], strict=True)}


def _similarities(store: _Connection, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
    """These passages' similarity to a vector; an id that is gone is left out."""
    if not passage_ids:
        return {}
    found = store.passages.get(ids=list(passage_ids), include=["embeddings"])
    vectors = np.asarray(found["embeddings"], dtype=np.float32).reshape(len(found["ids"]), -1)
    return dict(zip(found["ids"], map(float, vectors @ vector), strict=True)) if len(vectors) else {}


def _where(filters: Filters) -> Any:
    """Filters in Chroma's terms; None for all."""
    terms: list[Any] = []
    if filters.published_after:
        terms.append({"published": {"$gte": date_number(filters.published_after)}})
    if filters.published_before:
        terms += [{"published": {"$gt": 0}}, {"published": {"$lte": date_number(filters.published_before)}}]
    if filters.sources:
        terms.append({"source": {"$in": list(filters.sources)}})
    if filters.article_ids:
        terms.append({"article_id": {"$in": list(filters.article_ids)}})
    return {"$and": terms} if len(terms) > 1 else terms[0] if terms else None


def _packed(vectors: Vectors) -> str:
    """Vectors as Chroma can keep them beside a passage: a byte a number, which changes a cosine by some .001."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-9)
    scaled = np.rint(vectors / largest * 127).astype(np.int8)
    return f"{vectors.shape[1]}:{base64.b64encode(scaled.tobytes()).decode('ascii')}"


def _unpacked(packed: str) -> Vectors:
    dimension, _, numbers = packed.partition(":")
    scaled = np.frombuffer(base64.b64decode(numbers), dtype=np.int8)
    return normalized(scaled.reshape(-1, int(dimension)).astype(np.float32))


def _passage_row(passage: Passage, sentence_vectors: Vectors) -> dict[str, str | int]:
    return {
        "article_id": passage.article_id,
        "digest": passage.digest,
        "ordinal": passage.ordinal,
        "start": passage.start,
        "end": passage.end,
        "sentences": json.dumps(passage.sentences),
        SENTENCE_VECTORS: _packed(sentence_vectors),
        "title": passage.title,
        "source": passage.source,
        "url": passage.url,
        "author": passage.author,
        "published": date_number(passage.published),
    }


def _article_row(stored: StoredArticle) -> dict[str, str | int]:
    article = stored.article
    return {
        "digest": article.digest,
        "title": article.title,
        "source": article.source,
        "url": article.url,
        "author": article.author,
        "published": date_number(article.published),
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
        published=number_date(row["published"]) if row["published"] else None,
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
            published=number_date(row["published"]) if row["published"] else None,
            origin=row["origin"],
            digest=row["digest"],
            passages=row["passages"],
        )
        for article_id, row in rows
    ]
