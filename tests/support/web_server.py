"""A real HTTP server on loopback that answers as a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = Callable[[BaseHTTPRequestHandler], None]
Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body; the length of the body is added to the headers."""


@dataclass(frozen=True)
class Asked:
    """One request: its path with the query, its headers by their names in lower case, the port it came from."""

    path: str
    headers: Mapping[str, str]
    port: int


@dataclass
class Site:
    """A running server: its address without a slash at its end, and what it was asked, in order."""

    url: str
    requests: list[Asked] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.requests]


@contextmanager
def serving(routes: Mapping[str, Answer | Handler], tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A server on a free port. `routes` may be changed while it runs; any other path is answered with 404.

    A handler gets the request's handler of the standard library, and writes to its `wfile` what it likes.
    """
    with _Server(("127.0.0.1", 0), _Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        site = Site(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
        server.site, server.routes = site, routes
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join(timeout=20)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site
    routes: Mapping[str, Answer | Handler]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.site.requests.append(Asked(self.path, headers, self.client_address[1]))
        route = self.server.routes.get(self.path, (404, {}, b"nothing here"))
        if callable(route):
            route(self)
            self.close_connection = True
            return
        status, answer_headers, body = route
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **answer_headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base class calls it so
        pass
