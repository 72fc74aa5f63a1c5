"""The table of articles as HTML, and the messages while articles are added or removed."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.pipeline import Standing
from rag.schema import ArticleEntry
from ui.html.templating import render
from ui.services.article_list import ROWS, Found, TableView
from ui.services.uploads import Added
from ui.wording import counted

COLUMNS = (("title", "Title"), ("source", "Source"), ("date", "Date"), ("passages", "Passages"), ("added", "Added"))
NAMED = 10
"""Articles that are named before they are removed; of more, the number is given."""


def table_html(found: Found, view: TableView, *, removable: bool = True) -> str:
    """A page of the table, with buttons to sort, to turn the page, to open an article and to remove selected ones."""
    if not found.entries:
        why = "No article has these words in its title, source, author or date." if view.words else "No articles yet."
        return render("elements.html", "status_hint", why)
    page, end = found.first // ROWS, found.first + len(found.entries)
    shown = f"{found.first + 1:,}–{end:,} of {counted(found.total, 'article')}"
    earlier, later = page - 1 if page else None, page + 1 if end < found.total else None
    return render("lists.html", "table", found.entries, COLUMNS, view, shown, earlier, later, removable)


def confirm_html(entries: Sequence[ArticleEntry]) -> str:
    """The question before articles are removed; empty if there are none."""
    return render("lists.html", "confirm", entries, NAMED) if entries else ""


def progress_html(standing: Standing) -> str:
    """The progress of an addition."""
    return render("lists.html", "progress", round(standing.share * 100), standing.report.seen)


def added_html(added: Added) -> str:
    """The result of an addition: the counts, and the outcome of each file."""
    report = added.report
    unchanged = report.unchanged + report.duplicates
    counts = (("added", report.added), ("updated", report.updated), ("there already", unchanged))
    summary = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "Nothing added"
    return render("lists.html", "added", summary, added.outcomes)
