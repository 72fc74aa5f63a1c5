"""Dates and sources as people write them, turned into filters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches

from rag.errors import QuestionError, cut
from rag.schema import Filters

ISO = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
SHOWN_SOURCES = 5


def day(text: str) -> date | None:
    """A day such as 2024-03-31; None for an empty text. Raises QuestionError for any other text."""
    written = text.strip()
    if not written:
        return None
    try:
        # fromisoformat also accepts week dates and dates without dashes
        return date.fromisoformat(written if ISO.fullmatch(written) else "")
    except ValueError as error:
        raise QuestionError(f"{cut(written)!r} is no date; write it as YYYY-MM-DD, such as 2024-03-31") from error


def filters(after: str = "", before: str = "", sources: Sequence[str] = (), article_ids: Sequence[str] = ()) -> Filters:
    """The filters. Raises QuestionError for an invalid date, or for dates in the wrong order."""
    first, last = day(after), day(before)
    if first and last and first > last:
        raise QuestionError(f"no day is after {first} and before {last}; change one of the dates")
    return Filters(first, last, tuple(dict.fromkeys(sources)), tuple(dict.fromkeys(article_ids)))


def spelled(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Sources in the spelling of the index, whatever their case. Raises QuestionError for an unknown one."""
    by_name = {source.casefold(): source for source in reversed(sources)}
    by_name |= {source: source for source in sources}
    found = [by_name.get(name) or by_name.get(name.strip().casefold()) for name in names]
    for name, source in zip(names, found, strict=True):
        if source is None:
            near = get_close_matches(cut(name), sources, 2, 0.5) or sources[:SHOWN_SOURCES]
            raise QuestionError(
                f"no article has the source {cut(name)!r}; there is {', '.join(map(repr, map(cut, near))) or 'none'}"
            )
    return [source for source in found if source]
