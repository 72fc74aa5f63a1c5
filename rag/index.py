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

import json
import logging
import re
import shlex
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from rag.chroma import (
    Database,
    Found,
    LostVectors,
    Row,
    Rows,
    changing,
    ingest_anew,
    ingest_command,
    store_errors,
)
from rag.errors import IndexChanging, IndexMismatch, IndexMissing, StoreError
from rag.lexical import LexicalIndex
from rag.lock import locked
from rag.models import Vectors
from rag.rows import (
    SENTENCE_VECTORS,
    Neighbour,
    StoredArticle,
    article_row,
    conditions,
    copies_row,
    entries,
    passage_row,
    passages,
    sentence_spans,
    unpacked,
)
from rag.schema import Article, ArticleEntry, Copy, Filters, Passage, Query, Span

FORMAT = 3
"""Raised when what is stored of a passage or an article changes its meaning."""
PAGE = 1000
MOST_ELSEWHERE = 20
LOOKS, LOOK_SECONDS = 5, 0.05
"""How often, and after what a wait, a reader looks again at what another process is just writing."""
REMOVED_AT_ONCE = 1000
COLLECTION = re.compile(r"(?:articles|passages)(?:-\d+)?")
"""The names of our collections; any other is left alone."""
REBUILT = 32
"""Articles that are embedded anew at once."""
LEXICAL_FOLDER = "lexical"
TAKEN_OUT = "taken-out.json"
"""The file of the passages' rows that are taken out for a moment."""
DATABASE = "chroma.sqlite3"

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


def settled(look: Callable[Given, Seen]) -> Callable[Given, Seen]:
    """A look at the index that is repeated while another process changes it; raises IndexChanging in the end."""

    @wraps(look)
    def looked(*given: Given.args, **named: Given.kwargs) -> Seen:
        for _ in range(LOOKS - 1):
            try:
                return look(*given, **named)
            except IndexChanging:
                time.sleep(LOOK_SECONDS)
        return look(*given, **named)

    return looked


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Connection:
    """The collections in use; their database is closed when the last one who uses it lets go."""

    database: Database
    passages: Rows
    articles: Rows

    @property
    def metadata(self) -> Row:
        """What is said of the whole, as far as this connection knows."""
        return self.articles.metadata


@dataclass(frozen=True, slots=True)
class _View:
    """One generation of the index; `file` tells an index from another one made in its place.

    `mark` is that of the full text's stamp where it says that nothing was written since; otherwise None.
    """

    store: _Connection
    lexical: LexicalIndex
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
    def lexical(self) -> LexicalIndex:
        """The full-text side, of the newest generation."""
        return self._fresh().lexical

    @settled
    def candidates(self, query: Query, vector: Vectors, limit: int) -> list[Candidate]:
        """The passages nearest to a query in meaning and those nearest in words, at most `limit` of each.

        `vector` has the shape (dimension,). Passages that the filters leave out are not looked at; those of the
        articles the query prefers are among the candidates, at most `limit` of them.
        """
        view = self._fresh()
        bm25 = dict(view.lexical.search(query.question, limit, query.filters, query.carried, query.weight))
        with store_errors(self.folder):
            near = _nearest(view.store, vector, limit, query.filters)
            if query.articles:
                preferred = query.filters.and_also(Filters(article_ids=query.articles))
                near |= _nearest(view.store, vector, limit, preferred)
            near |= _similarities(view.store, vector, [i for i in bm25 if i not in near])
        return [Candidate(passage_id, similarity, bm25.get(passage_id, 0.0)) for passage_id, similarity in near.items()]

    @settled
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

    @settled
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

    @settled
    def elsewhere(self, entry: ArticleEntry) -> tuple[Copy, ...]:
        """Where else an article's story stands: its copies, and the articles that tell it in nearly the same words."""
        view = self._fresh()
        with store_errors(self.folder):
            of_it = [{"story": entry.story}]
            found = entries(view.store.articles.find(of_it, "metadatas", limit=MOST_ELSEWHERE))
        others = [e for e in found if e.id != entry.id]
        near = [place for e in others for place in (Copy(e.id, e.origin, e.title, e.source, e.url), *e.copies)]
        # A page that was saved as well as fetched is no other place to its reader.
        elsewhere = {(place.source, place.url): place for place in (*entry.copies, *near)}
        elsewhere.pop((entry.source, entry.url), None)
        return tuple(elsewhere.values())[:MOST_ELSEWHERE]

    @settled
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
        stories = {entry.story: entry for entry in reversed(near) if entry.story != own[article_id].story}
        return list(reversed(stories.values()))[:limit]

    @settled
    def vectors_of(self, article_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these articles, by id; those that are unknown, or that Chroma has lost, are left out."""
        view = self._fresh()
        with store_errors(self.folder):
            return view.store.articles.vectors(article_ids)

    def articles(self) -> Iterator[ArticleEntry]:
        """All articles, page by page."""
        view = self._fresh()
        with store_errors(self.folder):
            yield from _all_entries(view.store)

    @settled
    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those of these articles that are indexed, by id."""
        return self._entries(self._fresh(), article_ids)

    @settled
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
            for found in _found_pages(view.store):
                known = {passage.id: passage for passage in passages(found)}
                vectors = view.store.passages.vectors(found["ids"])
                yield [(i, known.get(i), vectors.get(i)) for i in found["ids"]]

    def known_vectors(self, passage_ids: Sequence[str]) -> dict[str, tuple[Vectors, Vectors]]:
        """The vectors of these passages and those of their sentences, by id; without those that Chroma lost."""
        view = self._fresh()
        with store_errors(self.folder):
            vectors = view.store.passages.vectors(passage_ids)
            found = view.store.passages.get(vectors, "metadatas")
        rows = zip(found["ids"], found["metadatas"], strict=True)
        return {i: (vectors[i], unpacked(str(row[SENTENCE_VECTORS]))) for i, row in rows if row}

    def lost_articles(self) -> list[str]:
        """The articles whose own vector Chroma lost."""
        view, lost = self._fresh(), list[str]()
        with store_errors(self.folder):
            for page in view.store.articles.pages(PAGE):
                ids = page["ids"]
                vectors = view.store.articles.vectors(ids)
                lost += [article_id for article_id in ids if article_id not in vectors]
        return lost

    def lexical_ids(self) -> set[str]:
        """The passages in the full text's folder, which a reader does not use where it is out of step."""
        try:
            return LexicalIndex(self.folder / LEXICAL_FOLDER).ids()
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

    def _entries(self, view: _View, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        with store_errors(self.folder):
            found = view.store.articles.get(article_ids, "metadatas")
        return {entry.id: entry for entry in entries(found)}

    def _live(self, view: _View, stored: list[StoredPassage]) -> list[StoredPassage]:
        """Those whose passage belongs to the version of its article that was committed last."""
        known = self._entries(view, [s.passage.article_id for s in stored])
        live = {(entry.id, entry.digest) for entry in known.values()}
        return [s for s in stored if (s.passage.article_id, s.passage.digest) in live]

    def _fresh(self) -> _View:
        view = self._view
        if view.mark and view.mark == LexicalIndex.mark(self.folder / LEXICAL_FOLDER):
            return view
        with store_errors(self.folder):
            current = (*_newest(view.store.database, self.folder), _file(self.folder))
        return view if current == (view.store.articles.name, view.generation, view.file) else self._reopened(view)

    def _reopened(self, stale: _View) -> _View:
        with self._lock:
            if self._view is stale:
                self._view = self._open()
            return self._view

    @settled
    def _open(self) -> _View:
        folder = self.folder / LEXICAL_FOLDER
        for left in reversed(range(LOOKS)):
            file, mark, store = _file(self.folder), LexicalIndex.mark(folder), _connect(self.folder)
            with store_errors(self.folder):
                _check(store.metadata, self.embedding_model, self.folder)
                generation = int(store.metadata.get("generation", 0))
                lexical = _stored_lexical(folder, generation, store, counted=self._counts)
            if lexical or not left or LexicalIndex.mark(folder) == mark:
                break
            time.sleep(LOOK_SECONDS)  # another process writes, and what was looked at first is out of date
        settled = mark if mark and mark[0] == generation else None
        return _View(store, lexical or _lexical_in_memory(store, self.folder), generation, file, settled)


class IndexWriter(Index):
    """An index, opened for writing by this process alone. Made by `open_for_writing`.

    After a write that failed, the writer refuses to go on; opening for writing again mends what it left.
    """

    _interrupted = False
    _counts = False  # `open_for_writing` has just done it

    def _fresh(self) -> _View:
        # Nobody else writes while this process holds the lock.
        return self._view

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add these articles, or replace them; each is there, with its text, once this returns.

        Passages first, then the articles' rows, which commit them, then the superseded passages out: a process
        killed at any point leaves either the old version or the new one.
        """
        if not batch:
            return
        view = self._fresh()
        ids = [stored.article.id for stored in batch]
        parts = [passage for stored in batch for passage in stored.passages]
        told = ([stored.story or stored.article.text_digest] * len(stored.passages) for stored in batch)
        stories = [story for of_one in told for story in of_one]
        vectors = np.concatenate([stored.vectors for stored in batch])
        sentences = [of_one for stored in batch for of_one in stored.sentence_vectors]
        self._check_dimension(view, vectors.shape[1])
        added = {entry.id: entry.added for entry in self._entries(view, ids).values()}
        now = datetime.now(UTC)
        with self._writing(view, dimension=vectors.shape[1]):
            old = self._passage_ids(view, ids)
            rows = [passage_row(*row) for row in zip(parts, sentences, stories, strict=True)]
            _upsert_passages(view.store, parts, vectors, rows)
            view.lexical.replace(ids, parts)
            view.store.articles.upsert(
                ids,
                np.stack([stored.vectors.mean(axis=0) for stored in batch]),
                [article_row(stored, added.get(stored.article.id) or now) for stored in batch],
            )
            view.store.passages.delete(old - {passage.id for passage in parts})

    def set_copies(self, copies: Mapping[str, Sequence[Copy]]) -> None:
        """Say where else these articles stand."""
        view = self._fresh()
        known = list(self._entries(view, list(copies)))
        if known:
            with self._writing(view):
                view.store.articles.update(known, [{"copies": copies_row(copies[i])} for i in known])

    def drop_passages(self, passage_ids: Sequence[str]) -> None:
        """Remove passages that belong to no article."""
        view = self._fresh()
        with self._writing(view):
            view.store.passages.delete(passage_ids)

    def put_again(self, passage_ids: Sequence[str]) -> None:
        """Take these passages out and put them in as they were: Chroma's graph of vectors links them anew."""
        view = self._fresh()
        with self._writing(view):
            found = view.store.passages.get(passage_ids, "embeddings", "documents", "metadatas")
            _keep(self.folder, found)
            view.store.passages.delete(found["ids"])
            _put_back(self.folder, view.store)

    def with_texts(self, text_digests: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those articles whose text is one of these, by the text's digest."""
        view = self._fresh()
        with store_errors(self.folder):
            found = view.store.articles.find([{"text_digest": {"$in": text_digests}}], "metadatas")
        return {entry.text_digest: entry for entry in entries(found)}

    def vectors(self, article_id: str) -> tuple[Vectors, list[Vectors], list[tuple[Span, ...]]]:
        """The vectors of an article's passages and of their sentences, and the sentences' spans, passage by passage."""
        view = self._fresh()
        terms = [{"article_id": article_id}, {"digest": self._entries(view, [article_id])[article_id].digest}]
        with store_errors(self.folder):
            found = view.store.passages.find(terms, "embeddings", "metadatas")
        rows = [row or {} for row in found["metadatas"]]
        order = sorted(range(len(rows)), key=lambda i: int(str(rows[i]["ordinal"])))
        vectors = np.asarray(found["embeddings"], dtype=np.float32)[order]
        rows = [rows[i] for i in order]
        return vectors, [unpacked(str(row[SENTENCE_VECTORS])) for row in rows], [sentence_spans(row) for row in rows]

    def neighbours(self, vectors: Vectors, limit: int) -> list[list[Neighbour]]:
        """For each vector the articles nearest to it in meaning, at most `limit`, the nearest first."""
        view = self._fresh()
        with store_errors(self.folder):
            try:
                found = view.store.articles.nearest(vectors, limit, with_rows=True)
            except LostVectors:  # no neighbours can be found until a check repairs the vectors
                return [[] for _ in vectors]
        return [[Neighbour(n.similarity, str(n.row["story"]), str(n.row["sketch"])) for n in one] for one in found]

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove these articles with all that belongs to them; returns how many there were."""
        known = list(self._entries(self._fresh(), article_ids))
        for start in range(0, len(known), REMOVED_AT_ONCE):
            part, view = known[start : start + REMOVED_AT_ONCE], self._fresh()
            with self._writing(view):
                old = self._passage_ids(view, part)
                view.store.articles.delete(part)
                view.lexical.replace(part, [])
                view.store.passages.delete(old)
        return len(known)

    @contextmanager
    def _writing(self, view: _View, **made_with: int) -> Iterator[None]:
        """Stamp the full text one generation ahead, write, and raise the generation to it."""
        if self._interrupted:
            raise StoreError(f"an earlier write to {self.folder} failed; run the command again, which mends it")
        self._interrupted = True
        generation, folder = view.generation + 1, self.folder / LEXICAL_FOLDER
        with store_errors(self.folder):
            LexicalIndex.write_stamp(folder, generation)
            yield
            view.store.articles.modify({**view.store.metadata, **made_with, "generation": generation})
            LexicalIndex.write_stamp(folder, generation)
        self._view = replace(view, generation=generation, mark=LexicalIndex.mark(folder))
        self._interrupted = False

    def _passage_ids(self, view: _View, article_ids: Sequence[str]) -> set[str]:
        return set(view.store.passages.find([{"article_id": {"$in": article_ids}}])["ids"])

    def _check_dimension(self, view: _View, dimension: int) -> None:
        known = view.store.metadata.get("dimension", dimension)
        if known != dimension:
            raise IndexMismatch(
                f"the vectors in {self.folder} have {known} numbers, those of {self.embedding_model} {dimension}; "
                f"{ingest_anew(self.folder)}"
            )


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer, making it if there is none, and mending what an interrupted write left.

    `splitter` names what cuts passages now, and is recorded. Articles that an earlier version cut stay as they are
    until they change. Raises IndexLocked when another process writes, IndexMismatch when the index was made with
    another embedding model, StoreError when it cannot be written at all.
    """
    with locked(folder):
        with store_errors(folder):
            _create(folder, embedding_model, splitter)
            _mend(folder)
        yield IndexWriter(folder, embedding_model)


def _create(folder: Path, embedding_model: str, splitter: str) -> None:
    """Make the two collections where they are missing; check that they were made for what is asked now."""
    made_with = {"format": FORMAT, "embedding_model": embedding_model, "splitter": splitter}
    with closing(Database(folder)) as database:
        found = _built(database)
        if not found:
            _make_pair(database, 0, {**made_with, "generation": 0, "built": 1})
            return
        name, metadata = found[-1]
        _check(metadata, embedding_model, folder)
        if metadata.get("splitter") != splitter:
            database.rows(name).modify({**metadata, "splitter": splitter})
        _drop_all_but(database, name)


def _make_pair(database: Database, number: int, metadata: Row) -> None:
    """The articles' collection is made last, so its metadata stands for the whole."""
    for name in reversed(_pair(number)):
        database.make(name, metadata)


def _pair(number: int) -> tuple[str, str]:
    """The names of the articles' collection and of the passages'."""
    return (f"articles-{number}", f"passages-{number}") if number else ("articles", "passages")


def _number(articles: str) -> int:
    return int(articles.partition("-")[2] or 0)


def _built(database: Database) -> list[tuple[str, Row]]:
    """The articles' collections that are whole, with what they say of themselves; the last one is in use."""
    ours = ((name, row) for name, row in database.collections().items() if COLLECTION.fullmatch(name))
    found = [(name, row) for name, row in ours if name.startswith("articles")]
    whole = ((name, row) for name, row in found if "built" in row or row.get("format") != FORMAT)
    return sorted(whole, key=lambda one: _number(one[0]))


def _drop_all_but(database: Database, articles: str) -> None:
    """Remove what an earlier pair, or a rebuild that did not end, left behind."""
    kept = _pair(_number(articles))
    for name in database.collections():
        if name not in kept and COLLECTION.fullmatch(name):
            database.drop(name)


def _mend(folder: Path) -> None:
    """After an interrupted write, drop the passages that no article's row commits and build the full text anew."""
    store, lexical = _connect(folder), folder / LEXICAL_FOLDER
    _put_back(folder, store)
    generation = int(store.metadata.get("generation", 0))
    if _whole_lexical(lexical, generation, store.passages.count()):
        return
    live = _digests(store)
    for page in _pages(store):
        store.passages.delete(p.id for p in page if live.get(p.article_id) != p.digest)
    _build_lexical(store, lexical, generation)


def _keep(folder: Path, found: Found) -> None:
    """Keep passages' rows in a file until they are put back, should this process end before."""
    embeddings = [[float(number) for number in vector] for vector in found["embeddings"]]
    new = folder / f"{TAKEN_OUT}.new"
    new.write_text(json.dumps({**found, "embeddings": embeddings}), "utf-8")
    new.replace(folder / TAKEN_OUT)


def _put_back(folder: Path, store: _Connection) -> None:
    """Put in the passages' rows that were taken out, if any were."""
    file = folder / TAKEN_OUT
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return
    vectors = np.asarray(found["embeddings"], dtype=np.float32)
    store.passages.upsert(found["ids"], vectors, found["metadatas"], found["documents"])
    file.unlink()


def _build_lexical(store: _Connection, folder: Path, generation: int) -> None:
    LexicalIndex.delete(folder)
    LexicalIndex(folder, create=True).replace([], _committed_passages(store))
    LexicalIndex.write_stamp(folder, generation)


Embed = Callable[[Sequence[Passage]], tuple[Vectors, list[Vectors]]]
"""Passages → their vectors, and those of their sentences."""


def rebuild(folder: Path, embedding_model: str, embed: Embed, progress: Callable[[int, int], object]) -> int:
    """Embed everything anew, with another model, out of the text that is stored; returns the number of passages.

    The new collections come into use at the end; until then, and if this is interrupted, the old ones are. `progress`
    is given passages done and all of them. Raises IndexMissing, IndexLocked, IndexMismatch or StoreError.
    """
    _file(folder)
    with locked(folder), store_errors(folder):
        _mend(folder)
        old = _connect(folder)
        _check(old.metadata, str(old.metadata.get("embedding_model")), folder)
        _drop_all_but(old.database, old.articles.name)
        number, generation = _number(old.articles.name) + 1, int(old.metadata.get("generation", 0)) + 1
        made_with = {**old.metadata, "embedding_model": embedding_model, "generation": generation}
        unbuilt = {name: value for name, value in made_with.items() if name not in ("built", "dimension")}
        _make_pair(old.database, number, unbuilt)
        articles, passages = map(old.database.rows, _pair(number))
        new, total, done, dimension = _Connection(old.database, passages, articles), old.passages.count(), 0, 0
        for page in old.articles.pages(REBUILT, "metadatas"):
            vectors = _embedded_anew(page, old, new, embed)
            done, dimension = done + len(vectors), vectors.shape[1] if len(vectors) else dimension
            progress(done, total)
        lexical = folder / LEXICAL_FOLDER
        if not _whole_lexical(lexical, generation - 1, done):
            _build_lexical(new, lexical, generation)
        LexicalIndex.write_stamp(lexical, generation)  # ahead, as by any other write
        articles.modify({**made_with, "built": 1, **({"dimension": dimension} if dimension else {})})
        LexicalIndex.write_stamp(lexical, generation)
        _drop_all_but(old.database, articles.name)
    return done


def _embedded_anew(found: Found, old: _Connection, new: _Connection, embed: Embed) -> Vectors:
    """Copy these articles with their passages from one pair of collections to the other."""
    of_these = [{"article_id": {"$in": found["ids"]}}]
    live = {entry.id: entry.digest for entry in entries(found)}
    parts = passages(old.passages.find(of_these, "documents", "metadatas"))
    parts = [passage for passage in parts if live[passage.article_id] == passage.digest]
    if not parts:
        return np.zeros((0, 0), dtype=np.float32)
    vectors, sentences = embed(parts)
    rows = [passage_row(p, of_p, p.story) for p, of_p in zip(parts, sentences, strict=True)]
    _upsert_passages(new, parts, vectors, rows)
    own = {i: [n for n, p in enumerate(parts) if p.article_id == i] for i in found["ids"]}
    means = np.stack([vectors[own[i]].mean(axis=0) if own[i] else np.zeros(vectors.shape[1]) for i in found["ids"]])
    new.articles.upsert(found["ids"], means.astype(np.float32), [row or {} for row in found["metadatas"]])
    return vectors


def _check(found: Mapping[str, Any], embedding_model: str, folder: Path) -> None:
    if found.get("format") != FORMAT:
        raise IndexMismatch(
            f"the index {folder} has format {found.get('format')}, this version reads {FORMAT}; {ingest_anew(folder)}"
        )
    if found.get("embedding_model") != embedding_model:
        raise IndexMismatch(
            f"the index {folder} was made with another embedding model than {embedding_model}; set "
            f"PULLQUOTE_EMBEDDING_MODEL={found.get('embedding_model')}, or embed it anew: pullquote rebuild "
            f"--embedding-model {shlex.quote(embedding_model)} --index {shlex.quote(str(folder))}"
        )


def _no_index(folder: Path) -> str:
    return f"there is no index at {folder}; make one: {ingest_command(folder)}"


def _file(folder: Path) -> int:
    """The database file's number, which another one made in its place does not have; raises IndexMissing."""
    try:
        return (folder / DATABASE).stat().st_ino
    except (OSError, ValueError) as error:
        raise IndexMissing(_no_index(folder)) from error


def _connect(folder: Path) -> _Connection:
    """Raises IndexMissing if there are no collections of ours."""
    with store_errors(folder):
        with ExitStack() as stack:
            database = stack.enter_context(closing(Database(folder)))
            name, _ = _newest(database, folder)
            articles, of_it = map(database.rows, _pair(_number(name)))
            store = _Connection(database, of_it, articles)
            stack.pop_all()
        weakref.finalize(store, database.close).atexit = False
        return store


def _newest(database: Database, folder: Path) -> tuple[str, int]:
    """The name of the articles' collection in use, and its generation; raises IndexMissing if there is none."""
    found = _built(database)
    if not found:
        raise IndexMissing(_no_index(folder))
    name, row = found[-1]
    return name, int(row.get("generation", 0))


def _stored_lexical(folder: Path, generation: int, store: _Connection, *, counted: bool) -> LexicalIndex | None:
    # While a write is under way its stamp is one ahead, and what it holds is not what the articles' rows say.
    writing = LexicalIndex.stamp(folder) == generation + 1
    passages = store.passages.count() if counted and not writing else None
    return _whole_lexical(folder, generation + writing, passages)


def _lexical_in_memory(store: _Connection, folder: Path) -> LexicalIndex:
    log.info("building the full-text index of %s in memory", folder)
    lexical = LexicalIndex()
    with store_errors(folder):
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
    for page in store.articles.pages(PAGE, "metadatas"):
        yield from entries(page)


def _digests(store: _Connection) -> dict[str, str]:
    return {entry.id: entry.digest for entry in _all_entries(store)}


def _pages(store: _Connection) -> Iterator[list[Passage]]:
    return map(passages, _found_pages(store))


def _found_pages(store: _Connection) -> Iterator[Found]:
    return store.passages.pages(PAGE, "documents", "metadatas", backwards=True)


def _committed_passages(store: _Connection) -> Iterator[Passage]:
    live = _digests(store)
    for page in _pages(store):
        yield from (passage for passage in page if live.get(passage.article_id) == passage.digest)


def _upsert_passages(store: _Connection, parts: Sequence[Passage], vectors: Vectors, rows: Sequence[Row]) -> None:
    store.passages.upsert([p.id for p in parts], vectors, rows, [p.text for p in parts])


def _nearest(store: _Connection, vector: Vectors, limit: int, filters: Filters) -> dict[str, float]:
    """Ids of the nearest passages with their similarity."""
    [found] = store.passages.nearest(vector.reshape(1, -1), limit, conditions(filters))
    return {near.id: near.similarity for near in found}


def _similarities(store: _Connection, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
    """These passages' similarity to a vector; an id that is gone is left out."""
    if not passage_ids:
        return {}
    found = store.passages.get(passage_ids, "embeddings")
    return {i: float(np.dot(own, vector)) for i, own in zip(found["ids"], found["embeddings"], strict=True)}
