"""The list of saved conversations as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ui.html.templating import render
from ui.schema import HistoryEntry


def history_html(entries: Iterable[HistoryEntry], words: str = "") -> str:
    """The saved conversations that hold these words, or all."""
    dated = [(entry, _when(entry.updated)) for entry in entries]
    if dated:
        return render("lists.html", "history", dated)
    why = "No conversation has these words." if words.strip() else "Saved conversations appear here."
    return render("elements.html", "status_hint", why)


def _when(then: datetime) -> str:
    """The day, with the time of day within this year."""
    this_year = then.year == datetime.now(UTC).year
    return f"{then.day} {then:%B}, {then:%H:%M} UTC" if this_year else f"{then.day} {then:%B} {then.year}"
