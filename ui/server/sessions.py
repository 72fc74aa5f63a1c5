"""Drops the state of sessions whose page is no longer open.

Gradio keeps a copy of the page's components for each session, a tenth of a megabyte, for up to ten thousand sessions.
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
"""Seconds for which a session is kept after its page was closed: the connection may have broken, a laptop be asleep."""
UNREAD_GRACE = 300.0
"""Seconds for which the answer to a request without a session can be fetched."""
EXPIRY_INTERVAL = 30.0
"""Seconds between two searches for sessions to drop."""
MOST_SESSIONS = 1000
"""Sessions in memory; the least recently used is dropped."""
HEARTBEAT = re.compile(r"/heartbeat/([^/]+)/?$")
"""The stream that an open page keeps open."""


@dataclass(slots=True)
class Sessions:
    """The sessions of a page, for one event loop. Create it before the page is served."""

    page: gr.Blocks
    _open: Counter[str] = field(default_factory=Counter)
    _idle_since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.state_session_capacity = MOST_SESSIONS

    @contextmanager
    def opened(self, session: str) -> Iterator[None]:
        """Count the page of the session as open meanwhile."""
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]

    def forget_old(self, now: float) -> None:
        """Drop the sessions without an open page or a running event for `GRACE` seconds.

        `now` is in seconds of a monotonic clock.
        """
        holder, queue = self.page.state_holder, self.page._queue
        sessions = {*holder.session_data, *queue.pending_event_ids_session, *queue.pending_messages_per_session}
        idle = sessions - busy_sessions(self.page) - self._open.keys()
        self._idle_since = {session: self._idle_since.get(session, now) for session in idle}
        for session in self._open.keys() & holder.session_data.keys():
            # Gradio counts a session as closed once its page's stream broke, even if the page is back.
            holder.session_data[session].is_closed = False
        for session, since in self._idle_since.items():
            if now - since >= (GRACE if session in holder.session_data else UNREAD_GRACE):
                forget(self.page, session)

    @asynccontextmanager
    async def expiring(self) -> AsyncIterator[None]:
        """Drop old sessions in the background meanwhile."""
        task = asyncio.create_task(self._expire())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL)
            self.forget_old(monotonic())


def busy_sessions(page: gr.Blocks) -> set[str]:
    """The sessions with a waiting or running event."""
    return {event.session_hash for event in list(page._queue.event_ids_to_events.values())}


def forget(page: gr.Blocks, session: str) -> None:
    """Drop everything of a session: its states, its copy of the page's components, and its unread messages."""
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
class TrackOpenSessions:
    """ASGI middleware that tracks which sessions have their page open."""

    app: ASGIApp
    sessions: Sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass every request on, counting the stream of an open page."""
        stream = HEARTBEAT.search(scope.get("path", ""))
        if not stream:
            await self.app(scope, receive, send)
            return
        with self.sessions.opened(stream[1]):
            await self.app(scope, receive, send)
