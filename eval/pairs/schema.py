"""The question-answer pair."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from rag.schema import Turn


@dataclass(frozen=True, slots=True)
class QAPair:
    """A question and its gold: `answers`, the ids of `articles`, and `evidence`, exact sentences of those articles.

    An answerable question without `answers` is measured by its articles and evidence alone. `kind` is a label to
    group by; `origin` is the place the pair was read from; `rewrite` is the question without need of its history.
    `asked_on` is the day of asking, from which "last week" counts, or None if unknown.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    articles: tuple[str, ...]
    evidence: tuple[str, ...]
    answerable: bool
    history: tuple[Turn, ...] = ()
    kind: str = ""
    origin: str = ""
    rewrite: str = ""
    asked_on: date | None = None
