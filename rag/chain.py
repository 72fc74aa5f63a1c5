"""The chain: question → query → hits → statements → answer with citations. Read this file first."""

from __future__ import annotations

import logging
import time
from collections import abc, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

from rag.answer.citations import cite, difference
from rag.answer.extractive import ExtractiveGenerator, Generator
from rag.answer.generative import REPLACED, LanguageModelGenerator, as_sentence
from rag.answer.support import Checker
from rag.config import Config, api_key
from rag.errors import QuestionError, Stopped
from rag.language.filter_words import QuestionFilters
from rag.language.filters import Known, described
from rag.language.text import visible
from rag.models.cross_encoders import load_entailment, load_reranker
from rag.models.embedding import Embedder, load_embedder
from rag.models.llm import LanguageModel
from rag.models.servers import load_llm
from rag.retrieval.confidence import Confidence, features_of
from rag.retrieval.follow_ups import in_context
from rag.retrieval.retriever import Retriever
from rag.retrieval.rewrite import Plan, plan_query
from rag.retrieval.scoring import QuestionProfile
from rag.schema import NO_FILTERS, Answer, Copy, Draft, Extra, Filters, Hit, Query, ReadFilter, Stage, Statement, Turn
from rag.store.index import Index

log = logging.getLogger(__name__)

LONGEST_QUESTION = 2000
MAX_HITS_FACTOR = 2
"""Hits of a question with sub-questions, as a multiple of those of a plain one."""
NO_ANSWER = "The articles do not answer this."
NOT_IN_HITS, NOT_IN_INDEX = 0.5, 0.2
"""Factor on the confidence in a follow-up if none of its own words is in the hits, or in any article."""
NOTHING_LEFT = "No article fits the filters; widen or remove them."
DROPPED = "No article {} answers this; all articles were searched."
NEAREST = "Nothing in the articles fits the question well enough; the passages listed are only the nearest ones."


@dataclass(frozen=True, slots=True)
class Finding:
    """Hits, best first, and the probability that an answer from them is right."""

    hits: tuple[Hit, ...]
    confidence: float


class Scope(TypedDict, total=False):
    """Limits on the articles that are searched.

    filters: conditions on the articles.
    lifted: words of the question that are not taken as a filter: the `ReadFilter.words` of one filter, or any part
        of the question, in which no filter is read.
    today: the day that "last week" is relative to; by default the current one.
    """

    filters: Filters
    lifted: Collection[str]
    today: date


@dataclass(frozen=True, slots=True)
class Chain:
    """Answers questions over one index. Create it with `from_config` and keep it: it holds the loaded models.

    A language model (`model`), if given, rewrites the question and writes the answer.
    """

    index: Index
    retriever: Retriever
    generator: Generator
    confidence: Confidence
    min_confidence: float
    model: LanguageModel | None = None

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open the index and load the models. Raises IndexMissing, IndexMismatch, ModelError or StoreError."""
        index = Index(config.index, config.embedding_model)
        return cls.with_embedder(index, load_embedder(config.embedding_model), config)

    @classmethod
    def with_embedder(cls, index: Index, embedder: Embedder, config: Config, **others: Any) -> Self:
        """The chain of an open index and a model; `others` are fields of a subclass. Raises ModelError."""
        retriever = Retriever(index, embedder, config.candidates, config.hits, load_reranker(config.reranker))
        generator = ExtractiveGenerator(index, config.sentences)
        chain = cls(index, retriever, generator, Confidence.packaged(), config.min_confidence, **others)
        return chain.with_llm(config, api_key()) if config.llm else chain

    def with_llm(self, config: Config, key: str = "") -> Self:
        """The same chain with answers written by the configured language model.

        Raises ModelError if its library is not installed or its address is invalid.
        """
        limits = (config.llm_context, config.llm_seconds)
        model = load_llm(config.llm, config.llm_base_url, key, *limits)
        checker = Checker(self.index, self.retriever.embedder, load_entailment(config.support_model))
        plain = ExtractiveGenerator(self.index, config.sentences)
        return replace(self, generator=LanguageModelGenerator(model, checker, plain, config.sentences), model=model)

    def without_llm(self) -> Self:
        """The same chain with extractive answers."""
        plain = self.generator.plain if isinstance(self.generator, LanguageModelGenerator) else self.generator
        return replace(self, generator=plain, model=None)

    def with_lengths(self, sentences: int, hits: int) -> Self:
        """The same chain with other limits on the sentences of an answer and the passages it is made from."""
        plain, current = ExtractiveGenerator(self.index, sentences), self.generator
        writing = (
            replace(current, plain=plain, sentences=sentences) if isinstance(current, LanguageModelGenerator) else None
        )
        return replace(self, generator=writing or plain, retriever=replace(self.retriever, hits=hits))

    def ask(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
        """The answer, with a citation for every sentence; or, if not grounded, the nearest passages as hits.

        `history` is the conversation so far, oldest turn first. Raises QuestionError for an empty or too long
        question, and IndexMissing for an empty index.
        """
        return deque(self.stream(question, history, **scope), maxlen=1)[0]

    def stream(
        self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]
    ) -> abc.Generator[Answer, None, None]:
        """The answer as it grows; the last one is complete and equals what `ask` returns.

        Until the text begins, `doing` names the current step. The answer of a language model grows word by word and
        may be replaced at the end. Closing the iterator stops the model. Throwing Stopped into it does so too, and
        yields the partial answer up to its last finished sentence, or raises Stopped if there is no text yet.
        """
        clock = _Clock()
        question = checked(question)
        query, read = self._query(question, history, scope)
        plan = Plan(query)
        for plan in plan_query(self.model, query, history, self.index.fulltext) if self.model else ():
            if plan.doing:
                yield clock.timed(Answer(question, "", (), (), grounded=False, confidence=0.0, doing=plan.doing))
        clock.end("understand")
        finding, applied, notice = self._find(plan, read)
        clock.end("retrieve")
        log.info("searched %r: %d passages, confidence %.2f", query.question, len(finding.hits), finding.confidence)
        answer = base = Answer(
            question,
            NO_ANSWER,
            (),
            finding.hits,
            grounded=False,
            confidence=finding.confidence,
            notice=notice,
            read=applied,
            searched=plan.parts or (() if plan.query.question == question else (plan.query.question,)),
        )
        if finding.confidence >= self.min_confidence:
            builder = _AnswerBuilder(self.index, base)
            drafts = self._generator(plan).generate(plan.query.question, finding.hits)
            for draft in drafts:
                answer = builder.answer(_with_failure(draft, plan.failed))
                try:
                    yield clock.timed(answer)
                except Stopped as stop:
                    yield clock.timed(builder.answer(drafts.throw(stop)))
                    return
        if not answer.grounded:
            why = answer.notice or (NEAREST if finding.hits else NOTHING_LEFT)
            yield clock.timed(replace(answer, text=NO_ANSWER, notice=why, doing=""))

    def _generator(self, plan: Plan) -> Generator:
        """Without a language model that failed on the question, so that its timeout is not waited for again."""
        return (
            self.generator.plain
            if plan.failed and isinstance(self.generator, LanguageModelGenerator)
            else self.generator
        )

    def retrieve(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> list[Hit]:
        """The passages that may answer a question, best first."""
        query, read = self._query(checked(question), history, scope)
        return list(self._find(Plan(query), read)[0].hits)

    def _query(self, question: str, history: Sequence[Turn], scope: Scope) -> tuple[Query, QuestionFilters]:
        """The query in the context of the conversation, and the filters that the question expresses."""
        query = in_context(Query(question, scope.get("filters", NO_FILTERS)), history, self.index)
        known = Known(tuple(self.index.sources()), *(self.index.published() or (None, None)))
        return query, QuestionFilters.read(question, known, scope.get("today") or date.today(), scope.get("lifted", ()))

    def _find(self, plan: Plan, read: QuestionFilters) -> tuple[Finding, tuple[ReadFilter, ...], str]:
        """The hits, the filters of the question that were applied, and a notice if they were dropped.

        They are dropped if no article that they allow answers the question, but another one does.
        """
        finding = self._finding(plan, read)
        if not read.found or finding.confidence >= self.min_confidence:
            return finding, read.found, ""
        wider = self._finding(plan, replace(read, found=()))
        if finding.hits and wider.confidence < self.min_confidence:
            return finding, read.found, ""
        return wider, (), DROPPED.format(", ".join(described(each.filters) for each in read.found))

    def _narrowed(self, query: Query, read: QuestionFilters) -> Query:
        """The query with the filters applied, and without their words unless no others are left."""
        filters, rest = query.filters, read.without(query.question)
        for each in read.found:
            filters = filters.and_also(each.filters)
        return replace(query, filters=filters, question=rest if self.index.fulltext.terms(rest) else query.question)

    def _finding(self, plan: Plan, read: QuestionFilters) -> Finding:
        """The hits of the question and of each sub-question, interleaved by rank."""
        asked = [plan.query, *(replace(plan.query, question=part) for part in plan.parts)]
        queries = [self._narrowed(query, read) for query in asked]
        found = [tuple(self.retriever.retrieve(query)) for query in queries]
        scores = [self._confidence(query, hits) if hits else 0.0 for query, hits in zip(queries, found, strict=True)]
        interleaved = [hit for rank in zip_longest(*found) for hit in rank if hit]
        hits = tuple({hit.passage.id: hit for hit in reversed(interleaved)}.values())[::-1]
        return Finding(hits[: max(map(len, found)) * MAX_HITS_FACTOR], max(scores[0], min(scores[1:], default=0.0)))

    def _confidence(self, query: Query, hits: Sequence[Hit]) -> float:
        """The confidence for the question alone or with words of the conversation, whichever is higher.

        Lower for a follow-up none of whose own words is in the hits: these are about earlier turns.
        """
        fulltext = self.index.fulltext
        alone = QuestionProfile.of(query.question, fulltext)
        needs = (
            [alone, QuestionProfile.of(query.question, fulltext, query.carried, query.weight)]
            if query.weight
            else [alone]
        )
        confidence = max(self.confidence.of(features_of(need, hits, fulltext)) for need in needs)
        terms = alone.rarity.keys()
        if not query.weight or not terms or any(terms & set(fulltext.terms(hit.passage.indexed_text)) for hit in hits):
            return confidence
        return confidence * (NOT_IN_HITS if fulltext.knows(alone.rarity) else NOT_IN_INDEX)


def _with_failure(draft: Draft, failed: str) -> Draft:
    """The draft with a notice why it was not written by the language model, if that failed."""
    return replace(draft, notice=f"{as_sentence(failed)} {REPLACED}") if failed else draft


@dataclass(slots=True)
class _AnswerBuilder:
    """Drafts → answers; statements that did not change since the last draft are not cited again."""

    index: Index
    base: Answer
    _statements: tuple[Statement, ...] = ()
    _cited: Answer | None = None
    _articles: dict[str, tuple[tuple[Copy, ...], Extra]] = field(default_factory=dict)

    def answer(self, draft: Draft) -> Answer:
        """The answer at this stage of the draft."""
        if self._cited is None or draft.statements != self._statements:
            self._cited = self._cite(draft.statements)
            self._statements = draft.statements
        answer = self._cited
        text = f"{answer.text} {draft.pending}".strip() if draft.pending else answer.text
        notice = " ".join(filter(None, (answer.notice, draft.notice)))
        return replace(
            answer,
            text=text,
            grounded=bool(text),
            notice=notice,
            written_by=draft.written_by,
            doing="" if text else draft.doing,
        )

    def _cite(self, statements: tuple[Statement, ...]) -> Answer:
        cited = cite(statements)
        supported = sum(bool(statement.quotes) for statement in statements) / len(statements) if statements else 1.0
        missing = sorted({citation.passage.article_id for citation in cited.citations} - self._articles.keys())
        for article_id, entry in self.index.entries(missing).items() if missing else ():
            self._articles[article_id] = (self.index.elsewhere(entry), entry.extra)
        articles = [self._articles.get(citation.passage.article_id, ((), ())) for citation in cited.citations]
        return replace(
            self.base,
            text=cited.text,
            citations=tuple(
                replace(citation, duplicates=duplicates, extra=extra)
                for citation, (duplicates, extra) in zip(cited.citations, articles, strict=True)
            ),
            emphasis=cited.emphasis,
            sentences=cited.sentences,
            confidence=self.base.confidence * supported,
            notice=" ".join(filter(None, (self.base.notice, difference(cited.citations)))),
        )


@dataclass(slots=True)
class _Clock:
    """Times the stages of one answer, the last of which is "generate"."""

    started: float = field(default_factory=time.perf_counter)
    stages: tuple[Stage, ...] = ()

    def end(self, name: str) -> None:
        self.stages = self._until_now(name)

    def timed(self, answer: Answer) -> Answer:
        stages = self._until_now("generate")
        return replace(answer, seconds=sum(stage.seconds for stage in stages), stages=stages)

    def _until_now(self, name: str) -> tuple[Stage, ...]:
        past = sum(stage.seconds for stage in self.stages)
        return (*self.stages, Stage(name, time.perf_counter() - self.started - past))


def ask(
    question: str,
    index: str | Path | None = None,
    history: Sequence[Turn] = (),
    llm: str | None = None,
    llm_base_url: str | None = None,
    **scope: Unpack[Scope],
) -> Answer:
    """Answer one question over the index in a folder (by default the configured one).

    Loads the models each time; for several questions create a `Chain` and keep it.
    """
    question = checked(question)  # before the model is loaded for nothing
    config = Config.load(index=index, llm=llm, llm_base_url=llm_base_url)
    return Chain.from_config(config).ask(question, history, **scope)


def checked(question: str) -> str:
    """The question without surrounding space, invisible and unencodable characters.

    Raises QuestionError if it is empty then, or longer than LONGEST_QUESTION.
    """
    text = visible(question.encode("utf-8", "replace").decode("utf-8")).strip()
    if not text:
        raise QuestionError("the question is empty; write one, such as: What did the ministry say?")
    if len(text) > LONGEST_QUESTION:
        raise QuestionError(f"the question has {len(text):,} characters, the limit is {LONGEST_QUESTION:,}; shorten it")
    return text
