"""Chroma: the collections of a folder, and requests of any size. The only file that imports chromadb.

Chroma writes at most `get_max_batch_size()` rows in one request, and SQLite below it takes 32,766 variables: a request
for more rows, a list of more values in a condition, or an answer of more rows fails. `Rows` cuts each request to fit.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

import numpy as np

from rag.errors import IndexChanging, StoreError
from rag.models.embedding import Vectors
from rag.store.hints import new_index_hint, repair_hint

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection


MOST_NEAREST = 30_000
"""Rows that one search returns: each takes one of SQLite's variables."""

Column = Literal["documents", "embeddings", "metadatas"]
Row = Mapping[str, Any]
"""A row's metadata."""
Terms = Sequence[Mapping[str, Any]]
"""Conditions in Chroma's form, such as {"source": {"$in": ["A", "B"]}}, all of which a row must meet."""


class Found(TypedDict, total=False):
    """Rows: their ids, and of the other columns those that were asked for; None where Chroma has lost one."""

    ids: list[str]
    documents: list[str | None]
    embeddings: list[Any]
    metadatas: list[Row | None]


@dataclass(frozen=True, slots=True)
class Near:
    """A row near to a vector, its cosine similarity, and its metadata."""

    id: str
    similarity: float
    row: Row


class LostVectors(Exception):
    """Chroma cannot search by a vector, because its graph of vectors leads to one that is lost."""


@dataclass(frozen=True, slots=True)
class BatchedCollection:
    """The rows of one collection. Every method may be given as many ids, rows, vectors or values as there are."""

    _collection: Collection
    _at_once: int

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    @property
    def metadata(self) -> Row:
        """What the collection said of itself when it was opened, or last modified here."""
        return self._collection.metadata or {}

    def modify(self, metadata: Row) -> None:
        """Change what the collection says of itself."""
        self._collection.modify(metadata=dict(metadata))

    def count(self) -> int:
        """How many rows there are."""
        return self._collection.count()

    def get(self, ids: Iterable[str], *columns: Column) -> Found:
        """Those of these rows that are there, in any order."""
        unique = list(dict.fromkeys(ids))
        pages = (self._collection.get(ids=unique[part], include=list(columns)) for part in self._parts(len(unique)))
        return _joined(pages, columns)

    def find(self, terms: Terms, *columns: Column, limit: int = sys.maxsize) -> Found:
        """The rows that meet these terms; at most `limit` of them."""
        return _joined(self._pages(terms, columns, limit), columns, limit)

    def _pages(self, terms: Terms, columns: Sequence[Column], limit: int) -> Iterator[Mapping[str, Any]]:
        size, left = min(limit, self._at_once), limit
        for where in self._conditions(terms):
            for offset in count(0, size):
                found = self._collection.get(where=where, limit=size, offset=offset, include=list(columns))
                yield found
                left -= len(found["ids"])
                if left <= 0:
                    return
                if len(found["ids"]) < size:
                    break

    def pages(self, size: int, *columns: Column, backwards: bool = False) -> Iterator[Found]:
        """All rows, so many at a time; backwards, a page may be deleted while the pages before it are still to come."""
        size = min(size, self._at_once)
        offsets = range(0, self.count(), size)
        for offset in reversed(offsets) if backwards else offsets:
            yield cast("Found", self._collection.get(limit=size, offset=offset, include=list(columns)))

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these rows, without those that Chroma has lost."""
        found: dict[str, Vectors] = {}
        for part in self._parts(len(ids)):
            found |= self._kept_vectors(list(dict.fromkeys(ids[part])))
        return found

    def _kept_vectors(self, ids: list[str]) -> dict[str, Vectors]:
        from chromadb.errors import InternalError

        try:
            found = self._collection.get(ids=ids, include=["embeddings"])
        except InternalError:  # one lost vector spoils all that were asked for with it
            middle = len(ids) // 2
            return {**self._kept_vectors(ids[:middle]), **self._kept_vectors(ids[middle:])} if middle else {}
        return dict(zip(found["ids"], np.asarray(found["embeddings"], dtype=np.float32), strict=True))

    def nearest(self, vectors: Vectors, limit: int, terms: Terms = (), *, with_rows: bool = False) -> list[list[Near]]:
        """For each vector the rows nearest to it that meet the terms, at most `limit`, the nearest first.

        Their metadata is read only if it is asked for. Raises LostVectors.
        """
        found: list[list[Near]] = [[] for _ in vectors]
        for where in self._conditions(terms):
            for part in self._parts(len(vectors)):
                near = self._nearest(vectors[part], min(limit, MOST_NEAREST), where, with_rows=with_rows)
                found[part] = [[*one, *more] for one, more in zip(found[part], near, strict=True)]
        return [heapq.nlargest(limit, one, key=lambda near: near.similarity) for one in found]

    def _nearest(self, vectors: Vectors, limit: int, where: Any, *, with_rows: bool) -> Iterator[list[Near]]:
        from chromadb.errors import InternalError

        columns: list[Any] = ["distances", "metadatas"] if with_rows else ["distances"]
        try:
            found = self._collection.query(query_embeddings=vectors, n_results=limit, where=where, include=columns)
        except InternalError as error:
            raise LostVectors(str(error)) from error
        rows = found["metadatas"] or [[{}] * len(ids) for ids in found["ids"]]
        for one in zip(found["ids"], found["distances"] or (), rows, strict=True):
            yield [Near(i, 1 - float(distance), row or {}) for i, distance, row in zip(*one, strict=True)]

    def upsert(
        self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Row], documents: Sequence[str] | None = None
    ) -> None:
        """Add these rows, or replace them."""
        for part in self._parts(len(ids)):
            self._collection.upsert(
                ids=list(ids[part]),
                embeddings=vectors[part],
                metadatas=list(rows[part]),
                documents=None if documents is None else list(documents[part]),
            )

    def update(self, ids: Sequence[str], rows: Sequence[Row]) -> None:
        """Change some of these rows' metadata; what is not named stays."""
        for part in self._parts(len(ids)):
            self._collection.update(ids=list(ids[part]), metadatas=list(rows[part]))

    def delete(self, ids: Iterable[str]) -> None:
        """Remove these rows."""
        unique = sorted(set(ids))
        for part in self._parts(len(unique)):
            self._collection.delete(ids=unique[part])

    def _parts(self, length: int) -> Iterator[slice]:
        return (slice(start, start + self._at_once) for start in range(0, length, self._at_once))

    def _conditions(self, terms: Terms) -> Iterator[Any]:
        """Conditions with short lists, one of which is met by each row that meets all the terms; None for all rows."""
        choices = [[*self._shortened(term)] for term in terms]
        for chosen in product(*choices):
            yield {"$and": [*chosen]} if len(chosen) > 1 else chosen[0] if chosen else None

    def _shortened(self, term: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        [(name, condition)] = term.items()
        if not (isinstance(condition, Mapping) and "$in" in condition):
            yield term
            return
        values = list(dict.fromkeys(condition["$in"]))
        for part in self._parts(len(values)):
            yield {name: {"$in": values[part]}}


class Database:
    """The collections of a folder. Sees what was written before it was opened; to be closed after use."""

    def __init__(self, folder: Path) -> None:
        self._client = client(folder)

    def collections(self) -> dict[str, Row]:
        """What each collection says of itself, by name."""
        return {collection.name: collection.metadata or {} for collection in self._client.list_collections()}

    def rows(self, name: str) -> BatchedCollection:
        """The rows of a collection."""
        # Without an embedding function: Chroma's own would download a model.
        collection = self._client.get_collection(name, embedding_function=None)
        return BatchedCollection(collection, self._client.get_max_batch_size())

    def make(self, name: str, metadata: Row) -> None:
        """Make a collection if there is none of this name."""
        self._client.get_or_create_collection(
            name, metadata=dict(metadata), embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def drop(self, name: str) -> None:
        """Remove a collection with its rows."""
        self._client.delete_collection(name)

    def close(self) -> None:
        """Let go of the folder's files."""
        self._client.close()


_openings = count(1)


def client(folder: Path) -> Client:
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


@contextmanager
def store_errors(folder: Path) -> Iterator[None]:
    """Chroma's own errors, and those of the disk below it, as StoreError.

    A collection that is gone was replaced by another process, which is IndexChanging.
    """
    import sqlite3

    from chromadb.errors import ChromaError, NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise changing(folder) from error
    except (ChromaError, sqlite3.Error, OSError, LostVectors) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"the index {folder} cannot be used ({reason}); check that the folder is writable and the disk not full, "
            f"{repair_hint(folder)}, or {new_index_hint(folder)}"
        ) from error


def changing(folder: Path) -> IndexChanging:
    """What to raise where the parts of an index do not fit together."""
    return IndexChanging(
        f"the index {folder} is being changed by another process; try again in a moment, and if nothing writes to it, "
        f"{repair_hint(folder)}"
    )


def _joined(pages: Iterable[Mapping[str, Any]], columns: Sequence[Column], limit: int = sys.maxsize) -> Found:
    """The rows of several answers as those of one."""
    joined: dict[str, list[Any]] = {"ids": [], **{column: [] for column in columns}}
    for page in pages:
        for name, values in joined.items():
            values.extend(page[name])
    return cast("Found", {name: values[:limit] for name, values in joined.items()})
