"""The chat page in a real browser, over a real index of two small articles, one of them hostile."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import urlsplit

import pytest

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright  # noqa: E402

from eval.pairs.labelling import Draft, read_drafts  # noqa: E402
from ingest import ingest  # noqa: E402
from ingest.articles.passages import SPLITTER, split  # noqa: E402
from ingest.content.types import Options  # noqa: E402
from ingest.updater import Model  # noqa: E402
from rag.chain import LONGEST_QUESTION, Chain, Scope  # noqa: E402
from rag.config import Config  # noqa: E402
from rag.models.embedding import load_embedder  # noqa: E402
from rag.schema import Answer, Article, Turn  # noqa: E402
from rag.store.catalog.rows import StoredArticle  # noqa: E402
from rag.store.writer import open_for_writing  # noqa: E402
from tests.support.llm_server import BREAK, Scripted, scripted  # noqa: E402
from tests.support.parrot import OneArticle, Parrot  # noqa: E402
from tests.ui.server.test_app import _no_open_loops, served  # noqa: E402, F401
from ui.page.app import build_app  # noqa: E402
from ui.page.history import HistoryHandlers  # noqa: E402
from ui.page.view import Stores  # noqa: E402
from ui.server.app import Service  # noqa: E402
from ui.services.uploads import Uploads  # noqa: E402
from ui.wording import writer_label  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
expect.set_options(timeout=30_000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH"),
]

QUESTION = "When will the Varnmouth harbour reopen?"
EXAMPLE = "Which judge signed the agreement with the dockworkers?"
HARBOUR = {
    "id": "harbour",
    "title": "Varnmouth harbour to reopen",
    "source": "Harbour Wire",
    "url": "https://harbour-wire.example/reopen",
    "author": "Joss Emberley",
    "date": "2024-11-04",
    "text": "The Varnmouth harbour will reopen on Friday after a strike of three weeks.\n\n"
    "Dockworkers had asked for a raise of nine percent. The agreement was signed by Judge Orla Fennimore.",
}
HOSTILE_SENTENCE = (
    "The zeppelin museum sells <b>bold</b> **stars** $x$ $$y$$ {{7*7}} ${7*7} `ticks` <script>window.hacked=1</script> "
    '<img src=x onerror="window.hacked=1"> [a](javascript:window.hacked=1) ![p](http://203.0.113.5/pixel.png) tickets.'
)
HOSTILE = {
    "id": "hostile",
    "title": '"><img src=x onerror="window.hacked=1"> **Zeppelin** <script>window.hacked=1</script>',
    "source": "<iframe src=http://203.0.113.5/></iframe>",
    "url": "javascript:window.hacked=1",
    "author": "' onmouseover='window.hacked=1",
    "text": f"# heading\n\n{HOSTILE_SENTENCE}\n\nVisitors of the zeppelin museum came from far away.",
}


def harbour_index(folder: Path) -> Config:
    """The settings of an index of the one article, made in a folder."""
    articles, config = folder / "articles.json", Config(index=folder / "index")
    articles.write_text(json.dumps(HARBOUR), "utf-8")
    assert ingest([articles], config).added == 1
    return config


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    config = harbour_index(folder)
    # No reader lets markup through; the page must not rely on it.
    hostile, embedder = Article(**HOSTILE), load_embedder(config.embedding_model)
    passages = split(hostile)
    vectors = embedder.embed_texts([p.indexed_text for p in passages], [p.indexed_sentences for p in passages])
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        writer.put([StoredArticle(hostile, passages, *vectors)])
    with served(build_app(Chain.from_config(config), lambda: [EXAMPLE])) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield launched
        launched.close()


LOST = ("ERR_CONNECTION_REFUSED", "errored out")
"""What a page says whose connection is lost."""


def is_gone(url: str) -> bool:
    """Has the server of an address ended? A page that is open then says that it has lost it."""
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname, at.port or 80), 1).close()
    except OSError:
        return True
    return False


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A page of its own, which must have asked nobody but this machine and raised nothing when the test is over.

    A test names the fixture that serves the page first: it then ends last, and cuts off no request of this one.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    hosts, problems = set[str](), list[str]()

    def tell(message: ConsoleMessage) -> None:
        lost = any(text in message.text for text in LOST) and is_gone(message.location["url"])
        if message.type == "error" and not lost:
            problems.append(message.text)

    context.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or urlsplit(request.url).scheme))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", tell)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    yield page
    assert page.is_closed() or page.evaluate("window.hacked") is None
    context.close()
    assert hosts - {"data", "blob"} == {"127.0.0.1"}
    assert problems == []


@pytest.fixture
def page(tab: Page, url: str) -> Page:
    """The chat over the two articles."""
    return opened(tab, url)


@dataclass
class WrittenPage:
    """A page whose answers are written by a scripted model; MARK in its pieces is the first passage's mark."""

    url: str
    server: Scripted
    pieces: list[Any] = field(default_factory=list)

    def reply(self, prompt: str) -> Iterator[Any]:
        [mark, *_] = re.findall(r"^mark: \[(\w+)\]$", prompt, re.MULTILINE)
        for piece in self.pieces:
            if isinstance(piece, threading.Event):
                assert piece.wait(60)
            else:
                yield piece.replace("MARK", mark) if isinstance(piece, str) else piece


@pytest.fixture
def written(tmp_path: Path) -> Iterator[WrittenPage]:
    config = harbour_index(tmp_path)
    plain = Chain.from_config(config)
    page = WrittenPage("", Scripted())
    with scripted(page.reply) as page.server:
        chain = plain.with_llm(replace(config, llm="tiny", llm_base_url=page.server.url))
        with served(build_app(chain, others={writer_label(""): plain})) as page.url:
            yield page


def opened(tab: Page, url: str) -> Page:
    tab.goto(url)
    expect(tab.get_by_label("Your question")).to_be_visible()
    return tab


def ask(page: Page, question: str) -> None:
    answers = page.locator(".pq-footing, .pq-notice, .pq-error").count()
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")
    expect(page.locator(".pq-footing, .pq-notice, .pq-error")).not_to_have_count(answers)
    expect(page.locator(".pq-pending")).to_have_count(0)
    expect(page.get_by_label("Your question")).to_have_value("")


def visible(page: Page, selector: str) -> list[str]:
    return [e.inner_text() for e in page.locator(selector).all() if e.is_visible()]


def test_the_empty_page_tells_what_there_is_to_ask(page: Page) -> None:
    assert page.title() == "Pullquote"
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".pq-empty")).to_contain_text("2 articles")
    expect(page.locator("footer")).not_to_be_visible()
    page.get_by_text(EXAMPLE).click()
    expect(page.locator(".pq-text")).to_contain_text("signed by Judge Orla Fennimore")
    expect(page.locator(".pq-question")).to_have_text(EXAMPLE)


def test_an_answer_with_its_marker_card_and_highlight(page: Page) -> None:
    ask(page, QUESTION)
    expect(page.locator(".pq-text")).to_contain_text("will reopen on Friday")
    expect(page.locator(".pq-footing")).to_contain_text("supported")
    assert not re.search(r"\d\.\d", page.locator(".pq-footing").inner_text())
    card = page.locator(".pq-card").first
    expect(card.locator("h3 a")).to_have_attribute("href", HARBOUR["url"])
    expect(card.locator("h3 a")).to_have_attribute("rel", "noopener noreferrer")
    expect(card.locator("mark").first).to_have_text(
        "The Varnmouth harbour will reopen on Friday after a strike of three weeks."
    )
    expect(card.locator(".pq-byline")).to_have_text("Harbour Wire · 4 November 2024 · by Joss Emberley")
    assert HARBOUR["title"] in (page.locator(".pq-marker").first.get_attribute("title") or "")


class Slow(Parrot):
    """A chain that says its second sentence when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        first, second = super().stream(question, history, **scope)
        yield first
        assert self.go_on.wait(60)
        yield second


def test_the_answer_comes_in_sentence_by_sentence(tab: Page) -> None:
    chain = Slow()
    with served(build_app(chain)) as url:
        page = opened(tab, url)
        page.get_by_label("Your question").fill("What is hot?")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator(".pq-marker")).to_have_count(1)
        expect(page.locator("mark")).to_have_text("Tea is hot.")
        expect(page.locator(".pq-text")).not_to_contain_text("Ice")
        page.get_by_label("Your question").fill("And what is next?")
        page.get_by_label("Your question").press("Enter")
        chain.go_on.set()
        expect(page.locator(".pq-question")).to_have_text(["What is hot?", "And what is next?"])
        expect(page.get_by_label("Your question")).to_have_value("")
        expect(page.locator(".pq-marker")).to_have_count(4)
        expect(page.locator(".pq-text").first).to_contain_text("Ice is cold.")
        page.close()


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_marker_opens_its_article_at_the_quote_and_leads_back(page: Page, by: str) -> None:
    ask(page, QUESTION)
    marker, span = page.locator("#pq-a-1-1"), page.locator("#pq-span")
    for back in (".pq-number", ".pq-bar button", "Escape"):
        follow(marker, by)
        expect(span).to_be_focused()
        expect(span).to_be_in_viewport()
        expect(span).to_have_text("The Varnmouth harbour will reopen on Friday after a strike of three weeks.")
        reading = page.locator(".pq-reading")
        expect(reading).to_contain_text("Dockworkers had asked for a raise of nine percent.")
        expect(reading.locator("h2 a")).to_have_attribute("href", HARBOUR["url"])
        expect(page.locator("#pq-sources")).to_be_hidden()
        page.keyboard.press("Escape") if back == "Escape" else follow(reading.locator(back).first, by)
        expect(marker).to_be_focused()
        expect(page.locator("#pq-sources")).to_be_visible()
    assert "#pq-" not in page.url


def test_an_article_is_read_asked_alone_and_leads_to_related_ones(page: Page) -> None:
    ask(page, QUESTION)
    page.get_by_role("button", name="Read the article").first.click()
    page.locator(".pq-related button").click()
    expect(page.locator(".pq-reading h2")).to_have_text(HOSTILE["title"])
    expect(page.locator(".pq-body")).to_contain_text(HOSTILE_SENTENCE)
    expect(page.locator("#pq-reader :is(img, script, iframe, strong, code, h1)")).to_have_count(0)
    page.get_by_role("button", name="Ask this article only").click()
    expect(page.locator(".pq-aim")).to_have_text(f"Only “{HOSTILE['title']}” ×")
    ask(page, QUESTION)
    assert HARBOUR["title"] not in "".join(visible(page, ".pq-card h3"))
    expect(page.locator(".pq-only")).to_have_text("Only articles in 1 chosen article")
    page.locator(".pq-aim button").click()
    expect(page.locator(".pq-aim")).to_have_count(0)
    ask(page, QUESTION)
    expect(page.locator(".pq-text").last).to_contain_text("reopen on Friday")


def test_a_question_is_asked_again_and_edited(page: Page) -> None:
    ask(page, QUESTION)
    ask(page, EXAMPLE)
    expect(page.get_by_role("button", name="Edit question")).to_have_count(1)
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".pq-text").last).to_contain_text("Fennimore")
    expect(page.locator(".pq-question")).to_have_text([QUESTION, EXAMPLE])
    page.get_by_role("button", name="Edit question").click()
    expect(page.get_by_label("Your question")).to_have_value(EXAMPLE)
    expect(page.locator(".pq-question")).to_have_text([QUESTION])
    ask(page, "Who signed the agreement?")
    expect(page.locator(".pq-question")).to_have_text([QUESTION, "Who signed the agreement?"])


def test_all_articles_are_listed_found_sorted_and_read(page: Page) -> None:
    page.get_by_role("button", name="Articles", exact=True).click()
    rows = page.locator(".pq-table tbody th")
    expect(rows).to_have_text([HOSTILE["title"], HARBOUR["title"]])
    expect(page.get_by_label("Your question")).to_be_hidden()
    page.get_by_role("button", name="Date").click()
    expect(rows).to_have_text([HARBOUR["title"], HOSTILE["title"]])
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Date")
    page.get_by_label("Find articles").fill("emberley wire")
    expect(rows).to_have_text([HARBOUR["title"]])
    rows.get_by_role("button").click()
    expect(page.locator(".pq-body")).to_contain_text("Dockworkers had asked")
    expect(page.locator(".pq-table :is(img, script, iframe)")).to_have_count(0)
    page.get_by_label("Find articles").fill("nothing at all")
    expect(page.get_by_text("No article has these words")).to_be_visible()
    page.get_by_role("button", name="Chat").click()
    expect(page.get_by_label("Your question")).to_be_visible()


def test_settings_are_used_and_told(page: Page) -> None:
    page.get_by_role("button", name="Settings").click()
    expect(page.locator(".pq-facts")).to_contain_text("2 articles, 2 passages")
    expect(page.locator("#pq-settings-view")).to_contain_text("no language model is in use")
    page.get_by_label("number input for Sentences in an answer, at most").fill("1")
    page.get_by_label("number input for Sentences in an answer, at most").press("Enter")
    page.get_by_role("button", name="Chat").click()
    ask(page, "What had the dockworkers asked for, and who signed the agreement?")
    expect(page.locator("a.pq-marker")).to_have_count(1)


LIGHTHOUSE = "# Lighthouse of Osk goes dark\n\nThe lighthouse of Osk was switched off on Sunday by Ilse Vandermoor."


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[str]:
    """A page on which articles can be added, over one article."""
    config = harbour_index(tmp_path)
    chain = Chain.from_config(config)
    uploads = Uploads(config, chain.index, Model(config.embedding_model, chain.retriever.embedder))
    with served(build_app(chain, stores=Stores(uploads=uploads)), Service(megabytes=1)) as url:
        yield url


def test_articles_are_added_asked_and_removed(shelf: str, tab: Page, tmp_path: Path) -> None:
    page = opened(tab, shelf)
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_role("button", name="Add articles").click()
    files = [("osk.md", LIGHTHOUSE), ("<img src=x onerror=window.hacked=1>.json", '{"broken')]
    payload = [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in files]
    page.locator("#pq-files input[type=file]").set_input_files(payload)  # type: ignore[arg-type]
    expect(page.locator("#pq-progress li")).to_have_count(2)
    progress = page.locator("#pq-progress")
    expect(progress).to_contain_text("osk.md 1 article")
    expect(progress).to_contain_text("holds no article; is not JSON")
    expect(progress.locator("img")).to_have_count(0)
    assert [file.name for file in (tmp_path / "index.articles").iterdir()] == ["osk.md"]
    expect(page.locator(".pq-table tbody th")).to_have_text(["Lighthouse of Osk goes dark", HARBOUR["title"]])
    page.get_by_role("button", name="Chat").click()
    ask(page, "Who switched off the lighthouse of Osk?")
    expect(page.locator(".pq-text")).to_contain_text("Ilse Vandermoor")
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_label("Select Lighthouse of Osk goes dark").check()
    page.get_by_role("button", name="Remove selected").click()
    confirm = page.locator(".pq-confirm")
    expect(confirm).to_contain_text("Lighthouse of Osk goes dark")
    confirm.get_by_role("button", name="Keep them").click()
    expect(confirm).to_have_count(0)
    page.get_by_role("button", name="Remove selected").click()
    confirm.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".pq-table tbody th")).to_have_text([HARBOUR["title"]])
    assert list((tmp_path / "index.articles").iterdir()) == []
    page.get_by_role("button", name="Chat").click()
    ask(page, "Who switched off the lighthouse of Osk?")
    expect(page.locator(".pq-text").last).to_have_text("The articles do not answer this.")


def test_a_folder_is_added_and_what_another_process_adds_is_shown(shelf: str, tab: Page, tmp_path: Path) -> None:
    folder = tmp_path / "news"
    (folder / "deep").mkdir(parents=True)
    (folder / "osk.md").write_text(LIGHTHOUSE, "utf-8")
    (folder / "deep" / "osk.md").write_text("# Mill sold\n\nThe mill of Tarn was sold on Friday.", "utf-8")
    page = opened(tab, shelf)
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_role("button", name="Add articles").click()
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose a folder").click()
    chosen.value.set_files(folder)
    expect(page.locator("#pq-progress")).to_contain_text("2 added")
    titles = page.locator(".pq-table tbody th")
    expect(titles).to_have_count(3)
    elsewhere = tmp_path / "dam.md"
    elsewhere.write_text("# Dam of Vell is full\n\nThe dam of Vell ran over on Monday.", "utf-8")
    ingest([elsewhere], Config(index=tmp_path / "index"), options=Options(keep=True))
    expect(titles.filter(has_text="Dam of Vell is full")).to_have_count(1)


def test_a_text_is_pasted_and_what_is_wrong_is_told(shelf: str, tab: Page) -> None:
    page = opened(tab, shelf)
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_role("button", name="Add articles").click()
    page.get_by_role("button", name="Add this text").click()
    expect(page.locator("#pq-progress")).to_contain_text("there is no text")
    page.get_by_label("Addresses of pages or feeds").fill("file:///etc/passwd")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator("#pq-progress")).to_contain_text("is no address")
    page.get_by_label("Text of an article").fill("The mill of Tarn was sold on Friday.")
    page.get_by_label("Title").fill("Mill sold")
    page.get_by_label("Date").fill("2024-05-04")
    page.get_by_role("button", name="Add this text").click()
    expect(page.locator("#pq-progress")).to_contain_text("1 added")
    expect(page.locator(".pq-table tbody tr").first).to_contain_text("4 May 2024")


def test_what_nobody_expects_while_something_is_added_is_told_and_the_next_one_is_added(
    shelf: str, tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk is on fire")

    page = opened(tab, shelf)
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_role("button", name="Add articles").click()
    page.get_by_label("Text of an article").fill("The mill of Tarn was sold on Friday.")
    with monkeypatch.context() as patch:
        patch.setattr("ui.services.uploads.ingest", broken)
        page.get_by_role("button", name="Add this text").click()
        expect(page.locator("#pq-progress")).to_contain_text("something unexpected went wrong")
    expect(page.locator("#pq-progress")).not_to_contain_text("fire")
    page.get_by_role("button", name="Add this text").click()
    expect(page.locator("#pq-progress")).to_contain_text("1 added")
    expect(page.locator(".pq-table tbody tr")).to_have_count(2)


def test_a_conversation_is_there_after_a_reload_and_can_be_found_again(page: Page) -> None:
    ask(page, QUESTION)
    ask(page, EXAMPLE)
    expect(page).to_have_url(re.compile("#conversation="))
    link = page.url
    page.wait_for_function("words => Object.values(localStorage).some(text => text.includes(words))", arg=EXAMPLE)
    page.wait_for_timeout(500)  # an event that a reload cuts off is an error of the console's
    page.reload()
    expect(page.locator(".pq-question")).to_have_text([QUESTION, EXAMPLE])
    page.locator("#pq-a-1-1").click()
    expect(page.locator("#pq-span")).to_contain_text("reopen on Friday")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".pq-question")).to_have_count(0)
    assert "#" not in page.url
    ask(page, "What does the zeppelin museum sell?")
    page.get_by_role("button", name="History").click()
    titles = page.locator(".pq-history [name=reopen]")
    expect(titles).to_have_text(["What does the zeppelin museum sell?", QUESTION])
    page.get_by_label("Find conversations").fill("HARBOUR dockworkers")
    expect(titles).to_have_text([QUESTION])
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title", exact=True).fill("<img src=x onerror=window.hacked=1>")
    page.get_by_label("Title", exact=True).press("Enter")
    expect(titles).to_have_text(["<img src=x onerror=window.hacked=1>"])
    for kind, ending in (("Markdown", ".md"), ("JSON", ".json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).click()
        assert download.value.suggested_filename.endswith(ending)
        assert "reopen on Friday" in Path(download.value.path()).read_text("utf-8")
    page.get_by_role("button", name="Delete").click()
    expect(titles).to_have_count(1)
    page.get_by_role("button", name="Delete for good?").click()
    expect(page.get_by_text("No conversation has these words")).to_be_visible()
    page.get_by_label("Find conversations").fill("")
    titles.click()
    expect(page.locator(".pq-question")).to_have_text(["What does the zeppelin museum sell?"])
    ask(page, EXAMPLE)
    expect(page.locator(".pq-text").last).to_contain_text("Fennimore")
    page.wait_for_timeout(500)
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_label("Your question")).to_be_visible()
    expect(page.locator(".pq-question")).to_have_count(0)


def test_a_conversation_that_is_saved_while_the_list_is_made_is_listed(
    tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, saved = threading.Event(), threading.Event()
    listed, save = HistoryHandlers.listed, HistoryHandlers.save

    @wraps(listed)
    def slow_listed(*given: Any) -> str:
        listing.set()
        assert saved.wait(60)
        return listed(*given)

    @wraps(save)
    def late_save(*given: Any) -> Any:
        assert listing.wait(60)
        return save(*given)

    monkeypatch.setattr(HistoryHandlers, "listed", slow_listed)
    monkeypatch.setattr(HistoryHandlers, "save", late_save)
    with served(build_app(Parrot())) as url:  # type: ignore[arg-type]
        page = opened(tab, url)
        ask(page, "What is hot?")
        page.get_by_role("button", name="History").click()
        page.wait_for_function("() => Object.keys(localStorage).some(key => key.startsWith('pullquote.'))")
        saved.set()
        expect(page.locator(".pq-history [name=reopen]")).to_have_text(["What is hot?"])
        page.close()


READ = "What did The Cup say in March 2024?"


def chip(page: Page, label: str) -> playwright_api.Locator:
    return page.get_by_role("button", name=label)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_chip_takes_its_filter_off(tab: Page, by: str) -> None:
    parrot = Parrot()
    with served(build_app(parrot)) as url:  # type: ignore[arg-type]
        page = opened(tab, url)
        ask(page, "What is hot?")
        ask(page, READ)
        expect(page.locator(".pq-text b").last).to_have_text("hot")
        expect(page.locator("#pq-chat .option")).to_have_text(["published in March 2024 ×", "from The Cup <b>& ×"])
        page.get_by_role("button", name="Like", exact=True).last.click()
        follow(chip(page, "published in March 2024"), by)
        expect(page.get_by_role("button", name="Liked")).to_have_count(0)
        expect(page.locator("#pq-chat .option")).to_have_text(["from The Cup <b>& ×"])
        assert parrot.asked[-1][2]["lifted"] == ("in March 2024",)
        expect(page.locator(".pq-question")).to_have_text(["What is hot?", READ])
        ask(page, READ)
        expect(page.locator("#pq-chat .option")).to_have_count(2)
        expect(page.locator("#pq-chat .pq-only")).to_have_text(["Only articles from The Cup <b>&"])
        page.close()


def test_no_chip_is_there_while_an_answer_comes_in_and_a_question_cuts_a_second_try_off(tab: Page) -> None:
    chain = Slow()
    with served(build_app(chain)) as url:  # type: ignore[arg-type]
        page = opened(tab, url)
        page.get_by_label("Your question").fill(READ)
        page.get_by_label("Your question").press("Enter")
        expect(page.locator(".pq-only")).to_have_text("Only articles published in March 2024, from The Cup <b>&")
        expect(page.locator("#pq-chat .option")).to_have_count(0)
        chain.go_on.set()
        expect(page.locator("#pq-chat .option")).to_have_count(2)
        chain.go_on.clear()
        chip(page, "published in March 2024").click()
        expect(page.locator("#pq-chat .option")).to_have_count(0)
        expect(page.locator(".pq-only")).to_have_text("Only articles from The Cup <b>&")
        page.get_by_label("Your question").fill("What is next?")
        page.get_by_label("Your question").press("Enter")
        expect(page.locator(".pq-question")).to_have_text([READ, "What is next?"])
        chain.go_on.set()
        expect(page.locator(".pq-text")).to_contain_text("Ice is cold.")
        expect(page.locator(".pq-error")).to_contain_text("interrupted")
        page.close()


def test_articles_are_chosen_under_the_box(tab: Page) -> None:
    parrot = Parrot()
    tab.set_viewport_size({"width": 390, "height": 844})
    with served(build_app(parrot)) as url:  # type: ignore[arg-type]
        page = opened(tab, url)
        group = page.locator("#pq-filters > button")
        expect(group).to_have_text(re.compile("All articles"))
        group.click()
        page.get_by_label("From").click()
        page.get_by_role("option", name="The Saucer, daily").click()
        page.get_by_label("Published since").fill("31/3/2024")
        page.get_by_label("Published until").click()
        expect(page.locator(".pq-problem")).to_contain_text("write it as YYYY-MM-DD")
        page.get_by_label("Your question").fill("What is hot?")
        page.get_by_label("Your question").press("Enter")
        expect(page.locator(".pq-error")).to_contain_text("is no date")
        expect(page.get_by_label("Your question")).to_have_value("What is hot?")
        page.get_by_label("Published since").fill("2024-03-31")
        page.get_by_label("Published since").press("Enter")
        expect(group).to_have_text(re.compile("published since 31 March 2024, from The Saucer, daily"))
        expect(page.locator(".pq-problem")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ask(page, "What is hot?")
        expect(page.locator(".pq-only")).to_have_text(
            "Only articles published since 31 March 2024, from The Saucer, daily"
        )
        expect(page.locator("#pq-chat .options")).to_have_count(0)
        assert parrot.asked[-1][2]["filters"].sources == ("The Saucer, daily",)
        page.close()


TYPE_AT_ONCE = """button => new Promise(typed => {
  const type = () => {
    const box = document.querySelectorAll("#pq-dates input")[1];
    if (!box) return setTimeout(type);
    box.value = "2024-12-31";
    box.dispatchEvent(new Event("input", { bubbles: true }));
    typed();
  };
  button.click();
  type();
})"""


def test_what_is_typed_as_soon_as_the_filters_open_is_kept(tab: Page) -> None:
    with served(build_app(Parrot())) as url:  # type: ignore[arg-type]
        page = opened(tab, url)
        page.locator("#pq-filters > button").evaluate(TYPE_AT_ONCE)
        page.get_by_label("Published until").press("Enter")
        expect(page.locator("#pq-filters > button")).to_have_text(re.compile("published until 31 December 2024"))
        expect(page.get_by_label("Published until")).to_have_value("2024-12-31")
        page.close()


def follow(link: playwright_api.Locator, by: str) -> None:
    link.click() if by == "mouse" else link.press("Enter")


def test_an_older_marker_brings_back_its_answers_sources(page: Page) -> None:
    ask(page, QUESTION)
    ask(page, EXAMPLE)
    expect(page.locator("#pq-turn-1")).to_be_hidden()
    page.locator("#pq-a-1-1").click()
    expect(page.locator("#pq-span")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#pq-turn-1")).to_be_visible()
    expect(page.locator("#pq-turn-2")).to_be_hidden()
    ask(page, QUESTION)
    expect(page.locator("#pq-turn-3")).to_be_visible()
    expect(page.locator("#pq-turn-1")).to_be_hidden()


def test_what_the_articles_do_not_say(page: Page) -> None:
    ask(page, "Who won the chess boxing cup in 1998?")
    expect(page.locator(".pq-text")).to_have_text("The articles do not answer this.")
    expect(page.locator(".pq-notice")).to_contain_text("nearest")
    expect(page.locator(".pq-turn h2")).to_have_text("Nearest passages")
    assert page.locator(".pq-card").count() in (1, 2)
    expect(page.locator("mark")).to_have_count(0)


def test_what_articles_and_questions_say_is_shown_not_run(page: Page) -> None:
    question = f"What does the zeppelin museum sell? {HOSTILE['title']} **b** $$x$$ {{{{7*7}}}}"
    ask(page, question)
    expect(page.locator(".pq-question")).to_have_text(question)
    expect(page.locator(".pq-for")).to_have_text(question)
    card = page.locator(".pq-card", has_text="Zeppelin")
    expect(card.locator("h3")).to_have_text(HOSTILE["title"])
    expect(card.locator("h3 a")).to_have_count(0)
    expect(card.locator(".pq-byline")).to_have_text(f"{HOSTILE['source']} · by {HOSTILE['author']}")
    expect(card.locator(".pq-passage")).to_contain_text(HOSTILE_SENTENCE)
    expect(page.locator(".pq-text")).to_contain_text(HOSTILE_SENTENCE)
    expect(page.locator("#pq-chat :is(img, script, iframe, strong, code, h1)")).to_have_count(0)
    expect(page.locator("#pq-sources :is(img, script, iframe, strong, code, h1)")).to_have_count(0)
    page.locator(".pq-marker").first.hover()


def test_an_error_is_a_line_and_the_page_goes_on(page: Page) -> None:
    ask(page, "why " * LONGEST_QUESTION)
    expect(page.locator(".pq-error")).to_contain_text("shorten it")
    expect(page.locator("body")).not_to_contain_text("Traceback")
    ask(page, QUESTION)
    expect(page.locator("#pq-a-2-1")).to_be_visible()


def test_an_empty_question_and_a_new_conversation(page: Page) -> None:
    box = page.get_by_label("Your question")
    box.press("Enter")
    box.fill("  ")
    box.press("Enter")
    page.get_by_role("button", name="Ask").click()
    ask(page, QUESTION)
    expect(page.locator(".pq-question")).to_have_count(1)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".pq-question")).to_have_count(0)
    expect(page.locator(".pq-empty")).to_be_visible()
    expect(page.locator("#pq-sources .pq-hint")).to_be_visible()


def test_a_screen_reader_hears_no_markup(page: Page) -> None:
    ask(page, QUESTION)
    expect(page.locator("#pq-chat [aria-label*='<']")).to_have_count(0)


def test_a_narrow_page_has_the_panel_below_and_no_sideways_scroll(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ask(page, f"What does the zeppelin museum sell? {'x' * 300}")
    box, panel = page.locator("#pq-box").bounding_box(), page.locator("#pq-panel").bounding_box()
    assert box
    assert panel
    assert panel["y"] >= box["y"] + box["height"]
    assert panel["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_a_narrow_page_the_newest_question_is_in_view(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    for _ in range(3):
        ask(page, QUESTION)
    expect(page.locator(".pq-question").last).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    expect(page.locator("body.dark")).to_have_count(int(scheme == "dark"))
    ask(page, QUESTION)
    for selector in (
        ".pq-text",
        ".pq-footing",
        ".pq-marker",
        ".pq-number",
        ".pq-byline",
        ".pq-passage",
        "mark",
        ".pq-for",
        "#pq-filters .label-wrap",
    ):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Page, selector: str) -> float:
    """WCAG 2's contrast ratio of an element's text to what is painted behind it."""
    colours = page.locator(selector).first.evaluate(
        """e => { const text = getComputedStyle(e).color;
                  const painted = c => !/rgba\\(.*, 0\\)|transparent/.test(c);
                  for (; e; e = e.parentElement) {
                    const behind = getComputedStyle(e).backgroundColor;
                    if (painted(behind)) return [text, behind];
                  } }"""
    )
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_thumb_is_written_down(browser: Browser, tmp_path: Path) -> None:
    with served(build_app(Parrot(OneArticle(tmp_path / "index")))) as url:  # type: ignore[arg-type]
        page = browser.new_page(reduced_motion="reduce")
        page.goto(url)
        expect(page.get_by_label("Your question")).to_be_visible()
        ask(page, "What is hot?")
        page.get_by_role("button", name="Dislike").click()
        expect(page.get_by_role("button", name="Disliked")).to_be_visible()
        page.get_by_label("What was wrong with it?").fill("Tea <b>is</b> cold.")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_label("What was wrong with it?")).to_be_hidden()
        page.close()
    [draft] = read_drafts(tmp_path / "index.feedback.jsonl")
    assert isinstance(draft, Draft)
    assert (draft.pair.question, draft.verdict) == ("What is hot?", "disliked it because: Tea <b>is</b> cold.")


LETTER = "The Varnmouth harbour will reopen on Friday after a strike."


def test_a_model_writes_is_stopped_breaks_off_and_the_chat_goes_on(written: WrittenPage, tab: Page) -> None:
    page = opened(tab, written.url)
    box, live = page.get_by_label("Your question"), page.locator(".pq-live")
    expect(page.get_by_role("button", name="Stop")).not_to_be_visible()
    written.pieces = [f"{LETTER} [MARK] It was quite long", threading.Event(), " ago.", BREAK]
    box.fill(QUESTION)
    box.press("Enter")
    expect(page.locator(".pq-unchecked")).to_have_text("It was quite long")
    expect(page.locator("a.pq-marker")).to_have_count(1)
    expect(live).to_have_count(1)
    written.pieces[1].set()
    expect(live).to_have_count(0)
    expect(page.locator(".pq-text")).to_have_text(f"{LETTER} [1] It was quite long ago. unsupported")
    expect(page.locator(".pq-notice")).to_contain_text("broke off")
    page.locator("a.pq-marker").click()
    expect(page.locator("mark").first).to_have_text(HARBOUR["text"].partition("\n")[0])

    written.pieces = ["<img src=x onerror=window.hacked=1>It is [a link](http://203.0.113.5/) and", 600]
    box.fill(QUESTION)
    box.press("Enter")
    expect(page.locator(".pq-unchecked")).to_have_text("It is a link and")
    page.get_by_role("button", name="Stop").click()
    expect(live).to_have_count(0)
    expect(page.locator(".pq-notice").last).to_contain_text("Stopped")
    expect(page.locator(".pq-text").last).to_have_text("It is a link and …")
    expect(page.locator(".pq-notice").last).to_contain_text("before the first sentence was complete")
    expect(page.locator(".pq-footing").last).to_have_text("written by tiny")
    assert page.locator(".pq-answer img, .pq-answer a[href^=http]").count() == 0

    page.get_by_label("Answers").click()
    page.get_by_role("option", name="The articles’ own sentences").click()
    ask(page, QUESTION)
    expect(page.locator(".pq-text").last).to_contain_text("after a strike of three weeks. [1]")
    expect(page.locator(".pq-footing").last).not_to_contain_text("written by")
    until = time.monotonic() + 20
    while not written.server.broken_off and time.monotonic() < until:
        time.sleep(0.05)
    assert written.server.broken_off == 1, "the model's work was ended"


ARABIC = {
    "id": "arabic",
    "title": "ميناء تولم يغلق أبوابه",
    "source": "صحيفة البحر",
    "text": "أغلق ميناء تولم أبوابه يوم الثلاثاء بعد عاصفة قوية. وقال المدير إن العمل سيعود يوم الجمعة.",
}


def test_text_runs_from_right_to_left_where_it_does(tab: Page, tmp_path: Path) -> None:
    (tmp_path / "arabic.json").write_text(json.dumps(ARABIC), "utf-8")
    config = harbour_index(tmp_path)
    ingest([tmp_path / "arabic.json"], config, options=Options(keep=True))
    with served(build_app(Chain.from_config(config))) as url:
        page = opened(tab, url)
        ask(page, "متى أغلق ميناء تولم أبوابه؟")
        page.locator(".pq-marker").first.click()
        expect(page.locator("#pq-span")).to_be_visible()
        directed = [".pq-question", ".pq-text", ".pq-reading h2", "#pq-span"]
        page.get_by_role("button", name="Articles", exact=True).click()
        directed += [
            ".pq-table tbody tr:has-text('ميناء') th button",
            ".pq-table tbody tr:has-text('ميناء') td.pq-source",
        ]
        for selector in directed:
            found = page.locator(selector).first
            expect(found).to_be_attached()
            assert found.evaluate("e => getComputedStyle(e).direction") == "rtl", selector
        assert (
            page.locator(".pq-table tbody tr:has-text('Varnmouth') th button").evaluate(
                "e => getComputedStyle(e).direction"
            )
            == "ltr"
        )
        page.close()


def test_nothing_jumps_while_an_answer_comes_in(written: WrittenPage, tab: Page) -> None:
    page = opened(tab, written.url)
    ask(page, QUESTION)
    page.evaluate("""() => {
      window.jumped = 0;
      new PerformanceObserver(list => list.getEntries().forEach(entry => (window.jumped += entry.value)))
        .observe({ type: "layout-shift" });
    }""")
    box = page.locator("#pq-box").bounding_box()
    pause = threading.Event()
    words = f"{LETTER} [MARK] {'It was quite long ago, and so on. ' * 12}".split(" ")
    written.pieces = [*(f"{word} " for word in words[:60]), pause, *(f"{word} " for word in words[60:])]
    page.get_by_label("Your question").fill(QUESTION)
    page.get_by_label("Your question").press("Enter")
    expect(page.locator(".pq-text").last).to_contain_text("It was quite long")
    assert page.locator("#pq-box").bounding_box() == box
    pause.set()
    expect(page.locator(".pq-live")).to_have_count(0)
    assert page.locator("#pq-box").bounding_box() == box
    assert page.evaluate("window.jumped") < GOOD_SHIFT
    page.close()


GOOD_SHIFT = 0.1
"""What shifts in a page that feels steady (web.dev, Cumulative Layout Shift)."""
