"""The articles view: the table of articles, adding and removing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import gradio as gr

from rag.errors import PullquoteError
from ui.html import elements
from ui.html.article_table import added_html, confirm_html, progress_html, table_html
from ui.page.events import (
    PRIVATE,
    READING,
    closed_accordion,
    errors_as_notices,
    number_of,
    text_of,
    value_of,
    view_column,
)
from ui.page.view import Page
from ui.services.article_list import ArticleList, TableView
from ui.services.uploads import Added, Pasted, Steps, Uploads

LISTING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "table"}
"""Requests for the table take turns, or an earlier one might be shown last."""
ADDING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 4, "concurrency_id": "additions"}
"""Additions write to the index one after another; beyond this number they wait without a thread."""
SHOW_CONFIRM = """() => {
  requestAnimationFrame(() => document.querySelector("#pq-confirm")?.scrollIntoView({ block: "nearest" }));
}"""


@dataclass(frozen=True, slots=True)
class ArticlesView:
    """The view of all articles; with an `uploads`, articles are added and removed there."""

    name: ClassVar[str] = "Articles"
    events: ClassVar[tuple[str, ...]] = ("look", "sort", "leaf", "remove", "removed", "keep")

    view: gr.State
    to_remove: gr.State
    words: gr.Textbox
    confirm: gr.HTML
    table: gr.HTML
    add: _AddGroup | None

    @classmethod
    def build(cls, page: Page) -> Self:
        """Make the components in the current layout."""
        with view_column(cls.name):
            add = _AddGroup.build() if page.stores.uploads else None
            placeholder = "Title, source, author or date"
            words = gr.Textbox(label="Find articles", placeholder=placeholder, elem_id="pq-find", max_lines=1)
            table = gr.HTML(elem_id="pq-table", apply_default_css=False)
            confirm = gr.HTML(elem_id="pq-confirm", apply_default_css=False)
        return cls(gr.State(TableView()), gr.State(()), words, confirm, table, add)

    def connect(self, page: Page) -> None:
        """Connect the handlers."""
        article_list, uploads, bridge = page.article_list, page.stores.uploads, page.bridge

        def shown(view: TableView) -> tuple[str, TableView]:
            try:
                view = replace(view, generation=article_list.index.generation)
                return table_html(article_list.page(view), view, removable=uploads is not None), view
            except PullquoteError as error:
                return elements.error_html(str(error)), view

        def opened(view: TableView, event: gr.EventData) -> tuple[Any, Any]:
            name = value_of(event, "view")
            due = name == "articles" or (name is None and article_list.is_newer(view))
            return shown(view) if due else (gr.skip(), gr.skip())

        def searched(words: str, view: TableView) -> tuple[str, TableView]:
            return shown(replace(view, words=words, page=0))

        def sorted_by(view: TableView, event: gr.EventData) -> tuple[str, TableView]:
            return shown(view.sorted_by(text_of(event, "by")))

        def turned(view: TableView, event: gr.EventData) -> tuple[str, TableView]:
            return shown(replace(view, page=number_of(event, "leaf")))

        table = [self.table, self.view]
        for event, handler in (
            (bridge.view, opened),
            (bridge.look, opened),
            (bridge.sort, sorted_by),
            (bridge.leaf, turned),
        ):
            event(handler, self.view, table, **LISTING)
        self.words.change(searched, [self.words, self.view], table, trigger_mode="always_last", **LISTING)
        if uploads and self.add:
            for changed in (self._connect_removal(uploads, article_list, bridge), *self.add.connect(uploads)):
                changed.then(shown, self.view, table, **LISTING)

    def _connect_removal(self, uploads: Uploads, article_list: ArticleList, bridge: gr.HTML) -> Any:
        def asked(event: gr.EventData) -> tuple[str, tuple[str, ...]]:
            ids = value_of(event, "articles")
            wanted = [i for i in ids if isinstance(i, str)] if isinstance(ids, list) else []
            with errors_as_notices():
                entries = article_list.index.entries(wanted)
            return confirm_html(list(entries.values())), tuple(entries)

        def removed(article_ids: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
            try:
                uploads.remove(article_ids)
            except PullquoteError as error:
                return elements.error_html(str(error)), ()
            return "", ()

        confirm = [self.confirm, self.to_remove]
        bridge.remove(asked, None, confirm, **READING).then(None, js=SHOW_CONFIRM, **PRIVATE)
        bridge.keep(lambda: ("", ()), None, confirm, **READING)
        return bridge.removed(removed, self.to_remove, confirm, **ADDING)


@dataclass(frozen=True, slots=True)
class _AddGroup:
    """The group of components that add articles."""

    files: gr.File
    folder: gr.UploadButton
    urls: gr.Textbox
    fetch: gr.Button
    pasted: tuple[gr.Textbox, ...]
    paste: gr.Button
    progress: gr.HTML

    @classmethod
    def build(cls) -> Self:
        """Make the components in the current layout, closed."""
        with closed_accordion("Add articles", "pq-add"):
            files = gr.File(label="Files, or zips", file_count="multiple", elem_id="pq-files", height=120)
            folder = gr.UploadButton("Choose a folder", file_count="directory", elem_id="pq-folder", scale=0)
            urls = gr.Textbox(label="Addresses of pages or feeds", placeholder="https://…", lines=1, max_lines=4)
            fetch = gr.Button("Fetch", scale=0)
            text = gr.Textbox(label="Text of an article", lines=3, max_lines=8)
            with gr.Row():
                about = [gr.Textbox(label=name, max_lines=1, min_width=130) for name in ("Title", "Source")]
                about += [gr.Textbox(label="Date", placeholder="YYYY-MM-DD", max_lines=1, min_width=130)]
            paste = gr.Button("Add this text", scale=0)
            progress = gr.HTML(elem_id="pq-progress", apply_default_css=False)
        return cls(files, folder, urls, fetch, (text, *about), paste, progress)

    def connect(self, uploads: Uploads) -> list[Any]:
        """Connect the handlers; returns the events that add something."""

        def files(paths: list[str] | None) -> Iterator[Any]:
            if not paths:
                return
            for step in _progress(uploads.files([Path(path) for path in paths], taken=True)):
                yield step, gr.skip()
            yield gr.skip(), None

        def urls(lines: str) -> Iterator[str]:
            yield from _progress(uploads.urls(lines))

        def pasted(text: str, title: str, source: str, date: str) -> Iterator[str]:
            yield from _progress(uploads.text(Pasted(text, title, source, date)))

        return [
            self.files.upload(files, self.files, [self.progress, self.files], **ADDING),
            self.folder.upload(files, self.folder, [self.progress, self.folder], **ADDING),
            self.fetch.click(urls, self.urls, self.progress, **ADDING),
            self.paste.click(pasted, list(self.pasted), self.progress, **ADDING),
        ]


def _progress(steps: Steps) -> Iterator[str]:
    """An addition's steps as HTML, or the error that stops it."""
    try:
        with closing(steps):
            for step in steps:
                yield added_html(step) if isinstance(step, Added) else progress_html(step)
    except PullquoteError as error:
        yield elements.error_html(str(error))
