"""Answers made of the articles' own sentences, chosen from the hits and quoted exactly."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rag.answer.citations import figures_differ
from rag.language.question import FIGURE, answering, asked, has_answer_type, starts_with_anaphor
from rag.retrieval.scoring import is_prose, jaccard
from rag.schema import Draft, Hit, Quote, Statement
from rag.store.derived.fulltext import FullTextIndex
from rag.store.index import Index

PASSAGE_WEIGHT = 0.3
"""Weight of the passage's score in that of a sentence; the sentence's own fit has weight 1."""
CLOSE, CLOSE_OF_TYPE = 0.93, 0.9
"""Share of the best score that another sentence needs to be quoted as well; less if both have the type of thing asked
for."""
SAME_SENTENCE = 0.6
"""Jaccard similarity of the terms from which on one sentence repeats another."""
MOST_CORROBORATING = 3
"""Quotes of other articles that are cited beside a sentence that says the same."""


class Generator(Protocol):
    """Writes an answer from hits. If Stopped is thrown into it, it yields the finished sentences or raises Stopped."""

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The answer as it grows; the last draft has no statement if the hits hold no answer."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted.

    terms: its stems. score: how well it fits the question. has_answer_type: whether it has the kind of thing the
    question asks for. antecedent: the sentence before it, if a pronoun in this one refers to it.
    """

    quote: Quote
    terms: frozenset[str]
    score: float
    has_answer_type: bool
    antecedent: Quote | None = None

    @property
    def article_id(self) -> str:
        """The id of its article."""
        return self.quote.passage.article_id


@dataclass(frozen=True, slots=True)
class ExtractiveGenerator:
    """Answers with the articles' own sentences; needs no language model."""

    index: Index
    sentences: int

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The best sentences, grouped by article in reading order, the best one's article first.

        A question with sub-questions gets the best sentence for each, in their order.
        """
        fulltext, kind = self.index.fulltext, asked(question)
        chosen = with_antecedents(one_per_sub_question(question, hits, fulltext, self.sentences), self.sentences)
        if not chosen:
            best = select(candidates(question, hits, fulltext), self.sentences)
            chosen = in_reading_order(with_antecedents(best, self.sentences))
        draft = Draft()
        for candidate in chosen:
            text = in_lines(candidate.quote.text)
            corroborating = corroborating_quotes(candidate, hits, fulltext)
            statement = Statement(text, (candidate.quote, *corroborating), answering(text, kind, question))
            draft = replace(draft, statements=(*draft.statements, statement))
            yield draft


def in_lines(text: str) -> str:
    """A quote as an answer shows it: line breaks, as between list items, stay; other white space is collapsed."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def candidates(
    question: str, hits: Sequence[Hit], fulltext: FullTextIndex, sub_question: int | None = None
) -> list[Candidate]:
    """All quotable sentences of the hits, best first, scored by their fit and that of their passage.

    With the number of a `sub_question`, by how well they fit that.
    """
    kind, ranked = asked(question), []
    for hit in hits:
        before: Quote | None = None
        fits = hit.fit if sub_question is None else hit.sub_question_fits[sub_question]
        for span, fit in zip(hit.passage.sentences, fits, strict=True):
            quote = Quote(hit.passage, *span)
            if is_prose(quote.text):
                terms, score = frozenset(fulltext.terms(quote.text)), fit + PASSAGE_WEIGHT * hit.score
                antecedent = before if before and starts_with_anaphor(quote.text) and _adjacent(before, quote) else None
                ranked.append(Candidate(quote, terms, score, has_answer_type(quote.text, kind, question), antecedent))
                before = quote
    return sorted(ranked, key=lambda c: -c.score)


def _adjacent(before: Quote, quote: Quote) -> bool:
    between = quote.passage.slice((before.end, quote.start))
    return not between.strip() and "\n\n" not in between


def select(ranked: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The best candidate and those close to it.

    If the best one has the type of thing asked for, only others that have it too are chosen, and may be further behind.
    Repetitions are left out, except those of another article with different figures.
    """
    chosen: list[Candidate] = []
    for candidate in ranked:
        best = ranked[0]
        if len(chosen) == limit or candidate.score < best.score * (CLOSE_OF_TYPE if best.has_answer_type else CLOSE):
            break
        has_type = candidate.has_answer_type or not best.has_answer_type
        if has_type and not any(repeats(candidate, other) for other in chosen):
            chosen.append(candidate)
    return chosen


def repeats(candidate: Candidate, other: Candidate) -> bool:
    """Whether both say the same in nearly the same words."""
    same = jaccard(candidate.terms, other.terms) >= SAME_SENTENCE
    return same and (
        candidate.article_id == other.article_id or not figures_differ(candidate.quote.text, other.quote.text)
    )


def one_per_sub_question(question: str, hits: Sequence[Hit], fulltext: FullTextIndex, limit: int) -> list[Candidate]:
    """The best sentence for each sub-question, none twice; empty for a question without sub-questions."""
    chosen: list[Candidate] = []
    for number in range(min((len(hit.sub_question_fits) for hit in hits), default=0)):
        ranked = candidates(question, hits, fulltext, number)
        best = next((c for c in ranked if not any(repeats(c, other) for other in chosen)), None)
        if best:
            chosen.append(best)
    return chosen[:limit]


def in_reading_order(chosen: Sequence[Candidate]) -> list[Candidate]:
    """Group by article, the best one's first, in the order of the text."""
    articles = list(dict.fromkeys(c.article_id for c in chosen))
    return sorted(chosen, key=lambda c: (articles.index(c.article_id), c.quote.start))


def with_antecedents(chosen: Sequence[Candidate], limit: int) -> list[Candidate]:
    """Candidates, best first, each after its antecedent; one whose antecedent does not fit in `limit` is left out."""
    complete: list[Candidate] = []
    for candidate in chosen:
        quotes = {other.quote for other in complete}
        before = [replace(candidate, quote=candidate.antecedent, antecedent=None)] if candidate.antecedent else []
        needed = [c for c in (*before, candidate) if c.quote not in quotes]
        if len(complete) + len(needed) <= limit:
            complete += needed
        elif not complete:
            complete.append(candidate)
    return complete


def corroborating_quotes(candidate: Candidate, hits: Iterable[Hit], fulltext: FullTextIndex) -> list[Quote]:
    """Quotes of other articles that say the same in nearly the same words and figures, one for each article.

    Near duplicates of the candidate's article, such as wire copy, are no independent confirmation and left out.
    """
    text, own = candidate.quote.text, candidate.quote.passage
    terms, figures = frozenset(fulltext.terms(text)), sorted(FIGURE.findall(text))

    def says_same(quote: Quote) -> bool:
        is_same = jaccard(terms, frozenset(fulltext.terms(quote.text))) >= SAME_SENTENCE
        return is_same and sorted(FIGURE.findall(quote.text)) == figures

    quotes: dict[str, Quote] = {}
    for passage in (passage for hit in hits for passage in (hit.passage, *hit.duplicates)):
        is_copy = bool(own.duplicate_group) and passage.duplicate_group == own.duplicate_group
        if not is_copy and passage.article_id not in {own.article_id, *quotes}:
            same = next(filter(says_same, (Quote(passage, *span) for span in passage.sentences)), None)
            quotes |= {passage.article_id: same} if same else {}
    return list(quotes.values())[:MOST_CORROBORATING]
