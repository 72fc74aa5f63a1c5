"""The chat view: its components and event handlers. The logic is in `ui.services.chat`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import gradio as gr

from rag.errors import PullquoteError
from rag.schema import Filters
from ui import wording
from ui.html import answer as answer_page
from ui.html import elements
from ui.page.events import PRIVATE, closed_accordion, errors_as_notices, text_of, view_column
from ui.schema import MOST_PASSAGES, MOST_SENTENCES, Conversation
from ui.server.loading import LoadingChain
from ui.services import scope
from ui.services.chat import AskOptions, ChatController, ChatSession

Shown = tuple[Any, Any, Any]
"""Values of `ChatView.shown`: the chat's messages, the sources, the conversation."""


def show(conversation: Conversation | None) -> Shown:
    """The values that show a conversation; None leaves the page as it is."""
    if conversation is None:
        return gr.skip(), gr.skip(), gr.skip()
    return answer_page.messages(conversation), answer_page.sources_html(conversation), conversation


def concurrency(controller: ChatController) -> dict[str, Any]:
    """How many questions are answered at once, however they are asked; Gradio's default is one."""
    return {"concurrency_limit": controller.concurrent, "concurrency_id": "answers"}


@dataclass(frozen=True, slots=True)
class ChatHandlers:
    """Gradio's event handlers over a ChatController. `options` are the values of AskOptions."""

    controller: ChatController

    def submitted(
        self, question: str, conversation: Conversation, session: ChatSession, *options: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer the question in the box, which is emptied once: the next question may be half written later on."""
        steps = self.controller.ask(question, conversation, session, AskOptions(*options))
        for number, current in enumerate(steps):
            keep = number or current is None or current[-1].error
            yield (gr.skip() if keep else "", *show(current))

    def example_clicked(
        self, event: gr.SelectData, conversation: Conversation, session: ChatSession, *options: Any
    ) -> Iterator[Shown]:
        """Answer an example."""
        text = event.value.get("text") if isinstance(event.value, dict) else event.value
        yield from self._clicked(str(text or ""), conversation, session, *options)

    def suggestion_clicked(
        self, event: gr.EventData, conversation: Conversation, session: ChatSession, *options: Any
    ) -> Iterator[Shown]:
        """Answer a suggested question."""
        yield from self._clicked(text_of(event, "question"), conversation, session, *options)

    def _clicked(
        self, question: str, conversation: Conversation, session: ChatSession, *options: Any
    ) -> Iterator[Shown]:
        yield from map(
            show, self.controller.ask(question, conversation, session, AskOptions(*options), interrupt=False)
        )

    def chip_clicked(self, conversation: Conversation, session: ChatSession, event: gr.SelectData) -> Iterator[Shown]:
        """Ask the last question again without the filter of a chip; nothing happens for chips of other answers."""
        last = conversation[-1] if conversation else None
        values = [chip["value"] for chip in answer_page.chips(last, len(conversation))] if last else []
        if last and last.answer and event.value in values:
            words = last.answer.read[values.index(event.value)].words
            yield from map(show, self.controller.ask_again(conversation, session, words))

    def again_clicked(self, conversation: Conversation, session: ChatSession) -> Iterator[Shown]:
        """Ask the last question again."""
        yield from map(show, self.controller.ask_again(conversation, session))

    def edit_clicked(self, conversation: Conversation, session: ChatSession) -> tuple[Any, ...]:
        """Put the last question back in the box."""
        taken = self.controller.take_back(conversation, session)
        return (taken[0], *show(taken[1])) if taken else (gr.skip(), *show(None))

    def stop_clicked(self, session: ChatSession) -> None:
        """Stop the answer in progress; the partial answer stays."""
        session.stopped = True

    def new_clicked(self, session: ChatSession) -> Shown:
        """Begin a new conversation."""
        session.begin()
        return show(())

    def rated(self, conversation: Conversation, session: ChatSession, event: gr.LikeData) -> Any:
        """Save a rating, and show the box for a reason after a dislike. A rating taken back stays saved."""
        turn = int(event.index if isinstance(event.index, int) else event.index[0]) // 2
        if isinstance(event.liked, bool):
            with errors_as_notices():
                self.controller.rate(conversation, turn, session, liked=event.liked)
        return gr.update(visible=session.disliked is not None)

    def reason_sent(self, reason: str, conversation: Conversation, session: ChatSession) -> Any:
        """Save the reason for a dislike, and hide its box."""
        with errors_as_notices():
            self.controller.explain(reason, conversation, session)
        return gr.update(visible=False, value="")

    def filters_changed(self, sources: Sequence[str], after: str, before: str) -> tuple[Any, str]:
        """The heading of the filters, and what is wrong with them."""
        try:
            return gr.update(label=wording.only_line(scope.filters(after, before, sources))), ""
        except PullquoteError as error:
            return gr.update(label="Only articles …"), elements.problems_html([str(error)])

    def loaded(self) -> Iterator[tuple[Any, Any]]:
        """What has changed since the page was built: the empty chat and the sources to choose from.

        If the model is still loading, then also the examples that are found with it.
        """
        sources, chain = self.controller.sources(), self.controller.chain
        loading = chain.loading if isinstance(chain, LoadingChain) and chain.is_loading else None
        examples = examples_of(self.controller.examples())
        yield (
            gr.update(placeholder=self.empty(), examples=examples),
            gr.update(choices=sources, visible=len(sources) > 1),
        )
        if loading:
            wait([loading])
            yield gr.update(examples=examples_of(self.controller.examples())), gr.skip()

    def empty(self) -> str:
        """What the chat shows before the first question, or why the index cannot be asked."""
        try:
            return answer_page.empty_html(*self.controller.chain.index.counts())
        except PullquoteError as error:
            return elements.error_html(str(error))


@dataclass(frozen=True, slots=True)
class ChatView:
    """The view in which questions are asked. `sources`, `sentences` and `passages` are rendered elsewhere."""

    name: ClassVar[str] = "Chat"
    events: ClassVar[tuple[str, ...]] = ("ask", "again", "edit", "only")

    handlers: ChatHandlers
    conversation: gr.State
    session: gr.State
    article_ids: gr.State
    chat: gr.Chatbot
    stop: gr.Button
    reason: gr.Textbox
    box: gr.Textbox
    filters: _FilterGroup
    writer: gr.Dropdown
    sources: gr.HTML
    sentences: gr.Slider
    passages: gr.Slider

    @classmethod
    def build(cls, controller: ChatController) -> Self:
        """Make the components in the current layout."""
        handlers, conversation, session = ChatHandlers(controller), gr.State(()), session_state(ChatSession)
        with view_column(cls.name):
            chat = _chatbot(handlers)
            stop = gr.Button("Stop", elem_id="pq-stop", size="sm", min_width=0)
            reason, box = _reason(), _box()
            with gr.Row(elem_id="pq-choices"):
                filters, writer = _FilterGroup.build(), _writer(list(controller.writers))
        sources = gr.HTML(answer_page.sources_html(()), elem_id="pq-sources", render=False)
        limits = [
            gr.Slider(1, most, value=value, step=1, label=label, render=False)
            for most, value, label in (
                (MOST_SENTENCES, controller.sentences, "Sentences in an answer, at most"),
                (MOST_PASSAGES, controller.passages, "Passages it is made of, at most"),
            )
        ]
        article_ids = gr.State(())
        parts = (conversation, session, article_ids, chat, stop, reason, box, filters, writer, sources)
        return cls(handlers, *parts, *limits)

    @property
    def shown(self) -> list[Any]:
        """The components that show the conversation."""
        return [self.chat, self.sources, self.conversation]

    def connect(self, bridge: gr.HTML, new: gr.Button) -> list[Any]:
        """Connect the handlers; returns the events that answer a question. `new` begins a new conversation."""
        do, shown, state = self.handlers, self.shown, [self.conversation, self.session]
        filters = [self.filters.sources, self.filters.after, self.filters.before]
        asking = [*state, *filters, self.article_ids, self.writer, self.sentences, self.passages]
        answering = {**PRIVATE, **concurrency(do.controller)}
        # A question sent while an answer still comes in is asked next; by default it would be dropped.
        asked = self.box.submit(
            do.submitted, [self.box, *asking], [self.box, *shown], trigger_mode="always_last", **answering
        )
        answers = [
            asked,
            self.chat.example_select(do.example_clicked, asking, shown, **answering),
            bridge.ask(do.suggestion_clicked, asking, shown, **answering),
            bridge.again(do.again_clicked, state, shown, **answering),
            self.chat.option_select(do.chip_clicked, state, shown, **answering),
        ]
        bridge.edit(do.edit_clicked, state, [self.box, *shown], **PRIVATE)
        self.stop.click(do.stop_clicked, self.session, concurrency_limit=None, **PRIVATE)
        new.click(do.new_clicked, self.session, shown, cancels=answers, **PRIVATE)
        self.chat.like(do.rated, state, self.reason, **PRIVATE)
        self.reason.submit(do.reason_sent, [self.reason, *state], self.reason, **PRIVATE)
        self.filters.connect(do, bridge, self.article_ids)
        return answers


@dataclass(frozen=True, slots=True)
class _FilterGroup:
    """The group that says which articles are asked."""

    group: gr.Accordion
    sources: gr.Dropdown
    after: gr.Textbox
    before: gr.Textbox
    problems: gr.HTML
    article: gr.HTML

    @classmethod
    def build(cls) -> Self:
        """Make the components in the current layout, closed."""
        day: dict[str, Any] = {"value": "", "placeholder": "YYYY-MM-DD", "max_lines": 1, "min_width": 120}
        with gr.Column(elem_id="pq-only", min_width=0):
            article = gr.HTML(elem_id="pq-aim")
            with closed_accordion(wording.only_line(Filters()), "pq-filters") as group:
                sources = gr.Dropdown([], value=[], multiselect=True, label="From", elem_id="pq-from")
                with gr.Row(elem_id="pq-dates"):
                    after = gr.Textbox(label="Published since", **day)
                    before = gr.Textbox(label="Published until", **day)
                problems = gr.HTML(elem_id="pq-problems")
        return cls(group, sources, after, before, problems, article)

    def connect(self, handlers: ChatHandlers, bridge: gr.HTML, article_ids: gr.State) -> None:
        """Connect the handlers. A date counts when its box is left or Enter is pressed."""
        changes = [
            self.sources.change,
            *(event for box in (self.after, self.before) for event in (box.blur, box.submit)),
        ]
        filters = [self.sources, self.after, self.before]
        shown = [self.group, self.problems]
        # By default a change is dropped while the one before is still being handled.
        gr.on(changes, handlers.filters_changed, filters, shown, trigger_mode="multiple", **PRIVATE)

        def choose(event: gr.EventData) -> tuple[tuple[str, ...], str]:
            article = text_of(event, "article")
            return (article,) if article else (), answer_page.aim_html(text_of(event, "title")) if article else ""

        bridge.only(choose, None, [article_ids, self.article], **PRIVATE)


def session_state(make: Callable[[], object]) -> gr.State:
    """A state that is made for each session; a value would be copied, and each session would have the same ids.

    Given a callable in the usual way, Gradio would replace the state once more when the page has loaded, by when a
    conversation may have been reopened in it.
    """
    state = gr.State()
    state.value = partial(make)  # a dataclass would be taken for a value
    return state


def examples_of(questions: Sequence[str]) -> list[Any]:
    """Questions as the chat's examples."""
    return [{"text": question} for question in questions]


def _chatbot(handlers: ChatHandlers) -> gr.Chatbot:
    return gr.Chatbot(
        elem_id="pq-chat",
        show_label=False,
        container=False,
        layout="panel",
        height=None,
        scale=1,
        buttons=[],
        feedback_options=("Like", "Dislike"),
        latex_delimiters=[],
        placeholder=handlers.empty(),
        examples=examples_of(handlers.controller.examples()),
    )


def _writer(names: Sequence[str]) -> gr.Dropdown:
    """Who writes the answers, if there is a choice."""
    return gr.Dropdown(
        list(names),
        value=names[0],
        label="Answers",
        elem_id="pq-writer",
        visible=len(names) > 1,
        filterable=False,
        min_width=240,
        scale=0,
    )


def _reason() -> gr.Textbox:
    return gr.Textbox(
        elem_id="pq-why",
        label="What was wrong with it?",
        placeholder="Optional: a wrong figure, the wrong passage, not what was asked …",
        submit_btn="Send",
        visible=False,
        max_lines=3,
    )


def _box() -> gr.Textbox:
    return gr.Textbox(
        elem_id="pq-box",
        label="Your question",
        show_label=False,
        container=False,
        placeholder="Ask a question …",
        submit_btn="Ask",
        autofocus=True,
        lines=1,
        max_lines=4,
    )
