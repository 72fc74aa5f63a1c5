"""Bodies of requests: how much is read of them, how slowly, and how much is in memory at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope

from ingest.content.types import MEGABYTE
from ui.services.uploads import MOST_FILES

LONGEST_JSON = 20 * MEGABYTE
"""Bytes. The largest that the page sends is a search of the conversations in the browser, which stores 5 million
characters at most; longer texts are added as files."""
LONGEST_FORM = 16_000
LONGEST_DROPPED = 64_000
"""Bytes of a body where none is expected; they are not kept."""
MOST_HELD = 10 * LONGEST_JSON
"""Bytes of all bodies that are in memory at once."""
LARGEST_UPLOAD = 4000 * MEGABYTE
"""Bytes of one request; files are held to a limit of their own."""
PATIENCE, SLOWEST = 30, 20_000
"""Seconds that a body may take, and in addition one for so many bytes."""


class Refused(Exception):
    """A request that goes no further: its answer."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.answer = PlainTextResponse(text, status, {name.replace("_", "-"): to for name, to in headers.items()})


@dataclass(slots=True)
class Bodies:
    """Reads bodies into memory; `held` is how many bytes of them are there."""

    held: int = 0

    @asynccontextmanager
    async def whole(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body, as long as it is used. Raises Refused for one that is too large or too slow."""
        chunks: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(PATIENCE) as deadline:
                    began = asyncio.get_running_loop().time()
                    async for chunk in request.stream():
                        size += len(chunk)
                        self.held += len(chunk)
                        if size > most:
                            raise too_large(most)
                        if self.held > MOST_HELD:
                            raise Refused(503, "Too much is being sent at once; try again later.", Retry_After="5")
                        chunks.append(chunk)
                        deadline.reschedule(began + PATIENCE + size / SLOWEST)
            except TimeoutError as error:
                raise Refused(408, "The body came too slowly; send it again.") from error
            yield b"".join(chunks)
        finally:
            self.held -= size


@dataclass(slots=True)
class Parts:
    """Checks a multipart body as it passes: nothing but files, of a number and size that are allowed.

    What is wrong is raised as what Gradio's own parser raises, which then removes the files that it has begun.
    """

    content_type: str
    most_bytes: int
    files: int = 0
    _size: int = 0
    _all: int = 0
    _header: bytes = b""
    _value: bytes = b""
    _is_file: bool = False
    _ended: bool = False
    _parser: MultipartParser = field(init=False)

    def __post_init__(self) -> None:
        """Raises Refused for another kind of body."""
        kind, options = parse_options_header(self.content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refused(400, "Upload files as multipart/form-data.")
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        calls: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        try:
            self._parser = MultipartParser(options[b"boundary"], calls)
        except FormParserError as error:
            raise Refused(400, "The boundary of multipart/form-data cannot be used.") from error

    def checked(self, receive: Receive) -> Receive:
        """Receives the same, and raises MultiPartException for what is wrong."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        ended = False

        async def checking() -> Message:
            nonlocal ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout_at(began + PATIENCE + self._all / SLOWEST):
                    message = await receive()
            except TimeoutError as error:
                raise MultiPartException("The upload came too slowly; send it again.") from error
            if message["type"] == "http.disconnect":
                raise MultiPartException("The upload broke off.")
            self._take(message.get("body", b""))
            ended = not message.get("more_body", False)
            if ended and not self._ended:
                raise MultiPartException("The upload ends in the middle.")
            return message

        return checking

    def _take(self, chunk: bytes) -> None:
        self._all += len(chunk)
        if self._all > LARGEST_UPLOAD:
            raise MultiPartException(f"The upload exceeds the maximum allowed size of {LARGEST_UPLOAD:,} bytes.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MultiPartException("The upload is no valid multipart/form-data.") from error

    def _part_begin(self) -> None:
        self._size, self._is_file = 0, False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_file = options.get(b"name") == b"files" and b"filename" in options
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        self.files += 1
        if not self._is_file:
            raise MultiPartException("Upload nothing but files, in fields named files.")
        if self.files > MOST_FILES:
            raise MultiPartException(f"Too many files; the maximum allowed size of an upload is {MOST_FILES:,} files.")

    def _end(self) -> None:
        self._ended = True

    def _part_data(self, _: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self.most_bytes:
            raise MultiPartException(f"A file exceeds the maximum allowed size of {self.most_bytes:,} bytes.")


def too_large(most: int) -> Refused:
    return Refused(413, f"The body is larger than {most:,} bytes; send less.")


def parsed(body: bytes, *, or_else: Any = ...) -> Any:
    """A body's JSON. Raises Refused for what is none, unless there is something to take instead."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        if or_else is not ...:
            return or_else
        raise Refused(422, "The body is not valid JSON.") from error


async def name_in(scope: Scope, body: bytes) -> str:
    """The name in the form to log in. Raises Refused for another form."""

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    try:
        form: FormData = await Request(scope, again(body, nothing)).form(max_files=0, max_fields=20)
    except (MultiPartException, HTTPException, FormParserError, KeyError, UnicodeError) as error:
        raise Refused(400, "The form cannot be read.") from error
    names = form.getlist("username")
    if len(names) != 1 or len(form.getlist("password")) != 1:
        raise Refused(422, "Give one username and one password.")
    return str(names[0]).strip()


def again(body: bytes, receive: Receive) -> Receive:
    """Receives a body that was read before, and then what comes after it."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving


def without_body(receive: Receive) -> Receive:
    """Receives an empty body, and later the end of the connection; what is sent in between is dropped."""
    begun = False

    async def receiving() -> Message:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    return receiving


def uncompressed(scope: Scope) -> Scope:
    """The same request, whose answer will not be compressed, so that it can be read here."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    return {**scope, "headers": headers}
