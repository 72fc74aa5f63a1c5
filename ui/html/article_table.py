"""The table of articles as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.pipeline import Standing
from rag.schema import ArticleEntry
from ui.html.elements import action_html, escape
from ui.services.article_list import TableView
from ui.services.uploads import Added
from ui.wording import counted, short_date

ROWS = 50
COLUMNS = (("title", "Title"), ("source", "Source"), ("date", "Date"), ("passages", "Passages"), ("added", "Added"))


def table_html(found: Sequence[ArticleEntry], view: TableView, *, removable: bool = True) -> str:
    """A page of the table, with what sorts it, leads on, opens an article, and chooses some to remove."""
    if not found:
        why = "No article has these words in its title, source, author or date." if view.words else "No articles yet."
        return f'<p class="pq-hint" role="status">{why}</p>'
    last = (len(found) - 1) // ROWS
    page = min(max(view.page, 0), last)
    rows = "".join(_row_html(entry, removable=removable) for entry in found[page * ROWS : (page + 1) * ROWS])
    heads = "".join(_header_html(column, name, view) for column, name in COLUMNS)
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


def _header_html(column: str, name: str, view: TableView) -> str:
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
