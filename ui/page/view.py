"""What a view of the page is: a name, events of its own, components to build and handlers to connect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import gradio as gr

from ui.page.chat import ChatView
from ui.services.article_list import ArticleList
from ui.services.history import ServerHistory
from ui.services.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the page writes to. Without `histories` the browser keeps conversations; `uploads` adds articles."""

    histories: ServerHistory | None = None
    uploads: Uploads | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What the views share. `answers` are the events that answer a question, once the chat view is connected.

    `bridge` is the component through which the page's own buttons raise events, one attribute an event's name.
    """

    chat: ChatView
    bridge: gr.HTML
    article_list: ArticleList
    stores: Stores
    answers: list[Any] = field(default_factory=list)


class View(Protocol):
    """A view beside the chat. Its tab has its name; its events are those that its own buttons raise."""

    name: ClassVar[str]
    events: ClassVar[tuple[str, ...]]

    @classmethod
    def build(cls, page: Page, /) -> Self:
        """Make the components in the current layout."""

    def connect(self, page: Page) -> None:
        """Connect the handlers, when all views are built."""
