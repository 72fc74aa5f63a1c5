"""The catalogue: articles, passages and their vectors in SQL; all other indexes are derived from it.

Knows nothing of searching.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    bindparam,
    create_engine,
    event,
    func,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from rag.errors import IndexMismatch, StoreError
from rag.models.embedding import Vectors
from rag.schema import ArticleEntry, Passage
from rag.store.catalog.quantization import Keys, restored_from
from rag.store.catalog.rows import (
    Sketched,
    StoredArticle,
    StoredPassage,
    entry_from,
    number_date,
    passage_from,
    stored_from,
    unpack_sentences,
    whole_rows,
)
from rag.store.catalog.tables import articles, bands, facets, passages, places, removals, state
from rag.store.hints import new_index_hint, rebuild_command, repair_hint

PAGE = 1000
BUSY_SECONDS = 60
CACHE_KIB, MAPPED_BYTES, PAGE_BYTES = 32_000, 1 << 30, 16_384
"""Of SQLite. A page holds several passages, which have two to three thousand bytes each."""
MOST_VALUES = 5_000
"""Values in one list of a condition."""

_ENTRY = [column for column in articles.c if column.name not in ("key", "sketch", "first_passage", "checksum")]
_PASSAGE = [
    *(passages.c[name] for name in ("key", "ordinal", "start", "end", "text", "sentences", "checksum")),
    *(
        articles.c[name]
        for name in ("id", "digest", "title", "source", "url", "author", "published", "duplicate_group")
    ),
]
_ORIGINS = select(places.c.origin, func.count(), func.min(places.c.id)).group_by(places.c.origin)
_JOINED = passages.join(articles, passages.c.article_key == articles.c.key)
_VALUES: BindParameter[Any] = bindparam("values", expanding=True)


@dataclass(frozen=True, slots=True)
class State:
    """The catalogue's row of state; see rag.store.catalog.tables."""

    identity: str
    embedding_model: str
    splitter: str
    dimension: int
    generation: int
    next_article: int
    next_passage: int
    articles: int
    passages: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A removed version of an article: its key and id, and the keys of its passages."""

    article_key: int
    article_id: str
    first_passage: int
    passages: int


@dataclass(frozen=True, slots=True)
class IndexedOrigin:
    """An origin, the number of articles and copies that come from it, and the id of the first of them."""

    origin: str
    articles: int = 0
    first_id: str = ""


@dataclass(frozen=True, slots=True)
class ArticleRow:
    """An article's key, the range of its passages' keys, its day of publication as a number, and its source's key."""

    key: int
    first_passage: int
    passages: int
    published: int
    source: int


class Catalog:
    """The catalogue of one store, opened for reading. Safe to share between threads."""

    def __init__(self, folder: Path, file: Path) -> None:
        """`folder` is the index's, for messages. Raises StoreError if the file is no catalogue."""
        self.folder = folder
        self._engine = open_engine(file)
        self._dimension = 0
        weakref.finalize(self, self._engine.dispose).atexit = False

    @property
    def dimension(self) -> int:
        """The number of dimensions of the vectors; 0 while there are none. It never changes then."""
        self._dimension = self._dimension or self.state().dimension
        return self._dimension

    def state(self) -> State:
        """The present state."""
        with self.reading() as connection:
            return self._state(connection)

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """The articles among these, by id."""
        rows = self._rows(select(*_ENTRY).where(articles.c.id.in_(_VALUES)), article_ids)
        return {row["id"]: entry_from(row) for row in rows}

    def find_by_text(self, digests: Sequence[str]) -> dict[str, ArticleEntry]:
        """The articles with one of these texts, by the text's digest."""
        rows = self._rows(select(*_ENTRY).where(articles.c.text_digest.in_(_VALUES)), digests)
        return {row["text_digest"]: entry_from(row) for row in rows}

    def find_by_group(self, group: str, limit: int) -> list[ArticleEntry]:
        """Articles of a duplicate group."""
        query = select(*_ENTRY).where(articles.c.duplicate_group == group).order_by(articles.c.key).limit(limit)
        return [entry_from(row) for row in self._all(query)]

    def find_by_key(self, keys: Sequence[int]) -> dict[int, ArticleEntry]:
        """The articles with these keys."""
        query = select(articles.c.key, *_ENTRY).where(articles.c.key.in_(_VALUES))
        return {row["key"]: entry_from(row) for row in self._rows(query, keys)}

    def find_by_band(self, hashes: Sequence[int]) -> dict[int, Sketched]:
        """The newest article with each of these bands, by the band's hash."""
        newest = select(bands.c.hash, func.max(bands.c.article_key).label("key")).where(bands.c.hash.in_(_VALUES))
        keys = {row["hash"]: row["key"] for row in self._rows(newest.group_by(bands.c.hash), hashes)}
        columns = select(articles.c.key, articles.c.duplicate_group, articles.c.sketch)
        rows = self._rows(columns.where(articles.c.key.in_(_VALUES)), keys.values())
        found = {row["key"]: Sketched(row["duplicate_group"], row["sketch"]) for row in rows}
        return {band: found[key] for band, key in keys.items() if key in found}

    def find_by_origin(self, origins: Sequence[str]) -> list[ArticleEntry]:
        """The articles of which one place has one of these origins."""
        keys = select(places.c.article_key).where(places.c.origin.in_(_VALUES))
        return [entry_from(row) for row in self._rows(select(*_ENTRY).where(articles.c.key.in_(keys)), origins)]

    def all_entries(self) -> Iterator[ArticleEntry]:
        """All articles by key, read in pages."""
        for rows in self._pages(select(articles.c.key, *_ENTRY), articles.c.key):
            yield from map(entry_from, rows)

    def passages_of(self, article_id: str) -> list[StoredPassage]:
        """The passages of an article in order; none if it is unknown."""
        query = select(*_PASSAGE, passages.c.sentence_vectors).select_from(_JOINED)
        first, count = articles.c.first_passage, articles.c.passages  # by key, as passages have no other index
        own = query.where(articles.c.id.in_(_VALUES), passages.c.key >= first, passages.c.key < first + count)
        rows = self._rows(own.order_by(passages.c.key), [article_id])
        stored = self._stored(rows)
        if len(stored) < len(rows):
            raise StoreError(f"the article {article_id} is damaged in {self.folder}; {repair_hint(self.folder)}")
        return stored

    def passages(self, keys: Sequence[int]) -> list[StoredPassage]:
        """The passages among these keys, in the given order."""
        query = select(*_PASSAGE, passages.c.sentence_vectors).select_from(_JOINED)
        found = {p.passage.key: p for p in self._stored(self._rows(query.where(passages.c.key.in_(_VALUES)), keys))}
        return [found[key] for key in keys if key in found]

    def passage_pages(self, after: int = 0) -> Iterator[list[Passage]]:
        """All passages with keys above `after`, by key, in pages."""
        for rows in self._pages(select(*_PASSAGE).select_from(_JOINED), passages.c.key, after):
            yield [passage_from(row) for row in whole_rows(rows, self.folder)]

    def vector_pages(self, after: int = 0, at_once: int = PAGE) -> Iterator[tuple[list[int], Vectors]]:
        """The keys above `after` and the vectors of all passages, by key, in pages."""
        for rows in self._pages(select(passages.c.key, passages.c.vector), passages.c.key, after, at_once):
            yield [row["key"] for row in rows], self._restored(rows)

    def vectors(self, keys: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of the passages among these keys."""
        rows = self._rows(select(passages.c.key, passages.c.vector).where(passages.c.key.in_(_VALUES)), keys)
        vectors = self._restored(rows)
        return dict(zip([row["key"] for row in rows], vectors, strict=True))

    def stored_articles(self, at_once: int) -> Iterator[list[StoredArticle]]:
        """All articles with everything that was written for them, by key, in pages."""
        columns = select(articles.c.key, articles.c.first_passage, articles.c.sketch, *_ENTRY)
        for rows in self._pages(columns, articles.c.key, at_once=at_once):
            keys = [key for r in rows for key in range(r["first_passage"], r["first_passage"] + r["passages"])]
            stored = {each.passage.key: each for each in self.passages(keys)}
            vectors = self.vectors(keys)
            if len(stored) < len(keys):
                raise StoreError(f"passages of {self.folder} are lost or damaged; {repair_hint(self.folder)}")
            yield [_stored_article(row, stored, vectors) for row in rows]

    def article_keys(self, article_ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """The key of each article among these, and the range of its passages' keys (the first, and how many)."""
        columns = select(articles.c.id, articles.c.key, articles.c.first_passage, articles.c.passages)
        rows = self._rows(columns.where(articles.c.id.in_(_VALUES)), article_ids)
        return {row["id"]: (row["key"], row["first_passage"], row["passages"]) for row in rows}

    def article_rows(self, at_once: int) -> Iterator[list[ArticleRow]]:
        """What the derived indexes need of each article, by key, in pages."""
        own = [articles.c[name] for name in ("key", "first_passage", "passages", "published")]
        joined = select(*own, facets.c.key).select_from(articles.join(facets, articles.c.source == facets.c.source))
        for rows in self._pages(joined, articles.c.key, at_once=at_once):
            yield [ArticleRow(*row.values()) for row in rows]

    def passage_keys(self, article_ids: Sequence[str]) -> Keys:
        """The keys of all passages of these articles, in order."""
        ranges = sorted((first, count) for _, first, count in self.article_keys(article_ids).values())
        return np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(first, first + n) for first, n in ranges)])

    def existing(self, keys: Sequence[int]) -> set[int]:
        """The passages among these keys."""
        return {row["key"] for row in self._rows(select(passages.c.key).where(passages.c.key.in_(_VALUES)), keys)}

    def source_keys(self, sources: Sequence[str]) -> dict[str, int]:
        """The keys of the sources among these."""
        columns = select(facets.c.source, facets.c.key).where(facets.c.source.in_(_VALUES))
        return {row["source"]: row["key"] for row in self._rows(columns, sources)}

    def published(self) -> tuple[date, date] | None:
        """The first and the last day of publication; None if no article has a date."""
        dated = articles.c.published > 0
        with self.reading() as connection:
            first = connection.execute(select(func.min(articles.c.published)).where(dated)).scalar_one()
            last = connection.execute(select(func.max(articles.c.published)).where(dated)).scalar_one()
        days = number_date(first or 0), number_date(last or 0)
        return (days[0], days[1]) if days[0] and days[1] else None

    def origin(self, origin: str) -> IndexedOrigin:
        """What comes from an origin."""
        with self.reading() as connection:
            row = connection.execute(_ORIGINS.where(places.c.origin == origin)).one_or_none()
        return IndexedOrigin(*row) if row else IndexedOrigin(origin)

    def origins_below(self, place: str = "") -> list[IndexedOrigin]:
        """What comes from each origin at and below a file or folder; from all origins without one."""
        query = _ORIGINS.where(at_or_below(places.c.origin, place)) if place else _ORIGINS
        with self.reading() as connection:
            return [IndexedOrigin(*row) for row in connection.execute(query)]

    def removals(self, after: int) -> list[Removal]:
        """The removals that writes after a generation made."""
        columns = select(*(removals.c[name] for name in Removal.__dataclass_fields__))
        with self.reading() as connection:
            rows = connection.execute(columns.where(removals.c.generation > after)).all()
        return [Removal(*row) for row in rows]

    def count_removed(self, after: int) -> int:
        """The number of passages that writes after a generation removed."""
        total = select(func.coalesce(func.sum(removals.c.passages), 0)).where(removals.c.generation > after)
        with self.reading() as connection:
            return int(connection.execute(total).scalar_one())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which each statement sees all that was committed before it."""
        with sql_errors(self.folder), self._engine.connect() as connection:
            yield connection

    def _state(self, connection: Connection) -> State:
        row = connection.execute(_STATE).one_or_none()
        if row is None:
            raise StoreError(f"the catalogue of {self.folder} is empty; {new_index_hint(self.folder)}")
        return State(*row)

    def _all(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self.reading() as connection:
            return connection.execute(query).mappings().all()

    def _rows(self, query: Select[Any], values: Iterable[str] | Iterable[int]) -> list[RowMapping]:
        """The rows of a query with the parameter `values`: any number of any values."""
        unique = [value for value in dict.fromkeys(values) if _is_storable(value)]
        rows: list[RowMapping] = []
        with self.reading() as connection:
            for first in range(0, len(unique), MOST_VALUES):
                rows += connection.execute(query, {"values": unique[first : first + MOST_VALUES]}).mappings()
        return rows

    def _pages(
        self, query: Select[Any], key: Column[int], after: int = 0, at_once: int = PAGE
    ) -> Iterator[Sequence[RowMapping]]:
        page_query = query.where(key > bindparam("after")).order_by(key).limit(at_once)
        while True:
            with self.reading() as connection:
                rows = connection.execute(page_query, {"after": after}).mappings().all()
            if rows:
                yield rows
            if len(rows) < at_once:
                return
            after = rows[-1]["key"]

    def _stored(self, rows: Sequence[RowMapping]) -> list[StoredPassage]:
        return [
            StoredPassage(passage_from(row), unpack_sentences(row["sentence_vectors"], self.dimension))
            for row in whole_rows(rows, self.folder)
        ]

    def _restored(self, rows: Sequence[RowMapping]) -> Vectors:
        try:
            return restored_from([row["vector"] for row in rows], self.dimension)
        except (ValueError, TypeError) as error:
            raise StoreError(f"a vector of {self.folder} is damaged; {repair_hint(self.folder)}") from error


def _is_storable(value: object) -> bool:
    """Whether a row can have this value: SQLite has no text with lone surrogates, which JSON can spell."""
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


_STATE = select(*(state.c[name] for name in State.__dataclass_fields__))


def _stored_article(
    row: RowMapping, stored: Mapping[int, StoredPassage], vectors: Mapping[int, Vectors]
) -> StoredArticle:
    """The article of a row, with those of these passages and vectors that belong to it."""
    own = range(row["first_passage"], row["first_passage"] + row["passages"])
    vectors_of_passages = np.stack([vectors[key] for key in own])
    sentences = [stored[key].sentence_vectors for key in own]
    return stored_from(
        entry_from(row), [stored[key].passage for key in own], vectors_of_passages, sentences, row["sketch"]
    )


def at_or_below(origin: Column[str], place: str) -> ColumnElement[bool]:
    """Whether an origin is a file or folder, or lies below it."""
    return or_(origin == place, origin.between(f"{place}{os.sep}", f"{place}{os.sep}\U0010ffff"))


def open_engine(file: Path, *, writing: bool = False) -> Engine:
    """An engine over a SQLite file that must exist.

    For writing, a transaction takes the lock as it begins: two writers wait for each other instead of failing later.
    """
    mode = "rw" if os.access(file.parent, os.W_OK) else "ro&immutable=1"
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connected(file, mode),
        poolclass=QueuePool,
        max_overflow=-1,
        isolation_level=None if writing else "AUTOCOMMIT",
    )
    if writing:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _connected(file: Path, mode: str) -> sqlite3.Connection:
    uri = f"{file.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute(f"PRAGMA mmap_size={MAPPED_BYTES}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=OFF")
    return connection


def check_built_with(state: State, embedding_model: str, folder: Path) -> None:
    """Raise IndexMismatch if an index was built with another embedding model."""
    if state.embedding_model != embedding_model:
        raise IndexMismatch(
            f"the index {folder} was built with the embedding model {state.embedding_model}, but {embedding_model} is "
            f"configured; set PULLQUOTE_EMBEDDING_MODEL={state.embedding_model}, or run: "
            f"{rebuild_command(folder, embedding_model)}"
        )


@contextmanager
def sql_errors(folder: Path) -> Iterator[None]:
    """Turn errors of SQL and of the disk into StoreError."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise StoreError(
            f"the index {folder} cannot be used ({reason}); check that the folder is writable and the disk not full, "
            f"{repair_hint(folder)}, or {new_index_hint(folder)}"
        ) from error
