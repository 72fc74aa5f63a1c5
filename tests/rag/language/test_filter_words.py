"""The words of filters taken out of a question by position, and filters lifted by their words."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language.filter_words import QuestionFilters, cut_spans, without_spans
from rag.language.filters import Known, read_filters
from tests.rag.language.test_filters import KNOWN, QUESTIONS, TODAY

WORDY = Known(("Time", "This week", "Times Herald", "Bay Post"), KNOWN.first, KNOWN.last)
"""Sources whose names are words of other sentences."""


def without(question: str, known: Known = KNOWN) -> str:
    return QuestionFilters.read(question, known, TODAY).without(question)


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("According to Time, what happened in Times Square?", "What happened in Times Square?"),
        ("According to Time, when did Timelines raise Mealtimes?", "When did Timelines raise Mealtimes?"),
        ("What did the Times Herald and Time say about Timeshares?", "What did say about Timeshares?"),
        ("Who left in March 2024 after the storm at Inmarch?", "Who left after the storm at Inmarch?"),
    ],
)
def test_the_same_letters_elsewhere_are_kept(question: str, left: str) -> None:
    assert without(question, WORDY) == left


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("Who resigned in March 2024?", "Who resigned?"),
        ("In March 2024, which pier was closed?", "Which pier was closed?"),
        ("in march 2024 which pier was closed", "which pier was closed"),
        ("And, in March 2024, who left?", "And, who left?"),
        ("Who left, in March 2024, after the storm?", "Who left, after the storm?"),
        ("Who left in March 2024, and why?", "Who left, and why?"),
        ("Who (in March 2024) left?", "Who left?"),
        ("Who is blamed in the March 5, 2024, article on it?", "Who is blamed in the article on it?"),
        ("What does the article of 5 March 2024 say?", "What does the article say?"),
        ("What has changed from May 2024 on?", "What has changed?"),
        ("What did last week's coverage leave out?", "What did coverage leave out?"),
        ("Who was fined  last week ?", "Who was fined?"),
        ("According to “Wired”, who left?", "Who left?"),
        ("Does the 'Fortune' article name him?", "Does the article name him?"),
        ("Who closed it, according to the Age?", "Who closed it?"),
        ("What was reported in Fortune magazine?", "What was reported?"),
        ("What do articles from Wired, Reuters, and The Age say?", "What do articles say?"),
        ("Does the Wired article agree with the report by Reuters?", "Does the article agree with the report?"),
        (
            "Does the Wired article agree with the other Wired article?",
            "Does the article agree with the other article?",
        ),
        ("What was said after March 2024 and before June 2024?", "What was said?"),
        ("Who paid?", "Who paid?"),
    ],
)
def test_the_rest_is_a_well_formed_question(question: str, left: str) -> None:
    assert without(question) == left


def letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


@given(QUESTIONS, st.dates(date(2022, 1, 1), date(2025, 1, 1)))
def test_other_words_keep_their_order(question: str, today: date) -> None:
    spans = cut_spans(question, read_filters(question, KNOWN, today))
    left = without_spans(question, spans)
    kept, at = "", 0
    for start, end in [*spans, (len(question), len(question))]:
        kept, at = kept + question[at:start], end
    assert letters(left) == letters(kept)
    assert len(left) <= len(question)


@given(st.text("aB ,.?'\"“”()", max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_any_spans_can_be_removed(text: str, edges: list[int]) -> None:
    ends = sorted({min(edge, len(text)) for edge in edges})
    spans = [span for span in zip(ends[::2], ends[1::2], strict=False) if span[0] < span[1]]
    left, kept, at = without_spans(text, spans), "", 0
    for start, end in [*spans, (len(text), len(text))]:
        kept, at = kept + text[at:start], end
    assert letters(left) == letters(kept)
    assert "  " in text or "  " not in left


@given(QUESTIONS)
def test_a_filter_has_the_spans_of_its_words(question: str) -> None:
    found = read_filters(question, KNOWN, TODAY)
    for read in found:
        assert read.spans
        first = question[slice(*read.spans[0])]
        assert read.words.startswith(first) or first in read.words
        if not read.filters.sources:
            assert [question[slice(*span)] for span in read.spans] == [read.words]
    assert len({read.words.casefold() for read in found}) == len(found)


def left_after(question: str, *lifted: str, known: Known = WORDY) -> list[str]:
    return [read.words for read in QuestionFilters.read(question, known, TODAY, lifted).found]


def test_the_words_of_a_filter_lift_only_that_filter() -> None:
    question = "According to Time, what happened in Times Square?"
    assert left_after(question) == ["Time"]
    assert left_after(question, "Times Square") == ["Time"]
    assert left_after(question, "Times") == ["Time"]
    assert left_after(question, "time") == left_after(question, "According to  Time") == []
    assert left_after(question, question) == []
    for odd in (f"{question} In İzmir?", f"{question} In the Weißstraße?"):
        assert left_after(odd) == ["Time"]
        assert left_after(odd, f" {odd}\n") == []
    assert left_after(f"{question}\ud800".encode("utf-8", "replace").decode(), f"{question}\ud800") == []


@given(QUESTIONS)
def test_the_whole_question_lifts_every_filter(question: str) -> None:
    assert left_after(question, question, known=KNOWN) == []


def test_two_filters_with_the_same_words_are_distinguished() -> None:
    question = "What did This week say this week?"
    first, second = left_after(question)
    assert first.casefold() != second.casefold()
    assert left_after(question, first) == [second]
    assert left_after(question, second) == [first]
    assert left_after(question, first, second) == []


def test_separate_names_are_one_filter_with_two_spans() -> None:
    question = "Does the Wired article agree with the report by Reuters?"
    [read] = read_filters(question, KNOWN, TODAY)
    assert read.words == "Wired, Reuters"
    assert [question[slice(*span)] for span in read.spans] == ["Wired", "Reuters"]
    assert left_after(question, "Wired, Reuters", known=KNOWN) == []
    assert left_after(question, "Wired", known=KNOWN) == ["Wired, Reuters"]


def test_filters_are_found_again_in_a_rewritten_question() -> None:
    read = QuestionFilters.read("And what did he say in March 2024?", KNOWN, TODAY)
    assert read.without("In March 2024, what did Lea Orm say in Inmarch?") == "What did Lea Orm say in Inmarch?"
    assert read.without("What did Lea Orm say in May 2024?") == "What did Lea Orm say in May 2024?"
    assert read.without("What did Lea Orm say?") == "What did Lea Orm say?"
