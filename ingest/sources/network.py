"""Guarded network access: no private address, and a deadline on every connection.

A name is looked up once, where the connection is made, and the connection goes to an address that was checked: a
redirect or a name server that changes its answer gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from ingest.content.values import one_line
from rag.errors import ReadError

MOST_ADDRESSES = 4
"""How many of a name's addresses are tried."""
CONNECT_SECONDS = 10.0
"""Within which an address has to answer, so that time is left for the next."""

_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
"""Not for hosts of the Internet, which not every Python knows."""


class Deadline(threading.local):
    """When a thread's fetch has to be over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def start(self) -> None:
        """Start the time of a fetch."""
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds left. Raises ReadError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise ReadError(self.passed)
        return left

    @property
    def passed(self) -> str:
        """The message once the deadline has passed."""
        return f"took longer than {self._seconds:g} s; try again later, or raise source_seconds"


class GuardedTransport(httpx.BaseTransport):
    """Sends httpx's requests through connections that are guarded.

    The body of a redirect is dropped unread: httpx would read it whole, however long it is.
    """

    def __init__(self, deadline: Deadline, private: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            keepalive_expiry=5.0,
            network_backend=_GuardedNetwork(deadline, private),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response; its body is still to be read."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        response = self._pool.handle_request(httpcore.Request(request.method, target, headers=request.headers.raw))
        found = httpx.Response(response.status, headers=response.headers, stream=_Body(response))
        if found.has_redirect_location:
            found.close()
            location = [(name, value) for name, value in response.headers if name.lower() == b"location"]
            return httpx.Response(response.status, headers=location)
        return found

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _GuardedNetwork(httpcore.NetworkBackend):
    """Connects to addresses that were checked, within the deadline."""

    def __init__(self, deadline: Deadline, private: bool) -> None:
        self._network = httpcore.SyncBackend()
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
        problem: Exception | None = None
        for address in _addresses(host, port, self._private)[:MOST_ADDRESSES]:
            seconds = min(CONNECT_SECONDS, self._deadline.left(), timeout or CONNECT_SECONDS)
            try:
                stream = self._network.connect_tcp(address, port, seconds, local_address, socket_options)
                return _Stream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        self._deadline.left()
        raise ReadError(f"cannot be reached ({bounded(problem)}); check the address, or try again later") from problem


class _Stream(httpcore.NetworkStream):
    """A connection whose every read and write ends at the deadline: a server that drips bytes gains no time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._sooner(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._sooner(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, self._sooner(timeout))
        except httpcore.ConnectError as error:
            problem = f"does not prove its identity ({bounded(_certificate_problem(error))})"
            raise ReadError(f"{problem}; check the address, or save the page and ingest that") from error
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _sooner(self, timeout: float | None) -> float:
        left = self._deadline.left()
        return left if timeout is None else min(timeout, left)


def _certificate_problem(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)


def _addresses(host: str, port: int, private: bool) -> list[str]:
    """A host's numeric addresses. Raises ReadError if it has none, or has a private one that is not allowed."""
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
    """Whether a numeric address is of this machine, its network, a test network: not a single host's public address.

    An IPv6 address that stands for an IPv4 address is what that is.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else inner
        if inner is not None:
            return is_private(str(inner))
        if ip not in _GLOBAL_IPV6:
            return True
    special = any(ip in network for network in _SPECIAL)
    return special or not ip.is_global or ip.is_multicast or ip.is_reserved


def bounded(value: object) -> str:
    """A message of a server, a name or a library as one short line."""
    line = one_line(str(value))
    return line if len(line) <= 120 else f"{line[:119]}…"
