"""What a language model's server may send: bounded, and checked before the client library reads it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from rag.errors import ModelError

if TYPE_CHECKING:
    import httpx


MOST_BYTES = 16_000_000
"""Of one response, headers excluded. A reply within the limits of `rag.models.llm` needs less than a third of it."""
UNPACKED = {"accept-encoding": "identity"}
"""Headers that ask for responses whose length is known as they arrive."""
_ROLES = Literal["", "assistant", "user", "system", "developer", "tool", "function", "model", "chatbot"]

Hooks = dict[str, list[Callable[["httpx.Response"], Awaitable[None]]]]


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(BaseModel):
    index: int | None = None
    function: _Function


class _Delta(BaseModel):
    role: _ROLES | None = None
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(BaseModel):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _Chunk(BaseModel):
    """The fields of a part of a reply that LlamaIndex uses; OpenAI's client does not check their types."""

    choices: list[_Choice] = []
    usage: _Usage | None = None


class _Whole(BaseModel):
    message: _Delta
    finish_reason: str | None = None


class _Completion(BaseModel):
    """The same of a reply that is sent as a whole."""

    choices: list[_Whole] = Field(min_length=1)
    usage: _Usage | None = None


def no_reply(name: str) -> ModelError:
    """The error for a response that is no reply of a language model."""
    hint = "ask again, or correct its URL, which mostly ends in /v1"
    return ModelError(f"what came for the language model {name!r} is no reply; {hint}")


def broken_off(name: str) -> ModelError:
    """The error for a reply that ends in the middle."""
    hint = "ask again, and see whether its server still runs"
    return ModelError(f"the language model {name!r} broke off in the middle; {hint}")


def endless(name: str) -> ModelError:
    """The error for a reply that is longer than any that is wanted."""
    return ModelError(f"the language model {name!r} does not come to an end; ask again")


def guards(name: str, *, events: bool) -> Hooks:
    """httpx event hooks for a client that asks the model `name`.

    Responses are bounded (`MOST_BYTES`); the lines of a stream are checked; a redirect to another origin is not
    followed, so that the prompt and the key go to no other server. `events`: does the server stream server-sent events,
    as OpenAI's protocol says, or a JSON object a line? While a response is read, ModelError is raised for what is no
    reply.
    """

    async def guard(response: httpx.Response) -> None:
        if response.has_redirect_location and not _same_origin(response):
            del response.headers["Location"]  # so httpx returns the redirect itself
        if not response.is_success:
            # Nobody is shown the server's own words, which may repeat the key.
            response.stream = _stream(_Nothing(response))
        else:
            response.stream = _stream(_Checked(response, name, events, await _is_streamed(response.request)))

    return {"response": [guard]}


def _same_origin(response: httpx.Response) -> bool:
    import httpx

    asked = response.request.url
    try:
        target = asked.join(response.headers["Location"])
    except httpx.InvalidURL:
        return False
    return (target.scheme, target.host, target.port) == (asked.scheme, asked.host, asked.port)


async def _is_streamed(request: httpx.Request) -> bool:
    asked = json.loads(await request.aread() or b"{}")
    return bool(asked.get("stream"))


def _stream(body: _Nothing | _Checked) -> httpx.AsyncByteStream:
    """As the class that httpx wants; made here, since httpx takes a while to load."""
    import httpx

    class Stream(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return body.read()

        async def aclose(self) -> None:
            await body.source.aclose()

    return Stream()


class _Nothing:
    """The body of an error response, unread."""

    def __init__(self, response: httpx.Response) -> None:
        self.source: Any = response.stream

    async def read(self) -> AsyncIterator[bytes]:
        for _ in range(0):
            yield b""


@dataclass(slots=True)
class _Checked:
    """The body of a response; ModelError once it is too long, or no part of a reply."""

    response: httpx.Response
    name: str
    events: bool
    streamed: bool
    source: Any = field(init=False)
    _line: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.response.stream

    async def read(self) -> AsyncIterator[bytes]:
        if self.response.headers.get("Content-Encoding", "identity") != "identity":
            raise no_reply(self.name)  # none was asked for, and its length is known only once it is unpacked
        size = 0
        async for piece in self.source:
            size += len(piece)
            if size > MOST_BYTES:
                raise endless(self.name)
            for line in self._lines(piece):
                self._check_lines(line)
            yield piece
        rest = b"".join(self._line)
        if self.streamed:
            self._check_lines(rest)
        else:
            self._check(rest, rest, _Completion)

    def _check_lines(self, ended: bytes) -> None:
        for line in ended.splitlines():
            self._check(line, self._payload(line), _Chunk)

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        *ended, rest = piece.split(b"\n") if self.streamed else [piece]
        for end in ended:
            yield b"".join([*self._line, end])
            self._line = []
        if rest:
            self._line.append(rest)

    def _check(self, line: bytes, payload: bytes, shape: type[BaseModel]) -> None:
        try:
            line.decode()
            part = json.loads(payload or b"{}")
            if self.events:
                shape.model_validate(part)
        except (ValueError, RecursionError):
            raise no_reply(self.name) from None
        if not isinstance(part, dict):
            raise no_reply(self.name)
        if part.get("error"):
            raise broken_off(self.name)

    def _payload(self, line: bytes) -> bytes:
        """The JSON in a line; nothing for a comment, an event's name, or the end."""
        if not self.events:
            return line.strip()
        name, _, value = line.partition(b":")
        return value.strip() if name == b"data" and not value.strip().startswith(b"[DONE]") else b""
