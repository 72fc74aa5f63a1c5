"""Under which names a server answers."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from ui.server.hosts import Names, allowed_host, bare

HERE = {"server": ("192.0.2.7", 7860)}
"""A request as it arrives at this address."""


@pytest.mark.parametrize(
    ("names", "host", "has"),
    [
        (Names(), "127.0.0.1:7860", True),
        (Names(), "127.0.0.1", True),
        (Names(), "LocalHost:1", True),
        (Names(), "localhost.", True),
        (Names(), "[::1]:7860", True),
        (Names(), "[::1]", True),
        (Names(), "[0:0:0:0:0:0:0:1]", True),
        (Names(), "192.0.2.7:7860", False),
        (Names(), "rebound.example", False),
        (Names(), "127.0.0.1.rebound.example", False),
        (Names(), "localhost:x", False),
        (Names(), "localhost:", False),
        (Names(), "", False),
        (Names(), "user@localhost", False),
        (Names(), "localhost, rebound.example", False),
        (Names("192.0.2.7"), "192.0.2.7", True),
        (Names("192.0.2.7"), "192.0.2.8", False),
        (Names("2001:db8::7"), "[2001:DB8::7]:7860", True),
        (Names("0.0.0.0"), "192.0.2.7:7860", True),
        (Names("0.0.0.0"), "192.0.2.8:7860", False),
        (Names("0.0.0.0"), "localhost", True),
        (Names("0.0.0.0"), "rebound.example", False),
        (Names("0.0.0.0"), "0.0.0.0:7860", False),
        (Names("0.0.0.0"), f"{socket.gethostname().upper()}.:7860", True),
        (Names("::"), "[::ffff:192.0.2.7]", True),
        (Names("0.0.0.0", "/ask"), "rebound.example", False),
        (Names("0.0.0.0", "https://news.example/ask"), "NEWS.example:443", True),
        (Names(allowed=("news.example",)), "news.example.:80", True),
        (Names(allowed=("news.example",)), "old.news.example", False),
        (Names(allowed=("2001:db8::7",)), "[2001:db8::7]:80", True),
    ],
)
def test_what_it_answers_to(names: Names, host: str, has: bool) -> None:
    assert names.has(host, HERE) is has


def test_a_server_on_a_file_answers_to_its_own_names_alone() -> None:
    unknown: Any = {"server": None}
    assert Names("0.0.0.0").has("localhost", unknown)
    assert not Names("0.0.0.0").has("192.0.2.7", unknown)


@pytest.mark.parametrize(
    ("given_name", "name"), [("News.Example.", "news.example"), ("[::1]", "::1"), ("192.0.2.7:80", "192.0.2.7")]
)
def test_a_name_to_allow(given_name: str, name: str) -> None:
    assert allowed_host(given_name) == name


@pytest.mark.parametrize("wrong", ["", "*", "*.example", "https://news.example", "news.example/ask", "0.0.0.0", "::"])
def test_what_cannot_be_allowed(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"give one such as news\.example"):
        allowed_host(wrong)


@given(st.text() | st.from_regex(r"[a-z.\[\]:0-9%]{0,20}", fullmatch=True))
def test_a_spelling_is_settled_at_once(host: str) -> None:
    name = bare(host)
    if name is not None:
        assert bare(name) == name
        assert bare(f"{name.upper()}") == name
