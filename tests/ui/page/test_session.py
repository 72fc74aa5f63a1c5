"""One session from its beginning to its end, on a wide page and on a phone, light and dark, with a look at each step.

`pytest tests/ui/page/test_session.py --pictures docs/images` writes what it sees there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from eval.pairs.labelling import Draft, read_drafts
from eval.pairs.reading import sample_questions
from ingest import ingest
from ingest.updater import Model
from rag.chain import Chain
from rag.config import Config
from rag.feedback import feedback_file
from tests.conftest import SAMPLE
from tests.ui.page.test_browser import CHROMIUM, ask, browser, opened, tab, visible  # noqa: F401
from ui.page.app import build_app
from ui.page.view import Stores
from ui.services.chat import Openers
from ui.services.uploads import Uploads

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
from playwright.sync_api import Page, expect  # noqa: E402

from tests.ui.server.test_app import Service, _no_open_loops, served  # noqa: E402, F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH"),
]
LIGHTHOUSE = (
    "# Lighthouse of Osk goes dark\n\nThe keeper Ilse Vandermoor switched off the lighthouse of Osk on 4 May 2025, "
    "after ninety years. Ships are to steer by the beacon of Tarn from now on."
)
QUESTION = "What did Iraq tell the Security Council?"
COLOURS = 96
"""Of a picture; enough for ink on paper, in a third of the bytes."""
Look = Callable[[str], None]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A page over the sample articles, to which others can be added, and its index's folder."""
    config = Config(index=tmp_path / "index")
    ingest([SAMPLE], config)
    chain = Chain.from_config(config)
    uploads = Uploads(config, chain.index, Model(config.embedding_model, chain.retriever.embedder))
    with served(
        build_app(chain, Openers(chain, sample_questions), stores=Stores(uploads=uploads)), Service(megabytes=1)
    ) as url:
        yield url, config.index


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")])
def test_a_session(
    shelf: tuple[str, Path],
    tab: Page,  # noqa: F811
    width: int,
    scheme: str,
    request: pytest.FixtureRequest,
) -> None:
    url, index = shelf
    tab.set_viewport_size({"width": width, "height": 844 if width < 500 else 800})
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page = opened(tab, url)
    look = Looker(page, request.config.getoption("--pictures"), f"{width}-{scheme}")
    expect(page.get_by_role("button", name=QUESTION)).to_be_visible()
    look("begin")
    page.get_by_role("button", name=QUESTION).click()
    expect(page.locator(".pq-next")).to_be_visible()
    look("answer")
    page.locator("#pq-a-1-1").click()
    expect(page.locator("#pq-span")).to_be_in_viewport()
    expect(page.locator("#pq-span")).to_contain_text("letter to the U.N. Security Council")
    look("article")
    page.keyboard.press("Escape")
    ask(page, "And what did it say about airspace?")
    expect(page.locator(".pq-text").last).to_contain_text("airspace")
    look("follow-up")
    added(page, look)
    filtered(page, look)
    disliked(page, look)
    [draft] = read_drafts(feedback_file(index))
    assert isinstance(draft, Draft)
    assert draft.verdict == "disliked it because: It does not say which ships."
    kept(page, look)
    seen(page, look)
    removed(page, look)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not look.missed, "\n".join(look.missed)


def added(page: Page, look: Look) -> None:
    """A file is added, and asked about."""
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_role("button", name="Add articles").click()
    file = {"name": "osk.md", "mimeType": "text/markdown", "buffer": LIGHTHOUSE.encode()}
    page.locator("#pq-files input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator("#pq-progress")).to_contain_text("osk.md 1 article")
    look("add")
    page.get_by_role("button", name="Chat", exact=True).click()
    ask(page, "Who switched off the lighthouse of Osk?")
    expect(page.locator(".pq-text").last).to_contain_text("Ilse Vandermoor")


def filtered(page: Page, look: Look) -> None:
    """The same question of articles of other days has no answer."""
    page.locator("#pq-filters > button").click()
    page.get_by_label("Published until").fill("2024-12-31")
    page.get_by_label("Published until").press("Enter")
    expect(page.locator("#pq-filters")).to_contain_text("31 December 2024")
    ask(page, "Who switched off the lighthouse of Osk?")
    expect(page.locator(".pq-text").last).to_have_text("The articles do not answer this.")
    look("filtered")
    page.get_by_label("Published until").fill("")
    page.get_by_label("Published until").press("Enter")
    expect(page.locator("#pq-filters")).to_contain_text("All articles")


def disliked(page: Page, look: Look) -> None:
    """A thumb down, and why."""
    ask(page, "Who switched off the lighthouse of Osk?")
    page.get_by_role("button", name="Dislike").last.click()
    page.get_by_label("What was wrong with it?").fill("It does not say which ships.")
    look("why")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("What was wrong with it?")).not_to_be_visible()


def kept(page: Page, look: Look) -> None:
    """The conversation is there after a reload, and is exported."""
    page.wait_for_function("() => Object.values(localStorage).some(text => text.split('lighthouse').length > 3)")
    page.wait_for_timeout(500)  # an event that a reload cuts off is an error of the console's
    page.reload()
    expect(page.locator(".pq-question").first).to_have_text(QUESTION)
    assert len(visible(page, ".pq-question")) == 5
    page.get_by_role("button", name="History").click()
    expect(page.locator(".pq-history [name=reopen]")).to_have_text([QUESTION])
    look("history")
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    written = Path(download.value.path()).read_text("utf-8")
    assert "harbour-wire.example/2024/11/24/iraq-letter-security-council" in written
    assert "Ilse Vandermoor" in written
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    assert "Ilse Vandermoor" in json.dumps(json.loads(Path(download.value.path()).read_text("utf-8")))


def seen(page: Page, look: Look) -> None:
    """The pictures, which lead to the table, and the settings."""
    page.get_by_role("button", name="Overview").click()
    expect(page.locator(".pq-map .pq-do")).not_to_have_count(0)
    look("overview")
    page.get_by_role("button", name="Harbour Wire:").click()
    rows = page.locator(".pq-table tbody tr")
    expect(page.get_by_label("Find articles")).to_have_value('source:"Harbour Wire"')
    expect(rows.filter(has_text="Lighthouse of Osk")).to_have_count(0)
    expect(rows.filter(has_text="Iraq turns to")).to_have_count(1)
    look("articles")
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#pq-used")).to_contain_text("MiniLM")
    look("settings")


def removed(page: Page, look: Look) -> None:
    """The article is removed, and is not answered from any longer."""
    page.get_by_role("button", name="Articles", exact=True).click()
    page.get_by_label("Find articles").fill("lighthouse")
    page.get_by_label("Select Lighthouse of Osk goes dark").check()
    page.get_by_role("button", name="Remove selected").click()
    look("remove")
    page.locator(".pq-confirm").get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".pq-table")).to_have_count(0)
    page.get_by_role("button", name="Chat", exact=True).click()
    ask(page, "Who switched off the lighthouse of Osk?")
    expect(page.locator(".pq-text").last).to_have_text("The articles do not answer this.")


@dataclass
class Looker:
    """Looks at a step: at what a screen reader and weak eyes would miss, by axe-core; and for a picture."""

    page: Page
    folder: str | None
    kind: str
    missed: list[str] = field(default_factory=list)

    def __call__(self, step: str) -> None:
        self.page.mouse.move(5, 5)
        if self.folder:
            self.page.wait_for_timeout(600)
            shot = Image.open(BytesIO(self.page.screenshot()))
            file = Path(self.folder) / f"{step}-{self.kind}.png"
            shot.convert("RGB").quantize(COLOURS).save(file, optimize=True)
        for violation in axe_playwright.Axe().run(self.page).response["violations"]:
            for node in violation["nodes"]:
                self.missed.append(f"{step}: {violation['id']}: {node['html'][:200]}: {node['failureSummary']}")
