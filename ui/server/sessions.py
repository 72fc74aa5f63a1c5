"""Forgets what the server has of a session when nobody has its page open any longer.

Gradio keeps a copy of the page's parts for each session, a tenth of a megabyte, until there are ten thousand of them.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic

import gradio as gr
from starlette.types import ASGIApp, Receive, Scope, Send

GRACE = 3600.0
"""Seconds for which a session is kept whose page is not open: the connection may have broken, or a laptop be shut."""
UNREAD = 300.0
"""Seconds for which a program may fetch the answer to a request that belonged to no session."""
EVERY = 30.0
"""Seconds from one look at what can be forgotten to the next."""
MOST_SESSIONS = 1000
"""Kept at once; the one that was used longest ago makes room."""
OPEN = re.compile(r"/heartbeat/([^/]+)/?$")
"""The stream that an open page holds."""


@dataclass(slots=True)
class Sessions:
    """The sessions of a page. To be made before the page is put on an address; for one event loop."""

    page: gr.Blocks
    _open: Counter[str] = field(default_factory=Counter)
    _left: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.state_session_capacity = MOST_SESSIONS

    @contextmanager
    def opened(self, session: str) -> Iterator[None]:
        """The session's page is open meanwhile."""
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]

    def forget_old(self, now: float) -> None:
        """Forget the sessions in which, for `GRACE` seconds, no page was open and nothing was going on.

        `now` is in seconds of a clock that never goes back.
        """
        holder, queue = self.page.state_holder, self.page._queue
        known = {*holder.session_data, *queue.pending_event_ids_session, *queue.pending_messages_per_session}
        idle = known - busy_sessions(self.page) - self._open.keys()
        self._left = {session: self._left.get(session, now) for session in idle}
        for session in self._open.keys() & holder.session_data.keys():
            # Gradio takes a session for closed since its page's stream first broke, even if the page is back.
            holder.session_data[session].is_closed = False
        for session, since in self._left.items():
            if now - since >= (GRACE if session in holder.session_data else UNREAD):
                forget(self.page, session)

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Old sessions are forgotten meanwhile."""
        task = asyncio.create_task(self._tend())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.forget_old(monotonic())


def busy_sessions(page: gr.Blocks) -> set[str]:
    """The sessions of which an event waits or is under way."""
    return {event.session_hash for event in list(page._queue.event_ids_to_events.values())}


def forget(page: gr.Blocks, session: str) -> None:
    """Forget all that is kept of a session: its states, its copy of the page's parts, and what was to be told to it."""
    holder, queue = page.state_holder, page._queue
    for kept in (
        holder.session_data,
        holder.time_last_used,
        queue.pending_event_ids_session,
        queue.pending_messages_per_session,
        page.pending_streams,
        page.pending_diff_streams,
    ):
        kept.pop(session, None)


@dataclass(frozen=True, slots=True)
class Attended:
    """ASGI middleware that tells which sessions have their page open."""

    app: ASGIApp
    sessions: Sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        stream = OPEN.search(scope.get("path", ""))
        if not stream:
            await self.app(scope, receive, send)
            return
        with self.sessions.opened(stream[1]):
            await self.app(scope, receive, send)
