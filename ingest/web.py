"""Pages from the web: fetched within limits, and from no address that only this machine or its network can reach.

A name is looked up once, where the connection is made, and the connection goes to an address that was checked; a
redirect or a name server that changes its mind gains nothing. Every read and write ends with the fetch's deadline.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from ingest.archive import GZIP_START
from ingest.fields import one_line
from ingest.source import Limits
from rag.errors import ReadError

if TYPE_CHECKING:
    import httpcore
    import httpx

MOST_REDIRECTS = 10
MOST_ADDRESSES = 4
"""How many of a name's addresses are tried."""
CONNECT_SECONDS = 10.0
"""What one address has to answer in, so that time is left for the next."""
LONGEST_WAIT = 5
"""Seconds that a busy server may ask us to wait before the one other try."""
LONGEST_URL = 8_000
LONGEST_HEADER = 512
"""Characters of a header that is kept."""
STEP = 65_536
"""Bytes that are unpacked at once."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_CLOSED = frozenset({401, 402, 403, 407, 451})
_LATER = frozenset({408, 425, 429})

_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
"""For no host of the Internet, which not every Python knows."""

_GZIP = zlib.MAX_WBITS | 16
_NUMBER = re.compile(r"\d+|0x[\da-f]*", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"\s*([\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100})\s*(?:;|,|$)", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """What a server answered.

    `url` is where the page was found in the end; `status` is 200, or 304 for one that is unchanged, which has no
    `data`. `media_type` is in lower case and without parameters; `etag` and `modified` are to be given to the next
    fetch. What the server did not say is empty.
    """

    url: str
    status: int
    data: bytes
    media_type: str
    charset: str
    etag: str
    modified: str


class Fetcher:
    """Fetches pages, each within the limits; connections are kept for the next page of the same host.

    With `private`, addresses of this machine and its network may be fetched too. It sends no cookies and no referrer,
    and uses no proxy. Several threads may share one.
    """

    def __init__(self, limits: Limits, private: bool = False) -> None:
        import httpcore
        import httpx

        self._limits = limits
        self._deadline = _Deadline(limits.seconds)
        network = _Network(httpcore.SyncBackend(), self._deadline, private)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            keepalive_expiry=5.0,
            network_backend=cast("httpcore.NetworkBackend", network),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def fetch(self, url: str, etag: str = "", modified: str = "") -> Page:
        """The page at a URL, or that it is unchanged since it had this `etag` and `modified`. Raises ReadError."""
        import httpcore

        self._deadline.start()
        try:
            return self._found(_parsed(url), _conditions(etag, modified))
        except httpcore.TimeoutException as error:
            raise ReadError(self._deadline.passed) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ReadError(f"broke off ({_bounded(error)}); try again later") from error

    def _found(self, url: httpx.URL, conditions: dict[str, str]) -> Page:
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._answer(url, conditions)
            if isinstance(answer, Page):
                return answer
            url = _parsed(answer, url)
        raise ReadError(f"redirects more than {MOST_REDIRECTS} times; check the address")

    def _answer(self, url: httpx.URL, conditions: dict[str, str], again: bool = True) -> Page | str:
        """The page, or the address it redirects to. A server that is busy for a moment is asked `again`, once."""
        import httpx

        with self._pool.stream("GET", _target(url), headers=_headers(url, conditions)) as response:
            headers = httpx.Headers(response.headers)
            if response.status in _REDIRECTS and "location" in headers:
                return headers["location"]
            if response.status == 200:
                return _page(url, 200, headers, self._body(headers, response.iter_stream()))
            if response.status == 304 and conditions:
                return _page(url, 304, headers, b"")
            wait = _wait(response.status, headers)
        if not again or wait is None or wait >= self._deadline.left():
            raise ReadError(_refusal(response.status))
        time.sleep(wait)
        return self._answer(url, conditions, again=False)

    def _body(self, headers: httpx.Headers, parts: Iterable[bytes]) -> bytes:
        """All bytes of an answer, unpacked. Raises ReadError once they are more than the limit."""
        limit = self._limits.bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > limit):
            raise ReadError(_too_large(limit))
        packing = headers.get("content-encoding", "").strip().lower()
        if packing in ("gzip", "x-gzip"):
            parts = gunzipped(parts)
        elif packing not in ("", "identity"):
            raise ReadError(
                f"comes packed as {_bounded(packing)}, which was not asked for; save the page and ingest that"
            )
        data = bytearray()
        for part in parts:
            data += part
            if len(data) > limit:
                raise ReadError(_too_large(limit))
            self._deadline.left()
        return bytes(data)


def gunzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """What gzip packed, in pieces of at most STEP bytes, however much a few bytes stand for.

    Raises ReadError if it is broken or cut off.
    """
    unpack, begun, ended = zlib.decompressobj(_GZIP), False, False
    try:
        for part in parts:
            data, full = part, False
            while data or full:
                if ended and not begun:
                    # Another member, or what some servers pad with.
                    data = data.lstrip(b"\0")
                    if not GZIP_START.startswith(data[:2]):
                        return
                piece = unpack.decompress(data, STEP)
                yield piece
                data, full, begun = unpack.unconsumed_tail, len(piece) == STEP, begun or bool(data)
                if unpack.eof:
                    data, full, begun, ended = unpack.unused_data, False, False, True
                    unpack = zlib.decompressobj(_GZIP)
    except zlib.error as error:
        raise ReadError("is packed in a broken way; try again later") from error
    if begun:
        raise ReadError("was cut off on its way; try again later")


class _Deadline(threading.local):
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


class _Network:
    """httpcore's network, which connects to addresses that were checked, and no longer than the deadline lets it.

    A pool without retries and without files as sockets calls nothing else of its network.
    """

    def __init__(self, network: httpcore.NetworkBackend, deadline: _Deadline, private: bool) -> None:
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
        raise ReadError(f"cannot be reached ({_bounded(problem)}); check the address, or try again later") from problem


class _Stream:
    """A connection whose every read and write ends with the deadline: a server that drips bytes gains no time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
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
            problem = f"does not prove who it is ({_bounded(_certificate_problem(error))})"
            raise ReadError(f"{problem}; check the address, or save the page and ingest that") from error
        return cast("httpcore.NetworkStream", _Stream(stream, self._deadline))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _sooner(timeout: float | None, deadline: _Deadline) -> float:
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
            f"cannot be found (no address for {_bounded(host)}); check the address and the connection"
        ) from error
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    refused = next((address for address in addresses if is_private(address)), None)
    # One private address among others is how a name gets past a check.
    if refused and not private:
        raise ReadError(
            f"leads to a private address ({_bounded(refused)}); set PULLQUOTE_ALLOW_PRIVATE_ADDRESSES=true to fetch it"
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


def _parsed(address: str, base: httpx.URL | None = None) -> httpx.URL:
    """An address of the web as it is asked for, without its fragment. Raises ReadError for any other address."""
    import httpx

    address = address.strip()
    if len(address) > LONGEST_URL or not address.isprintable():
        raise ReadError("leads to an address that is too long, or holds control characters; check the address")
    try:
        url = base.join(address) if base else httpx.URL(address)
        url = url.copy_with(fragment=None)
        str(url), url.host  # a name that cannot be decoded fails here, and not where it is used
    except (httpx.InvalidURL, ValueError) as error:
        raise ReadError(f"is no address ({_bounded(error)}); check it") from error
    if url.scheme not in ("http", "https") or not url.host or (url.port or 80) > 65_535:
        raise ReadError("is no address of the web; give one that starts with https:// or http://")
    if url.userinfo:
        raise ReadError("holds a user's name or password; leave them out, or save the page and ingest that")
    if _is_odd(url.host):
        raise ReadError(f"has an IP address in an odd notation ({_bounded(url.host)}); write it as four plain numbers")
    return url


def _is_odd(host: str) -> bool:
    """Does a host end in a number without being an IP address: "0x7f.1", "2130706433"?"""
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _target(url: httpx.URL) -> httpcore.URL:
    import httpcore

    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _headers(url: httpx.URL, conditions: dict[str, str]) -> list[tuple[str, str]]:
    return [
        ("Host", url.netloc.decode("ascii")),
        ("User-Agent", f"Pullquote/{_version()} (+reads articles for its user)"),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/rss+xml,application/atom+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("Accept-Encoding", "gzip"),
        *conditions.items(),
    ]


def _version() -> str:
    try:
        return version("pullquote")
    except PackageNotFoundError:
        return "0"


def _conditions(etag: str, modified: str) -> dict[str, str]:
    given = {"If-None-Match": _kept(etag), "If-Modified-Since": _kept(modified)}
    return {name: value for name, value in given.items() if value}


def _kept(value: str) -> str:
    """A header's value, if it can be sent again."""
    sendable = len(value) <= LONGEST_HEADER and value.isascii() and value.isprintable()
    return value.strip() if sendable else ""


def _page(url: httpx.URL, status: int, headers: httpx.Headers, data: bytes) -> Page:
    kind = headers.get("content-type", "")[:LONGEST_HEADER]
    media_type, charset = _MEDIA_TYPE.match(kind), _CHARSET.search(kind)
    return Page(
        url=str(url),
        status=status,
        data=data,
        media_type=media_type[1].lower() if media_type else "",
        charset=charset[1].lower() if charset else "",
        etag=_kept(headers.get("etag", "")),
        modified=_kept(headers.get("last-modified", "")),
    )


def _wait(status: int, headers: httpx.Headers) -> int | None:
    """Seconds after which a busy server wants to be asked again, if they are few."""
    asked = headers.get("retry-after", "").strip()
    short = status in (429, 503) and re.fullmatch(r"[0-9]{1,4}", asked) and int(asked) <= LONGEST_WAIT
    return int(asked) if short else None


def _refusal(status: int) -> str:
    if status in _GONE:
        return f"is not there (HTTP {status}); check the address"
    if status in _CLOSED:
        return f"is not open to everyone (HTTP {status}); save the page and ingest that"
    if status in _LATER or status >= 500:
        return f"cannot be had now (HTTP {status}); try again later"
    return f"is no page (HTTP {status}); check the address"


def _too_large(limit: int) -> str:
    return f"is larger than {limit:,} bytes; raise source_megabytes"


def _bounded(value: object) -> str:
    """What a server, a name or a library says, as one short line."""
    line = one_line(str(value))
    return line if len(line) <= 120 else f"{line[:119]}…"
