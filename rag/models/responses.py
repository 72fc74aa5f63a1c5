"""Checks the responses of a language model's server before the client library reads them.

Knows nothing of prompts and of what a reply says. Imports httpx, which takes a while, and is
itself imported only when a client is built.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Literal, cast

import httpx
from pydantic import BaseModel, Field

from rag.models.llm_errors import endless_reply, incomplete_reply, invalid_reply

MAX_BYTES = 16_000_000
"""Of one response, headers excluded. A reply within the limits of `rag.models.llm` needs less than a third of it."""
UNCOMPRESSED = {"accept-encoding": "identity"}
"""Headers that ask for responses whose length is known as they arrive."""
_ROLES = Literal["", "assistant", "user", "system", "developer", "tool", "function", "model", "chatbot"]

Hooks = dict[str, list[Callable[[httpx.Response], Awaitable[None]]]]


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(BaseModel):
    index: int | None = None
    function: _Function


class _Message(BaseModel):
    role: _ROLES | None = None
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _StreamedChoice(BaseModel):
    delta: _Message
    finish_reason: str | None = None


class _Chunk(BaseModel):
    """The fields of a streamed part of a reply that LlamaIndex uses; OpenAI's client does not check their types."""

    choices: list[_StreamedChoice] = []
    usage: _Usage | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    """The same fields of a reply that is sent as a whole."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def response_hooks(name: str, *, events: bool) -> Hooks:
    """httpx event hooks for a client of the model `name`, which check every response.

    A response has at most `MAX_BYTES`. Each line of a stream is validated. A redirect to another origin is not
    followed, so that the prompt and the key go to no other server. `events` is True for a stream of server-sent events,
    as in OpenAI's protocol, and False for one JSON object per line. Reading an invalid response raises ModelError.
    """

    async def check(response: httpx.Response) -> None:
        if response.has_redirect_location and not _redirects_to_same_origin(response):
            del response.headers["Location"]  # so httpx returns the redirect itself
        body = cast("httpx.AsyncByteStream", response.stream)
        if response.is_success:
            request = json.loads(await response.request.aread() or b"{}")
            streamed = bool(request.get("stream"))
            response.stream = _CheckedBody(body, name, response.headers, events=events, streamed=streamed)
        else:
            # Nobody is shown the server's own words, which may repeat the key.
            await body.aclose()
            response.stream = httpx.ByteStream(b"")

    return {"response": [check]}


def _redirects_to_same_origin(response: httpx.Response) -> bool:
    source = response.request.url
    try:
        target = source.join(response.headers["Location"])
    except httpx.InvalidURL:
        return False
    return (target.scheme, target.host, target.port) == (source.scheme, source.host, source.port)


class _CheckedBody(httpx.AsyncByteStream):
    """The body of a response; reading it raises ModelError once it is too long, or invalid."""

    def __init__(
        self, body: httpx.AsyncByteStream, name: str, headers: httpx.Headers, *, events: bool, streamed: bool
    ) -> None:
        self._body, self._name, self._headers, self._events, self._streamed = body, name, headers, events, streamed
        self._line: list[bytes] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._headers.get("Content-Encoding", "identity") != "identity":
            raise invalid_reply(self._name)  # compressed although not asked for: its length is not known
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MAX_BYTES:
                raise endless_reply(self._name)
            for line in self._lines(piece):
                self._check_lines(line)
            yield piece
        rest = b"".join(self._line)
        if self._streamed:
            self._check_lines(rest)
        else:
            self._check(rest, rest, _Completion)

    async def aclose(self) -> None:
        await self._body.aclose()

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        """The lines of a stream that end in this piece; the rest is kept for the next one."""
        *ended, rest = piece.split(b"\n") if self._streamed else [piece]
        for end in ended:
            yield b"".join([*self._line, end])
            self._line = []
        if rest:
            self._line.append(rest)

    def _check_lines(self, text: bytes) -> None:
        for line in text.splitlines():
            self._check(line, self._payload(line), _Chunk)

    def _check(self, line: bytes, payload: bytes, shape: type[BaseModel]) -> None:
        try:
            line.decode()
            part = json.loads(payload or b"{}")  # as the client library does: pydantic's parser accepts other JSON
            if self._events:
                shape.model_validate(part)
        except (ValueError, RecursionError):
            raise invalid_reply(self._name) from None
        if not isinstance(part, dict):
            raise invalid_reply(self._name)
        if part.get("error"):
            raise incomplete_reply(self._name)

    def _payload(self, line: bytes) -> bytes:
        """The JSON in a line; empty for a comment, an event's name, or the end of the stream."""
        if not self._events:
            return line.strip()
        name, _, value = line.partition(b":")
        return value.strip() if name == b"data" and not value.strip().startswith(b"[DONE]") else b""
