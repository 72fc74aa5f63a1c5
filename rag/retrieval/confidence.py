"""The confidence of an answer: features of its hits, turned into a probability by a logistic regression."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Self

from rag.language.question import can_deny, denies, named
from rag.retrieval.scoring import QuestionProfile
from rag.schema import Hit, long_date
from rag.store.derived.fulltext import FullTextIndex

FITTED = "confidence.json"
LONG_QUESTION = 20
"""Terms; a longer question counts as one of this length."""


@dataclass(frozen=True, slots=True)
class Features:
    """What distinguishes a good answer from a bad one, each 0–1, higher is better.

    similarity: cosine of the question and the most similar sentence.
    length_similarity: the same times the question's length, 0–1, since no sentence is very similar to a long question.
    match: semantic or lexical match, 1 - (1 - similarity)(1 - coverage), where coverage is the weighted share of the
    question's terms that the first hit has, title included.
    entities: the share of the question's names and figures that the hits have between them, source and date included.
    polarity: 1; lower if the question is negated but the first hit's best sentence is not. The longer the question, the
    smaller the difference, since it speaks of more than one thing.
    """

    similarity: float
    length_similarity: float
    match: float
    entities: float
    polarity: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """Logistic regression over `Features`; `eval.train.confidence` fits the coefficients of `confidence.json`."""

    intercept: float
    weights: Features

    @classmethod
    def packaged(cls) -> Self:
        """The coefficients that come with Pullquote."""
        fitted = json.loads(files("rag.retrieval").joinpath(FITTED).read_text("utf-8"))
        return cls(fitted["intercept"], Features(**fitted["weights"]))

    def of(self, features: Features) -> float:
        """The probability, 0–1, that an answer from hits with these features is correct."""
        pairs = zip(astuple(self.weights), astuple(features), strict=True)
        return 1 / (1 + math.exp(-self.intercept - sum(weight * feature for weight, feature in pairs)))


def features_of(profile: QuestionProfile, hits: Sequence[Hit], fulltext: FullTextIndex) -> Features:
    """Measure how well the hits fit the question, before an answer is generated; all features are 0 without hits."""
    if not hits:
        return Features(0.0, 0.0, 0.0, 0.0, 0.0)
    first = hits[0]
    similarity = max((score for hit in hits for score in hit.similarities), default=0.0)
    coverage = profile.coverage(frozenset(fulltext.terms(first.passage.indexed_text)))
    length = min(len(profile.rarity), LONG_QUESTION) / LONG_QUESTION
    return Features(
        similarity=similarity,
        length_similarity=similarity * length,
        match=1 - (1 - similarity) * (1 - coverage),
        entities=_entity_coverage(profile.question, hits, fulltext),
        polarity=1 - (1 - length) * (denies(profile.question) and not can_deny(_best_sentence(first))),
    )


def _entity_coverage(question: str, hits: Sequence[Hit], fulltext: FullTextIndex) -> float:
    """The share of the question's names and figures that the hits have; 1 if it has none."""
    entities = set(fulltext.terms(" ".join(named(question))))
    if not entities:
        return 1.0
    shown = (f"{hit.passage.indexed_text} {hit.passage.source} {long_date(hit.passage.published)}" for hit in hits)
    return len(entities & {term for text in shown for term in fulltext.terms(text)}) / len(entities)


def _best_sentence(hit: Hit) -> str:
    _, span = max(zip(hit.fit, hit.passage.sentences, strict=True), default=(0.0, (0, 0)))
    return hit.passage.slice(span)
