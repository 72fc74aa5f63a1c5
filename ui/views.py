"""The views beside the conversation: their parts, and what happens when they are used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_urlsafe
from typing import Any, Self

import gradio as gr

from rag.errors import PullquoteError
from ui import render
from ui.articles import Catalogue, View, table_html
from ui.desk import MOST_PASSAGES, MOST_SENTENCES, Conversation, Desk, Floor, show
from ui.export import file_name, json_export, markdown
from ui.history import Histories, entries_in, entry_of, from_text, history_html, renamed, to_text

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
TELL = """watch("value", () => document.dispatchEvent(new CustomEvent("pq-tell", { detail: props.value })));"""
READING: dict[str, Any] = {**PRIVATE, "concurrency_limit": None}


@dataclass(frozen=True, slots=True)
class Shelf:
    """The view of all articles."""

    view: gr.State
    words: gr.Textbox
    table: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called."""
        with gr.Column(elem_id="pq-articles", elem_classes="pq-view", min_width=0):
            find = "Title, source, author or date"
            words = gr.Textbox(label="Find articles", placeholder=find, elem_id="pq-find", max_lines=1)
            table = gr.HTML(elem_id="pq-table", apply_default_css=False)
        return cls(gr.State(View()), words, table)

    def connect(self, catalogue: Catalogue, wire: gr.HTML) -> None:
        """Say what happens when its parts are used."""

        def shown(view: View) -> tuple[str, View]:
            try:
                return table_html(catalogue.found(view), view), view
            except PullquoteError as error:
                return render.error_html(str(error)), view

        def opened(view: View, event: gr.EventData) -> tuple[Any, Any]:
            return shown(view) if text_of(event, "view") == "articles" else (gr.skip(), gr.skip())

        def found(words: str, view: View) -> tuple[str, View]:
            return shown(replace(view, words=words, page=0))

        def sorted_by(view: View, event: gr.EventData) -> tuple[str, View]:
            return shown(view.sorted_by(text_of(event, "by")))

        def turned(view: View, event: gr.EventData) -> tuple[str, View]:
            return shown(replace(view, page=number_of(event, "leaf")))

        table = [self.table, self.view]
        wire.view(opened, self.view, table, **READING)
        wire.sort(sorted_by, self.view, table, **READING)
        wire.leaf(turned, self.view, table, **READING)
        self.words.change(found, [self.words, self.view], table, trigger_mode="always_last", **READING)


@dataclass(frozen=True, slots=True)
class Past:
    """The view of the conversations that are kept: on the server if `histories` are given, otherwise in the browser.

    What is to be kept or downloaded is told to `page.js` by `tell`.
    """

    histories: Histories | None
    words: gr.Textbox
    listed: gr.HTML
    tell: gr.HTML

    @classmethod
    def built(cls, histories: Histories | None) -> Self:
        """Where it is called."""
        tell = gr.HTML("", visible="hidden", elem_id="pq-tell", html_template="<i></i>", js_on_load=TELL)
        with gr.Column(elem_id="pq-history", elem_classes="pq-view", min_width=0):
            words = gr.Textbox(label="Find conversations", placeholder="Words that were asked or answered", max_lines=1)
            where = "on the server, for you alone" if histories else "in this browser, and nowhere else"
            gr.HTML(render.hint_html(f"Kept {where}."), apply_default_css=False)
            listed = gr.HTML(elem_id="pq-listed", apply_default_css=False)
        return cls(histories, words, listed, tell)

    def connect(self, wire: gr.HTML, shown: Sequence[Any], floor: gr.State) -> None:
        """Say what happens when its parts are used; `shown` is what a conversation changes."""
        wire.list(self.list, None, self.listed, **READING)
        wire.reopen(self.reopened, floor, shown, **READING)
        wire.rename(self.renamed, floor, self.tell, **READING)
        wire.delete(self.deleted, None, self.tell, **READING)
        wire.export(self.exported, None, self.tell, **READING)

    def list(self, request: gr.Request, event: gr.EventData) -> str:
        """What is kept, and has the words that are looked for."""
        words = text_of(event, "words")
        found = (
            self.histories.entries(user_of(request), words) if self.histories else entries_in(value_of(event, "kept"))
        )
        return history_html(found, words)

    def keep(self, conversation: Conversation, floor: Floor, request: gr.Request) -> Any:
        """Keep a conversation as far as it is."""
        if not conversation or not conversation[-1].done:
            return gr.skip()
        kept = floor.kept(conversation)
        return self._kept(to_text(kept), request)

    def reopened(self, floor: Floor, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation that was kept, in the place of the one that is there."""
        try:
            kept = from_text(self._text(request, event))
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error
        floor.begin(kept)
        return show(kept.exchanges)

    def renamed(self, floor: Floor, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation under another title."""
        try:
            text = renamed(self._text(request, event), text_of(event, "title"))
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error
        if (entry := entry_of(text)) and entry.id == floor.id:
            floor.title = entry.title
        return self._kept(text, request)

    def deleted(self, request: gr.Request, event: gr.EventData) -> str:
        """Forget a conversation."""
        if self.histories:
            self.histories.delete(user_of(request), text_of(event, "conversation"))
        return told(listed=True)

    def exported(self, request: gr.Request, event: gr.EventData) -> str:
        """A conversation as a file to download."""
        try:
            kept = from_text(self._text(request, event))
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error
        write, ending = (json_export, "json") if text_of(event, "kind") == "json" else (markdown, "md")
        return told(download={"name": file_name(kept, ending), "text": write(kept)})

    def _text(self, request: gr.Request, event: gr.EventData) -> str:
        if self.histories:
            return self.histories.get(user_of(request), text_of(event, "conversation"))
        return text_of(event, "kept")

    def _kept(self, text: str, request: gr.Request) -> Any:
        entry = entry_of(text)
        if not self.histories:
            return told(keep={"id": entry.id if entry else "", "text": text})
        try:
            self.histories.put(user_of(request), text)
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return told(keep={"id": entry.id if entry else ""})


def told(**values: Any) -> str:
    """What `page.js` is to do; the mark makes each telling another one."""
    return json.dumps({"mark": token_urlsafe(6), **values})


def user_of(request: gr.Request) -> str:
    """Who is logged in; empty where nobody needs to be."""
    return request.username or ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The view of what can be chosen, and of what is in use."""

    sentences: gr.Slider
    passages: gr.Slider
    writer: gr.Dropdown
    trial: gr.Button
    found: gr.HTML
    used: gr.HTML

    @classmethod
    def built(cls, desk: Desk, writer: gr.Dropdown) -> Self:
        """Where it is called; `writer` is the list from which who writes the answers is chosen."""
        with gr.Column(elem_id="pq-settings", elem_classes="pq-view", min_width=0):
            sentences = gr.Slider(
                1, MOST_SENTENCES, value=desk.sentences, step=1, label="Sentences in an answer, at most"
            )
            passages = gr.Slider(1, MOST_PASSAGES, value=desk.passages, step=1, label="Passages it is made of, at most")
            gr.HTML(render.heading_html("Who writes the answers"), apply_default_css=False)
            gr.HTML(render.writers_html(list(desk.writers)), apply_default_css=False)
            trial = gr.Button("Try the language model", elem_id="pq-trial", visible=desk.has_model, scale=0)
            found = gr.HTML(elem_id="pq-tried", apply_default_css=False)
            gr.HTML(render.heading_html("In use"), apply_default_css=False)
            used = gr.HTML(elem_id="pq-used", apply_default_css=False)
        return cls(sentences, passages, writer, trial, found, used)

    def connect(self, desk: Desk, wire: gr.HTML) -> None:
        """Say what happens when its parts are used."""

        def opened(event: gr.EventData) -> Any:
            return desk.in_use() if text_of(event, "view") == "settings" else gr.skip()

        wire.view(opened, None, self.used, **READING)
        self.trial.click(
            desk.tried, self.writer, self.found, concurrency_limit=2, **PRIVATE | {"show_progress": "full"}
        )


def value_of(event: gr.EventData, name: str) -> Any:
    """What came with a click, whatever it is."""
    data = event._data
    return data.get(name) if isinstance(data, dict) else None


def text_of(event: gr.EventData, name: str) -> str:
    """A text that came with a click; whatever else it is counts as none."""
    value = value_of(event, name)
    return value if isinstance(value, str) else ""


def number_of(event: gr.EventData, name: str) -> int:
    """A number that came with a click."""
    text = text_of(event, name)
    return int(text) if text.isdecimal() and len(text) < 10 else 0
