"""Clean text, typed dates, ids."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.content.values import clean, one_line, parse_date, slug, unique_id


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_clean_text_is_stable_and_can_be_encoded(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    assert "\r" not in cleaned
    assert "\0" not in cleaned


def test_clean_keeps_lines_and_letters() -> None:
    assert clean("\ufeffa\u00a0 b\r\n\r\nc\x1b[31m \ud800\u200b") == "a b\n\nc[31m ?"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("the govern\u00adment", "the government"),
        ("the govern\u200dment and the Auf\u200clage", "the government and the Auflage"),
        ("\ufeffA \u202edesrever\u202c pier\u200b", "A desrever pier"),
        ("a\u200e b\u2066 c\u2069\U000e0041", "a b c"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🚒 and ❤️\u200d🔥", "👩\u200d🚒 and ❤️\u200d🔥"),
        ("\u200c", ""),
    ],
)
def test_clean_text_has_no_invisible_characters(text: str, cleaned: str) -> None:
    assert clean(text) == one_line(text) == cleaned


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2024-03-05", date(2024, 3, 5)),
        ("2024-03-05T23:59:59Z", date(2024, 3, 5)),
        ("20240305", date(2024, 3, 5)),
        (20240305, date(2024, 3, 5)),
        ("5 March 2024", date(2024, 3, 5)),
        ("March 5, 2024", date(2024, 3, 5)),
        ("Tue, 05 Mar 2024 10:00:00 +0000", date(2024, 3, 5)),
        ("Tue, 5 Mar 2024 10:00 XYZT", date(2024, 3, 5)),
        ("25/12/2024", date(2024, 12, 25)),
        ("12.05.2024", date(2024, 5, 12)),
        ("30.04.2024", date(2024, 4, 30)),
        ("04.30.2024", date(2024, 4, 30)),
        ("3.4.2024", date(2024, 4, 3)),
        ("12. 5. 2024", date(2024, 5, 12)),
        ("12.05.2024 14:30", date(2024, 5, 12)),
        ("12.05.2024, 14:30:10", date(2024, 5, 12)),
        (datetime(2024, 3, 5, 12), date(2024, 3, 5)),
        (date(2024, 3, 5), date(2024, 3, 5)),
    ],
)
def test_dates_in_common_notations(value: object, day: date) -> None:
    assert parse_date(value) == day


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "March 2024",
        "2024",
        "Tuesday",
        "03/04/2024",
        "03-04-2024",
        "12.05.24",
        "1.12.05.2024",
        "31.02.2024",
        "00.05.2024",
        "the war of 1812",
        "99999999",
        "200112",
        "2024-W10",
        {},
        "1" * 5000,
    ],
)
def test_incomplete_dates_are_none(value: object) -> None:
    assert parse_date(value) is None


@given(st.one_of(st.text(max_size=60), st.integers(), st.floats(), st.none(), st.lists(st.text())))
def test_any_value_is_a_date_or_none(value: object) -> None:
    assert parse_date(value) is None or isinstance(parse_date(value), date)


def test_one_line_is_empty_for_other_types() -> None:
    assert one_line("a\n b\t") == "a b"
    assert one_line(7) == "7"
    assert one_line(None) == one_line(["x"]) == one_line({"a": 1}) == ""


def test_slug_is_ascii_words() -> None:
    assert slug("Zürich’s “Talks”: U.N. vote — 3 to 2!") == "zurichs-talks-u-n-vote-3-to-2"
    assert slug("a" * 80) == "a" * 60
    assert slug("日本") == ""


def test_unique_ids_count_up() -> None:
    taken: set[str] = set()
    assert [unique_id("a", taken) for _ in range(3)] == ["a", "a-2", "a-3"]
    many = [unique_id("a", taken) for _ in range(20_000)]
    assert many == [f"a-{n}" for n in range(4, 20_004)]
