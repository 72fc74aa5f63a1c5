"""Rate limits for login attempts: by name and address, and by address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_COUNTERS = 10_000
"""Counters of each kind in memory. The least recently used is dropped; by then its attempts have usually refilled."""
MOST_PENDING = 16
"""Passwords that are being checked or wait for it; two are checked at a time, so the wait stays short."""


@dataclass(slots=True)
class _Bucket:
    """Attempts left at a time in seconds."""

    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `most` attempts at once, and one more every `seconds`."""

    most: int
    seconds: float
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict, repr=False)

    def wait(self, key: str, now: float) -> float:
        """Seconds until the next attempt is allowed; 0 if it is now."""
        left = self._left(key, now)
        return 0.0 if left >= 1 else (1 - left) * self.seconds

    def add(self, key: str, attempts: int, now: float) -> None:
        """Return attempts, or take them if the number is negative."""
        self._buckets[key] = _Bucket(min(self.most, self._left(key, now) + attempts), now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_COUNTERS:
            self._buckets.popitem(last=False)

    def _left(self, key: str, now: float) -> float:
        bucket = self._buckets.get(key)
        return min(self.most, bucket.left + (now - bucket.at) / self.seconds) if bucket else self.most


@dataclass(slots=True)
class Throttle:
    """Counts wrong passwords for a name from an address, and for all names from an address.

    A name that has logged in from an address is not limited by other names there, since many people can share the
    address of a proxy. No name is locked for all addresses, as anybody could then lock anybody out.
    """

    clock: Callable[[], float] = time.monotonic
    names: Rate = field(default_factory=lambda: Rate(10, 15))
    addresses: Rate = field(default_factory=lambda: Rate(12, 0.5))
    pending: int = 0
    _logged_in: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def begin(self, name: str, address: str) -> int:
        """Start an attempt, counted as wrong until `end`. Returns 0, or the seconds to wait if there were too many.

        After 0, `end` has to be called.
        """
        now, network, both = self.clock(), _network(address), _name_and_network(name, address)
        wait = self.names.wait(both, now)
        if both not in self._logged_in:
            wait = max(wait, self.addresses.wait(network, now))
        if self.pending >= MOST_PENDING:
            wait = max(wait, 1)
        if wait > 0:
            return math.ceil(wait)
        self.pending += 1
        self.names.add(both, -1, now)
        self.addresses.add(network, -1, now)
        return 0

    def end(self, name: str, address: str, *, right: bool) -> None:
        """End an attempt; a right password is not counted."""
        self.pending -= 1
        if not right:
            return
        now, both = self.clock(), _name_and_network(name, address)
        self.names.add(both, self.names.most, now)
        self.addresses.add(_network(address), 1, now)
        self._logged_in[both] = None
        self._logged_in.move_to_end(both)
        if len(self._logged_in) > MOST_COUNTERS:
            self._logged_in.popitem(last=False)


def _name_and_network(name: str, address: str) -> str:
    return f"{_network(address)} {name[:200]}"


def _network(address: str) -> str:
    """The key of an address: of IPv6 its /64 network, all of which one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
