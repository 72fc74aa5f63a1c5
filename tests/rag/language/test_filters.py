"""Filters that are read out of questions, and the many things that are none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language.filters import Known, described, read_filters
from rag.schema import Filters
from tests.conftest import ROOT

TODAY = date(2024, 6, 12)
"""A Wednesday."""
KNOWN = Known(
    (
        "Bay Times",
        "Cnbc | World Business News Leader",
        "FOX News - Health",
        "FOX News - Travel",
        "Fortune",
        "Polygon",
        "Reuters",
        "TechCrunch",
        "The Age",
        "The Guardian",
        "The New York Times",
        "The Roar | Sports Writers Blog",
        "Times",
        "Wired",
    ),
    date(2022, 3, 1),
    date(2024, 6, 11),
)


def read(question: str, known: Known = KNOWN, today: date = TODAY) -> list[tuple[str, str]]:
    return [(found.words, described(found.filters)) for found in read_filters(question, known, today)]


@pytest.mark.parametrize(
    ("question", "words", "said"),
    [
        ("Who resigned in March 2024?", "in March 2024", "in March 2024"),
        ("In March 2024 which pier was closed?", "In March 2024", "in March 2024"),
        ("what happened in march 2024", "in march 2024", "in March 2024"),
        ("What was decided in Sept. 2023?", "in Sept. 2023", "in September 2023"),
        ("Which ships ran aground in late May 2023?", "in late May 2023", "in May 2023"),
        ("Who resigned in 2023?", "in 2023", "in 2023"),
        ("In 2023, who led the harbor board?", "In 2023", "in 2023"),
        ("Which banks failed during 2023 and why?", "during 2023", "in 2023"),
        ("Who resigned in March?", "in March", "in March 2024"),
        ("Who resigned in November?", "in November", "in November 2023"),
        ("Who resigned in June?", "in June", "in June 2024"),
        ("Who resigned in March last year?", "in March last year", "in March 2023"),
        ("What happened on 5 March 2024?", "on 5 March 2024", "5–7 March 2024"),
        ("What happened on October 7th, 2023?", "on October 7th, 2023", "7–9 October 2023"),
        ("What happened on 2023-10-07?", "on 2023-10-07", "7–9 October 2023"),
        ("What happened on Tuesday, 5 March 2024?", "on Tuesday, 5 March 2024", "5–7 March 2024"),
        ("What happened on the 30th of May 2024?", "on the 30th of May 2024", "30 May – 1 June 2024"),
        ("Who was hurt on 5 March?", "on 5 March", "5–7 March 2024"),
        ("What was published on 5 March 2024?", "on 5 March 2024", "on 5 March 2024"),
        ("What did the papers report on 5 March 2024?", "on 5 March 2024", "on 5 March 2024"),
        ("What does the article of 5 March 2024 say?", "article of 5 March 2024", "on 5 March 2024"),
        ("Who is blamed in the March 5, 2024, article on the pier?", "March 5, 2024", "on 5 March 2024"),
        ("What has the council decided since March?", "since March", "since 1 March 2024"),
        ("How many have died since 3 May 2024?", "since 3 May 2024", "since 3 May 2024"),
        ("What has changed since last week?", "since last week", "since 3 June 2024"),
        ("What has changed from May 2024 on?", "from May 2024", "since 1 May 2024"),
        ("What did the mayor say after 3 May 2024?", "after 3 May 2024", "since 4 May 2024"),
        ("What did the mayor say after March 2024?", "after March 2024", "since 1 April 2024"),
        ("What did the mayor say before June 2024?", "before June 2024", "until 31 May 2024"),
        ("What was reported until 31 May 2024?", "until 31 May 2024", "until 31 May 2024"),
        ("What was known by 31 May 2024?", "by 31 May 2024", "until 31 May 2024"),
        ("What did crews want between March and May 2024?", "between March and May 2024", "1 March – 31 May 2024"),
        (
            "Who led between November and February 2024?",
            "between November and February 2024",
            "1 November 2023 – 29 February 2024",
        ),
        (
            "Who led from November 2023 to February?",
            "from November 2023 to February",
            "1 November 2023 – 29 February 2024",
        ),
        ("What happened between 5 and 9 March 2024?", "between 5 and 9 March 2024", "5–9 March 2024"),
        ("What did rents do from 2022 to 2023?", "from 2022 to 2023", "1 January 2022 – 31 December 2023"),
        ("What happened last week?", "last week", "3–9 June 2024"),
        ("What happened this week?", "this week", "10–16 June 2024"),
        ("Last month, who was fined?", "Last month", "in May 2024"),
        ("Who was fined last year?", "last year", "in 2023"),
        ("Who was fined earlier this year?", "this year", "in 2024"),
        ("What did the court rule yesterday?", "yesterday", "11–12 June 2024"),
        ("What was reported yesterday?", "yesterday", "on 11 June 2024"),
        ("What happened today?", "today", "on 12 June 2024"),
        ("What is in today's news?", "today", "on 12 June 2024"),
        ("What did last week's coverage leave out?", "last week", "3–9 June 2024"),
        ("Who was fined in the past three weeks?", "in the past three weeks", "22 May – 12 June 2024"),
        ("Who was fined over the last 10 days?", "over the last 10 days", "2–12 June 2024"),
        ("Who was fined in the past month?", "in the past month", "12 May – 12 June 2024"),
        ("What did the firm announce two weeks ago?", "two weeks ago", "27 May – 2 June 2024"),
        ("What did the firm announce three days ago?", "three days ago", "9–11 June 2024"),
        ("Who spoke last Friday?", "last Friday", "7–9 June 2024"),
        ("What was said in March 2024 about the 2016 election?", "in March 2024", "in March 2024"),
        ("What did the firm founded in 1998 announce last week?", "last week", "3–9 June 2024"),
    ],
)
def test_a_date_is_read(question: str, words: str, said: str) -> None:
    assert read(question) == [(words, f"published {said}")]


@pytest.mark.parametrize(
    "question",
    [
        "What happened after the election?",
        "What did the firm do before the court ruled?",
        "What has happened since the storm?",
        "What may the council do?",
        "Who will march in the capital?",
        "Who joined the protest march in town?",
        "Which august body met?",
        "What did May say about the pier?",
        "Why did voters turn after May lost the vote?",
        "What did April and June want?",
        "Who spoke in May Day Square?",
        "How were 1,999 homes lost?",
        "Who lives in 2023 homes by the sea?",
        "How did the fire in 2023 or more homes start?",
        "What is in room 2023?",
        "What are 2023 dollars worth?",
        "Who won the 2023 election?",
        "What was in style in the 1990s?",
        "Who ruled in the 19th century?",
        "What happened in 1998?",
        "What happened on 5 March 1836?",
        "What has stood since 1923?",
        "When did the firm founded in 2023 close?",
        "When was the singer born on 5 March 2023 found?",
        "What will be built in December 2030?",
        "What will open this week?",
        "What is planned for July 2024?",
        "Who must pay by March 2024?",
        "How long was the pier open until May 2024?",
        "Who paid within two weeks?",
        "Who waited for three days?",
        "At 16:30, who called?",
        "Did rents rise compared to last year?",
        "Did rents rise more than last year?",
        "Are rents up from last year?",
        "Were rents in March 2024 higher than in 2023?",
        "How do rents of 2022 differ from those in 2023?",
        "Did rents in March 2024 beat last year's?",
        "What did the board say in March 2024 and in May 2024?",
        "Who won last year's race?",
        "Who repaired yesterday's damage?",
        "Who sings Yesterday?",
        "Who was on Last Week Tonight?",
        "What happened in the last week of term?",
        "How many people live in Tolm today?",
        "What happened after the storm last week?",
        "What did the firm say after the judge ruled on 5 March 2024?",
        "Who directed “Storm in March 2024”?",
        'What is the film "in 2023" about?',
        "Who was injured on 31 February 2024?",
        "How old is the bridge of 300 years ago?",
        "Who moved about two weeks ago?",
        "Who rose in the 2023-24 season?",
        "What was sold in 2023's auction?",
        "What happened on the May 5 bridge?",
        "What happened on 07/10/2023?",
        "Who lost the most in the last few weeks?",
        "",
    ],
)
def test_no_date_is_read(question: str) -> None:
    assert read(question) == []


def test_two_ends_of_a_range_are_two_filters() -> None:
    assert read("What was said after March 2024 and before June 2024?") == [
        ("after March 2024", "published since 1 April 2024"),
        ("before June 2024", "published until 31 May 2024"),
    ]


def test_an_index_without_dates_has_no_date_filters() -> None:
    assert read("What happened last week, and in March 2024?", Known(KNOWN.sources)) == []


def test_recent_dates_are_filters_even_without_recent_articles() -> None:
    old = Known((), date(2020, 1, 1), date(2020, 12, 31))
    assert read("What happened last week?", old) == [("last week", "published 3–9 June 2024")]
    assert read("Who resigned in 2024?", old) == []
    assert read("Who resigned in March?", old) == [], "no year is named, and none of the last four is in the index"
    assert read("Who resigned in March 2020?", old) == [("in March 2020", "published in March 2020")]


@pytest.mark.parametrize(
    ("question", "words", "sources"),
    [
        ("According to The Age, who closed the pier?", "The Age", "The Age"),
        ("Who closed the pier, according to the Age?", "the Age", "The Age"),
        ("Who closed the pier according to a report in Bay Times?", "Bay Times", "Bay Times"),
        ("What did Reuters say about the pier?", "Reuters", "Reuters"),
        ("What did techcrunch report about chips?", "techcrunch", "TechCrunch"),
        ("what does the new york times report about chips", "the new york times", "The New York Times"),
        ("What does CNBC report?", "CNBC", "Cnbc | World Business News Leader"),
        ("What was reported by Polygon?", "Polygon", "Polygon"),
        ("In the Wired article, who is blamed?", "Wired", "Wired"),
        ("What does Fortune's latest report leave out?", "Fortune", "Fortune"),
        ("Does the 'Fortune' article name him?", "Fortune", "Fortune"),
        ("What did Fortune magazine's story leave out?", "Fortune", "Fortune"),
        ("In The Guardian, who is quoted?", "The Guardian", "The Guardian"),
        ("What was written in The Guardian about it?", "The Guardian", "The Guardian"),
        ("Is The Roar's coverage fair?", "The Roar", "The Roar | Sports Writers Blog"),
        ("What does a FOX News report claim?", "FOX News", "FOX News - Health or FOX News - Travel"),
        ("What does the FOX News - Health report claim?", "FOX News - Health", "FOX News - Health"),
        ("What has Reuters also reported about Fortune?", "Reuters", "Reuters"),
        ("What did Reuters and TechCrunch say?", "Reuters and TechCrunch", "Reuters or TechCrunch"),
        (
            "What do articles from Wired, Reuters, and The Age say?",
            "Wired, Reuters, and The Age",
            "Wired, Reuters or The Age",
        ),
        ("Does the Wired article agree with the report by Reuters?", "Wired, Reuters", "Wired or Reuters"),
        ("Does the Wired article agree with the other Wired article?", "Wired", "Wired"),
    ],
)
def test_a_source_is_read(question: str, words: str, sources: str) -> None:
    assert read(question) == [(words, f"from {sources}")]


@pytest.mark.parametrize(
    "question",
    [
        "Who owns TechCrunch?",
        "What did Google tell The New York Times' lawyers?",
        "What did The New York Times say about its lawsuit?",
        "How much did he invest in The Guardian?",
        "Who bought Polygon, and for how much?",
        "Who works at Reuters?",
        "What did the article about TechCrunch say?",
        "What did the guardian say about the child?",
        "Who told the independent guardian's story?",
        "according to the age of the patient, what is the dose?",
        "According to The Age of Tides, who rules?",
        "what does the fortune report",
        "Which wired report did the polygon cover?",
        "What does the Fortune 500 report say?",
        "What do the Financial Times articles say?",
        "According to Polygon Pictures, who drew it?",
        "What was reported by Reuters-Ipsos?",
        "What does wired.com's or me@wired.com's article say?",
        "What did The Age do?",
        "Does the Wired article agree with Polygon?",
        "Which firm, praised in a Wired article, is sued by Fortune?",
        "Who owns the ship, reported by Reuters to leak, and was he fined?",
        "ACCORDING TO THE AGE OF THE PATIENT, WHAT IS THE DOSE?",
        "According to the mayor, who closed the pier?",
    ],
)
def test_no_source_is_read(question: str) -> None:
    assert read(question) == []


def test_an_index_with_one_source_has_no_source_filters() -> None:
    for sources in ((), ("Bay Times",), ("Bay Times", "Bay Times", "")):
        assert read("What did Bay Times report?", Known(sources)) == []


def test_filters_are_in_the_order_of_the_question() -> None:
    assert read("In March 2024, what did Reuters report?") == [
        ("In March 2024", "published in March 2024"),
        ("Reuters", "from Reuters"),
    ]
    assert [words for words, _ in read("What did Reuters report last week?")] == ["Reuters", "last week"]


def test_no_date_is_read_beside_two_sources() -> None:
    question = "Does the Wired article published on 5 March 2024 agree with the Reuters report?"
    assert read(question) == [("Wired, Reuters", "from Wired or Reuters")]


DAY = date(2024, 3, 5)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (Filters(), ""),
        (Filters(DAY, DAY), "published on 5 March 2024"),
        (Filters(date(2024, 3, 3), DAY), "published 3–5 March 2024"),
        (Filters(DAY, date(2024, 4, 1)), "published 5 March – 1 April 2024"),
        (Filters(date(2023, 12, 31), DAY), "published 31 December 2023 – 5 March 2024"),
        (Filters(date(2024, 2, 1), date(2024, 2, 29)), "published in February 2024"),
        (Filters(date(2024, 1, 1), date(2024, 12, 31)), "published in 2024"),
        (Filters(published_after=DAY), "published since 5 March 2024"),
        (Filters(published_before=DAY), "published until 5 March 2024"),
        (Filters(sources=("A",)), "from A"),
        (Filters(sources=("A", "B")), "from A or B"),
        (Filters(sources=("A", "B", "C")), "from A, B or C"),
        (Filters(article_ids=("a",)), "in 1 chosen article"),
        (Filters(article_ids=("a", "b")), "in 2 chosen articles"),
        (Filters(DAY, DAY, ("A",), ("a", "b")), "published on 5 March 2024, from A, in 2 chosen articles"),
    ],
)
def test_a_filter_in_words(filters: Filters, words: str) -> None:
    assert described(filters) == words


PIECES = st.sampled_from(
    "in on since after before until by between and from to the last past this ago week month year days yesterday today "
    "may May March march Sept. 5 31 5th 2023 2024 1998 1,999 2023-10-07 two a , . ? ' \" “ ” - published reported "
    "article report according said did Reuters Wired The Age FOX News TechCrunch 's or who İ ſ ".split(" ")
)
QUESTIONS = st.one_of(st.text(max_size=2000), st.lists(PIECES, max_size=60).map(" ".join))


@given(question=QUESTIONS, today=st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_filters_of_any_question_are_consistent(question: str, today: date) -> None:
    for found in read_filters(question, KNOWN, today):
        filters = found.filters
        assert filters
        assert described(filters)
        assert bool(filters.sources) != bool(filters.published_after or filters.published_before)
        assert set(filters.sources) <= set(KNOWN.sources)
        if filters.published_after or filters.published_before:
            assert found.words in question
        if filters.published_after and filters.published_before:
            assert filters.published_after <= filters.published_before


@given(st.dates(date(2022, 3, 1), TODAY - timedelta(days=3)))
def test_every_day_is_read_in_every_spelling(day: date) -> None:
    for spelled in (f"{day.day} {day:%B} {day.year}", f"{day:%B} {day.day}, {day.year}", day.isoformat()):
        [found] = read_filters(f"What was published on {spelled}?", KNOWN, TODAY)
        assert found.filters == Filters(day, day)


@pytest.mark.parametrize(
    "piece",
    "1|1 | |a|'|“|2023|2023 |in 2023 |in 1998 and |5 March 2024 |since |last week |the last |999 years ago "
    "|between 5 and |than it was |other |report on |Reuters |Reuters, and |by Wired, |according to "
    "|The Age report ".split("|"),
)
def test_long_questions_are_fast(piece: str) -> None:
    question = (piece * 2000)[:2000]
    read_filters("in March 2024", KNOWN, TODAY)
    began = time.perf_counter()
    read_filters(question, KNOWN, TODAY)
    read_filters(f"What did Reuters say in March 2024 {question}?", KNOWN, TODAY)
    assert time.perf_counter() - began < 1


def test_the_first_and_last_possible_dates() -> None:
    ever = Known((), date.min, date.max)
    assert read("What happened last week?", ever) == [("last week", "published 3–9 June 2024")]
    assert read("What happened yesterday, or 999 years ago?", ever, date(1900, 1, 1)) == []


def test_dates_are_read_without_network_and_without_files(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "def forbid(event, args):\n"
        "    wrote = event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+')\n"
        "    assert not wrote and event not in ('socket.connect', 'socket.getaddrinfo', 'os.mkdir'), (event, args)\n"
        "sys.addaudithook(forbid)\n"
        "from datetime import date\n"
        "from rag.language.filters import Known, read_filters\n"
        "known = Known((), date(2023, 1, 1), date(2024, 6, 1))\n"
        "print(read_filters('Who left in March 2024?', known, date(2024, 6, 12))[0].words)\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stdout.strip() == "in March 2024"
    assert not list(tmp_path.iterdir())
