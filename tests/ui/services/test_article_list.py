"""The table of all articles: what it finds, in which order, and that it shows what it was told."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from rag.schema import ArticleEntry
from tests.ui.html.test_answer import Tree
from ui.html.article_table import ROWS, confirm_html, table_html
from ui.services.article_list import ArticleList, TableView
from ui.wording import short_date


def entry(name: str, source: str = "The Age", day: int = 0, passages: int = 1, added: int = 0) -> ArticleEntry:
    published = date(2024, 5, day) if day else None
    came = datetime(2026, 1, added, tzinfo=UTC) if added else None
    return ArticleEntry(name, name.title(), source, "", "Ann Moor", published, "", "", passages, added=came)


class Listed:
    """Stands for the index: the articles it is given, read as often as `read` says."""

    def __init__(self, *found: ArticleEntry) -> None:
        self.found, self.generation, self.read = found, 1, 0

    def articles(self) -> tuple[ArticleEntry, ...]:
        self.read += 1
        return self.found


ENTRIES = (
    entry("harbour", day=4, passages=2, added=1),
    entry("bread", "Wire", day=9, added=3),
    entry("dam", passages=7),
)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("title", ["bread", "dam", "harbour"]),
        ("source", ["dam", "harbour", "bread"]),
        ("date", ["bread", "harbour", "dam"]),
        ("passages", ["dam", "harbour", "bread"]),
        ("added", ["bread", "harbour", "dam"]),
    ],
)
def test_a_column_sorts_and_sorts_back(by: str, names: list[str]) -> None:
    article_list = ArticleList(Listed(*ENTRIES))  # type: ignore[arg-type]
    view = TableView(by="none").sorted_by(by)
    assert [e.id for e in article_list.matching(view)] == names
    back = article_list.matching(view.sorted_by(by))
    assert back[0].id == names[-1] or by == "source"
    assert {e.id for e in back} == set(names)
    assert TableView().sorted_by("__class__") == TableView(), "no column"


def test_articles_are_found_by_all_their_words() -> None:
    article_list = ArticleList(Listed(*ENTRIES))  # type: ignore[arg-type]
    assert [e.id for e in article_list.matching(TableView("MOOR 2024-05"))] == ["bread", "harbour"]
    assert [e.id for e in article_list.matching(TableView("wire bre"))] == ["bread"]
    assert article_list.matching(TableView("wire harbour")) == []
    assert [e.id for e in article_list.matching(TableView("source:wire"))] == ["bread"]
    assert [e.id for e in article_list.matching(TableView('source:"the age" date:2024'))] == ["harbour"]
    assert article_list.matching(TableView("date:05")) == [], "a date has it from its beginning"
    assert article_list.matching(TableView("title:wire")) == []
    assert article_list.matching(TableView("id:bread")) == [], "no field of this name, so it is a word"


def test_articles_are_read_again_when_something_was_written() -> None:
    listed = Listed(*ENTRIES)
    article_list = ArticleList(listed)  # type: ignore[arg-type]
    assert len(article_list.entries()) == len(article_list.entries()) == 3
    assert listed.read == 1
    listed.found, listed.generation = ENTRIES[:1], 2
    assert [e.id for e in article_list.entries()] == ["harbour"]


def test_the_table_shows_a_page_and_what_it_was_told() -> None:
    hostile = entry('<img src=x onerror="alert(1)">', "</table><script>")
    many = [hostile, *(entry(f"a{n}") for n in range(ROWS + 1))]
    tree = Tree(re.sub("<input([^>]*)>", r"<input\1></input>", table_html(many, TableView())))
    assert len(tree.of("tr")) == ROWS + 1
    assert tree.of("input")[0].attributes["value"] == hostile.id
    assert [e.attributes["aria-sort"] for e in tree.of("th") if "aria-sort" in e.attributes][-1] == "descending"
    assert hostile.title in tree.elements[0].text
    assert "</table><script>" in tree.elements[0].text
    assert not tree.of("img")
    assert "1–50 of 52 articles" in tree.elements[0].text
    second = table_html(many, TableView(page=1))
    assert "51–52 of 52 articles" in second
    assert table_html(many, TableView(page=99)) == second, "no page is empty"


def test_an_empty_table_says_why() -> None:
    assert "No articles yet" in table_html([], TableView())
    assert "No article has these words" in table_html([], TableView("zeppelin"))


def test_removal_is_asked_about() -> None:
    assert confirm_html([]) == ""
    asked = confirm_html([entry(f"a{n}") for n in range(12)])
    assert "Remove 12 articles" in asked
    assert "2 more" in asked
    assert short_date(date(2024, 11, 7)) == "7 Nov 2024"
