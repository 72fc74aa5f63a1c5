"""The history view."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from secrets import token_urlsafe
from typing import Any, Self

import gradio as gr

from ui.export.markdown import file_name, json_export, markdown
from ui.html import elements
from ui.html.history import history_html
from ui.page.chat import ChatSession, Conversation, show
from ui.page.events import READING, errors_as_notices, text_of, value_of
from ui.services.history import ServerHistory, entries_in, entry_json, from_text, shortened, to_text

PAGE_MESSAGES = """watch("value", () => document.dispatchEvent(new CustomEvent("pq-tell", { detail: props.value })));"""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The view of the conversations that are kept: on the server if `histories` are given, otherwise in the browser.

    What is to be kept or downloaded is told to `page.js` by `tell`.
    """

    histories: ServerHistory | None
    words: gr.Textbox
    listed: gr.HTML
    tell: gr.HTML

    @classmethod
    def built(cls, histories: ServerHistory | None) -> Self:
        """Where it is called."""
        tell = gr.HTML("", visible="hidden", elem_id="pq-tell", html_template="<i></i>", js_on_load=PAGE_MESSAGES)
        with gr.Column(elem_id="pq-history", elem_classes="pq-view", min_width=0):
            words = gr.Textbox(label="Find conversations", placeholder="Words that were asked or answered", max_lines=1)
            where = "on the server, for you alone" if histories else "in this browser, and nowhere else"
            gr.HTML(elements.hint_html(f"Kept {where}."), apply_default_css=False)
            listed = gr.HTML(elem_id="pq-listed", apply_default_css=False)
        return cls(histories, words, listed, tell)

    def connect(self, bridge: gr.HTML, shown: Sequence[Any], conversation: gr.State, session: gr.State) -> None:
        """Say what happens when its parts are used; `shown` is what a conversation changes."""
        # Asked for again while a list is made: something was kept since, and by default Gradio would drop the event.
        bridge.list(self.list, None, self.listed, trigger_mode="always_last", **READING)
        bridge.reopen(self.reopened, session, shown, **READING)
        bridge.fork(self.forked, [conversation, session], self.tell, **READING)
        bridge.rename(self.renamed, None, self.tell, **READING)
        bridge.delete(self.deleted, None, self.tell, **READING)
        bridge.export(self.exported, None, self.tell, **READING)

    def list(self, request: gr.Request, event: gr.EventData) -> str:
        """What is kept, and has the words that are looked for."""
        words = text_of(event, "words")
        if self.histories:
            return history_html(self.histories.entries(user_of(request), words), words)
        return history_html(entries_in(value_of(event, "kept"), words), words)

    def keep(self, conversation: Conversation, session: ChatSession, request: gr.Request) -> Any:
        """Keep a conversation as far as it is."""
        if not conversation or not conversation[-1].done or session.is_kept(conversation):
            return gr.skip()
        if self.histories:
            with errors_as_notices():
                kept = self.histories.update(user_of(request), session.id, partial(session.kept, conversation))
            session.note(kept)
            return message_to_page(keep={"id": kept.id})
        kept, last = session.kept(conversation), session.last
        session.note(kept)
        return message_to_page(keep={"id": kept.id, "text": to_text(kept), "last": entry_json(last) if last else None})

    def forked(self, conversation: Conversation, session: ChatSession, request: gr.Request) -> Any:
        """Keep a conversation under an id of its own, because another tab of the browser asked something in it."""
        session.fork()
        return self.keep(conversation, session, request)

    def reopened(self, session: ChatSession, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation that was kept, in the place of the one that is there."""
        with errors_as_notices():
            kept = from_text(self._text(request, event))
        session.begin(kept)
        return show(kept.exchanges)

    def renamed(self, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation under another title."""
        conversation, title = text_of(event, "conversation"), text_of(event, "title")
        if not self.histories:
            return message_to_page(rename={"id": conversation, "title": shortened(title)})
        with errors_as_notices():
            self.histories.rename(user_of(request), conversation, title)
        return message_to_page()

    def deleted(self, request: gr.Request, event: gr.EventData) -> str:
        """Forget a conversation."""
        if self.histories:
            self.histories.delete(user_of(request), text_of(event, "conversation"))
        return message_to_page()

    def exported(self, request: gr.Request, event: gr.EventData) -> str:
        """A conversation as a file to download."""
        with errors_as_notices():
            kept = from_text(self._text(request, event))
        write, ending = (json_export, "json") if text_of(event, "kind") == "json" else (markdown, "md")
        return message_to_page(download={"name": file_name(kept, ending), "text": write(kept)})

    def _text(self, request: gr.Request, event: gr.EventData) -> str:
        if self.histories:
            return self.histories.get(user_of(request), text_of(event, "conversation"))
        return text_of(event, "kept")


def message_to_page(**values: Any) -> str:
    """What `page.js` is to do; the mark makes each telling another one. No tag is in it, whatever the values say."""
    return json.dumps({"mark": token_urlsafe(6), **values}).replace("<", "\\u003c")


def user_of(request: gr.Request) -> str:
    """Who is logged in; empty where nobody needs to be."""
    return request.username or ""
