"""Question → filters on source and publication date, only where the words are unambiguous; and filters in words.

A few patterns find date expressions and dateparser evaluates them. A source becomes a filter only beside words that
make it the reporting one ("according to The Age"), not the subject of reports.

- A period ("in March 2024", "last week") is a range of publication dates. "since X" starts with X's first day,
  "after X" with the day after its last; "before X" ends with the day before its first, "until X" and "by X" with its
  last, and these two count only beside words for publication: a deadline or the end of a state is no such date.
- A day is mostly that of the event, and the article follows it: the two days after it are included, unless the words
  say that something was published or reported on that day.
- A date is often part of the subject: history, a plan, one of two things compared, an earlier event. It is no filter
  then, and neither is any date of a question that names several times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date

from rag.language.dates import IndexDates, date_filters, whole_month, whole_year
from rag.language.source_names import source_filters, sources_named
from rag.schema import Filters, ReadFilter, long_date


@dataclass(frozen=True, slots=True)
class Known:
    """The sources in the index as they are spelled there, and the first and last publication date."""

    sources: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None


def read_filters(question: str, known: Known, today: date) -> list[ReadFilter]:
    """The filters that the question expresses, in order; mostly none.

    All sources share one filter. Its `words` run from the first name to the last; for names that do not follow each
    other they are the names joined by commas. The `words` of a date occur in the question. `words` are unique: those
    of a second filter are extended to the left where needed.
    """
    named = sources_named(question, known.sources)
    found = source_filters(question, named)
    if known.first and known.last and len(named) < 2:
        found += date_filters(question, IndexDates(known.first, known.last, today))
    return _with_unique_words(question, sorted(found, key=lambda read: read.spans[0][0]))


def _with_unique_words(question: str, filters: list[ReadFilter]) -> list[ReadFilter]:
    """Two filters may have the same words: a source may be called "Last week"."""
    unique: list[ReadFilter] = []
    for read in filters:
        words, start = read.words, read.spans[0][0]
        while start and any(words.casefold() == other.words.casefold() for other in unique):
            previous = re.search(r"\S+\s*$", question[:start])
            start = previous.start() if previous else 0
            words = question[start : read.spans[-1][1]]
        unique.append(replace(read, words=words))
    return unique


def described(filters: Filters) -> str:
    """A filter in words that follow "articles": "published in March 2024, from The Age"."""
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
