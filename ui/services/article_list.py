"""The list of articles in the index: searched and sorted for the table and the API."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from rag.errors import PullquoteError
from rag.language.text import visible
from rag.schema import ArticleEntry
from rag.store.index import Index

LATEST_FIRST = ("date", "added", "passages")
"""Columns whose first sorting is descending."""
TERM = re.compile(r'(?:(title|source|author|date):)?(?:"([^"]+)"|(\S+))')
"""A search term: a word, or several in quotes, after the name of a field if it is to be in that field."""
NEVER = datetime.min.replace(tzinfo=UTC)
KEYS: dict[str, Callable[[ArticleEntry], Any]] = {
    "title": lambda entry: (entry.title or entry.id).casefold(),
    "source": lambda entry: entry.source.casefold(),
    "date": lambda entry: entry.published or date.min,
    "passages": lambda entry: entry.passages,
    "added": lambda entry: entry.added or NEVER,
}


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
        return replace(self, by=column, down=down, page=0) if column in KEYS else self


@dataclass(slots=True)
class ArticleList:
    """All articles of an index, cached until the index changes. Safe to share between threads."""

    index: Index
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _generation: int = -1
    _entries: tuple[ArticleEntry, ...] = ()

    def entries(self) -> tuple[ArticleEntry, ...]:
        """All articles. Raises IndexMissing, IndexMismatch or StoreError."""
        with self._lock:
            generation = self.index.generation
            if generation != self._generation:
                self._entries, self._generation = tuple(self.index.articles()), generation
            return self._entries

    def is_newer(self, view: TableView) -> bool:
        """Whether the index has changed since the view was shown; False if it cannot be read."""
        try:
            return self.index.generation != view.generation
        except PullquoteError:
            return False

    def matching(self, view: TableView) -> list[ArticleEntry]:
        """The articles with all the words of a view, in its order. Raises as `entries`."""
        terms = [(name, quoted or word) for name, quoted, word in TERM.findall(visible(view.words).casefold())]
        matching = [entry for entry in self.entries() if all(_has(entry, name, word) for name, word in terms)]
        return sorted(sorted(matching, key=KEYS["title"]), key=KEYS[view.by], reverse=view.down)


def _has(entry: ArticleEntry, name: str, word: str) -> bool:
    """Whether an article has a word, in the named field if any; a date has to begin with it."""
    if name == "date":
        return str(entry.published or "").startswith(word)
    if name:
        return word in str(getattr(entry, name)).casefold()
    return word in f"{entry.title} {entry.source} {entry.author} {entry.id} {entry.published or ''}".casefold()
