"""The question-answer pair."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from rag.schema import Turn


@dataclass(frozen=True, slots=True)
class QAPair:
    """A question with what a right answer is made of; `articles` are ids, `evidence` exact sentences of them.

    No `answers` for an answerable question: none were given, only what is to be found. `kind` is a label to group
    by; `origin` says where the pair was read; `rewrite` is the question as it would be asked without its history.
    `asked_on` is the day of asking, from which "last week" counts, or None if it is not known.
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
