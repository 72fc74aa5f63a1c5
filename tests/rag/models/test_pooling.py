"""Batches of texts, and parts that no token lies in."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.models.pooling import batches, fill_missing, part_vectors


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(1, 1024), st.integers(1, 8))
def test_batches_hold_every_text_once_longest_first(lengths: list[int], tokens: int, threads: int) -> None:
    grouped = batches(lengths, tokens, threads)
    order = [i for batch in grouped for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert all(lengths[a] >= lengths[b] for a, b in pairwise(order))
    assert all(len(batch) == 1 or len(batch) * lengths[batch[0]] <= tokens for batch in grouped)
    assert all(len(batch) <= math.ceil(len(lengths) / threads) for batch in grouped)


def test_a_part_is_the_mean_of_the_tokens_inside() -> None:
    tokens = np.eye(4, dtype=np.float32)
    offsets = [(0, 0), (0, 3), (4, 9), (0, 0)]  # the first and the last mark the ends of the text
    assert part_vectors(tokens, offsets, [(0, 9), (4, 9), (10, 12)]).tolist() == [
        [0, 0.5, 0.5, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]
    assert part_vectors(tokens, offsets, []).shape == (0, 4)


def test_only_parts_without_a_token_are_embedded_separately() -> None:
    rows = [np.array([[1, 0], [0, 0]], dtype=np.float32), np.zeros((1, 2), dtype=np.float32)]
    asked: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.full((len(texts), 2), 7, dtype=np.float32)

    fill_missing(["ab", "cde"], [[(0, 1), (1, 2)], [(1, 3)]], rows, embed)
    assert asked == ["b", "de"]
    assert [each.tolist() for each in rows] == [[[1, 0], [7, 7]], [[7, 7]]]
