"""Question → hits: dense and full text, fused by score, and sharpened by each passage's best sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.errors import IndexMissing
from rag.index import Index, Near, ingest_command
from rag.models import Embedder, Vectors
from rag.schema import Hit

RERANKED = 16
"""Passages whose sentences are compared with the question, one by one."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds the passages that may answer a question."""

    index: Index
    embedder: Embedder
    candidates: int
    hits: int

    def retrieve(self, question: str) -> list[Hit]:
        """At most `hits` hits, best first; scores are sums of z-scores, comparable within one question only.

        Raises IndexMissing when nothing is indexed.
        """
        vector = self.embedder.embed([question])[0]
        near, lexical = self._candidates(question, vector)
        if not near:
            raise IndexMissing(f"the index {self.index.folder} is empty; fill it: {ingest_command(self.index.folder)}")
        fused = standardized([n.similarity for n in near]) + standardized([lexical.get(n.passage.id, 0) for n in near])
        best = np.argsort(-fused, kind="stable")[: max(RERANKED, self.hits)]
        return self._sharpened([near[i] for i in best], fused[best], vector)

    def _candidates(self, question: str, vector: Vectors) -> tuple[list[Near], dict[str, float]]:
        near = self.index.nearest(vector, self.candidates)
        lexical = dict(self.index.lexical.search(question, self.candidates))
        known = {n.passage.id for n in near}
        return near + self.index.compare(vector, [i for i in lexical if i not in known]), lexical

    def _sharpened(self, near: Sequence[Near], fused: Scores, vector: Vectors) -> list[Hit]:
        """Add the best sentence's similarity to each passage's score, and sort again."""
        spans = [(n.passage, span) for n in near for span in n.passage.sentences]
        similar = self.embedder.embed([passage.slice(span) for passage, span in spans]) @ vector
        hits, position = [], 0
        for n in near:
            count = len(n.passage.sentences)
            hits.append((n.passage, tuple(float(s) for s in similar[position : position + count])))
            position += count
        total = fused + standardized([max(scores, default=0.0) for _, scores in hits])
        order = np.argsort(-total, kind="stable")[: self.hits]
        return [Hit(hits[i][0], float(total[i]), hits[i][1]) for i in order]


def standardized(scores: Sequence[float]) -> Scores:
    """Z-scores: mean 0, standard deviation 1; zeros where all are the same."""
    values = np.asarray(scores, dtype=np.float64)
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 1e-9 else np.zeros_like(values)
