"""The MCP tools, tested with the client of the protocol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from rag.chain import Chain
from rag.errors import ConfigError
from tests.support.parrot import Parrot
from tests.ui.server.test_app import ADA, LOCAL, Service, _no_open_loops, served, tiny_page  # noqa: F401
from ui.server.mcp import MCP_PATH, mcp_app
from ui.services.api import Endpoints
from ui.services.article_list import ArticleList

pytestmark = pytest.mark.slow


def tools_of(chain: Any) -> Any:
    return mcp_app(Endpoints(chain, ArticleList(chain.index)))


@asynccontextmanager
async def session(url: str, **sent: Any) -> AsyncIterator[Client]:
    """A client of the tools at an address, which sends some headers."""
    address = url.rstrip("/") + MCP_PATH
    async with (
        httpx2.AsyncClient(trust_env=False, **sent) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


async def called(url: str, tool: str, arguments: dict[str, Any], **sent: Any) -> Any:
    async with session(url, **sent) as client:
        return await client.call_tool(tool, arguments)


def test_a_program_asks_and_searches(sample_chain: Chain) -> None:
    async def conversation(url: str) -> None:
        async with session(url) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"ask", "search"}
            assert set(tools["ask"].input_schema["properties"]) == {
                "question",
                "published_after",
                "published_before",
                "source",
            }
            assert "every sentence" in (tools["ask"].description or "")
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
            answer = await client.call_tool("ask", {"question": "What did Iraq tell the Security Council?"})
            assert not answer.is_error
            told: dict[str, Any] = answer.structured_content or {}
            assert "[1]" in told["text"]
            assert told["citations"][0]["title"] == "Iraq turns to U.N. Security Council after Israeli letter"
            found = await client.call_tool("search", {"question": "Iraq", "limit": 1, "source": "Harbour Wire"})
            assert [hit["source"] for hit in (found.structured_content or {})["hits"]] == ["Harbour Wire"]

    with served(tiny_page(), tools=tools_of(sample_chain)) as url:
        asyncio.run(conversation(url))


def test_errors_are_reported_with_their_fix() -> None:
    with served(tiny_page(), tools=tools_of(Parrot())) as url:
        for arguments, fix in (
            ({"question": "boom"}, "ask softly"),
            ({"question": "A?", "published_after": "May"}, "YYYY-MM-DD"),
            ({"question": ["A?"]}, "valid string"),
        ):
            told = asyncio.run(called(url, "ask", arguments))
            assert told.is_error
            assert fix in told.content[0].text


def test_tools_need_an_account() -> None:
    with served(tiny_page(), Service(accounts=ADA), tools=tools_of(Parrot())) as url:
        told = asyncio.run(called(url, "ask", {"question": "A?"}, auth=("ada", "correct horse")))
        assert told.structured_content["text"] == "Tea is hot. [1] Ice is cold. [2]"
        for sent in ({}, {"auth": ("ada", "wrong")}, {"auth": ("bert", "correct horse")}):
            answer = httpx2.post(f"{url}mcp", trust_env=False, json={}, **sent)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_tools_reject_pages_of_other_sites() -> None:
    with served(tiny_page(), tools=tools_of(Parrot())) as url:
        sent = {"Origin": "https://elsewhere.example"}
        assert httpx2.post(f"{url}mcp", trust_env=False, json={}, headers=sent).status_code == 403
        sent = {"Host": "rebound.example"}
        assert httpx2.post(f"{url}mcp", trust_env=False, json={}, headers=sent).status_code == 400


def test_tools_are_off_by_default() -> None:
    with served(tiny_page(), LOCAL) as url:
        assert httpx2.post(f"{url}mcp", trust_env=False, json={}).status_code in {404, 405}


def test_a_missing_package_is_reported_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    with pytest.raises(ConfigError, match=r"pip install 'pullquote\[mcp\]'$"):
        tools_of(Parrot())
