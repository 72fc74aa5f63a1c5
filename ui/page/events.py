"""What the views share: values of events, and errors as notices."""

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
    """Any error becomes a notice on the page, and an error of the endpoint's."""
    try:
        with unexpected("this could not be done"):
            yield
    except PullquoteError as error:
        raise gr.Error(wording.one_line(str(error)), print_exception=False) from error


PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
READING: dict[str, Any] = {**PRIVATE, "concurrency_limit": None}


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


def upload_path(file: Any) -> Path:
    """The path of an uploaded file. Raises ReadError for a path that the caller chose."""
    path = file.get("path") if isinstance(file, dict) else None
    if not isinstance(path, str) or not is_in_or_equal(path, get_upload_folder()) or not Path(path).is_file():
        raise ReadError("a file has to be uploaded first; gradio_client's handle_file does it")
    return Path(path)
