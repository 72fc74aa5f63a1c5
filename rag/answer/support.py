"""Does a passage support a sentence that somebody else wrote, and which of its words do?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from rag.errors import IndexChanging
from rag.language.facts import Facts, facts_of, lower_words
from rag.models.cross_encoders import Entailment
from rag.models.embedding import Embedder, Vectors, normalized
from rag.schema import Passage, Quote
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index

SUPPORTED, CLEARLY = 0.6, 0.7
"""From where on a passage supports a sentence, and from where on it does though the sentence does not cite it."""
COVERAGE_WEIGHT, NAMES_WEIGHT = 0.6, 0.5
"""What the share of the sentence's words that are found counts, beside how similar both are (the rest to 1), and what
a name counts among the words. All these numbers were chosen on 540 sentences written for it to passages of three public
sets, and tried on 538 others; the README says how they do."""
LEAST_OF_A_CLAUSE = 0.4
"""Share of a clause's words that must be found, too: half of a true sentence may be made up."""
LEAST_TO_DENY = 0.15
"""Share of the words from which on it is this sentence of a passage that is denied."""
MOST_SENTENCES = 3
"""Neighbouring sentences of a passage that are read as one."""
NEARLY = 0.02
"""How much better each sentence more of a passage has to make it."""
ENTAILED = 0.5
"""Probability from which on a model for it says that a text entails a sentence."""
LEAST_WORDS_OF_A_CLAUSE = 4
FEW_WORDS, SIMILAR = 3, 0.6
"""A sentence of fewer words ("It burned.") has to be as similar, or to have no other word at all."""
FAR_LESS = 0.15
LEAST_PART = 0.15
"""Share of the sentence's words that each of several passages has to add to the others."""
_MARKER = re.compile(r"\W*|\(?\w{1,4}[.)]")
"""The bullet or the number of an item, or nothing: what may stand between the sentences of one quote."""
_CLAUSES = re.compile(
    r"[,;:–—]\s++(?:(?:and|but|while|although|though|whereas|so|which|who|yet|or|nor)\b)?"
    r"|(?<!\s)\s++(?:and|but|while|because|after|before|although)\s++",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A written sentence: its vector, its facts, and its words, each with how much it tells; also those of clauses."""

    text: str
    vector: Vectors
    facts: Facts
    rarity: Mapping[str, float]
    clauses: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, text: str, vector: Vectors, plain: Collection[str], fulltext: FullTextIndex) -> Self:
        """`plain` are words that begin a sentence without being a name; names tell less: they must be there anyhow."""
        facts = facts_of(text, plain)
        names = set(fulltext.terms(" ".join(word for name in facts.names for word in name)))
        rarity = fulltext.rarity(fulltext.terms(text))
        weighted = {term: weight * (NAMES_WEIGHT if term in names else 1) for term, weight in rarity.items()}
        return cls(text, vector, facts, weighted, clauses_of(text, fulltext))

    def share(self, terms: frozenset[str], of: frozenset[str] | None = None) -> float:
        """The share of its words, or of some of them, that are among the terms, weighted by rarity."""
        asked = self.rarity if of is None else {term: self.rarity[term] for term in of}
        total = sum(asked.values())
        return sum(weight for term, weight in asked.items() if term in terms) / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Ground:
    """A passage: its sentences' vectors, words and facts, and the facts that are told about it.

    `plain` are its words in lower case, which are no names where they begin a sentence.
    """

    passage: Passage
    vectors: Vectors
    terms: tuple[frozenset[str], ...]
    facts: tuple[Facts, ...]
    told: Facts
    plain: frozenset[str]

    @classmethod
    def of(cls, passage: Passage, vectors: Vectors, fulltext: FullTextIndex) -> Self:
        """`vectors` are those of its sentences, a row each."""
        texts = [passage.slice(span) for span in passage.sentences]
        told = facts_of(". ".join(filter(None, (passage.title, passage.source, passage.author))))
        return cls(
            passage,
            np.asarray(vectors, dtype=np.float32),
            tuple(frozenset(fulltext.terms(text)) for text in texts),
            tuple(map(facts_of, texts)),
            told.without_figures(),
            lower_words(passage.text),
        )

    def runs(self) -> Iterator[Run]:
        """Its sentences, and up to three neighbouring ones with nothing unquotable between them; the shortest first."""
        spans = self.passage.sentences
        between = (self.passage.slice((end, start)).strip() for (_, end), (start, _) in pairwise(spans))
        parted = [not _MARKER.fullmatch(text) for text in between]
        for length in range(1, min(len(spans), MOST_SENTENCES) + 1):
            for first in range(len(spans) - length + 1):
                if not any(parted[first : first + length - 1]):
                    yield Run(self, first, first + length)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring sentences of a passage, by their numbers."""

    ground: Ground
    first: int
    end: int

    @property
    def words(self) -> frozenset[str]:
        """Theirs alone: those of the title say nothing of them."""
        return frozenset[str]().union(*self.ground.terms[self.first : self.end])

    @property
    def facts(self) -> tuple[Facts, ...]:
        """Theirs, and those of what is told about the passage."""
        return (*self.ground.facts[self.first : self.end], self.ground.told)

    @property
    def quote(self) -> Quote:
        """They as a quote."""
        spans = self.ground.passage.sentences
        return Quote(self.ground.passage, spans[self.first][0], spans[self.end - 1][1])

    def similarity(self, vector: Vectors) -> float:
        """Their cosine to a sentence, 0–1."""
        [own] = normalized(self.ground.vectors[self.first : self.end].sum(axis=0, keepdims=True))
        return float(np.clip(vector @ own, 0, 1))

    def contradicts(self, claim: Claim) -> bool:
        """Does one deny what the other does not?"""
        sentences = range(self.first, self.end)
        shares = {n: claim.share(self.ground.terms[n]) for n in sentences}
        if claim.facts.denies:
            return not any(self.ground.facts[n].may_deny and shares[n] >= LEAST_TO_DENY for n in sentences)
        return self.ground.facts[max(sentences, key=shares.__getitem__)].says_not


def support(claim: Claim, runs: Sequence[Run]) -> float:
    """How well these support a claim between them, 0–1; 0 if a figure or a name of it is in none of them.

    A name may also stand in the title, the source or the author, which a reader sees beside the quote.
    """
    words = frozenset[str]().union(*(run.words for run in runs))
    if not claim.rarity or any(claim.share(words, clause) < LEAST_OF_A_CLAUSE for clause in claim.clauses):
        return 0.0
    if all(run.contradicts(claim) for run in runs):
        return 0.0
    if claim.facts.missing([facts for run in runs for facts in run.facts]):
        return 0.0
    similarity = max(run.similarity(claim.vector) for run in runs)
    literal = claim.facts.words <= frozenset[str]().union(*(facts.words for run in runs for facts in run.facts))
    if len(claim.rarity) < FEW_WORDS and similarity < SIMILAR and not literal:
        return 0.0
    return COVERAGE_WEIGHT * claim.share(words) + (1 - COVERAGE_WEIGHT) * similarity


@dataclass(frozen=True, slots=True)
class Supported:
    """The quotes a sentence stands on, and how well they support it, 0–1; without quotes it is 0."""

    quotes: tuple[Quote, ...] = ()
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Checker:
    """Holds sentences to passages: their vectors and words, and, if there is one, a model for entailment."""

    index: Index
    embedder: Embedder
    entailment: Entailment | None = None

    def grounds(self, passages: Sequence[Passage]) -> list[Ground]:
        """What sentences are held to, in the order of the passages."""
        try:
            stored = {each.passage.id: each.sentence_vectors for each in self.index.passages([p.id for p in passages])}
        except IndexChanging:  # an ingest has replaced one of them since it was found
            stored = {}
        return [
            Ground.of(p, self._vectors(p) if p.id not in stored else stored[p.id], self.index.fulltext)
            for p in passages
        ]

    def check(self, text: str, grounds: Sequence[Ground], cited: Collection[str]) -> Supported:
        """The sentences of passages that support a written sentence; `cited` are the ids of those it cites itself.

        If none of those supports it, neither alone nor with the others, it stands on another passage if that one
        clearly does.
        """
        claim = self._claim(text, grounds)
        own = [ground for ground in grounds if ground.passage.id in cited]
        best = [(self._best(claim, ground)) for ground in own]
        found = [run for run in best if run and support(claim, [run]) >= SUPPORTED]
        found = _nearly_best(claim, found)
        if not found:
            found = self._together(claim, own)
        if not found:
            others = (self._best(claim, ground) for ground in grounds if ground.passage.id not in cited)
            clear = [run for run in others if run and support(claim, [run]) >= CLEARLY]
            found = sorted(clear, key=lambda run: -support(claim, [run]))[:1]
        if not found or not self._agreed(text, found):
            return Supported()
        alone = max(support(claim, [run]) for run in found)
        return Supported(tuple(run.quote for run in found), max(alone, support(claim, found)))

    def _claim(self, text: str, grounds: Sequence[Ground]) -> Claim:
        [vector] = self.embedder.embed_questions([text])
        plain = frozenset[str]().union(*(ground.plain for ground in grounds))
        return Claim.of(text, vector, plain, self.index.fulltext)

    def _best(self, claim: Claim, ground: Ground) -> Run | None:
        """The sentences of a passage that support it best, no more of them than it takes."""
        runs = list(ground.runs())
        return max(runs, key=lambda run: support(claim, [run]) - NEARLY * (run.end - run.first), default=None)

    def _together(self, claim: Claim, own: Sequence[Ground]) -> list[Run]:
        """One run of each passage cited, if they support it between them, and each has a part in that."""
        runs = [max(ground.runs(), key=lambda run: claim.share(run.words), default=None) for ground in own]
        found = [run for run in runs if run]
        if len(found) < 2 or support(claim, found) < SUPPORTED:
            return []
        without = (frozenset[str]().union(*(r.words for r in found if r is not run)) for run in found)
        whole = claim.share(frozenset[str]().union(*(run.words for run in found)))
        adds = all(whole - claim.share(words) >= LEAST_PART for words in without)
        return found if adds else []

    def _agreed(self, text: str, found: Sequence[Run]) -> bool:
        if not self.entailment:
            return True
        told = " ".join(run.quote.text for run in found)
        return self.entailment.entails([told], text)[0] >= ENTAILED

    def _vectors(self, passage: Passage) -> Vectors:
        spans = [(start - passage.start, end - passage.start) for start, end in passage.sentences]
        return self.embedder.embed_texts([passage.text], [spans])[1][0]


def _nearly_best(claim: Claim, runs: Sequence[Run]) -> list[Run]:
    """Without those that support it far less than the best one does."""
    best = max((support(claim, [run]) for run in runs), default=0.0)
    return [run for run in runs if support(claim, [run]) >= best - FAR_LESS]


def clauses_of(text: str, fulltext: FullTextIndex) -> tuple[frozenset[str], ...]:
    """The words of each clause that has some; none for a sentence of one clause."""
    parts = [part for part in _CLAUSES.split(text) if len(part.split()) >= LEAST_WORDS_OF_A_CLAUSE]
    return tuple(frozenset(fulltext.terms(part)) for part in parts) if len(parts) > 1 else ()
