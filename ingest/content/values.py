"""Normalize values of any source: clean text, typed dates, language codes, slugs."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from functools import lru_cache

from dateutil import parser as dateutil_parser

from rag.language.text import visible

LONGEST_DATE, LONGEST_ID = 48, 512
"""Characters."""
LONGEST_URL = 8_000
"""Characters; a longer address is dropped, since a shortened one leads elsewhere."""
EPOCH_LAST = 4_102_444_800
"""2100 in seconds since 1970; a larger number is in milliseconds."""

_LINE_END = re.compile(r"[\u2028\u2029\x85\x0b\x1c-\x1e]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_SPACES = re.compile(r" {2,}")
_ODD_SPACES = "\t\u00a0\u2007\u202f"
_YEAR = re.compile(r"(?<!\d)(\d{4}|\d{8})(?!\d)")
_WEEK = re.compile(r"\d-?W\d")
_SECONDS = re.compile(r"\d{9,10}(\.\d+)?|\d{12,13}(\.\d+)?")
_MAIL_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(\d{1,2} [A-Z][a-z]{2,8} \d{4}) (?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
    r"(?: (?:[+-][01]\d[0-5]\d|GMT|UTC|Z))?"
)
"""A date as mails and feeds write it; only its day is parsed, so that the cache serves all times of it."""
_DOTTED = re.compile(r"(?<![\d.])(\d{1,2})\. ?(0?[1-9]|1[0-2])\. ?(\d{4})(?!\.?\d)")
"""Day, month, year: between dots, the day comes first."""
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_.]|$)")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")


def clean(text: str) -> str:
    """Line ends as \\n, runs of spaces as one, no control or invisible characters, no lone surrogates.

    Joiners stay where they change what is seen, as in Persian and in emoji.
    """
    if text.isprintable() and "  " not in text:
        return text.strip(" ")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for space in _ODD_SPACES:
        text = text.replace(space, " ")
    if not text.replace("\n", "").isprintable():
        # Most texts are printable and skip this: it takes ten times as long as the rest.
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = visible(_CONTROLS.sub("", _LINE_END.sub("\n", text)))
    if "  " in text:
        text = _SPACES.sub(" ", text)
    if " \n" in text or "\n " in text:
        text = "\n".join(line.strip(" ") for line in text.split("\n"))
    return text.strip("\n\f ")


def one_line(value: object) -> str:
    """A metadata value as one clean line; empty if it is neither text nor a number."""
    return " ".join(clean(str(value)).split()) if isinstance(value, (str, int, float)) else ""


def parse_date(value: object) -> date | None:
    """Parse a complete date in any common notation; None for anything else.

    A missing day, month or year is never filled in, and 03/04/2024, which means two dates, means none; 03.04.2024 is
    in April. A number of seconds or milliseconds since 1970 is a date, in UTC, where it lies between 1973 and 2100.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = one_line(value)
    if _SECONDS.fullmatch(text):
        return _since_1970(float(text))
    if len(text) > LONGEST_DATE or not _YEAR.search(text) or _WEEK.search(text):
        return None
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        mail_date = _MAIL_DATE.fullmatch(text)
        return _parse_written(mail_date[1] if mail_date else text)


def _since_1970(number: float) -> date | None:
    seconds = number / 1000 if number > EPOCH_LAST else number
    return datetime.fromtimestamp(seconds, UTC).date() if seconds <= EPOCH_LAST else None


def language_code(value: object) -> str:
    """The language of a tag, in lower case: "en" of "en-GB" or "en_US.UTF-8"; empty for anything else."""
    tag = _LANGUAGE.match(one_line(value))
    return tag[1].lower() if tag else ""


@lru_cache(4_096)
def _parse_written(text: str) -> date | None:
    text = _DOTTED.sub(_month_named, text)
    try:
        # Two parses with different defaults and orders: they differ wherever the text is ambiguous or incomplete.
        month_first = dateutil_parser.parse(text, default=datetime(2000, 1, 1), dayfirst=False, ignoretz=True)
        day_first = dateutil_parser.parse(text, default=datetime(2001, 2, 2), dayfirst=True, ignoretz=True)
    except (ValueError, OverflowError):
        return None
    return month_first.date() if month_first.date() == day_first.date() else None


def _month_named(dotted: re.Match[str]) -> str:
    return f"{dotted[1]} {_MONTHS[int(dotted[2]) - 1]} {dotted[3]}"


def slug(text: str, longest: int = 60) -> str:
    """Lower-case ASCII words joined by hyphens."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _NOT_IN_SLUG.sub("-", ascii_text).strip("-")[:longest].strip("-")


def unique_id(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted-2`, `wanted-3` …: the first that is not taken yet; adds it to `taken`."""
    base = wanted[:LONGEST_ID]

    def numbered(count: int) -> str:
        return base if count == 1 else f"{base}-{count}"

    # Doubling, then bisection: where thousands share a name, trying every number would be quadratic.
    most = 1
    while numbered(most) in taken:
        most *= 2
    least = most // 2 + 1
    while least < most:
        middle = (least + most) // 2
        least, most = (middle + 1, most) if numbered(middle) in taken else (least, middle)
    taken.add(numbered(most))
    return numbered(most)
