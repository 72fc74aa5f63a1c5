"""How sure an answer is: three measurements of its hits, and the fitted curve that makes a probability of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Self

from rag.generate import coverage
from rag.lexical import LexicalIndex
from rag.schema import Hit

FITTED = "confidence.json"


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells a good answer from a bad one, each 0–1.

    similarity: of the best sentence to the question (cosine).
    unlike: how little the hits resemble the question in meaning *and* in words: (1 - similarity) times the share
        of the question's words, weighted by rarity, that each hit with its title lacks at least.
    missing: weight of the rarest word of the question that no hit has, as a share of the weight of all.
    """

    similarity: float
    unlike: float
    missing: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """Logistic regression over `Signs`; its numbers are fitted by `eval/fit.py` and kept in `confidence.json`."""

    intercept: float
    weights: Signs

    @classmethod
    def packaged(cls) -> Self:
        """The curve that comes with Pullquote."""
        fitted = json.loads(files("rag").joinpath(FITTED).read_text("utf-8"))
        return cls(fitted["intercept"], Signs(**fitted["weights"]))

    def of(self, signs: Signs) -> float:
        """Probability, 0–1, that an answer made of such hits is right."""
        pairs = zip(astuple(self.weights), astuple(signs), strict=True)
        return 1 / (1 + math.exp(-self.intercept - sum(weight * sign for weight, sign in pairs)))


def signs_of(question: str, hits: Sequence[Hit], lexical: LexicalIndex) -> Signs:
    """Measure how well the hits fit the question, before any answer is made of them."""
    rarity = lexical.rarity(lexical.terms(question))
    similarity = max((score for hit in hits for score in hit.sentence_scores), default=0.0)
    if not hits or not rarity:
        return Signs(similarity, unlike=1 - similarity, missing=0.0)
    words = [frozenset(lexical.terms(hit.passage.indexed_text)) for hit in hits]
    anywhere = frozenset[str]().union(*words)
    return Signs(
        similarity=similarity,
        unlike=(1 - similarity) * (1 - max(coverage(rarity, found) for found in words)),
        missing=max((weight for term, weight in rarity.items() if term not in anywhere), default=0.0)
        / sum(rarity.values()),
    )
