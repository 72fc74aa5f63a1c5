"""Which requests reach the page, from whom, and how much of their bodies is read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Message

from rag.chain import Chain
from tests.support.parrot import Parrot
from tests.ui.server.test_app import _no_open_loops, served, tiny_page  # noqa: F401
from ui.page.app import build_app
from ui.server import request_bodies
from ui.server.accounts import Accounts
from ui.server.app import Service, Site, asgi_app, mounted_pages
from ui.server.gate import ROUTES, Access
from ui.server.request_bodies import LONGEST_FORM, LONGEST_IGNORED, LONGEST_JSON, MEGABYTE

PASSWORD = "correct horse"
BOTH = Accounts({name: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) for name in ("ada", "bert")})
HEADERS = {"content-type": "application/json"}
CHUNK = b"x" * 65_536


@dataclass
class Sent:
    """A request as a server hands it to the application; counts what is read of its body."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    body: Iterator[bytes] = field(default_factory=lambda: iter([b""]))
    whole: bool = False
    read: int = 0
    answer: list[Message] = field(default_factory=list)

    async def to(self, app: Any, **scope: Any) -> int:
        """The status that it is answered with."""
        headers = {"host": "127.0.0.1", **self.headers}
        whole = {
            "type": "http",
            "http_version": "1.1",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode("utf-8", "replace"),
            "query_string": self.query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "server": ("127.0.0.1", 7860),
            "client": ("127.0.0.1", 1),
            "state": {},
            **scope,
        }
        async with asyncio.timeout(30):
            await app(whole, self._receive, self._send)
        return int(self.answer[0]["status"])

    async def _receive(self) -> Message:
        try:
            chunk = next(self.body)
        except StopIteration:
            return {"type": "http.request" if self.whole else "http.disconnect", "body": b"", "more_body": False}
        self.read += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def _send(self, message: Message) -> None:
        self.answer.append(message)


def endless(count: int = 7000) -> Iterator[bytes]:
    """A body of 400 MB and more."""
    return (CHUNK for _ in range(count))


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Each method and path, with something in the place of what the path names."""
    for routed in (app, *mounted_pages(app)):
        included = [one.original_router for one in routed.routes if hasattr(one, "original_router")]
        for route in (*routed.routes, *(route for router in included for route in router.routes)):
            if isinstance(route, Route):
                path = route.path
                for name in route.param_convertors:
                    path = path.replace(f"{{{name}:path}}", "x").replace(f"{{{name}}}", "1")
                for method in route.methods or ():
                    yield method, path


OPEN_METHODS = {method for route in ROUTES if route.access is Access.PUBLIC for method in route.methods.split()}


@pytest.fixture(scope="module")
def closed() -> FastAPI:
    """The page for those who have an account, which takes files."""
    return asgi_app(Site(build_app(Parrot())), Service(accounts=BOTH, megabytes=1))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def open_to_all() -> FastAPI:
    """The page for anybody, which takes no files."""
    return asgi_app(Site(build_app(Parrot())))  # type: ignore[arg-type]


def test_no_route_reads_a_body_before_the_login(closed: FastAPI) -> None:
    async def tried() -> None:
        found = {*routes_of(closed), *((method, path) for _, path in routes_of(closed) for method in ("POST", "PUT"))}
        assert len(found) > 80
        for method, path in sorted(found):
            for headers in ({}, {"content-length": str(400 * MEGABYTE)}, {"content-type": "multipart/form-data"}):
                sent = Sent(method, path, {**HEADERS, **headers}, "session_hash=s&upload_id=u", endless())
                status = await sent.to(closed)
                if path.startswith("/login") and method == "POST":
                    assert status in {400, 413}
                    assert sent.read <= LONGEST_FORM + len(CHUNK)
                elif path == "/logout":
                    assert status in {303, 401, 405, 413}
                elif "content-length" in headers and status not in {401, 404, 405}:
                    assert (status, sent.read) == (413, 0), path
                else:
                    assert status in {401, 404, 405} or method in OPEN_METHODS
                    assert status < 500
                if not path.startswith("/login") and status >= 400:
                    assert sent.read == 0, path

    asyncio.run(tried())


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", "/gradio_api/queue/join", LONGEST_JSON),
        ("POST", "/gradio_api/call/ask", LONGEST_JSON),
        ("POST", "/gradio_api/call/v2/ask", LONGEST_JSON),
        ("POST", "/gradio_api/cancel", LONGEST_JSON),
        ("POST", "/gradio_api/reset", LONGEST_JSON),
        ("POST", "/gradio_api/upload", 0),
        ("POST", "/gradio_api/component_server", 0),
        ("POST", "/gradio_api/process_recording", 0),
        ("POST", "/gradio_api/run/ask", 0),
        ("POST", "/gradio_api/vibe-edit", 0),
        ("POST", "/login", 0),
        ("POST", "/", 0),
        ("PUT", "/nowhere", 0),
    ],
)
def test_a_body_is_read_to_its_limit_and_no_further(open_to_all: FastAPI, method: str, path: str, most: int) -> None:
    async def tried() -> None:
        sent = Sent(method, path, HEADERS, body=endless())
        status = await sent.to(open_to_all)
        assert status == 413 if most else status in {403, 404, 405}
        assert sent.read <= most + len(CHUNK)
        announced = Sent(method, path, {**HEADERS, "content-length": str(400 * MEGABYTE)}, body=endless())
        assert await announced.to(open_to_all) in {403, 404, 405, 413}
        assert announced.read == 0

    asyncio.run(tried())


def test_a_body_where_none_is_expected_is_ignored(open_to_all: FastAPI) -> None:
    sent = Sent("GET", "/", {"content-length": str(LONGEST_IGNORED + 1)}, body=endless())
    assert (asyncio.run(sent.to(open_to_all)), sent.read) == (413, 0)


def test_slow_bodies_time_out(open_to_all: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "BODY_TIMEOUT", 0.05)

    async def never(self: Sent) -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(Sent, "_receive", never)
    assert asyncio.run(Sent("POST", "/gradio_api/queue/join", HEADERS).to(open_to_all)) == 408


def test_all_bodies_together_have_a_limit(open_to_all: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "MOST_BUFFERED", MEGABYTE)

    async def tried() -> None:
        sent = Sent("POST", "/gradio_api/queue/join", HEADERS, body=endless())
        assert await sent.to(open_to_all) == 503
        assert sent.read <= 2 * MEGABYTE
        again = Sent("POST", "/gradio_api/queue/join", HEADERS, body=iter([b"{}"]), whole=True)
        assert await again.to(open_to_all) in {400, 422}, "what was read is given back"

    asyncio.run(tried())


@contextmanager
def client(url: str, name: str = "", **more: Any) -> Iterator[httpx.Client]:
    """Somebody's browser, logged in if there is a name."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30, **more) as browser:
        if name:
            told = browser.post("/login", data={"username": name, "password": PASSWORD})
            assert told.status_code == 200
            for cookie in [*browser.cookies.jar]:
                cookie.secure = False
        yield browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page for two, and the folder that uploads come to lie in."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        with served(build_app(Parrot()), Service(accounts=BOTH, megabytes=1)) as url:  # type: ignore[arg-type]
            yield url, folder


def event(browser: httpx.Client, name: str, session: str, *values: Any) -> dict[str, Any]:
    """An event of the page's own, with the values that come first; the others are as they are to begin with."""
    config = browser.get("/config").json()
    held = {part["id"]: part["props"].get("value") for part in config["components"]}
    [found] = [one for one in config["dependencies"] if one["api_name"] == name]
    rest = [held[number] for number in found["inputs"][len(values) :]]
    return {"data": [*values, *rest], "fn_index": found["id"], "session_hash": session}


def ended(browser: httpx.Client, session: str) -> list[dict[str, Any]]:
    """What the events of a session have come to."""
    with browser.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as told:
        assert told.status_code == 200
        lines = [json.loads(line.removeprefix("data: ")) for line in told.iter_lines() if line.startswith("data: ")]
    return [line["output"] for line in lines if line["msg"] == "process_completed"]


def asked(browser: httpx.Client, session: str, question: str) -> str:
    """The chat after a question."""
    body = event(browser, "submitted", session, question)
    assert browser.post("/gradio_api/queue/join", json=body).status_code == 200
    return json.dumps(ended(browser, session)[-1]["data"])


@pytest.mark.slow
def test_a_session_is_private_to_its_account(shared: tuple[str, Path]) -> None:
    url, _ = shared
    session = "k3jh5g2jk4h"
    with client(url, "ada") as ada, client(url, "bert") as bert:
        assert "A secret" in asked(ada, session, "A secret")
        join = event(bert, "submitted", session, "And more?")
        waiting = ada.post("/gradio_api/queue/join", json=event(ada, "submitted", session, "More?")).json()
        named = waiting["event_id"]
        for told in (
            bert.post("/gradio_api/queue/join", json=join),
            bert.post("/gradio_api/queue/join?session_hash=other", json=join),
            bert.get("/gradio_api/queue/data", params={"session_hash": session}),
            bert.get("/gradio_api/queue/data", params={"session_hash": [session, "other"]}),
            bert.get(f"/gradio_api/heartbeat/{session}"),
            bert.get("/gradio_api/deep_link", params={"session_hash": session}),
            bert.get(f"/gradio_api/stream/{session}/1/1/playlist.m3u8"),
            bert.post("/gradio_api/call/ask", json={"data": ["A?"], "session_hash": session}),
            bert.post("/gradio_api/run/ask", json={"data": ["A?"], "session_hash": session}),
            bert.post("/gradio_api/api/ask", json={"data": ["A?"], "session_hash": session}),
            bert.post("/gradio_api/component_server", json={"session_hash": session, "component_id": 1}),
            bert.post("/gradio_api/cancel", json={"session_hash": session, "fn_index": 1, "event_id": named}),
            bert.post("/gradio_api/cancel", json={"session_hash": "own", "fn_index": 1, "event_id": named}),
            bert.get(f"/gradio_api/call/ask/{named}"),
            bert.get(f"/gradio_api/call/v2/ask/{named}"),
            bert.post(f"/gradio_api/stream/{named}", json={"data": []}),
            bert.post(f"/gradio_api/stream/{named}/close"),
        ):
            assert told.status_code in {403, 404}, told.url
            assert "secret" not in told.text
        assert "A secret" in json.dumps(ended(ada, session)), "and nothing of it was cancelled"
        assert "A secret" not in asked(bert, "bertsown", "Mine own")
        assert "Mine own" not in asked(ada, session, "Once more?")


@pytest.mark.slow
def test_an_event_of_a_program_is_private_to_its_account(shared: tuple[str, Path]) -> None:
    url, _ = shared
    with client(url, "ada") as ada, client(url, "bert") as bert:
        for path, body in (("call/ask", {"data": ["A?"]}), ("call/v2/ask", {"question": "A?"})):
            named = ada.post(f"/gradio_api/{path}", json=body).json()["event_id"]
            assert bert.get(f"/gradio_api/{path}/{named}").status_code == 404
            assert bert.get("/gradio_api/queue/data", params={"session_hash": named}).status_code in {403, 404}
            told = ada.get(f"/gradio_api/{path}/{named}")
            assert "event: complete" in told.text
            assert "Tea is hot." in told.text


@pytest.mark.slow
def test_a_file_is_private_to_its_account(shared: tuple[str, Path]) -> None:
    url, folder = shared
    with client(url, "ada") as ada, client(url, "bert") as bert:
        [path] = ada.post("/gradio_api/upload", files={"files": ("diary.txt", b"I like newts.")}).json()
        assert Path(path).is_relative_to(folder)
        assert ada.get(f"/gradio_api/file={path}").text == "I like newts."
        crooked = str(Path(path).parent / "x" / ".." / "diary.txt")
        for spelt in (path, f"{folder}/./{Path(path).relative_to(folder)}", crooked):
            assert bert.get(f"/gradio_api/file={spelt}").status_code == 403
            assert bert.get(f"/gradio_api/file/{spelt}").status_code == 404
            named = {"path": spelt, "meta": {"_type": "gradio.FileData"}}
            for data in ([named], [[named]], [{"deep": [{"er": named}]}]):
                assert bert.post("/gradio_api/call/ask", json={"data": data}).status_code == 403
                body = {"data": data, "fn_index": 0, "session_hash": "berts"}
                assert bert.post("/gradio_api/queue/join", json=body).status_code == 403
        [same] = bert.post("/gradio_api/upload", files={"files": ("diary.txt", b"I like newts.")}).json()
        assert same == path
        assert bert.get(f"/gradio_api/file={path}").text == "I like newts.", "who has the same file has it"
        assert bert.get("/gradio_api/file=https://203.0.113.5/x").status_code == 403
        away = {"path": "https://203.0.113.5/x", "meta": {"_type": "gradio.FileData"}}
        assert bert.post("/gradio_api/call/ask", json={"data": [away]}).status_code == 403


@pytest.mark.slow
def test_another_person_logs_in_on_the_same_browser(shared: tuple[str, Path]) -> None:
    url, _ = shared
    with client(url, "ada") as browser:
        asked(browser, "adas", "A secret")
        assert browser.get("/logout").status_code in {404, 405}
        assert browser.get("/config").status_code == 200, "which has changed nothing"
        out = browser.post("/logout")
        assert (out.status_code, out.headers["location"]) == (303, "./")
        assert browser.get("/config").status_code == 401
        browser.post("/login", data={"username": "bert", "password": PASSWORD})
        for cookie in [*browser.cookies.jar]:
            cookie.secure = False
        old = event(browser, "submitted", "adas", "More?")
        assert browser.post("/gradio_api/queue/join", json=old).status_code == 403
        assert "A secret" not in asked(browser, "berts new one", "A?")


@pytest.mark.slow
def test_uploads_are_counted_and_measured(shared: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = shared
    monkeypatch.setattr(request_bodies, "MOST_FILES", 3)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
    field_only = b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n'
    with client(url, "ada") as ada:

        def sent(files: list[tuple[str, bytes]]) -> int:
            return ada.post("/gradio_api/upload?upload_id=u1", files=[("files", file) for file in files]).status_code

        before = [*folder.rglob("*")]
        assert sent([("a.txt", b"x" * (MEGABYTE + 1))]) == 413
        assert sent([(f"{n}.txt", b"x") for n in range(4)]) == 413
        assert ada.post("/gradio_api/upload", files={"others": ("a.txt", b"x")}).status_code == 400
        for wrong in (field_only, part, part + b"x", b"nothing", b"", part + b"x\r\n" + field_only):
            told = ada.post("/gradio_api/upload?upload_id=u2", content=wrong, headers=form)
            assert told.status_code < 500
            assert told.text in {"[]", told.text if told.status_code == 400 else ""}
        for kind in ("multipart/form-data", "multipart/form-data; boundary=", "text/plain", "", f"x{'y' * 5000}"):
            assert ada.post("/gradio_api/upload", content=part, headers={"Content-Type": kind}).status_code == 400
        assert ada.post("/gradio_api/upload?upload_id=../x", files={"files": ("a", b"x")}).status_code == 400
        assert [found for found in folder.rglob("*") if found not in before and found.is_file()] == []
        assert sent([(f"folder/{n}.zip", b"x" * MEGABYTE) for n in range(3)]) == 200
        assert sent([("empty.txt", b"")]) == 200


@pytest.mark.slow
def test_an_interrupted_upload_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    app = asgi_app(Site(tiny_page()), Service(megabytes=1))
    form = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'

    async def tried() -> None:
        broken = Sent("POST", "/gradio_api/upload", form, body=iter([part, CHUNK]))
        assert await broken.to(app) == 400
        large = Sent("POST", "/gradio_api/upload", form, body=(part if not n else CHUNK for n in range(7000)))
        assert await large.to(app) == 413
        assert large.read < MEGABYTE + 2 * len(CHUNK) + len(part)
        monkeypatch.setattr(request_bodies, "BODY_TIMEOUT", -10.0)
        slow = Sent("POST", "/gradio_api/upload", form, body=iter([part, CHUNK]))
        assert await slow.to(app) == 400

    asyncio.run(tried())
    assert [*(tmp_path / "uploads").rglob("*")] == []


@pytest.mark.slow
def test_uploads_can_be_disabled() -> None:
    with served(tiny_page()) as url, client(url) as anybody:
        assert anybody.post("/gradio_api/upload", files={"files": ("a.txt", b"x")}).status_code == 403
        assert anybody.get("/gradio_api/upload_progress?upload_id=u").status_code == 404


ODD = ("", "x", "\x00", "%00", "../..", "é", "-1", "1e9", "9" * 400, "{}", "[]", "'\"<b>")
JSONS: tuple[Any, ...] = (
    None,
    [],
    "x",
    {},
    {"data": None},
    {"data": []},
    {"data": {}},
    {"data": [], "session_hash": 3},
    {"data": [], "session_hash": ""},
    {"data": [], "session_hash": "s" * 1000},
    {"data": [], "session_hash": "s"},
    {"data": [], "session_hash": "s", "fn_index": -1},
    {"data": [], "session_hash": "s", "fn_index": 10**6},
    {"data": [], "session_hash": "s", "fn_index": "0"},
    {"data": [], "session_hash": "s", "fn_index": "9" * 5000},
    {"data": [], "session_hash": "s", "event_id": "x", "fn_index": 0},
    {"data": ["x" * 5000] * 50, "session_hash": "s"},
    {"question": {"path": 1}, "x" * 1000: 2},
)


@pytest.mark.slow
def test_no_request_causes_a_server_error(capfd: pytest.CaptureFixture[str]) -> None:
    app = asgi_app(Site(build_app(Parrot())), Service(megabytes=1))  # type: ignore[arg-type]
    with served(build_app(Parrot()), Service(megabytes=1)) as url, client(url) as anybody:  # type: ignore[arg-type]
        for method, path in sorted({*routes_of(app)}):
            if "heartbeat" in path or method == "HEAD":
                continue
            for odd in ODD:
                query = dict.fromkeys(("session_hash", "upload_id", "page", "deep_link", "all_endpoints"), odd)
                told = anybody.request(method, path.replace("/1", f"/{odd or 1}").replace("\x00", "%00"), params=query)
                assert told.status_code < 500, (method, path, odd)
                assert len(told.text) < 1000 or told.status_code == 200, (method, path, odd)
            if method == "POST":
                for body in JSONS:
                    told = anybody.post(path.replace("/1", "/ask"), json=body)
                    assert told.status_code < 500, (path, body)
                    assert "x" * 201 not in told.text
        deep, wide = b"[" * 100_000, b'{"fn_index":' + b"9" * 5000 + b"}"
        for content in (b"", b"{", b"\xff\xfe", deep, wide, "{}".encode("utf-16")):
            for path in ("queue/join", "call/ask", "call/v2/ask", "cancel", "reset", "upload"):
                told = anybody.post(f"/gradio_api/{path}", content=content, headers=HEADERS)
                assert 400 <= told.status_code < 500, (path, content[:9])
        for name in ("nothing", "x" * 5000, "submitted", "%2e%2e"):
            assert anybody.post(f"/gradio_api/call/{name}", json={"data": []}).status_code == 404
            assert anybody.post(f"/gradio_api/run/{name}", json={"data": []}).status_code == 404
    out, error = capfd.readouterr()
    assert (out, error) == ("", "")


@pytest.mark.slow
def test_no_event_causes_a_server_error(sample_chain: Chain, capfd: pytest.CaptureFixture[str]) -> None:
    values: tuple[Any, ...] = (None, "x", 3, [], {}, [[1]], {"path": "x"}, {"a": [None]}, True)
    choices = ({"index": [], "value": "x"}, {"index": 1, "value": {}}, {"index": [0, 0], "value": "x"}, {"index": "0"})
    with served(build_app(sample_chain), Service(megabytes=1)) as url, client(url) as anybody:
        config = anybody.get("/config").json()
        for number, value in enumerate((*values, *choices)):
            session = f"s{number}"
            for one in config["dependencies"]:
                if one["backend_fn"]:
                    body = {"fn_index": one["id"], "session_hash": session, "event_data": value, "trigger_id": 1}
                    for data in ([value] * len(one["inputs"]), [value], [value] * 40):
                        assert anybody.post("/gradio_api/queue/join", json={**body, "data": data}).status_code < 500
            if value != {"path": "x"}:  # which goes with no event
                ended(anybody, session)
    out, error = capfd.readouterr()
    assert out == ""
    assert {line for line in error.splitlines() if re.match(r"\w", line)} == set()


@pytest.mark.slow
def test_every_response_forbids_content_sniffing(shared: tuple[str, Path]) -> None:
    url, _ = shared
    with client(url) as anybody:
        for path in ("/", "/nowhere", "/config", "/theme.css", "/gradio_api/file=x", "/healthz"):
            assert anybody.get(path).headers["X-Content-Type-Options"] == "nosniff"
        assert anybody.get("/", headers={"Host": "x.example"}).headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.slow
def test_wrong_passwords_are_limited_per_name() -> None:
    checks: list[str] = []

    @dataclass(frozen=True, slots=True)
    class Counted(Accounts):
        async def check(self, name: str, password: str) -> bool:
            checks.append(name)
            return await Accounts.check(self, name, password)

    counted = Counted(BOTH.hashes, bcrypt.hashpw(b"", bcrypt.gensalt(4)))

    async def guessed(url: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as guesser:
            form = {"username": "ada", "password": "wrong horse"}
            told = await asyncio.gather(*(guesser.post("/login", data=form) for _ in range(120)))
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in told if answer.status_code == 429)
        return [answer.status_code for answer in told]

    with served(tiny_page(), Service(accounts=counted)) as url, client(url) as anybody:
        told = asyncio.run(guessed(url))
        assert set(told) == {400, 429}
        assert told.count(400) == len(checks) <= 12
        right = {"username": "ada", "password": PASSWORD}
        assert anybody.post("/login", data=right, headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 429
        assert anybody.post("/mcp", json={}, auth=("ada", PASSWORD)).status_code == 429
        assert anybody.post("/login", data={"username": "bert", "password": PASSWORD}).status_code == 200
        assert checks[-1] == "bert"


@pytest.mark.slow
def test_behind_a_proxy_addresses_are_distinguished() -> None:
    with served(tiny_page(), Service(accounts=BOTH, root="/ask")) as url, client(url) as proxy:
        for _ in range(30):
            wrong = {"username": "ada", "password": "wrong horse"}
            last = proxy.post("/login", data=wrong, headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.1"})
        assert last.status_code == 429
        right = {"username": "ada", "password": PASSWORD}
        assert proxy.post("/login", data=right, headers={"X-Forwarded-For": "198.51.100.1"}).status_code == 429
        assert proxy.post("/login", data=right, headers={"X-Forwarded-For": "198.51.100.2"}).status_code == 200
