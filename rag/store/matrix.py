"""Vectors in a file, one byte a number, read through a memory map: exact search over any of them.

Row n belongs to key n of the catalogue, from which the file can be written again. Knows nothing of articles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.models.embedding import Vectors, normalized

Keys = npt.NDArray[np.int64]
Scored = tuple[Keys, npt.NDArray[np.float32]]
"""Keys and the similarities of their vectors to a question's."""
BLOCK = 4096
"""Rows that are compared at once, so that they stay in the processor's cache."""
_IDENTITY_BYTES = 16


class Matrix:
    """The vectors of keys from 1 on; a removed one is a row of zeros.

    A number is stored as a share of the row's largest, in 127ths, which changes a cosine by about .0005.
    """

    def __init__(self, file: Path | None, dimension: int, rows: npt.NDArray[Any] | None = None) -> None:
        """Without a file, `rows` are the vectors, in memory."""
        self._file = file
        self._type = _row_type(dimension)
        self._rows = np.zeros(0, self._type) if rows is None else rows

    @classmethod
    def in_memory(cls, pages: Iterator[tuple[list[int], Vectors]], end: int, dimension: int) -> Matrix:
        """The vectors of these pages, where the file is lost."""
        rows = np.zeros(end, _row_type(dimension))
        for keys, vectors in pages:
            rows[keys] = _quantized(vectors)
        return cls(None, dimension, rows)

    @classmethod
    def exists(cls, file: Path, identity: str, dimension: int, end: int) -> bool:
        """Whether a file holds the vectors of this index, for all keys below `end`."""
        row = _row_type(dimension)
        try:
            with file.open("rb") as stream:
                header = stream.read(row.itemsize)
            return header == _header(identity, dimension) and file.stat().st_size >= end * row.itemsize
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
            stream.truncate(end * _row_type(dimension).itemsize)
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
            stream.seek(first * self._type.itemsize)
            stream.write(_quantized(vectors).tobytes())

    def clear(self, first: int, count: int) -> None:
        """Remove the vectors of `count` keys from `first` on."""
        self.write(first, np.zeros((count, self._type["numbers"].shape[0]), dtype=np.float32))

    def similarities(self, vector: Vectors, keys: Keys) -> npt.NDArray[np.float32]:
        """The cosines of these keys' vectors to a vector of length 1; 0 for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        known = keys < len(rows)
        found = np.zeros(len(keys), dtype=np.float32)
        found[known] = _products(rows[keys[known]], vector)
        return found

    def vectors(self, keys: Keys) -> Vectors:
        """The vectors of these keys, one row each, of length 1; zeros for unknown keys."""
        rows = self._read(int(keys.max(initial=0)) + 1)
        found = np.zeros((len(keys), self._type["numbers"].shape[0]), dtype=np.float32)
        known = keys < len(rows)
        found[known] = rows[keys[known]]["numbers"]
        return normalized(found)

    def nearest(self, vector: Vectors, limit: int, ranges: npt.NDArray[np.int64]) -> Scored:
        """The keys in these ranges (first, count) with the highest cosines, at most `limit`, in any order."""
        if not ranges.sum(initial=0, axis=0)[1:].any():
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        rows = self._read(int(ranges.sum(axis=1).max()))
        keys: list[Keys] = []
        scores: list[npt.NDArray[np.float32]] = []
        for block in _blocks(ranges):
            block = block[block < len(rows)]  # noqa: PLW2901
            contiguous = len(block) and block[-1] - block[0] + 1 == len(block)
            scores.append(_products(rows[block[0] : block[-1] + 1] if contiguous else rows[block], vector))
            keys.append(block)
        return best(np.concatenate(keys), np.concatenate(scores), limit)

    def nearest_to_each(self, vectors: Vectors, limit: int, end: int) -> list[Scored]:
        """For each vector the keys below `end` with the highest cosines, at most `limit`, best first."""
        rows = self._read(end)
        found: list[Scored] = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)) for _ in vectors]
        for first in range(1, min(end, len(rows)), BLOCK):
            block = rows[first : min(first + BLOCK, end)]
            products = _products(block, vectors.T)
            keys = np.arange(first, first + len(block))
            found = [
                best(np.concatenate([known, keys]), np.concatenate([scores, products[:, i]]), limit)
                for i, (known, scores) in enumerate(found)
            ]
        return found

    def _read(self, end: int) -> npt.NDArray[Any]:
        """The rows; mapped again if the file has grown since."""
        rows = self._rows
        if len(rows) < end and self._file is not None:
            count = self._file.stat().st_size // self._type.itemsize
            rows = self._rows = np.memmap(self._file, self._type, "r", shape=(count,)) if count else rows
        return rows


def best(keys: Keys, scores: npt.NDArray[np.float32], limit: int) -> Scored:
    """The keys with the highest scores, best first."""
    if len(keys) > limit:
        chosen = np.argpartition(scores, -limit)[-limit:]
        keys, scores = keys[chosen], scores[chosen]
    order = np.argsort(-scores, kind="stable")
    return keys[order], scores[order]


def _row_type(dimension: int) -> np.dtype[Any]:
    return np.dtype([("scale", "<f4"), ("numbers", "i1", (dimension,))])


def _header(identity: str, dimension: int) -> bytes:
    """Row 0, which belongs to no key, names the index."""
    row = np.zeros(1, _row_type(dimension))
    return (bytes.fromhex(identity)[:_IDENTITY_BYTES] + row.tobytes())[: row.nbytes]


def _quantized(vectors: Vectors) -> npt.NDArray[Any]:
    rows = np.zeros(len(vectors), _row_type(vectors.shape[1]))
    rows["scale"] = np.abs(vectors).max(axis=1, initial=0) / 127
    rows["numbers"] = np.rint(vectors / np.where(rows["scale"] > 0, rows["scale"], 1)[:, None])
    return rows


def _products(rows: npt.NDArray[Any], vectors: Vectors) -> npt.NDArray[np.float32]:
    """The dot product of each row with a vector, or with each column of a matrix."""
    products = rows["numbers"].astype(np.float32) @ vectors
    scales = rows["scale"]
    scaled: npt.NDArray[np.float32] = products * (scales[:, None] if products.ndim > 1 else scales)
    return scaled


def _blocks(ranges: npt.NDArray[np.int64]) -> Iterator[Keys]:
    """The keys of ranges in blocks."""
    firsts, counts = ranges.T
    ends = np.cumsum(counts)
    for start in range(0, int(ends[-1]), BLOCK):
        numbers = np.arange(start, min(start + BLOCK, int(ends[-1])))
        owner = np.searchsorted(ends, numbers, side="right")
        yield firsts[owner] + numbers - (ends[owner] - counts[owner])
