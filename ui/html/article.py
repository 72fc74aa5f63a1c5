"""An article as HTML: to read, to preview, and as the card of a citation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from rag.schema import (
    Article,
    ArticleEntry,
    Copy,
    Passage,
    Span,
    Turn,
    long_date,
)
from ui.html.elements import action_html, edge_of, error_html, escape, marked_html, prose_html, trimmed
from ui.schema import Reading
from ui.wording import link

LONGEST_READ = 100_000
"""Characters of an article that are shown at once."""


def draft_html(said: str, verdict: str, history: Sequence[Turn]) -> str:
    """What a draft's question comes after, what the chat answered to it, and what its reader made of that."""
    turns = [("Earlier", f"{turn.question} — {turn.answer}") for turn in history]
    told = [*turns, ("The chat answered", said), ("Its reader", verdict)]
    return "".join(f'<p class="pq-note"><b>{name}</b> {escape(text)}</p>' for name, text in told if text)


def article_html(article: Article, spans: Iterable[Span]) -> str:
    """A whole article with spans of its text marked."""
    text = f'<blockquote class="pq-passage" dir="auto">{marked_html(article.text.strip(), spans)}</blockquote>'
    return f'<article class="pq-card">{head_html(article)}{text}{extra_html(article.extra)}</article>'


def reading_html(reading: Reading) -> str:
    """An article to read beside the conversation, with the quotes of an answer in it."""
    article = reading.article
    back = action_html("close", "Back to the sources" if reading.turn else "Close")
    only = action_html("only", "Ask this article only", article=article.id, title=article.title or article.id)
    notice = f'<p class="pq-notice">{escape(reading.notice)}</p>' if reading.notice else ""
    related = "".join(f"<li>{_related_html(entry)}</li>" for entry in reading.related)
    more = f'<section class="pq-related"><h3>Related articles</h3><ul>{related}</ul></section>' if related else ""
    return (
        f'<article class="pq-reading" aria-label="{escape(article.title or article.id)}">'
        f'<p class="pq-bar">{back}{only}</p>{head_html(article, level=2)}{duplicates_html(reading.duplicates)}'
        f"{extra_html(article.extra)}{notice}"
        f'<div class="pq-body" dir="auto">{_read_text_html(reading)}</div>{more}</article>'
    )


def missing_html(why: str) -> str:
    """What is read in the place of an article that cannot be shown."""
    return (
        f'<article class="pq-reading"><p class="pq-bar">{action_html("close", "Close")}</p>{error_html(why)}</article>'
    )


def _related_html(entry: ArticleEntry) -> str:
    details = " · ".join(filter(None, (entry.source, long_date(entry.published))))
    told = f'<span class="pq-byline">{escape(details)}</span>' if details else ""
    return f"{action_html('read', entry.title or entry.id, article=entry.id)}{told}"


def _read_text_html(reading: Reading) -> str:
    """The article's text, or as much of a very long one as stands around the quote that is shown first."""
    text = reading.article.text
    spans = dict(reading.quotes)
    first, last = _window(text, spans.get(reading.at, (0, 0)))
    edges = {edge_of(text, edge) for span in spans.values() for edge in span if first < edge < last}
    parts = []
    for left, right in pairwise(sorted({first, last, *edges})):
        over = [number for number, (start, end) in spans.items() if start <= left and right <= end]
        began = "".join(_read_number_html(n, reading.turn) for n in over if spans[n][0] == left)
        piece = prose_html(text[left:right])
        kind = "pq-at" if reading.at in over else "pq-also"
        focus = ' id="pq-span" tabindex="-1"' if reading.at in over and spans[reading.at][0] == left else ""
        parts.append(f'{began}<mark class="{kind}"{focus}>{piece}</mark>' if over else piece)
    before, after = ("<p>[…]</p>" if cut else "" for cut in (text[:first].strip(), text[last:].strip()))
    return before + "".join(parts) + after


def _window(text: str, span: Span) -> Span:
    if len(text) <= LONGEST_READ:
        return trimmed(text)
    start = max(0, min(span[0] - LONGEST_READ // 2, len(text) - LONGEST_READ))
    return start, start + LONGEST_READ


def _read_number_html(number: int, turn: int) -> str:
    return f'<a class="pq-number" href="#pq-a-{turn}-{number}" title="Back to the answer">{number}</a>'


def duplicates_html(duplicates: Iterable[Copy]) -> str:
    """Where else the same story stands."""
    places = ", ".join(_titled_html(copy.source or copy.title or copy.id, copy.url) for copy in duplicates)
    return f'<p class="pq-more"><b>The same story</b> in {places}</p>' if places else ""


def extra_html(extra: Iterable[tuple[str, str]]) -> str:
    """What else an article's source says of it."""
    fields = " · ".join(f"<b>{escape(name)}</b> {escape(value)}" for name, value in extra)
    return f'<p class="pq-more">{fields}</p>' if fields else ""


def _titled_html(title: str, url: str) -> str:
    """A title, as a link where there is one to follow."""
    shown, url = escape(title) or "Untitled", link(url)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{shown}</a>' if url else shown


def head_html(of: Passage | Article, level: int = 3) -> str:
    title = _titled_html(of.title, of.url)
    details = (of.source, long_date(of.published), of.author and f"by {of.author}")
    byline = " · ".join(f"<span>{escape(detail)}</span>" for detail in details if detail)
    return f'<h{level} dir="auto">{title}</h{level}><p class="pq-byline">{byline}</p>'
