"""Under which names a server answers, and which web pages may ask it."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.errors import ConfigError, cut

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
PLAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
ABOUT_THE_CLIENT = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
"""What a proxy says of its client; believed where a proxy is expected."""
FORWARDED = ABOUT_THE_CLIENT | {b"x-forwarded-host", b"x-gradio-server", b"forwarded"}


@dataclass(frozen=True, slots=True)
class Names:
    """The names that requests may be addressed to.

    `host` is the address that the server listens on, `root` the path or whole address under which a proxy serves it
    (empty without a proxy), `allowed` further names.
    """

    host: str = "127.0.0.1"
    root: str = ""
    allowed: tuple[str, ...] = ()
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Collect the names that do not depend on a request."""
        own = [socket.gethostname()] if self.host in EVERY_ADDRESS else [self.host]
        names = (*LOCAL_NAMES, *own, *filter(None, [self.public]), *self.allowed)
        object.__setattr__(self, "_known", frozenset(filter(None, map(bare, names))))

    @property
    def public(self) -> str:
        """The host's name in the whole address, if `root` is one."""
        return urlsplit(self.root).hostname or ""

    def has(self, host: str, scope: Scope) -> bool:
        """Is `host`, as a header spells it, a name of the server that this request reached?"""
        name = bare(host)
        if name is None:
            return False
        local = (scope.get("server") or ("",))[0]
        return name in self._known or (self.host in EVERY_ADDRESS and name == bare(local or ""))


def bare(host: str) -> str | None:
    """A host without its port, in one spelling: lower case, no final dot, no brackets; None if it is no host."""
    matched = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::\d{1,5})?", host.strip(" \t"))
    name = (matched[1].strip("[]") if matched else host.strip(" \t")).lower()
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        name = name.removesuffix(".")
        return name if matched and PLAIN.fullmatch(name) and len(name) < 254 else None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def allowed_host(given: str) -> str:
    """A name as --allowed-host takes it. Raises ConfigError for what is no host name or address."""
    name = bare(given)
    if not name or name in EVERY_ADDRESS:
        raise ConfigError(
            f"--allowed-host {cut(given)!r} is not a host name; give one such as news.example or 192.0.2.7"
        )
    return name


@dataclass(frozen=True, slots=True)
class OwnNamesOnly:
    """ASGI middleware that refuses requests for other host names, and requests of other sites' pages.

    A web page elsewhere could point its own name at this address and read the answers (DNS rebinding). Gradio lets any
    site read its answers with the reader's own cookies unless it is asked under a name of this machine. What proxies
    add to a request is passed on only where `names.root` says that there is one.
    """

    app: ASGIApp
    names: Names = Names()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is addressed to this server, by a page of its own or by no page."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1 or not self.names.has(hosts[0], scope):
            await PlainTextResponse(_other_name(hosts), 400)(scope, receive, send)
            return
        scope = {**scope, "headers": [header for header in scope["headers"] if self._is_believed(header, scope)]}
        headers = Headers(scope=scope)
        if not all(self._is_own(origin, headers) for origin in headers.getlist("origin")):
            text = "Pages of other sites may not ask. If this is the page's own address, start pullquote chat with "
            await PlainTextResponse(f"{text}--root-path and that address.", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_believed(self, header: tuple[bytes, bytes], scope: Scope) -> bool:
        name, value = header
        if name not in FORWARDED:
            return True
        if not self.names.root:
            return False
        return name in ABOUT_THE_CLIENT or (name == b"x-forwarded-host" and self._is_name(value, scope))

    def _is_name(self, value: bytes, scope: Scope) -> bool:
        return self.names.has(value.decode("latin-1").partition(",")[0], scope)

    def _is_own(self, origin: str, headers: Headers) -> bool:
        place = origin.partition("://")[2].lower()
        asked = {headers["host"].lower(), headers.get("x-forwarded-host", "").partition(",")[0].strip().lower()}
        return bool(place) and (place in asked or (bool(self.names.public) and bare(place) == self.names.public))


def _other_name(hosts: list[str]) -> str:
    if len(hosts) != 1:
        return "The request names no host, or several; send one Host header."
    name = bare(hosts[0])
    if name is None:
        return "The Host header is not a host name; send one such as news.example:7860."
    return f"This server does not answer to the name {cut(name)}; to allow it, start it with --allowed-host " + (
        name if len(name) <= 100 else "NAME"
    )
