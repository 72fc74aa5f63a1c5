"""The values that the interfaces share: exchanges, conversations, history entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from secrets import token_urlsafe

from rag.schema import Answer, Article, ArticleEntry, Copy, Filters, Span

MOST_SENTENCES, MOST_PASSAGES = 10, 30
"""Upper limits of what a reader may choose."""

CONVERSATION_FORMAT = 2
"""Of saved conversations; raised when a field changes its name or meaning."""


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """A saved conversation. `title` is its first question until somebody renames it; times are in UTC."""

    id: str
    title: str
    started: datetime
    updated: datetime
    exchanges: Conversation
    format: int = CONVERSATION_FORMAT

    @property
    def entry(self) -> HistoryEntry:
        """The entry that a list shows."""
        return HistoryEntry(self.id, self.title, self.updated, len(self.exchanges))


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What a list shows of a saved conversation.

    `snippet` is the text around the words that were searched for, unless only the title has them; it is never saved.
    """

    id: str
    title: str
    updated: datetime
    turns: int
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question of a conversation with its answer, an error, or nothing yet.

    `lifted` are words of the question that are not to be read as a filter; `filters`, `writer` and `lengths` (sentences
    and passages, at most) were chosen beside the box. `done` is False while the answer may grow. `next` are suggested
    questions; `id` distinguishes this answer from another to the same question.
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


Conversation = tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """An article in the panel, with an answer's quotes of it.

    `quotes` are the numbers and spans of the quotes, `at` is the number to scroll to, `turn` the turn of the answer.
    `related` are articles on similar subjects.
    """

    article: Article
    duplicates: tuple[Copy, ...] = ()
    quotes: tuple[tuple[int, Span], ...] = ()
    at: int = 0
    turn: int = 0
    related: tuple[ArticleEntry, ...] = ()
    notice: str = ""
