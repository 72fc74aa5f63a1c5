"""Guarded network access: no private address, time limits on every connection."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from ingest.content.values import one_line
from rag.errors import ReadError

if TYPE_CHECKING:
    import httpcore


MOST_ADDRESSES = 4
"""How many of a name's addresses are tried."""
CONNECT_SECONDS = 10.0
"""What one address has to answer in, so that time is left for the next."""

_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
"""For no host of the Internet, which not every Python knows."""


class Deadline(threading.local):
    """When the fetch of a thread has to be over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds that are left. Raises ReadError if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise ReadError(self.passed)
        return left

    @property
    def passed(self) -> str:
        return f"took longer than {self._seconds:g} s; try again later, or raise source_seconds"


class GuardedNetwork:
    """httpcore's network, which connects to addresses that were checked, and no longer than the deadline lets it.

    A pool without retries and without files as sockets calls nothing else of its network.
    """

    def __init__(self, network: httpcore.NetworkBackend, deadline: Deadline, private: bool) -> None:
        self._network = network
        self._deadline = deadline
        self._private = private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first of the host's addresses that answers. Raises ReadError."""
        import httpcore

        problem: Exception | None = None
        for address in _addresses(host, port, self._private)[:MOST_ADDRESSES]:
            seconds = min(CONNECT_SECONDS, self._deadline.left(), timeout or CONNECT_SECONDS)
            try:
                stream = self._network.connect_tcp(address, port, seconds, local_address, socket_options)
                return cast("httpcore.NetworkStream", _Stream(stream, self._deadline))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        self._deadline.left()
        raise ReadError(f"cannot be reached ({bounded(problem)}); check the address, or try again later") from problem


class _Stream:
    """A connection whose every read and write ends with the deadline: a server that drips bytes gains no time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _sooner(timeout, self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _sooner(timeout, self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        import httpcore

        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, _sooner(timeout, self._deadline))
        except httpcore.ConnectError as error:
            problem = f"does not prove who it is ({bounded(_certificate_problem(error))})"
            raise ReadError(f"{problem}; check the address, or save the page and ingest that") from error
        return cast("httpcore.NetworkStream", _Stream(stream, self._deadline))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _sooner(timeout: float | None, deadline: Deadline) -> float:
    left = deadline.left()
    return left if timeout is None else min(timeout, left)


def _certificate_problem(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)


def _addresses(host: str, port: int, private: bool) -> list[str]:
    """A host's numeric addresses. Raises ReadError if it has none, or if one is private and may not be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ReadError(
            f"cannot be found (no address for {bounded(host)}); check the address and the connection"
        ) from error
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    refused = next((address for address in addresses if is_private(address)), None)
    # One private address among others is how a name gets past a check.
    if refused and not private:
        raise ReadError(
            f"leads to a private address ({bounded(refused)}); set PULLQUOTE_ALLOW_PRIVATE_ADDRESSES=true to fetch it"
        )
    return addresses


def is_private(address: str) -> bool:
    """Is a numeric address anything but a public one of a single host: of this machine, its network, a test network?

    An IPv6 address that stands for an IPv4 one is what that is.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF) if found in _NAT64 else inner
        if inner is not None:
            return is_private(str(inner))
        if found not in _GLOBAL_IPV6:
            return True
    special = any(found in network for network in _SPECIAL)
    return special or not found.is_global or found.is_multicast or found.is_reserved


def bounded(value: object) -> str:
    """What a server, a name or a library says, as one short line."""
    line = one_line(str(value))
    return line if len(line) <= 120 else f"{line[:119]}…"
