"""The articles of the index as a table: searched, sorted, a page at a time."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from ingest.pipeline import Standing
from rag.errors import PullquoteError
from rag.index import Index
from rag.schema import ArticleEntry
from rag.text import visible
from ui.intake import Added
from ui.render import action_html, counted, escape, short_date

ROWS = 50
COLUMNS = (("title", "Title"), ("source", "Source"), ("date", "Date"), ("passages", "Passages"), ("added", "Added"))
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
class View:
    """What the table is to show: articles that have all the words, in an order, from a page on.

    A word may be one of a field (`source:reuters`, `date:2024-11`), and several words stand in quotes. `generation` is
    that of the index when it was last shown.
    """

    words: str = ""
    by: str = "added"
    down: bool = True
    page: int = 0
    generation: int = -1

    def sorted_by(self, column: str) -> View:
        """By another column, or by the same the other way round."""
        down = not self.down if column == self.by else column in LATEST_FIRST
        return replace(self, by=column, down=down, page=0) if column in KEYS else self


@dataclass(slots=True)
class Catalogue:
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

    def is_newer(self, view: View) -> bool:
        """Was something written since a view was shown? No, as far as the index cannot be read."""
        try:
            return self.index.generation != view.generation
        except PullquoteError:
            return False

    def found(self, view: View) -> list[ArticleEntry]:
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


def table_html(found: Sequence[ArticleEntry], view: View, *, removable: bool = True) -> str:
    """A page of the table, with what sorts it, leads on, opens an article, and chooses some to remove."""
    if not found:
        why = "No article has these words in its title, source, author or date." if view.words else "No articles yet."
        return f'<p class="pq-hint" role="status">{why}</p>'
    last = (len(found) - 1) // ROWS
    page = min(max(view.page, 0), last)
    rows = "".join(_row_html(entry, removable=removable) for entry in found[page * ROWS : (page + 1) * ROWS])
    heads = "".join(_head_html(column, name, view) for column, name in COLUMNS)
    told = f"{page * ROWS + 1:,}–{min(len(found), (page + 1) * ROWS):,} of {counted(len(found), 'article')}"
    leads = [
        action_html("leaf", "← Earlier", leaf=page - 1) if page else "",
        action_html("leaf", "Next →", leaf=page + 1) if page < last else "",
    ]
    return (
        f'<table class="pq-table"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="pq-pages"><span role="status">{told}</span>{"".join(leads)}'
        f"{action_html('remove', 'Remove selected') if removable else ''}</p>"
    )


def _head_html(column: str, name: str, view: View) -> str:
    sort = ("descending" if view.down else "ascending") if column == view.by else "none"
    return f'<th scope="col" class="pq-{column}" aria-sort="{sort}">{action_html("sort", name, by=column)}</th>'


def _row_html(entry: ArticleEntry, *, removable: bool) -> str:
    title, added = entry.title or entry.id, entry.added.date() if entry.added else None
    cells = (
        ("source", entry.source),
        ("date", short_date(entry.published)),
        ("passages", f"{entry.passages:,}"),
        ("added", short_date(added)),
    )
    picked = f'<input type="checkbox" value="{escape(entry.id)}" aria-label="{escape(f"Select {title}")}">'
    told = "".join(f'<td class="pq-{column}" dir="auto">{escape(value)}</td>' for column, value in cells)
    named = action_html("read", title, article=entry.id)
    return f'<tr><td>{picked if removable else ""}</td><th scope="row" class="pq-title">{named}</th>{told}</tr>'


def confirm_html(entries: Sequence[ArticleEntry]) -> str:
    """The question before articles are removed; an empty text if there are none."""
    if not entries:
        return ""
    names = "".join(f'<li dir="auto">{escape(entry.title or entry.id)}</li>' for entry in entries[:10])
    more = f"<li>… and {len(entries) - 10:,} more</li>" if len(entries) > 10 else ""
    return (
        f'<div class="pq-confirm" role="alertdialog" aria-label="Remove articles">'
        f"<p>Remove {counted(len(entries), 'article')} from the index? Files that were read where they lie stay there; "
        f"what was added on this page is deleted.</p><ul>{names}{more}</ul>"
        f'<p class="pq-bar">{action_html("removed", "Remove")}{action_html("keep", "Keep them")}</p></div>'
    )


def progress_html(standing: Standing) -> str:
    """How far an addition is."""
    share, told = round(standing.share * 100), f"{counted(standing.report.seen, 'article')} read …"
    bar = f'<progress max="100" value="{share}" aria-label="Read so far"></progress>'
    return f'<div role="status">{bar}<p class="pq-note">{escape(told)}</p></div>'


def added_html(added: Added) -> str:
    """What an addition did, in all and of each file."""
    report = added.report
    there = report.unchanged + report.duplicates
    counts = (("added", report.added), ("updated", report.updated), ("there already", there))
    told = ", ".join(f"{count:,} {what}" for what, count in counts if count) or "Nothing added"
    rows = "".join(
        f'<li class="{"pq-failed" if outcome.failed else "pq-taken"}">'
        f'<b dir="auto">{escape(outcome.name)}</b> {escape(outcome.told)}</li>'
        for outcome in added.outcomes
    )
    return f'<div role="status"><p class="pq-note">{escape(told)}.</p><ul class="pq-list">{rows}</ul></div>'
