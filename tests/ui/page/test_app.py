"""The page's parts, and its endpoint as other programs meet it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from rag.schema import Filters
from tests.support.parrot import Parrot
from tests.ui.server.test_app import _no_open_loops, served  # noqa: F401
from ui.page.app import build_app
from ui.services.chat import CONCURRENT_ANSWERS


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(build_app(Parrot())) as found:  # type: ignore[arg-type]
        yield found


def test_the_page_has_its_title_examples_and_public_endpoints() -> None:
    page = build_app(Parrot(), lambda: ["What is hot?"])  # type: ignore[arg-type]
    config = page.get_config_file()
    assert config["title"] == "Pullquote"
    assert page.analytics_enabled is False
    [chat] = [c for c in config["components"] if c["type"] == "chatbot"]
    assert [example["text"] for example in chat["props"]["examples"]] == ["What is hot?"]
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert public == ["ask", "search", "articles"], "nothing can be added without uploads"
    limits = {
        d["api_name"]: fn.concurrency_limit for d, fn in zip(config["dependencies"], page.fns.values(), strict=True)
    }
    assert limits["ask"] == limits["search"] == CONCURRENT_ANSWERS


def test_what_lists_articles_takes_turns() -> None:
    page = build_app(Parrot())  # type: ignore[arg-type]
    [table] = [number for number, block in page.blocks.items() if block.elem_id == "pq-table"]
    listing = [fn for fn in page.fns.values() if table in [block._id for block in fn.outputs]]
    assert len(listing) > 4
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in listing} == {("table", 1)}


@pytest.mark.slow
def test_other_programs_can_ask(url: str) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"trust_env": False})
    found = client.predict("What is hot?", api_name="/ask")
    assert found["text"] == "Tea is hot. [1] Ice is cold. [2]"
    assert [c["quote"] for c in found["citations"]] == ["Tea is hot.", "Ice is cold."]
    with pytest.raises(Exception, match="too loud"):
        client.predict("boom", api_name="/ask")


@pytest.mark.slow
def test_other_programs_can_narrow_what_they_ask() -> None:
    gradio_client = pytest.importorskip("gradio_client")
    parrot = Parrot()
    with served(build_app(parrot)) as url:  # type: ignore[arg-type]
        client = gradio_client.Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"trust_env": False})
        client.predict("A?", published_after="2024-03-01", source=["The Saucer, daily"], api_name="/ask")
        client.predict("A?", "", "2024-03-31", "The Cup", api_name="/ask")
        with pytest.raises(Exception, match="write it as YYYY-MM-DD"):
            client.predict("A?", published_before="March", api_name="/ask")
        with pytest.raises(Exception, match="no article has the source"):
            client.predict("A?", source="The Jug", api_name="/ask")
        post(f"{url}gradio_api/call/ask", {"data": ["only the question"]})
        deadline = time.monotonic() + 30
        while len(parrot.asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [scope["filters"] for _, _, scope in parrot.asked] == [
        Filters(date(2024, 3, 1), None, ("The Saucer, daily",)),
        Filters(None, date(2024, 3, 31), ("The Cup",)),
        Filters(),
    ]


def post(url: str, data: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
        assert response.status == 200


def test_a_reader_chooses_who_writes() -> None:
    plain, tiny = Parrot(), Parrot()
    page = build_app(plain, others={"tiny": tiny})  # type: ignore[dict-item, arg-type]
    [chooser] = [block for block in page.blocks.values() if block.elem_id == "pq-writer"]
    assert (chooser.visible, [value for _, value in chooser.choices]) == (True, ["The articles’ own sentences", "tiny"])
    [chooser] = [block for block in build_app(plain).blocks.values() if block.elem_id == "pq-writer"]  # type: ignore[arg-type]
    assert not chooser.visible
