"""Which requests reach the page: its routes, who may use each, and how much of a request is read.

Everything else that Gradio serves answers 404. Nothing of a request's body is read before it is known who sends it.
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
    Belongings,
    SessionOwners,
    names_address,
    parts_of,
    path_in,
    paths_in,
)
from ui.server.request_bodies import Bodies, Parts, Refused, again, parsed, too_large, uncompressed, without_body
from ui.server.sessions import busy_sessions, forget
from ui.server.throttle import Throttle

MOST_UPLOADING = 4
"""Uploads under way at once."""
MOST_LOGINS = 50
"""Browsers in which one account is logged in."""


class Who(Enum):
    """Who may use a route."""

    ANYBODY = "anybody"
    KNOWN = "those who are logged in"
    PROGRAMS = "those who give a name and password with the request"


class Body(Enum):
    """What a route reads."""

    NONE = 0
    FORM = request_bodies.LONGEST_FORM
    JSON = request_bodies.LONGEST_JSON
    FILES = request_bodies.LARGEST_UPLOAD


@dataclass(frozen=True, slots=True)
class Way:
    """A route that is served. Groups of its pattern are the session, event or path that it names."""

    methods: str
    path: str
    who: Who = Who.KNOWN
    body: Body = Body.NONE


WAYS = (
    Way("GET HEAD", "/", Who.ANYBODY),
    Way("GET HEAD", "/healthz", Who.ANYBODY),
    Way("GET", "/(?:assets|static|svelte)/[^\0]+", Who.ANYBODY),
    Way("GET", "(?:/gradio_api)?/theme.css", Who.ANYBODY),
    Way("GET", "/(?:robots.txt|favicon.ico)", Who.ANYBODY),
    Way("GET", "/gradio_api/(?:user|login_check|app_id)/?", Who.ANYBODY),
    Way("POST", "/login/?", Who.ANYBODY, Body.FORM),
    Way("POST", "/logout", Who.ANYBODY),
    Way("GET", "/config/?"),
    Way("GET", "/gradio_api/(?:info/?|openapi.json)"),
    Way("GET", "/gradio_api/heartbeat/(?P<session>[^/]+)"),
    Way("POST", "/gradio_api/queue/join", body=Body.JSON),
    Way("GET", "/gradio_api/queue/data"),
    Way("GET", "/gradio_api/queue/status"),
    Way("POST", "/gradio_api/call/(?:v2/)?(?P<api>[^/]+)/?", body=Body.JSON),
    Way("GET", "/gradio_api/call/(?:v2/)?(?P<api>[^/]+)/(?P<event>[^/]+)"),
    Way("POST", "/gradio_api/cancel", body=Body.JSON),
    Way("POST", "/gradio_api/reset/?", body=Body.JSON),
    Way("POST", "/gradio_api/upload", body=Body.FILES),
    Way("GET", "/gradio_api/upload_progress"),
    Way("GET HEAD", "/gradio_api/file=(?P<file>.+)"),
    Way("GET POST DELETE", "/mcp", Who.PROGRAMS, Body.JSON),
)
"""All that is served. `/run` and `/api` are not: they would get past the queue and its limits."""
PATTERNS = {way: re.compile(way.path, re.DOTALL) for way in WAYS}


@dataclass(frozen=True, slots=True)
class Gate:
    """ASGI middleware before `page`, an application of Gradio's.

    `megabytes` is how large a file may be that is uploaded; without them none may be. `proxied` if a proxy is expected,
    whose X-Forwarded-For is then believed. Sessions, events and uploads belong to the account that made them; without
    `accounts` whoever knows their ids may use them.
    """

    app: ASGIApp
    page: Any
    accounts: Accounts | None = None
    megabytes: int = 0
    proxied: bool = False
    throttle: Throttle = field(default_factory=Throttle)
    _bodies: Bodies = field(default_factory=Bodies)
    _uploading: list[str] = field(default_factory=list)
    _events: Belongings = field(default_factory=lambda: Belongings(MOST_EVENTS))
    _uploads: Belongings = field(default_factory=lambda: Belongings(MOST_UPLOADS))
    _sessions: SessionOwners = field(init=False)

    def __post_init__(self) -> None:
        """Sessions that make room lose their state in Gradio as well."""
        object.__setattr__(self, "_sessions", SessionOwners(self._forget))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await PlainTextResponse("Not found.", 404)(scope, receive, send)
        else:
            try:
                await self._passed_on(Request(scope, receive), send)
            except Refused as refused:
                await refused.answer(scope, receive, send)
            except ClientDisconnect:
                return  # nobody is left to be answered

    async def _passed_on(self, request: Request, send: Send) -> None:
        account = self._account(request)
        found = _way(request.method, request.scope["path"])
        if self.accounts and not account and (found is None or found[0].who is Who.KNOWN):
            raise Refused(401, "Log in first.")
        if found is None:
            raise Refused(404, "Not found.")
        way, named = found
        if way.who is Who.PROGRAMS:
            await self._program(request)
        most = way.body.value or request_bodies.LONGEST_DROPPED
        if int(request.headers.get("content-length", 0)) > most:  # which the server has seen to be a number
            raise too_large(most)
        self._check(account, request, named)
        if way.body is Body.FILES:
            await self._upload(account, request, send)
        elif way.body is Body.FORM:
            await self._log_in(request, send)
        elif way.body is Body.JSON and request.method == "POST":
            await self._json(account, way, request, send)
        else:
            await self.app(request.scope, without_body(request.receive), send)

    # Who asks

    def _account(self, request: Request) -> str:
        """Who is logged in; empty if nobody is."""
        name = f"access-token-{self.page.cookie_id}", f"access-token-unsecure-{self.page.cookie_id}"
        token = request.cookies.get(name[0]) or request.cookies.get(name[1])
        user = self.page.tokens.get(token)
        return user if isinstance(user, str) else ""

    async def _program(self, request: Request) -> None:
        """Raises Refused unless the request has an account's name and password."""
        if not self.accounts:
            return
        given = self.accounts.named_in(request.headers.get("authorization", ""))
        right = False
        if given:
            address = self._begin(request, given[0])
            try:
                right = await self.accounts.check(*given)
            finally:
                self.throttle.end(given[0], address, right=right)
        if not right:
            challenge = 'Basic realm="Pullquote", charset="UTF-8"'
            raise Refused(401, "Give the name and password of an account.", WWW_Authenticate=challenge)

    async def _log_in(self, request: Request, send: Send) -> None:
        if not self.accounts:
            raise Refused(404, "There are no accounts here.")
        async with self._bodies.whole(request, Body.FORM.value) as body:
            name = await request_bodies.name_in(request.scope, body)
            address, right = self._begin(request, name), False

            async def seen(message: Message) -> None:
                nonlocal right
                right = right or (message["type"] == "http.response.start" and message["status"] == 200)
                await send(message)

            try:
                await self.app(request.scope, again(body, request.receive), seen)
            finally:
                self.throttle.end(name, address, right=right)
        own = [token for token, user in self.page.tokens.items() if user == name] if right else []
        for token in own[:-MOST_LOGINS]:
            del self.page.tokens[token]

    def _begin(self, request: Request, name: str) -> str:
        """The address of an attempt to log in, which is counted. Raises Refused if there were too many."""
        address = request.client.host if request.client else ""
        forwarded = request.headers.getlist("x-forwarded-for") if self.proxied else []
        if forwarded:  # the last one is what the proxy itself has seen
            address = forwarded[-1].rpartition(",")[2].strip()
        wait = self.throttle.begin(name, address)
        if wait:
            raise Refused(429, f"Too many attempts to log in; try again in {wait} seconds.", Retry_After=str(wait))
        return address

    # What belongs to whom

    def _check(self, account: str, request: Request, named: dict[str, str]) -> None:
        """Raises Refused for a session, event or file that is not the account's, or that is not there."""
        query = request.query_params
        for session in [*query.getlist("session_hash"), *filter(None, [named.get("session")])]:
            self._claim(account, session)
        if not all(re.fullmatch(r"[\w-]{1,100}", upload, re.ASCII) for upload in query.getlist("upload_id")):
            raise Refused(400, "An upload_id has up to 100 letters, digits and hyphens.")
        path, queue = request.scope["path"], self._queue
        if path.endswith("/upload_progress") and not self.megabytes:
            raise Refused(404, "Not found.")
        if path.endswith("/queue/data") and not any(
            session in queue.pending_messages_per_session for session in query.getlist("session_hash")
        ):
            raise Refused(404, "No events of this session are waiting.")
        if "api" in named:
            self._check_api(named["api"])
        if (event := named.get("event")) and not (self._is_event(event) and self._owns(self._events, account, event)):
            raise Refused(404, "There is no such event.")
        if "file" in named:
            found = path_in(named["file"], self._folder) if "\0" not in named["file"] else ""
            if not found or not self._owns(self._uploads, account, found):
                raise Refused(403, "There is no such file.")
        if query.getlist("page") not in ([], [""]) or query.getlist("deep_link") not in ([], [""]):
            raise Refused(404, "There is no such page.")

    def _owns(self, belongings: Belongings, account: str, name: str) -> bool:
        return not self.accounts or belongings.has(account, name)

    def _claim(self, account: str, session: str) -> None:
        if not 0 < len(session) <= LONGEST_ID:
            raise Refused(400, f"A session_hash has 1 to {LONGEST_ID} characters.")
        if not self.accounts:
            return
        if self._is_event(session) and not self._events.has(account, session):  # which is its own session
            raise Refused(403, "This session is another account's.")
        if not self._sessions.claim(account, session):
            raise Refused(403, "This session is another account's, or too many are open.")

    def _check_api(self, name: str) -> None:
        if not any(fn.api_name == name and fn.api_visibility != "private" for fn in self._blocks.fns.values()):
            raise Refused(404, "There is no endpoint of this name; /gradio_api/info lists them.")

    def _is_event(self, event: str) -> bool:
        waiting = self._queue.pending_event_ids_session.values()
        return event in self._queue.event_ids_to_events or any(event in events for events in waiting)

    def _forget(self, session: str) -> bool:
        """Drop what Gradio keeps of a session, unless an event of it is under way."""
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

    # What is read

    async def _json(self, account: str, way: Way, request: Request, send: Send) -> None:
        async with self._bodies.whole(request, way.body.value) as body:
            if way.who is Who.KNOWN:
                self._check_json(account, request.scope["path"], parsed(body))
                send = self._noting_events(account, send)
            await self.app(uncompressed(request.scope), again(body, request.receive), send)

    def _check_json(self, account: str, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise Refused(422, "The body is not a JSON object.")
        if isinstance(session := value.get("session_hash"), str) and "/call/v2/" not in path:
            self._claim(account, session)
        if "/cancel" in path and not (
            isinstance(event := value.get("event_id"), str) and self._owns(self._events, account, event)
        ):
            raise Refused(404, "There is no such event.")
        if (number := value.get("fn_index")) is not None:
            fn = self._blocks.fns.get(number) if isinstance(number, int) else None
            if not fn or not fn.fn:
                raise Refused(404, "There is no such function.")
        if any(names_address(one) for one in parts_of(value)) or not all(
            self._owns(self._uploads, account, found) for found in paths_in(value, self._folder)
        ):
            raise Refused(403, "There is no such file; upload it first.")

    def _noting_events(self, account: str, send: Send) -> Send:
        """Sends an answer on, after an event that it names is noted as the account's."""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                told = parsed(message["body"], or_else=None)
                if self.accounts and isinstance(told, dict) and isinstance(event := told.get("event_id"), str):
                    self._events.add(account, event)
            await send(message)

        return noted

    async def _upload(self, account: str, request: Request, send: Send) -> None:
        if not self.megabytes:
            raise Refused(403, "Nothing can be uploaded here; run pullquote ingest on the server.")
        if len(self._uploading) >= MOST_UPLOADING:
            raise Refused(503, "Too many uploads are under way; try again later.", Retry_After="5")
        parts = Parts(request.headers.get("content-type", ""), self.megabytes * MEGABYTE)
        answer: list[bytes] = []

        async def noted(message: Message) -> None:
            answer.append(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                told = parsed(b"".join(answer), or_else=None)
                for path in told if isinstance(told, list) else []:
                    self._uploads.add(account, path_in(str(path), self._folder))
            await send(message)

        self._uploading.append(account)
        try:
            await self.app(uncompressed(request.scope), parts.checked(request.receive), noted)
        finally:
            self._uploading.remove(account)


def _way(method: str, path: str) -> tuple[Way, dict[str, str]] | None:
    """The route of a request, and what its path names. Raises Refused for another method than the route's."""
    found = [(way, match) for way, pattern in PATTERNS.items() if (match := pattern.fullmatch(path))]
    for way, match in found:
        if method in way.methods.split():
            return way, {name: value for name, value in match.groupdict().items() if value}
    if found:
        raise Refused(405, "Not with this method.", Allow=", ".join(way.methods.replace(" ", ", ") for way, _ in found))
    return None
