"""The filters that a question's words ask for, and a filter in words. Only what is sure is read.

Where a date stands is found by a few patterns; what date it is, dateparser says. A source is read only beside words
that make it the one who reports ("according to The Age"), not the one reported on.

- A period ("in March 2024", "last week") is read as the days of publication. "since X" begins with X's first day,
  "after X" with the day after its last; "before X" ends with the day before its first, "until X" and "by X" with its
  last, and these two are read only of reports: a deadline or the end of a state is no day of publication.
- A day is mostly that of the event, and the article follows it: the two days after it are included, unless the words
  say that something was published or reported on that day.
- A date is content as often: history, a plan, one of two things compared, what came before the thing asked for.
  None of these is read, nor is anything where a question names several times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date

from rag.language.dates import Reach, date_filters, whole_month, whole_year
from rag.language.source_names import source_filters, sources_named
from rag.schema import Filters, ReadFilter, long_date


@dataclass(frozen=True, slots=True)
class Known:
    """What the index knows: its articles' sources as they are spelled, and the first and last day of publication."""

    sources: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None


def read_filters(question: str, known: Known, today: date) -> list[ReadFilter]:
    """The filters that the question's words ask for, in the order they stand in it; mostly there are none.

    All sources that are named make one filter, as an article has but one. Its `words` are those from the first
    name to the last; if these stand apart, the names joined by commas. A date's `words` stand in the question. No two
    filters of a question have the same `words`: the later one's begin further ahead then.
    """
    named = sources_named(question, known.sources)
    found = source_filters(question, named)
    if known.first and known.last and len(named) < 2:
        found += date_filters(question, Reach(known.first, known.last, today))
    return _told_apart(question, [read for _, read in sorted(found, key=lambda placed: placed[0])])


def _told_apart(question: str, found: list[ReadFilter]) -> list[ReadFilter]:
    """The filters, each with words of its own: a source may be called "Last week"."""
    apart: list[ReadFilter] = []
    for read in found:
        words, start = read.words, read.spans[0][0]
        while start and any(words.casefold() == other.words.casefold() for other in apart):
            start = _word_before(question, start)
            words = question[start : read.spans[-1][1]]
        apart.append(replace(read, words=words))
    return apart


def _word_before(question: str, at: int) -> int:
    found = re.search(r"\S+\s*$", question[:at])
    return found.start() if found else 0


def described(filters: Filters) -> str:
    """A filter in words, to stand after "articles": "published in March 2024, from The Age"."""
    count = len(filters.article_ids)
    parts = [
        _published(filters.published_after, filters.published_before),
        f"from {_either(filters.sources)}" if filters.sources else "",
        f"in {count} chosen article{'s' if count > 1 else ''}" if count else "",
    ]
    return ", ".join(part for part in parts if part)


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _published(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        limits = (("since", first), ("until", last))
        return "".join(f"published {word} {long_date(day)}" for word, day in limits if day)
    whole = {(first, first): f"on {long_date(first)}", whole_month(first): f"in {first:%B} {first.year}"}
    whole[whole_year(first)] = f"in {first.year}"
    return f"published {whole.get((first, last)) or _range(first, last)}"


def _range(first: date, last: date) -> str:
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{long_date(last)}"
    return (
        f"{first.day} {first:%B} – {long_date(last)}"
        if first.year == last.year
        else f"{long_date(first)} – {long_date(last)}"
    )
