"""The table of all articles: what it finds, in which order, and that it shows what it was told."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.schema import ArticleEntry
from rag.store.writer import open_for_writing
from tests.support.listed import MODEL, index_of, stored
from tests.ui.html.test_answer import Tree
from ui.html.article_table import confirm_html, table_html
from ui.services.article_list import ROWS, TERM, ArticleList, Found, TableView
from ui.wording import short_date


def entry(name: str, source: str = "The Age", day: int = 0, passages: int = 1, added: int = 1) -> ArticleEntry:
    published = date(2024, 5, day) if day else None
    came = datetime(2026, 1, added, tzinfo=UTC)
    return ArticleEntry(name, name.title(), source, "", "Ann Moor", published, "", "", passages, added=came)


ENTRIES = (
    entry("harbour", day=4, passages=2, added=2),
    entry("bread", "Wire", day=9, added=3),
    entry("dam", passages=7),
)


@pytest.fixture(scope="module")
def article_list(tmp_path_factory: pytest.TempPathFactory) -> ArticleList:
    return ArticleList(index_of(tmp_path_factory.mktemp("listed"), ENTRIES))


def names(article_list: ArticleList, view: TableView) -> list[str]:
    return [e.id for e in article_list.page(view).entries]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("title", ["bread", "dam", "harbour"]),
        ("source", ["dam", "harbour", "bread"]),
        ("date", ["bread", "harbour", "dam"]),
        ("passages", ["dam", "harbour", "bread"]),
        ("added", ["bread", "harbour", "dam"]),
    ],
)
def test_a_column_sorts_and_sorts_back(article_list: ArticleList, by: str, expected: list[str]) -> None:
    view = TableView(by="none").sorted_by(by)
    assert names(article_list, view) == expected
    back = names(article_list, view.sorted_by(by))
    assert back[0] == expected[-1] or by == "source"
    assert set(back) == set(expected)
    assert TableView().sorted_by("__class__") == TableView(), "no column"


def test_articles_are_found_by_all_their_words(article_list: ArticleList) -> None:
    assert names(article_list, TableView("MOOR 2024-05")) == ["bread", "harbour"]
    assert names(article_list, TableView("wire bre")) == ["bread"]
    assert names(article_list, TableView("wire harbour")) == []
    assert names(article_list, TableView("source:wire")) == ["bread"]
    assert names(article_list, TableView('source:"the age" date:2024')) == ["harbour"]
    assert names(article_list, TableView("date:05")) == [], "a date has it from its beginning"
    assert names(article_list, TableView("title:wire")) == []
    assert names(article_list, TableView("id:bread")) == [], "no field of this name, so it is a word"


@pytest.mark.parametrize("words", ["\ud800", "bread\0x", "w" * 60_000, " ".join(map(str, range(5_000))), "%", "_", "/"])
def test_any_words_can_be_searched_for(article_list: ArticleList, words: str) -> None:
    assert article_list.page(TableView(words)) == Found(0)


def test_an_update_and_a_removal_show_at_once(tmp_path: Path) -> None:
    article_list = ArticleList(index_of(tmp_path, ENTRIES))
    shown = TableView(generation=article_list.index.generation)
    assert not article_list.is_newer(shown)
    with open_for_writing(tmp_path, MODEL, "splitter") as writer:
        writer.put([stored(entry("bread", "Mill News", day=9))])
        writer.remove(["dam"])
        writer.finish()
    assert article_list.is_newer(shown)
    assert names(article_list, TableView("wire")) == names(article_list, TableView("dam")) == []
    assert names(article_list, TableView("mill")) == ["bread"]
    assert article_list.page(TableView()).total == 2


WORDS = (
    "Straße",
    "STRASSE",
    "İzmir",
    "Œuvre",
    "Ångström",
    "ǅ",
    "ΣΊΣΥΦΟΣ",
    "100%",
    "a_b",
    "x/y",
    'say "so"',
    "the Age",
    "",
)


def many() -> list[ArticleEntry]:
    """Articles whose fields have the same words in any order, several in each and some in none."""
    drawn = random.Random(1)

    def words(most: int) -> str:
        return " ".join(drawn.choices(WORDS, k=drawn.randint(0, most))).strip()

    return [
        ArticleEntry(
            id=f"{words(1)}{n}",
            title=words(2),
            source=words(1),
            url="",
            author=words(1),
            published=drawn.choice([None, date(999, 1, 2), *(date(2024, m, d) for m in (1, 10, 11) for d in (1, 12))]),
            origin="",
            digest="",
            passages=drawn.randint(1, 3),
            added=datetime(2026, 1, drawn.randint(1, 3), tzinfo=UTC),
        )
        for n in range(120)
    ]


@pytest.fixture(scope="module")
def large_list(tmp_path_factory: pytest.TempPathFactory) -> ArticleList:
    return ArticleList(index_of(tmp_path_factory.mktemp("many"), many()))


KEYS: dict[str, Callable[[ArticleEntry], Any]] = {
    "title": lambda entry: (entry.title or entry.id).casefold(),
    "source": lambda entry: entry.source.casefold(),
    "date": lambda entry: entry.published or date.min,
    "passages": lambda entry: entry.passages,
    "added": lambda entry: entry.added,
}


def plainly_found(entries: list[ArticleEntry], view: TableView) -> list[str]:
    """The ids that a search finds, one article after the other."""
    terms = [(name, quoted or word) for name, quoted, word in TERM.findall(view.words.casefold())]
    matching = sorted((e for e in entries if all(has(e, *term) for term in terms)), key=KEYS["title"])
    return [e.id for e in sorted(matching, key=KEYS[view.by], reverse=view.down)]


def has(entry: ArticleEntry, name: str, word: str) -> bool:
    if name == "date":
        return str(entry.published or "").startswith(word)
    if name:
        return word in str(getattr(entry, name)).casefold()
    return word in f"{entry.title} {entry.source} {entry.author} {entry.id} {entry.published or ''}".casefold()


PIECES = st.sampled_from([*WORDS, *(word[:3] for word in WORDS), "2024-1", "2024-11-", "2-", "0999", "7"])
TERMS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "title:", "source:", "author:", "date:"]),
    PIECES | st.builds('"{} {}"'.format, PIECES, PIECES) | st.text(max_size=3),
)


@settings(max_examples=300)
@given(st.lists(TERMS, max_size=3).map(" ".join), st.sampled_from(sorted(KEYS)), st.booleans(), st.integers(0, 130))
def test_sql_finds_what_reading_every_article_finds(
    large_list: ArticleList, words: str, by: str, down: bool, first: int
) -> None:
    view = TableView(words.replace("\0", ""), by, down)
    expected = plainly_found(many(), view)
    found = large_list.found(view, 20, first)
    assert found.total == len(expected)
    assert [e.id for e in found.entries] == expected[first : first + 20]


def test_the_table_shows_a_page_and_what_it_was_told(tmp_path: Path) -> None:
    hostile = entry('<img src=x onerror="alert(1)">', "</table><script>", added=2)
    article_list = ArticleList(index_of(tmp_path, [hostile, *(entry(f"a{n}") for n in range(ROWS + 1))]))

    def page(number: int) -> str:
        view = TableView(page=number)
        return table_html(article_list.page(view), view)

    tree = Tree(re.sub("<input([^>]*)>", r"<input\1></input>", page(0)))
    assert len(tree.of("tr")) == ROWS + 1
    assert tree.of("input")[0].attributes["value"] == hostile.id
    assert [e.attributes["aria-sort"] for e in tree.of("th") if "aria-sort" in e.attributes][-1] == "descending"
    assert hostile.title in tree.elements[0].text
    assert "</table><script>" in tree.elements[0].text
    assert not tree.of("img")
    assert "1–50 of 52 articles" in tree.elements[0].text
    second = page(1)
    assert "51–52 of 52 articles" in second
    assert page(99) == page(10**30) == second, "no page is empty"
    assert page(-1) == page(0)


def test_an_empty_table_says_why() -> None:
    assert "No articles yet" in table_html(Found(0), TableView())
    assert "No article has these words" in table_html(Found(0), TableView("zeppelin"))


def test_removal_is_asked_about() -> None:
    assert confirm_html([]) == ""
    asked = confirm_html([entry(f"a{n}") for n in range(12)])
    assert "Remove 12 articles" in asked
    assert "2 more" in asked
    assert short_date(date(2024, 11, 7)) == "7 Nov 2024"
