"""Lists of articles from the catalogue: searched, sorted and paged; counted by period, source and origin; sampled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, case, false, func, literal, select

from rag.schema import ArticleEntry
from rag.store.catalog.reading import MOST_VALUES, Catalog
from rag.store.catalog.tables import articles, facets, listing, places

COLUMNS = {
    "title": listing.c.name,
    "source": listing.c.source,
    "date": listing.c.published,
    "passages": listing.c.passages,
    "added": listing.c.added,
}
"""What articles can be sorted by."""
FIELDS = {"": listing.c.words, "title": listing.c.title, "source": listing.c.source, "author": listing.c.author}
"""What a word may be searched for in, beside the date; without a name, in all fields."""
MOST_TERMS, LONGEST_TERM = 100, 1000
"""No article has more words than that to be found by, or a longer one; SQLite refuses such conditions."""
LAST_OFFSET = 1 << 62
DAY, MONTH, YEAR = 1, 100, 10_000
"""Periods, as divisors of a `date_number`."""
_DATE_BEGINNING = re.compile(r"[0-9]{1,4}|[0-9]{4}-(?:[0-9]{1,2}|[0-9]{2}-[0-9]{0,2})?")


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase that an article has, in the field of this name if any.

    A date (`date`) has to begin with it, written as in 2024-11-24; any other field has it anywhere, in any case.
    """

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Order:
    """The column that articles are sorted by, one of COLUMNS, and the direction. Equal ones are sorted by title."""

    by: str
    down: bool


class Listing:
    """Lists of the articles in one catalogue. Safe to share between threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def page(
        self, terms: Sequence[Term], order: Order, limit: int | None = None, offset: int = 0
    ) -> tuple[int, list[ArticleEntry]]:
        """The number of the articles that have all the terms, and those from `offset` on, at most `limit`."""
        column = COLUMNS[order.by]
        condition = _condition(terms)
        # Counting in the same statement keeps SQLite from reading all rows in their order until enough match.
        total = func.count().over() if terms else literal(0)
        query = select(listing.c.key, total).where(condition)
        query = query.order_by(column.desc() if order.down else column, listing.c.name, listing.c.key)
        with self._catalog.reading() as connection:
            rows = connection.execute(query.limit(limit).offset(min(offset, LAST_OFFSET))).all()
            if terms and rows:
                count = rows[0][1]
            else:
                count = connection.execute(select(func.count()).select_from(listing).where(condition)).scalar_one()
        return count, self._entries([row[0] for row in rows])

    def sample(self, limit: int) -> list[ArticleEntry]:
        """About `limit` articles, or all if there are no more, spread evenly over the order of their addition."""
        with self._catalog.reading() as connection:
            first, end, count = connection.execute(
                select(func.min(articles.c.key), func.max(articles.c.key), func.count(articles.c.key))
            ).one()
            query = _spread(first, end, limit) if count > limit else select(articles.c.key)
            keys = [row[0] for row in connection.execute(query)] if count else []
        return self._entries(sorted(keys))

    def by_period(self, divisor: int) -> dict[int, int]:
        """The number of dated articles of each period, which is a `date_number` divided by DAY, MONTH or YEAR."""
        period = articles.c.published // divisor
        query = select(period, func.count()).where(articles.c.published > 0).group_by(period)
        with self._catalog.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def by_source(self, limit: int) -> list[tuple[str, int]]:
        """The sources with the most articles, and the number of these."""
        columns = select(facets.c.source, facets.c.articles).where(facets.c.source != "", facets.c.articles > 0)
        query = columns.order_by(facets.c.articles.desc(), facets.c.source).limit(limit)
        with self._catalog.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def by_origin(self, origins: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each of these origins that articles or copies come from, the numbers of both."""
        own = func.sum(case((places.c.number == 0, 1), else_=0))
        found: dict[str, tuple[int, int]] = {}
        with self._catalog.reading() as connection:
            for first in range(0, len(origins), MOST_VALUES):
                chosen = places.c.origin.in_(origins[first : first + MOST_VALUES])
                query = select(places.c.origin, own, func.count()).where(chosen).group_by(places.c.origin)
                found |= {row[0]: (row[1], row[2] - row[1]) for row in connection.execute(query)}
        return found

    def _entries(self, keys: Sequence[int]) -> list[ArticleEntry]:
        found = self._catalog.find_by_key(keys)
        return [found[key] for key in keys if key in found]


def _condition(terms: Sequence[Term]) -> ColumnElement[bool]:
    unique = dict.fromkeys(terms)
    if len(unique) > MOST_TERMS or any(len(term.text) > LONGEST_TERM for term in unique):
        return false()
    return and_(True, *map(_has, unique))


def _has(term: Term) -> ColumnElement[bool]:
    text = term.text.encode("utf-8", "replace").decode("utf-8").casefold()
    if "\0" in text:  # no article has it, and SQL would read the text before it only
        return false()
    if term.field != "date":
        return FIELDS[term.field].contains(text, autoescape=True)
    if not _DATE_BEGINNING.fullmatch(text):
        return false()
    digits = text.replace("-", "")
    first, last = int(digits.ljust(8, "0")), int(digits.ljust(8, "9"))
    return and_(listing.c.published > 0, listing.c.published.between(first, last))


def _spread(first: int, end: int, limit: int) -> Select[tuple[int]]:
    """The keys at or after `limit` evenly spaced ones, each once."""
    step = max(1, -(-(end - first + 1) // limit))
    start = select(literal(first).label("position")).cte("positions", recursive=True)
    positions = start.union_all(select(start.c.position + step).where(start.c.position + step <= end))
    following = select(func.min(articles.c.key)).where(articles.c.key >= positions.c.position).scalar_subquery()
    return select(following).distinct().select_from(positions)
