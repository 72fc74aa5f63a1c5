"""The history view: saved conversations, on the server or in the browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from secrets import token_urlsafe
from typing import Any, ClassVar, Self

import gradio as gr

from ui.export.markdown import file_name, json_export, markdown
from ui.html import elements
from ui.html.history import history_html
from ui.page.chat import Shown, show
from ui.page.events import PRIVATE, READING, errors_as_notices, text_of, user_of, value_of, view_column
from ui.page.view import Page
from ui.schema import Conversation
from ui.services.chat import ChatSession
from ui.services.conversation_text import entries_in, entry_json, from_text, shortened, to_text
from ui.services.history import ServerHistory

FORWARD = """watch("value", () => document.dispatchEvent(new CustomEvent("pq-message", { detail: props.value })));"""

LISTING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "history"}
"""Requests for the list take turns, or an earlier one might be shown last."""


@dataclass(frozen=True, slots=True)
class HistoryHandlers:
    """Gradio's event handlers. Without `histories`, the browser keeps the conversations and sends their texts.

    What `page.js` is to save, rename or download is the value of a hidden component, as `message_to_page` writes it.
    """

    histories: ServerHistory | None

    def listed(self, request: gr.Request, event: gr.EventData) -> str:
        """The conversations that have the words that are searched for."""
        words = text_of(event, "words")
        if not self.histories:
            return history_html(entries_in(value_of(event, "kept"), words), words)
        with errors_as_notices():
            return history_html(self.histories.entries(user_of(request), words), words)

    def save(self, conversation: Conversation, session: ChatSession, request: gr.Request) -> Any:
        """Save a conversation, unless its last answer is still coming in or nothing has changed."""
        if not conversation or not conversation[-1].done or session.is_saved(conversation):
            return gr.skip()
        if self.histories:
            with errors_as_notices():
                make = partial(session.snapshot, conversation)
                saved = self.histories.update(user_of(request), session.id, make)
            session.mark_saved(saved)
            return message_to_page(keep={"id": saved.id})
        last, saved = session.saved_entry, session.snapshot(conversation)
        session.mark_saved(saved)
        message = {"id": saved.id, "text": to_text(saved), "last": entry_json(last) if last else None}
        return message_to_page(keep=message)

    def forked(self, conversation: Conversation, session: ChatSession, request: gr.Request) -> Any:
        """Save a conversation under an id of its own, because another tab of the browser asked something in it."""
        session.fork()
        return self.save(conversation, session, request)

    def reopened(self, session: ChatSession, request: gr.Request, event: gr.EventData) -> Shown:
        """Show a saved conversation in place of the current one."""
        with errors_as_notices():
            saved = from_text(self._text(request, event))
        session.begin(saved)
        return show(saved.exchanges)

    def renamed(self, request: gr.Request, event: gr.EventData) -> str:
        """Give a conversation another title."""
        conversation, title = text_of(event, "conversation"), text_of(event, "title")
        if not self.histories:
            return message_to_page(rename={"id": conversation, "title": shortened(title)})
        with errors_as_notices():
            self.histories.rename(user_of(request), conversation, title)
        return message_to_page()

    def deleted(self, request: gr.Request, event: gr.EventData) -> str:
        """Delete a conversation."""
        if self.histories:
            with errors_as_notices():
                self.histories.delete(user_of(request), text_of(event, "conversation"))
        return message_to_page()

    def exported(self, request: gr.Request, event: gr.EventData) -> str:
        """Download a conversation as a file."""
        with errors_as_notices():
            saved = from_text(self._text(request, event))
        write, ending = (json_export, "json") if text_of(event, "kind") == "json" else (markdown, "md")
        return message_to_page(download={"name": file_name(saved, ending), "text": write(saved)})

    def _text(self, request: gr.Request, event: gr.EventData) -> str:
        if self.histories:
            return self.histories.get(user_of(request), text_of(event, "conversation"))
        return text_of(event, "kept")


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The view of the saved conversations."""

    name: ClassVar[str] = "History"
    events: ClassVar[tuple[str, ...]] = ("list", "reopen", "fork", "rename", "delete", "export")

    handlers: HistoryHandlers
    listed: gr.HTML
    message: gr.HTML

    @classmethod
    def build(cls, page: Page) -> Self:
        """Make the components in the current layout."""
        histories = page.stores.histories
        message = gr.HTML("", visible="hidden", elem_id="pq-message", html_template="<i></i>", js_on_load=FORWARD)
        with view_column(cls.name):
            gr.Textbox(label="Find conversations", placeholder="Words that were asked or answered", max_lines=1)
            where = "on the server, for you alone" if histories else "in this browser, and nowhere else"
            gr.HTML(elements.hint_html(f"Kept {where}."), apply_default_css=False)
            listed = gr.HTML(elem_id="pq-listed", apply_default_css=False)
        return cls(HistoryHandlers(histories), listed, message)

    def connect(self, page: Page) -> None:
        """Connect the handlers."""
        do, bridge = self.handlers, page.bridge
        state = [page.chat.conversation, page.chat.session]
        # Requested again while a list is made: something was saved since. By default Gradio would drop the request, and
        # as "always_last" repeat the earlier one.
        bridge.list(do.listed, None, self.listed, trigger_mode="multiple", **LISTING)
        bridge.reopen(do.reopened, page.chat.session, page.chat.shown, **READING)
        bridge.fork(do.forked, state, self.message, **READING)
        for event, handler in ((bridge.rename, do.renamed), (bridge.delete, do.deleted), (bridge.export, do.exported)):
            event(handler, None, self.message, **READING)
        for answered in page.answers:
            answered.then(do.save, state, self.message, **READING)


def message_to_page(**values: Any) -> str:
    """A message to `page.js`; the mark makes each value another one. It holds no tag, whatever the values are."""
    return json.dumps({"mark": token_urlsafe(6), **values}).replace("<", "\\u003c")
