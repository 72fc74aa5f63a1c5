"""The values that the interfaces share: exchanges, conversations, history entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from secrets import token_urlsafe

from rag.schema import (
    Answer,
    Article,
    ArticleEntry,
    Copy,
    Filters,
    Span,
)

MOST_SENTENCES, MOST_PASSAGES = 10, 30
"""What a reader may choose at most."""

CONVERSATION_FORMAT = 2
"""Raised when what is kept changes its meaning."""


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """A conversation that is kept. `title` is its first question until somebody names it; times are in UTC."""

    id: str
    title: str
    started: datetime
    updated: datetime
    exchanges: tuple[Exchange, ...]
    format: int = CONVERSATION_FORMAT

    @property
    def entry(self) -> HistoryEntry:
        """What is listed of it."""
        return HistoryEntry(self.id, self.title, self.updated, len(self.exchanges))


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What is known of a kept conversation without reading it.

    `snippet` is where in it the words stand that were looked for, if not in its title; it is never kept.
    """

    id: str
    title: str
    updated: datetime
    turns: int
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question of the page's conversation and what came of it: an answer, an error, or nothing yet.

    `lifted` are words of the question that were not to be read as a filter, `filters` those that were chosen beside
    the box, `writer` what was chosen to write the answer, `lengths` the most sentences and passages where that was
    chosen; `done` is False for as long as the answer may grow. `next` are questions that may be asked next; `id` tells
    the answer from that to the same question asked again.
    """

    question: str
    answer: Answer | None = None
    error: str = ""
    lifted: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    done: bool = False
    writer: str = ""
    lengths: tuple[int, int] | None = None
    next: tuple[str, ...] = ()
    id: str = field(default_factory=partial(token_urlsafe, 9), compare=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """An article that is read, with what an answer quotes of it.

    `quotes` are the quotes' numbers and spans, `at` the one to be shown first; `turn` is that of the answer. `related`
    are articles on the same matters.
    """

    article: Article
    duplicates: tuple[Copy, ...] = ()
    quotes: tuple[tuple[int, Span], ...] = ()
    at: int = 0
    turn: int = 0
    related: tuple[ArticleEntry, ...] = ()
    notice: str = ""
