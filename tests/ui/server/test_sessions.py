"""Sessions of the page: their saved conversations, and their state on the server."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import bcrypt
import gradio as gr
import pytest
from gradio.state_holder import SessionState, StateHolder

from eval.pairs.labelling import Labels
from tests.support.parrot import Parrot
from tests.ui.page.test_browser import CHROMIUM, ask, browser, opened, tab  # noqa: F401
from tests.ui.server.test_app import _no_open_loops, served, text  # noqa: F401
from ui.page.app import build_app
from ui.page.history import HistoryHandlers
from ui.page.label import LabelController, build_label_app
from ui.page.view import Stores
from ui.server import sessions as ui_sessions
from ui.server.accounts import Accounts
from ui.server.app import Service, Site, asgi_app
from ui.server.sessions import Sessions
from ui.services.chat import ChatController, ChatSession
from ui.services.history import ServerHistory

playwright_api = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH")
PASSWORD = "correct horse"
ACCOUNTS = Accounts({"ada": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))})


def chat_page(folder: Path, where: str = "on the server") -> gr.Blocks:
    histories = ServerHistory.beside(folder / "index") if where == "on the server" else None
    return build_app(Parrot(), stores=Stores(histories))  # type: ignore[arg-type]


def label_page(folder: Path) -> gr.Blocks:
    return build_label_app(LabelController([], Labels.beside(folder / "drafts.jsonl"), cast("Any", Parrot())))


def states(page: gr.Blocks) -> list[gr.State]:
    return [block for block in page.blocks.values() if isinstance(block, gr.State)]


@pytest.mark.parametrize("build", [chat_page, label_page])
def test_no_two_sessions_share_an_id(build: Callable[[Path], gr.Blocks], tmp_path: Path) -> None:
    """What sessions share is the same whenever the page is built: it holds no id and no time."""
    pages = [build(tmp_path) for _ in range(2)]
    assert states(pages[0])
    for one, other in zip(*map(states, pages), strict=True):
        values = [SessionState(pages[0])[one._id] for _ in range(2)]
        if values[0] == values[1]:
            assert values[0] == SessionState(pages[1])[other._id]
            hash(values[0])  # raises TypeError for what one session could change


class Reader:
    """Somebody with several tabs of one browser, over a server that can be started again."""

    def __init__(self, tab: Page, folder: Path, where: str) -> None:  # noqa: F811
        self.tabs, self.folder, self.where = [tab], folder, where
        self.service = Service(accounts=ACCOUNTS if where == "on the server" else None)
        self.port = 0

    @contextmanager
    def served(self) -> Iterator[None]:
        self.page = chat_page(self.folder, self.where)
        with served(self.page, self.service, self.port) as self.url:
            self.port = urlsplit(self.url).port or 0
            if self.service.accounts:
                self.tabs[0].request.post(f"{self.url}login", form={"username": "ada", "password": PASSWORD})
            yield
            settle(self.tabs[0])
            for page in self.tabs:
                page.goto("about:blank")

    def opened(self, n: int) -> Page:
        """The tab of this number, with the page in it."""
        while len(self.tabs) <= n:
            self.tabs.append(self.tabs[0].context.new_page())
        return opened(self.tabs[n], self.url)


def lists(page: Page, *titles: str) -> None:
    """See that History lists these, and go back."""
    page.get_by_role("button", name="History").click()
    expect(page.locator(".pq-history [name=reopen]")).to_have_text([*titles])
    page.get_by_role("button", name="Chat", exact=True).click()


def settle(page: Page) -> None:
    """An event that a reload cuts off is an error of the console's."""
    page.wait_for_timeout(500)


def asked(page: Page, question: str) -> None:
    """Ask, and wait until the conversation is kept with it."""
    with page.expect_event("console", lambda message: message.text == "kept"):
        ask(page, question)


@pytest.fixture(params=["in the browser", "on the server"])
def reader(tab: Page, tmp_path: Path, request: pytest.FixtureRequest) -> Reader:  # noqa: F811
    tab.context.add_init_script(
        "document.addEventListener('pq-message', (event) => event.detail.includes('keep') && console.log('kept'))"
    )
    return Reader(tab, tmp_path, request.param)


QUESTIONS = ["What is hot?", "What is cold?", "Is tea a drink?"]


@in_a_browser
@pytest.mark.slow
def test_each_tab_keeps_its_conversation_when_reloaded_and_when_the_server_is_started_again(reader: Reader) -> None:
    with reader.served():
        pages = [reader.opened(n) for n in range(3)]
        for page, question in zip(pages, QUESTIONS, strict=True):
            asked(page, question)
        lists(pages[0], *QUESTIONS[::-1])
        settle(pages[0])
        for page, question in zip(pages, QUESTIONS, strict=True):
            page.reload()
            expect(page.locator(".pq-question")).to_have_text([question])
        asked(pages[0], "And why?")
        lists(pages[1], QUESTIONS[0], *QUESTIONS[:0:-1])
    with reader.served():
        lists(reader.opened(2), QUESTIONS[0], *QUESTIONS[:0:-1])


@in_a_browser
@pytest.mark.slow
def test_a_conversation_in_two_tabs_loses_no_question_and_keeps_its_name(reader: Reader) -> None:
    with reader.served():
        first = reader.opened(0)
        asked(first, "What is hot?")
        second = reader.opened(1)
        second.goto(first.url)
        expect(second.locator(".pq-question")).to_have_text(["What is hot?"])
        asked(second, "What of the second tab?")
        asked(first, "What of the first tab?")
        expect(first.locator(".pq-question")).to_have_text(["What is hot?", "What of the first tab?"])
        lists(first, "What is hot?", "What is hot?")
        second.get_by_role("button", name="History").click()
        second.get_by_role("button", name="Rename").last.click()
        second.get_by_label("Title", exact=True).fill("Hot things")
        second.get_by_label("Title", exact=True).press("Enter")
        expect(second.locator(".pq-history [name=reopen]").last).to_have_text("Hot things")
        second.get_by_role("button", name="Chat", exact=True).click()
        asked(second, "And then?")
        lists(second, "Hot things", "What is hot?")
        third = reader.opened(2)
        third.goto(second.url)
        expect(third.locator(".pq-question")).to_have_text(["What is hot?", "What of the second tab?", "And then?"])
        settle(third)
        third.goto("about:blank")
        third.goto(first.url)
        expect(third.locator(".pq-question")).to_have_text(["What is hot?", "What of the first tab?"])


def release_what_was_said(holder: StateHolder) -> None:
    """As Gradio does an hour after a page's connection broke: what its events have set, and nothing else."""
    for session in holder.session_data.values():
        session.is_closed, session.STATE_TTL_WHEN_CLOSED = True, 0
    holder.delete_all_expired_state()
    for session in holder.session_data.values():
        session.is_closed = False  # or the server would release the next question as well


def release_everything(holder: StateHolder) -> None:
    for session_hash in list(holder.session_data):
        del holder.session_data[session_hash]


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("release", [release_what_was_said, release_everything])
def test_no_conversation_is_lost_when_the_server_drops_a_session(
    reader: Reader, release: Callable[[StateHolder], None]
) -> None:
    with reader.served():
        page = reader.opened(0)
        asked(page, "What is hot?")
        asked(page, "What is cold?")
        release(reader.page.state_holder)
        asked(page, "Is tea a drink?")
        expect(page.locator(".pq-question")).to_have_text(["Is tea a drink?"])
        lists(page, "Is tea a drink?", "What is hot?")
        page.get_by_role("button", name="History").click()
        page.get_by_role("button", name="What is hot?").click()
        expect(page.locator(".pq-question")).to_have_text(["What is hot?", "What is cold?"])


def test_a_first_question_that_is_edited_stays_the_same_conversation() -> None:
    controller, session = ChatController(cast("Any", Parrot())), ChatSession()
    [*_, talk] = controller.ask("What is hot?", (), session)
    session.mark_saved(session.snapshot(talk or ()))
    first = session.id
    assert controller.take_back(talk or (), session) == ("What is hot?", ())
    [*_, talk] = controller.ask("What is cold?", (), session)
    assert (session.id, session.snapshot(talk or (), session.saved_entry).title) == (first, "What is cold?")
    list(controller.ask("Is tea a drink?", (), session))
    assert session.id != first, "an empty page begins another one"


def test_a_saved_conversation_is_not_saved_again() -> None:
    history, session = HistoryHandlers(None), ChatSession()
    [*_, talk] = ChatController(cast("Any", Parrot())).ask("What is hot?", (), session)
    request = cast("gr.Request", None)
    assert talk
    assert "keep" in history.save(talk, session, request)
    assert history.save(talk, session, request) == gr.skip()
    assert "keep" in history.save((replace(talk[-1], id="another"),), session, request)


def post(url: str, path: str, data: dict[str, Any]) -> dict[str, Any]:
    status, answer = text(f"{url}gradio_api/{path}", json.dumps(data).encode())
    assert status == 200
    found: dict[str, Any] = json.loads(answer)
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait until it does, for half a minute at most."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never holds")


def kept_of(page: gr.Blocks) -> set[str]:
    """The sessions with any state on the server."""
    queue, holder = page._queue, page.state_holder
    told = {*queue.pending_event_ids_session, *queue.pending_messages_per_session}
    return told | {*holder.session_data, *holder.time_last_used, *page.pending_streams, *page.pending_diff_streams}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are dropped as soon as their page is closed."""
    for name, seconds in (("GRACE", 0), ("UNREAD_GRACE", 0), ("EXPIRY_INTERVAL", 0.1)):
        monkeypatch.setattr(f"ui.server.sessions.{name}", seconds)


@pytest.mark.slow
def test_a_program_that_asks_without_a_session_leaves_none_behind(tmp_path: Path) -> None:
    page = chat_page(tmp_path)
    with served(page) as url:
        events = [post(url, "call/ask", {"data": ["What is hot?"]})["event_id"] for _ in range(20)]
        for event in events[:10]:
            assert "Tea is hot." in text(f"{url}gradio_api/call/ask/{event}")[1]
        until(lambda: not page._queue.event_ids_to_events)
        assert not page.state_holder.session_data
        assert "Tea is hot." in text(f"{url}gradio_api/call/ask/{events[-1]}")[1], "until then it can be fetched"
        sessions = Sessions(page)
        sessions.forget_old(0)
        assert kept_of(page) == set(events)
        sessions.forget_old(ui_sessions.UNREAD_GRACE)
        assert kept_of(page) == set()


def live_sessions() -> int:
    gc.collect()
    return sum(
        type(kept) is ChatSession for kept in gc.get_objects()
    )  # isinstance would ask every object for its class


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_no_session_stays_in_memory(tmp_path: Path) -> None:
    page = chat_page(tmp_path)
    [box] = [block for block in page.blocks.values() if block.elem_id == "pq-box"]
    [submit] = [number for number, fn in page.fns.items() if (box._id, "submit") in fn.targets]
    inputs = [None if block.skip_api else block.value for block in page.fns[submit].inputs]
    inputs[0] = "What is hot?"
    with served(page) as url:
        before = live_sessions()
        for n in range(100):
            post(url, "queue/join", {"data": inputs, "fn_index": submit, "session_hash": f"session{n}"})
        until(lambda: kept_of(page) == set())
        assert live_sessions() <= before


@in_a_browser
@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_session_lasts_as_long_as_its_page_is_open(tab: Page, tmp_path: Path) -> None:  # noqa: F811
    page = chat_page(tmp_path, "in the browser")
    with served(page) as url:
        ask(opened(tab, url), "What is hot?")
        [own] = page.state_holder.session_data
        others = [tab.context.new_page() for _ in range(3)]
        for other in others:
            ask(opened(other, url), "What is cold?")
            other.wait_for_timeout(500)
            other.close()
        until(lambda: kept_of(page) == {own})
        ask(tab, "Is tea a drink?")
        expect(tab.locator(".pq-question")).to_have_text(["What is hot?", "Is tea a drink?"])
        tab.wait_for_timeout(500)
        tab.goto("about:blank")
        until(lambda: kept_of(page) == set())


def test_an_idle_session_is_dropped(tmp_path: Path) -> None:
    page = chat_page(tmp_path)
    asgi_app(Site(page))
    holder, sessions = page.state_holder, Sessions(page)
    assert holder.capacity == ui_sessions.MOST_SESSIONS
    with sessions.opened("open"), sessions.opened("open"):
        for name in ("open", "left", "back"):
            holder[name].is_closed = True
        sessions.forget_old(0)
        with sessions.opened("back"):
            sessions.forget_old(ui_sessions.GRACE / 2)
        assert not holder["back"].is_closed, "its page is there again"
        assert not holder["open"].is_closed
        sessions.forget_old(ui_sessions.GRACE)
        assert kept_of(page) == {"open", "back"}
        sessions.forget_old(ui_sessions.GRACE * 3)
        assert kept_of(page) == {"open"}
    sessions.forget_old(ui_sessions.GRACE * 4)
    sessions.forget_old(ui_sessions.GRACE * 5)
    assert kept_of(page) == set()
