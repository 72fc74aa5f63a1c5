"""How sure an answer is: a few measurements of its hits, and the fitted curve that makes a probability of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Self

from rag.language.question import can_deny, denies, named
from rag.retrieval.scoring import QuestionProfile
from rag.schema import Hit, Passage, long_date
from rag.store.fulltext import FullTextIndex

FITTED = "confidence.json"
LONG_QUESTION = 20
"""Words; from here on a question is no longer one."""


@dataclass(frozen=True, slots=True)
class Features:
    """What tells a good answer from a bad one, each 0–1, and 1 is good.

    similarity: of the best sentence to the question (cosine).
    extent: the similarity times how long the question is, since a long one is met by no sentence as nearly.
    alike: similar, or in the same words: 1 - (1 - similarity)(1 - covered), where covered is the share of the
    question's words, weighted by rarity, that the first hit has with its title.
    named: the share of the question's names and figures that the hits have between them, be it as source or date.
    agreed: 1; less if the question asks for what is not so, and the first hit's best sentence says only what is, and
    the less, the longer the question: it speaks of more than one thing.
    """

    similarity: float
    extent: float
    alike: float
    named: float
    agreed: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """Logistic regression over `Features`, with the coefficients of `confidence.json`; `eval.train` fits them."""

    intercept: float
    weights: Features

    @classmethod
    def packaged(cls) -> Self:
        """The curve that comes with Pullquote."""
        fitted = json.loads(files("rag.retrieval").joinpath(FITTED).read_text("utf-8"))
        return cls(fitted["intercept"], Features(**fitted["weights"]))

    def of(self, features: Features) -> float:
        """Probability, 0–1, that an answer made of such hits is right."""
        pairs = zip(astuple(self.weights), astuple(features), strict=True)
        return 1 / (1 + math.exp(-self.intercept - sum(weight * sign for weight, sign in pairs)))


def features_of(need: QuestionProfile, hits: Sequence[Hit], fulltext: FullTextIndex) -> Features:
    """Measure how well the hits fit the question, before any answer is made of them; all signs are 0 without hits."""
    if not hits:
        return Features(0.0, 0.0, 0.0, 0.0, 0.0)
    first = hits[0]
    similarity = max((score for hit in hits for score in hit.similarities), default=0.0)
    covered = need.share(frozenset(fulltext.terms(first.passage.indexed_text)))
    length = min(len(need.rarity), LONG_QUESTION) / LONG_QUESTION
    return Features(
        similarity=similarity,
        extent=similarity * length,
        alike=1 - (1 - similarity) * (1 - covered),
        named=_named(need.question, hits, fulltext),
        agreed=1 - (1 - length) * (denies(need.question) and not can_deny(_best_sentence(first))),
    )


def _named(question: str, hits: Sequence[Hit], fulltext: FullTextIndex) -> float:
    """The share of the question's names and figures that the hits have; 1 if there are none."""
    asked = set(fulltext.terms(" ".join(named(question))))
    if not asked:
        return 1.0
    told = {term for hit in hits for term in fulltext.terms(_told_of(hit.passage))}
    return len(asked & told) / len(asked)


def _told_of(passage: Passage) -> str:
    """All that a reader is told of a passage."""
    return f"{passage.indexed_text} {passage.source} {long_date(passage.published)}"


def _best_sentence(hit: Hit) -> str:
    _, span = max(zip(hit.fit, hit.passage.sentences, strict=True), default=(0.0, (0, 0)))
    return hit.passage.slice(span)
