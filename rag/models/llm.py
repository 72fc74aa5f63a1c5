"""A language model that is asked to write: piece by piece, within limits, and so that it can be stopped at any time."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rag.errors import ModelError
from rag.models.prompts import Prompt
from rag.models.responses import broken_off, endless, no_reply

if TYPE_CHECKING:
    from llama_index.core.llms import LLM, ChatMessage


BEAT = 0.25
"""Seconds after which a reader gets an empty piece, so that it can stop although the model says nothing."""
MOST_WRITTEN, MOST_THOUGHT = 20_000, 80_000
"""Characters of one reply, and of what the model thinks before it; one that has not ended by then does not end."""
LONGEST_PIECE = 500
"""Characters handed on at once, so that a reader of one large piece can still stop."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of a language model."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A LlamaIndex LLM for use in one event loop, and how to end its connections.

    `waits` are the seconds after which it is to be asked again while its server fails, if its client does not do that.
    """

    llm: LLM
    aclose: Callable[[], Awaitable[None]]
    waits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model, by its name on its server.

    `context` is how many tokens it reads and writes at once, `seconds` how long it may be silent. `build` makes a
    session, which connects to nothing before it is asked; each reply has one of its own, since a client of LlamaIndex
    belongs to one event loop.
    """

    name: str
    build: Callable[[Callable[[Usage], None]], Session]
    context: int
    seconds: float
    _used: list[Usage] = field(default_factory=list, repr=False, compare=False)

    @property
    def usage(self) -> Usage:
        """What was asked of it so far."""
        return sum(self._used, start=Usage())

    def session(self) -> Session:
        """For a program that talks to it by itself, in an event loop of its own."""
        return self.build(self._used.append)

    def complete(self, prompt: Prompt) -> str:
        """What it writes, whole. Raises ModelError as `write` does."""
        return "".join(self.write(prompt))

    def write(self, prompt: Prompt) -> Generator[str, None, None]:
        """What it writes, in pieces as they arrive; an empty one now and then as long as none does.

        Closing the iterator ends the request. Raises ModelError, once all that arrived is told, if the model does not
        answer, is silent for too long, or breaks off.
        """
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reply = _Reply(self, prompt, pieces.put)
        thread = threading.Thread(target=reply.run, name="language model", daemon=True)
        thread.start()
        heard = time.monotonic()
        try:
            while (piece := _next(pieces)) is not None:
                if piece or reply.thinks():
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.seconds:
                    raise ModelError(
                        f"the language model {self.name!r} said nothing for {self.seconds:g} seconds; "
                        "ask again, or raise llm_seconds if it is that slow"
                    )
                yield piece
        finally:
            reply.stop()
        with self.errors():
            reply.check()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """A failed request becomes a ModelError, without the server's own words: they may repeat the key."""
        import httpx
        from ollama import ResponseError
        from openai import APIConnectionError, APIError, APITimeoutError

        try:
            yield
        except (APITimeoutError, httpx.TimeoutException):
            hint = "ask again, or raise llm_seconds"
            raise ModelError(f"the language model {self.name!r} took too long; {hint}") from None
        except (APIConnectionError, httpx.ConnectError, ConnectionError) as error:
            if isinstance(error.__cause__, ModelError):  # raised while the client read the response
                raise error.__cause__ from None
            raise ModelError("no language model answers there; start its server, or correct its URL") from None
        except (httpx.HTTPError, APIError, ResponseError) as error:
            status = getattr(error, "status_code", -1)
            raise (ModelError(_refusal(repr(self.name), status)) if status > 0 else broken_off(self.name)) from None
        except (httpx.InvalidURL, json.JSONDecodeError, ValidationError):
            raise no_reply(self.name) from None


def _next(pieces: queue.SimpleQueue[str | None]) -> str | None:
    try:
        return pieces.get(timeout=BEAT)
    except queue.Empty:
        return ""


def _refusal(name: str, status: int) -> str:
    if 300 <= status < 400:
        hint = "it was asked nothing; give that server's own address (--llm-url) if it is the right one"
        return f"the server of {name} redirects to another server (HTTP {status}); {hint}"
    if status in (401, 403):
        return f"the key for {name} is not accepted (HTTP {status}); put the right one into PULLQUOTE_API_KEY"
    if status == 404:
        return (
            f"there is no model {name} (HTTP 404); correct its name, load it there, or correct the URL (mostly .../v1)"
        )
    if status == 429:
        return f"the server of {name} has too much to do (HTTP 429); wait a while, and ask again"
    if status >= 500:
        return f"the server of {name} failed (HTTP {status}); ask again, and look into its log if it goes on"
    hint = "correct its name, its URL or the key in PULLQUOTE_API_KEY, or lower llm_context"
    return f"the model {name} was refused (HTTP {status}); {hint}"


class _Reply:
    """One reply, read in a thread with an event loop of its own, since only there a request can be broken off."""

    def __init__(self, model: LanguageModel, prompt: Prompt, put: Callable[[str | None], None]) -> None:
        self._model, self._prompt, self._put = model, prompt, put
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._heard = self._thought = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Read it to its end."""
        try:
            asyncio.run(self._watched())
        finally:
            self._put(None)

    def stop(self) -> None:
        """End the request, whatever it waits for."""
        self._stopped = True
        task = self._task
        if task and not task.done():
            with suppress(RuntimeError):  # its loop may have been closed by now
                task.get_loop().call_soon_threadsafe(task.cancel)

    def thinks(self) -> bool:
        """Has it thought since this was asked, without a word that is meant to be read?"""
        thought, self._thought = self._thought, False
        return thought

    def check(self) -> None:
        """Raises what ended it, if that was not its end."""
        if self._failure:
            raise self._failure

    async def _watched(self) -> None:
        self._task = asyncio.ensure_future(self._read())
        if self._stopped:
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._failure = self._task.exception()

    async def _read(self) -> None:
        from ollama import ResponseError

        session = self._model.session()
        try:
            for wait in (*session.waits, None):
                try:
                    return await self._listen(session.llm)
                except ResponseError as error:
                    if wait is None or self._heard or not _passes(error.status_code):
                        raise
                await asyncio.sleep(wait)
        finally:
            await session.aclose()

    async def _listen(self, llm: LLM) -> None:
        written, thought, end = 0, 0, ""
        async for part in await llm.astream_chat(_messages(self._prompt)):
            end = end or _end_of(part.raw)
            self._heard = self._thought = True
            said = part.delta or ""
            for start in range(0, min(len(said), MOST_WRITTEN - written), LONGEST_PIECE):
                self._put(said[start : min(start + LONGEST_PIECE, MOST_WRITTEN - written)])
            written, thought = written + len(said), thought + len(part.additional_kwargs.get("thinking_delta") or "")
            if written > MOST_WRITTEN or thought > MOST_THOUGHT:
                raise endless(self._model.name)
        if not end:
            raise broken_off(self._model.name) if self._heard else no_reply(self._model.name)
        if end == "length":
            raise ModelError(
                f"the language model {self._model.name!r} had no room to come to an end; raise llm_context"
            )


def _messages(prompt: Prompt) -> Sequence[ChatMessage]:
    from llama_index.core.llms import ChatMessage, MessageRole

    messages = [ChatMessage(prompt.user, role=MessageRole.USER)]
    return [ChatMessage(prompt.system, role=MessageRole.SYSTEM), *messages] if prompt.system else messages


def _end_of(raw: Any) -> str:
    """Why a part of a reply is the last one, empty if it isn't; of a kind not known here any may be the last one."""
    if isinstance(raw, dict):
        return (raw.get("done_reason") or "stop") if raw.get("done", True) else ""
    choices = getattr(raw, "choices", None)
    if choices is None:
        return "stop"
    return next((choice.finish_reason for choice in choices if choice.finish_reason), "")


def _passes(status: int) -> bool:
    """Will a refusal with this HTTP status be over in a while?"""
    return status == 429 or status >= 500
