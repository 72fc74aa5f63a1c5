"""Hits → the sentences of an answer, each with the quotes it stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.index import Index
from rag.lexical import LexicalIndex
from rag.question import asked, offers
from rag.schema import Hit, Quote, Statement

WORDS_WEIGHT, CONTEXT_WEIGHT, PASSAGE_WEIGHT, ASKED_WEIGHT = 0.25, 0.5, 0.1, 0.3
"""What counts beside a sentence's similarity (weight 1); chosen on half of SQuAD 2.0 and Natural Questions."""
CLOSE, CLOSE_OFFER = 0.8, 0.7
"""A sentence is quoted beside the best one if its score is at least this share of the best one's."""
SAME_SENTENCE = 0.6
SHORTEST = 4
"""Words; what is shorter is a heading or a fragment."""


class Generator(Protocol):
    """Writes an answer out of hits."""

    def generate(self, question: str, hits: Sequence[Hit]) -> Iterator[Statement]:
        """Statements in reading order, as they are made; none when the hits hold nothing to say."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted.

    `terms` are its stems, `score` says how well it fits the question, `offers` whether it has the kind of thing
    the question asks for.
    """

    quote: Quote
    terms: frozenset[str]
    score: float
    offers: bool


@dataclass(frozen=True, slots=True)
class ExtractiveGenerator:
    """Answers with the articles' own sentences; needs no language model."""

    index: Index
    sentences: int

    def generate(self, question: str, hits: Sequence[Hit]) -> Iterator[Statement]:
        """The best sentences, those of one article together and in their order, the best one's article first."""
        chosen = select(candidates(question, hits, self.index.lexical), self.sentences)
        articles = list(dict.fromkeys(c.quote.passage.article_id for c in chosen))
        for c in sorted(chosen, key=lambda c: (articles.index(c.quote.passage.article_id), c.quote.start)):
            yield Statement(" ".join(c.quote.text.split()), (c.quote,))


def candidates(question: str, hits: Sequence[Hit], lexical: LexicalIndex) -> list[Candidate]:
    """Every sentence of the hits, best first.

    Its score is its similarity to the question, plus the share of the question's words that it has by itself and
    together with its article's title (each word weighted by how rare it is), plus a little of its passage's
    score, plus a bonus if it offers the kind of thing the question asks for.
    """
    rarity, kind = lexical.rarity(lexical.terms(question)), asked(question)
    found = []
    for hit in hits:
        title = frozenset(lexical.terms(hit.passage.title))
        for span, similarity in zip(hit.passage.sentences, hit.sentence_scores, strict=True):
            quote = Quote(hit.passage, *span)
            if len(quote.text.split()) < SHORTEST:
                continue
            terms = frozenset(lexical.terms(quote.text))
            offered = offers(quote.text, kind, question)
            score = (
                similarity
                + WORDS_WEIGHT * coverage(rarity, terms)
                + CONTEXT_WEIGHT * coverage(rarity, terms | title)
                + PASSAGE_WEIGHT * hit.score
                + ASKED_WEIGHT * offered
            )
            found.append(Candidate(quote, terms, score, offered))
    return sorted(found, key=lambda c: -c.score)


def coverage(rarity: dict[str, float], terms: frozenset[str]) -> float:
    """The share of a question's words that are among `terms`, each weighted by its rarity; 0 for no words."""
    total = sum(rarity.values())
    return sum(weight for term, weight in rarity.items() if term in terms) / total if total else 0.0


def select(ranked: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The best candidate and those nearly as good, without any that repeats another.

    When the best one offers the kind of thing asked for, others that do may be further behind it, and those that
    don't are left out.
    """
    chosen: list[Candidate] = []
    for candidate in ranked:
        best = ranked[0]
        if len(chosen) == limit or candidate.score < best.score * (CLOSE_OFFER if best.offers else CLOSE):
            break
        if (candidate.offers or not best.offers) and all(
            similar_words(candidate.terms, other.terms) < SAME_SENTENCE for other in chosen
        ):
            chosen.append(candidate)
    return chosen


def similar_words(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity of two sets of words; 1 for two empty ones."""
    return len(a & b) / len(a | b) if a | b else 1.0
