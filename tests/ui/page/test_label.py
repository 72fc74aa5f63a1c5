"""The page to label pairs on: its events over one article, and a person's way through it in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from eval.pairs.labelling import Draft, Labels
from eval.pairs.reading import ArticleNames, read_pairs
from eval.pairs.schema import QAPair
from rag.errors import StoreError
from rag.schema import Article, ArticleEntry, Hit, Passage, Turn
from tests.ui.server.test_app import _no_open_loops, served  # noqa: F401
from ui.page.label import LabelController, build_label_app

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
TEXT = f"Tea is hot.\n\nIce is cold.\n\n{HOSTILE}"
TEA = Passage("tea-0", "tea", "", 0, 0, len(TEXT), TEXT, ((0, 11),), f"Tea {HOSTILE}", "", "", "", None)
HOT = QAPair("1", "How is tea?", ("hot",), ("tea",), ("Tea is hot.",), answerable=True)
COLD = QAPair("2", "How is ice?", (), (), (), answerable=True)
DRAFTS = (Draft(HOT), Draft(COLD, f"Ice is hot. {HOSTILE}", f"disliked it because: {HOSTILE}"))


@dataclass
class Shelf:
    """Stands for the index: one article, or none that can be read."""

    broken: bool = False

    def article(self, article_id: str) -> Article | None:
        if self.broken:
            raise StoreError("the index is broken; mend it")
        return Article("tea", TEA.title, TEXT) if article_id == "tea" else None

    def entries(self, article_ids: Sequence[str]) -> dict[str, ArticleEntry]:
        known = [i for i in article_ids if i == "tea"]
        return {i: ArticleEntry(i, TEA.title, "", "", "", None, "", "", 1) for i in known}


@dataclass
class Parrot:
    """Stands for the chain: finds the article whatever is asked."""

    index: Shelf = field(default_factory=Shelf)
    days: list[date] = field(default_factory=list)

    def retrieve(self, question: str, **scope: date) -> list[Hit]:
        self.days += scope.values()
        return [Hit(TEA, 1.0)]


def controller(folder: Path, drafts: Sequence[Draft] = DRAFTS) -> LabelController:
    return LabelController(drafts, Labels.beside(folder / "p.jsonl"), cast("Any", Parrot()))


def fields(pair: QAPair, **changed: Any) -> tuple[Any, ...]:
    given = {
        "question": pair.question,
        "answerable": pair.answerable,
        "answers": "\n".join(pair.answers),
        "articles": list(pair.articles),
        "evidence": "\n".join(pair.evidence),
    }
    return tuple({**given, **changed}.values())


def accepted(controller: LabelController) -> list[QAPair]:
    return [pair for pair in read_pairs(controller.labels.accepted) if isinstance(pair, QAPair)]


def test_a_draft_is_shown_beside_its_article(tmp_path: Path) -> None:
    position, _, status, note, question, *_, problems, panel = controller(tmp_path).open()
    assert (position, note, question, problems) == (0, "", "How is tea?", "")
    assert "1 of 2" in status
    assert "<mark>Tea is hot&#46;</mark>" in panel


def test_accepted_as_corrected(tmp_path: Path) -> None:
    at = controller(tmp_path)
    shown = at.accept(
        0, *fields(HOT, question="How?", answers="hot\nvery hot\n", evidence="Tea  is hot.\nIce is cold.")
    )
    assert shown[0] == 1
    [pair] = accepted(at)
    assert (pair.id, pair.question, pair.answers) == ("1", "How?", ("hot", "very hot"))
    assert pair.evidence == ("Tea is hot.", "Ice is cold.")


def test_what_is_wrong_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    at = controller(tmp_path)
    shown = at.accept(0, *fields(HOT, evidence="Tea is warm."))
    assert shown[0] == 0
    assert "not in the article" in shown[-2]
    assert shown[8] == "Tea is warm.", "what was written stays in its field"
    assert accepted(at) == []


def test_a_broken_index_is_told(tmp_path: Path) -> None:
    at = LabelController(DRAFTS, Labels.beside(tmp_path / "p.jsonl"), cast("Any", Parrot(Shelf(broken=True))))
    shown = at.accept(1, *fields(COLD, articles=["tea"]))
    assert "the index is broken" in shown[-2]
    assert "the index is broken" in shown[-1]


def test_an_unanswerable_question_needs_nothing_else(tmp_path: Path) -> None:
    at = controller(tmp_path)
    at.accept(1, *fields(COLD, answerable=False, answers="left over"))
    assert [(pair.answerable, pair.answers) for pair in accepted(at)] == [(False, ())]


def test_an_article_may_be_given_by_the_name_of_a_copy(tmp_path: Path) -> None:
    at = replace(controller(tmp_path), names=ArticleNames({"tea": "tea", "wire/7": "tea"}))
    assert "<mark>Tea is hot&#46;</mark>" in at.read(["wire/7"], "Tea is hot.")
    at.accept(0, *fields(HOT, articles=["wire/7", "tea"]))
    assert [pair.articles for pair in accepted(at)] == [("tea",)]


def test_the_day_of_asking_is_kept(tmp_path: Path) -> None:
    at = controller(tmp_path, (Draft(replace(HOT, asked_on=date(2024, 3, 5))),))
    at.open()
    at.accept(0, *fields(HOT))
    assert [pair.asked_on for pair in accepted(at)] == [date(2024, 3, 5)]
    assert at.chain.days == [date(2024, 3, 5)]  # type: ignore[attr-defined]


def test_rejected_skipped_and_taken_back(tmp_path: Path) -> None:
    at = controller(tmp_path)
    assert at.skip(0)[0] == 1
    assert at.skip(1)[0] == 0, "what was left for later comes again"
    at.reject(0, *fields(HOT, question="How so?"))
    assert [found.id for found in read_pairs(at.labels.rejected) if isinstance(found, QAPair)] == ["1"]
    shown = at.undo(1)
    assert (shown[0], shown[4]) == (0, "How so?")
    assert at.undo(0)[0] == 0, "nothing is left to take back"


def test_a_pair_decided_on_in_another_window_is_not_written_twice(tmp_path: Path) -> None:
    at = controller(tmp_path)
    at.accept(0, *fields(HOT))
    assert at.accept(0, *fields(HOT))[0] == 1
    assert len(accepted(at)) == 1


def test_in_the_end_it_says_where_the_pairs_are(tmp_path: Path) -> None:
    at = controller(tmp_path, DRAFTS[:1])
    shown = at.accept(0, *fields(HOT))
    assert shown[0] == 1
    assert "p&#46;labelled&#46;jsonl" in shown[-1]
    assert controller(tmp_path, DRAFTS[:1]).open()[0] == 1, "another day, too"


@pytest.mark.slow
def test_a_persons_way_through_it(tmp_path: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        pytest.skip("no chromium or google-chrome on the PATH")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    from tests.ui.page.test_browser import FLAGS

    at = controller(tmp_path, (*DRAFTS, Draft(QAPair("3", "?", (), (), (), True, history=(Turn("a", HOSTILE),)))))
    with served(build_label_app(at)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        hosts, problems = set[str](), list[str]()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(url)
        walk(page)
        assert page.evaluate("window.hacked") is None
        assert hosts - {"data", "blob", ""} == {"127.0.0.1"}
        assert problems == []
        browser.close()
    assert [(pair.id, pair.evidence) for pair in accepted(at)] == [("1", ("Tea is hot.",)), ("2", ("Ice is cold.",))]
    assert at.labels.counts[at.labels.rejected] == 1


def walk(page: Any) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_text("1 of 3")).to_be_visible(timeout=30_000)
    expect(page.locator("mark")).to_have_text("Tea is hot.")
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("2 of 3")).to_be_visible()
    expect(page.get_by_text("disliked it because")).to_be_visible()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Write an answer")).to_be_visible()
    page.get_by_label("Right answers").fill("cold")
    page.get_by_label("Articles that hold it").click()
    page.get_by_role("option").first.click()
    page.get_by_text("Ice is cold.", exact=False).last.click(click_count=3)
    page.get_by_role("button", name="Add the selected text").click()
    expect(page.get_by_label("Evidence")).to_have_value("Ice is cold.")
    expect(page.locator("mark")).to_have_text("Ice is cold.")
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("3 of 3")).to_be_visible()
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Every pair is decided on.")).to_be_visible()
    expect(page.get_by_role("button", name="Accept")).not_to_be_visible()
