"""Helpers of all views: values of events, errors as notices, columns and accordions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal

from rag.errors import PullquoteError, ReadError
from ui import wording
from ui.services.errors import unexpected


@contextmanager
def errors_as_notices() -> Iterator[None]:
    """Turn any error into a notice on the page, or into the error of an endpoint."""
    try:
        with unexpected("this could not be done"):
            yield
    except PullquoteError as error:
        raise gr.Error(wording.one_line(str(error)), print_exception=False) from error


PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
READING: dict[str, Any] = {**PRIVATE, "concurrency_limit": None}


def view_column(name: str) -> gr.Column:
    """The column of a view; `page.js` shows one of them at a time."""
    return gr.Column(elem_id=f"pq-{name.lower()}-view", elem_classes="pq-view", min_width=0)


def closed_accordion(label: str, elem_id: str) -> gr.Accordion:
    """An accordion that is closed at first, with its components in the page from the start.

    For `open=False`, Gradio adds them when it is first opened, and sets their initial values a moment later, over what
    has been typed by then. For 0, which it shows in the same way, it does not.
    """
    return gr.Accordion(label, open=0, elem_id=elem_id)  # type: ignore[arg-type]


def user_of(request: gr.Request) -> str:
    """The name of the user who has logged in; empty if no login is needed."""
    return request.username or ""


def value_of(event: gr.EventData, name: str) -> Any:
    """A value that an event carries, of any type."""
    data = event._data
    return data.get(name) if isinstance(data, dict) else None


def text_of(event: gr.EventData, name: str) -> str:
    """A text that an event carries; empty for a value of another type."""
    value = value_of(event, name)
    return value if isinstance(value, str) else ""


def number_of(event: gr.EventData, name: str) -> int:
    """A number that an event carries; 0 for anything else."""
    text = text_of(event, name)
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def upload_path(file: Any) -> Path:
    """The path of an uploaded file. Raises ReadError for a path outside the upload folder."""
    path = file.get("path") if isinstance(file, dict) else None
    if not isinstance(path, str) or not is_in_or_equal(path, get_upload_folder()) or not Path(path).is_file():
        raise ReadError("a file has to be uploaded first; gradio_client's handle_file does it")
    return Path(path)
