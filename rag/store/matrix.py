"""Vectors in a file, one byte a number, read through a memory map: exact search over any of them.

Row n belongs to key n of the catalogue, from which the file can be written again. Knows nothing of articles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.models.embedding import Vectors, normalized

Keys = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Scored = tuple[Keys, Scores]
"""Keys and the similarities of their vectors to a question's."""
BLOCK = 1024
"""Rows, times vectors, that are compared at once: they stay in the processor's cache, and for more, BLAS starts threads
that wait for each other ten times as long as they compute (120,000 rows: 8 ms, with blocks of 4,096 rows 85 ms)."""
_SCALE_BYTES = 4

Rows = npt.NDArray[np.int8]
"""A row has the bytes of its scale, a little-endian float32, and then one byte a number."""


class Matrix:
    """The vectors of keys from 1 on; a removed one is a row of zeros.

    A number is stored as a share of the row's largest, in 127ths, which changes a cosine by about .0005.
    """

    def __init__(self, file: Path | None, dimension: int, rows: Rows | None = None) -> None:
        """Without a file, `rows` are the vectors, in memory."""
        self._file = file
        self._width = _SCALE_BYTES + dimension
        self._rows: Rows = np.zeros((0, self._width), dtype=np.int8) if rows is None else rows

    @classmethod
    def in_memory(cls, pages: Iterator[tuple[list[int], Vectors]], end: int, dimension: int) -> Matrix:
        """The vectors of these pages, where the file is lost."""
        rows = np.zeros((end, _SCALE_BYTES + dimension), dtype=np.int8)
        for keys, vectors in pages:
            rows[keys] = _quantized(vectors)
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
            stream.truncate(end * (_SCALE_BYTES + dimension))
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
            stream.write(_quantized(vectors).tobytes())

    def clear(self, first: int, count: int) -> None:
        """Remove the vectors of `count` keys from `first` on."""
        self.write(first, np.zeros((count, self._width - _SCALE_BYTES), dtype=np.float32))

    def similarities(self, vector: Vectors, keys: Keys) -> Scores:
        """The cosines of these keys' vectors to a vector of length 1; 0 for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        known = keys < len(rows)
        found = np.zeros(len(keys), dtype=np.float32)
        found[known] = _products(rows[keys[known]], vector)
        return found

    def vectors(self, keys: Keys) -> Vectors:
        """The vectors of these keys, one row each, of length 1; zeros for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        found = np.zeros((len(keys), self._width - _SCALE_BYTES), dtype=np.float32)
        known = keys < len(rows)
        found[known] = rows[keys[known], _SCALE_BYTES:]
        return normalized(found)

    def nearest(self, vector: Vectors, limit: int, ranges: npt.NDArray[np.int64]) -> Scored:
        """The keys in these ranges (first, count) with the highest cosines, at most `limit`, best first."""
        keys = _expanded(ranges)
        if not len(keys):
            return keys, np.zeros(0, dtype=np.float32)
        rows = self._read(int(keys.max()) + 1)
        keys = keys[keys < len(rows)]
        scores = np.empty(len(keys), dtype=np.float32)
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            is_contiguous = block[-1] - block[0] + 1 == len(block)
            found = rows[block[0] : block[-1] + 1] if is_contiguous else rows.take(block, axis=0)
            scores[start : start + BLOCK] = _products(found, vector)
        return best(keys, scores, limit)

    def nearest_to_each(self, vectors: Vectors, limit: int, end: int) -> list[Scored]:
        """For each vector the keys below `end` with the highest cosines, at most `limit`, best first."""
        rows = self._read(end)[:end]
        scores = np.zeros((len(vectors), len(rows)), dtype=np.float32)
        block = max(1, BLOCK // max(1, len(vectors)))
        for first in range(1, len(rows), block):
            scores[:, first : first + block] = _products(rows[first : first + block], vectors.T).T
        keys = np.arange(1, max(1, len(rows)))
        return [best(keys, own[1:], limit) for own in scores]

    def _read(self, end: int) -> Rows:
        """The rows; mapped again if the file has grown since."""
        rows = self._rows
        if len(rows) < end and self._file is not None:
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
    width = _SCALE_BYTES + dimension
    return bytes.fromhex(identity)[:width].ljust(width, b"\0")


def _quantized(vectors: Vectors) -> Rows:
    scales = (np.abs(vectors).max(axis=1, keepdims=True, initial=0) / 127).astype("<f4")
    numbers = np.rint(vectors / np.where(scales > 0, scales, 1)).astype(np.int8)
    return np.hstack([scales.view(np.int8), numbers])


def _products(rows: Rows, vectors: Vectors) -> Scores:
    """The dot product of each row with a vector, or with each column of a matrix."""
    scales = np.ascontiguousarray(rows[:, :_SCALE_BYTES]).view("<f4")
    products = rows[:, _SCALE_BYTES:].astype(np.float32) @ vectors
    scaled: Scores = products * (scales if products.ndim > 1 else scales[:, 0])
    return scaled


def _expanded(ranges: npt.NDArray[np.int64]) -> Keys:
    """The keys of ranges (first, count), in order."""
    firsts, counts = ranges.T
    before = np.cumsum(counts) - counts
    keys: Keys = np.repeat(firsts - before, counts) + np.arange(counts.sum())
    return keys
