"""The article beside the conversation: opened at a citation, or from its beginning."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from rag.errors import PullquoteError
from ui.html.article import missing_html, reading_html
from ui.page.chat import Conversation
from ui.page.events import PRIVATE, READING, number_of, text_of
from ui.schema import Reading
from ui.services.reader import Reader

GONE = "This article is no longer in the index."


def connect_reader(reader: Reader, bridge: gr.HTML, conversation: gr.State, panel: gr.HTML) -> None:
    """Open the article that a citation or a title was clicked for."""

    def read(exchanges: Conversation, event: gr.EventData) -> str:
        turn, number = number_of(event, "turn"), number_of(event, "number")
        if number:
            return opened_html(lambda: reader.cited(exchanges, turn, number))
        return opened_html(lambda: reader.article(text_of(event, "article")))

    opened = bridge.read(read, conversation, panel, **READING)
    opened.then(None, js="() => { document.dispatchEvent(new Event('pq-read')); }", **PRIVATE)


def opened_html(opened: Callable[[], Reading | None]) -> str:
    """An article, or why it cannot be shown."""
    try:
        reading = opened()
    except PullquoteError as error:
        return missing_html(str(error))
    return reading_html(reading) if reading else missing_html(GONE)
