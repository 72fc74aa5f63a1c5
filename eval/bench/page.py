"""Measures how long people wait for a page that many use at once, beside one person alone.

It asks a running page over HTTP, as other programs do. Machines differ and are shared: compare how much longer many
wait than one, and check that no question fails.
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
"""Timeout of one answer."""


@dataclass(frozen=True, slots=True)
class PageCost:
    """Seconds from a question to its whole answer: median, 95th percentile and longest; and failures.

    `alone` is the median of one user asking the same questions in turn; `seconds` is the time of the whole run.
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
    """Let all users ask `each` questions at once. Raises AddressError if no page answers."""
    _check_health(url)
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
    """The figures as a Markdown table."""
    return "\n".join(
        [
            f"| {cost.users} users, {cost.asked:,} questions in {cost.seconds:.1f} s, {cost.failed} failed | seconds |",
            "|---|---|",
            f"| one user alone, median | {cost.alone:.3f} |",
            f"| all users at once, median | {cost.median:.3f} |",
            f"| all users at once, 95th percentile | {cost.p95:.3f} |",
            f"| all users at once, longest | {cost.longest:.3f} |",
        ]
    )


def _session(url: str, questions: Sequence[str], user: int, each: int) -> list[float | None]:
    """Ask one user's questions in a session of their own, as a browser's page does; each user starts at another one."""
    own, session = islice(cycle(questions), user * each, (user + 1) * each), token_urlsafe(9)
    return [_time_answer(url, question, session) for question in own]


def _time_answer(url: str, question: str, session: str) -> float | None:
    """Seconds until the answer is complete; None if there is none."""
    started = time.perf_counter()
    try:
        body = json.dumps({"data": [question], "session_hash": session}).encode()
        call = json.loads(_fetch(f"{url}gradio_api/call/ask", body))
        events = _fetch(f"{url}gradio_api/call/ask/{call['event_id']}")
    except (OSError, ValueError, KeyError):
        return None
    return time.perf_counter() - started if "event: complete" in events else None


def _check_health(url: str) -> None:
    try:
        _fetch(f"{url}healthz")
    except OSError as error:
        raise AddressError(f"no page answers at {url} ({error}); start one: pullquote chat") from error


def _fetch(url: str, body: bytes | None = None) -> str:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the command checks the scheme
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=SECONDS) as response:
        return str(response.read().decode())
