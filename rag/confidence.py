"""How sure an answer is: three measurements of its hits, and the fitted curve that makes a probability of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Self

from rag.lexical import LexicalIndex
from rag.schema import Hit
from rag.sentences import Need

FITTED = "confidence.json"
LONG_QUESTION = 20
"""Words; from here on a question is no longer one."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells a good answer from a bad one, each 0–1.

    similarity: of the best sentence to the question (cosine).
    covered: share of the question's words, weighted by rarity, that the first hit has with its title.
    extent: the similarity times how long the question is, since a long one is met by no sentence as nearly.
    """

    similarity: float
    covered: float
    extent: float


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


def signs_of(need: Need, hits: Sequence[Hit], lexical: LexicalIndex) -> Signs:
    """Measure how well the hits fit the question, before any answer is made of them."""
    similarity = max((score for hit in hits for score in hit.similarities), default=0.0)
    covered = need.share(frozenset(lexical.terms(hits[0].passage.indexed_text))) if hits else 0.0
    length = min(len(need.rarity), LONG_QUESTION) / LONG_QUESTION
    return Signs(similarity, covered, similarity * length)
