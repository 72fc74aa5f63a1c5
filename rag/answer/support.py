"""Decide whether passages support a claim: a sentence that a language model wrote, checked against evidence.

The evidence is up to three neighbouring sentences of a passage. It supports a claim if every figure and name of the
claim is in it, neither negates the other, each clause of the claim is covered, and the weighted sum of the covered
terms and the cosine reaches a threshold. An entailment model, if configured, has to agree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from rag.language.facts import Facts, facts_of, lower_words
from rag.models.cross_encoders import Entailment
from rag.models.embedding import Embedder, Vectors, normalized
from rag.schema import Passage, Quote
from rag.store.derived.fulltext import FullTextIndex
from rag.store.index import Index

SUPPORTED, CLEARLY_SUPPORTED = 0.6, 0.7
"""Support from which on a cited passage, and one that the claim does not cite, count as evidence. All numbers here were
chosen on 540 test sentences about passages of three public sets, and evaluated on 538 others:
docs/language-models.md has the results."""
COVERAGE_WEIGHT, NAME_WEIGHT = 0.6, 0.5
"""Weight of the covered terms in the support (that of the cosine is the rest to 1), and of a name among the terms:
names weigh less, since they must be present anyway."""
LEAST_CLAUSE_COVERAGE = 0.4
"""Share of each clause's terms that must be covered: half of a true sentence may be made up."""
LEAST_NEGATED_COVERAGE = 0.15
"""Share of the claim's terms from which on a sentence of the evidence is about what the claim negates."""
MOST_SENTENCES = 3
"""Neighbouring sentences of a passage that are read as one piece of evidence."""
LENGTH_PENALTY = 0.02
"""Subtracted for each sentence of the evidence, so that the shortest one that suffices is chosen."""
ENTAILED = 0.5
"""Probability from which on the entailment model agrees."""
LEAST_WORDS_OF_A_CLAUSE = 4
SHORT_CLAIM, SHORT_CLAIM_COSINE = 3, 0.6
"""A claim of fewer terms ("It burned.") needs this cosine, unless all its words are in the evidence."""
MOST_BELOW_BEST = 0.15
"""Evidence whose support is further below the best one's is not cited beside it."""
LEAST_CONTRIBUTION = 0.15
"""Share of the claim's terms that each of several passages must add to the others'."""
_LIST_MARKER = re.compile(r"\W*|\(?\w{1,4}[.)]")
"""What may stand between the sentences of one quote: nothing, or the bullet or number of a list item."""
_CLAUSES = re.compile(
    r"[,;:–—]\s++(?:(?:and|but|while|although|though|whereas|so|which|who|yet|or|nor)\b)?"
    r"|(?<!\s)\s++(?:and|but|while|because|after|before|although)\s++",
    re.IGNORECASE,
)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence to be checked: its vector, facts, weighted terms, and the terms of each clause."""

    text: str
    vector: Vectors
    facts: Facts
    term_weights: Mapping[str, float]
    clauses: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, text: str, vector: Vectors, plain: Collection[str], fulltext: FullTextIndex) -> Self:
        """`plain` are words that may begin a sentence without being a name."""
        facts = facts_of(text, plain)
        names = set(fulltext.terms(" ".join(word for name in facts.names for word in name)))
        rarity = fulltext.rarity(fulltext.terms(text))
        weights = {term: weight * (NAME_WEIGHT if term in names else 1) for term, weight in rarity.items()}
        return cls(text, vector, facts, weights, clauses_of(text, fulltext))

    def coverage(self, terms: frozenset[str], of: frozenset[str] | None = None) -> float:
        """The weighted share of the claim's terms, or of those in `of`, that are among `terms`."""
        wanted = self.term_weights if of is None else {term: self.term_weights[term] for term in of}
        total = sum(wanted.values())
        return sum(weight for term, weight in wanted.items() if term in terms) / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Premise:
    """A passage prepared as evidence: the vector, terms and facts of each sentence, and the facts of its metadata.

    `plain` are its words in lower case, which are not names where they begin a sentence.
    """

    passage: Passage
    vectors: Vectors
    terms: tuple[frozenset[str], ...]
    facts: tuple[Facts, ...]
    metadata_facts: Facts
    plain: frozenset[str]

    @classmethod
    def of(cls, passage: Passage, vectors: Vectors, fulltext: FullTextIndex) -> Self:
        """`vectors` has a row for each sentence."""
        texts = [passage.slice(span) for span in passage.sentences]
        metadata = facts_of(". ".join(filter(None, (passage.title, passage.source, passage.author))))
        return cls(
            passage,
            np.asarray(vectors, dtype=np.float32),
            tuple(frozenset(fulltext.terms(text)) for text in texts),
            tuple(map(facts_of, texts)),
            metadata.without_figures(),
            lower_words(passage.text),
        )

    def spans(self) -> Iterator[EvidenceSpan]:
        """One to three neighbouring sentences with nothing unquotable between them, the shortest first."""
        sentences = self.passage.sentences
        between = (self.passage.slice((end, start)).strip() for (_, end), (start, _) in pairwise(sentences))
        separated = [not _LIST_MARKER.fullmatch(text) for text in between]
        for length in range(1, min(len(sentences), MOST_SENTENCES) + 1):
            for first in range(len(sentences) - length + 1):
                if not any(separated[first : first + length - 1]):
                    yield EvidenceSpan(self, first, first + length)


@dataclass(frozen=True, slots=True)
class EvidenceSpan:
    """Neighbouring sentences of a premise, from number `first` up to `end`."""

    premise: Premise
    first: int
    end: int

    @property
    def terms(self) -> frozenset[str]:
        """The terms of the sentences, without those of the title."""
        return _union(self.premise.terms[self.first : self.end])

    @property
    def facts(self) -> tuple[Facts, ...]:
        """The facts of the sentences and of the passage's metadata, which a reader sees beside the quote."""
        return (*self.premise.facts[self.first : self.end], self.premise.metadata_facts)

    @property
    def quote(self) -> Quote:
        """The sentences as one quote."""
        sentences = self.premise.passage.sentences
        return Quote(self.premise.passage, sentences[self.first][0], sentences[self.end - 1][1])

    def similarity(self, vector: Vectors) -> float:
        """The cosine to a claim, 0–1."""
        [own] = normalized(self.premise.vectors[self.first : self.end].sum(axis=0, keepdims=True))
        return float(np.clip(vector @ own, 0, 1))

    def contradicts(self, claim: Claim) -> bool:
        """Whether the claim is negated and the evidence is not, or the other way round."""
        sentences = range(self.first, self.end)
        coverage = {n: claim.coverage(self.premise.terms[n]) for n in sentences}
        if claim.facts.denies:
            return not any(self.premise.facts[n].may_deny and coverage[n] >= LEAST_NEGATED_COVERAGE for n in sentences)
        return self.premise.facts[max(sentences, key=coverage.__getitem__)].says_not


def support(claim: Claim, spans: Sequence[EvidenceSpan]) -> float:
    """How well the spans together support a claim, 0–1; 0 if they contradict it or lack a figure, name or clause."""
    terms = _union(span.terms for span in spans)
    if not claim.term_weights or any(claim.coverage(terms, clause) < LEAST_CLAUSE_COVERAGE for clause in claim.clauses):
        return 0.0
    if all(span.contradicts(claim) for span in spans):
        return 0.0
    facts = [facts for span in spans for facts in span.facts]
    if claim.facts.missing(facts):
        return 0.0
    similarity = max(span.similarity(claim.vector) for span in spans)
    is_literal = claim.facts.words <= _union(each.words for each in facts)
    if len(claim.term_weights) < SHORT_CLAIM and similarity < SHORT_CLAIM_COSINE and not is_literal:
        return 0.0
    return COVERAGE_WEIGHT * claim.coverage(terms) + (1 - COVERAGE_WEIGHT) * similarity


@dataclass(frozen=True, slots=True)
class Verdict:
    """The quotes that support a claim, and how well, 0–1; an unsupported claim has no quotes."""

    quotes: tuple[Quote, ...] = ()
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks claims against passages, by their vectors and terms and, if there is one, an entailment model."""

    index: Index
    embedder: Embedder
    entailment: Entailment | None = None

    def premises(self, passages: Sequence[Passage]) -> list[Premise]:
        """The passages as evidence, in their order."""
        stored = {each.passage.id: each.sentence_vectors for each in self.index.passages([p.key for p in passages])}
        fulltext = self.index.fulltext
        # An ingest may have replaced one of them since it was found.
        return [Premise.of(p, stored[p.id] if p.id in stored else self._vectors(p), fulltext) for p in passages]

    def check(self, text: str, premises: Sequence[Premise], cited: Collection[str]) -> Verdict:
        """Check a sentence against the passages it cites, whose ids are `cited`: each alone, then all of them together.

        If they do not support it, another passage does if its support is clear.
        """
        claim = self._claim(text, premises)
        own = [premise for premise in premises if premise.passage.id in cited]
        spans = self._alone(claim, own, SUPPORTED) or self._together(claim, own)
        if not spans:
            others = [premise for premise in premises if premise.passage.id not in cited]
            clear = self._alone(claim, others, CLEARLY_SUPPORTED)
            spans = sorted(clear, key=lambda span: -support(claim, [span]))[:1]
        if not spans or not self._is_entailed(text, spans):
            return Verdict()
        alone = max(support(claim, [span]) for span in spans)
        return Verdict(tuple(span.quote for span in spans), max(alone, support(claim, spans)))

    def _claim(self, text: str, premises: Sequence[Premise]) -> Claim:
        [vector] = self.embedder.embed_questions([text])
        return Claim.of(text, vector, _union(premise.plain for premise in premises), self.index.fulltext)

    def _best(self, claim: Claim, premise: Premise) -> EvidenceSpan | None:
        """The span of a passage that supports the claim best, with no more sentences than it takes."""
        spans = list(premise.spans())
        return max(
            spans, key=lambda span: support(claim, [span]) - LENGTH_PENALTY * (span.end - span.first), default=None
        )

    def _alone(self, claim: Claim, premises: Sequence[Premise], threshold: float) -> list[EvidenceSpan]:
        """The best span of each passage that supports the claim by itself, in the order of the passages."""
        best = [span for premise in premises if (span := self._best(claim, premise))]
        scored = [(score, span) for span in best if (score := support(claim, [span])) >= threshold]
        least = max((score for score, _ in scored), default=0.0) - MOST_BELOW_BEST
        return [span for score, span in scored if score >= least]

    def _together(self, claim: Claim, premises: Sequence[Premise]) -> list[EvidenceSpan]:
        """One span of each passage, if they support the claim together and each contributes to that."""
        best = [max(p.spans(), key=lambda span: claim.coverage(span.terms), default=None) for p in premises]
        spans = [span for span in best if span]
        if len(spans) < 2 or support(claim, spans) < SUPPORTED:
            return []
        whole = claim.coverage(_union(span.terms for span in spans))
        without = (_union(other.terms for other in spans if other is not span) for span in spans)
        return spans if all(whole - claim.coverage(terms) >= LEAST_CONTRIBUTION for terms in without) else []

    def _is_entailed(self, text: str, spans: Sequence[EvidenceSpan]) -> bool:
        if not self.entailment:
            return True
        return self.entailment.entails([" ".join(span.quote.text for span in spans)], text)[0] >= ENTAILED

    def _vectors(self, passage: Passage) -> Vectors:
        spans = [(start - passage.start, end - passage.start) for start, end in passage.sentences]
        return self.embedder.embed_texts([passage.text], [spans])[1][0]


def clauses_of(text: str, fulltext: FullTextIndex) -> tuple[frozenset[str], ...]:
    """The terms of each clause long enough to be checked; none for a sentence of one clause."""
    parts = [part for part in _CLAUSES.split(text) if len(part.split()) >= LEAST_WORDS_OF_A_CLAUSE]
    return tuple(frozenset(fulltext.terms(part)) for part in parts) if len(parts) > 1 else ()
