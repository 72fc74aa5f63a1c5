"""Conversations to download, in Markdown and JSON, with every citation."""

from __future__ import annotations

import re
import unicodedata

from rag.schema import Answer, Citation, Filters, long_date
from ui.export.json import answer_json, filters_json, plain_json
from ui.export.text import SIGN, place_line
from ui.schema import Exchange, SavedConversation
from ui.wording import confidence_words, counted, link, one_line, only_line

FORMAT = 1
"""Version of the JSON; raised when a key changes its meaning."""
SPECIAL = re.compile(r"([\\`*_\[\]<>&#~|$^])")
"""Markup of Markdown anywhere in a line."""
LEADING = re.compile(r"^(\d*)([-+=.)])")
"""Markup of Markdown at the start of a line."""


def markdown(kept: SavedConversation) -> str:
    """A conversation in Markdown; rendered, it reads as on the page."""
    days = dict.fromkeys((long_date(kept.started.date()), long_date(kept.updated.date())))
    when = f"{' to '.join(days)}, {counted(len(kept.exchanges), 'question')}"
    parts = [f"# {_plain(kept.title)}", _plain(when), *map(_exchange, kept.exchanges)]
    return "\n\n".join(parts) + "\n"


def answer_markdown(answer: Answer) -> str:
    """An answer in Markdown: its text, its confidence, the articles it was restricted to, and every citation.

    Only the addresses of citations are links; all other text of an article is plain text.
    """
    confidence = f"*{confidence_words(answer.confidence)}.*" if answer.grounded else ""
    written = f"Written by {_plain(answer.written_by)}." if answer.written_by else ""
    filters = _restricted(*(read.filters for read in answer.read))
    parts = [_text(answer), confidence, written, filters, _plain(answer.notice), *map(_citation, answer.citations)]
    return "\n\n".join(filter(None, parts))


def json_export(kept: SavedConversation) -> str:
    """A conversation in JSON. Its keys are a public format.

    `format`, `title`, `started` and `updated` (in UTC), then the `exchanges`: each has a `question`, the `filters`
    chosen beside it (null for none), and the `answer` that `pullquote ask --json` prints or, if that is null, the
    `error`.
    """
    conversation = {
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
    return plain_json(conversation)


def file_name(kept: SavedConversation, ending: str) -> str:
    """A name for a download that is valid on every system."""
    ascii_only = unicodedata.normalize("NFKD", kept.title).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only.lower()))[:60].strip("-")
    return f"{slug or 'conversation'}-{kept.started:%Y-%m-%d}.{ending}"


def _exchange(exchange: Exchange) -> str:
    answer = exchange.answer
    reply = answer_markdown(answer) if answer else _plain(exchange.error or "Not answered.")
    return "\n\n".join(filter(None, (f"## {_plain(exchange.question)}", _restricted(exchange.filters), reply)))


def _restricted(*filters: Filters) -> str:
    return " ".join(f"{_plain(only_line(each))}." for each in filters if each)


def _text(answer: Answer) -> str:
    """The text; an unfinished sentence of a language model that was stopped is marked as unchecked."""
    end = max((sign.end() for sign in SIGN.finditer(answer.text)), default=0)
    unfinished = answer.written_by and answer.text[end:].strip(" …")
    return _plain(f"{answer.text} [unchecked]" if unfinished else answer.text)


def _citation(citation: Citation) -> str:
    place = _plain(place_line(citation.passage))
    at = _plain(f"{citation.passage.article_id}, characters {citation.start} to {citation.end}")
    source = ", ".join(filter(None, (place, _address(citation.passage.url))))
    return f"> \\[{citation.number}\\] “{_plain(citation.quote)}”\n> — {source} ({at})"


def _address(url: str) -> str:
    """The address as a link, if it is a web address; characters that would end the link are encoded."""
    return f"<{url.replace('<', '%3C').replace('>', '%3E')}>" if link(url) else ""


def _plain(text: str) -> str:
    """The text in one line, escaped for Markdown."""
    return LEADING.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", one_line(text)))
