"""The articles of the index as a table: searched, sorted, a page at a time."""

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
"""Columns that are sorted from their largest value when they are first asked for."""
TERM = re.compile(r'(?:(title|source|author|date):)?(?:"([^"]+)"|(\S+))')
"""A word that is looked for, or several in quotes; a field's name before it says where."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
KEYS: dict[str, Callable[[ArticleEntry], Any]] = {
    "title": lambda entry: (entry.title or entry.id).casefold(),
    "source": lambda entry: entry.source.casefold(),
    "date": lambda entry: entry.published or date.min,
    "passages": lambda entry: entry.passages,
    "added": lambda entry: entry.added or LONG_AGO,
}


@dataclass(frozen=True, slots=True)
class TableView:
    """What the table is to show: articles that have all the words, in an order, from a page on.

    A word may be one of a field (`source:reuters`, `date:2024-11`), and several words stand in quotes. `generation` is
    that of the index when it was last shown.
    """

    words: str = ""
    by: str = "added"
    down: bool = True
    page: int = 0
    generation: int = -1

    def sorted_by(self, column: str) -> TableView:
        """By another column, or by the same the other way round."""
        down = not self.down if column == self.by else column in LATEST_FIRST
        return replace(self, by=column, down=down, page=0) if column in KEYS else self


@dataclass(slots=True)
class ArticleList:
    """All articles of an index, read anew when something was written. Safe to share between threads."""

    index: Index
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _generation: int = -1
    _entries: tuple[ArticleEntry, ...] = ()

    def entries(self) -> tuple[ArticleEntry, ...]:
        """The articles as they are now. Raises IndexMissing, IndexMismatch or StoreError."""
        with self._lock:
            generation = self.index.generation
            if generation != self._generation:
                self._entries, self._generation = tuple(self.index.articles()), generation
            return self._entries

    def is_newer(self, view: TableView) -> bool:
        """Was something written since a view was shown? No, as far as the index cannot be read."""
        try:
            return self.index.generation != view.generation
        except PullquoteError:
            return False

    def found(self, view: TableView) -> list[ArticleEntry]:
        """Those that a view is of, in its order."""
        terms = [(name, quoted or word) for name, quoted, word in TERM.findall(visible(view.words).casefold())]
        found = [entry for entry in self.entries() if all(_has(entry, name, word) for name, word in terms)]
        return sorted(sorted(found, key=KEYS["title"]), key=KEYS[view.by], reverse=view.down)


def _has(entry: ArticleEntry, name: str, word: str) -> bool:
    """Does an article have a word, in one of its fields if that is named? A date has it from its beginning."""
    if name == "date":
        return str(entry.published or "").startswith(word)
    if name:
        return word in str(getattr(entry, name)).casefold()
    return word in f"{entry.title} {entry.source} {entry.author} {entry.id} {entry.published or ''}".casefold()
