"""The chain: question → query → hits → statements → an answer with citations. Read this file first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Self, TypedDict, Unpack

from rag.cite import cite, difference
from rag.confidence import Confidence, signs_of
from rag.config import Config
from rag.conversation import in_context
from rag.errors import QuestionError
from rag.filters import Known, described, read_filters
from rag.generate import ExtractiveGenerator, Generator
from rag.index import Index
from rag.lexical import LexicalIndex
from rag.models import load_embedder, load_reranker
from rag.retrieve import Retriever
from rag.schema import NO_FILTERS, Answer, Copy, Extra, Filters, Hit, Query, ReadFilter, Stage, Statement, Turn
from rag.sentences import Need

LONGEST_QUESTION = 2000
NO_ANSWER = "The articles do not answer this."
UNHEARD, UNKNOWN = 0.5, 0.2
"""What is left of the confidence in a follow-up if none of its own words is in the hits, or in any article at all."""
NOTHING_LEFT = "No article fits the filters; widen or remove them."
DROPPED = "No article {} answers this; all were looked at."
NEAREST = "Nothing in the articles fits the question well enough; the passages listed are only the nearest ones."


@dataclass(frozen=True, slots=True)
class Finding:
    """Hits, best first, and how sure an answer made of them is to be right, 0–1."""

    hits: tuple[Hit, ...]
    confidence: float


class Scope(TypedDict, total=False):
    """What narrows the articles a question is asked of.

    filters: which articles may be found.
    lifted: words of the question that are not to be read as a filter (`ReadFilter.words`).
    today: what "last week" counts from; the day of asking if not given.
    """

    filters: Filters
    lifted: Collection[str]
    today: date


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
        embedder, reranker = load_embedder(config.embedding_model), load_reranker(config.reranker)
        retriever = Retriever(index, embedder, config.candidates, config.hits, reranker)
        generator = ExtractiveGenerator(index, config.sentences)
        return cls(index, retriever, generator, Confidence.packaged(), config.min_confidence)

    def ask(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
        """The answer, with a citation for every sentence; or, not grounded, the nearest passages as hits.

        `history` are the conversation's earlier turns, oldest first. Raises QuestionError for an empty or far too
        long question, IndexMissing when nothing is indexed.
        """
        return deque(self.stream(question, history, **scope), maxlen=1)[0]

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        """The answer as it grows, sentence by sentence; the last one is complete and is what `ask` returns."""
        clock = _Clock()
        question = checked(question)
        query, read = self._understood(question, history, scope)
        clock.ends("understand")
        finding, kept, notice = self._find(query, read)
        clock.ends("retrieve")
        told = Answer(
            question,
            NO_ANSWER,
            (),
            finding.hits,
            grounded=False,
            confidence=finding.confidence,
            notice=notice,
            read=kept,
        )
        statements: list[Statement] = []
        known: dict[str, tuple[tuple[Copy, ...], Extra]] = {}
        if finding.confidence >= self.min_confidence:
            for statement in self.generator.generate(question, finding.hits):
                statements.append(statement)
                yield clock.timed(self._placed(_telling(told, statements), known))
        if not statements:
            yield clock.timed(replace(told, notice=notice or (NEAREST if finding.hits else NOTHING_LEFT)))

    def retrieve(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> list[Hit]:
        """The passages that may answer a question, best first."""
        return list(self._find(*self._understood(checked(question), history, scope))[0].hits)

    def _understood(self, question: str, history: Sequence[Turn], scope: Scope) -> tuple[Query, tuple[ReadFilter, ...]]:
        """What is searched for, and the filters the question asks for, but those that were taken off."""
        query = in_context(Query(question, scope.get("filters", NO_FILTERS)), history, self.index)
        lexical = self.index.lexical
        known = Known(tuple(lexical.sources()), *(lexical.published() or (None, None)))
        read = read_filters(question, known, scope.get("today") or date.today())
        return query, tuple(f for f in read if not any(_lifted(f, words) for words in scope.get("lifted", ())))

    def _find(self, query: Query, read: tuple[ReadFilter, ...]) -> tuple[Finding, tuple[ReadFilter, ...], str]:
        """What is found, the filters that were held to, and a notice if those read out of the question were not.

        They are dropped where they leave no answer, and it is found without them.
        """
        finding = self._finding(self._narrowed(query, read))
        if not read or finding.confidence >= self.min_confidence:
            return finding, read, ""
        wider = self._finding(query)
        if finding.hits and wider.confidence < self.min_confidence:
            return finding, read, ""
        asked = ", ".join(described(each.filters) for each in read)
        return wider, (), DROPPED.format(asked)

    def _narrowed(self, query: Query, read: Sequence[ReadFilter]) -> Query:
        """The query held to its filters, whose words are no longer looked for, if any others are left."""
        filters, rest = query.filters, query.question
        for each in read:
            filters = filters.and_also(each.filters)
            for words in each.words.split(", "):
                rest = rest.replace(words, " ")
        return replace(query, filters=filters, question=rest if self.index.lexical.terms(rest) else query.question)

    def _finding(self, query: Query) -> Finding:
        hits = tuple(self.retriever.retrieve(query))
        return Finding(hits, self._confidence(query, hits) if hits else 0.0)

    def _placed(self, answer: Answer, known: dict[str, tuple[tuple[Copy, ...], Extra]]) -> Answer:
        """The answer with what is known of each cited article besides its passage; `known` is what was asked before."""
        unknown = {c.passage.article_id for c in answer.citations} - known.keys()
        for article_id, entry in self.index.entries(sorted(unknown)).items():
            known[article_id] = (self.index.elsewhere(entry), entry.extra)
        more = [(citation, *known.get(citation.passage.article_id, ((), ()))) for citation in answer.citations]
        return replace(answer, citations=tuple(replace(c, also=also, extra=extra) for c, also, extra in more))

    def _confidence(self, query: Query, hits: Sequence[Hit]) -> float:
        """As the question alone is met, or with what it may take from the conversation, if that is better met.

        Less for a follow-up of whose own words the hits have none: they are about what was said before.
        """
        lexical = self.index.lexical
        alone = Need.of(query.question, lexical)
        needs = [alone, Need.of(query.question, lexical, query.carried, query.weight)] if query.weight else [alone]
        sure = max(self.confidence.of(signs_of(need, hits, lexical)) for need in needs)
        if not query.weight or not alone.rarity or _heard(alone, hits, lexical):
            return sure
        return sure * (UNHEARD if lexical.knows(alone.rarity) else UNKNOWN)


def _heard(need: Need, hits: Sequence[Hit], lexical: LexicalIndex) -> bool:
    return any(need.rarity.keys() & set(lexical.terms(hit.passage.indexed_text)) for hit in hits)


def _lifted(read: ReadFilter, words: str) -> bool:
    """Do these words hold all those a filter was read from?"""
    return words == read.words or all(part in words for part in read.words.split(", "))


def _telling(told: Answer, statements: Sequence[Statement]) -> Answer:
    text, citations, emphasis = cite(statements)
    notice = " ".join(filter(None, (told.notice, difference(citations))))
    return replace(told, text=text, citations=citations, emphasis=emphasis, grounded=True, notice=notice)


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


def ask(question: str, index: str | Path | None = None, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
    """Answer one question over the index in a folder (default `.pullquote`, or what the settings say).

    Loads the model each time; for more than one question make a `Chain` and keep it.
    """
    question = checked(question)  # before the model is loaded for nothing
    return Chain.from_config(Config.load(index=index)).ask(question, history, **scope)


def checked(question: str) -> str:
    """The question without surrounding space and unencodable characters; raises QuestionError if that leaves none."""
    text = question.encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise QuestionError("the question is empty; write one, such as: What did the ministry say?")
    if len(text) > LONGEST_QUESTION:
        raise QuestionError(f"the question has {len(text):,} characters, the limit is {LONGEST_QUESTION:,}; shorten it")
    return text
