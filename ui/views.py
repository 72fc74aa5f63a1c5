"""The views beside the conversation: their parts, and what happens when they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Self

import gradio as gr

from rag.errors import PullquoteError
from ui import render
from ui.articles import Catalogue, View, added_html, confirm_html, progress_html, table_html
from ui.desk import MOST_PASSAGES, MOST_SENTENCES, Conversation, Desk, Floor, errors_as_notices, show
from ui.export import file_name, json_export, markdown
from ui.history import Histories, entries_in, entry_json, from_text, history_html, shortened, to_text
from ui.intake import Added, Intake, Pasted, Steps
from ui.overview import Overview

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
READING: dict[str, Any] = {**PRIVATE, "concurrency_limit": None}
LISTING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "table"}
"""What lists articles takes turns, or what was asked for first might be shown last."""
ADDING: dict[str, Any] = {**PRIVATE, "concurrency_limit": 4, "concurrency_id": "additions"}
"""Additions take turns at the index; more than these wait before they take a thread."""
SHOW_CONFIRM = """() => {
  requestAnimationFrame(() => document.querySelector("#pq-confirm")?.scrollIntoView({ block: "nearest" }));
}"""
TELL = """watch("value", () => document.dispatchEvent(new CustomEvent("pq-tell", { detail: props.value })));"""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The view of all articles; with an `intake`, articles are added and removed there."""

    intake: Intake | None
    view: gr.State
    doomed: gr.State
    words: gr.Textbox
    confirm: gr.HTML
    table: gr.HTML
    add: _Add | None

    @classmethod
    def built(cls, intake: Intake | None) -> Self:
        """Where it is called."""
        with gr.Column(elem_id="pq-articles", elem_classes="pq-view", min_width=0):
            add = _Add.built() if intake else None
            find = "Title, source, author or date"
            words = gr.Textbox(label="Find articles", placeholder=find, elem_id="pq-find", max_lines=1)
            table = gr.HTML(elem_id="pq-table", apply_default_css=False)
            confirm = gr.HTML(elem_id="pq-confirm", apply_default_css=False)
        return cls(intake, gr.State(View()), gr.State(()), words, confirm, table, add)

    def connect(self, catalogue: Catalogue, wire: gr.HTML) -> None:
        """Say what happens when its parts are used."""

        def shown(view: View) -> tuple[str, View]:
            try:
                view = replace(view, generation=catalogue.index.generation)
                return table_html(catalogue.found(view), view, removable=self.intake is not None), view
            except PullquoteError as error:
                return render.error_html(str(error)), view

        def opened(view: View, event: gr.EventData) -> tuple[Any, Any]:
            seen = value_of(event, "view")
            due = seen == "articles" or (seen is None and catalogue.is_newer(view))
            return shown(view) if due else (gr.skip(), gr.skip())

        def found(words: str, view: View) -> tuple[str, View]:
            return shown(replace(view, words=words, page=0))

        def sorted_by(view: View, event: gr.EventData) -> tuple[str, View]:
            return shown(view.sorted_by(text_of(event, "by")))

        def turned(view: View, event: gr.EventData) -> tuple[str, View]:
            return shown(replace(view, page=number_of(event, "leaf")))

        table = [self.table, self.view]
        wire.view(opened, self.view, table, **LISTING)
        wire.look(opened, self.view, table, **LISTING)
        wire.sort(sorted_by, self.view, table, **LISTING)
        wire.leaf(turned, self.view, table, **LISTING)
        self.words.change(found, [self.words, self.view], table, trigger_mode="always_last", **LISTING)
        if self.intake and self.add:
            self._connect_removal(self.intake, catalogue, wire).then(shown, self.view, table, **LISTING)
            for added in self.add.connect(self.intake):
                added.then(shown, self.view, table, **LISTING)

    def _connect_removal(self, intake: Intake, catalogue: Catalogue, wire: gr.HTML) -> Any:
        def asked(event: gr.EventData) -> tuple[str, tuple[str, ...]]:
            ids = value_of(event, "articles")
            wanted = {i for i in ids if isinstance(i, str)} if isinstance(ids, list) else set()
            with errors_as_notices():
                entries = [entry for entry in catalogue.entries() if entry.id in wanted]
            return confirm_html(entries), tuple(entry.id for entry in entries)

        def removed(doomed: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
            try:
                intake.remove(doomed)
            except PullquoteError as error:
                return render.error_html(str(error)), ()
            return "", ()

        confirm = [self.confirm, self.doomed]
        wire.remove(asked, None, confirm, **READING).then(None, js=SHOW_CONFIRM, **PRIVATE)
        wire.keep(lambda: ("", ()), None, confirm, **READING)
        return wire.removed(removed, self.doomed, confirm, **ADDING)


@dataclass(frozen=True, slots=True)
class _Add:
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

    def connect(self, intake: Intake) -> list[Any]:
        """Say what happens when its parts are used; returns the events that add something."""

        def files(uploads: list[str] | None) -> Iterator[Any]:
            if not uploads:
                return
            for step in _told(intake.files([Path(upload) for upload in uploads], taken=True)):
                yield step, gr.skip()
            yield gr.skip(), None

        def urls(lines: str) -> Iterator[str]:
            yield from _told(intake.urls(lines))

        def pasted(text: str, title: str, source: str, date: str) -> Iterator[str]:
            yield from _told(intake.text(Pasted(text, title, source, date)))

        return [
            self.files.upload(files, self.files, [self.progress, self.files], **ADDING),
            self.folder.upload(files, self.folder, [self.progress, self.folder], **ADDING),
            self.fetch.click(urls, self.urls, self.progress, **ADDING),
            self.paste.click(pasted, list(self.pasted), self.progress, **ADDING),
        ]


def _told(steps: Steps) -> Iterator[str]:
    """An addition's steps, and what stops it, as the page shows them."""
    try:
        with closing(steps):
            for step in steps:
                yield added_html(step) if isinstance(step, Added) else progress_html(step)
    except PullquoteError as error:
        yield render.error_html(str(error))


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

    def connect(self, wire: gr.HTML, shown: Sequence[Any], conversation: gr.State, floor: gr.State) -> None:
        """Say what happens when its parts are used; `shown` is what a conversation changes."""
        # Asked for again while a list is made: something was kept since, and by default Gradio would drop the event.
        wire.list(self.list, None, self.listed, trigger_mode="always_last", **READING)
        wire.reopen(self.reopened, floor, shown, **READING)
        wire.fork(self.forked, [conversation, floor], self.tell, **READING)
        wire.rename(self.renamed, None, self.tell, **READING)
        wire.delete(self.deleted, None, self.tell, **READING)
        wire.export(self.exported, None, self.tell, **READING)

    def list(self, request: gr.Request, event: gr.EventData) -> str:
        """What is kept, and has the words that are looked for."""
        words = text_of(event, "words")
        if self.histories:
            return history_html(self.histories.entries(user_of(request), words), words)
        return history_html(entries_in(value_of(event, "kept"), words), words)

    def keep(self, conversation: Conversation, floor: Floor, request: gr.Request) -> Any:
        """Keep a conversation as far as it is."""
        if not conversation or not conversation[-1].done or floor.is_kept(conversation):
            return gr.skip()
        if self.histories:
            with errors_as_notices():
                kept = self.histories.update(user_of(request), floor.id, partial(floor.kept, conversation))
            floor.note(kept)
            return told(keep={"id": kept.id})
        kept, last = floor.kept(conversation), floor.last
        floor.note(kept)
        return told(keep={"id": kept.id, "text": to_text(kept), "last": entry_json(last) if last else None})

    def forked(self, conversation: Conversation, floor: Floor, request: gr.Request) -> Any:
        """Keep a conversation under an id of its own, because another tab of the browser asked something in it."""
        floor.fork()
        return self.keep(conversation, floor, request)

    def reopened(self, floor: Floor, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation that was kept, in the place of the one that is there."""
        with errors_as_notices():
            kept = from_text(self._text(request, event))
        floor.begin(kept)
        return show(kept.exchanges)

    def renamed(self, request: gr.Request, event: gr.EventData) -> Any:
        """A conversation under another title."""
        conversation, title = text_of(event, "conversation"), text_of(event, "title")
        if not self.histories:
            return told(rename={"id": conversation, "title": shortened(title)})
        with errors_as_notices():
            self.histories.rename(user_of(request), conversation, title)
        return told()

    def deleted(self, request: gr.Request, event: gr.EventData) -> str:
        """Forget a conversation."""
        if self.histories:
            self.histories.delete(user_of(request), text_of(event, "conversation"))
        return told()

    def exported(self, request: gr.Request, event: gr.EventData) -> str:
        """A conversation as a file to download."""
        with errors_as_notices():
            kept = from_text(self._text(request, event))
        write, ending = (json_export, "json") if text_of(event, "kind") == "json" else (markdown, "md")
        return told(download={"name": file_name(kept, ending), "text": write(kept)})

    def _text(self, request: gr.Request, event: gr.EventData) -> str:
        if self.histories:
            return self.histories.get(user_of(request), text_of(event, "conversation"))
        return text_of(event, "kept")


def told(**values: Any) -> str:
    """What `page.js` is to do; the mark makes each telling another one. No tag is in it, whatever the values say."""
    return json.dumps({"mark": token_urlsafe(6), **values}).replace("<", "\\u003c")


def user_of(request: gr.Request) -> str:
    """Who is logged in; empty where nobody needs to be."""
    return request.username or ""


@dataclass(frozen=True, slots=True)
class Pictures:
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

    def connect(self, overview: Overview, wire: gr.HTML) -> None:
        """Draw it anew whenever it is looked at."""

        def opened(event: gr.EventData) -> Iterator[Any]:
            if text_of(event, "view") != "overview":
                yield gr.skip(), gr.skip()
                return
            try:
                counts = overview.counts_html()
                yield counts or render.hint_html("No articles yet."), gr.skip()
                yield gr.skip(), overview.map_html()
            except PullquoteError as error:
                yield render.error_html(str(error)), ""

        wire.view(opened, None, [self.counts, self.map], **READING)


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

        def opened(request: gr.Request, event: gr.EventData) -> Any:
            return desk.in_use(user_of(request)) if text_of(event, "view") == "settings" else gr.skip()

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
