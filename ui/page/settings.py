"""The settings view: limits of an answer, who writes it, and what is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import gradio as gr

from rag.errors import PullquoteError
from ui.html import elements
from ui.page.events import PRIVATE, READING, text_of, user_of, view_column
from ui.page.view import Page
from ui.services.chat import ChatController

NO_MODEL = "The articles’ own sentences need no language model. Choose one to try it."


@dataclass(frozen=True, slots=True)
class SettingsView:
    """The view of the settings."""

    name: ClassVar[str] = "Settings"
    events: ClassVar[tuple[str, ...]] = ()

    trial: gr.Button
    reply: gr.HTML
    facts: gr.HTML

    @classmethod
    def build(cls, page: Page) -> Self:
        """Make the components in the current layout."""
        controller = page.chat.handlers.controller
        with view_column(cls.name):
            page.chat.sentences.render()  # type: ignore[no-untyped-call]
            page.chat.passages.render()  # type: ignore[no-untyped-call]
            gr.HTML(elements.heading_html("Who writes the answers"), apply_default_css=False)
            gr.HTML(elements.writers_html(list(controller.writers)), apply_default_css=False)
            trial = gr.Button("Try the language model", elem_id="pq-trial", visible=controller.has_model, scale=0)
            reply = gr.HTML(elem_id="pq-tried", apply_default_css=False)
            gr.HTML(elements.heading_html("In use"), apply_default_css=False)
            facts = gr.HTML(elem_id="pq-used", apply_default_css=False)
        return cls(trial, reply, facts)

    def connect(self, page: Page) -> None:
        """Connect the handlers."""
        controller = page.chat.handlers.controller

        def opened(request: gr.Request, event: gr.EventData) -> Any:
            return facts_html(controller, user_of(request)) if text_of(event, "view") == "settings" else gr.skip()

        def tried(writer: str) -> str:
            try:
                facts = controller.try_model(writer)
            except PullquoteError as error:
                return elements.error_html(str(error))
            return elements.hint_html(NO_MODEL) if facts is None else elements.facts_html(facts)

        page.bridge.view(opened, None, self.facts, **READING)
        self.trial.click(
            tried, page.chat.writer, self.reply, concurrency_limit=2, **PRIVATE | {"show_progress": "full"}
        )


def facts_html(controller: ChatController, user: str) -> str:
    """The index and the models in use, and who has logged in, if anybody."""
    login = elements.login_html(user) if user else ""
    try:
        return elements.facts_html(controller.facts()) + login
    except PullquoteError as error:
        return elements.error_html(str(error)) + login
