"""Pages from the web: fetched within limits, and from no address that only this machine or its network can reach.

A name is looked up once, where the connection is made, and the connection goes to an address that was checked; a
redirect or a name server that changes its mind gains nothing. Every read and write ends with the fetch's deadline.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from ingest.content.archives import gunzip
from ingest.content.types import Limits
from ingest.content.values import LONGEST_URL
from ingest.sources.network import Deadline, GuardedNetwork, bounded
from rag.errors import ReadError

if TYPE_CHECKING:
    import httpcore
    import httpx


MOST_REDIRECTS = 10
LONGEST_WAIT = 5
"""Seconds that a busy server may ask us to wait before the one other try."""
LONGEST_HEADER = 512
"""Characters of a header that is kept."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_CLOSED = frozenset({401, 402, 403, 407, 451})
_LATER = frozenset({408, 425, 429})
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
        self._deadline = Deadline(limits.seconds)
        network = GuardedNetwork(httpcore.SyncBackend(), self._deadline, private)
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
            raise ReadError(f"broke off ({bounded(error)}); try again later") from error

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
            parts = gunzip(parts)
        elif packing not in ("", "identity"):
            raise ReadError(
                f"comes packed as {bounded(packing)}, which was not asked for; save the page and ingest that"
            )
        data = bytearray()
        for part in parts:
            data += part
            if len(data) > limit:
                raise ReadError(_too_large(limit))
            self._deadline.left()
        return bytes(data)


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
        raise ReadError(f"is no address ({bounded(error)}); check it") from error
    if url.scheme not in ("http", "https") or not url.host or (url.port or 80) > 65_535:
        raise ReadError("is no address of the web; give one that starts with https:// or http://")
    if url.userinfo:
        raise ReadError("holds a user's name or password; leave them out, or save the page and ingest that")
    if _is_odd(url.host):
        raise ReadError(f"has an IP address in an odd notation ({bounded(url.host)}); write it as four plain numbers")
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
