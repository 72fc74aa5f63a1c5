"""Limits on the bodies of requests: their size, their speed, and the memory they take together."""

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
"""In bytes. The largest the page sends is a search of the conversations in the browser, which stores at most 5 million
characters; longer texts are uploaded as files."""
LONGEST_FORM = 16_000
LONGEST_IGNORED = 64_000
"""Bytes of a body where none is expected, which is ignored."""
MOST_BUFFERED = 10 * LONGEST_JSON
"""Bytes of all bodies in memory at a time."""
LARGEST_UPLOAD = 4000 * MEGABYTE
"""Bytes of a request; each file has a limit of its own."""
BODY_TIMEOUT, SLOWEST_RATE = 30, 20_000
"""Seconds for a body, plus one for every so many bytes."""


class Refused(Exception):
    """A rejected request, with its response."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.response = PlainTextResponse(text, status, {name.replace("_", "-"): to for name, to in headers.items()})


@dataclass(slots=True)
class BodyReader:
    """Reads bodies into memory; `buffered` is the number of bytes there now."""

    buffered: int = 0

    @asynccontextmanager
    async def read(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body, counted as buffered meanwhile. Raises Refused if it is too large or too slow."""
        chunks: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(BODY_TIMEOUT) as deadline:
                    began = asyncio.get_running_loop().time()
                    async for chunk in request.stream():
                        size += len(chunk)
                        self.buffered += len(chunk)
                        if size > most:
                            raise too_large(most)
                        if self.buffered > MOST_BUFFERED:
                            raise Refused(
                                503, "The server is receiving too much data; try again later.", Retry_After="5"
                            )
                        chunks.append(chunk)
                        deadline.reschedule(began + BODY_TIMEOUT + size / SLOWEST_RATE)
            except TimeoutError as error:
                raise Refused(408, "The body arrived too slowly; send it again.") from error
            yield b"".join(chunks)
        finally:
            self.buffered -= size


@dataclass(slots=True)
class UploadCheck:
    """Checks a multipart body while it is received: only files, within limits on their number and size.

    Errors have the type that Gradio's own parser raises, which then removes the files it has begun to write.
    """

    content_type: str
    most_bytes: int
    files: int = 0
    _size: int = 0
    _total: int = 0
    _header: bytes = b""
    _value: bytes = b""
    _is_file: bool = False
    _ended: bool = False
    _parser: MultipartParser = field(init=False)

    def __post_init__(self) -> None:
        """Raises Refused for a body of another type."""
        kind, options = parse_options_header(self.content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refused(400, "Upload files as multipart/form-data.")
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        calls: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        try:
            self._parser = MultipartParser(options[b"boundary"], calls)
        except FormParserError as error:
            raise Refused(400, "The boundary of multipart/form-data is invalid.") from error

    def checked(self, receive: Receive) -> Receive:
        """Receives the same messages, and raises MultiPartException for an invalid body."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        ended = False

        async def checking() -> Message:
            nonlocal ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout_at(began + BODY_TIMEOUT + self._total / SLOWEST_RATE):
                    message = await receive()
            except TimeoutError as error:
                raise MultiPartException("The upload arrived too slowly; send it again.") from error
            if message["type"] == "http.disconnect":
                raise MultiPartException("The upload was interrupted.")
            self._take(message.get("body", b""))
            ended = not message.get("more_body", False)
            if ended and not self._ended:
                raise MultiPartException("The upload is incomplete.")
            return message

        return checking

    def _take(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._total > LARGEST_UPLOAD:
            raise MultiPartException(f"The upload exceeds the maximum allowed size of {LARGEST_UPLOAD:,} bytes.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MultiPartException("The upload is not valid multipart/form-data.") from error

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
            raise MultiPartException("Upload only files, in fields named files.")
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


def parse_json(body: bytes, *, or_else: Any = ...) -> Any:
    """The JSON value of a body. For invalid JSON returns `or_else`, or raises Refused without it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        if or_else is not ...:
            return or_else
        raise Refused(422, "The body is not valid JSON.") from error


async def login_name(scope: Scope, body: bytes) -> str:
    """The name in a login form. Raises Refused for another form."""

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    try:
        form: FormData = await Request(scope, replayed(body, nothing)).form(max_files=0, max_fields=20)
    except (MultiPartException, HTTPException, FormParserError, KeyError, UnicodeError) as error:
        raise Refused(400, "The form cannot be read.") from error
    names = form.getlist("username")
    if len(names) != 1 or len(form.getlist("password")) != 1:
        raise Refused(422, "Give one username and one password.")
    return str(names[0]).strip()


def replayed(body: bytes, receive: Receive) -> Receive:
    """Receives a body that was read before, then the messages after it."""
    unread = [body]

    async def receiving() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return receiving


def empty_body(receive: Receive) -> Receive:
    """Receives an empty body, and later the end of the connection; the body sent is dropped."""
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


def without_compression(scope: Scope) -> Scope:
    """The same request, whose response will not be compressed, so that it can be read here."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    return {**scope, "headers": headers}
