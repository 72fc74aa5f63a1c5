"""Rate limits for logins, with a clock that is set by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ui.server import throttle
from ui.server.throttle import MOST_PENDING, Rate, Throttle

HOME, AWAY = "192.0.2.1", "198.51.100.1"


@dataclass
class Clock:
    """A clock that shows the time it was set to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def tried(counts: Throttle, name: str, address: str, *, right: bool = False) -> int:
    """Make an attempt; 0 if the password was checked."""
    wait = counts.begin(name, address)
    if not wait:
        counts.end(name, address, right=right)
    return wait


def test_wrong_passwords_for_a_name_are_limited_and_block_nobody_else() -> None:
    counts = Throttle(Clock())
    looked_at = sum(not tried(counts, "ada", HOME) for _ in range(120))
    assert looked_at <= 10
    assert tried(counts, "ada", HOME, right=True) > 0, "not even the right one"
    assert not tried(counts, "bert", HOME, right=True), "of another name, from the same address"
    assert not tried(counts, "ada", AWAY, right=True), "of the same name, from another address"


def test_a_refusal_says_how_long_to_wait() -> None:
    clock = Clock()
    counts = Throttle(clock)
    while not (wait := tried(counts, "ada", HOME)):
        pass
    clock.now += wait
    assert not tried(counts, "ada", HOME, right=True)
    assert not any(tried(counts, "ada", HOME) for _ in range(5)), "a right one is a new beginning"


def test_many_names_from_an_address_are_tried_slowly() -> None:
    clock = Clock()
    counts = Throttle(clock)
    assert sum(not tried(counts, f"guess {number}", HOME) for number in range(500)) <= 12
    assert tried(counts, "bert", HOME) == 1
    assert not tried(counts, "bert", AWAY)
    clock.now += 1
    assert not tried(counts, "bert", HOME, right=True)


def test_a_name_that_logged_in_from_an_address_is_not_limited_by_others_there() -> None:
    counts = Throttle(Clock())
    assert not tried(counts, "ada", HOME, right=True)
    while not tried(counts, f"guess {counts.clock()}", HOME):
        pass
    for number in range(100):
        tried(counts, f"guess {number}", HOME)
    assert not tried(counts, "ada", HOME, right=True)
    assert sum(not tried(counts, "ada", HOME) for _ in range(50)) <= 10, "guesses at that name are counted"


def test_pending_attempts_count_as_wrong() -> None:
    counts = Throttle(Clock())
    assert sum(not counts.begin("ada", HOME) for _ in range(50)) <= 10
    assert sum(not counts.begin(f"name {n}", f"192.0.2.{n % 250}") for n in range(200)) <= MOST_PENDING
    assert counts.pending <= MOST_PENDING


def test_the_addresses_of_a_network_count_as_one() -> None:
    counts = Throttle(Clock())
    assert sum(not tried(counts, "ada", f"2001:db8::{n:x}") for n in range(1, 60)) <= 10
    assert not tried(counts, "ada", "2001:db8:0:1::1")
    assert sum(not tried(counts, "bert", "::ffff:192.0.2.9" if n % 2 else "192.0.2.9") for n in range(60)) <= 10


def test_counters_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_COUNTERS", 50)
    rate, counts = Rate(3, 1.0), Throttle(Clock())
    for number in range(500):
        rate.add(f"{number}" * 50, -1, 0.0)
        tried(counts, f"{number}" * 1000, f"10.0.{number // 250}.{number % 250}", right=True)
    assert len(rate._buckets) == len(counts.names._buckets) == len(counts._logged_in) == 50
    assert max(map(len, counts.names._buckets)) < 400
