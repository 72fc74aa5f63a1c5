"""Statements → text with `[n]` markers and the citations they refer to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from rag.question import FIGURE
from rag.schema import Citation, Quote, Span, Statement, long_date
from rag.sentences import jaccard

MARKER = re.compile(r"\[(\d+)\]")
WORD = re.compile(r"\w+")
SAME_MATTER = 0.5
"""Words in common, of all words of both, from which on two sentences are about the same thing."""


def cite(statements: Sequence[Statement]) -> tuple[str, tuple[Citation, ...], tuple[Span, ...]]:
    """The text, its citations, and where in it the emphasis lies.

    Quotes are numbered in order of first use; a quote used twice keeps its number. Brackets that would read as a marker
    inside a statement's own text ("[2]" in a wiki article) become parentheses, so that every marker in the text is a
    citation.
    """
    numbers: dict[tuple[str, int, int], int] = {}
    citations: list[Citation] = []
    emphasis: list[Span] = []
    text = ""
    for statement in statements:
        markers = []
        for quote in statement.quotes:
            key = (quote.passage.article_id, quote.start, quote.end)
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                citations.append(_citation(numbers[key], quote))
            markers.append(f"[{numbers[key]}]")
        text += " " if text else ""
        emphasis += [(start + len(text), end + len(text)) for start, end in statement.emphasis]
        said = MARKER.sub(r"(\1)", statement.text)
        text += f"{said} {''.join(markers)}"
    return text, tuple(citations), tuple(emphasis)


def difference(citations: Sequence[Citation]) -> str:
    """A sentence that sets figures side by side on which articles differ; empty if none do."""
    for a, b in combinations(citations, 2):
        if a.passage.article_id != b.passage.article_id and figures_differ(a.quote, b.quote):
            told = " and ".join(
                f"{_figures(one, other)} ({_when(one)}) [{one.number}]" for one, other in ((a, b), (b, a))
            )
            return f"The articles differ: {told}."
    return ""


def figures_differ(a: str, b: str) -> bool:
    """Do two sentences say the same thing with other figures, each having one that the other has not?"""
    of_a, of_b = set(FIGURE.findall(a)), set(FIGURE.findall(b))
    words_a, words_b = (frozenset(WORD.findall(FIGURE.sub(" ", text.lower()))) for text in (a, b))
    return bool(of_a - of_b) and bool(of_b - of_a) and jaccard(words_a, words_b) >= SAME_MATTER


def _figures(of: Citation, beside: Citation) -> str:
    others = set(FIGURE.findall(beside.quote))
    return ", ".join(dict.fromkeys(figure for figure in FIGURE.findall(of.quote) if figure not in others))


def _when(citation: Citation) -> str:
    passage = citation.passage
    return ", ".join(filter(None, (passage.source or passage.title, long_date(passage.published))))


def _citation(number: int, quote: Quote) -> Citation:
    return Citation(number, quote.passage, quote.text, quote.start, quote.end)
