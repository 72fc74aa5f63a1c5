"""Hits → the sentences of an answer, each with the quotes it stands on."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rag.answer.citations import figures_differ
from rag.language.question import FIGURE, answering, asked, leans, offers
from rag.retrieval.scoring import is_prose, jaccard
from rag.schema import Draft, Hit, Passage, Quote, Statement
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index

PASSAGE_WEIGHT = 0.3
"""What a sentence's passage counts beside its own fit (weight 1)."""
CLOSE, CLOSE_OFFER = 0.93, 0.9
"""A sentence is quoted beside the best one if its score is at least this share of the best one's."""
SAME_SENTENCE = 0.6
"""Words in common, of all words of both, from which on one sentence repeats another."""
MOST_SOURCES = 3
"""Quotes of other articles that are cited beside a sentence for saying the same."""


class Generator(Protocol):
    """Writes an answer out of hits. Stopped, thrown into the iterator, ends it with what is finished, or comes back."""

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The answer as it grows; without a statement in the end if the hits hold nothing to say."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted.

    `terms` are its stems, `score` says how well it fits the question, `offers` whether it has the kind of thing
    the question asks for. `lead` is the sentence before it, without which a reader would not know of whom or what it
    speaks.
    """

    quote: Quote
    terms: frozenset[str]
    score: float
    offers: bool
    lead: Quote | None = None

    @property
    def article_id(self) -> str:
        """Of the article it stands in."""
        return self.quote.passage.article_id


@dataclass(frozen=True, slots=True)
class ExtractiveGenerator:
    """Answers with the articles' own sentences; needs no language model."""

    index: Index
    sentences: int

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The best sentences, those of one article together and in their order, the best one's article first.

        A question with several sides gets the best sentence for each, in the order of its sides.
        """
        fulltext, kind = self.index.fulltext, asked(question)
        told = with_leads(one_a_side(question, hits, fulltext, self.sentences), self.sentences)
        if not told:
            best = select(candidates(question, hits, fulltext), self.sentences)
            told = in_reading_order(with_leads(best, self.sentences))
        draft = Draft()
        for candidate in told:
            text = in_lines(candidate.quote.text)
            support = supporting(candidate, hits, fulltext)
            statement = Statement(text, (candidate.quote, *support), answering(text, kind, question))
            draft = replace(draft, statements=(*draft.statements, statement))
            yield draft


def in_lines(text: str) -> str:
    """A quote as an answer shows it: one line, but the items of a list each on a line of their own."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def candidates(question: str, hits: Sequence[Hit], fulltext: FullTextIndex, side: int | None = None) -> list[Candidate]:
    """Every sentence of the hits that can be quoted, best first: by how well it fits, and a little by its passage.

    With a `side`, by how well it fits that side of the question.
    """
    kind, found = asked(question), []
    for hit in hits:
        lead: Quote | None = None
        for span, fit in zip(
            hit.passage.sentences, hit.fit if side is None else hit.sub_question_fits[side], strict=True
        ):
            quote = Quote(hit.passage, *span)
            if is_prose(quote.text):
                score, offered = fit + PASSAGE_WEIGHT * hit.score, offers(quote.text, kind, question)
                needed = lead if lead and leans(quote.text) and _adjacent(lead, quote) else None
                found.append(Candidate(quote, frozenset(fulltext.terms(quote.text)), score, offered, needed))
                lead = quote
    return sorted(found, key=lambda c: -c.score)


def _adjacent(before: Quote, quote: Quote) -> bool:
    between = quote.passage.slice((before.end, quote.start))
    return not between.strip() and "\n\n" not in between


def select(ranked: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The best candidate and those nearly as good.

    When the best one offers the kind of thing asked for, others that do may be further behind it, and those that
    don't are left out. One that repeats another is left out, unless it is another article's and has other figures.
    """
    chosen: list[Candidate] = []
    for candidate in ranked:
        best = ranked[0]
        if len(chosen) == limit or candidate.score < best.score * (CLOSE_OFFER if best.offers else CLOSE):
            break
        if (candidate.offers or not best.offers) and not any(repeats(candidate, other) for other in chosen):
            chosen.append(candidate)
    return chosen


def repeats(candidate: Candidate, other: Candidate) -> bool:
    """Do both say the same, in nearly the same words?"""
    same = jaccard(candidate.terms, other.terms) >= SAME_SENTENCE
    return same and (
        candidate.article_id == other.article_id or not figures_differ(candidate.quote.text, other.quote.text)
    )


def one_a_side(question: str, hits: Sequence[Hit], fulltext: FullTextIndex, limit: int) -> list[Candidate]:
    """The best sentence for each side of a question that has several; none if one sentence is the best for all."""
    chosen: list[Candidate] = []
    for side in range(min((len(hit.sub_question_fits) for hit in hits), default=0)):
        ranked = candidates(question, hits, fulltext, side)
        best = next((c for c in ranked if not any(repeats(c, other) for other in chosen)), None)
        if best:
            chosen.append(best)
    return chosen[:limit]


def in_reading_order(chosen: Sequence[Candidate]) -> list[Candidate]:
    """Those of one article together and as they stand in it, the best one's article first."""
    articles = list(dict.fromkeys(c.article_id for c in chosen))
    return sorted(chosen, key=lambda c: (articles.index(c.article_id), c.quote.start))


def with_leads(chosen: Sequence[Candidate], limit: int) -> list[Candidate]:
    """Candidates, best first, each after the sentence it leans on; one for which both have no room is left out."""
    told: list[Candidate] = []
    for candidate in chosen:
        quotes = {other.quote for other in told}
        lead = [replace(candidate, quote=candidate.lead, lead=None)] if candidate.lead else []
        needed = [c for c in (*lead, candidate) if c.quote not in quotes]
        if len(told) + len(needed) <= limit:
            told += needed
        elif not told:
            told.append(candidate)
    return told


def supporting(candidate: Candidate, hits: Iterable[Hit], fulltext: FullTextIndex) -> list[Quote]:
    """Quotes of other articles that say the same in nearly the same words, one an article.

    Those that tell the very story of the candidate's article, as wire copy does, support nothing: they repeat it.
    """
    terms = frozenset(fulltext.terms(candidate.quote.text))
    found: dict[str, Quote] = {}
    for passage in _passages(hits):
        own = passage.article_id == candidate.article_id or _one_story(passage, candidate.quote.passage)
        if not own and passage.article_id not in found:
            same = (Quote(passage, *span) for span in passage.sentences)
            best = next((q for q in same if _says(q.text, candidate.quote.text, terms, fulltext)), None)
            found |= {passage.article_id: best} if best else {}
    return list(found.values())[:MOST_SOURCES]


def _one_story(a: Passage, b: Passage) -> bool:
    return bool(a.duplicate_group) and a.duplicate_group == b.duplicate_group


def _says(text: str, other: str, terms: frozenset[str], fulltext: FullTextIndex) -> bool:
    same = jaccard(terms, frozenset(fulltext.terms(text))) >= SAME_SENTENCE
    return same and sorted(FIGURE.findall(text)) == sorted(FIGURE.findall(other))


def _passages(hits: Iterable[Hit]) -> Iterator[Passage]:
    for hit in hits:
        yield from (hit.passage, *hit.duplicates)
