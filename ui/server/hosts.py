"""Which host names a server answers to, and which web pages may send it requests."""

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
CLIENT_HEADERS = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
"""Headers in which a proxy describes its client; trusted only if a proxy is expected."""
PROXY_HEADERS = CLIENT_HEADERS | {b"x-forwarded-host", b"x-gradio-server", b"forwarded"}


@dataclass(frozen=True, slots=True)
class HostNames:
    """The host names that a server accepts.

    `host` is the address that it listens on, `root` the path or whole URL under which a proxy serves it (empty without
    a proxy), `allowed` further names.
    """

    host: str = "127.0.0.1"
    root: str = ""
    allowed: tuple[str, ...] = ()
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Collect the names that are the same for every request."""
        own = [socket.gethostname()] if self.host in EVERY_ADDRESS else [self.host]
        names = (*LOCAL_NAMES, *own, *filter(None, [self.public]), *self.allowed)
        object.__setattr__(self, "_known", frozenset(filter(None, map(normalized_host, names))))

    @property
    def public(self) -> str:
        """The host name in `root`, if that is a whole URL."""
        return urlsplit(self.root).hostname or ""

    def accepts(self, host: str, scope: Scope) -> bool:
        """Whether `host`, as a header spells it, is a name of the server that this request reached."""
        name = normalized_host(host)
        if name is None:
            return False
        local = (scope.get("server") or ("",))[0]
        return name in self._known or (self.host in EVERY_ADDRESS and name == normalized_host(local or ""))


def normalized_host(host: str) -> str | None:
    """A host without its port, in lower case, without final dot or brackets; None if it is not a host."""
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
    """The normalized name given as --allowed-host. Raises ConfigError if it is not a host name or address."""
    name = normalized_host(given)
    if not name or name in EVERY_ADDRESS:
        raise ConfigError(
            f"--allowed-host {cut(given)!r} is not a host name; give one such as news.example or 192.0.2.7"
        )
    return name


@dataclass(frozen=True, slots=True)
class HostCheck:
    """ASGI middleware that rejects requests for other host names and requests from pages of other sites.

    Another site could point its own name at this address and read the responses (DNS rebinding). Gradio lets any site
    read its responses with the user's cookies unless the request names this machine. Headers of proxies are passed on
    only if `names.root` says that there is one.
    """

    app: ASGIApp
    names: HostNames = HostNames()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests for this server that come from its own page or from no page."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1 or not self.names.accepts(hosts[0], scope):
            await PlainTextResponse(_wrong_host(hosts), 400)(scope, receive, send)
            return
        scope = {**scope, "headers": [header for header in scope["headers"] if self._is_trusted(header, scope)]}
        headers = Headers(scope=scope)
        if not all(self._is_own_origin(origin, headers) for origin in headers.getlist("origin")):
            text = "Pages of other sites may not send requests. If this is the page's own address, start pullquote "
            await PlainTextResponse(f"{text}chat with it as --root-path.", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_trusted(self, header: tuple[bytes, bytes], scope: Scope) -> bool:
        name, value = header
        if name not in PROXY_HEADERS:
            return True
        if not self.names.root:
            return False
        return name in CLIENT_HEADERS or (name == b"x-forwarded-host" and self._is_own_host(value, scope))

    def _is_own_host(self, value: bytes, scope: Scope) -> bool:
        return self.names.accepts(value.decode("latin-1").partition(",")[0], scope)

    def _is_own_origin(self, origin: str, headers: Headers) -> bool:
        site = origin.partition("://")[2].lower()
        requested = {headers["host"].lower(), headers.get("x-forwarded-host", "").partition(",")[0].strip().lower()}
        return bool(site) and (
            site in requested or (bool(self.names.public) and normalized_host(site) == self.names.public)
        )


def _wrong_host(hosts: list[str]) -> str:
    if len(hosts) != 1:
        return "The request has no Host header or several; send one."
    name = normalized_host(hosts[0])
    if name is None:
        return "The Host header is not a host name; send one such as news.example:7860."
    return f"This server does not answer to the name {cut(name)}; to allow it, start it with --allowed-host " + (
        name if len(name) <= 100 else "NAME"
    )
