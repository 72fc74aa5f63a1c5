"""The gate before the page: its routes, who may use each, and how much of a request is read.

Every other route of Gradio's answers 404. A body is read only after the sender is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.content.types import MEGABYTE
from ui.server import request_bodies
from ui.server.accounts import Accounts
from ui.server.ownership import (
    LONGEST_ID,
    MOST_EVENTS,
    MOST_UPLOADS,
    OwnedIds,
    SessionOwners,
    names_address,
    parts_of,
    path_in,
    paths_in,
)
from ui.server.request_bodies import (
    BodyReader,
    Refused,
    UploadCheck,
    empty_body,
    parse_json,
    replayed,
    too_large,
    without_compression,
)
from ui.server.sessions import busy_sessions, forget
from ui.server.throttle import Throttle

MOST_UPLOADING = 4
"""Concurrent uploads."""
MOST_LOGINS = 50
"""Concurrent logins of an account."""


class Access(Enum):
    """Who may use a route."""

    PUBLIC = "anybody"
    ACCOUNT = "logged in"
    BASIC_AUTH = "name and password in the request"


class Body(Enum):
    """The kind of body that a route reads, with its largest size in bytes."""

    NONE = 0
    FORM = request_bodies.LONGEST_FORM
    JSON = request_bodies.LONGEST_JSON
    FILES = request_bodies.LARGEST_UPLOAD


@dataclass(frozen=True, slots=True)
class Route:
    """A route that is served. Groups in its pattern name the session, event, endpoint or file."""

    methods: str
    path: str
    access: Access = Access.ACCOUNT
    body: Body = Body.NONE


ROUTES = (
    Route("GET HEAD", "/", Access.PUBLIC),
    Route("GET HEAD", "/healthz", Access.PUBLIC),
    Route("GET", "/(?:assets|static|svelte)/[^\0]+", Access.PUBLIC),
    Route("GET", "(?:/gradio_api)?/theme.css", Access.PUBLIC),
    Route("GET", "/(?:robots.txt|favicon.ico)", Access.PUBLIC),
    Route("GET", "/gradio_api/(?:user|login_check|app_id)/?", Access.PUBLIC),
    Route("POST", "/login/?", Access.PUBLIC, Body.FORM),
    Route("POST", "/logout", Access.PUBLIC),
    Route("GET", "/config/?"),
    Route("GET", "/gradio_api/(?:info/?|openapi.json)"),
    Route("GET", "/gradio_api/heartbeat/(?P<session>[^/]+)"),
    Route("POST", "/gradio_api/queue/join", body=Body.JSON),
    Route("GET", "/gradio_api/queue/data"),
    Route("GET", "/gradio_api/queue/status"),
    Route("POST", "/gradio_api/call/(?:v2/)?(?P<api>[^/]+)/?", body=Body.JSON),
    Route("GET", "/gradio_api/call/(?:v2/)?(?P<api>[^/]+)/(?P<event>[^/]+)"),
    Route("POST", "/gradio_api/cancel", body=Body.JSON),
    Route("POST", "/gradio_api/reset/?", body=Body.JSON),
    Route("POST", "/gradio_api/upload", body=Body.FILES),
    Route("GET", "/gradio_api/upload_progress"),
    Route("GET HEAD", "/gradio_api/file=(?P<file>.+)"),
    Route("GET POST DELETE", "/mcp", Access.BASIC_AUTH, Body.JSON),
)
"""All routes that are served. `/run` and `/api` are not: they would bypass the queue and its limits."""
PATTERNS = {route: re.compile(route.path, re.DOTALL) for route in ROUTES}


@dataclass(frozen=True, slots=True)
class Gate:
    """ASGI middleware before `page`, a Gradio application.

    `megabytes` is the largest size of an uploaded file; 0 forbids uploads. `proxied` trusts X-Forwarded-For. Sessions,
    events and uploads belong to the account that created them; without `accounts` their ids are enough to use them.
    """

    app: ASGIApp
    page: Any
    accounts: Accounts | None = None
    megabytes: int = 0
    proxied: bool = False
    throttle: Throttle = field(default_factory=Throttle)
    _bodies: BodyReader = field(default_factory=BodyReader)
    _uploading: list[str] = field(default_factory=list)
    _events: OwnedIds = field(default_factory=lambda: OwnedIds(MOST_EVENTS))
    _uploads: OwnedIds = field(default_factory=lambda: OwnedIds(MOST_UPLOADS))
    _sessions: SessionOwners = field(init=False)

    def __post_init__(self) -> None:
        """Sessions that are dropped lose their state in Gradio as well."""
        object.__setattr__(self, "_sessions", SessionOwners(self._forget))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with the reason for rejecting it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await PlainTextResponse("Not found.", 404)(scope, receive, send)
        else:
            try:
                await self._handle(Request(scope, receive), send)
            except Refused as refused:
                await refused.response(scope, receive, send)
            except ClientDisconnect:
                return  # nobody is left to answer

    async def _handle(self, request: Request, send: Send) -> None:
        account = self._account(request)
        found = _route(request.method, request.scope["path"])
        if self.accounts and not account and (found is None or found[0].access is Access.ACCOUNT):
            raise Refused(401, "Log in first.")
        if found is None:
            raise Refused(404, "Not found.")
        route, named = found
        if route.access is Access.BASIC_AUTH:
            await self._authenticate(request)
        most = route.body.value or request_bodies.LONGEST_IGNORED
        if int(request.headers.get("content-length", 0)) > most:  # the server has checked that it is a number
            raise too_large(most)
        self._check_owner(account, request, named)
        if route.body is Body.FILES:
            await self._upload(account, request, send)
        elif route.body is Body.FORM:
            await self._log_in(request, send)
        elif route.body is Body.JSON and request.method == "POST":
            await self._json(account, route, request, send)
        else:
            await self.app(request.scope, empty_body(request.receive), send)

    # Authentication

    def _account(self, request: Request) -> str:
        """The account that is logged in; empty if none is."""
        cookies = f"access-token-{self.page.cookie_id}", f"access-token-unsecure-{self.page.cookie_id}"
        token = request.cookies.get(cookies[0]) or request.cookies.get(cookies[1])
        user = self.page.tokens.get(token)
        return user if isinstance(user, str) else ""

    async def _authenticate(self, request: Request) -> None:
        """Raises Refused unless the request has the name and password of an account."""
        if not self.accounts:
            return
        credentials = self.accounts.credentials_in(request.headers.get("authorization", ""))
        right = False
        if credentials:
            address = self._begin_attempt(request, credentials[0])
            try:
                right = await self.accounts.check(*credentials)
            finally:
                self.throttle.end(credentials[0], address, right=right)
        if not right:
            challenge = 'Basic realm="Pullquote", charset="UTF-8"'
            raise Refused(401, "Give the name and password of an account.", WWW_Authenticate=challenge)

    async def _log_in(self, request: Request, send: Send) -> None:
        if not self.accounts:
            raise Refused(404, "This page has no accounts.")
        async with self._bodies.read(request, Body.FORM.value) as body:
            name = await request_bodies.login_name(request.scope, body)
            address, right = self._begin_attempt(request, name), False

            async def watched(message: Message) -> None:
                nonlocal right
                right = right or (message["type"] == "http.response.start" and message["status"] == 200)
                await send(message)

            try:
                await self.app(request.scope, replayed(body, request.receive), watched)
            finally:
                self.throttle.end(name, address, right=right)
        tokens = [token for token, user in self.page.tokens.items() if user == name] if right else []
        for token in tokens[:-MOST_LOGINS]:
            del self.page.tokens[token]

    def _begin_attempt(self, request: Request, name: str) -> str:
        """The address of a login attempt, which is counted. Raises Refused if there were too many."""
        address = request.client.host if request.client else ""
        forwarded = request.headers.getlist("x-forwarded-for") if self.proxied else []
        if forwarded:  # the last one is the address that the proxy itself saw
            address = forwarded[-1].rpartition(",")[2].strip()
        wait = self.throttle.begin(name, address)
        if wait:
            raise Refused(429, f"Too many login attempts; try again in {wait} seconds.", Retry_After=str(wait))
        return address

    # Ownership

    def _check_owner(self, account: str, request: Request, named: dict[str, str]) -> None:
        """Raises Refused for a session, event or file that does not exist or is not the account's."""
        query = request.query_params
        for session in [*query.getlist("session_hash"), *filter(None, [named.get("session")])]:
            self._claim(account, session)
        if not all(re.fullmatch(r"[\w-]{1,100}", upload, re.ASCII) for upload in query.getlist("upload_id")):
            raise Refused(400, "An upload_id has 1 to 100 letters, digits and hyphens.")
        path, queue = request.scope["path"], self._queue
        if path.endswith("/upload_progress") and not self.megabytes:
            raise Refused(404, "Not found.")
        if path.endswith("/queue/data") and not any(
            session in queue.pending_messages_per_session for session in query.getlist("session_hash")
        ):
            raise Refused(404, "This session has no waiting events.")
        if "api" in named:
            self._check_api(named["api"])
        if (event := named.get("event")) and not (
            self._is_event(event) and self._is_owned(self._events, account, event)
        ):
            raise Refused(404, "Unknown event.")
        if "file" in named:
            found = path_in(named["file"], self._folder) if "\0" not in named["file"] else ""
            if not found or not self._is_owned(self._uploads, account, found):
                raise Refused(403, "Unknown file.")
        if query.getlist("page") not in ([], [""]) or query.getlist("deep_link") not in ([], [""]):
            raise Refused(404, "Unknown page.")

    def _is_owned(self, ids: OwnedIds, account: str, name: str) -> bool:
        return not self.accounts or ids.has(account, name)

    def _claim(self, account: str, session: str) -> None:
        if not 0 < len(session) <= LONGEST_ID:
            raise Refused(400, f"A session_hash has 1 to {LONGEST_ID} characters.")
        if not self.accounts:
            return
        if self._is_event(session) and not self._events.has(
            account, session
        ):  # an event without a session is its own session
            raise Refused(403, "This session belongs to another account.")
        if not self._sessions.claim(account, session):
            raise Refused(403, "This session belongs to another account, or too many are open.")

    def _check_api(self, name: str) -> None:
        if not any(fn.api_name == name and fn.api_visibility != "private" for fn in self._blocks.fns.values()):
            raise Refused(404, "Unknown endpoint; /gradio_api/info lists them.")

    def _is_event(self, event: str) -> bool:
        waiting = self._queue.pending_event_ids_session.values()
        return event in self._queue.event_ids_to_events or any(event in events for events in waiting)

    def _forget(self, session: str) -> bool:
        """Drop the state of a session in Gradio, unless one of its events is running."""
        if session in busy_sessions(self._blocks):
            return False
        forget(self._blocks, session)
        return True

    @property
    def _blocks(self) -> Any:
        return self.page.get_blocks()

    @property
    def _queue(self) -> Any:
        return self._blocks._queue

    @property
    def _folder(self) -> str:
        return str(self.page.uploaded_file_dir)

    # Bodies

    async def _json(self, account: str, route: Route, request: Request, send: Send) -> None:
        async with self._bodies.read(request, route.body.value) as body:
            if route.access is Access.ACCOUNT:
                self._check_json(account, request.scope["path"], parse_json(body))
                send = self._recording_events(account, send)
            await self.app(without_compression(request.scope), replayed(body, request.receive), send)

    def _check_json(self, account: str, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise Refused(422, "The body is not a JSON object.")
        if isinstance(session := value.get("session_hash"), str) and "/call/v2/" not in path:
            self._claim(account, session)
        if "/cancel" in path and not (
            isinstance(event := value.get("event_id"), str) and self._is_owned(self._events, account, event)
        ):
            raise Refused(404, "Unknown event.")
        if (number := value.get("fn_index")) is not None:
            fn = self._blocks.fns.get(number) if isinstance(number, int) else None
            if not fn or not fn.fn:
                raise Refused(404, "Unknown function.")
        if any(names_address(part) for part in parts_of(value)) or not all(
            self._is_owned(self._uploads, account, found) for found in paths_in(value, self._folder)
        ):
            raise Refused(403, "Unknown file; upload it first.")

    def _recording_events(self, account: str, send: Send) -> Send:
        """Sends a response on, after its event is recorded as the account's."""

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                value = parse_json(message["body"], or_else=None)
                if self.accounts and isinstance(value, dict) and isinstance(event := value.get("event_id"), str):
                    self._events.add(account, event)
            await send(message)

        return recorded

    async def _upload(self, account: str, request: Request, send: Send) -> None:
        if not self.megabytes:
            raise Refused(403, "Uploads are disabled; run pullquote ingest on the server.")
        if len(self._uploading) >= MOST_UPLOADING:
            raise Refused(503, "Too many uploads at a time; try again later.", Retry_After="5")
        check = UploadCheck(request.headers.get("content-type", ""), self.megabytes * MEGABYTE)
        chunks: list[bytes] = []

        async def recorded(message: Message) -> None:
            chunks.append(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                paths = parse_json(b"".join(chunks), or_else=None)
                for path in paths if isinstance(paths, list) else []:
                    self._uploads.add(account, path_in(str(path), self._folder))
            await send(message)

        self._uploading.append(account)
        try:
            await self.app(without_compression(request.scope), check.checked(request.receive), recorded)
        finally:
            self._uploading.remove(account)


def _route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the names in its path, or None. Raises Refused for a method it does not allow."""
    found = [(route, match) for route, pattern in PATTERNS.items() if (match := pattern.fullmatch(path))]
    for route, match in found:
        if method in route.methods.split():
            return route, {name: value for name, value in match.groupdict().items() if value}
    if found:
        allowed = ", ".join(route.methods.replace(" ", ", ") for route, _ in found)
        raise Refused(405, "This method is not allowed.", Allow=allowed)
    return None
