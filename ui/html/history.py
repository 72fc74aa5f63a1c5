"""The list of kept conversations as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ui.html.elements import action_html, escape
from ui.schema import HistoryEntry
from ui.wording import counted


def history_html(entries: Iterable[HistoryEntry], words: str = "") -> str:
    """The list of what is kept."""
    rows = "".join(map(_entry_html, entries))
    if not rows:
        why = "No conversation has these words." if words.strip() else "Conversations are kept here."
        return f'<p class="pq-hint" role="status">{why}</p>'
    return f'<ul class="pq-history">{rows}</ul>'


def _entry_html(entry: HistoryEntry) -> str:
    now, then = datetime.now(UTC), entry.updated
    when = f"{then.day} {then:%B} {then.year}" if then.year != now.year else f"{then.day} {then:%B}, {then:%H:%M} UTC"
    told = escape(f"{when} · {counted(entry.turns, 'question')}")
    title = entry.title or "Untitled"
    acts = "".join(
        action_html(event, label, conversation=entry.id, **more)
        for event, label, more in (
            ("rename", "Rename", {"title": title}),
            ("export", "Markdown", {"kind": "markdown"}),
            ("export", "JSON", {"kind": "json"}),
            ("delete", "Delete", {}),
        )
    )
    opened = action_html("reopen", title, conversation=entry.id)
    where = f'<p class="pq-snippet" dir="auto">{escape(entry.snippet)}</p>' if entry.snippet else ""
    return f'<li>{opened}<p class="pq-byline"><span>{told}</span></p>{where}<p class="pq-actions">{acts}</p></li>'
