"""Language models that write: piece by piece, within limits, and interruptible at any time.

Knows nothing of servers and protocols, which are in `servers`, and of what the text means.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from operator import add
from typing import TYPE_CHECKING, Any

from rag.errors import ModelError
from rag.models.llm_errors import endless_reply, incomplete_reply, invalid_reply, llm_errors
from rag.models.prompts import Prompt

if TYPE_CHECKING:
    import asyncio

    from llama_index.core.llms import LLM, ChatMessage


log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""After which a reader gets an empty piece, so that it can stop although the model sends nothing."""
MAX_REPLY, MAX_REASONING = 20_000, 80_000
"""Characters of one reply, and of its reasoning tokens; a longer reply is treated as endless."""
MAX_PIECE = 500
"""Characters yielded at once, so that a reader of one large piece can still stop."""
FIRST_RETRY_SECONDS = 0.5
"""Before the first retry, and twice as long before each further one, as OpenAI's client waits."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls of a language model, and their tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class LLMClient:
    """A LlamaIndex LLM for use in one event loop, and how to close its connections.

    `retries` is how often to repeat a request while the server fails, if the client does not do so itself.
    """

    llm: LLM
    aclose: Callable[[], Awaitable[None]]
    retries: int = 0


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model, by its name on its server.

    `context` is how many tokens it reads and writes at once, `seconds` how long it may send nothing. `build` makes a
    client, which connects to nothing until it is used; each reply has its own, since a client of LlamaIndex belongs to
    one event loop. The client calls `build`'s argument with the usage of each request.
    """

    name: str
    build: Callable[[Callable[[Usage], None]], LLMClient]
    context: int
    seconds: float
    _usages: list[Usage] = field(default_factory=list, repr=False, compare=False)

    @property
    def usage(self) -> Usage:
        """The usage of all requests so far."""
        return sum(self._usages, start=Usage())

    def client(self) -> LLMClient:
        """A client for a program that calls the model itself, in its own event loop."""
        return self.build(self._usages.append)

    def complete(self, prompt: Prompt) -> str:
        """The whole reply. Raises ModelError as `write` does."""
        return "".join(self.write(prompt))

    def write(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the reply in pieces as they arrive, and an empty one now and then while nothing does.

        Closing the iterator ends the request. Raises ModelError, after everything that arrived was yielded, if the
        model does not answer, sends nothing for too long, or breaks off.
        """
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reply = _Reply(self, prompt, pieces.put)
        threading.Thread(target=reply.run, name="language model", daemon=True).start()
        log.info("asked %s with a prompt of %d characters", self.name, len(prompt.system) + len(prompt.user))
        last_heard = time.monotonic()
        try:
            while (piece := _next_piece(pieces)) is not None:
                if piece or reply.is_reasoning():
                    last_heard = time.monotonic()
                elif time.monotonic() - last_heard > self.seconds:
                    raise ModelError(
                        f"the language model {self.name!r} sent nothing for {self.seconds:g} seconds; "
                        "ask again, or raise llm_seconds if it is that slow"
                    )
                yield piece
        finally:
            reply.stop()
        with llm_errors(self.name):
            reply.raise_failure()


def _next_piece(pieces: queue.SimpleQueue[str | None]) -> str | None:
    try:
        return pieces.get(timeout=POLL_SECONDS)
    except queue.Empty:
        return ""


class _Reply:
    """One reply, read by a thread with its own event loop, since only there can a request be cancelled."""

    def __init__(self, model: LanguageModel, prompt: Prompt, put: Callable[[str | None], None]) -> None:
        self._model, self._prompt, self._put = model, prompt, put
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._received = self._received_since_asked = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Read the reply to its end, then put None."""
        import asyncio

        try:
            asyncio.run(self._run())
        finally:
            self._put(None)

    def stop(self) -> None:
        """Cancel the request, whatever it waits for."""
        self._stopped = True
        task = self._task
        if task and not task.done():
            with suppress(RuntimeError):  # its loop may have been closed by now
                task.get_loop().call_soon_threadsafe(task.cancel)

    def is_reasoning(self) -> bool:
        """Whether it has emitted only reasoning tokens since the last call; asked when no text has arrived."""
        received, self._received_since_asked = self._received_since_asked, False
        return received

    def raise_failure(self) -> None:
        """Raise the exception that ended it, if there was one."""
        if self._failure:
            raise self._failure

    async def _run(self) -> None:
        import asyncio

        self._task = asyncio.ensure_future(self._request())
        if self._stopped:
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._failure = self._task.exception()

    async def _request(self) -> None:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

        client = self._model.client()
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_temporary),
            stop=stop_after_attempt(1 + client.retries),
            wait=wait_exponential(FIRST_RETRY_SECONDS),
            reraise=True,
        )
        try:
            await retrying(self._receive, client.llm)
        finally:
            await client.aclose()

    def _is_temporary(self, error: BaseException) -> bool:
        """Whether the server is overloaded, or failed before it sent anything."""
        from ollama import ResponseError

        failed = isinstance(error, ResponseError) and (error.status_code == 429 or error.status_code >= 500)
        return failed and not self._received

    async def _receive(self, llm: LLM) -> None:
        written, reasoned, end = 0, 0, ""
        async for part in await llm.astream_chat(_messages(self._prompt)):
            end = end or _finish_reason(part.raw)
            self._received = self._received_since_asked = True
            text = part.delta or ""
            for start in range(0, min(len(text), MAX_REPLY - written), MAX_PIECE):
                self._put(text[start : min(start + MAX_PIECE, MAX_REPLY - written)])
            written += len(text)
            reasoned += len(part.additional_kwargs.get("thinking_delta") or "")
            if written > MAX_REPLY or reasoned > MAX_REASONING:
                raise endless_reply(self._model.name)
        if not end:
            raise incomplete_reply(self._model.name) if self._received else invalid_reply(self._model.name)
        if end == "length":
            raise ModelError(f"the reply of {self._model.name!r} does not fit into its context; raise llm_context")


def _messages(prompt: Prompt) -> Sequence[ChatMessage]:
    from llama_index.core.llms import ChatMessage, MessageRole

    messages = [ChatMessage(prompt.user, role=MessageRole.USER)]
    return [ChatMessage(prompt.system, role=MessageRole.SYSTEM), *messages] if prompt.system else messages


def _finish_reason(raw: Any) -> str:
    """Why a part of a reply is the last one, empty if it is not; "stop" for parts of an unknown kind."""
    if isinstance(raw, dict):
        return (raw.get("done_reason") or "stop") if raw.get("done", True) else ""
    choices = getattr(raw, "choices", None)
    if choices is None:
        return "stop"
    return next((choice.finish_reason for choice in choices if choice.finish_reason), "")


def count_tokens(text: str) -> int:
    """Approximate number of tokens, by a tokenizer that comes with LlamaIndex; models have their own."""
    from llama_index.core.utils import get_tokenizer

    return len(get_tokenizer()(text))
