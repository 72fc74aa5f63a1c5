"""A page's server as browsers and other programs meet it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import pytest
from conftest import ROOT

from rag.errors import AddressError, PullquoteError
from ui.server import Server, address, asgi_app, listen, serve


def tiny_page() -> gr.Blocks:
    """A page with nothing but a line."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.HTML("Tea is hot.")
    return page


@contextmanager
def served(page: gr.Blocks, megabytes: int = 0) -> Iterator[str]:
    """The page on a free port; yields its address."""
    with listen("127.0.0.1", 0) as listener:
        running = Server(asgi_app(page, megabytes=megabytes))
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
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.slow
def test_the_page_answers_only_to_its_own_names(url: str) -> None:
    assert fetch(url, Host="localhost")[0] == 200
    assert fetch(url, Host="rebound.example")[0] == 400
    assert fetch(f"{url}docs")[0] == 404
    assert fetch(f"{url}gradio_api/runs")[0] == 404
    assert fetch(f"{url}gradio_api/file=/etc/passwd")[0] == 403


@pytest.mark.slow
def test_serving_ends_quietly_on_an_interrupt() -> None:
    code = """
from test_ui_server import tiny_page
from ui.server import serve
serve(tiny_page, port=0, ready=lambda url: print(url, flush=True))
"""
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
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
            serve(tiny_page, port=port)
    assert isinstance(caught.value, PullquoteError)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("127.0.0.1", -1), ("203.0.113.1", 0)])
def test_an_address_that_cannot_be_is_the_same_error(host: str, port: int) -> None:
    with pytest.raises(AddressError, match="--port"):
        listen(host, port)
