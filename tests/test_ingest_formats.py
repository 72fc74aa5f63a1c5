"""Markdown, JSON and JSON Lines as articles."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import LONGEST_ARTICLE, from_json, from_jsonl, from_markdown, from_text, title_from
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


def test_markdown_with_front_matter() -> None:
    [article] = from_markdown("a/pier.md", "/a/pier.md", MARKDOWN)
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
    assert [article.text[start:end] for start, end in article.captions] == ["What it costs"]


def test_front_matter_is_text_as_it_stands() -> None:
    fields = "title: No\nid: 010\nauthor: [Ada, Bob]\ndate: 0000-00-00\nurl: !!python/object:os.system x\nsource: ~"
    [article] = from_markdown("a.md", "/a.md", f"---\n{fields}\n---\nText.")
    assert isinstance(article, Article)
    assert (article.title, article.id, article.author, article.published) == ("No", "010", "Ada, Bob", None)


def test_html_in_markdown_is_read_without_its_tags() -> None:
    body = "<div align=center>\nThe pier is closed.\n</div>\n\n<script>alert(1)</script>\n\n<!-- note -->\n\nEnd."
    [article] = from_markdown("a.md", "/a.md", body)
    assert isinstance(article, Article)
    assert article.text == "The pier is closed.\n\nEnd."


def test_markdown_without_front_matter() -> None:
    [article] = from_markdown("notes/night_bus.md", "/x", "Text --- with dashes.\n\n---\n\nMore text.")
    assert isinstance(article, Article)
    assert (article.id, article.title, article.source) == ("notes/night_bus.md", "night bus", "night_bus.md")


def test_broken_front_matter_is_an_error() -> None:
    with pytest.raises(ReadError, match="front matter"):
        list(from_markdown("a.md", "/a.md", "---\ntitle: [\n---\ntext"))


def test_json_lines_and_what_is_wrong_with_each() -> None:
    lines = [
        '{"id": "1", "title": "One", "text": "First text.", "date": "2024-03-05", "source": null}',
        "",
        '{"id": "2", "title": "Two", "text"',
        '{"id": "3", "title": "Three"}',
        "[1, 2]",
        '{"id": "1", "title": "Again", "text": "Second text."}',
        '{"title": "No id", "text": "Third\\u0000 text.", "url": 5}',
        '{"title": "No id", "text": "Fourth text."}',
        '{"id": "8", "text": "  \\n "}',
    ]
    found = list(from_jsonl("wire.jsonl", "/wire.jsonl", [line.encode() for line in lines]))
    assert [item.id for item in found if isinstance(item, Article)] == ["1", "wire.jsonl#no-id", "wire.jsonl#no-id-2"]
    assert [item.source for item in found if isinstance(item, Failure)] == [
        f"wire.jsonl, line {n}" for n in (3, 4, 5, 6, 9)
    ]
    first = found[0]
    assert isinstance(first, Article)
    assert (first.source, first.published) == ("wire.jsonl", date(2024, 3, 5))


def test_json_as_an_object_or_a_list() -> None:
    record = {"id": "1", "title": "One", "text": "Text."}
    assert [type(item) for item in from_json("a.json", "/a", json.dumps(record))] == [Article]
    assert [type(item) for item in from_json("a.json", "/a", json.dumps([record, {"id": "2"}]))] == [Article, Failure]
    with pytest.raises(ReadError, match="not JSON"):
        list(from_json("a.json", "/a", "{"))
    with pytest.raises(ReadError, match="not JSON"):
        list(from_json("a.json", "/a", "[" * 100_000))


def test_a_text_of_one_endless_line_is_refused() -> None:
    [failure] = from_text("big.txt", "/big.txt", "word " * (LONGEST_ARTICLE // 4))
    assert isinstance(failure, Failure)
    assert "split it" in failure.reason


@pytest.mark.parametrize("text", ["", " \n\n ", "***\n---"])
def test_an_empty_text_is_a_failure(text: str) -> None:
    [failure] = from_text("empty.txt", "/empty.txt", text)
    assert isinstance(failure, Failure)


def test_articles_of_a_dump_have_ids_by_their_titles() -> None:
    story = "It was a day on which the whole of the town stood still, and nobody went to work at all."
    text = "\n\n\n\n".join(f"A title of four words\n\n{story} {n}." for n in range(2))
    assert [item.id for item in from_text("d/x.txt", "/d/x.txt", text) if isinstance(item, Article)] == [
        "d/x.txt#a-title-of-four-words",
        "d/x.txt#a-title-of-four-words-2",
    ]


def test_titles_from_names() -> None:
    assert title_from("a/port_strike-2.txt") == "port strike 2"
    assert title_from("___.txt") == "Untitled"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
records = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "title", "text", "date", "source", "url", "author"), json_values)
)


@given(st.lists(records, max_size=5))
def test_any_records_make_articles_or_failures(found: list[dict[str, object]]) -> None:
    for item in from_jsonl("x.jsonl", "/x", (json.dumps(record).encode() for record in found)):
        assert isinstance(item, (Article, Failure))
        if isinstance(item, Article):
            "".join((item.id, item.title, item.text, item.source, item.url, item.author)).encode("utf-8")


@given(st.text(alphabet="-:ab \n#*|[](){}&!`>1.", max_size=200))
def test_any_markdown_makes_an_article_or_an_error(text: str) -> None:
    try:
        [item] = from_markdown("x.md", "/x", text)
    except ReadError:
        return
    if isinstance(item, Article):
        assert all(0 <= start < end <= len(item.text) for start, end in item.captions)
