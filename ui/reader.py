"""An article to read beside the conversation: with what an answer quotes of it, and with what is related to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.errors import PullquoteError
from rag.index import Index
from rag.schema import Article, Citation, Span
from ui import render
from ui.render import Exchange, Reading

RELATED = 5
GONE = "This article is no longer in the index."
CHANGED = "The article has changed since it was quoted; this is what it says now."


@dataclass(frozen=True, slots=True)
class Reader:
    """Opens articles of an index."""

    index: Index

    def cited(self, conversation: tuple[Exchange, ...], turn: int, number: int) -> str:
        """The article that an answer's marker cites, at its quote. `turn` counts from 1."""
        answer = conversation[turn - 1].answer if 0 < turn <= len(conversation) else None
        citations = answer.citations if answer else ()
        at = next((citation for citation in citations if citation.number == number), None)
        return self._html(at.passage.article_id, turn, number, citations) if at else render.missing_html(GONE)

    def article(self, article_id: str) -> str:
        """An article from its beginning."""
        return self._html(article_id)

    def _html(self, article_id: str, turn: int = 0, at: int = 0, citations: tuple[Citation, ...] = ()) -> str:
        try:
            return self._found(article_id, turn, at, [c for c in citations if c.passage.article_id == article_id])
        except PullquoteError as error:
            return render.missing_html(str(error))

    def _found(self, article_id: str, turn: int, at: int, citations: list[Citation]) -> str:
        article = self.index.article(article_id)
        if not article:
            return render.missing_html(GONE)
        quotes = tuple((c.number, span) for c in citations if (span := _span(article, c)))
        entry = self.index.entries([article_id]).get(article_id)
        also = self.index.elsewhere(entry) if entry else ()  # it may have been removed since it was read
        related = tuple(self.index.related(article_id, RELATED))
        notice = CHANGED if len(quotes) < len(citations) else ""
        return render.reading_html(Reading(article, also, quotes, at, turn, related, notice))


def _span(article: Article, citation: Citation) -> Span | None:
    """Where the quote stands in the article as it is now."""
    if article.text[citation.start : citation.end] == citation.quote:
        return citation.start, citation.end
    starts = [found.start() for found in re.finditer(re.escape(citation.quote), article.text)]
    start = min(starts, key=lambda start: abs(start - citation.start), default=None)  # it may stand there twice
    return None if start is None else (start, start + len(citation.quote))
