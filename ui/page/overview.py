"""The overview view: charts of the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import gradio as gr

from rag.errors import PullquoteError
from ui.html import elements
from ui.html.overview import counts_html, map_html
from ui.page.events import READING, text_of, view_column
from ui.page.view import Page
from ui.services.overview import Overview


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The view of the index at a glance."""

    name: ClassVar[str] = "Overview"
    events: ClassVar[tuple[str, ...]] = ()

    counts: gr.HTML
    map: gr.HTML

    @classmethod
    def build(cls, _: Page) -> Self:
        """Make the components in the current layout."""
        with view_column(cls.name):
            return cls(*(gr.HTML(elem_id=f"pq-{part}", apply_default_css=False) for part in ("counts", "drawn")))

    def connect(self, page: Page) -> None:
        """Draw the charts anew whenever the view is opened."""
        overview = Overview(page.article_list.index)

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

        page.bridge.view(opened, None, [self.counts, self.map], **READING)
