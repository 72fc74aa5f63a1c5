"""Fetches pages from the web, within limits of time and bytes, through the guarded network.

httpx follows the redirects; every address on the way is checked before it is connected to. Unpacking is done here:
httpx unpacks 64 KiB of gzip at once to as much as 67 MB, takes a page that was cut off, and drops all but the first
member of one.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Self

import httpcore
import httpx

from ingest.content.archives import gunzip
from ingest.content.types import Limits
from ingest.content.values import LONGEST_URL
from ingest.sources.network import Deadline, GuardedTransport, bounded
from rag.errors import ReadError

MOST_REDIRECTS = 10
LONGEST_WAIT = 5
"""Seconds that a busy server may ask to wait for before the one retry."""
LONGEST_HEADER = 512
"""Characters of a header that is kept."""

_GONE = frozenset({404, 410})
_CLOSED = frozenset({401, 402, 403, 407, 451})
_LATER = frozenset({408, 425, 429})
_NUMBER = re.compile(r"\d+|0x[\da-f]*", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"\s*([\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100})\s*(?:;|,|$)", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.ASCII | re.IGNORECASE)
_ACCEPT = "text/html,application/xhtml+xml,application/rss+xml,application/atom+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Page:
    """A server's answer.

    `url` is where the page was found in the end; `status` is 200, or 304 for one that is unchanged, which has no
    `data`. `media_type` is in lower case and without parameters; `etag` and `modified` are for the next fetch. What the
    server does not say is empty.
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
        self._limits = limits
        self._deadline = Deadline(limits.seconds)
        agent = f"Pullquote/{_version()} (+reads articles for its user)"
        self._client = httpx.Client(
            transport=GuardedTransport(self._deadline, private),
            headers={"User-Agent": agent, "Accept": _ACCEPT, "Accept-Encoding": "gzip"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            event_hooks={"request": [_check_address]},
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def fetch(self, url: str, etag: str = "", modified: str = "") -> Page:
        """The page at a URL, or that it is unchanged since it had this `etag` and `modified`. Raises ReadError."""
        self._deadline.start()
        conditions = {"If-None-Match": _kept(etag), "If-Modified-Since": _kept(modified)}
        try:
            return self._page(_parsed(url), {name: value for name, value in conditions.items() if value})
        except httpx.TooManyRedirects as error:
            raise ReadError(f"redirects more than {MOST_REDIRECTS} times; check the address") from error
        except (httpx.RemoteProtocolError, httpx.InvalidURL, UnicodeError) as error:
            raise ReadError(f"redirects to an invalid address ({bounded(error)}); check the address") from error
        except httpcore.TimeoutException as error:
            raise ReadError(self._deadline.passed) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ReadError(f"sent no complete answer ({bounded(error)}); try again later") from error

    def _page(self, url: httpx.URL, conditions: dict[str, str], retry: bool = True) -> Page:
        """The page; a server that is busy for a moment is asked once more."""
        with self._client.stream("GET", url, headers=conditions) as response:
            status, headers = response.status_code, response.headers
            if status == 200:
                return _as_page(response, self._body(headers, response.iter_raw()))
            if status == 304 and conditions:
                return _as_page(response, b"")
            wait = _wait(status, headers)
        if not retry or wait is None or wait >= self._deadline.left():
            raise ReadError(_refusal(status))
        time.sleep(wait)
        return self._page(response.url, conditions, retry=False)

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
                f"is compressed as {bounded(packing)}, which was not requested; save the page and ingest that"
            )
        data = bytearray()
        for part in parts:
            data += part
            if len(data) > limit:
                raise ReadError(_too_large(limit))
            self._deadline.left()
        return bytes(data)


def _parsed(address: str) -> httpx.URL:
    """An address without its fragment. Raises ReadError if it is none."""
    address = address.strip()
    if len(address) > LONGEST_URL or not address.isprintable():
        raise ReadError("has an address that is too long or contains control characters; check the address")
    try:
        url = httpx.URL(address).copy_with(fragment=None)
        str(url), url.host  # a name that cannot be decoded fails here, and not where it is used
    except (httpx.InvalidURL, ValueError) as error:
        raise ReadError(f"is not a valid address ({bounded(error)}); check it") from error
    return url


def _check_address(request: httpx.Request) -> None:
    """Raises ReadError for an address that is not fetched, whether it was given or redirected to."""
    url = request.url
    if len(str(url)) > LONGEST_URL:
        raise ReadError("leads to an address that is too long; check the address")
    if url.scheme not in ("http", "https") or not url.host or (url.port or 80) > 65_535:
        raise ReadError("is not a web address; give one that starts with https:// or http://")
    if url.userinfo:
        raise ReadError("contains a user name or password; remove it, or save the page and ingest that")
    if _is_odd(url.host):
        raise ReadError(
            f"has an IP address in an unusual notation ({bounded(url.host)}); write it as four plain numbers"
        )


def _is_odd(host: str) -> bool:
    """Whether a host ends in a number without being an IP address: "0x7f.1", "2130706433"."""
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _version() -> str:
    try:
        return version("pullquote")
    except PackageNotFoundError:
        return "0"


def _kept(value: str) -> str:
    """A header's value, if it can be sent again; else nothing."""
    sendable = len(value) <= LONGEST_HEADER and value.isascii() and value.isprintable()
    return value.strip() if sendable else ""


def _as_page(response: httpx.Response, data: bytes) -> Page:
    headers = response.headers
    kind = headers.get("content-type", "")[:LONGEST_HEADER]
    media_type, charset = _MEDIA_TYPE.match(kind), _CHARSET.search(kind)
    return Page(
        url=str(response.url.copy_with(fragment=None)),
        status=response.status_code,
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
        return f"does not exist (HTTP {status}); check the address"
    if status in _CLOSED:
        return f"is not public (HTTP {status}); save the page and ingest that"
    if status in _LATER or status >= 500:
        return f"is not available now (HTTP {status}); try again later"
    return f"is not a page (HTTP {status}); check the address"


def _too_large(limit: int) -> str:
    return f"is larger than {limit:,} bytes; raise source_megabytes"
