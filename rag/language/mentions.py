"""Filters with their place in the question, and whether two places overlap."""

from __future__ import annotations

from rag.schema import ReadFilter, Span

PlacedFilter = tuple[int, ReadFilter]
"""A filter, and where in the question it stands."""
AROUND = 80
"""Characters looked at on either side of a mention: no clue stands farther away, and no question is slow."""


def overlaps_any(span: Span, others: list[Span]) -> bool:
    return any(span[0] < other[1] and other[0] < span[1] for other in others)
