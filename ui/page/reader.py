"""The article panel beside the conversation: opened at a citation, or at the beginning."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from rag.errors import PullquoteError
from ui.html.article import missing_html, reading_html
from ui.page.events import PRIVATE, READING, number_of, text_of
from ui.schema import Conversation, Reading
from ui.services.reader import Reader

GONE = "This article is no longer in the index."


def connect_reader(reader: Reader, bridge: gr.HTML, conversation: gr.State, panel: gr.HTML) -> None:
    """Open the article of a citation or title that is clicked."""

    def read(shown: Conversation, event: gr.EventData) -> str:
        turn, number = number_of(event, "turn"), number_of(event, "number")
        if number:
            return opened_html(lambda: reader.cited(shown, turn, number))
        return opened_html(lambda: reader.article(text_of(event, "article")))

    opened = bridge.read(read, conversation, panel, **READING)
    opened.then(None, js="() => { document.dispatchEvent(new Event('pq-read')); }", **PRIVATE)


def opened_html(opened: Callable[[], Reading | None]) -> str:
    """The HTML of an article, or of the reason that it cannot be shown."""
    try:
        reading = opened()
    except PullquoteError as error:
        return missing_html(str(error))
    return reading_html(reading) if reading else missing_html(GONE)
