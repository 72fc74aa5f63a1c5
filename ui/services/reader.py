"""An article to read beside the conversation, with the quotes of an answer and related articles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.schema import Article, Citation, Span
from rag.store.index import Index
from ui.schema import Exchange, Reading

RELATED = 5
CHANGED = "The article has changed since it was quoted; this is what it says now."


@dataclass(frozen=True, slots=True)
class Reader:
    """Opens articles of an index."""

    index: Index

    def cited(self, conversation: tuple[Exchange, ...], turn: int, number: int) -> Reading | None:
        """The article of a citation, at its quote; None if it was removed. `turn` counts from 1.

        Raises IndexMissing, IndexMismatch or StoreError.
        """
        answer = conversation[turn - 1].answer if 0 < turn <= len(conversation) else None
        citations = answer.citations if answer else ()
        at = next((citation for citation in citations if citation.number == number), None)
        return self._opened(at.passage.article_id, turn, number, citations) if at else None

    def article(self, article_id: str) -> Reading | None:
        """An article at its beginning; None if it was removed. Raises as `cited`."""
        return self._opened(article_id)

    def _opened(self, article_id: str, turn: int = 0, at: int = 0, cited: tuple[Citation, ...] = ()) -> Reading | None:
        article = self.index.article(article_id)
        if not article:
            return None
        citations = [citation for citation in cited if citation.passage.article_id == article_id]
        quotes = tuple((c.number, span) for c in citations if (span := _span(article, c)))
        entry = self.index.entries([article_id]).get(article_id)
        duplicates = self.index.elsewhere(entry) if entry else ()  # it may have been removed in the meantime
        related = tuple(self.index.related(article_id, RELATED))
        notice = CHANGED if len(quotes) < len(citations) else ""
        return Reading(article, duplicates, quotes, at, turn, related, notice)


def _span(article: Article, citation: Citation) -> Span | None:
    """The span of the quote in the article as it is now; None if it is no longer there."""
    if article.text[citation.start : citation.end] == citation.quote:
        return citation.start, citation.end
    starts = [match.start() for match in re.finditer(re.escape(citation.quote), article.text)]
    start = min(starts, key=lambda start: abs(start - citation.start), default=None)  # it may occur twice
    return None if start is None else (start, start + len(citation.quote))
