"""The chat page in Gradio. No retrieval logic and no escaping: what is shown comes from `ui.render`."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.api_component import Api
from gradio.events import api

from eval.feedback import add_feedback, feedback_file
from rag.chain import Chain, Scope
from rag.errors import PullquoteError
from rag.schema import Answer, Filters, Turn
from ui import render, scope
from ui.render import Exchange

CONCURRENT_ANSWERS = 4
"""Questions answered at once. More would only share the same cores; the rest wait their turn."""
INTERRUPTED = "This question was interrupted by the next one; ask it again."
REDRAWN = 0.05
"""Seconds between two states of an answer that is being written; more would only keep the browser busy."""
STOPPED = "Stopped; this is as far as it came."
STOPPED_EARLY = "Stopped before the first word; ask again."

Conversation = tuple[Exchange, ...]
Step = TypeVar("Step")
Shown = tuple[list[dict[str, Any]], str, Conversation]
"""What an event changes: the chat's messages, the panel, the conversation."""
Steps = Generator[Shown, None, None]


@dataclass(slots=True)
class Floor:
    """Who has the floor in a session: events run side by side, and each would write its own conversation."""

    holder: object = None
    stopped: bool = False

    def held(self, steps: Generator[Step, None, None]) -> Iterator[Step]:
        """An event's steps, up to where another event takes the floor; then they are closed."""
        own = self.holder = object()
        self.stopped = False
        try:
            with closing(steps):
                for step in steps:
                    if self.holder is not own:
                        return
                    yield step
        finally:
            if self.holder is own:
                self.holder = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What the page's events do, over one chain, or over one of several that a reader chooses from.

    `writers` are chains by what they are called in the page; `chain` is asked unless another one is chosen.
    """

    chain: Chain
    writers: Mapping[str, Chain] = field(default_factory=dict)

    def reply(  # noqa: PLR0913, PLR0917 - Gradio passes a value for each part of the page
        self,
        question: str,
        conversation: Conversation,
        sources: Sequence[str] = (),
        after: str = "",
        before: str = "",
        writer: str = "",
        *,
        floor: Floor | None = None,
    ) -> Steps:
        """The page as the answer grows; an error that is raised on purpose becomes a line of the conversation."""
        if not question.strip():
            return
        earlier = settled(conversation)
        try:
            asked = Exchange(question, filters=scope.filters(after, before, sources), writer=writer or "")
        except PullquoteError as error:
            yield show((*earlier, Exchange(question, error=str(error), done=True)))
        else:
            yield from self._answered(earlier, asked, floor or Floor())

    def _answered(self, earlier: Conversation, exchange: Exchange, floor: Floor) -> Steps:
        yield show((*earlier, exchange))
        narrowed: Scope = {"filters": exchange.filters, "lifted": exchange.lifted}
        chain = self.writers.get(exchange.writer, self.chain)
        try:
            with closing(chain.stream(exchange.question, turns(earlier), **narrowed)) as answers:
                drawn, begun = 0.0, False
                for answer in answers:
                    if floor.stopped:
                        exchange = broken_off(exchange)
                        break
                    exchange = replace(exchange, answer=answer)
                    first = bool(answer.text) and not begun
                    if first or not answer.written_by or time.monotonic() - drawn > REDRAWN:
                        drawn, begun = time.monotonic(), bool(answer.text)
                        yield show((*earlier, exchange))
        except PullquoteError as error:
            exchange = replace(exchange, answer=None, error=str(error))
        yield show((*earlier, replace(exchange, done=True)))

    def reply_to_box(
        self, question: str, conversation: Conversation, floor: Floor, *chosen: Any
    ) -> Iterator[tuple[Any, ...]]:
        """As `reply`; the box is emptied once, not again when the next question may be half written.

        A question always takes the floor: what a click asked for ends there.
        """
        for step, shown in enumerate(floor.held(self.reply(question, conversation, *chosen, floor=floor))):
            refused = shown[2][-1].error
            yield (gr.skip() if step or refused else "", *shown)

    def reply_to_example(  # noqa: PLR0913, PLR0917 - Gradio passes a value for each part of the page
        self,
        conversation: Conversation,
        floor: Floor,
        sources: Sequence[str],
        after: str,
        before: str,
        writer: str,
        event: gr.SelectData,
    ) -> Iterator[Shown]:
        """As `reply`, for an example question that was clicked."""
        if not floor.holder:
            text = event.value["text"]
            yield from floor.held(self.reply(text, conversation, sources, after, before, writer, floor=floor))

    def reply_without(self, conversation: Conversation, floor: Floor, event: gr.SelectData) -> Iterator[Shown]:
        """The last question asked again without the filter whose chip was clicked, in place of its answer.

        A chip of an answer that is no longer the last one does nothing, nor does any while an answer comes in.
        """
        for last in conversation[-1:] if not floor.holder else ():
            values = [chip["value"] for chip in render.chips(last, len(conversation))]
            if last.answer and event.value in values:
                words = last.answer.read[values.index(event.value)].words
                again = replace(last, answer=None, lifted=(*last.lifted, words), done=False)
                yield from floor.held(self._answered(conversation[:-1], again, floor))

    def stop(self, floor: Floor) -> None:
        """End the answer under way; what there is of it stays."""
        floor.stopped = True

    def start_anew(self, floor: Floor) -> Shown:
        """An empty page, into which no answer under way may write."""
        floor.holder = None
        return show(())

    def rate(self, conversation: Conversation, event: gr.LikeData) -> None:
        """Write down that a reader liked or disliked an answer; a rating taken back is no rating."""
        turn = int(event.index if isinstance(event.index, int) else event.index[0]) // 2
        answer = conversation[turn].answer if turn < len(conversation) else None
        if answer is None or not isinstance(event.liked, bool):
            return
        try:
            file = feedback_file(self.chain.index.folder)
            add_feedback(file, answer, turns(conversation[:turn]), liked=event.liked)
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def ask(
        self, question: str, published_after: str = "", published_before: str = "", source: str | list[str] = ""
    ) -> dict[str, Any]:
        """The answer to a question, with its citations, as `pullquote ask --json` prints it.

        Dates are written as YYYY-MM-DD; several sources stand in a list, or in a text with commas between them.
        """
        try:
            filters = scope.filters(published_after, published_before, self._sources_of(source))
            return render.answer_json(self.chain.ask(question, filters=filters))
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def _sources_of(self, source: str | list[str]) -> list[str]:
        if not source:
            return []
        known = self.chain.index.lexical.sources()
        if isinstance(source, str):  # of one source, whose name may hold a comma, or of several
            source = [source] if source in known else [name for name in source.split(",") if name.strip()]
        return scope.spelled(source, known)

    def opened(self) -> tuple[Any, Any]:
        """What has changed since the page was built: how much there is to ask, and the sources to choose from."""
        return gr.update(placeholder=self.empty()), self._choices()

    def _choices(self) -> Any:
        try:
            known = self.chain.index.lexical.sources()
        except PullquoteError:
            known = []
        return gr.update(choices=known, visible=len(known) > 1)

    def chosen(self, sources: Sequence[str], after: str, before: str) -> tuple[Any, str]:
        """What the group of filters is headed with, and what is wrong in it."""
        try:
            return gr.update(label=render.only_line(scope.filters(after, before, sources))), ""
        except PullquoteError as error:
            return gr.update(label="Only articles …"), render.problems_html([str(error)])

    def empty(self) -> str:
        """What the chat shows before the first question, or why there is nothing to ask."""
        try:
            return render.empty_html(*self.chain.index.counts())
        except PullquoteError as error:
            return render.error_html(str(error))


def show(conversation: Conversation) -> Shown:
    """The page's parts for a conversation."""
    return render.messages(conversation), render.sources_html(conversation), conversation


def settled(conversation: Conversation) -> Conversation:
    """The conversation with nothing under way: if its last question is, it was cut off by what comes now."""
    if not conversation or conversation[-1].done:
        return conversation
    return (*conversation[:-1], replace(conversation[-1], answer=None, error=INTERRUPTED, done=True))


def broken_off(exchange: Exchange) -> Exchange:
    """A question whose answer was stopped: with what there is of it, checked or not."""
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


class _Page(gr.Blocks):
    """A page whose endpoints take what they are not given as their defaults, from whatever calls them.

    Gradio's own clients send the defaults; a plain POST with the question alone would be refused.
    """

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *rest: Any, **named: Any) -> list[Any]:
        """The inputs as Gradio prepares them, once they are all there."""
        missing = block_fn.inputs[len(inputs) :]
        defaults = [block.value for block in missing if isinstance(block, Api)]
        prepared: list[Any] = await super().preprocess_data(block_fn, [*inputs, *defaults], *rest, **named)
        return prepared


def build_app(chain: Chain, examples: Sequence[str] = (), others: Mapping[str, Chain] | None = None) -> gr.Blocks:
    """The chat page over a chain, with example questions to click; `ui.server` puts it on an address.

    `others` are chains that a reader may choose instead, by what they are called.
    """
    own_name = render.writer_label(chain.model.name if chain.model else "") if others else ""
    motto = render.CHECKED_WORDS if chain.model else render.OWN_WORDS
    desk = Desk(chain, {own_name: chain, **(others or {})})
    page = _Page(title="Pullquote", analytics_enabled=False, fill_width=True, fill_height=True)
    with page:
        conversation, floor = gr.State(()), gr.State(Floor())
        with gr.Row(elem_id="pq-head"):
            gr.HTML(render.masthead_html(motto), elem_id="pq-masthead")
            again = gr.Button("New conversation", elem_id="pq-again", scale=0, min_width=0)
        with gr.Row(elem_id="pq-desk"):
            with gr.Column(elem_id="pq-talk", scale=5, min_width=0):
                chat = _chat(desk.empty(), examples)
                stop = gr.Button("Stop", elem_id="pq-stop", size="sm", min_width=0)
                box = _box()
                with gr.Row(elem_id="pq-choices"):
                    only = _Only.built()
                    writer = _writer(list(desk.writers))
            with gr.Column(elem_id="pq-panel", scale=4, min_width=0):
                panel = gr.HTML(render.sources_html(()), elem_id="pq-sources")
        shown = [chat, panel, conversation]
        narrowed = [only.sources, only.after, only.before]
        chosen = [*narrowed, writer]
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        limit: dict[str, Any] = {"concurrency_limit": CONCURRENT_ANSWERS, "concurrency_id": "answers"}
        talk = [conversation, floor]
        # A question sent while an answer still comes in is asked next; by default it would be dropped.
        asked = box.submit(
            desk.reply_to_box, [box, *talk, *chosen], [box, *shown], trigger_mode="always_last", **own, **limit
        )
        clicked = chat.example_select(desk.reply_to_example, [*talk, *chosen], shown, **own, **limit)
        lifted = chat.option_select(desk.reply_without, talk, shown, **own, **limit)
        stop.click(desk.stop, floor, concurrency_limit=None, **own)
        again.click(desk.start_anew, floor, shown, cancels=[asked, clicked, lifted], **own)
        chat.like(desk.rate, conversation, **own)
        gr.on(only.changed, desk.chosen, narrowed, [only.group, only.problems], **own)
        page.load(desk.opened, outputs=[chat, only.sources], **own)
        api(desk.ask, api_name="ask", **limit)
    return page


@dataclass(frozen=True, slots=True)
class _Only:
    """The group of the page that says which articles are asked."""

    group: gr.Accordion
    sources: gr.Dropdown
    after: gr.Textbox
    before: gr.Textbox
    problems: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called; closed."""
        day: dict[str, Any] = {"value": "", "placeholder": "YYYY-MM-DD", "max_lines": 1, "min_width": 120}
        with gr.Accordion(render.only_line(Filters()), open=False, elem_id="pq-filters") as group:
            sources = gr.Dropdown([], value=[], multiselect=True, label="From", elem_id="pq-from")
            with gr.Row(elem_id="pq-dates"):
                after = gr.Textbox(label="Published since", **day)
                before = gr.Textbox(label="Published until", **day)
            problems = gr.HTML(elem_id="pq-problems")
        return cls(group, sources, after, before, problems)

    @property
    def changed(self) -> list[Any]:
        """What tells that another filter is chosen; a date counts when it is written to its end."""
        return [self.sources.change, *(event for box in (self.after, self.before) for event in (box.blur, box.submit))]


def _chat(placeholder: str, examples: Sequence[str]) -> gr.Chatbot:
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
        placeholder=placeholder,
        examples=[{"text": example} for example in examples],
    )


def _writer(names: Sequence[str]) -> gr.Dropdown:
    """Who is to write the answers, if there is a choice."""
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
