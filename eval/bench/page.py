"""How long people wait for a page that many of them ask at once, beside one who asks it alone.

It asks a page that is running, over HTTP, as other programs do. Machines differ and are shared: what to look at is how
much longer many wait than one, and that no question fails.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from secrets import token_urlsafe

import numpy as np

from rag.errors import AddressError

SECONDS = 120
"""For one answer; who waits longer has none."""


@dataclass(frozen=True, slots=True)
class PageCost:
    """Seconds from a question to its whole answer, at the median and at the 95th percentile, and what failed.

    `alone` is the median of one person who asks the same questions one after the other; `seconds` is how long all of
    them took together.
    """

    users: int
    asked: int
    failed: int
    alone: float
    median: float
    p95: float
    longest: float
    seconds: float


def bench_page(url: str, questions: Sequence[str], users: int, each: int) -> PageCost:
    """Let users ask so many questions each, all users at once. Raises AddressError if no page is there."""
    _known(url)
    alone = _session(url, questions, 0, each)
    started = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        sessions = pool.map(lambda user: _session(url, questions, user, each), range(users))
        waited = [seconds for session in sessions for seconds in session]
    took = time.perf_counter() - started
    answered = [seconds for seconds in waited if seconds is not None] or [float("nan")]
    median, p95, longest = np.percentile(answered, [50, 95, 100])
    first = np.median([seconds for seconds in alone if seconds is not None] or [float("nan")])
    failed = sum(seconds is None for seconds in waited)
    return PageCost(users, len(waited), failed, float(first), float(median), float(p95), float(longest), took)


def markdown(cost: PageCost) -> str:
    """The figures as a table."""
    return "\n".join(
        [
            f"| {cost.users} users, {cost.asked:,} questions in {cost.seconds:.1f} s, {cost.failed} failed | seconds |",
            "|---|---|",
            f"| one who asks alone, median | {cost.alone:.3f} |",
            f"| all at once, median | {cost.median:.3f} |",
            f"| all at once, 95th percentile | {cost.p95:.3f} |",
            f"| all at once, longest | {cost.longest:.3f} |",
        ]
    )


def _session(url: str, questions: Sequence[str], user: int, each: int) -> list[float | None]:
    """One user's questions, in a session as a browser's page has one, each begun where another one is."""
    own, session = islice(cycle(questions), user * each, (user + 1) * each), token_urlsafe(9)
    return [_asked(url, question, session) for question in own]


def _asked(url: str, question: str, session: str) -> float | None:
    """Seconds until the answer was there; None if there was none."""
    started = time.perf_counter()
    try:
        body = json.dumps({"data": [question], "session_hash": session}).encode()
        called = json.loads(_fetched(f"{url}gradio_api/call/ask", body))
        told = _fetched(f"{url}gradio_api/call/ask/{called['event_id']}")
    except (OSError, ValueError, KeyError):
        return None
    return time.perf_counter() - started if "event: complete" in told else None


def _known(url: str) -> None:
    try:
        _fetched(f"{url}healthz")
    except OSError as error:
        raise AddressError(f"no page is well at {url} ({error}); start one: pullquote chat") from error


def _fetched(url: str, body: bytes | None = None) -> str:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the command takes no other kind of address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=SECONDS) as response:
        return str(response.read().decode())
