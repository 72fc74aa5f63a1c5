"""Articles that tell the same in nearly the same words: wire copy with small edits, a story that was updated."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from rag.models.embedding import Vectors, normalized
from rag.store.rows import Neighbour

SHINGLE = 3
"""Words; what two articles have in common is counted in runs of so many."""
HASHES = 64
SEED = 1
SAME = 0.6
"""Shingles in common, of all of both (Jaccard), from which on two articles tell one story; the estimate's standard
deviation is .06 there (Broder, On the Resemblance and Containment of Documents, 1997)."""
NEAREST, NEAR = 5, 0.8
"""Articles nearest in meaning that are compared, and the cosine of their vectors below which there is no need to."""


def sketch(text: str) -> str:
    """What a text's shingles are compared by: a MinHash of so many hashes, as base64; empty for a text of no words."""
    from datasketch import MinHash

    words = text.lower().split()
    if not words:
        return ""
    shingles = {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}
    minhash = MinHash(num_perm=HASHES, seed=SEED)
    minhash.update_batch([shingle.encode("utf-8", "replace") for shingle in shingles])
    return base64.b64encode(minhash.digest().astype("<u4").tobytes()).decode("ascii")


def resemblance(a: str, b: str) -> float:
    """The share of shingles that two texts have in common, estimated from their sketches: 0–1."""
    if not a or not b:
        return 0.0
    left, right = (np.frombuffer(base64.b64decode(s), dtype="<u4") for s in (a, b))
    return float((left == right).mean()) if len(left) == len(right) else 0.0


def near_duplicate_groups(
    vectors: Vectors, sketches: Sequence[str], own: Sequence[str], known: Sequence[list[Neighbour]]
) -> list[str]:
    """The story that each article of a batch tells: that of a near one that is known, or of one before it in the batch.

    Else its own. `vectors` has a row an article; `known` are those near to each in the index.
    """
    rows, found = normalized(vectors), list[str]()
    for i, mine in enumerate(sketches):
        before = [(float(rows[j] @ rows[i]), found[j], sketches[j]) for j in range(i)]
        near = [*before, *((n.similarity, n.duplicate_group, n.sketch) for n in known[i])]
        same = [(resemblance(mine, other), group) for cosine, group, other in near if cosine >= NEAR]
        best = max(same, default=(0.0, ""))
        found.append(best[1] if best[0] >= SAME else own[i])
    return found
