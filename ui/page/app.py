"""The page: its parts, and what happens when they are used. What is shown comes from `ui.render` and from the views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.api_component import Api
from gradio.events import api

from rag.chain import Chain
from rag.errors import cut
from ui import wording
from ui.html import answer as answer_page
from ui.html import elements
from ui.page.articles import ADDING, ArticlesView
from ui.page.chat import LENGTHS, ChatController
from ui.page.chat_view import ChatView, concurrency
from ui.page.events import PRIVATE, READING, errors_as_notices, upload_path
from ui.page.history import HistoryView
from ui.page.overview import OverviewView
from ui.page.reader import connect_reader
from ui.page.settings import SettingsView
from ui.server.ownership import parts_of
from ui.services.api import Endpoints, checked
from ui.services.article_list import ArticleList
from ui.services.history import ServerHistory
from ui.services.overview import Overview
from ui.services.reader import Reader
from ui.services.uploads import Uploads

VIEWS = tuple((name.lower(), name) for name in ("Chat", "History", "Articles", "Overview", "Settings"))
EVENTS = (
    *("read", "ask", "again", "edit", "only", "view"),
    *("list", "reopen", "fork", "rename", "delete", "export"),
    *("look", "sort", "leaf", "remove", "removed", "keep"),
)
"""What the page's own buttons ask for, which `page.js` passes on; a value for each comes with it."""
EVENT_BRIDGE = f"""
const events = {list(EVENTS)!r};
document.addEventListener("pq", ({{ detail }}) => events.includes(detail.event) && trigger(detail.event, detail.data));
document.dispatchEvent(new Event("pq-ready"));
"""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the page writes to. Without `histories` the browser keeps conversations; `uploads` adds articles."""

    histories: ServerHistory | None = None
    uploads: Uploads | None = None


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
    own_name = wording.writer_label(chain.model.name if chain.model else "") if others else ""
    motto = wording.CHECKED_WORDS if chain.model else wording.OWN_WORDS
    controller = ChatController(chain, {own_name: chain, **(others or {})}, *lengths, examples)
    article_list = ArticleList(chain.index)
    page = _Page(title="Pullquote", analytics_enabled=False, fill_width=True, fill_height=True)
    with page:
        bridge = gr.HTML("", visible="hidden", elem_id="pq-wire", js_on_load=EVENT_BRIDGE)
        with gr.Row(elem_id="pq-head"):
            gr.HTML(elements.masthead_html(motto, VIEWS), elem_id="pq-masthead")
            again = gr.Button("New conversation", elem_id="pq-again", scale=0, min_width=0)
        with gr.Row(elem_id="pq-desk"):
            with gr.Column(elem_id="pq-main", scale=5, min_width=0):
                chat = ChatView.built(controller)
                history = HistoryView.built(stores.histories)
                articles = ArticlesView.built(stores.uploads)
                overview = OverviewView.built()
                settings = SettingsView.built(controller, chat.writer)
            with gr.Column(elem_id="pq-panel", scale=4, min_width=0):
                reading = gr.HTML(elem_id="pq-reader", apply_default_css=False)
                sources = gr.HTML(answer_page.sources_html(()), elem_id="pq-sources")
        answers = chat.connect(controller, bridge, sources, again, [settings.sentences, settings.passages])
        for answered in answers:
            answered.then(history.keep, [chat.conversation, chat.session], history.tell, **READING)
        history.connect(bridge, [chat.chat, sources, chat.conversation], chat.conversation, chat.session)
        settings.connect(controller, bridge)
        articles.connect(article_list, bridge)
        overview.connect(Overview(chain.index, article_list), bridge)
        connect_reader(Reader(chain.index), bridge, chat.conversation, reading)
        page.load(controller.opened, outputs=[chat.chat, chat.only.sources], **PRIVATE)
        _connect_endpoints(Endpoints(chain, article_list, stores.uploads, upload_path), concurrency(controller))
    return page


def _connect_endpoints(endpoints: Endpoints, answers: dict[str, Any]) -> None:
    additions = {name: ADDING[name] for name in answers}
    offered: list[tuple[Callable[..., dict[str, Any]], dict[str, Any]]] = [
        (endpoints.ask, answers),
        (endpoints.search, answers),
        (endpoints.articles, {"concurrency_limit": None}),
        *([(endpoints.ingest, additions)] if endpoints.uploads else []),
    ]
    for function, limits in offered:
        api(errors_as_notices()(checked(function)), api_name=function.__name__, **limits)
