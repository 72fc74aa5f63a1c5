"""The page: its layout, the event bridge and the HTTP endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.api_component import Api
from gradio.events import api

from rag.chain import Chain
from rag.errors import cut
from ui import wording
from ui.html import elements
from ui.page.articles import ADDING, ArticlesView
from ui.page.chat import ChatView, concurrency
from ui.page.events import READING, errors_as_notices, upload_path
from ui.page.history import HistoryView
from ui.page.overview import OverviewView
from ui.page.reader import connect_reader
from ui.page.settings import SettingsView
from ui.page.view import Page, Stores, View
from ui.server.ownership import parts_of
from ui.services.api import Endpoints, checked
from ui.services.article_list import ArticleList
from ui.services.chat import LENGTHS, ChatController
from ui.services.reader import Reader

VIEWS: tuple[type[View], ...] = (HistoryView, ArticlesView, OverviewView, SettingsView)
"""The views beside the chat, in the order of their tabs. A new view is a module and an item here."""
NAMES = (ChatView.name, *(view.name for view in VIEWS))
EVENTS = ("view", "read", *ChatView.events, *(event for view in VIEWS for event in view.events))
"""Events of the page's own buttons, which `page.js` raises on the bridge with a value for each."""
EVENT_BRIDGE = f"""
const events = {list(EVENTS)!r};
document.addEventListener("pq", ({{ detail }}) => events.includes(detail.event) && trigger(detail.event, detail.data));
document.dispatchEvent(new Event("pq-ready"));
"""
NO_STORES = Stores()


SELECTING = {"select", "like", "example_select", "option_select"}
"""Gradio's events that carry what was selected."""
ALWAYS_SET = (gr.Textbox, gr.Dropdown, gr.Slider)
"""Components that always have a value."""


class _Blocks(gr.Blocks):
    """Blocks whose endpoints fill in defaults and refuse malformed values with a clear error.

    Gradio's own clients send the defaults; a plain POST with the question alone would be refused. Such a POST has no
    session: Gradio makes one for each, which is dropped here.
    """

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *rest: Any, **named: Any) -> list[Any]:
        """The inputs as Gradio prepares them, with defaults for those that are missing."""
        missing = block_fn.inputs[len(inputs) :]
        defaults = [block.value for block in missing if isinstance(block, Api)]
        try:
            prepared: list[Any] = await super().preprocess_data(block_fn, [*inputs, *defaults], *rest, **named)
        except (LookupError, TypeError, ValueError, AttributeError, gr.Error) as error:
            raise gr.Error(f"these values cannot be used ({cut(error)}); send others", print_exception=False) from error
        return [_value_for(block, value) for value, block in zip(prepared, block_fn.inputs, strict=False)]

    async def process_api(self, *values: Any, **named: Any) -> dict[str, Any]:
        """The result of an event; a session that is named after its only event ends with it."""
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
        """The result of an event's function, once the event's data is known to have the form that Gradio expects."""
        events = {event for _, event in block_fn.targets} if isinstance(block_fn, BlockFunction) else set()
        data = next((given._data for given in (*rest, *named.values()) if isinstance(given, gr.EventData)), None)
        if not _is_valid_data(data, events):
            raise gr.Error("the event_data is not of this event's form; send another", print_exception=False)
        return await super().call_function(block_fn, processed_input, *rest, **named)


def _is_valid_data(data: Any, events: set[str]) -> bool:
    if any(isinstance(part, dict) and "path" in part for part in parts_of(data)):  # no event carries a file
        return False
    if not events & SELECTING:
        return True
    index = data.get("index") if isinstance(data, dict) and "value" in data else None
    return isinstance(index[0] if isinstance(index, list) and index else index, int)


def _value_for(block: Any, value: Any) -> Any:
    """The value, or the component's initial one in place of None or of a list where one value is expected."""
    several = isinstance(block, gr.Dropdown) and isinstance(value, list) and not block.multiselect
    return block.value or "" if isinstance(block, ALWAYS_SET) and (value is None or several) else value


def build_app(
    chain: Chain,
    examples: Callable[[], Sequence[str]] = tuple,
    others: Mapping[str, Chain] | None = None,
    lengths: tuple[int, int] = LENGTHS,
    stores: Stores = NO_STORES,
) -> gr.Blocks:
    """The page over a chain; `ui.server` serves it. `examples` returns questions to begin with.

    `others` are chains to choose from instead, by the names shown; `lengths` are the limits of sentences and passages
    that these chains were made with.
    """
    own_name = wording.writer_label(chain.model.name if chain.model else "") if others else ""
    motto = wording.CHECKED_WORDS if chain.model else wording.OWN_WORDS
    controller = ChatController(chain, {own_name: chain, **(others or {})}, *lengths, examples)
    blocks = _Blocks(title="Pullquote", analytics_enabled=False, fill_width=True, fill_height=True)
    with blocks:
        bridge = gr.HTML("", visible="hidden", elem_id="pq-bridge", js_on_load=EVENT_BRIDGE)
        with gr.Row(elem_id="pq-head"):
            gr.HTML(elements.masthead_html(motto, [(name.lower(), name) for name in NAMES]), elem_id="pq-masthead")
            new = gr.Button("New conversation", elem_id="pq-new", scale=0, min_width=0)
        with gr.Row(elem_id="pq-body"):
            with gr.Column(elem_id="pq-main", scale=5, min_width=0):
                page = Page(ChatView.build(controller), bridge, ArticleList(chain.index), stores)
                views = [view.build(page) for view in VIEWS]
            with gr.Column(elem_id="pq-panel", scale=4, min_width=0):
                article = gr.HTML(elem_id="pq-reader", apply_default_css=False)
                page.chat.sources.render()  # type: ignore[no-untyped-call]
        page.answers.extend(page.chat.connect(bridge, new))
        for view in views:
            view.connect(page)
        connect_reader(Reader(chain.index), bridge, page.chat.conversation, article)
        blocks.load(page.chat.handlers.loaded, outputs=[page.chat.chat, page.chat.filters.sources], **READING)
        endpoints = Endpoints(chain, page.article_list, stores.uploads, upload_path)
        _connect_endpoints(endpoints, concurrency(controller))
    return blocks


def _connect_endpoints(endpoints: Endpoints, answering: dict[str, Any]) -> None:
    offered: list[tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = [
        (endpoints.ask, answering),
        (endpoints.search, answering),
        (endpoints.articles, {"concurrency_limit": None}),
    ]
    if endpoints.uploads:
        offered.append((endpoints.ingest, {name: ADDING[name] for name in answering}))
    for function, limits in offered:
        api(errors_as_notices()(checked(function)), api_name=function.__name__, **limits)
