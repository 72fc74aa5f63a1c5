"""An answer as plain text."""

from __future__ import annotations

import re

from rag.answer.citations import MARKER, UNSUPPORTED
from rag.schema import (
    Answer,
    Passage,
    long_date,
)
from ui.wording import link, one_line, showable

SIGN = re.compile(rf"{MARKER.pattern}|{re.escape(UNSUPPORTED)}")
"""What stands behind a sentence of an answer."""


def answer_text(answer: Answer) -> str:
    """An answer and its citations as plain text, to paste elsewhere."""
    cited = "\n".join(f"[{c.number}] “{one_line(c.quote)}” — {_addressed(c.passage)}" for c in answer.citations)
    return "\n\n".join(filter(None, (showable(answer.text), cited)))


def _addressed(passage: Passage) -> str:
    return ", ".join(filter(None, (place_line(passage), link(passage.url))))


def place_line(passage: Passage) -> str:
    """Where a passage stands, in a line: title, source, date."""
    told = (passage.title or passage.article_id, passage.source, long_date(passage.published))
    return ", ".join(one_line(part) for part in told if part)
