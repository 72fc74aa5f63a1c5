"""The server of a page, tested with HTTP requests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bcrypt
import gradio as gr
import pytest

from rag.errors import AddressError, PullquoteError, StoreError
from tests.conftest import ROOT
from ui.server.accounts import Accounts
from ui.server.app import Server, Service, Site, address, asgi_app, is_own, listen, serve

LOCAL = Service()
ADA = Accounts({"ada": bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4))})


def tiny_page() -> gr.Blocks:
    """A page with nothing but a line."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.HTML("Tea is hot.")
    return page


@contextmanager
def served(page: gr.Blocks, service: Service = LOCAL, port: int = 0, **beside: Any) -> Iterator[str]:
    """The page on a free port, or on that one, and what stands beside it; yields its address."""
    with listen("127.0.0.1", port) as listener:
        site = Site(page, **beside)
        running = Server(asgi_app(site, service), site.load)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield address(listener)
        finally:
            running.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive()


@pytest.fixture(scope="module", autouse=True)
def _no_open_loops() -> Iterator[None]:
    """Gradio makes event loops to build a page and drops them open; the warnings would hit whatever test runs next."""
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", lambda: made.append(make()) or made[-1])
        yield
    for loop in made:
        loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(tiny_page()) as found:
        yield found


def text(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """The status and the text of a response."""
    given = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(url, body, {**given, **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def login(url: str, name: str, password: str) -> tuple[int, str]:
    """The status of a log-in, and its cookie."""
    form = urllib.parse.urlencode({"username": name, "password": password}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}login", form, timeout=20) as response:
            return response.status, response.headers["Set-Cookie"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def fetch(url: str, **headers: str) -> tuple[int, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as response:
            return response.status, response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


@pytest.mark.slow
def test_the_page_may_load_nothing_from_elsewhere(url: str) -> None:
    status, headers = fetch(url)
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "http" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.slow
def test_only_own_host_names_are_accepted(url: str) -> None:
    assert fetch(url, Host="localhost")[0] == 200
    assert fetch(url, Host="rebound.example")[0] == 400
    assert fetch(f"{url}docs")[0] == 404
    assert fetch(f"{url}gradio_api/runs")[0] == 404
    assert fetch(f"{url}gradio_api/file=/etc/passwd")[0] == 403


@pytest.mark.slow
def test_requests_from_pages_of_other_sites_are_rejected(url: str) -> None:
    own = url.rstrip("/")
    assert fetch(url, Origin=own)[0] == 200
    for origin in (
        "https://elsewhere.example",
        "null",
        "http://127.0.0.1:1",
        f"{own}.elsewhere.example",
        "",
        "http://[",
    ):
        status, headers = fetch(url, Origin=origin)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
    forwarded = {"X-Forwarded-Host": "news.example"}
    assert fetch(url, Origin="https://news.example", **forwarded)[0] == 403, "no proxy is expected"
    assert "news.example" not in text(f"{url}config", None, **forwarded)[1]
    assert "news.example" not in text(f"{url}config", None, **{"X-Gradio-Server": "http://news.example"})[1]


@pytest.mark.slow
def test_the_host_of_root_is_accepted() -> None:
    with served(tiny_page(), Service(root="https://news.example/ask")) as url:
        assert fetch(url, Host="news.example", Origin="https://news.example")[0] == 200
        assert fetch(url, Origin="https://news.example")[0] == 200, "a proxy may pass its own name on, or ours"
        assert fetch(url, Host="news.example", Origin="https://elsewhere.example")[0] == 403
        assert fetch(url, Host="rebound.example")[0] == 400


@pytest.mark.slow
def test_other_host_names_have_to_be_allowed() -> None:
    for service in (Service(), Service("0.0.0.0"), Service(accounts=ADA)):
        with served(tiny_page(), service) as url:
            told = text(url, None, Host="news.example:7860")
            assert told[0] == 400
            assert "--allowed-host news.example" in told[1]
            assert len(text(url, None, Host="x" * 5000)[1]) < 400
            assert text(url, None, Host=url.split("/")[2])[0] == 200
            websocket = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            assert text(url, None, Host="news.example", **websocket, **key)[0] in {400, 403}
    with served(tiny_page(), Service("0.0.0.0", allowed_hosts=("news.example",))) as url:
        assert text(url, None, Host="News.Example.:7860")[0] == 200


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example", False),
    ],
)
def test_addresses_that_others_can_reach(host: str, own: bool) -> None:
    assert is_own(host) is own


@pytest.mark.slow
def test_the_health_check() -> None:
    ill: list[PullquoteError] = []

    def healthy() -> None:
        if ill:
            raise ill[0]

    with served(tiny_page(), Service(accounts=ADA), healthy=healthy) as url:
        assert text(f"{url}healthz") == (200, '{"status":"ok"}')
        ill.append(StoreError("/home/ada/secret cannot be read; mend it"))
        assert text(f"{url}healthz") == (503, '{"status":"unavailable"}')


@pytest.mark.slow
def test_without_a_login_only_the_login_page_is_served() -> None:
    with served(tiny_page(), Service(accounts=ADA)) as url:
        status, page = text(url)
        assert status == 200
        assert "Tea is hot" not in page
        assert '"auth_required":true' in page
        for path in (
            "config",
            "gradio_api/info",
            "gradio_api/queue/data?session_hash=s",
            "gradio_api/file=/etc/passwd",
        ):
            assert text(f"{url}{path}")[0] == 401
        join = json.dumps({"data": [], "fn_index": 0, "session_hash": "s"}).encode()
        for path in ("gradio_api/queue/join", "gradio_api/call/x", "gradio_api/run/x", "gradio_api/upload"):
            assert text(f"{url}{path}", join)[0] == 401
        for name, password in (("ada", "wrong"), ("ada", "x" * 100), ("bert", "correct horse"), ("ada", "")):
            assert login(url, name, password)[0] >= 400
        status, cookie = login(url, "ada", "correct horse")
        assert status == 200
        assert "HttpOnly" in cookie
        assert "Tea is hot" in text(url, None, Cookie=cookie.split(";")[0].replace("unsecure-", ""))[1]


@pytest.mark.slow
def test_serving_ends_quietly_on_an_interrupt() -> None:
    code = """
from tests.ui.server.test_app import tiny_page
from ui.server.app import Service, Site, serve
serve(lambda: Site(tiny_page()), Service(port=0), lambda url: print(url, flush=True))
"""
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=here) as run:
        assert run.stdout
        assert fetch(run.stdout.readline().strip())[0] == 200
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=60) == ("", "")
    assert run.returncode == 0


def test_an_address_in_use_is_an_error_with_its_fix() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=rf"port {port} .*--port$") as caught:
            serve(lambda: Site(tiny_page()), Service(port=port))
    assert isinstance(caught.value, PullquoteError)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("127.0.0.1", -1), ("203.0.113.1", 0)])
def test_an_invalid_address_is_the_same_error(host: str, port: int) -> None:
    with pytest.raises(AddressError, match="--port"):
        listen(host, port)
