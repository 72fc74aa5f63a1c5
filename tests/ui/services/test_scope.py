"""Dates and sources as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rag.config import Config
from rag.errors import PullquoteError, QuestionError
from rag.schema import Filters
from ui.server.accounts import write_account
from ui.server.hosts import allowed_host
from ui.services import scope

SOURCES = ["Harbour Wire", "The Age", "THE AGE", "Sydney Morning Herald"]


def test_a_day_is_written_in_one_way() -> None:
    assert scope.day(" 2024-03-31 ") == date(2024, 3, 31)
    assert scope.day("  ") is None


@pytest.mark.parametrize(
    "text", ["31/3/2024", "2024-02-30", "20240331", "2024-W13-7", "2024-3-1", "yesterday", "٢٠٢٤-٠٣-٣١"]
)
def test_what_is_no_day_is_told_with_its_form(text: str) -> None:
    with pytest.raises(QuestionError, match=r"is no date; write it as YYYY-MM-DD, such as 2024-03-31$"):
        scope.day(text)


def test_dates_and_names_make_a_filter() -> None:
    assert scope.filters() == Filters()
    assert scope.filters("2024-03-01", "2024-03-01", ["a", "a"], ["x"]) == Filters(
        date(2024, 3, 1), date(2024, 3, 1), ("a",), ("x",)
    )
    with pytest.raises(QuestionError, match="no day is after 2024-03-02 and before 2024-03-01"):
        scope.filters("2024-03-02", "2024-03-01")


def test_sources_are_spelled_as_the_index_does() -> None:
    assert scope.spelled(["harbour wire ", "The Age", "THE AGE", "the age"], SOURCES) == [
        "Harbour Wire", "The Age", "THE AGE", "The Age",
    ]  # fmt: skip
    with pytest.raises(QuestionError, match="'Harbor Wire'; there is 'Harbour Wire'"):
        scope.spelled(["Harbor Wire"], SOURCES)
    with pytest.raises(QuestionError, match="there is none"):
        scope.spelled(["x"], [])


@pytest.mark.parametrize(
    "refused",
    [
        scope.day,
        lambda text: scope.spelled([text], ["The Cup", text * 2]),
        lambda text: Config.load(environment={}, **{text: 1}),
        lambda text: Config.load(environment={}, hits=text),
        lambda text: allowed_host(f"{text}/"),
        lambda text: write_account(Path("users"), text, "correct horse"),
    ],
)
def test_a_message_repeats_little_of_what_was_given(refused: Callable[[str], object]) -> None:
    with pytest.raises(PullquoteError) as caught:
        refused("x" * 5000)
    assert "x" * 201 not in str(caught.value)
