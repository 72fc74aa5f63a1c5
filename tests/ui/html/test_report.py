"""The report's page: everything in it, nothing run, nothing asked for; in a real browser too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.run import Report
from rag.schema import Failure, Filters, ReadFilter, Turn
from tests.eval.test_run import PAIRS, Parrot, pair, run
from ui.html.report import gold_spans, report_html

HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script> {{7*7}} http://203.0.113.5/x.png'


@pytest.fixture(scope="module")
def report() -> Report:
    hostile = pair(
        "6", 0.95, "cold", evidence=("Tea is hot.", HOSTILE), kind=HOSTILE, history=(Turn(HOSTILE, HOSTILE),)
    )
    hostile = replace(hostile, id=HOSTILE, question=f"{HOSTILE} 0.95", answers=(HOSTILE,))
    found = run([*PAIRS, hostile, Failure(HOSTILE, HOSTILE)], Parrot())
    return replace(found, setup={**found.setup, "pairs": {"name": HOSTILE}})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_nothing_hostile_becomes_markup(report: Report) -> None:
    tags = Tags()
    tags.feed(report_html(report))
    assert not {"img", "script", "iframe", "link", "a", "form", "object"} & tags.found
    assert not {name for name in tags.attributes if name.startswith("on") or name in ("src", "href", "srcset")}


def test_every_figure_and_failure_is_shown(report: Report) -> None:
    page = re.sub(r"\s+", " ", report_html(report))
    for name in report.figures:
        assert f"<code>{name.replace('@', '&#64;').replace('_', '&#95;')}</code>" in page
    assert page.count("<figure>") == 4
    assert page.count("<details>") == len(report.worst) == 4
    assert page.index("Answered without the gold answer") < page.index("Not answered")
    assert "Pairs that were not asked: 1<" in page


def test_a_case_shows_the_filters_of_its_question() -> None:
    week = ReadFilter("last week", Filters(date(2024, 6, 3), date(2024, 6, 9)))
    found = run([pair("1", 0.9, "cold", asked_on=date(2024, 6, 12))])
    [worst] = found.worst
    row = replace(worst.row, filters=(week,), notice="Only <two> articles")
    page = report_html(replace(found, worst=[replace(worst, row=row)]))
    assert "2024&#45;06&#45;12" in page
    assert "published 3–9 June 2024" in page.replace("&#8211;", "–")
    assert "Only &#60;two&#62; articles" in page


def test_the_page_warns_of_long_gold_answers() -> None:
    page = report_html(run([pair(str(n), 0.9, "very " * 30) for n in range(3)]))
    assert '<p class="warning" role="note">The gold answers are long' in page


def test_the_gold_is_marked_in_the_passages(report: Report) -> None:
    assert "<mark>Tea is hot</mark>" in report_html(report)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_gold_spans_hold_the_gold_words(text: str, golds: list[str]) -> None:
    for start, end in gold_spans(text, golds):
        words = re.findall(r"\w+", text[start:end].casefold())
        assert any(words == re.findall(r"\w+", gold.casefold()) for gold in golds) or not words[0].isascii()


def test_gold_is_found_across_lines_and_quotation_marks() -> None:
    text = "He said: “It’s\nover.” Then overt."
    assert [text[start:end] for start, end in gold_spans(text, ["it's over", "over", ""])] == ["It’s\nover", "over"]


@pytest.fixture(scope="module")
def opened(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, list[str]]]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    from playwright.sync_api import sync_playwright

    from tests.ui.page.test_browser import CHROMIUM, FLAGS

    if not CHROMIUM:
        pytest.skip("no chromium or google-chrome on the PATH")
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(report), "utf-8")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page, asked
        browser.close()


@pytest.mark.slow
def test_the_page_in_a_browser(opened: tuple[object, list[str]], tmp_path: Path) -> None:
    from playwright.sync_api import Page, expect

    page, asked = opened
    assert isinstance(page, Page)
    expect(page.get_by_role("heading", name="Worst questions")).to_be_visible()
    assert page.locator("svg.plot").count() == 4
    first = page.locator("details").first
    assert not first.locator(".hit").first.is_visible()
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(first.locator("mark").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in asked if not url.startswith("file://")] == []
    assert len(asked) == 1
