"""A page that is served while its embedding model loads."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from rag.chain import Chain
from rag.config import Config
from rag.errors import ModelError, PullquoteError, QuestionError, Stopped
from rag.models.embedding import Embedder
from tests.ui.page.test_browser import CHROMIUM, browser, opened, tab  # noqa: F401
from tests.ui.server.test_app import _no_open_loops, served, text, tiny_page  # noqa: F401
from ui.page.app import build_app
from ui.server.app import Service, Site, serve
from ui.server.loading import LOADING, LoadingChain

pytestmark = pytest.mark.slow

QUESTION = "What did Iraq tell the Security Council?"
QUOTE = "letter to the U.N. Security Council"


@dataclass
class SlowModel:
    """An event that lets a model finish loading, and a chain that waits for the model."""

    embedder: Embedder
    chain: LoadingChain
    go_on: threading.Event = field(default_factory=threading.Event)

    def load(self, _: str) -> Embedder:
        assert self.go_on.wait(60)
        return self.embedder


@pytest.fixture
def slow(sample_index: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowModel]:
    model = SlowModel(embedder, LoadingChain.from_config(Config(index=sample_index)))
    monkeypatch.setattr("ui.server.loading.load_embedder", model.load)
    yield model
    model.go_on.set()


def test_the_page_is_served_and_a_question_is_answered_once_the_model_is_there(slow: SlowModel) -> None:
    with served(build_app(slow.chain), load=slow.chain.load) as url:
        assert text(url)[0] == 200
        assert text(f"{url}healthz")[0] == 200
        asked = json.loads(text(f"{url}gradio_api/call/ask", json.dumps({"data": [QUESTION]}).encode())[1])
        assert slow.chain.is_loading
        slow.go_on.set()
        assert QUOTE in text(f"{url}gradio_api/call/ask/{asked['event_id']}")[1]


@pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH")
def test_a_reader_sees_that_the_model_is_loading(slow: SlowModel, tab: Page) -> None:  # noqa: F811
    page = build_app(slow.chain, lambda: () if slow.chain.is_loading else (QUESTION,))
    with served(page, load=slow.chain.load) as url:
        opened(tab, url)
        tab.get_by_label("Your question").fill("Who is there?")
        tab.get_by_label("Your question").press("Enter")
        expect(tab.locator(".pq-pending")).to_have_text(LOADING)
        tab.get_by_role("button", name="Stop").click()
        expect(tab.locator(".pq-error")).to_contain_text("Stopped before the first word")
        tab.get_by_role("button", name="New conversation").click()
        expect(tab.locator(".pq-empty")).to_contain_text("27 articles")
        slow.go_on.set()
        tab.get_by_role("button", name=QUESTION).click()
        expect(tab.locator(".pq-text")).to_contain_text(QUOTE)
        tab.close()


def test_an_answer_that_waited_is_that_of_any_chain(slow: SlowModel, sample_chain: Chain) -> None:
    waiting = slow.chain.with_lengths(1, 4).stream(QUESTION)
    assert next(waiting).doing == LOADING
    with pytest.raises(Stopped):
        waiting.throw(Stopped())
    with pytest.raises(QuestionError):
        next(slow.chain.stream(" "))
    slow.go_on.set()
    slow.chain.load()
    assert slow.chain.ask(QUESTION).text == sample_chain.ask(QUESTION).text


@pytest.mark.parametrize(
    ("raised", "told"), [(ModelError("no such model; use another"), "no such model"), (RuntimeError("?"), "unexpected")]
)
def test_a_model_that_cannot_be_loaded_ends_the_service(
    slow: SlowModel, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: str
) -> None:
    def broken(_: str) -> Embedder:
        raise raised

    monkeypatch.setattr("ui.server.loading.load_embedder", broken)
    with ThreadPoolExecutor(1) as pool:  # the browser's client has an event loop on this thread
        serving = pool.submit(serve, lambda: Site(tiny_page(), load=slow.chain.load), Service(port=0))
        with pytest.raises(PullquoteError, match=told):
            serving.result(60)
    with pytest.raises(PullquoteError, match=told):
        slow.chain.ask(QUESTION)
