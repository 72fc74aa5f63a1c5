"""How often passwords may be tried: by name and address, and by address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_COUNTERS = 10_000
"""Counters in memory of each kind. The longest unused is dropped, by then usually long since full again."""
MOST_UNDER_WAY = 16
"""Passwords that are being checked or wait for it; two are checked at once, so that nobody waits for long."""


@dataclass(slots=True)
class _Bucket:
    """Attempts that are left, as of a time in seconds."""

    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Rate:
    """So many attempts at once, and one more each `seconds`."""

    most: int
    seconds: float
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict, repr=False)

    def wait(self, key: str, now: float) -> float:
        """Seconds until there may be another attempt; 0 if now."""
        left = self._left(key, now)
        return 0.0 if left >= 1 else (1 - left) * self.seconds

    def add(self, key: str, attempts: int, now: float) -> None:
        """Give attempts back, or take them if there are fewer than 0."""
        self._buckets[key] = _Bucket(min(self.most, self._left(key, now) + attempts), now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_COUNTERS:
            self._buckets.popitem(last=False)

    def _left(self, key: str, now: float) -> float:
        bucket = self._buckets.get(key)
        return min(self.most, bucket.left + (now - bucket.at) / self.seconds) if bucket else self.most


@dataclass(slots=True)
class Throttle:
    """Counts wrong passwords, for a name from an address and for all names from an address.

    A name that has logged in from an address is let try whatever others do wrong there: many people can share a
    proxy's address. No name is locked for all addresses, as anybody could then lock anybody out.
    """

    clock: Callable[[], float] = time.monotonic
    names: Rate = field(default_factory=lambda: Rate(10, 15))
    addresses: Rate = field(default_factory=lambda: Rate(12, 0.5))
    under_way: int = 0
    _known: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def begin(self, name: str, address: str) -> int:
        """Count an attempt as wrong until `end` says otherwise. Seconds to wait instead if there were too many, or 0.

        After 0, `end` has to be called.
        """
        now, place, both = self.clock(), _place(address), _both(name, address)
        wait = self.names.wait(both, now)
        if both not in self._known:
            wait = max(wait, self.addresses.wait(place, now))
        if self.under_way >= MOST_UNDER_WAY:
            wait = max(wait, 1)
        if wait > 0:
            return math.ceil(wait)
        self.under_way += 1
        self.names.add(both, -1, now)
        self.addresses.add(place, -1, now)
        return 0

    def end(self, name: str, address: str, *, right: bool) -> None:
        """The attempt is over; a right one was none to count."""
        self.under_way -= 1
        if not right:
            return
        now, both = self.clock(), _both(name, address)
        self.names.add(both, self.names.most, now)
        self.addresses.add(_place(address), 1, now)
        self._known[both] = None
        self._known.move_to_end(both)
        if len(self._known) > MOST_COUNTERS:
            self._known.popitem(last=False)


def _both(name: str, address: str) -> str:
    return f"{_place(address)} {name[:200]}"


def _place(address: str) -> str:
    """An address as it is counted: of IPv6 the network, of which one customer has all addresses."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
