"""The page: its parts, and what happens when they are used. What is shown comes from `ui.render` and from the views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.api_component import Api
from gradio.events import api

from rag.chain import Chain
from rag.errors import cut
from rag.schema import Filters
from ui import render
from ui.articles import Catalogue
from ui.desk import LENGTHS, Conversation, Desk, Floor, Shown, errors_as_notices, examples_of
from ui.endpoints import Endpoints, checked
from ui.history import Histories
from ui.intake import Intake
from ui.overview import Overview
from ui.owners import parts_of
from ui.reader import Reader
from ui.views import ADDING, PRIVATE, READING, Past, Pictures, Settings, Shelf, number_of, text_of

VIEWS = tuple((name.lower(), name) for name in ("Chat", "History", "Articles", "Overview", "Settings"))
EVENTS = (
    *("read", "ask", "again", "edit", "only", "view"),
    *("list", "reopen", "fork", "rename", "delete", "export"),
    *("look", "sort", "leaf", "remove", "removed", "keep"),
)
"""What the page's own buttons ask for, which `page.js` passes on; a value for each comes with it."""
WIRE = f"""
const events = {list(EVENTS)!r};
document.addEventListener("pq", ({{ detail }}) => events.includes(detail.event) && trigger(detail.event, detail.data));
document.dispatchEvent(new Event("pq-ready"));
"""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the page writes to. Without `histories` the browser keeps conversations; `intake` adds articles."""

    histories: Histories | None = None
    intake: Intake | None = None


NO_STORES = Stores()


CHOOSING = {"select", "like", "example_select", "option_select"}
"""Events of Gradio's that come with what was chosen."""
CHOSEN = (gr.Textbox, gr.Dropdown, gr.Slider)
"""Parts that always have a value."""


class _Page(gr.Blocks):
    """A page whose endpoints take what they are not given as their defaults, from whatever calls them.

    Gradio's own clients send the defaults; a plain POST with the question alone would be refused. Such a POST has no
    session: Gradio makes one of its own for each, of which nothing is kept.
    """

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *rest: Any, **named: Any) -> list[Any]:
        """The inputs as Gradio prepares them, once they are all there."""
        missing = block_fn.inputs[len(inputs) :]
        defaults = [block.value for block in missing if isinstance(block, Api)]
        try:
            prepared: list[Any] = await super().preprocess_data(block_fn, [*inputs, *defaults], *rest, **named)
        except (LookupError, TypeError, ValueError, AttributeError, gr.Error) as error:
            raise gr.Error(f"these values cannot be used ({cut(error)}); send others", print_exception=False) from error
        return [_settled(value, block) for value, block in zip(prepared, block_fn.inputs, strict=False)]

    async def process_api(self, *values: Any, **named: Any) -> dict[str, Any]:
        """What an event comes to; a session that is named after its only event ends with it."""
        session, event = named.get("session_hash"), named.get("event_id")
        try:
            return await super().process_api(*values, **named)
        finally:
            if session is not None and session == event:
                self.state_holder.session_data.pop(session, None)
                self.state_holder.time_last_used.pop(session, None)

    async def call_function(
        self, block_fn: BlockFunction | int, processed_input: list[Any], *rest: Any, **named: Any
    ) -> Any:
        """What an event's function returns; what came with the event has to be of the form in which Gradio reads it."""
        events = {event for _, event in block_fn.targets} if isinstance(block_fn, BlockFunction) else set()
        told = next((given._data for given in (*rest, *named.values()) if isinstance(given, gr.EventData)), None)
        if not _is_told(told, events):
            raise gr.Error("the event_data is not of this event's form; send another", print_exception=False)
        return await super().call_function(block_fn, processed_input, *rest, **named)


def _is_told(value: Any, events: set[str]) -> bool:
    if any(isinstance(part, dict) and "path" in part for part in parts_of(value)):  # a file comes with no event
        return False
    if not events & CHOOSING:
        return True
    index = value.get("index") if isinstance(value, dict) and "value" in value else None
    return isinstance(index[0] if isinstance(index, list) and index else index, int)


def _settled(value: Any, block: Any) -> Any:
    """A value of the kind that the part has: none, or several of one, count as what the part began with."""
    several = isinstance(block, gr.Dropdown) and isinstance(value, list) and not block.multiselect
    return block.value or "" if isinstance(block, CHOSEN) and (value is None or several) else value


def build_app(
    chain: Chain,
    examples: Callable[[], Sequence[str]] = tuple,
    others: Mapping[str, Chain] | None = None,
    lengths: tuple[int, int] = LENGTHS,
    stores: Stores = NO_STORES,
) -> gr.Blocks:
    """The page over a chain; `ui.server` puts it on an address. `examples` are questions to begin with.

    `others` are chains that a reader may choose instead, by what they are called; `lengths` the most sentences of an
    answer, and the most passages, that these chains were made with. `stores` is where the page writes to.
    """
    own_name = render.writer_label(chain.model.name if chain.model else "") if others else ""
    motto = render.CHECKED_WORDS if chain.model else render.OWN_WORDS
    desk = Desk(chain, {own_name: chain, **(others or {})}, *lengths, examples)
    catalogue = Catalogue(chain.index)
    page = _Page(title="Pullquote", analytics_enabled=False, fill_width=True, fill_height=True)
    with page:
        wire = gr.HTML("", visible="hidden", elem_id="pq-wire", js_on_load=WIRE)
        with gr.Row(elem_id="pq-head"):
            gr.HTML(render.masthead_html(motto, VIEWS), elem_id="pq-masthead")
            again = gr.Button("New conversation", elem_id="pq-again", scale=0, min_width=0)
        with gr.Row(elem_id="pq-desk"):
            with gr.Column(elem_id="pq-main", scale=5, min_width=0):
                talk = _Talk.built(desk)
                past = Past.built(stores.histories)
                shelf = Shelf.built(stores.intake)
                pictures = Pictures.built()
                settings = Settings.built(desk, talk.writer)
            with gr.Column(elem_id="pq-panel", scale=4, min_width=0):
                reading = gr.HTML(elem_id="pq-reader", apply_default_css=False)
                sources = gr.HTML(render.sources_html(()), elem_id="pq-sources")
        answers = talk.connect(desk, wire, sources, again, [settings.sentences, settings.passages])
        for answered in answers:
            answered.then(past.keep, [talk.conversation, talk.floor], past.tell, **READING)
        past.connect(wire, [talk.chat, sources, talk.conversation], talk.conversation, talk.floor)
        settings.connect(desk, wire)
        shelf.connect(catalogue, wire)
        pictures.connect(Overview(chain.index, catalogue), wire)
        _connect_reader(Reader(chain.index), wire, talk.conversation, reading)
        page.load(desk.opened, outputs=[talk.chat, talk.only.sources], **PRIVATE)
        _connect_endpoints(Endpoints(chain, catalogue, stores.intake), _at_once(desk))
    return page


def _at_once(desk: Desk) -> dict[str, Any]:
    """How many questions are answered side by side, however they were asked; Gradio's default is one."""
    return {"concurrency_limit": desk.at_once, "concurrency_id": "answers"}


def _connect_endpoints(endpoints: Endpoints, answers: dict[str, Any]) -> None:
    additions = {name: ADDING[name] for name in answers}
    offered: list[tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = [
        (endpoints.ask, answers),
        (endpoints.search, answers),
        (endpoints.articles, {"concurrency_limit": None}),
        *([(endpoints.ingest, additions)] if endpoints.intake else []),
    ]
    for function, limits in offered:
        api(errors_as_notices()(checked(function)), api_name=function.__name__, **limits)


def _connect_reader(reader: Reader, wire: gr.HTML, conversation: gr.State, reading: gr.HTML) -> None:
    def read(exchanges: Conversation, event: gr.EventData) -> str:
        turn, number = number_of(event, "turn"), number_of(event, "number")
        return reader.cited(exchanges, turn, number) if number else reader.article(text_of(event, "article"))

    opened = wire.read(read, conversation, reading, **READING)
    opened.then(None, js="() => { document.dispatchEvent(new Event('pq-read')); }", **PRIVATE)


@dataclass(frozen=True, slots=True)
class _Talk:
    """The view in which questions are asked."""

    conversation: gr.State
    floor: gr.State
    aimed: gr.State
    chat: gr.Chatbot
    stop: gr.Button
    why: gr.Textbox
    box: gr.Textbox
    only: _Only
    writer: gr.Dropdown

    @classmethod
    def built(cls, desk: Desk) -> Self:
        """Where it is called."""
        conversation, floor, aimed = gr.State(()), _own(Floor), gr.State(())
        with gr.Column(elem_id="pq-talk", elem_classes="pq-view", min_width=0):
            chat = _chat(desk)
            stop = gr.Button("Stop", elem_id="pq-stop", size="sm", min_width=0)
            why = _why()
            box = _box()
            with gr.Row(elem_id="pq-choices"):
                only = _Only.built()
                writer = _writer(list(desk.writers))
        return cls(conversation, floor, aimed, chat, stop, why, box, only, writer)

    def connect(
        self, desk: Desk, wire: gr.HTML, sources: gr.HTML, again: gr.Button, lengths: Sequence[gr.Slider]
    ) -> list[Any]:
        """Say what happens when its parts are used; returns the events that answer a question."""
        shown = [self.chat, sources, self.conversation]
        narrowed = [self.only.sources, self.only.after, self.only.before]
        talk, chosen = [self.conversation, self.floor], [*narrowed, self.aimed, self.writer, *lengths]

        def example(event: gr.SelectData, *values: Any) -> Iterator[Shown]:
            text = event.value.get("text") if isinstance(event.value, dict) else event.value
            yield from desk.reply_to_click(str(text or ""), *values)

        def asked_for(event: gr.EventData, *values: Any) -> Iterator[Shown]:
            yield from desk.reply_to_click(text_of(event, "question"), *values)

        answering = {**PRIVATE, **_at_once(desk)}
        # A question sent while an answer still comes in is asked next; by default it would be dropped.
        asked = self.box.submit(
            desk.reply_to_box,
            [self.box, *talk, *chosen],
            [self.box, *shown],
            trigger_mode="always_last",
            **answering,
        )
        answers = [
            asked,
            self.chat.example_select(example, [*talk, *chosen], shown, **answering),
            wire.ask(asked_for, [*talk, *chosen], shown, **answering),
            wire.again(desk.ask_again, talk, shown, **answering),
            self.chat.option_select(desk.reply_without, talk, shown, **answering),
        ]
        wire.edit(desk.take_back, talk, [self.box, *shown], **PRIVATE)
        self.stop.click(desk.stop, self.floor, concurrency_limit=None, **PRIVATE)
        again.click(desk.start_anew, self.floor, shown, cancels=answers, **PRIVATE)
        self.chat.like(desk.rate, talk, self.why, **PRIVATE)
        self.why.submit(desk.explain, [self.why, *talk], self.why, **PRIVATE)
        self.only.connect(desk, wire, self.aimed, narrowed)
        return answers


@dataclass(frozen=True, slots=True)
class _Only:
    """The group of the page that says which articles are asked."""

    group: gr.Accordion
    sources: gr.Dropdown
    after: gr.Textbox
    before: gr.Textbox
    problems: gr.HTML
    aim: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called; closed."""
        day: dict[str, Any] = {"value": "", "placeholder": "YYYY-MM-DD", "max_lines": 1, "min_width": 120}
        with gr.Column(elem_id="pq-only", min_width=0):
            aim = gr.HTML(elem_id="pq-aim")
            with gr.Accordion(render.only_line(Filters()), open=False, elem_id="pq-filters") as group:
                sources = gr.Dropdown([], value=[], multiselect=True, label="From", elem_id="pq-from")
                with gr.Row(elem_id="pq-dates"):
                    after = gr.Textbox(label="Published since", **day)
                    before = gr.Textbox(label="Published until", **day)
                problems = gr.HTML(elem_id="pq-problems")
        return cls(group, sources, after, before, problems, aim)

    def connect(self, desk: Desk, wire: gr.HTML, aimed: gr.State, narrowed: Sequence[Any]) -> None:
        """A filter counts once it is chosen, a date when it is written to its end."""
        ended = [event for box in (self.after, self.before) for event in (box.blur, box.submit)]
        gr.on([self.sources.change, *ended], desk.chosen, narrowed, [self.group, self.problems], **PRIVATE)

        def aim(event: gr.EventData) -> tuple[tuple[str, ...], str]:
            article = text_of(event, "article")
            return (article,) if article else (), render.aim_html(text_of(event, "title")) if article else ""

        wire.only(aim, None, [aimed, self.aim], **PRIVATE)


def _own(make: Callable[[], object]) -> gr.State:
    """A state that is made for each session; a value would be copied, and each session would have the same ids.

    Given a callable in the usual way, Gradio would replace the state once more when the page has loaded, by when a
    conversation may have been reopened in it.
    """
    state = gr.State()
    state.value = partial(make)  # a class of data would be taken for a value
    return state


def _chat(desk: Desk) -> gr.Chatbot:
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
        placeholder=desk.empty(),
        examples=examples_of(desk.examples()),
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


def _why() -> gr.Textbox:
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
