"""The views beside the conversation: their parts, and what happens when they are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import gradio as gr

from rag.errors import PullquoteError
from ui import render
from ui.articles import Catalogue, View, table_html
from ui.desk import MOST_PASSAGES, MOST_SENTENCES, Desk

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
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


def text_of(event: gr.EventData, name: str) -> str:
    """A text that came with a click; whatever else it is counts as none."""
    told = event._data
    value = told.get(name) if isinstance(told, dict) else ""
    return value if isinstance(value, str) else ""


def number_of(event: gr.EventData, name: str) -> int:
    """A number that came with a click."""
    text = text_of(event, name)
    return int(text) if text.isdecimal() and len(text) < 10 else 0
