"""Serves a Gradio page with uvicorn, under a policy that lets it talk to no other host.

`Blocks.launch` is not used: it calls its own address through the configured proxy, tests the port on 127.0.0.1
whichever host it listens on, and cannot add headers.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from gradio.routes import App as GradioApp
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import AddressError, PullquoteError, cut
from ui.html.templating import render
from ui.server.accounts import Accounts
from ui.server.gate import Gate
from ui.server.hosts import EVERY_ADDRESS, HostCheck, HostNames
from ui.server.sessions import Sessions, TrackOpenSessions

SANS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "Consolas", "Liberation Mono", "monospace")
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
"""Nothing is loaded from or sent to another host. Gradio needs inline scripts, and eval for its templates."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='6' fill='%238f1d21'/%3E%3Cpath fill='%23fbf8f1' "
    "d='M7 18c0-5 2-8 6-10l1 2c-2 1-3 3-3 5h3v7H7zm11 0c0-5 2-8 6-10l1 2c-2 1-3 3-3 5h3v7h-7z'/%3E%3C/svg%3E"
)
QUEUE_SIZE = 200
"""Events that may wait; further ones get the message that the queue is full."""
STATUS_UPDATE_SECONDS = 2
"""Time between updates of the place in the queue; by default Gradio sends them to all whenever an event starts."""
UPLOAD_CLEANUP = (3600, 86_400)
"""Seconds between searches for old uploads, and the age to delete them at. Indexed files were copied before."""
BAD_REQUEST_ERRORS = (FnIndexInferError, TypeError, ValueError, KeyError, AttributeError, IndexError)
"""Raised by Gradio's routes for invalid requests. Events run in its queue, not in its routes."""


@dataclass(frozen=True, slots=True)
class Site:
    """A page, and optionally MCP `tools` at their own path.

    `healthy` raises a PullquoteError if the page cannot answer. `load` loads, while the page is served, what takes a
    while; a PullquoteError that it raises ends the service.
    """

    page: gr.Blocks
    healthy: Callable[[], object] = tuple
    tools: Starlette | None = None
    load: Callable[[], object] = tuple


@dataclass(frozen=True, slots=True)
class Service:
    """Where a site is served, and who may use it.

    `root` is the path or whole URL under which a proxy serves it; `megabytes` the largest size of an uploaded file (0
    forbids uploads), `queue_size` the number of events that may wait. Without `accounts` nobody has to log in.
    `allowed_hosts` are host names accepted besides its own.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    root: str = ""
    megabytes: int = 0
    queue_size: int = QUEUE_SIZE
    accounts: Accounts | None = None
    allowed_hosts: tuple[str, ...] = ()

    @property
    def names(self) -> HostNames:
        """The host names that it accepts."""
        return HostNames(self.host, self.root, self.allowed_hosts)


def asgi_app(site: Site, service: Service = Service()) -> FastAPI:
    """The site as an ASGI application with all its middleware."""
    tools, sessions = site.tools, Sessions(site.page)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with sessions.expiring(), tools.router.lifespan_context(tools) if tools else nullcontext():
            yield

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    app.add_middleware(TrackOpenSessions, sessions)
    app.add_api_route("/healthz", partial(_health, site.healthy))
    if tools:
        app.router.routes.extend(Route(route.path, tools) for route in tools.routes if isinstance(route, Route))
    page = _mount(app, site.page, service)
    app.router.routes.insert(0, Route("/logout", partial(_log_out, page), methods=["POST"]))
    app.add_middleware(
        Gate, page=page, accounts=service.accounts, megabytes=service.megabytes, proxied=bool(service.root)
    )
    app.add_middleware(HostCheck, service.names)
    app.add_middleware(SecurityHeaders)
    return app


def _mount(app: FastAPI, page: gr.Blocks, service: Service) -> GradioApp:
    """Mount the page; returns Gradio's application for it."""
    page.queue(status_update_rate=STATUS_UPDATE_SECONDS, max_size=service.queue_size, api_open=False)
    page.delete_cache = UPLOAD_CLEANUP
    gr.mount_gradio_app(
        app,
        page,
        "/",
        theme=theme(),
        head=render("page.html", "head", ICON),
        auth=service.accounts.check if service.accounts else None,
        auth_message=render("page.html", "login"),
        root_path=service.root or None,
        footer_links=[],
        run_history=False,
        max_file_size=service.megabytes * 1_000_000 or 1,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
    )
    # Only for pages that it launched does Gradio check that a file in an event was uploaded.
    page.has_launched = True
    mounted = mounted_pages(app)[0]
    mounted.add_exception_handler(RequestValidationError, _validation_error)
    for kind in BAD_REQUEST_ERRORS:
        mounted.add_exception_handler(kind, _bad_request)
    return mounted


def mounted_pages(app: FastAPI) -> list[GradioApp]:
    """Gradio's applications that are mounted in this one."""
    mounted = (route.app for route in app.routes if isinstance(route, Mount))
    return [page for page in mounted if isinstance(page, GradioApp)]


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    """A shorter response than FastAPI's, which would repeat the whole request."""
    errors = error.errors()[:10] if isinstance(error, RequestValidationError) else []
    detail = [{"loc": [cut(part) for part in e["loc"]], "msg": cut(e["msg"])} for e in errors]
    return JSONResponse({"detail": detail}, 422)


async def _bad_request(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"Invalid request ({cut(error)})."}, 400)


async def _log_out(page: GradioApp, request: Request) -> RedirectResponse:
    """Log an account out in all browsers. Only by POST, so that no link or image can do it."""
    names = f"access-token-{page.cookie_id}", f"access-token-unsecure-{page.cookie_id}"
    user = next((user for name in names if (user := page.tokens.get(request.cookies.get(name)))), None)
    for token in [token for token, owner in page.tokens.items() if owner == user]:
        del page.tokens[token]
    response = RedirectResponse("./", 303)
    response.delete_cookie(names[0], secure=True, httponly=True, samesite="none")
    response.delete_cookie(names[1], httponly=True)
    return response


def _health(healthy: Callable[[], object]) -> JSONResponse:
    """The health check; it gives no reason, since anybody may call it."""
    try:
        healthy()
    except PullquoteError:
        return JSONResponse({"status": "unavailable"}, status_code=503)
    return JSONResponse({"status": "ok"})


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """ASGI middleware that adds security headers; unlike Starlette's base class it does not buffer streams."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass every request on, and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["Referrer-Policy"] = "same-origin"  # without a referrer forms have no origin
            await send(message)

        await self.app(scope, receive, send_with_headers)


def theme() -> gr.themes.Base:
    """Dark text on a paper colour, one accent, system fonts; `style.css` builds on these colours."""
    return gr.themes.Base(
        font=SANS,
        font_mono=MONO,
        radius_size=gr.themes.sizes.radius_none,
    ).set(
        body_background_fill="#fbf8f1",
        body_background_fill_dark="#171512",
        body_text_color="#1f1b16",
        body_text_color_dark="#ece5d8",
        body_text_color_subdued="#665d50",
        body_text_color_subdued_dark="#a89e8f",
        border_color_primary="#d9d0bf",
        border_color_primary_dark="#3b352c",
        background_fill_primary="#fffdf8",
        background_fill_primary_dark="#1f1c18",
        background_fill_secondary="#f3eddf",
        background_fill_secondary_dark="#26221d",
        color_accent="#8f1d21",
        link_text_color="#8f1d21",
        link_text_color_dark="#f0958c",
        input_background_fill="#fbf8f1",
        input_background_fill_dark="#171512",
        input_border_width="1px",
        input_border_color="#d9d0bf",
        input_border_color_dark="#3b352c",
        button_primary_background_fill="#8f1d21",
        button_primary_background_fill_dark="#f0958c",
        button_primary_background_fill_hover="#a5272c",
        button_primary_background_fill_hover_dark="#f5aca5",
        button_primary_border_color="#8f1d21",
        button_primary_border_color_dark="#f0958c",
        button_primary_text_color="#fffdf8",
        button_primary_text_color_dark="#2a0f0d",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#f3eddf",
        button_secondary_background_fill_hover_dark="#26221d",
        button_border_width="1px",
        button_secondary_border_color="#a89e8f",
        button_secondary_border_color_dark="#665d50",
    )


def serve(
    build: Callable[[], Site], service: Service = Service(), ready: Callable[[str], object] | None = None
) -> None:
    """Serve a site until interrupted; `ready` is called with its URL.

    Raises AddressError before it is built, and later what its `load` raises.
    """
    with listen(service.host, service.port) as listener:
        site = build()
        server = Server(asgi_app(site, service), site.load)
        if ready:
            ready(address(listener))
        with suppress(KeyboardInterrupt):  # uvicorn has shut down by then; Ctrl-C is the way to stop
            server.run(sockets=[listener])
        if server.failure:
            raise server.failure


class Server(uvicorn.Server):
    """A server that closes the streams of open pages when it stops, instead of waiting for them.

    It calls `load` in a thread of its own when it listens, and stops if that fails, with the error as its `failure`.
    """

    def __init__(self, app: FastAPI, load: Callable[[], object] = tuple) -> None:
        quiet = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, proxy_headers=False)
        super().__init__(quiet)
        self._pages = mounted_pages(app)
        self._load = load
        self.failure: PullquoteError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then to load."""
        await super().startup(sockets)
        # A daemon: nobody who stops the server waits for it.
        threading.Thread(target=self._loaded, name="load", daemon=True).start()

    def _loaded(self) -> None:
        try:
            self._load()
        except PullquoteError as error:
            self.failure, self.should_exit = error, True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the streams, then shut down."""
        for page in self._pages:
            page.stop_event.set()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port in use is reported before the model is loaded."""
    try:
        if not 0 <= port < 2**16:
            # create_server would raise another type of error and leave a socket open.
            raise OSError("ports go from 0 to 65535")
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise AddressError(f"cannot serve on {cut(host)}, port {port} ({error}); give another --port") from error


def address(listener: socket.socket) -> str:
    """The URL at which a browser reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in EVERY_ADDRESS:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_own(host: str) -> bool:
    """Whether this address can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
