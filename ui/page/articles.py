"""The articles view: the table, adding and removing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import gradio as gr

from rag.errors import PullquoteError
from ui.html import elements
from ui.html.article_table import added_html, confirm_html, progress_html, table_html
from ui.page.events import PRIVATE, READING, errors_as_notices, number_of, text_of, value_of
from ui.services.article_list import ArticleList, TableView
from ui.services.uploads import Added, Pasted, Steps, Uploads

LISTING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "table"}
"""What lists articles takes turns, or what was asked for first might be shown last."""
ADDING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 4, "concurrency_id": "additions"}
"""Additions take turns at the index; more than these wait before they take a thread."""
SHOW_CONFIRM = """() => {
  requestAnimationFrame(() => document.querySelector("#pq-confirm")?.scrollIntoView({ block: "nearest" }));
}"""


@dataclass(frozen=True, slots=True)
class ArticlesView:
    """The view of all articles; with an `uploads`, articles are added and removed there."""

    uploads: Uploads | None
    view: gr.State
    doomed: gr.State
    words: gr.Textbox
    confirm: gr.HTML
    table: gr.HTML
    add: _AddGroup | None

    @classmethod
    def built(cls, uploads: Uploads | None) -> Self:
        """Where it is called."""
        with gr.Column(elem_id="pq-articles", elem_classes="pq-view", min_width=0):
            add = _AddGroup.built() if uploads else None
            find = "Title, source, author or date"
            words = gr.Textbox(label="Find articles", placeholder=find, elem_id="pq-find", max_lines=1)
            table = gr.HTML(elem_id="pq-table", apply_default_css=False)
            confirm = gr.HTML(elem_id="pq-confirm", apply_default_css=False)
        return cls(uploads, gr.State(TableView()), gr.State(()), words, confirm, table, add)

    def connect(self, article_list: ArticleList, bridge: gr.HTML) -> None:
        """Say what happens when its parts are used."""

        def shown(view: TableView) -> tuple[str, TableView]:
            try:
                view = replace(view, generation=article_list.index.generation)
                return table_html(article_list.found(view), view, removable=self.uploads is not None), view
            except PullquoteError as error:
                return elements.error_html(str(error)), view

        def opened(view: TableView, event: gr.EventData) -> tuple[Any, Any]:
            seen = value_of(event, "view")
            due = seen == "articles" or (seen is None and article_list.is_newer(view))
            return shown(view) if due else (gr.skip(), gr.skip())

        def found(words: str, view: TableView) -> tuple[str, TableView]:
            return shown(replace(view, words=words, page=0))

        def sorted_by(view: TableView, event: gr.EventData) -> tuple[str, TableView]:
            return shown(view.sorted_by(text_of(event, "by")))

        def turned(view: TableView, event: gr.EventData) -> tuple[str, TableView]:
            return shown(replace(view, page=number_of(event, "leaf")))

        table = [self.table, self.view]
        bridge.view(opened, self.view, table, **LISTING)
        bridge.look(opened, self.view, table, **LISTING)
        bridge.sort(sorted_by, self.view, table, **LISTING)
        bridge.leaf(turned, self.view, table, **LISTING)
        self.words.change(found, [self.words, self.view], table, trigger_mode="always_last", **LISTING)
        if self.uploads and self.add:
            self._connect_removal(self.uploads, article_list, bridge).then(shown, self.view, table, **LISTING)
            for added in self.add.connect(self.uploads):
                added.then(shown, self.view, table, **LISTING)

    def _connect_removal(self, uploads: Uploads, article_list: ArticleList, bridge: gr.HTML) -> Any:
        def asked(event: gr.EventData) -> tuple[str, tuple[str, ...]]:
            ids = value_of(event, "articles")
            wanted = {i for i in ids if isinstance(i, str)} if isinstance(ids, list) else set()
            with errors_as_notices():
                entries = [entry for entry in article_list.entries() if entry.id in wanted]
            return confirm_html(entries), tuple(entry.id for entry in entries)

        def removed(doomed: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
            try:
                uploads.remove(doomed)
            except PullquoteError as error:
                return elements.error_html(str(error)), ()
            return "", ()

        confirm = [self.confirm, self.doomed]
        bridge.remove(asked, None, confirm, **READING).then(None, js=SHOW_CONFIRM, **PRIVATE)
        bridge.keep(lambda: ("", ()), None, confirm, **READING)
        return bridge.removed(removed, self.doomed, confirm, **ADDING)


@dataclass(frozen=True, slots=True)
class _AddGroup:
    """The group in which articles are added."""

    files: gr.File
    folder: gr.UploadButton
    urls: gr.Textbox
    fetch: gr.Button
    pasted: tuple[gr.Textbox, ...]
    paste: gr.Button
    progress: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called; closed."""
        with gr.Accordion("Add articles", open=False, elem_id="pq-add"):
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
        """Say what happens when its parts are used; returns the events that add something."""

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
    """An addition's steps, and what stops it, as the page shows them."""
    try:
        with closing(steps):
            for step in steps:
                yield added_html(step) if isinstance(step, Added) else progress_html(step)
    except PullquoteError as error:
        yield elements.error_html(str(error))
