"""Vectors as bytes: a row has the bytes of its scale, a little-endian float32, and then one byte a number.

A number is stored as a share of the row's largest, in 127ths, which changes a cosine by about .0005.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag.models.embedding import Vectors, normalized

SCALE_BYTES = 4

Keys = npt.NDArray[np.int64]
"""Numbers of articles or passages in the catalogue."""
Rows = npt.NDArray[np.int8]
"""Shape (vectors, SCALE_BYTES + dimension)."""


def quantized(vectors: Vectors) -> Rows:
    """The rows of vectors."""
    scales = (np.abs(vectors).max(axis=1, keepdims=True, initial=0) / 127).astype("<f4")
    numbers = np.rint(vectors / np.where(scales > 0, scales, 1)).astype(np.int8)
    return np.hstack([scales.view(np.int8), numbers])


def restored(rows: Rows) -> Vectors:
    """The vectors of rows, of length 1."""
    return normalized(rows[:, SCALE_BYTES:].astype(np.float32))


def products(rows: Rows, vectors: Vectors) -> npt.NDArray[np.float32]:
    """The dot product of each row with a vector, or with each column of a matrix."""
    scales = np.ascontiguousarray(rows[:, :SCALE_BYTES]).view("<f4")
    values = rows[:, SCALE_BYTES:].astype(np.float32) @ vectors
    scaled: npt.NDArray[np.float32] = values * (scales if values.ndim > 1 else scales[:, 0])
    return scaled


def restored_from(packed: list[bytes], dimension: int) -> Vectors:
    """The vectors of rows that were stored as bytes, of length 1."""
    rows = np.frombuffer(b"".join(packed), dtype=np.int8).reshape(-1, SCALE_BYTES + dimension)
    return restored(rows)
