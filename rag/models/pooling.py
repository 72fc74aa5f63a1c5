"""Vectors of texts and of their parts, averaged from the vectors of their tokens ("late pooling").

Günther et al., Late Chunking (2024). A part's vector then reflects the part's context. Knows no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rag.schema import Span

Vectors = npt.NDArray[np.float32]
"""Shape (texts, dimension), rows of length 1, so that a dot product is a cosine."""


def normalized(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def part_vectors(tokens: Vectors, offsets: npt.ArrayLike, parts: Sequence[Span]) -> Vectors:
    """The mean of the tokens inside each part, zeros without any; `tokens` and `offsets` have one row per token."""
    starts, ends = np.asarray(offsets, dtype=np.int64).T
    spans = np.array(parts, dtype=np.int64).reshape(-1, 2)
    inside = (starts >= spans[:, :1]) & (ends <= spans[:, 1:]) & (ends > starts)  # special tokens have no length
    counts = np.maximum(inside.sum(axis=1, keepdims=True), 1).astype(np.float32)
    means: Vectors = inside.astype(np.float32) @ tokens / counts
    return means


def fill_missing(
    texts: Sequence[str],
    parts: Sequence[Sequence[Span]],
    vectors: Sequence[Vectors],
    embed: Callable[[list[str]], Vectors],
) -> None:
    """Replace the rows of zeros: embed those parts separately, all at once."""
    missing = [(i, int(n)) for i, rows in enumerate(vectors) for n in np.flatnonzero(~rows.any(axis=1))]
    found = embed([texts[i][slice(*parts[i][n])] for i, n in missing]) if missing else ()
    for (i, n), vector in zip(missing, found, strict=True):
        vectors[i][n] = vector


def batches(lengths: Sequence[int], tokens: int, threads: int) -> list[list[int]]:
    """Indexes of texts grouped by length, longest first: padded, a batch of several texts has at most so many tokens.

    No batch has more than its share of the texts, so that every thread has one.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    share = math.ceil(len(order) / threads)
    grouped: list[list[int]] = []
    while order:
        size = max(1, min(share, tokens // max(1, lengths[order[0]])))
        grouped.append(order[:size])
        order = order[size:]
    return grouped
