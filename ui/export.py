"""Answers and conversations as others get them: plain text to paste, Markdown, JSON. With every citation."""

from __future__ import annotations

import json
import re
import unicodedata

from rag.schema import Citation, Filters, long_date
from ui.history import Kept
from ui.render import Exchange, answer_json, confidence_words, counted, only_line, place_line, showable

SPECIAL = re.compile(r"([\\`*_\[\]<>&#~|$^])")
"""What means something to Markdown wherever it stands."""
LEADING = re.compile(r"^(\d*)([-+=.)])")
"""What means something to Markdown at the beginning of a line."""


def markdown(kept: Kept) -> str:
    """A conversation in Markdown, whose rendered text is that of the page."""
    when = f"{long_date(kept.started.date())}, {counted(len(kept.exchanges), 'question')}"
    parts = [f"# {_plain(kept.title)}", _plain(when), *map(_exchange, kept.exchanges)]
    return "\n\n".join(parts) + "\n"


def json_export(kept: Kept) -> str:
    """A conversation in JSON; each answer is what `pullquote ask --json` prints."""
    told = {
        "title": kept.title,
        "started": kept.started.isoformat(),
        "updated": kept.updated.isoformat(),
        "exchanges": [
            {"question": e.question, "error": e.error, "answer": answer_json(e.answer) if e.answer else None}
            for e in kept.exchanges
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode()


def file_name(kept: Kept, ending: str) -> str:
    """A name for a download that any system takes."""
    ascii_only = unicodedata.normalize("NFKD", kept.title).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only.lower()))[:60].strip("-")
    return f"{slug or 'conversation'}-{kept.started:%Y-%m-%d}.{ending}"


def _exchange(exchange: Exchange) -> str:
    parts = [f"## {_plain(exchange.question)}"]
    answer = exchange.answer
    if not answer:
        return "\n\n".join([*parts, _plain(exchange.error or "Not answered.")])
    parts.append(_plain(answer.text))
    sure = f"*{confidence_words(answer.confidence)}.*" if answer.grounded else ""
    only = [filters for filters in (exchange.filters, *(read.filters for read in answer.read)) if filters != Filters()]
    narrowed = " ".join(f"{_plain(only_line(filters))}." for filters in only)
    parts += [sure, narrowed, _plain(answer.notice), *map(_citation, answer.citations)]
    return "\n\n".join(filter(None, parts))


def _citation(citation: Citation) -> str:
    at = f"{citation.passage.article_id}, characters {citation.start} to {citation.end}"
    return f"> \\[{citation.number}\\] “{_plain(citation.quote)}”\n> — {_plain(place_line(citation))} ({_plain(at)})"


def _line(text: str) -> str:
    return " ".join(showable(text).split())


def _plain(text: str) -> str:
    """A line of text that means nothing to Markdown."""
    return LEADING.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", _line(text)))
