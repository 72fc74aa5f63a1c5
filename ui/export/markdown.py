"""Answers and conversations as others get them: plain text to paste, Markdown, JSON. With every citation."""

from __future__ import annotations

import re
import unicodedata

from rag.schema import Answer, Citation, Filters, long_date
from ui.export.json import answer_json, filters_json, plain_json
from ui.export.text import SIGN, place_line
from ui.schema import Exchange, SavedConversation
from ui.wording import confidence_words, counted, link, one_line, only_line

FORMAT = 1
"""Of the JSON; raised when a key changes its meaning."""
SPECIAL = re.compile(r"([\\`*_\[\]<>&#~|$^])")
"""What means something to Markdown wherever it stands."""
LEADING = re.compile(r"^(\d*)([-+=.)])")
"""What means something to Markdown at the beginning of a line."""


def markdown(kept: SavedConversation) -> str:
    """A conversation in Markdown, whose rendered text is that of the page."""
    days = dict.fromkeys((long_date(kept.started.date()), long_date(kept.updated.date())))
    when = f"{' to '.join(days)}, {counted(len(kept.exchanges), 'question')}"
    parts = [f"# {_plain(kept.title)}", _plain(when), *map(_exchange, kept.exchanges)]
    return "\n\n".join(parts) + "\n"


def answer_markdown(answer: Answer) -> str:
    """An answer in Markdown: its text, how sure it is and of which articles, and every citation.

    Only the addresses of citations are links; whatever else an article says is text.
    """
    sure = f"*{confidence_words(answer.confidence)}.*" if answer.grounded else ""
    written = f"Written by {_plain(answer.written_by)}." if answer.written_by else ""
    read = _narrowed(*(read.filters for read in answer.read))
    parts = [_said(answer), sure, written, read, _plain(answer.notice), *map(_citation, answer.citations)]
    return "\n\n".join(filter(None, parts))


def json_export(kept: SavedConversation) -> str:
    """A conversation in JSON, on whose keys others can rely.

    `format`, `title`, `started` and `updated` (in UTC) stand before the `exchanges`. Each of these has a `question`,
    the `filters` chosen beside it (null for none), and the `answer` that `pullquote ask --json` prints or, if that is
    null, the `error` in its place.
    """
    told = {
        "format": FORMAT,
        "title": kept.title,
        "started": kept.started.isoformat(),
        "updated": kept.updated.isoformat(),
        "exchanges": [
            {
                "question": e.question,
                "filters": filters_json(e.filters) if e.filters else None,
                "error": e.error,
                "answer": answer_json(e.answer) if e.answer else None,
            }
            for e in kept.exchanges
        ],
    }
    return plain_json(told)


def file_name(kept: SavedConversation, ending: str) -> str:
    """A name for a download that any system takes."""
    ascii_only = unicodedata.normalize("NFKD", kept.title).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only.lower()))[:60].strip("-")
    return f"{slug or 'conversation'}-{kept.started:%Y-%m-%d}.{ending}"


def _exchange(exchange: Exchange) -> str:
    answer = exchange.answer
    told = answer_markdown(answer) if answer else _plain(exchange.error or "Not answered.")
    return "\n\n".join(filter(None, (f"## {_plain(exchange.question)}", _narrowed(exchange.filters), told)))


def _narrowed(*filters: Filters) -> str:
    return " ".join(f"{_plain(only_line(each))}." for each in filters if each)


def _said(answer: Answer) -> str:
    """The text; what a language model had begun to write when it was stopped is marked, for nobody has checked it."""
    end = max((sign.end() for sign in SIGN.finditer(answer.text)), default=0)
    begun = answer.written_by and answer.text[end:].strip(" …")
    return _plain(f"{answer.text} [unchecked]" if begun else answer.text)


def _citation(citation: Citation) -> str:
    place = _plain(place_line(citation.passage))
    at = _plain(f"{citation.passage.article_id}, characters {citation.start} to {citation.end}")
    told = ", ".join(filter(None, (place, _address(citation.passage.url))))
    return f"> \\[{citation.number}\\] “{_plain(citation.quote)}”\n> — {told} ({at})"


def _address(url: str) -> str:
    """A link to follow, if it is one; no character of it can end it."""
    return f"<{url.replace('<', '%3C').replace('>', '%3E')}>" if link(url) else ""


def _plain(text: str) -> str:
    """A line of text that means nothing to Markdown."""
    return LEADING.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", one_line(text)))
