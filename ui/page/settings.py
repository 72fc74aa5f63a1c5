"""The settings view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import gradio as gr

from ui.html import elements
from ui.page.chat import ChatController
from ui.page.events import PRIVATE, READING, text_of
from ui.page.history import user_of
from ui.schema import MOST_PASSAGES, MOST_SENTENCES


@dataclass(frozen=True, slots=True)
class SettingsView:
    """The view of what can be chosen, and of what is in use."""

    sentences: gr.Slider
    passages: gr.Slider
    writer: gr.Dropdown
    trial: gr.Button
    found: gr.HTML
    used: gr.HTML

    @classmethod
    def built(cls, controller: ChatController, writer: gr.Dropdown) -> Self:
        """Where it is called; `writer` is the list from which who writes the answers is chosen."""
        with gr.Column(elem_id="pq-settings", elem_classes="pq-view", min_width=0):
            sentences = gr.Slider(
                1, MOST_SENTENCES, value=controller.sentences, step=1, label="Sentences in an answer, at most"
            )
            passages = gr.Slider(
                1, MOST_PASSAGES, value=controller.passages, step=1, label="Passages it is made of, at most"
            )
            gr.HTML(elements.heading_html("Who writes the answers"), apply_default_css=False)
            gr.HTML(elements.writers_html(list(controller.writers)), apply_default_css=False)
            trial = gr.Button("Try the language model", elem_id="pq-trial", visible=controller.has_model, scale=0)
            found = gr.HTML(elem_id="pq-tried", apply_default_css=False)
            gr.HTML(elements.heading_html("In use"), apply_default_css=False)
            used = gr.HTML(elem_id="pq-used", apply_default_css=False)
        return cls(sentences, passages, writer, trial, found, used)

    def connect(self, controller: ChatController, bridge: gr.HTML) -> None:
        """Say what happens when its parts are used."""

        def opened(request: gr.Request, event: gr.EventData) -> Any:
            return controller.in_use(user_of(request)) if text_of(event, "view") == "settings" else gr.skip()

        bridge.view(opened, None, self.used, **READING)
        self.trial.click(
            controller.tried, self.writer, self.found, concurrency_limit=2, **PRIVATE | {"show_progress": "full"}
        )
