"""Markers and citations."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.citations import Cited, cite, difference, figures_differ
from rag.schema import Citation, Passage, Quote, Statement

TEXT = "One fact. Another fact. A third."


def passage(article_id: str, text: str = TEXT, start: int = 0) -> Passage:
    end = start + len(text)
    return Passage(f"{article_id}#0", article_id, "d", 0, start, end, text, (), "Title", "Source", "", "", None)


def test_quotes_are_numbered_in_order_of_first_use() -> None:
    a, b = Quote(passage("a"), 0, 9), Quote(passage("b"), 10, 23)
    cited = cite([Statement("Said b.", (b,)), Statement("Said both.", (a, b))])
    text, citations = cited.text, cited.citations
    assert text == "Said b. [1] Said both. [2][1]"
    assert [(c.number, c.passage.article_id, c.quote) for c in citations] == [
        (1, "b", "Another fact."),
        (2, "a", "One fact."),
    ]


def test_offsets_are_those_of_the_article() -> None:
    [citation] = cite([Statement("x", (Quote(passage("a", start=100), 110, 123),))]).citations
    assert (citation.quote, citation.start, citation.end) == ("Another fact.", 110, 123)


def test_emphasis_moves_with_the_text() -> None:
    statements = [Statement("Said (2).", (Quote(passage("a"), 0, 9),)), Statement("It was May.", (), ((7, 10),))]
    cited = cite(statements)
    text, emphasis = cited.text, cited.emphasis
    assert [text[start:end] for start, end in emphasis] == ["May"]
    odd = cite([Statement("The claim is [unsupported] since May.", (Quote(passage("a"), 0, 9),), ((33, 36),))])
    assert [odd.text[start:end] for start, end in odd.emphasis] == ["May"]
    assert "[unsupported]" not in odd.text


def cited(number: int, article_id: str, quote: str, published: date | None) -> Citation:
    of = replace(passage(article_id, quote), published=published)
    return Citation(number, of, quote, 0, len(quote))


def test_conflicting_figures_are_reported_with_their_dates() -> None:
    a = cited(1, "a", "The fire on the ferry killed 12 people in May.", date(2024, 5, 3))
    b = cited(2, "b", "The fire on the ferry killed 15 people in May.", None)
    assert difference([a, b]) == "The articles differ: 12 (Source, 3 May 2024) [1] and 15 (Source) [2]."
    assert difference([a, replace(b, passage=a.passage)]) == "", "one article may tell of two fires"


@pytest.mark.parametrize(
    "other",
    [
        "The fire on the ferry killed people in May.",
        "The fire on the ferry killed 12 people in May of 2024.",
        "Some 15 bakeries in the old town have raised their prices.",
    ],
)
def test_figures_that_do_not_contradict(other: str) -> None:
    assert not figures_differ("The fire on the ferry killed 12 people in May.", other)


def test_no_statements_no_citations() -> None:
    assert cite([]) == Cited()


@given(st.lists(st.tuples(st.text(alphabet="ab [1]2", max_size=12), st.lists(st.sampled_from("abc"), max_size=3))))
def test_every_marker_is_a_citation_and_every_citation_has_one(said: list[tuple[str, list[str]]]) -> None:
    statements = [Statement(text, tuple(Quote(passage(i), 0, 9) for i in ids)) for text, ids in said]
    cited = cite(statements)
    text, citations = cited.text, cited.citations
    assert {int(number) for number in re.findall(r"\[(\d+)\]", text)} == {c.number for c in citations}
    assert [c.number for c in citations] == list(range(1, len(citations) + 1))
