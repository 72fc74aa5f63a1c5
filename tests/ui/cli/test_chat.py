"""The chat as a service: the real command, behind a proxy, as two people meet it in a browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.support.reverse_proxy import PREFIX, proxied
from tests.ui.page.test_browser import CHROMIUM, QUESTION, ask, browser, harbour_index, visible  # noqa: F401
from tests.ui.server.test_app import fetch
from ui.cli.main import app
from ui.server.accounts import Accounts


def run(*arguments: str | Path, typed: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)], input=typed, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("--host", "0.0.0.0"), "--no-auth to let everyone ask"),
        (("--host", "192.0.2.7"), "--auth-file FILE (made by pullquote account FILE NAME)"),
        (("--auth-file", "users"), "make one: pullquote account users NAME"),
        (("--root-path", "ask"), "give a path such as /ask, or a full https:// URL"),
        (("--root-path", "javascript:x"), "give a path such as /ask"),
        (("--allowed-host", "https://news.example"), "give one such as news.example"),
    ],
)
def test_what_cannot_be_served_is_told_with_its_fix(arguments: tuple[str, ...], fix: str) -> None:
    status, out, error = run("chat", *arguments)
    assert (status, out) == (1, "")
    assert fix in error
    assert "Opening" not in error


def test_an_index_that_is_not_there_is_told_before_anything_is_served(tmp_path: Path) -> None:
    status, out, error = run("chat", "--index", tmp_path / "none", "--port", "0")
    assert (status, out) == (1, "")
    assert error.startswith("Opening the index …\npullquote: there is no index at ")


def test_accounts_for_everybody_are_a_contradiction(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert run("account", file, "ada", typed="correct horse\ncorrect horse\n")[0] == 0
    status, _, error = run("chat", "--auth-file", file, "--no-auth")
    assert status == 1
    assert error.endswith("leave one out\n")


def test_an_account_is_made_by_typing_its_password(tmp_path: Path) -> None:
    file = tmp_path / "the users"
    status, out, _ = run("account", file, "ada", typed="correct horse\nwrong horse\ncorrect horse\ncorrect horse\n")
    assert status == 0
    assert out.endswith(f"ada can log in to: pullquote chat --auth-file '{file}'\n")
    assert [*Accounts.read(file).hashes] == ["ada"]
    status, _, error = run("account", file, "bert", typed="short\nshort\n")
    assert status == 1
    assert "give another" in error


@contextmanager
def chat(*arguments: str | Path) -> Iterator[str]:
    """The command, running; yields its address."""
    command = [sys.executable, "-c", "from ui.cli.main import app; app()", "chat", "--port", "0", *map(str, arguments)]
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            *_, found = re.findall(r"http://\S+/", line) or [f"none: {process.communicate(timeout=60)}"]
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def logged_in(browser: Browser, url: str, name: str, password: str) -> Page:  # noqa: F811 - the fixture's value
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{url}/")
    page.get_by_label("username").fill(name)
    page.get_by_label("password").fill(password)
    page.get_by_role("button", name="Login").click()
    return page


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH")
@pytest.mark.parametrize("keeps_name", [True, False])
def test_two_people_behind_a_proxy(browser: Browser, tmp_path: Path, keeps_name: bool) -> None:  # noqa: F811
    config, users = harbour_index(tmp_path), tmp_path / "users"
    for name in ("ada", "bert"):
        run("account", users, name, typed=f"horse of {name}\n" * 2)
    with proxied(keeps_name=keeps_name) as (url, lead_to):
        root = PREFIX if keeps_name else url
        options = ("--index", config.index, "--auth-file", users, "--root-path", root, "--mcp")
        with chat(*options) as address:
            lead_to(address)
            ada = logged_in(browser, url, "ada", "horse of bert")
            expect(ada.get_by_text("Incorrect Credentials")).to_be_visible()
            ada.get_by_label("username").fill("ada")
            ada.get_by_label("password").fill("horse of ada")
            ada.get_by_role("button", name="Login").click()
            expect(ada.get_by_label("Your question")).to_be_visible()
            ask(ada, QUESTION)
            expect(ada).to_have_url(re.compile(rf"{PREFIX}/#conversation="))
            ada.reload()
            expect(ada.locator(".pq-question")).to_have_text([QUESTION])
            assert ada.evaluate("Object.keys(localStorage).filter(key => key.includes('conversation'))") == []
            bert = logged_in(browser, url, "bert", "horse of bert")
            expect(bert.get_by_label("Your question")).to_be_visible()
            bert.get_by_role("button", name="History").click()
            expect(bert.get_by_text("on the server, for you alone")).to_be_visible()
            expect(bert.locator(".pq-history [name=reopen]")).to_have_count(0)
            bert.goto("about:blank")
            bert.goto(ada.url)
            expect(bert.get_by_label("Your question")).to_be_visible()
            assert visible(bert, ".pq-question") == []
            ada.get_by_role("button", name="Settings").click()
            expect(ada.get_by_text("Logged in as ada.")).to_be_visible()
            ada.get_by_role("button", name="Log out").click()
            expect(ada.get_by_label("password")).to_be_visible()
            assert fetch(f"{url}/healthz")[0] == 200
