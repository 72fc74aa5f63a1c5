"""The list of articles in the index: searched and sorted for the table and the API."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rag.errors import PullquoteError
from rag.language.text import visible
from rag.schema import ArticleEntry
from rag.store.catalog.listing import COLUMNS, Order, Term
from rag.store.index import Index

ROWS = 50
"""Articles on one page of the table."""
LATEST_FIRST = ("date", "added", "passages")
"""Columns whose first sorting is descending."""
TERM = re.compile(r'(?:(title|source|author|date):)?(?:"([^"]+)"|(\S+))')
"""A search term: a word, or several in quotes, after the name of a field if it is to be in that field."""


@dataclass(frozen=True, slots=True)
class TableView:
    """What the table shows: the articles with all the words, their order, and the page.

    A word may be restricted to a field (`source:reuters`, `date:2024-11`); several words in quotes are a phrase.
    `generation` is the index's when the table was last shown.
    """

    words: str = ""
    by: str = "added"
    down: bool = True
    page: int = 0
    generation: int = -1

    def sorted_by(self, column: str) -> TableView:
        """Sort by another column, or by the same one in the other direction."""
        down = not self.down if column == self.by else column in LATEST_FIRST
        return replace(self, by=column, down=down, page=0) if column in COLUMNS else self


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the articles that a search found: their number, and those from `first` on, which counts from 0."""

    total: int
    first: int = 0
    entries: tuple[ArticleEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ArticleList:
    """Searches the articles of an index. Safe to share between threads."""

    index: Index

    def is_newer(self, view: TableView) -> bool:
        """Whether the index has changed since the view was shown; False if it cannot be read."""
        try:
            return self.index.generation != view.generation
        except PullquoteError:
            return False

    def page(self, view: TableView) -> Found:
        """The articles on a view's page, or on the last one if there are fewer pages. Raises as `found`."""
        found = self.found(view, ROWS, max(view.page, 0) * ROWS)
        if found.entries or not found.total:
            return found
        return self.found(view, ROWS, (found.total - 1) // ROWS * ROWS)

    def found(self, view: TableView, limit: int, first: int = 0) -> Found:
        """The articles with all the words of a view, in its order, from `first` on.

        Raises IndexMissing, IndexMismatch or StoreError.
        """
        words = visible(view.words).casefold()
        terms = [Term(name, quoted or word) for name, quoted, word in TERM.findall(words)]
        total, entries = self.index.listing.page(terms, Order(view.by, view.down), limit, first)
        return Found(total, first, tuple(entries))
