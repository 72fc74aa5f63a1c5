"""What a conversation of the page does, over a chain: asking, stopping, asking again. No Gradio component is made here.

What is shown comes from `ui.render`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_urlsafe
from typing import Any

import gradio as gr

from eval.pairs.reading import sample_questions
from rag.answer.generative import STOPPED
from rag.chain import Chain, Scope
from rag.config import Config
from rag.errors import PullquoteError, Stopped
from rag.feedback import Rating, add_feedback, feedback_file
from rag.models import prompts
from rag.schema import Answer, Turn
from rag.suggest import follow_ups, openers
from ui import wording
from ui.html import answer as answer_page
from ui.html import elements
from ui.page.events import errors_as_notices
from ui.schema import MOST_PASSAGES, MOST_SENTENCES, Exchange, HistoryEntry, SavedConversation
from ui.services import scope
from ui.services.errors import unexpected
from ui.services.history import shortened

CONCURRENT_ANSWERS = max(2, os.cpu_count() or 1)
"""Questions answered at once. More would only share the same cores; the rest wait their turn."""
CONCURRENT_WRITTEN = max(4, CONCURRENT_ANSWERS)
"""The same where a language model writes, whose words most of the time is spent waiting for."""
INTERRUPTED = "This question was interrupted by the next one; ask it again."
LENGTHS = (Config().sentences, Config().hits)
"""The most sentences and passages of an answer if nobody says otherwise."""
LONGEST_REASON = 2000
REDRAWN = 0.05
"""Seconds between two states of an answer that is being written; more would only keep the browser busy."""
STOPPED_EARLY = "Stopped before the first word; ask again."

Conversation = tuple[Exchange, ...]
Shown = tuple[list[dict[str, Any]], str, Conversation]
"""What an event changes: the chat's messages, the panel, the conversation."""
Steps = Generator[Shown, None, None]
NOTHING: Any = (gr.skip(), gr.skip(), gr.skip())
"""A step that leaves the page as it is."""


@dataclass(slots=True)
class ChatSession:
    """Who has the floor in a session: events run side by side, and each would write its own conversation.

    `answered` if all that may follow is what to ask next, for which nobody waits. `disliked` is the id of the exchange
    of which the reader is being asked why; `id`, `title` and `started` are those of the conversation, as it is kept.
    `last` and `said` are its entry and the ids of its exchanges as this session last kept or reopened it; `edited` is
    set while its only question is in the box, to be asked otherwise.
    """

    holder: object = None
    answered: bool = False
    stopped: bool = False
    disliked: str | None = None
    id: str = field(default_factory=token_urlsafe)
    title: str = ""
    started: datetime = field(default_factory=partial(datetime.now, UTC))
    last: HistoryEntry | None = None
    said: tuple[str, ...] = ()
    edited: bool = False

    @property
    def busy(self) -> bool:
        """Does an answer still come in?"""
        return self.holder is not None and not self.answered

    def begin(self, kept: SavedConversation | None = None) -> None:
        """Turn to another conversation: one that was kept, or a new one. Nothing under way may write any longer."""
        self.holder, self.disliked, self.edited = None, None, False
        self.id, self.title = (kept.id, kept.title) if kept else (token_urlsafe(), "")
        self.started = kept.started if kept else datetime.now(UTC)
        self.last, self.said = (kept.entry, _ids(kept.exchanges)) if kept else (None, ())

    def ask(self, conversation: Conversation) -> None:
        """Begin another conversation if this one is empty.

        It is empty in a fresh session, and where the server has released what was said but not who has the floor:
        under the old id, the answer would replace the conversation that is kept.
        """
        if not conversation and not self.edited:
            self.begin()
        self.edited = False

    def is_kept(self, conversation: Conversation) -> bool:
        """Is the conversation kept as it stands?"""
        return self.said == _ids(conversation)

    def kept(self, conversation: Conversation, stored: HistoryEntry | None = None) -> SavedConversation:
        """The conversation as it is to be kept, in place of what is `stored` of it."""
        self._heed(stored)
        title = self.title or shortened(conversation[0].question)
        return SavedConversation(self.id, title, self.started, datetime.now(UTC), conversation)

    def note(self, kept: SavedConversation) -> None:
        """Remember what was kept."""
        self.last, self.said = kept.entry, _ids(kept.exchanges)

    def _heed(self, stored: HistoryEntry | None) -> None:
        """Take over a title that was given elsewhere; where another tab asked something, leave that conversation be."""
        if stored and (not self.last or stored.updated != self.last.updated):
            self.fork()
        elif stored and self.last and stored.title != self.last.title:
            self.title = stored.title

    def fork(self) -> None:
        """Go on with the same questions as another conversation."""
        self.id, self.last, self.said = token_urlsafe(), None, ()

    def held(self, steps: Steps) -> Iterator[Shown]:
        """An event's steps, up to where another event takes the floor; then they are closed.

        The last one is NOTHING then: Gradio shows an event's last step once more when the event has ended.
        """
        own = self.holder = object()
        self.stopped = self.answered = False
        try:
            with closing(steps):
                for step in steps:
                    if self.holder is not own:
                        yield NOTHING
                        return
                    yield step
        finally:
            if self.holder is own:
                self.holder = None


@dataclass(frozen=True, slots=True)
class ChatController:
    """What the page's events do, over one chain, or over one of several that a reader chooses from.

    `writers` are chains by what they are called in the page; `chain` is asked unless another one is chosen. `sentences`
    and `passages` are the most of an answer unless others are chosen; `examples` are questions to begin with.
    """

    chain: Chain
    writers: Mapping[str, Chain] = field(default_factory=dict)
    sentences: int = LENGTHS[0]
    passages: int = LENGTHS[1]
    examples: Callable[[], Sequence[str]] = tuple

    def reply(  # noqa: PLR0913, PLR0917 - Gradio passes a value for each part of the page
        self,
        question: str,
        conversation: Conversation,
        sources: Sequence[str] = (),
        after: str = "",
        before: str = "",
        aimed: Sequence[str] = (),
        writer: str = "",
        sentences: int = 0,
        passages: int = 0,
        *,
        session: ChatSession | None = None,
    ) -> Steps:
        """The page as the answer grows; an error that is raised on purpose becomes a line of the conversation."""
        if not question.strip():
            return
        earlier = settled(conversation)
        try:
            filters, lengths = scope.filters(after, before, sources, aimed), self._lengths(sentences, passages)
            asked = Exchange(question, filters=filters, writer=writer or "", lengths=lengths)
        except PullquoteError as error:
            yield show((*earlier, Exchange(question, error=str(error), done=True)))
        else:
            yield from self._answered(earlier, asked, session or ChatSession())

    def _answered(self, earlier: Conversation, exchange: Exchange, session: ChatSession) -> Steps:
        yield show((*earlier, exchange))
        narrowed: Scope = {"filters": exchange.filters, "lifted": exchange.lifted}
        chain = self.writers.get(exchange.writer, self.chain)
        if exchange.lengths:
            chain = chain.with_lengths(*exchange.lengths)
        try:
            stream = chain.stream(exchange.question, turns(earlier), **narrowed)
            with unexpected("the question could not be answered"), closing(stream) as answers:
                drawn, begun = 0.0, False
                for answer in answers:
                    if session.stopped:
                        exchange = replace(exchange, answer=answers.throw(Stopped()))
                        break
                    exchange = replace(exchange, answer=answer)
                    first = bool(answer.text) and not begun
                    if first or not answer.written_by or time.monotonic() - drawn > REDRAWN:
                        drawn, begun = time.monotonic(), bool(answer.text)
                        yield show((*earlier, exchange))
        except Stopped:
            exchange = broken_off(exchange)
        except PullquoteError as error:
            exchange = replace(exchange, answer=None, error=str(error))
        done = replace(exchange, done=True)
        session.answered = True
        yield show((*earlier, done))
        if following := self._following((*earlier, done)):
            yield show((*earlier, replace(done, next=following)))

    def _following(self, conversation: Conversation) -> tuple[str, ...]:
        """What may be asked next. Nothing is a reason to trouble a reader who has the answer."""
        answer = conversation[-1].answer
        try:
            asked = [exchange.question for exchange in conversation]
            return follow_ups(self.chain, answer, asked, conversation[-1].filters) if answer else ()
        except PullquoteError:
            return ()

    def _lengths(self, sentences: float, passages: float) -> tuple[int, int] | None:
        """How long an answer may be, where that was chosen otherwise than it is."""
        chosen = (int(sentences) or self.sentences, int(passages) or self.passages)
        if chosen == (self.sentences, self.passages):
            return None
        return min(max(1, chosen[0]), MOST_SENTENCES), min(max(1, chosen[1]), MOST_PASSAGES)

    def reply_to_box(
        self, question: str, conversation: Conversation, session: ChatSession, *chosen: Any
    ) -> Iterator[tuple[Any, ...]]:
        """As `reply`; the box is emptied once, not again when the next question may be half written.

        A question always takes the floor: what a click asked for ends there.
        """
        session.ask(conversation)
        for step, shown in enumerate(session.held(self.reply(question, conversation, *chosen, session=session))):
            keep = step or shown is NOTHING or shown[2][-1].error
            yield (gr.skip() if keep else "", *shown)

    def reply_to_click(
        self, question: str, conversation: Conversation, session: ChatSession, *chosen: Any
    ) -> Iterator[Shown]:
        """As `reply`, for a question that was clicked: it waits for no answer that is coming in, and cuts none off."""
        if not session.busy:
            session.ask(conversation)
            yield from session.held(self.reply(question, conversation, *chosen, session=session))

    def reply_without(self, conversation: Conversation, session: ChatSession, event: gr.SelectData) -> Iterator[Shown]:
        """The last question asked again without the filter whose chip was clicked, in place of its answer.

        A chip of an answer that is no longer the last one does nothing, nor does any while an answer comes in.
        """
        for last in conversation[-1:] if not session.busy else ():
            values = [chip["value"] for chip in answer_page.chips(last, len(conversation))]
            if last.answer and event.value in values:
                words = last.answer.read[values.index(event.value)].words
                again = afresh(replace(last, lifted=(*last.lifted, words)))
                yield from session.held(self._answered(conversation[:-1], again, session))

    def stop(self, session: ChatSession) -> None:
        """End the answer under way; what there is of it stays."""
        session.stopped = True

    def ask_again(self, conversation: Conversation, session: ChatSession) -> Iterator[Shown]:
        """The last question asked once more, as it was asked, in place of its answer."""
        for last in conversation[-1:] if not session.busy else ():
            yield from session.held(self._answered(conversation[:-1], afresh(last), session))

    def take_back(self, conversation: Conversation, session: ChatSession) -> tuple[Any, ...]:
        """The last question back in the box, to be asked otherwise; nothing while an answer comes in."""
        if session.busy or not conversation:
            return (gr.skip(),) * 4
        session.holder = None  # what to ask next would bring the question back
        session.edited = len(conversation) == 1
        return (conversation[-1].question, *show(conversation[:-1]))

    def start_anew(self, session: ChatSession) -> Shown:
        """An empty page, into which no answer under way may write."""
        session.begin()
        return show(())

    def rate(self, conversation: Conversation, session: ChatSession, event: gr.LikeData) -> Any:
        """Write down that a reader liked or disliked an answer, and ask why it was disliked.

        A rating that is taken back stays as it is until another one comes.
        """
        turn = int(event.index if isinstance(event.index, int) else event.index[0]) // 2
        if turn < len(conversation) and isinstance(event.liked, bool):
            self._rated(conversation, turn, liked=event.liked)
            session.disliked = None if event.liked else conversation[turn].id
        return gr.update(visible=session.disliked is not None)

    def explain(self, reason: str, conversation: Conversation, session: ChatSession) -> Any:
        """Write down why a reader disliked the answer that was disliked last."""
        turn = next((n for n, exchange in enumerate(conversation) if exchange.id == session.disliked), None)
        if turn is not None and reason.strip():
            self._rated(conversation, turn, liked=False, reason=reason.strip()[:LONGEST_REASON])
        session.disliked = None
        return gr.update(visible=False, value="")

    def _rated(self, conversation: Conversation, turn: int, *, liked: bool, reason: str = "") -> None:
        exchange = conversation[turn]
        if exchange.answer:
            file, rating = feedback_file(self.chain.index.folder), Rating(liked, reason, exchange.id)
            with errors_as_notices():
                add_feedback(file, exchange.answer, turns(conversation[:turn]), rating)

    @property
    def at_once(self) -> int:
        """How many questions are answered side by side."""
        return CONCURRENT_WRITTEN if self.has_model else CONCURRENT_ANSWERS

    @property
    def has_model(self) -> bool:
        """Is there a language model to choose?"""
        return any(chain.model for chain in self.writers.values())

    def tried(self, writer: str) -> str:
        """Whether the language model answers, or what is wrong with it."""
        model = self.writers.get(writer, self.chain).model
        if not model:
            return elements.hint_html("The articles’ own sentences need no language model. Choose one to try it.")
        started = time.monotonic()
        try:
            said = model.complete(prompts.trial())
        except PullquoteError as error:
            return elements.error_html(str(error))
        took = f"{time.monotonic() - started:.1f} seconds"
        return elements.facts_html(
            [(model.name, f"answered after {took}"), ("It said", said.strip()[:200] or "nothing")]
        )

    def in_use(self, user: str = "") -> str:
        """The index and the models that answer, and whose page it is, if somebody has logged in."""
        login = elements.login_html(user) if user else ""
        try:
            index = self.chain.index
            articles, passages = index.counts()
            held = f"{wording.counted(articles, 'article')}, {wording.counted(passages, 'passage')}"
            reranker = "with a reranker" if self.chain.retriever.reranker else ""
            facts = [
                ("Index", str(index.folder.resolve())),
                ("It holds", held),
                ("Embedding model", index.embedding_model),
            ]
            return elements.facts_html([*facts, ("Ranking", reranker)]) + login
        except PullquoteError as error:
            return elements.error_html(str(error)) + login

    def opened(self) -> tuple[Any, Any]:
        """What has changed since the page was built: what there is to ask, and the sources to choose from."""
        return gr.update(placeholder=self.empty(), examples=examples_of(self.examples())), self._choices()

    def _choices(self) -> Any:
        try:
            known = self.chain.index.fulltext.sources()
        except PullquoteError:
            known = []
        return gr.update(choices=known, visible=len(known) > 1)

    def chosen(self, sources: Sequence[str], after: str, before: str) -> tuple[Any, str]:
        """What the group of filters is headed with, and what is wrong in it."""
        try:
            return gr.update(label=wording.only_line(scope.filters(after, before, sources))), ""
        except PullquoteError as error:
            return gr.update(label="Only articles …"), elements.problems_html([str(error)])

    def empty(self) -> str:
        """What the chat shows before the first question, or why there is nothing to ask."""
        try:
            return answer_page.empty_html(*self.chain.index.counts())
        except PullquoteError as error:
            return elements.error_html(str(error))


@dataclass(slots=True)
class Openers:
    """Questions to begin with, looked for anew when something was written. Safe to share between threads."""

    chain: Chain
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _generation: int = -1
    _questions: Sequence[str] = ()

    def __call__(self) -> Sequence[str]:
        """The questions; none where the index cannot be read."""
        with self._lock, suppress(PullquoteError):
            generation = self.chain.index.generation
            if generation != self._generation:
                self._questions = sample_questions(self.chain.index) or openers(self.chain)
                self._generation = generation
        return self._questions


def examples_of(questions: Sequence[str]) -> list[Any]:
    """Questions as the chat shows them while it is empty."""
    return [{"text": question} for question in questions]


def show(conversation: Conversation) -> Shown:
    """The page's parts for a conversation."""
    return answer_page.messages(conversation), answer_page.sources_html(conversation), conversation


def _ids(conversation: Conversation) -> tuple[str, ...]:
    return tuple(exchange.id for exchange in conversation)


def afresh(exchange: Exchange) -> Exchange:
    """The same question, asked in the same way, with no answer yet."""
    return replace(exchange, answer=None, error="", next=(), done=False, id=token_urlsafe(9))


def settled(conversation: Conversation) -> Conversation:
    """The conversation with nothing under way: if its last question is, it was cut off by what comes now."""
    if not conversation or conversation[-1].done:
        return conversation
    return (*conversation[:-1], replace(conversation[-1], answer=None, error=INTERRUPTED, done=True))


def broken_off(exchange: Exchange) -> Exchange:
    """A question whose answer was stopped before its language model wrote a word, or that had none."""
    answer = exchange.answer
    if not answer or not answer.text:
        return replace(exchange, answer=None, error=STOPPED_EARLY)
    return replace(exchange, answer=replace(answer, text=f"{answer.text} …", notice=STOPPED))


def turns(conversation: Conversation) -> tuple[Turn, ...]:
    """What was said so far, with the articles that each answer cited; one that is not grounded cited none."""
    return tuple(Turn(e.question, e.answer.text, _cited(e.answer)) for e in conversation if e.answer)


def _cited(answer: Answer) -> tuple[str, ...]:
    citations = answer.citations if answer.grounded else ()
    return tuple(dict.fromkeys(citation.passage.article_id for citation in citations))
