"""A chain that a reader computes in the head, over an index of one article."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Unpack

from rag.chain import Scope
from rag.errors import QuestionError
from rag.schema import Answer, ArticleEntry, Citation, Filters, Hit, Passage, ReadFilter, Turn

TEXT = "Tea is hot. Ice is cold."
TEA = Passage("d-0", "d", "", 0, 0, len(TEXT), TEXT, ((0, 11), (12, 24)), "Drinks", "The Cup", "", "", None)
READABLE = (
    ReadFilter("in March 2024", Filters(date(2024, 3, 1), date(2024, 3, 31))),
    ReadFilter("The Cup", Filters(sources=("The Cup <b>&",))),
)


@dataclass
class OneArticle:
    """Stands for the index: one article of one passage."""

    folder: Path = Path("index")

    def counts(self) -> tuple[int, int]:
        return 1, 1

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        """No article is found to suggest a question of."""
        return {}

    @property
    def fulltext(self) -> OneArticle:
        return self

    def sources(self) -> list[str]:
        return ["The Cup", "The Saucer, daily", "<img src=x onerror=window.hacked=1>"]


@dataclass
class Parrot:
    """Stands for the chain: answers any question with both sentences of TEXT, one after the other.

    It applies the filters of READABLE whose words are in the question, unless they are lifted, and records in
    `asked` what it was asked.
    """

    index: OneArticle = field(default_factory=OneArticle)
    model: None = None
    asked: list[tuple[str, tuple[Turn, ...], Scope]] = field(default_factory=list)

    def without_llm(self) -> Parrot:
        return self

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        self.asked.append((question, tuple(history), scope))
        if "boom" in question:
            raise QuestionError("the question is too loud;\nask softly")
        tea, ice = Citation(1, TEA, "Tea is hot.", 0, 11), Citation(2, TEA, "Ice is cold.", 12, 24)
        read = tuple(r for r in READABLE if r.words in question and r.words not in scope.get("lifted", ()))
        told = Answer(question, "Tea is hot. [1]", (tea,), (Hit(TEA, 1.0),), "unsure" not in question, 0.9, read=read)
        yield told
        yield replace(told, text="Tea is hot. [1] Ice is cold. [2]", citations=(tea, ice), emphasis=((7, 10),))

    def ask(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
        return [*self.stream(question, history, **scope)][-1]
