"""Near duplicates: articles in nearly the same words, such as edited wire copy or an updated story."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from zlib import crc32

import numpy as np

from rag.store.catalog.rows import HASH_FACTOR, Sketched, bands_of

SHINGLE = 3
"""Words of a shingle, the unit in which articles are compared."""
HASHES = 64
"""Of the MinHash."""
MULTIPLIERS = np.random.default_rng(1).integers(0, 2**63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
"""A hash function each: the upper half of the product with an odd number (Dietzfelbinger et al., A Reliable Randomized
Algorithm for the Closest-Pair Problem, 1997)."""
BLOCK = 1024
"""Shingles that are hashed at once."""
SAME_ARTICLE = 0.6
"""Jaccard similarity of the shingles from which on two articles are near duplicates; the standard deviation of the
estimate is .06 there (Broder, On the Resemblance and Containment of Documents, 1997)."""


def sketch(text: str) -> str:
    """The MinHash of a text's shingles as base64; empty for a text without words."""
    words = text.lower().split()
    if not words:
        return ""
    hashes = np.array([crc32(word.encode("utf-8", "replace")) for word in words], dtype=np.uint64)
    count = max(1, len(words) - SHINGLE + 1)
    shingles = hashes[:count]
    for i in range(1, min(SHINGLE, len(words))):
        shingles = shingles * HASH_FACTOR + hashes[i : i + count]
    shingles = np.unique(shingles)
    blocks = (shingles[start : start + BLOCK, None] for start in range(0, len(shingles), BLOCK))
    smallest = np.min([((block * MULTIPLIERS) >> np.uint64(32)).min(axis=0) for block in blocks], axis=0)
    return base64.b64encode(smallest.astype("<u4").tobytes()).decode("ascii")


def resemblance(a: str, b: str) -> float:
    """The Jaccard similarity of two texts' shingles, 0–1, estimated from their sketches."""
    if not a or not b:
        return 0.0
    left, right = (np.frombuffer(base64.b64decode(s), dtype="<u4") for s in (a, b))
    return float((left == right).mean()) if len(left) == len(right) else 0.0


def near_duplicate_groups(sketches: Sequence[str], own: Sequence[str], known: Sequence[list[Sketched]]) -> list[str]:
    """The near-duplicate group of each article of a batch: that of its nearest duplicate, or else its `own`.

    Duplicates are looked for among earlier articles of the batch and among `known`, those of the index that may be.
    """
    groups, latest = list[str](), dict[int, int]()
    for i, own_sketch in enumerate(sketches):
        bands = bands_of(own_sketch)
        earlier = {latest[band] for band in bands if band in latest}
        near = [*((groups[j], sketches[j]) for j in earlier), *((k.duplicate_group, k.sketch) for k in known[i])]
        best, group = max(((resemblance(own_sketch, other), group) for group, other in near), default=(0.0, ""))
        groups.append(group if best >= SAME_ARTICLE else own[i])
        latest |= dict.fromkeys(bands, i)
    return groups
