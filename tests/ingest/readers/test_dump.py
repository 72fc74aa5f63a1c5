"""Plain text and scraped dumps."""

from __future__ import annotations

import textwrap
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.readers.dump import captions_of, parse_dump, unwrapped
from tests.conftest import ROOT

STORY = """The harbor master said on Tuesday that the pier would be closed to all ships until the spring.

“We have no choice,” she said.

A storm had torn away the outer wall two weeks before, and nobody had yet agreed to pay for another one."""
OTHER = """The council voted by nine to two on Friday for a night bus that will run between the islands all year.

Two members called it a waste. It starts in May, when the first of the four new buses will be delivered.

The fare is three crowns, and children under ten years of age will travel free on every day of the week."""
THIRD = """Beekeepers in the northern valleys lost half of their hives over the winter, their society said on Monday.

It blamed a mite that reached the country in 2019, and asked the ministry for help before the next cold season."""

CAPTION = "People look at the broken pier of Ostrava Bay. (Northern Agency)"


def page(title: str, story: str, caption: str = CAPTION, junk: str = "TT") -> str:
    return f"{title}\n\n{caption}\n{caption}\n{junk}\n\n{title}\n\n{caption}\n{caption}\n\n{story}"


def dump(*parts: str) -> str:
    return "\n\n\n\n".join(parts)


def test_repetition_in_a_scraped_page_is_dropped() -> None:
    [article] = parse_dump(page("Storm closes Ostrava pier until spring", STORY))
    assert article.title == "Storm closes Ostrava pier until spring"
    assert article.text == f"{CAPTION}\n\n{STORY}"
    assert [article.text[start:end] for start, end in article.captions] == [CAPTION]


def test_three_articles_one_of_them_without_leftovers() -> None:
    text = dump(
        page("Storm closes Ostrava pier until spring", STORY),
        f"Night bus will link the islands from May\n\n{OTHER}",
        page("Half of the hives lost over the winter", THIRD, "Empty hives near Tolm, in March. (Society)", "Share"),
    )
    found = parse_dump(text)
    assert [article.title for article in found] == [
        "Storm closes Ostrava pier until spring",
        "Night bus will link the islands from May",
        "Half of the hives lost over the winter",
    ]
    assert found[1].text == OTHER
    assert not any("TT" in article.text or "Share" in article.text for article in found)


def test_three_articles_without_leftovers() -> None:
    titles = ["Storm closes the pier", "Night bus will link the islands", "Half of the hives are lost"]
    text = dump(*(f"{title}\n\n{story}" for title, story in zip(titles, (STORY, OTHER, THIRD), strict=True)))
    found = parse_dump(text)
    assert [article.title for article in found] == titles
    assert [article.text for article in found] == [STORY, OTHER, THIRD]


def test_pages_that_follow_each_other_without_a_wider_gap() -> None:
    text = "\n\n".join([page("Storm closes Ostrava pier", STORY), page("Night bus links the islands", OTHER)])
    assert [article.title for article in parse_dump(text)] == [
        "Storm closes Ostrava pier",
        "Night bus links the islands",
    ]


@pytest.mark.parametrize("line", ["---", "=====", "- - - -", "\f"])
def test_a_separating_line_sets_articles_apart(line: str) -> None:
    text = f"Storm closes the pier\n\n{STORY}\n{line}\nNight bus links the islands\n\n{OTHER}"
    assert [article.text for article in parse_dump(text)] == [STORY, OTHER]


HERON = """Title: Heron colony returns to Saltmarsh reserve
Date: 2025-02-03
Author: Priya Nair
URL: https://county-herald.example/2025/02/heron
Source: County Herald
"""
FERRY = """link: https://county-herald.example/2025/02/ferry
Section: Local
By: Ada Moor
Published: 12.05.2024
Language: en
HEADLINE: Ferry to Tolm will sail at night.
Words: 312
"""


@pytest.mark.parametrize("between", ["\n=====\n", "\n\n\n\n\n", "\n\n"])
def test_lines_that_label_an_articles_fields(between: str) -> None:
    first, second, third = parse_dump(between.join(f"{labels}\n{OTHER}" for labels in (HERON, FERRY, HERON)))
    assert (first.title, first.author) == ("Heron colony returns to Saltmarsh reserve", "Priya Nair")
    assert (first.url, first.source) == ("https://county-herald.example/2025/02/heron", "County Herald")
    assert (first.published, first.text, first.extra) == (date(2025, 2, 3), OTHER, {})
    assert (second.title, second.author) == ("Ferry to Tolm will sail at night.", "Ada Moor")
    assert (second.url, second.language) == ("https://county-herald.example/2025/02/ferry", "en")
    assert (second.published, second.text) == (date(2024, 5, 12), OTHER)
    assert second.extra == {"Section": "Local", "Words": "312"}
    assert third == first


def test_labels_outweigh_the_header() -> None:
    title = "Heron colony returns to Saltmarsh reserve"
    [article] = parse_dump(f"{HERON}\n{title}\n\nBy Bo Lind\n6 March 2024\n\nShare\n\n{STORY}")
    assert (article.title, article.author, article.published) == (title, "Priya Nair", date(2025, 2, 3))
    assert article.text == STORY


@pytest.mark.parametrize("body", [f"Text: {STORY}", f"Body:\n{STORY}", f"Content:\n\n{STORY}", STORY])
def test_a_text_right_after_the_labels(body: str) -> None:
    [article] = parse_dump(HERON + body)
    assert (article.title, article.text) == ("Heron colony returns to Saltmarsh reserve", STORY)


def test_labels_without_a_title() -> None:
    [article] = parse_dump(f"Date: 2025-02-03\nID: 7\nAuthor: Priya Nair\n\nStorm closes the pier\n\n{STORY}")
    assert (article.title, article.author, article.text) == ("Storm closes the pier", "Priya Nair", STORY)
    assert (article.published, article.extra) == (date(2025, 2, 3), {"id": "7"})


def test_a_dateline_is_not_taken_for_a_field() -> None:
    first, *others = STORY.split("\n\n")
    [article] = parse_dump("\n\n".join([f"{HERON}KELM: {first}", *others]))
    assert article.text == f"KELM: {STORY}"


@pytest.mark.parametrize(
    "start",
    [
        "Title: Storm closes the pier",
        "Storm closes the pier\n\nSource: the harbor master\nDate: a Tuesday",
        "A talk at the pier\n\nReporter: Is it open?\nSource: No, not at all.",
        "Reporter: Is it open?\nSource: No, not at all.",
        "Salt: two spoons\nWater: one cup",
    ],
)
def test_lines_that_are_not_labels_are_text(start: str) -> None:
    [article] = parse_dump(f"{start}\n\n{STORY}")
    title, *lines = start.replace("\n\n", "\n").split("\n")
    shown = [line for line in (article.title, *article.text.split("\n\n")) if line]
    assert shown == [title, *lines, *STORY.split("\n\n")]


def test_a_sections_heading_does_not_start_an_article() -> None:
    [article] = parse_dump(f"Storm closes the pier\n\n{STORY}\n\n\n\nWhat comes next\n\n{OTHER}")
    assert article.title == "Storm closes the pier"
    assert "What comes next" in article.text


def test_one_article_with_byline_and_date() -> None:
    [article] = parse_dump(f"Storm closes the pier\n\nBy Ada Moor\n5 March 2024\n\n{STORY}")
    assert (article.author, article.published) == ("Ada Moor", date(2024, 3, 5))
    assert article.text == STORY


def test_a_story_without_a_title() -> None:
    [article] = parse_dump(STORY)
    assert (article.title, article.text) == ("", STORY)


def test_a_title_alone_is_a_text() -> None:
    [article] = parse_dump("Storm closes the pier")
    assert (article.title, article.text) == ("", "Storm closes the pier")


def test_an_empty_text_has_no_article() -> None:
    assert parse_dump("") == parse_dump(" \n\n\t\n") == []


def test_line_ends_do_not_matter() -> None:
    text = dump(page("Storm closes Ostrava pier", STORY), page("Night bus links the islands", OTHER))
    assert parse_dump(text) == parse_dump(text.replace("\n", "\r\n")) == parse_dump("\ufeff" + text)


def test_lines_broken_at_a_fixed_width_are_joined() -> None:
    wrapped = "\n\n".join(textwrap.fill(paragraph, 60) for paragraph in STORY.split("\n\n"))
    [article] = parse_dump(f"Storm closes the pier\n\n{wrapped}")
    assert article.text == STORY == unwrapped(wrapped)


@pytest.mark.parametrize(
    "text",
    [
        "Interview with Ada Moor\n\nASKER\nIs it open?\n\nMOOR\nYes.\n\nASKER\nFor everyone?\n\nMOOR\nYes.\n\n" + STORY,
        "Bread for a crowd\n\nTwo eggs\nSalt\nWarm water\nEmail\n\n" + STORY,
        "An ode to the pier\n\nBy night it creaks,\nby day it groans.\n\nRow on, row on.\n\nRow on, row on.",
        "The Piers Act\n\nPART I\n\n1. Powers\n\n(a) The master may close a pier.\n\n\n\n(b) [Repealed]\n\n" + STORY,
        f"A story in two parts\n\n{STORY}\n\n* * *\n\n“Are you coming in for supper?”\n\n{OTHER}",
        f"A pier and its future\n\n{STORY}\n\n\nWhat will happen to it next\n\n{OTHER}",
        f"Live: the storm\n\n10:42\nThe pier is closed.\n\n10:50\nThe pier is closed.\n\n{STORY}",
        "Old and new\n\nBy contrast, nobody at the ministry agreed to pay\n\n" + STORY,
    ],
    ids=["interview", "list", "poem", "law", "scene", "section", "live", "by"],
)
def test_a_text_that_was_not_scraped_keeps_every_line(text: str) -> None:
    [article] = parse_dump(text)
    title, *lines = [line for line in text.split("\n") if line and line != "* * *"]
    assert article.title == title
    kept = [line for line in article.text.split("\n") if line]
    assert kept == [line for line in lines if line != "Email"]
    assert article.author == ""


def test_buttons_and_ad_labels_are_dropped() -> None:
    first, *others = STORY.split("\n\n")
    text = "\n\n".join(["Storm closes the pier", "Share", first, "Advertisement", *others, "Facebook"])
    [article] = parse_dump(text)
    assert article.text == STORY + "\n\nFacebook"


def test_an_acronym_in_brackets_is_no_credit() -> None:
    title = "How the bay joined the Northern Treaty Organization (NTO)"
    [article] = parse_dump(f"{title}\n\n{STORY}")
    assert (article.title, article.captions) == (title, ())


def test_a_refrain_far_apart_is_kept() -> None:
    lines = [f"This is sentence number {n} of a long story, and it says something of its own." for n in range(30)]
    lines[5] = lines[25] = "Nobody at the ministry wanted to say anything about it to the paper this week."
    [article] = parse_dump("A story with a refrain\n\n" + "\n\n".join(lines))
    assert article.text.count(lines[5]) == 2


def test_captions_by_their_form() -> None:
    text = (
        "The pier on Monday. (Northern Agency)\nFILE PHOTO: Buses\nHe was born (in 1950) in Tolm.\nIn Tolm. Photo: NA"
    )
    assert [text[start:end] for start, end in captions_of(text)] == [
        "The pier on Monday. (Northern Agency)",
        "FILE PHOTO: Buses",
        "In Tolm. Photo: NA",
    ]


def test_captions_that_begin_with_their_label() -> None:
    lines = ["Image caption, The bridge carries 31,000 vehicles a day", "Image source, Northern Agency"]
    ending = f"{lines[0]}."
    text = "\n\n".join(["Storm closes the pier", STORY, *lines, ending, "Image captions, they say, help the blind."])
    [article] = parse_dump(text)
    assert [article.text[start:end] for start, end in article.captions] == [*lines, ending]


pieces = st.sampled_from([*HERON.splitlines(), "Text: a", "Title:", "=====", "", "Is it?", *STORY.split("\n\n")])


@given(st.lists(pieces, max_size=20))
def test_any_lines_make_articles_whose_captions_lie_in_them(lines: list[str]) -> None:
    for article in parse_dump("\n".join(lines)):
        assert article.text == article.text.strip()
        assert all(0 <= start < end <= len(article.text) for start, end in article.captions)


@given(st.text(alphabet='ab. \n\f-()"AB12', max_size=400))
def test_any_text_makes_articles_whose_captions_lie_in_them(text: str) -> None:
    for article in parse_dump(text):
        assert article.text == article.text.strip()
        for start, end in article.captions:
            assert 0 <= start < end <= len(article.text)


def test_the_first_real_input() -> None:
    folder = ROOT.parent / "shared" / "data" / "seeds"
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not files:
        pytest.skip("the first real input is not on this machine")
    found = [article for path in files for article in parse_dump(Path(path).read_text("utf-8"))]
    assert len(found) == 2
    for article in found:
        lines = [article.title, *article.text.split("\n\n")]
        assert len(lines) == len(set(lines))
        assert "TT" not in lines
        assert len(article.captions) == 1


def test_a_line_alone_between_paragraphs_that_is_no_sentence_is_a_heading() -> None:
    [first, *rest] = OTHER.split("\n\n")
    text = "\n\n".join(["Night bus will link the islands from May", first, "What the bus costs", *rest])
    [article] = parse_dump(text)
    assert [article.text[start:end] for start, end in article.captions] == ["What the bus costs"]
    for kept in ("What does it cost?", "- What the bus costs", "It costs this:"):
        [article] = parse_dump(text.replace("What the bus costs", kept))
        assert (kept in article.text, article.captions) == (True, ())


def test_many_titles_without_a_story_take_time_in_proportion() -> None:
    body = "The pier in the harbour is closed since Tuesday said Ada Moor and it leaks in ten places now.\n\n"

    def seconds(count: int) -> float:
        text = body + "".join(f"\n\n\n\n\nHarbour News Number {i} Today\n\nx y\n\nz u" for i in range(count))
        started = time.process_time()
        parse_dump(text)
        return time.process_time() - started

    assert min(seconds(2_000) for _ in range(2)) < 8 * min(seconds(500) for _ in range(3))
