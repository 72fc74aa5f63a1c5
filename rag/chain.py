"""The chain: question → query → hits → statements → an answer with citations. Read this file first."""

from __future__ import annotations

import time
from collections import abc, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Self, TypedDict, Unpack

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
from rag.models.embedding import load_embedder
from rag.models.llm import LanguageModel
from rag.models.servers import load_llm
from rag.retrieval.confidence import Confidence, features_of
from rag.retrieval.follow_ups import in_context
from rag.retrieval.retriever import Retriever
from rag.retrieval.rewrite import Plan, plan_query
from rag.retrieval.scoring import QuestionProfile
from rag.schema import NO_FILTERS, Answer, Copy, Draft, Extra, Filters, Hit, Query, ReadFilter, Stage, Statement, Turn
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index

LONGEST_QUESTION = 2000
MOST_PARTS_HITS = 2
"""What a question in several parts may be answered out of, as a multiple of the hits that one question has."""
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
    lifted: words of the question that are not to be read as a filter: those of one (`ReadFilter.words`), or any
        part of the question, in which none is read then.
    today: what "last week" counts from; the day of asking if not given.
    """

    filters: Filters
    lifted: Collection[str]
    today: date


@dataclass(frozen=True, slots=True)
class Chain:
    """Answers questions over one index. Make one with `from_config` and keep it: it holds the loaded model.

    With a language model (`model`), that writes the answers and says what is looked up.
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
        embedder, reranker = load_embedder(config.embedding_model), load_reranker(config.reranker)
        retriever = Retriever(index, embedder, config.candidates, config.hits, reranker)
        generator = ExtractiveGenerator(index, config.sentences)
        chain = cls(index, retriever, generator, Confidence.packaged(), config.min_confidence)
        return chain.with_llm(config, api_key()) if config.llm else chain

    def with_llm(self, config: Config, key: str = "") -> Self:
        """The same chain, but that its answers are written by the language model of these settings.

        Raises ModelError if the library for it is not installed, or if its address is none.
        """
        limits = (config.llm_context, config.llm_seconds)
        model = load_llm(config.llm, config.llm_base_url, key, *limits)
        checker = Checker(self.index, self.retriever.embedder, load_entailment(config.support_model))
        plain = ExtractiveGenerator(self.index, config.sentences)
        return replace(self, generator=LanguageModelGenerator(model, checker, plain, config.sentences), model=model)

    def without_llm(self) -> Self:
        """The same chain, but that it answers in the articles' own sentences."""
        plain = self.generator.plain if isinstance(self.generator, LanguageModelGenerator) else self.generator
        return replace(self, generator=plain, model=None)

    def with_lengths(self, sentences: int, hits: int) -> Self:
        """The same chain, but that an answer has at most so many sentences, out of so many passages."""
        plain = ExtractiveGenerator(self.index, sentences)
        own = self.generator
        writes = replace(own, plain=plain, sentences=sentences) if isinstance(own, LanguageModelGenerator) else None
        return replace(self, generator=writes or plain, retriever=replace(self.retriever, hits=hits))

    def ask(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
        """The answer, with a citation for every sentence; or, not grounded, the nearest passages as hits.

        `history` are the conversation's earlier turns, oldest first. Raises QuestionError for an empty or far too
        long question, IndexMissing when nothing is indexed, IndexChanging while another process keeps changing it.
        """
        return deque(self.stream(question, history, **scope), maxlen=1)[0]

    def stream(
        self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]
    ) -> abc.Generator[Answer, None, None]:
        """The answer as it grows; the last one is complete and is what `ask` returns.

        Until its first words are there, `doing` says what is being done. A language model's answer grows word by word,
        and may give way to another one in the end. Closing the iterator ends the model's work; throwing Stopped into it
        does that, too, and gives the answer as far as its sentences are finished, or Stopped if there is no word of it.
        """
        clock = _Clock()
        question = checked(question)
        query, read = self._understood(question, history, scope)
        plan = Plan(query)
        for plan in plan_query(self.model, query, history, self.index.fulltext) if self.model else ():
            if plan.doing:
                yield clock.timed(Answer(question, "", (), (), grounded=False, confidence=0.0, doing=plan.doing))
        clock.ends("understand")
        finding, kept, notice = self._find(plan, read)
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
            searched=plan.parts or (() if plan.query.question == question else (plan.query.question,)),
        )
        answer = told
        if finding.confidence >= self.min_confidence:
            telling = _Telling(self, told)
            drafts = self._generator(plan).generate(plan.query.question, finding.hits)
            for draft in drafts:
                answer = telling.of(_noted(draft, plan.failed))
                try:
                    yield clock.timed(answer)
                except Stopped as stop:
                    yield clock.timed(telling.of(drafts.throw(stop)))
                    return
        if not answer.grounded:
            why = answer.notice or (NEAREST if finding.hits else NOTHING_LEFT)
            yield clock.timed(replace(answer, text=NO_ANSWER, notice=why, doing=""))

    def _generator(self, plan: Plan) -> Generator:
        """Without the language model once it has failed: it would only be waited for again."""
        own = self.generator
        return own.plain if plan.failed and isinstance(own, LanguageModelGenerator) else own

    def retrieve(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> list[Hit]:
        """The passages that may answer a question, best first."""
        query, read = self._understood(checked(question), history, scope)
        return list(self._find(Plan(query), read)[0].hits)

    def _understood(self, question: str, history: Sequence[Turn], scope: Scope) -> tuple[Query, QuestionFilters]:
        """What is searched for, and the filters the question asks for, but those that were taken off."""
        query = in_context(Query(question, scope.get("filters", NO_FILTERS)), history, self.index)
        fulltext = self.index.fulltext
        known = Known(tuple(fulltext.sources()), *(fulltext.published() or (None, None)))
        return query, QuestionFilters.read(question, known, scope.get("today") or date.today(), scope.get("lifted", ()))

    def _find(self, plan: Plan, read: QuestionFilters) -> tuple[Finding, tuple[ReadFilter, ...], str]:
        """What is found, the filters that were held to, and a notice if those read out of the question were not.

        They are dropped where they leave no answer, and it is found without them.
        """
        finding = self._finding(plan, read)
        if not read.found or finding.confidence >= self.min_confidence:
            return finding, read.found, ""
        wider = self._finding(plan, replace(read, found=()))
        if finding.hits and wider.confidence < self.min_confidence:
            return finding, read.found, ""
        asked = ", ".join(described(each.filters) for each in read.found)
        return wider, (), DROPPED.format(asked)

    def _narrowed(self, query: Query, read: QuestionFilters) -> Query:
        """The query held to its filters, whose words are no longer looked for, if any others are left."""
        filters, rest = query.filters, read.without(query.question)
        for each in read.found:
            filters = filters.and_also(each.filters)
        return replace(query, filters=filters, question=rest if self.index.fulltext.terms(rest) else query.question)

    def _finding(self, plan: Plan, read: QuestionFilters) -> Finding:
        """Hits for the question and for each of its parts, taken from all of them in turn."""
        asked = [plan.query, *(replace(plan.query, question=part) for part in plan.parts)]
        queries = [self._narrowed(query, read) for query in asked]
        found = [tuple(self.retriever.retrieve(query)) for query in queries]
        sure = [self._confidence(query, hits) if hits else 0.0 for query, hits in zip(queries, found, strict=True)]
        in_turn = (hit for rank in zip_longest(*found) for hit in rank if hit)
        hits = tuple({hit.passage.id: hit for hit in reversed([*in_turn])}.values())[::-1]
        return Finding(hits[: max(map(len, found)) * MOST_PARTS_HITS], max(sure[0], min(sure[1:], default=0.0)))

    def _placed(self, answer: Answer, known: dict[str, tuple[tuple[Copy, ...], Extra]]) -> Answer:
        """The answer with what is known of each cited article besides its passage; `known` is what was asked before."""
        unknown = sorted({c.passage.article_id for c in answer.citations} - known.keys())
        for article_id, entry in self.index.entries(unknown).items() if unknown else ():
            known[article_id] = (self.index.elsewhere(entry), entry.extra)
        more = [(citation, *known.get(citation.passage.article_id, ((), ()))) for citation in answer.citations]
        return replace(
            answer, citations=tuple(replace(c, duplicates=duplicates, extra=extra) for c, duplicates, extra in more)
        )

    def _confidence(self, query: Query, hits: Sequence[Hit]) -> float:
        """As the question alone is met, or with what it may take from the conversation, if that is better met.

        Less for a follow-up of whose own words the hits have none: they are about what was said before.
        """
        fulltext = self.index.fulltext
        alone = QuestionProfile.of(query.question, fulltext)
        needs = [alone]
        if query.weight:
            needs.append(QuestionProfile.of(query.question, fulltext, query.carried, query.weight))
        sure = max(self.confidence.of(features_of(need, hits, fulltext)) for need in needs)
        if not query.weight or not alone.rarity or _heard(alone, hits, fulltext):
            return sure
        return sure * (UNHEARD if fulltext.knows(alone.rarity) else UNKNOWN)


def _heard(need: QuestionProfile, hits: Sequence[Hit], fulltext: FullTextIndex) -> bool:
    return any(need.rarity.keys() & set(fulltext.terms(hit.passage.indexed_text)) for hit in hits)


def _noted(draft: Draft, failed: str) -> Draft:
    """With why there is no language model in it, if it was to be."""
    return replace(draft, notice=f"{as_sentence(failed)} {REPLACED}") if failed else draft


@dataclass(slots=True)
class _Telling:
    """Drafts → answers; what did not change from one to the next is not worked out again."""

    chain: Chain
    told: Answer
    _statements: tuple[Statement, ...] = ()
    _answer: Answer | None = None
    _known: dict[str, tuple[tuple[Copy, ...], Extra]] = field(default_factory=dict)

    def of(self, draft: Draft) -> Answer:
        """The answer as far as the draft goes."""
        if self._answer is None or draft.statements != self._statements:
            self._answer = self._checked(draft.statements)
            self._statements = draft.statements
        answer = self._answer
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

    def _checked(self, statements: tuple[Statement, ...]) -> Answer:
        cited = cite(statements)
        borne_out = sum(bool(statement.quotes) for statement in statements) / len(statements) if statements else 1.0
        answer = replace(
            self.told,
            text=cited.text,
            citations=cited.citations,
            emphasis=cited.emphasis,
            sentences=cited.sentences,
            confidence=self.told.confidence * borne_out,
            notice=" ".join(filter(None, (self.told.notice, difference(cited.citations)))),
        )
        return self.chain._placed(answer, self._known)


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


def ask(
    question: str,
    index: str | Path | None = None,
    history: Sequence[Turn] = (),
    llm: str | None = None,
    llm_base_url: str | None = None,
    **scope: Unpack[Scope],
) -> Answer:
    """Answer one question over the index in a folder (default `.pullquote`, or what the settings say).

    Loads the model each time; for more than one question make a `Chain` and keep it.
    """
    question = checked(question)  # before the model is loaded for nothing
    config = Config.load(index=index, llm=llm, llm_base_url=llm_base_url)
    return Chain.from_config(config).ask(question, history, **scope)


def checked(question: str) -> str:
    """The question without surrounding space, invisible and unencodable characters.

    Raises QuestionError if that leaves none, or more than LONGEST_QUESTION.
    """
    text = visible(question.encode("utf-8", "replace").decode("utf-8")).strip()
    if not text:
        raise QuestionError("the question is empty; write one, such as: What did the ministry say?")
    if len(text) > LONGEST_QUESTION:
        raise QuestionError(f"the question has {len(text):,} characters, the limit is {LONGEST_QUESTION:,}; shorten it")
    return text
