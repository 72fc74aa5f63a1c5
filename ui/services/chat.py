"""The logic of a chat: asking, stopping, asking again, rating. No Gradio and no HTML.

An answer in progress is a series of conversations; None among them means that nothing is to change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_urlsafe

from rag.answer.generative import STOPPED
from rag.chain import Chain, Scope
from rag.config import Config
from rag.errors import PullquoteError, Stopped
from rag.feedback import Rating, add_feedback, feedback_file
from rag.models import prompts
from rag.schema import Answer, Turn
from rag.store.index import Index
from rag.suggest import follow_ups, openers
from ui.schema import MOST_PASSAGES, MOST_SENTENCES, Conversation, Exchange, HistoryEntry, SavedConversation
from ui.services import scope
from ui.services.conversation_text import shortened
from ui.services.errors import unexpected
from ui.services.refreshed import Refreshed
from ui.wording import counted

CONCURRENT_ANSWERS = max(2, os.cpu_count() or 1)
"""Questions answered at once. More would only share the same cores; the rest wait their turn."""
CONCURRENT_WRITTEN = max(4, CONCURRENT_ANSWERS)
"""The same with a language model: most of the time is spent waiting for it."""
INTERRUPTED = "This question was interrupted by the next one; ask it again."
LENGTHS = (Config().sentences, Config().hits)
"""The default limits of sentences and passages in an answer."""
LONGEST_REASON = 2000
UPDATE_SECONDS = 0.05
"""Between two states of an answer that is being written; more would only keep the browser busy."""
STOPPED_EARLY = "Stopped before the first word; ask again."

Steps = Iterator[Conversation | None]


@dataclass(frozen=True, slots=True)
class AskOptions:
    """The choices beside the question box. An empty writer and lengths of 0 stand for the defaults."""

    sources: Sequence[str] = ()
    after: str = ""
    before: str = ""
    article_ids: Sequence[str] = ()
    writer: str = ""
    sentences: float = 0
    passages: float = 0


@dataclass(slots=True)
class ChatSession:
    """The state of one session: which request may write into the page, and how its conversation is saved.

    Requests run side by side, and each would write its own conversation, so that only `owner`, the latest to take over,
    may. `answered` is set when only suggestions of what to ask next are still to come. `disliked` is the id of the
    exchange whose reader is being asked for a reason; `id`, `title` and `started` are those of the saved conversation.
    `saved_entry` and `saved_ids` are its entry and the ids of its exchanges as this session last saved or reopened it;
    `editing` is set while its only question is back in the box.
    """

    owner: object = None
    answered: bool = False
    stopped: bool = False
    disliked: str | None = None
    id: str = field(default_factory=token_urlsafe)
    title: str = ""
    started: datetime = field(default_factory=partial(datetime.now, UTC))
    saved_entry: HistoryEntry | None = None
    saved_ids: tuple[str, ...] = ()
    editing: bool = False

    @property
    def busy(self) -> bool:
        """Whether an answer is still coming in."""
        return self.owner is not None and not self.answered

    def begin(self, saved: SavedConversation | None = None) -> None:
        """Switch to a saved conversation, or to a new one. Requests in progress can no longer write."""
        self.owner, self.disliked, self.editing = None, None, False
        self.id, self.title = (saved.id, saved.title) if saved else (token_urlsafe(), "")
        self.started = saved.started if saved else datetime.now(UTC)
        self.saved_entry, self.saved_ids = (saved.entry, _ids(saved.exchanges)) if saved else (None, ())

    def prepare(self, conversation: Conversation) -> None:
        """Begin a new conversation if this one is empty, before a question is asked in it.

        It is empty in a fresh session, and after the server has released its exchanges but not this state: under the
        old id, the answer would replace the saved conversation.
        """
        if not conversation and not self.editing:
            self.begin()
        self.editing = False

    def is_saved(self, conversation: Conversation) -> bool:
        """Whether the conversation is saved as it stands."""
        return self.saved_ids == _ids(conversation)

    def snapshot(self, conversation: Conversation, stored: HistoryEntry | None = None) -> SavedConversation:
        """The conversation to save in place of `stored`, its entry in the history.

        A title given in another tab is taken over. If another tab has added questions, this one continues under an id
        of its own.
        """
        if stored and (not self.saved_entry or stored.updated != self.saved_entry.updated):
            self.fork()
        elif stored and self.saved_entry and stored.title != self.saved_entry.title:
            self.title = stored.title
        title = self.title or shortened(conversation[0].question)
        return SavedConversation(self.id, title, self.started, datetime.now(UTC), conversation)

    def mark_saved(self, saved: SavedConversation) -> None:
        """Remember what was saved."""
        self.saved_entry, self.saved_ids = saved.entry, _ids(saved.exchanges)

    def fork(self) -> None:
        """Continue with the same exchanges as another conversation."""
        self.id, self.saved_entry, self.saved_ids = token_urlsafe(), None, ()

    def exclusive(self, steps: Iterator[Conversation]) -> Steps:
        """A request's steps until another request takes over; then the steps are closed and the last one is None.

        Without that None, Gradio would show the step before it again when the request ends.
        """
        own = self.owner = object()
        self.stopped = self.answered = False
        try:
            with closing(steps):  # type: ignore[type-var]
                for step in steps:
                    if self.owner is not own:
                        yield None
                        return
                    yield step
        finally:
            if self.owner is own:
                self.owner = None


@dataclass(frozen=True, slots=True)
class ChatController:
    """A chat over one chain, or over several to choose from.

    `writers` are chains by the names shown to readers; `chain` is the default. `sentences` and `passages` are the
    default limits of an answer; `examples` returns questions to begin with.
    """

    chain: Chain
    writers: Mapping[str, Chain] = field(default_factory=dict)
    sentences: int = LENGTHS[0]
    passages: int = LENGTHS[1]
    examples: Callable[[], Sequence[str]] = tuple

    def ask(
        self,
        question: str,
        conversation: Conversation,
        session: ChatSession,
        options: AskOptions = AskOptions(),
        *,
        interrupt: bool = True,
    ) -> Steps:
        """Yield the conversation as the answer grows; a PullquoteError becomes the answer's error.

        Without `interrupt`, nothing happens while another answer is coming in. An empty question adds nothing.
        """
        if interrupt or not session.busy:
            session.prepare(conversation)
            yield from session.exclusive(self._asked(question, conversation, session, options))

    def ask_again(self, conversation: Conversation, session: ChatSession, without: str = "") -> Steps:
        """Ask the last question again, in place of its answer; nothing happens while an answer is coming in.

        `without` are words of the question that are no longer to be read as a filter.
        """
        if conversation and not session.busy:
            last = conversation[-1]
            lifted = (*last.lifted, without) if without else last.lifted
            again = replace(last, lifted=lifted, answer=None, error="", next=(), done=False, id=token_urlsafe(9))
            yield from session.exclusive(self._answered(conversation[:-1], again, session))

    def take_back(self, conversation: Conversation, session: ChatSession) -> tuple[str, Conversation] | None:
        """The last question, to be edited, and the conversation without it; None while an answer is coming in."""
        if session.busy or not conversation:
            return None
        session.owner = None  # suggestions that are still to come would bring the question back
        session.editing = len(conversation) == 1
        return conversation[-1].question, conversation[:-1]

    def _asked(
        self, question: str, conversation: Conversation, session: ChatSession, options: AskOptions
    ) -> Iterator[Conversation]:
        if not question.strip():
            return
        earlier = settled(conversation)
        try:
            filters = scope.filters(options.after, options.before, options.sources, options.article_ids)
        except PullquoteError as error:
            yield (*earlier, Exchange(question, error=str(error), done=True))
            return
        exchange = Exchange(question, filters=filters, writer=options.writer or "", lengths=self._lengths(options))
        yield from self._answered(earlier, exchange, session)

    def _lengths(self, options: AskOptions) -> tuple[int, int] | None:
        """The chosen limits of an answer; None for the defaults."""
        chosen = (int(options.sentences) or self.sentences, int(options.passages) or self.passages)
        if chosen == (self.sentences, self.passages):
            return None
        return min(max(1, chosen[0]), MOST_SENTENCES), min(max(1, chosen[1]), MOST_PASSAGES)

    def _answered(self, earlier: Conversation, exchange: Exchange, session: ChatSession) -> Iterator[Conversation]:
        yield (*earlier, exchange)
        narrowed: Scope = {"filters": exchange.filters, "lifted": exchange.lifted}
        chain = self.writers.get(exchange.writer, self.chain)
        if exchange.lengths:
            chain = chain.with_lengths(*exchange.lengths)
        try:
            stream = chain.stream(exchange.question, turns(earlier), **narrowed)
            with unexpected("the question could not be answered"), closing(stream) as answers:
                shown_at, begun = 0.0, False
                for answer in answers:
                    if session.stopped:
                        exchange = replace(exchange, answer=answers.throw(Stopped()))
                        break
                    exchange = replace(exchange, answer=answer)
                    first = bool(answer.text) and not begun
                    if first or not answer.written_by or time.monotonic() - shown_at > UPDATE_SECONDS:
                        shown_at, begun = time.monotonic(), bool(answer.text)
                        yield (*earlier, exchange)
        except Stopped:
            exchange = _stopped(exchange)
        except PullquoteError as error:
            exchange = replace(exchange, answer=None, error=str(error))
        done = replace(exchange, done=True)
        session.answered = True
        yield (*earlier, done)
        if suggested := self._follow_ups((*earlier, done)):
            yield (*earlier, replace(done, next=suggested))

    def _follow_ups(self, conversation: Conversation) -> tuple[str, ...]:
        """Suggestions of what to ask next; none after an error, since the answer is there."""
        answer = conversation[-1].answer
        try:
            asked = [exchange.question for exchange in conversation]
            return follow_ups(self.chain, answer, asked) if answer else ()
        except PullquoteError:
            return ()

    def rate(self, conversation: Conversation, turn: int, session: ChatSession, *, liked: bool) -> None:
        """Save a rating of the answer of a turn, which counts from 0. Raises ReadError."""
        if turn < len(conversation):
            self._save_rating(conversation, turn, liked=liked)
            session.disliked = None if liked else conversation[turn].id

    def explain(self, reason: str, conversation: Conversation, session: ChatSession) -> None:
        """Save why the answer that was disliked last was disliked. Raises ReadError."""
        turn = next((n for n, exchange in enumerate(conversation) if exchange.id == session.disliked), None)
        if turn is not None and reason.strip():
            self._save_rating(conversation, turn, liked=False, reason=reason.strip()[:LONGEST_REASON])
        session.disliked = None

    def _save_rating(self, conversation: Conversation, turn: int, *, liked: bool, reason: str = "") -> None:
        exchange = conversation[turn]
        if exchange.answer:
            file, rating = feedback_file(self.chain.index.folder), Rating(liked, reason, exchange.id)
            add_feedback(file, exchange.answer, turns(conversation[:turn]), rating)

    @property
    def concurrent(self) -> int:
        """How many questions are answered at once."""
        return CONCURRENT_WRITTEN if self.has_model else CONCURRENT_ANSWERS

    @property
    def has_model(self) -> bool:
        """Whether a language model can be chosen."""
        return any(chain.model for chain in self.writers.values())

    def try_model(self, writer: str) -> list[tuple[str, str]] | None:
        """The reply of a writer's language model, by name; None if it has none. Raises ModelError."""
        model = self.writers.get(writer, self.chain).model
        if not model:
            return None
        started = time.monotonic()
        reply = model.complete(prompts.trial())
        seconds = f"{time.monotonic() - started:.1f} seconds"
        return [(model.name, f"answered after {seconds}"), ("It said", reply.strip()[:200] or "nothing")]

    def facts(self) -> list[tuple[str, str]]:
        """The index and the models in use, by name. Raises IndexMissing, IndexMismatch or StoreError."""
        index = self.chain.index
        articles, passages = index.counts()
        return [
            ("Index", str(index.folder.resolve())),
            ("It holds", f"{counted(articles, 'article')}, {counted(passages, 'passage')}"),
            ("Embedding model", index.embedding_model),
            ("Ranking", "with a reranker" if self.chain.retriever.reranker else ""),
        ]

    def sources(self) -> list[str]:
        """The sources to choose from; none if the index cannot be read."""
        try:
            return self.chain.index.sources()
        except PullquoteError:
            return []


@dataclass(slots=True)
class Openers:
    """Questions to begin with, refreshed after the index has changed. Safe to share between threads.

    `samples` returns the questions that come with an index of the sample articles.
    """

    chain: Chain
    samples: Callable[[Index], Sequence[str]] = lambda _: ()
    _questions: Refreshed[Sequence[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._questions = Refreshed(self.chain.index, self._suggested, "no question could be suggested")

    def __call__(self) -> Sequence[str]:
        """The questions; none if the index cannot be read."""
        try:
            return self._questions()
        except PullquoteError:
            return ()

    def _suggested(self) -> Sequence[str]:
        return self.samples(self.chain.index) or openers(self.chain)


def _ids(conversation: Conversation) -> tuple[str, ...]:
    return tuple(exchange.id for exchange in conversation)


def settled(conversation: Conversation) -> Conversation:
    """The conversation with its last question marked as interrupted if it is still being answered."""
    if not conversation or conversation[-1].done:
        return conversation
    return (*conversation[:-1], replace(conversation[-1], answer=None, error=INTERRUPTED, done=True))


def _stopped(exchange: Exchange) -> Exchange:
    """The exchange with its partial answer, or an error if the answer has no words yet."""
    answer = exchange.answer
    if not answer or not answer.text:
        return replace(exchange, answer=None, error=STOPPED_EARLY)
    return replace(exchange, answer=replace(answer, text=f"{answer.text} …", notice=STOPPED))


def turns(conversation: Conversation) -> tuple[Turn, ...]:
    """The answered exchanges, with the articles that each answer cites; one that is not grounded cites none."""
    return tuple(Turn(e.question, e.answer.text, _cited_articles(e.answer)) for e in conversation if e.answer)


def _cited_articles(answer: Answer) -> tuple[str, ...]:
    citations = answer.citations if answer.grounded else ()
    return tuple(dict.fromkeys(citation.passage.article_id for citation in citations))
