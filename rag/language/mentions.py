"""Spans of a question: whether they overlap, and how much text around them is examined."""

from __future__ import annotations

from rag.schema import Span

AROUND = 80
"""Characters examined on either side of a mention; bounds the time on long questions."""


def overlaps_any(span: Span, others: list[Span]) -> bool:
    """Whether a span overlaps one of the others."""
    return any(span[0] < other[1] and other[0] < span[1] for other in others)
