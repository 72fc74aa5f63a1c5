"""An answer as plain text."""

from __future__ import annotations

import re

from rag.answer.citations import MARKER, UNSUPPORTED
from rag.schema import Answer, Passage, long_date
from ui.wording import link, one_line, showable

SIGN = re.compile(rf"{MARKER.pattern}|{re.escape(UNSUPPORTED)}")
"""What follows a sentence of an answer: the number of a citation, or the mark of an unsupported sentence."""


def answer_text(answer: Answer) -> str:
    """An answer and its citations as plain text, to paste elsewhere."""
    sources = [(c, ", ".join(filter(None, (place_line(c.passage), link(c.passage.url))))) for c in answer.citations]
    citations = "\n".join(f"[{c.number}] “{one_line(c.quote)}” — {source}" for c, source in sources)
    return "\n\n".join(filter(None, (showable(answer.text), citations)))


def place_line(passage: Passage) -> str:
    """The source of a passage in a line: title, source, date."""
    parts = (passage.title or passage.article_id, passage.source, long_date(passage.published))
    return ", ".join(one_line(part) for part in parts if part)
