"""An article as HTML: to read, and to preview beside a question to label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.schema import Article, Span, Turn
from ui.html.elements import cut, pieces_of, trimmed
from ui.html.templating import render
from ui.schema import Reading

LONGEST_READ = 100_000
"""Characters of an article that are shown at once."""


def draft_html(said: str, verdict: str, history: Sequence[Turn]) -> str:
    """The conversation before a question to label, the chat's answer to it, and the verdict on that answer."""
    turns = [("Earlier", f"{turn.question} — {turn.answer}") for turn in history]
    return render("article.html", "draft", [*turns, ("The chat answered", said), ("Its reader", verdict)])


def article_html(article: Article, spans: Iterable[Span]) -> str:
    """A whole article with spans of its text marked."""
    return render("article.html", "preview", article, pieces_of(article.text.strip(), spans))


def reading_html(reading: Reading) -> str:
    """An article to read beside the conversation, with the quotes of an answer marked."""
    text, spans = reading.article.text, dict(reading.quotes)
    first, last = window = _window(text, spans.get(reading.at, (0, 0)))
    cuts = (bool(text[:first].strip()), bool(text[last:].strip()))
    return render("article.html", "reading", reading, cut(text, spans, window), *cuts)


def missing_html(reason: str) -> str:
    """The message in place of an article that cannot be shown."""
    return render("article.html", "missing", reason)


def _window(text: str, span: Span) -> Span:
    """The part of the text to show: all of it or, of a very long one, the part around the span."""
    if len(text) <= LONGEST_READ:
        return trimmed(text)
    start = max(0, min(span[0] - LONGEST_READ // 2, len(text) - LONGEST_READ))
    return start, start + LONGEST_READ
