"""Fields of any size and shape are bounded while they are read."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.articles.fields import (
    LONGEST_ARTICLE,
    LONGEST_EXTRA,
    LONGEST_LINE,
    LONGEST_TITLE,
    as_line,
    make_article,
)
from ingest.content.types import Content, Options
from ingest.content.values import LONGEST_URL
from ingest.readers.records.json import from_json
from rag.schema import Article, Failure


class Watched(list[Any]):
    """A list that counts the items that are taken out of it."""

    def __init__(self, items: Any, taken: list[int]) -> None:
        super().__init__(items)
        self.taken = taken

    def __iter__(self) -> Any:
        for item in super().__iter__():
            self.taken[0] += 1
            yield item


def content(data: bytes = b"") -> Content:
    from io import BytesIO

    return Content("a.json", "/a.json", lambda: BytesIO(data), len(data))


def nested(levels: int, taken: list[int]) -> Any:
    return "ten words." if not levels else Watched([nested(levels - 1, taken)] * 100, taken)


def test_a_line_is_bounded_while_it_is_joined() -> None:
    taken = [0]
    line = as_line(nested(4, taken))
    assert line.startswith("ten words., ten words.")
    assert len(line) <= LONGEST_LINE
    assert taken[0] < 1_000  # of a hundred million


def test_a_text_of_many_parts_is_read_no_further_than_an_article_may_be_long() -> None:
    taken = [0]
    blocks = Watched([{"text": "x" * 999}] * 100_000, taken)
    from ingest.readers.records.record import words_of

    assert LONGEST_ARTICLE < len(words_of(blocks)) < LONGEST_ARTICLE + 2_000
    assert taken[0] < 3_000


def test_fields_of_any_length_are_cut_and_a_long_address_is_none() -> None:
    long = "word " * 10_000
    found = make_article(content(), "Text.", dict.fromkeys(("title", "author", "source"), long), {"tags": [long] * 9})
    assert isinstance(found, Article)
    assert (len(found.title), len(found.author), len(found.source)) <= (LONGEST_TITLE, LONGEST_LINE, LONGEST_LINE)
    assert len(dict(found.extra)["tags"]) <= LONGEST_EXTRA
    address = "https://example.org/" + "a" * LONGEST_URL
    assert [a.url for a in (make_article(content(), "T.", {"url": address}),) if isinstance(a, Article)] == [""]


def test_records_of_extreme_shapes() -> None:
    deep: Any = "end"
    for _ in range(200):
        deep = {"a": [deep]}
    shapes = ({"title": ["x"] * 1_000_000}, {"tags": deep}, {f"field {n}": n for n in range(100_000)})
    for shape in shapes:
        data = json.dumps({"text": "The pier is closed.", **shape}).encode()
        [article] = from_json(content(data), Options())
        assert isinstance(article, Article), article
        assert len(article.title) <= LONGEST_TITLE


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "$x", "text", "first", "b"]), inner),
)


@settings(max_examples=60)
@given(VALUES, st.integers(0, 40))
def test_a_line_is_one_line_of_at_most_its_length(value: Any, longest: int) -> None:
    line = as_line(value, longest)
    assert len(line) <= longest
    assert "\n" not in line
    found = make_article(content(), "Text.", {"title": value, "author": value}, {"x": value})
    assert isinstance(found, (Article, Failure))
