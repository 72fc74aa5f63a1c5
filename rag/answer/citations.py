"""Render statements as text with `[n]` markers and the citations they refer to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rag.language.question import FIGURE
from rag.retrieval.scoring import jaccard
from rag.schema import Citation, Quote, Sentence, Span, Statement, long_date

MARKER = re.compile(r"\[(\d+)\]")
UNSUPPORTED = "[unsupported]"
"""Follows a sentence of a language model that no passage supports."""
WORD = re.compile(r"\w+")
SAME_TOPIC = 0.5
"""Jaccard similarity of the words from which on two sentences are about the same thing."""


@dataclass(frozen=True, slots=True)
class Cited:
    """Statements as one text, with its citations, the spans of emphasis, and its sentences."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    emphasis: tuple[Span, ...] = ()
    sentences: tuple[Sentence, ...] = ()


def cite(statements: Sequence[Statement]) -> Cited:
    """Join statements into one text and add the markers of their citations.

    Quotes are numbered in order of first use; a quote used twice keeps its number. Brackets in a statement's own text
    that look like a marker ("[2]" in a wiki article) become parentheses, so that every marker in the text is a citation
    and no span of emphasis moves. A statement without a quote is marked as unsupported.
    """
    citations: dict[tuple[str, int, int], Citation] = {}
    emphasis: list[Span] = []
    sentences: list[Sentence] = []
    text = ""
    for statement in statements:
        text += " " if text else ""
        start = len(text)
        text += MARKER.sub(r"(\1)", statement.text).replace(UNSUPPORTED, f"({UNSUPPORTED[1:-1]})")
        numbers = tuple(_numbered(citations, quote) for quote in statement.quotes)
        emphasis += [(first + start, last + start) for first, last in statement.emphasis]
        sentences.append(Sentence(start, len(text), numbers, statement.support if numbers else 0.0))
        text += f" {''.join(f'[{number}]' for number in numbers) or UNSUPPORTED}"
    return Cited(text, tuple(citations.values()), tuple(emphasis), tuple(sentences))


def _numbered(citations: dict[tuple[str, int, int], Citation], quote: Quote) -> int:
    key = (quote.passage.article_id, quote.start, quote.end)
    if key not in citations:
        citations[key] = Citation(len(citations) + 1, quote.passage, quote.text, quote.start, quote.end)
    return citations[key].number


def difference(citations: Sequence[Citation]) -> str:
    """A sentence that contrasts the figures on which two articles differ; empty if none do."""
    for a, b in combinations(citations, 2):
        if a.passage.article_id != b.passage.article_id and figures_differ(a.quote, b.quote):
            figures = (f"{_own_figures(c, other)} ({_provenance(c)}) [{c.number}]" for c, other in ((a, b), (b, a)))
            return f"The articles differ: {' and '.join(figures)}."
    return ""


def figures_differ(a: str, b: str) -> bool:
    """Whether two sentences on the same topic each have a figure that the other lacks."""
    figures_a, figures_b = set(FIGURE.findall(a)), set(FIGURE.findall(b))
    words_a, words_b = (frozenset(WORD.findall(FIGURE.sub(" ", text.lower()))) for text in (a, b))
    return bool(figures_a - figures_b) and bool(figures_b - figures_a) and jaccard(words_a, words_b) >= SAME_TOPIC


def _own_figures(citation: Citation, other: Citation) -> str:
    others = set(FIGURE.findall(other.quote))
    return ", ".join(dict.fromkeys(figure for figure in FIGURE.findall(citation.quote) if figure not in others))


def _provenance(citation: Citation) -> str:
    passage = citation.passage
    return ", ".join(filter(None, (passage.source or passage.title, long_date(passage.published))))
