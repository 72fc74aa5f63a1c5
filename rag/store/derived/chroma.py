"""Chroma: the passages' vectors, by their keys in the catalogue. The only file that imports chromadb.

Derived data: lost or damaged, it is written again from the catalogue. Knows nothing of articles and texts.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.store.catalog.quantization import Keys
from rag.store.derived.chroma_files import has_checksums, is_intact, reserved
from rag.store.derived.matrix import Scored
from rag.store.files import DerivedState
from rag.store.hints import repair_hint

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

COLLECTION = "passages"
HNSW = {"space": "cosine", "max_neighbors": 8, "ef_construction": 40, "ef_search": 400, "sync_threshold": 20_000}
"""Measured on 100,000 passages: of the 10 nearest .991 are found and of the 100 nearest .962, in 2.6 ms. Chroma's own
settings (16 neighbors, construction 100, search 100) find .995 and .922, and take 2.8 times as long to build. The graph
is saved after so many writes; each saving writes a list of all ids."""
BATCH = 5_000
"""Rows of one request. Chroma writes at most 5,461, and SQLite below it takes 32,766 variables."""
_opened = count(1)


class ChromaVectors:
    """The vectors in a folder, as they were when it was opened, and what is written through this object."""

    def __init__(self, folder: Path, client: Client, collection: Collection, state: DerivedState) -> None:
        self.folder, self.state = folder, state
        self._client, self._collection = client, collection
        weakref.finalize(self, client.close).atexit = False

    @classmethod
    def open(cls, folder: Path, identity: str) -> ChromaVectors | None:
        """The vectors of an index; None if the folder has none of it. Raises StoreError if Chroma cannot read it."""
        from chromadb.errors import NotFoundError

        state = DerivedState.read(folder)
        if state.identity != identity:
            return None
        with chroma_errors(folder):
            client = open_client(folder)
            try:
                # Without an embedding function: Chroma's own would download a model.
                collection = client.get_collection(COLLECTION, embedding_function=None)
            except NotFoundError:
                client.close()
                return None
        return cls(folder, client, collection, state)

    @classmethod
    def open_intact(cls, folder: Path, identity: str) -> ChromaVectors | None:
        """As `open`, with the vectors in memory; None as well while they are being changed.

        Raises StoreError for damaged files, which would crash Chroma.
        """
        with reserved(folder, wait=False) as is_ours:
            if not is_ours or not has_checksums(folder):
                return None
            if not is_intact(folder):
                index = folder.parent.parent
                raise StoreError(f"the files of the vectors of {index} are damaged; {repair_hint(index)}")
            vectors = cls.open(folder, identity)
            if vectors:
                vectors.load()
        return vectors

    @classmethod
    def create(cls, folder: Path, identity: str) -> ChromaVectors:
        """Replace whatever a folder holds by an empty collection."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with chroma_errors(folder):
            client = open_client(folder)
            configuration: Any = {"hnsw": HNSW}
            collection = client.create_collection(COLLECTION, embedding_function=None, configuration=configuration)
        state = DerivedState(identity)
        state.write(folder)
        return cls(folder, client, collection, state)

    def count(self) -> int:
        """The number of vectors."""
        with chroma_errors(self.folder):
            return self._collection.count()

    def load(self) -> None:
        """Read the vectors into memory, as the first search would."""
        for vector in self.vectors([int(i) for i in self._collection.peek(1)["ids"]]).values():
            self.nearest(vector, 1)

    def nearest(self, vector: Vectors, limit: int) -> Scored:
        """The keys of the nearest vectors, at most `limit`, nearest first. Raises StoreError."""
        return self.nearest_to_each(vector.reshape(1, -1), limit)[0]

    def nearest_to_each(self, vectors: Vectors, limit: int) -> list[Scored]:
        """For each vector the keys of the nearest ones, at most `limit`, nearest first. Raises StoreError."""
        with chroma_errors(self.folder):
            found = self._collection.query(query_embeddings=vectors, n_results=limit, include=["distances"])
            return [
                (np.array([int(i) for i in ids], dtype=np.int64), 1 - np.asarray(distances, dtype=np.float32))
                for ids, distances in zip(found["ids"], found["distances"] or [], strict=True)
            ]

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Add or replace the vectors of these keys."""
        with chroma_errors(self.folder):
            for batch in _batches(len(keys)):
                self._collection.upsert(ids=[str(key) for key in keys[batch]], embeddings=vectors[batch])

    def delete(self, keys: Keys) -> None:
        """Delete the vectors of these keys; unknown ones are ignored."""
        with chroma_errors(self.folder):
            for batch in _batches(len(keys)):
                self._collection.delete(ids=[str(key) for key in keys[batch]])

    def record(self, generation: int, through: int) -> None:
        """Record what is now held."""
        self.state = DerivedState(self.state.identity, generation, through)
        self.state.write(self.folder)

    def keys(self) -> Iterator[int]:
        """The keys of all vectors, in any order."""
        with chroma_errors(self.folder):
            for offset in range(0, self._collection.count(), BATCH):
                yield from map(int, self._collection.get(limit=BATCH, offset=offset, include=[])["ids"])

    def vectors(self, keys: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of the keys among these. Raises StoreError if one is damaged."""
        found: dict[int, Vectors] = {}
        with chroma_errors(self.folder):
            for batch in _batches(len(keys)):
                rows = self._collection.get(ids=[str(key) for key in keys[batch]], include=["embeddings"])
                found |= zip(map(int, rows["ids"]), np.asarray(rows["embeddings"], dtype=np.float32), strict=True)
        return found


def _batches(length: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, length, BATCH))


def open_client(folder: Path) -> Client:
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
def chroma_errors(folder: Path) -> Iterator[None]:
    """Turn errors of Chroma, SQLite and the disk into StoreError."""
    import sqlite3

    from chromadb.errors import ChromaError

    try:
        yield
    except BaseException as error:
        # Chroma panics on some damaged files; the class of its panics cannot be imported.
        is_panic = type(error).__name__ == "PanicException"
        if not is_panic and not isinstance(error, ChromaError | sqlite3.Error | OSError | ValueError | TypeError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        index = folder.parent.parent
        raise StoreError(f"the vectors of {index} cannot be used ({reason}); {repair_hint(index)}") from error
