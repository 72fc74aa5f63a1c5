"""Host names that a server accepts."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from ui.server.hosts import HostNames, allowed_host, normalized_host

HERE = {"server": ("192.0.2.7", 7860)}
"""A request as it arrives at this address."""


@pytest.mark.parametrize(
    ("names", "host", "accepted"),
    [
        (HostNames(), "127.0.0.1:7860", True),
        (HostNames(), "127.0.0.1", True),
        (HostNames(), "LocalHost:1", True),
        (HostNames(), "localhost.", True),
        (HostNames(), "[::1]:7860", True),
        (HostNames(), "[::1]", True),
        (HostNames(), "[0:0:0:0:0:0:0:1]", True),
        (HostNames(), "192.0.2.7:7860", False),
        (HostNames(), "rebound.example", False),
        (HostNames(), "127.0.0.1.rebound.example", False),
        (HostNames(), "localhost:x", False),
        (HostNames(), "localhost:", False),
        (HostNames(), "", False),
        (HostNames(), "user@localhost", False),
        (HostNames(), "localhost, rebound.example", False),
        (HostNames("192.0.2.7"), "192.0.2.7", True),
        (HostNames("192.0.2.7"), "192.0.2.8", False),
        (HostNames("2001:db8::7"), "[2001:DB8::7]:7860", True),
        (HostNames("0.0.0.0"), "192.0.2.7:7860", True),
        (HostNames("0.0.0.0"), "192.0.2.8:7860", False),
        (HostNames("0.0.0.0"), "localhost", True),
        (HostNames("0.0.0.0"), "rebound.example", False),
        (HostNames("0.0.0.0"), "0.0.0.0:7860", False),
        (HostNames("0.0.0.0"), f"{socket.gethostname().upper()}.:7860", True),
        (HostNames("::"), "[::ffff:192.0.2.7]", True),
        (HostNames("0.0.0.0", "/ask"), "rebound.example", False),
        (HostNames("0.0.0.0", "https://news.example/ask"), "NEWS.example:443", True),
        (HostNames(allowed=("news.example",)), "news.example.:80", True),
        (HostNames(allowed=("news.example",)), "old.news.example", False),
        (HostNames(allowed=("2001:db8::7",)), "[2001:db8::7]:80", True),
    ],
)
def test_names_that_are_accepted(names: HostNames, host: str, accepted: bool) -> None:
    assert names.accepts(host, HERE) is accepted


def test_a_server_without_an_address_accepts_its_own_names_alone() -> None:
    unknown: Any = {"server": None}
    assert HostNames("0.0.0.0").accepts("localhost", unknown)
    assert not HostNames("0.0.0.0").accepts("192.0.2.7", unknown)


@pytest.mark.parametrize(
    ("given_name", "name"), [("News.Example.", "news.example"), ("[::1]", "::1"), ("192.0.2.7:80", "192.0.2.7")]
)
def test_a_name_to_allow(given_name: str, name: str) -> None:
    assert allowed_host(given_name) == name


@pytest.mark.parametrize("wrong", ["", "*", "*.example", "https://news.example", "news.example/ask", "0.0.0.0", "::"])
def test_what_is_not_a_host_name_cannot_be_allowed(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"give one such as news\.example"):
        allowed_host(wrong)


@given(st.text() | st.from_regex(r"[a-z.\[\]:0-9%]{0,20}", fullmatch=True))
def test_normalizing_twice_changes_nothing(host: str) -> None:
    name = normalized_host(host)
    if name is not None:
        assert normalized_host(name) == name
        assert normalized_host(f"{name.upper()}") == name
