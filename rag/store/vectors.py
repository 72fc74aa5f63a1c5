"""Chroma: the collections of a folder, and requests of any size. The only file that imports chromadb.

Chroma writes at most `get_max_batch_size()` rows in one request, and SQLite below it takes 32,766 variables: a request
for more rows, a list of more values in a condition, or an answer of more rows fails. `BatchedCollection` splits each
request to fit. Knows nothing of articles and passages.
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


MAX_MATCHES = 30_000
"""Rows that one search returns: each takes one of SQLite's variables."""

Column = Literal["documents", "embeddings", "metadatas"]
Metadata = Mapping[str, Any]
"""Of a row, or of a collection."""
Conditions = Sequence[Mapping[str, Any]]
"""In Chroma's form, such as {"source": {"$in": ["A", "B"]}}; a row must meet all of them."""


class Rows(TypedDict, total=False):
    """Ids of rows, and the requested columns; None where Chroma has lost a value."""

    ids: list[str]
    documents: list[str | None]
    embeddings: list[Any]
    metadatas: list[Metadata | None]


@dataclass(frozen=True, slots=True)
class Match:
    """A row found by a vector: its id, its cosine similarity, and its metadata."""

    id: str
    similarity: float
    metadata: Metadata


class LostVectors(Exception):
    """Chroma cannot search by a vector, because its graph of vectors refers to one that is lost."""


@dataclass(frozen=True, slots=True)
class BatchedCollection:
    """One collection. Every method accepts any number of ids, rows, vectors or values."""

    _collection: Collection
    _batch_size: int

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    @property
    def metadata(self) -> Metadata:
        """The collection's own metadata when it was opened, or last modified here."""
        return self._collection.metadata or {}

    def modify(self, metadata: Metadata) -> None:
        """Replace the collection's own metadata."""
        self._collection.modify(metadata=dict(metadata))

    def count(self) -> int:
        """The number of rows."""
        return self._collection.count()

    def get(self, ids: Iterable[str], *columns: Column) -> Rows:
        """The rows with these ids, in any order; unknown ids are left out."""
        unique = list(dict.fromkeys(ids))
        pages = (self._collection.get(ids=unique[batch], include=list(columns)) for batch in self._batches(len(unique)))
        return _joined(pages, columns)

    def find(self, conditions: Conditions, *columns: Column, limit: int = sys.maxsize) -> Rows:
        """The rows that meet these conditions, at most `limit` of them."""
        return _joined(self._find_pages(conditions, columns, limit), columns, limit)

    def _find_pages(self, conditions: Conditions, columns: Sequence[Column], limit: int) -> Iterator[Mapping[str, Any]]:
        size, left = min(limit, self._batch_size), limit
        for where in self._where_clauses(conditions):
            for offset in count(0, size):
                page = self._collection.get(where=where, limit=size, offset=offset, include=list(columns))
                yield page
                left -= len(page["ids"])
                if left <= 0:
                    return
                if len(page["ids"]) < size:
                    break

    def pages(self, size: int, *columns: Column, backwards: bool = False) -> Iterator[Rows]:
        """All rows in pages of `size`. Backwards, a page may be deleted before the next one is read."""
        size = min(size, self._batch_size)
        offsets = range(0, self.count(), size)
        for offset in reversed(offsets) if backwards else offsets:
            yield cast("Rows", self._collection.get(limit=size, offset=offset, include=list(columns)))

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of these rows by id, without those that Chroma has lost."""
        found: dict[str, Vectors] = {}
        for batch in self._batches(len(ids)):
            found |= self._intact_vectors(list(dict.fromkeys(ids[batch])))
        return found

    def _intact_vectors(self, ids: list[str]) -> dict[str, Vectors]:
        from chromadb.errors import InternalError

        try:
            found = self._collection.get(ids=ids, include=["embeddings"])
        except InternalError:  # one lost vector fails the whole request
            middle = len(ids) // 2
            return {**self._intact_vectors(ids[:middle]), **self._intact_vectors(ids[middle:])} if middle else {}
        return dict(zip(found["ids"], np.asarray(found["embeddings"], dtype=np.float32), strict=True))

    def nearest(
        self, vectors: Vectors, limit: int, conditions: Conditions = (), *, with_metadata: bool = False
    ) -> list[list[Match]]:
        """For each vector the nearest rows that meet the conditions, at most `limit`, nearest first.

        Their metadata is empty unless requested. Raises LostVectors.
        """
        found: list[list[Match]] = [[] for _ in vectors]
        for where in self._where_clauses(conditions):
            for batch in self._batches(len(vectors)):
                matches = self._query(vectors[batch], min(limit, MAX_MATCHES), where, with_metadata=with_metadata)
                found[batch] = [[*known, *more] for known, more in zip(found[batch], matches, strict=True)]
        return [heapq.nlargest(limit, matches, key=lambda match: match.similarity) for matches in found]

    def _query(self, vectors: Vectors, limit: int, where: Any, *, with_metadata: bool) -> Iterator[list[Match]]:
        from chromadb.errors import InternalError

        columns: list[Any] = ["distances", "metadatas"] if with_metadata else ["distances"]
        try:
            found = self._collection.query(query_embeddings=vectors, n_results=limit, where=where, include=columns)
        except InternalError as error:
            raise LostVectors(str(error)) from error
        metadatas = found["metadatas"] or [[{}] * len(ids) for ids in found["ids"]]
        for result in zip(found["ids"], found["distances"] or (), metadatas, strict=True):
            yield [Match(i, 1 - float(distance), row or {}) for i, distance, row in zip(*result, strict=True)]

    def upsert(
        self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Metadata], documents: Sequence[str] | None = None
    ) -> None:
        """Add or replace these rows."""
        for batch in self._batches(len(ids)):
            self._collection.upsert(
                ids=list(ids[batch]),
                embeddings=vectors[batch],
                metadatas=list(rows[batch]),
                documents=None if documents is None else list(documents[batch]),
            )

    def update(self, ids: Sequence[str], rows: Sequence[Metadata]) -> None:
        """Set the given keys of these rows' metadata; other keys stay."""
        for batch in self._batches(len(ids)):
            self._collection.update(ids=list(ids[batch]), metadatas=list(rows[batch]))

    def delete(self, ids: Iterable[str]) -> None:
        """Delete these rows."""
        unique = sorted(set(ids))
        for batch in self._batches(len(unique)):
            self._collection.delete(ids=unique[batch])

    def _batches(self, length: int) -> Iterator[slice]:
        return (slice(start, start + self._batch_size) for start in range(0, length, self._batch_size))

    def _where_clauses(self, conditions: Conditions) -> Iterator[Any]:
        """Clauses with short lists; a row that meets all conditions meets exactly one. None matches all rows."""
        for chosen in product(*([*self._split(condition)] for condition in conditions)):
            yield {"$and": [*chosen]} if len(chosen) > 1 else chosen[0] if chosen else None

    def _split(self, condition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """A condition with a long list as several with short ones."""
        [(name, test)] = condition.items()
        if not (isinstance(test, Mapping) and "$in" in test):
            yield condition
            return
        values = list(dict.fromkeys(test["$in"]))
        for batch in self._batches(len(values)):
            yield {name: {"$in": values[batch]}}


class Database:
    """The collections of a folder, as they were when it was opened. Must be closed after use."""

    def __init__(self, folder: Path) -> None:
        self._client = client(folder)

    def collections(self) -> dict[str, Metadata]:
        """The metadata of each collection, by name."""
        return {collection.name: collection.metadata or {} for collection in self._client.list_collections()}

    def collection(self, name: str) -> BatchedCollection:
        """The collection of this name."""
        # Without an embedding function: Chroma's own would download a model.
        collection = self._client.get_collection(name, embedding_function=None)
        return BatchedCollection(collection, self._client.get_max_batch_size())

    def create(self, name: str, metadata: Metadata) -> None:
        """Create a collection unless there is one of this name."""
        self._client.get_or_create_collection(
            name, metadata=dict(metadata), embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def drop(self, name: str) -> None:
        """Delete a collection with its rows."""
        self._client.delete_collection(name)

    def close(self) -> None:
        """Release the folder's files."""
        self._client.close()


_opened = count(1)


def client(folder: Path) -> Client:
    """A new client, which sees everything written so far.

    Chroma keeps one system, with its vectors, for each spelling of a path. A new spelling ("/./" and "//./" for the
    binary digits of a running number) creates a new system, which sees what was written since, and can be closed
    without closing the one that another thread still reads from.
    """
    import chromadb
    from chromadb.config import Settings

    spelling = "".join("/." if digit == "0" else "//." for digit in f"{next(_opened):b}")
    settings = Settings(anonymized_telemetry=False)
    return cast("Client", chromadb.PersistentClient(f"{folder.resolve()}{spelling}", settings=settings))


@contextmanager
def store_errors(folder: Path) -> Iterator[None]:
    """Turn errors of Chroma, SQLite and the disk into StoreError.

    A missing collection was replaced by another process, which is IndexChanging.
    """
    import sqlite3

    from chromadb.errors import ChromaError, NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise index_changing(folder) from error
    except (ChromaError, sqlite3.Error, OSError, LostVectors) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"the index {folder} cannot be used ({reason}); check that the folder is writable and the disk not full, "
            f"{repair_hint(folder)}, or {new_index_hint(folder)}"
        ) from error


def index_changing(folder: Path) -> IndexChanging:
    """The error for an index whose parts do not fit together."""
    return IndexChanging(
        f"the index {folder} is being changed by another process; try again in a moment, and if nothing writes to it, "
        f"{repair_hint(folder)}"
    )


def _joined(pages: Iterable[Mapping[str, Any]], columns: Sequence[Column], limit: int = sys.maxsize) -> Rows:
    """Several results as one."""
    joined: dict[str, list[Any]] = {"ids": [], **{column: [] for column in columns}}
    for page in pages:
        for name, values in joined.items():
            values.extend(page[name])
    return cast("Rows", {name: values[:limit] for name, values in joined.items()})
