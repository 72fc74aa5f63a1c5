"""Plain text and Markdown as articles."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.articles.fields import LONGEST_ARTICLE, title_from
from ingest.content.types import Content, Limits, Options
from ingest.readers.text import from_markdown, from_text
from rag.errors import ReadError
from rag.schema import Article, Failure

MARKDOWN = """---
id: pier-closed
title: "The pier: closed"
date: 2024-03-05
source: Bay Times
author: Ada Moor
url: https://bay.example/pier
unknown: [1, 2]
---

# The pier: closed

The pier was **closed** on [Tuesday](https://bay.example), *said*
`Ada`.

![People at the pier](x.png)

## What it costs

- Ten crowns
- Nothing at all

| Year | Ships |
|------|-------|
| 2023 | 14    |
"""


def content(name: str, text: str) -> Content:
    data = text.encode("utf-8", "surrogatepass")
    return Content(name, f"/{name}", lambda: io.BytesIO(data), len(data))


def markdown(text: str, name: str = "a.md") -> list[Article | Failure]:
    return list(from_markdown(content(name, text), Options()))


def plain(text: str, name: str = "a.txt") -> list[Article | Failure]:
    return list(from_text(content(name, text), Options()))


def test_markdown_with_front_matter() -> None:
    [article] = markdown(MARKDOWN, "a/pier.md")
    assert isinstance(article, Article)
    assert (article.id, article.title, article.source) == ("pier-closed", "The pier: closed", "Bay Times")
    assert (article.author, article.url) == ("Ada Moor", "https://bay.example/pier")
    assert article.published == date(2024, 3, 5)
    assert article.text.split("\n\n") == [
        "The pier was closed on Tuesday, said Ada.",
        "What it costs",
        "Ten crowns",
        "Nothing at all",
        "Year | Ships",
        "2023 | 14",
    ]
    assert [article.text[start:end] for start, end in article.captions] == ["What it costs", "Year | Ships"]


def test_front_matter_is_text_as_it_stands() -> None:
    fields = "title: No\nid: 010\nauthor: [Ada, Bob]\ndate: 0000-00-00\nurl: !!python/object:os.system x\nsource: ~"
    [article] = markdown(f"---\n{fields}\n---\nText.")
    assert isinstance(article, Article)
    assert (article.title, article.id, article.author, article.published) == ("No", "010", "Ada, Bob", None)


def test_html_in_markdown_is_read_without_its_tags() -> None:
    body = "<div align=center>\nThe pier is closed.\n</div>\n\n<script>alert(1)</script>\n\n<!-- note -->\n\nEnd."
    [article] = markdown(body)
    assert isinstance(article, Article)
    assert article.text == "The pier is closed.\n\nEnd."


def test_markdown_without_front_matter() -> None:
    [article] = markdown("Text --- with dashes.\n\n---\n\nMore text.", "notes/night_bus.md")
    assert isinstance(article, Article)
    assert (article.id, article.title, article.source) == ("notes/night_bus.md", "night bus", "night_bus.md")


def test_broken_front_matter_is_an_error() -> None:
    with pytest.raises(ReadError, match="front matter"):
        markdown("---\ntitle: [\n---\ntext")


def test_a_text_of_one_endless_line_is_refused() -> None:
    [failure] = plain("word " * (LONGEST_ARTICLE // 4))
    assert isinstance(failure, Failure)
    assert "split it" in failure.reason


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(ReadError, match="larger than 10 bytes"):
        list(from_text(content("a.txt", "eleven bytes"), Options(limits=Limits(bytes=10))))


@pytest.mark.parametrize("text", ["", " \n\n ", "***\n---"])
def test_an_empty_text_is_a_failure(text: str) -> None:
    [failure] = plain(text)
    assert isinstance(failure, Failure)


def test_articles_of_a_dump_have_ids_by_their_titles() -> None:
    story = "It was a day on which the whole of the town stood still, and nobody went to work at all."
    text = "\n\n\n\n".join(f"A title of four words\n\n{story} {n}." for n in range(2))
    assert [item.id for item in plain(text, "d/x.txt") if isinstance(item, Article)] == [
        "d/x.txt#a-title-of-four-words",
        "d/x.txt#a-title-of-four-words-2",
    ]


def test_titles_from_names() -> None:
    assert title_from("a/port_strike-2.txt") == "port strike 2"
    assert title_from("___.txt") == "Untitled"


@given(st.text(alphabet="-:ab \n#*|[](){}&!`>1.", max_size=200))
def test_any_markdown_makes_an_article_or_an_error(text: str) -> None:
    try:
        [item] = markdown(text)
    except ReadError:
        return
    if isinstance(item, Article):
        assert all(0 <= start < end <= len(item.text) for start, end in item.captions)


def test_a_dump_with_labels() -> None:
    labels = "Title: The pier\nURL: https://bay.example/pier\nSource: Bay Times\nLanguage: en-GB\nSection: Local"
    text = "The pier was closed on Tuesday, and it will stay so until the first days of spring."
    first, second, empty = plain(f"{labels}\n\n{text}\n=====\n{labels}\n\n{text}\n=====\n{labels}")
    assert isinstance(first, Article)
    assert isinstance(second, Article)
    assert (first.id, second.id) == ("a.txt#the-pier", "a.txt#the-pier-2")
    assert (first.title, first.url, first.source) == ("The pier", "https://bay.example/pier", "Bay Times")
    assert (first.language, first.extra, first.text) == ("en", (("Section", "Local"),), text)
    assert empty == Failure("a.txt", "has no text; nothing to index")


@pytest.mark.parametrize("value", ['"\\UFFFFFFFF"', "&a [*a]", "!!int x", "{" * 3000])
def test_front_matter_that_is_odd(value: str) -> None:
    with suppress(ReadError):
        markdown(f"---\ntitle: {value}\n---\nText of the article.")


@pytest.mark.parametrize("body", ["<!--" * 100_000, "<div>\n" + "<" * 300_000, "<script" * 50_000, "word " * 500_000])
def test_hostile_markdown_is_parsed_quickly(body: str) -> None:
    assert len(markdown(body)) == 1


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("What it costs\n-------------", ["What it costs"]),
        ("### What it costs", ["What it costs"]),
        ("**What it costs**", ["What it costs"]),
        ("**What it costs.**", []),
        ("*And what does it cost?*", ["And what does it cost?"]),
        ("And what does it cost?", []),
        ("[Read the whole story](b.md)", ["Read the whole story"]),
        ("- [One pier](a.md)\n- [Two piers](b.md)", ["One pier", "Two piers"]),
        ("- [One pier](a.md)\n- Two piers", []),
        ("| Day | No . |\n|---|---|\n| Monday | 7 |", ["Day | No ."]),
        ("<nav>\n<p>Home</p>\n</nav>", ["Home"]),
    ],
)
def test_marked_blocks_of_markdown_are_not_quoted(text: str, marked: list[str]) -> None:
    [article] = markdown(f"The pier is closed.\n\n{text}\n\nIt opens in May.")
    assert isinstance(article, Article)
    assert [article.text[start:end] for start, end in article.captions] == marked


def test_lists_after_a_colon_in_markdown() -> None:
    [article] = markdown("Bring:\n\n1. bread\n2. salt\n\nRun:\n\n    boat --go\n\nShe said:\n\n> Go.\n\nEnd.")
    assert isinstance(article, Article)
    assert [article.text[start:end] for start, end in article.lists] == ["bread\n\nsalt", "boat --go", "Go."]


def test_front_matter_of_aliases_is_refused_before_anything_is_built() -> None:
    lines = ["a0: &a0 [lie, lie, lie, lie, lie, lie, lie, lie, lie]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    for said in ("\n".join([*lines, "title: *a29"]), "title: &t Harbour\nauthor: *t", "a: &a [*a]"):
        with pytest.raises(ReadError, match="aliases"):
            markdown(f"---\n{said}\n---\nThe pier is closed.")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("tags: " + "[" * 5_000 + "]" * 5_000, "levels deep"),
        ("tags: " + "{a: " * 400 + "}" * 400, "levels deep"),
        ("title: " + "x" * 60_000, "longer than 50,000 characters"),
    ],
)
def test_front_matter_has_limits(said: str, problem: str) -> None:
    with pytest.raises(ReadError, match=problem):
        markdown(f"---\n{said}\n---\nThe pier is closed.")


def test_text_between_two_rules_is_no_front_matter_however_long() -> None:
    [article] = markdown("---\n" + "The pier is closed.\n\n" * 4_000 + "---\nEnd.")
    assert isinstance(article, Article)
    assert article.text.startswith("The pier")
