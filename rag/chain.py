"""The chain: question → hits → statements → an answer with citations. Read this file first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from rag.cite import cite
from rag.confidence import Confidence, signs_of
from rag.config import Config
from rag.errors import QuestionError
from rag.generate import ExtractiveGenerator, Generator
from rag.index import Index
from rag.models import load_embedder
from rag.retrieve import Retriever
from rag.schema import Answer, Hit, Stage, Statement

LONGEST_QUESTION = 2000
NO_ANSWER = "The articles do not answer this."
NEAREST = "Nothing in the articles fits the question well enough; the passages listed are only the nearest ones."


@dataclass(frozen=True, slots=True)
class Chain:
    """Answers questions over one index. Make one with `from_config` and keep it: it holds the loaded model."""

    index: Index
    retriever: Retriever
    generator: Generator
    confidence: Confidence
    min_confidence: float

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open the index and load the models. Raises IndexMissing, IndexMismatch, ModelError or StoreError."""
        index = Index(config.index, config.embedding_model)
        retriever = Retriever(index, load_embedder(config.embedding_model), config.candidates, config.hits)
        generator = ExtractiveGenerator(index, config.sentences)
        return cls(index, retriever, generator, Confidence.packaged(), config.min_confidence)

    def ask(self, question: str) -> Answer:
        """The answer, with a citation for every sentence; or, not grounded, the nearest passages as hits.

        Raises QuestionError for an empty or far too long question, IndexMissing when nothing is indexed.
        """
        return deque(self.stream(question), maxlen=1)[0]

    def stream(self, question: str) -> Iterator[Answer]:
        """The answer as it grows, sentence by sentence; the last one is complete and is what `ask` returns."""
        clock = _Clock()
        question = checked(question)
        hits = tuple(self.retriever.retrieve(question))
        clock.ends("retrieve")
        confidence = self.confidence.of(signs_of(question, hits, self.index.lexical))
        clock.ends("confidence")
        told = Answer(question, NO_ANSWER, (), hits, grounded=False, confidence=confidence, notice=NEAREST)
        statements: list[Statement] = []
        for statement in self.generator.generate(question, hits) if confidence >= self.min_confidence else ():
            statements.append(statement)
            text, citations = cite(statements)
            told = replace(told, text=text, citations=citations, grounded=True, notice="")
            yield clock.timed(told)
        if not statements:
            yield clock.timed(told)

    def retrieve(self, question: str) -> list[Hit]:
        """The passages that may answer a question, best first."""
        return self.retriever.retrieve(checked(question))


@dataclass(slots=True)
class _Clock:
    """Where the time of one answer goes: stages that are over, and the one under way, "generate" at the end."""

    started: float = field(default_factory=time.perf_counter)
    over: tuple[Stage, ...] = ()

    def ends(self, name: str) -> None:
        self.over = (*self.over, Stage(name, self._since_last()))

    def timed(self, answer: Answer) -> Answer:
        stages = (*self.over, Stage("generate", self._since_last()))
        return replace(answer, seconds=sum(stage.seconds for stage in stages), stages=stages)

    def _since_last(self) -> float:
        return time.perf_counter() - self.started - sum(stage.seconds for stage in self.over)


def ask(question: str, index: str | Path | None = None) -> Answer:
    """Answer one question over the index in a folder (default `.pullquote`, or what the settings say).

    Loads the model each time; for more than one question make a `Chain` and keep it.
    """
    question = checked(question)  # before the model is loaded for nothing
    return Chain.from_config(Config.load(index=index)).ask(question)


def checked(question: str) -> str:
    """The question without surrounding space and unencodable characters; raises QuestionError if that leaves none."""
    text = question.encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise QuestionError("the question is empty; write one, such as: What did the ministry say?")
    if len(text) > LONGEST_QUESTION:
        raise QuestionError(f"the question has {len(text):,} characters, the limit is {LONGEST_QUESTION:,}; shorten it")
    return text
