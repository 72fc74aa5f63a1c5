"""Statements → text with `[n]` markers and the citations they refer to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.schema import Citation, Quote, Statement

MARKER = re.compile(r"\[(\d+)\]")


def cite(statements: Sequence[Statement]) -> tuple[str, tuple[Citation, ...]]:
    """Number the quotes in order of first use; a quote used twice keeps its number.

    Brackets that would read as a marker inside a statement's own text ("[2]" in a wiki article) become
    parentheses, so that every marker in the text is a citation.
    """
    numbers: dict[tuple[str, int, int], int] = {}
    citations: list[Citation] = []
    parts: list[str] = []
    for statement in statements:
        markers = []
        for quote in statement.quotes:
            key = (quote.passage.article_id, quote.start, quote.end)
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                citations.append(_citation(numbers[key], quote))
            markers.append(f"[{numbers[key]}]")
        parts.append(" ".join([MARKER.sub(r"(\1)", statement.text), *markers]))
    return " ".join(parts), tuple(citations)


def _citation(number: int, quote: Quote) -> Citation:
    return Citation(number, quote.passage, quote.text, quote.start, quote.end)
