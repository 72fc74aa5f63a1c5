"""Quantized vectors in a file that is read through a memory map: exact search over any of them.

Row n belongs to key n of the catalogue, from which the file can be written again. Knows nothing of articles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.models.embedding import Vectors, normalized
from rag.store.catalog.quantization import SCALE_BYTES, Keys, Rows, products, quantized

Scores = npt.NDArray[np.float32]
Scored = tuple[Keys, Scores]
"""Keys and the similarities of their vectors to a question's."""
BLOCK = 1024
"""Rows, times vectors, that are compared at once: they stay in the processor's cache, and for more, BLAS starts threads
that wait for each other ten times as long as they compute (120,000 rows: 8 ms, with blocks of 4,096 rows 85 ms)."""


class Matrix:
    """The vectors of keys from 1 on; a removed one is a row of zeros."""

    def __init__(self, file: Path | None, dimension: int, rows: Rows | None = None) -> None:
        """Without a file, `rows` are the vectors, in memory."""
        self._file = file
        self._width = SCALE_BYTES + dimension
        self._rows: Rows = np.zeros((0, self._width), dtype=np.int8) if rows is None else rows
        self._read(1)

    @classmethod
    def in_memory(cls, pages: Iterator[tuple[list[int], Vectors]], end: int, dimension: int) -> Matrix:
        """The vectors of these pages, where the file is lost."""
        rows = np.zeros((end, SCALE_BYTES + dimension), dtype=np.int8)
        for keys, vectors in pages:
            rows[keys] = quantized(vectors)
        return cls(None, dimension, rows)

    @classmethod
    def exists(cls, file: Path, identity: str, dimension: int, end: int) -> bool:
        """Whether a file holds the vectors of this index, for all keys below `end`."""
        header = _header(identity, dimension)
        try:
            with file.open("rb") as stream:
                return stream.read(len(header)) == header and file.stat().st_size >= end * len(header)
        except OSError:
            return False

    @classmethod
    def create(cls, file: Path, identity: str, dimension: int) -> None:
        """Replace whatever a file holds by an empty matrix."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_header(identity, dimension))

    @classmethod
    def build(
        cls, file: Path, identity: str, dimension: int, pages: Iterator[tuple[list[int], Vectors]], end: int
    ) -> None:
        """Replace whatever a file holds by these vectors, with rows for all keys below `end`."""
        new = file.with_name(f"{file.name}.new")
        cls.create(new, identity, dimension)
        with new.open("r+b") as stream:
            stream.truncate(end * (SCALE_BYTES + dimension))
        matrix = cls(new, dimension)
        for keys, vectors in pages:
            matrix.set(keys, vectors)
        new.replace(file)

    def set(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Set the vectors of ascending keys."""
        edges = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1] + 1), len(keys)]
        for start, end in pairwise(edges):
            self.write(keys[start], vectors[start:end])

    def write(self, first: int, vectors: Vectors) -> None:
        """Set the vectors of the keys from `first` on."""
        if self._file is None:
            raise ValueError("vectors in memory are not written")
        with self._file.open("r+b") as stream:
            stream.seek(first * self._width)
            stream.write(quantized(vectors).tobytes())

    def clear(self, first: int, count: int) -> None:
        """Remove the vectors of `count` keys from `first` on."""
        self.write(first, np.zeros((count, self.dimension), dtype=np.float32))

    def similarities(self, vector: Vectors, keys: Keys) -> Scores:
        """The cosines of these keys' vectors to a vector of length 1; 0 for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        known = keys < len(rows)
        found = np.zeros(len(keys), dtype=np.float32)
        if known.any():  # without vectors, the rows have no numbers either
            found[known] = products(rows[keys[known]], vector)
        return found

    def vectors(self, keys: Keys) -> Vectors:
        """The vectors of these keys, one row each, of length 1; zeros for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        found = np.zeros((len(keys), self.dimension), dtype=np.float32)
        known = keys < len(rows)
        found[known] = rows[keys[known], SCALE_BYTES:]
        return normalized(found)

    @property
    def is_in_memory(self) -> bool:
        """Whether there is no file."""
        return self._file is None

    @property
    def dimension(self) -> int:
        """The number of dimensions."""
        return self._width - SCALE_BYTES

    def numbers(self, first: int, end: int) -> Rows:
        """The numbers of the keys from `first` to below `end`, one row each, without their scales."""
        return self._read(end)[first:end, SCALE_BYTES:]

    def nearest(self, vector: Vectors, limit: int, keys: Keys) -> Scored:
        """Those of these ascending keys with the highest cosines, at most `limit`, best first."""
        rows = self._read(int(keys[-1]) + 1) if len(keys) else self._rows
        keys = keys[keys < len(rows)]
        scores = np.empty(len(keys), dtype=np.float32)
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            is_contiguous = block[-1] - block[0] + 1 == len(block)
            found = rows[block[0] : block[-1] + 1] if is_contiguous else rows.take(block, axis=0)
            scores[start : start + BLOCK] = products(found, vector)
        return best(keys, scores, limit)

    def _read(self, end: int) -> Rows:
        """The rows; mapped again if the file has grown since. They stay while a rebuild deletes the file."""
        rows = self._rows
        if len(rows) < end and self._file is not None:
            with suppress(FileNotFoundError):
                count = self._file.stat().st_size // self._width
                rows = self._rows = np.memmap(self._file, np.int8, "r", shape=(count, self._width)) if count else rows
        return rows


def best(keys: Keys, scores: Scores, limit: int) -> Scored:
    """The keys with the highest scores, best first."""
    if len(keys) > limit:
        chosen = np.argpartition(scores, -limit)[-limit:]
        keys, scores = keys[chosen], scores[chosen]
    order = np.argsort(-scores, kind="stable")
    return keys[order], scores[order]


def _header(identity: str, dimension: int) -> bytes:
    """Row 0, which belongs to no key, names the index."""
    width = SCALE_BYTES + dimension
    return bytes.fromhex(identity)[:width].ljust(width, b"\0")
