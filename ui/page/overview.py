"""The overview view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import gradio as gr

from rag.errors import PullquoteError
from ui.html import elements
from ui.html.overview import counts_html, map_html
from ui.page.events import READING, text_of
from ui.services.overview import Overview


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The view of the index at a glance."""

    counts: gr.HTML
    map: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called."""
        with gr.Column(elem_id="pq-overview", elem_classes="pq-view", min_width=0):
            counts = gr.HTML(elem_id="pq-counts", apply_default_css=False)
            drawn = gr.HTML(elem_id="pq-drawn", apply_default_css=False)
        return cls(counts, drawn)

    def connect(self, overview: Overview, bridge: gr.HTML) -> None:
        """Draw it anew whenever it is looked at."""

        def opened(event: gr.EventData) -> Iterator[Any]:
            if text_of(event, "view") != "overview":
                yield gr.skip(), gr.skip()
                return
            try:
                counts = counts_html(*overview.counts())
                yield counts or elements.hint_html("No articles yet."), gr.skip()
                yield gr.skip(), map_html(*overview.map())
            except PullquoteError as error:
                yield elements.error_html(str(error)), ""

        bridge.view(opened, None, [self.counts, self.map], **READING)
