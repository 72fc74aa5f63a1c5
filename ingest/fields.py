"""What any reader finds in a source, made uniform: clean text, typed dates, slugs."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime

from dateutil import parser as dateutil_parser

LONGEST_DATE = 48
LONGEST_ID = 512

_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x85\x0b\x1c-\x1e]")
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufffe\uffff]")
_SPACE = re.compile(r"[\t \u00a0\u2007\u202f]+")
_YEAR = re.compile(r"(?<!\d)(\d{4}|\d{8})(?!\d)")
_WEEK = re.compile(r"\d-?W\d")
_NO_SLUG = re.compile(r"[^a-z0-9]+")


def clean(text: str) -> str:
    """Line ends as \\n, runs of spaces as one, no control or invisible characters, no lone surrogates."""
    text = _LINE_END.sub("\n", text.encode("utf-8", "replace").decode("utf-8"))
    text = _SPACE.sub(" ", _INVISIBLE.sub("", text))
    return "\n".join(line.strip(" ") for line in text.split("\n")).strip("\n\f ")


def one_line(value: object) -> str:
    """A metadata value as one clean line; empty for None and for what is no text or number."""
    return " ".join(clean(str(value)).split()) if isinstance(value, (str, int, float)) else ""


def parse_date(value: object) -> date | None:
    """The date that a value states in full, in any common notation; None for anything else.

    A missing day, month or year is never filled in, and 03/04/2024, which means two dates, means none.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = one_line(value)
    if len(text) > LONGEST_DATE or not _YEAR.search(text) or _WEEK.search(text):
        return None
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        return _parse_written(text)


def _parse_written(text: str) -> date | None:
    try:
        # Two readings that differ wherever the text leaves something open.
        one = dateutil_parser.parse(text, default=datetime(2000, 1, 1), dayfirst=False, ignoretz=True)
        other = dateutil_parser.parse(text, default=datetime(2001, 2, 2), dayfirst=True, ignoretz=True)
    except (ValueError, OverflowError):
        return None
    return one.date() if one.date() == other.date() else None


def slug(text: str, longest: int = 60) -> str:
    """Lower-case ASCII words joined by hyphens."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _NO_SLUG.sub("-", ascii_text).strip("-")[:longest].strip("-")


def unique_id(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted-2`, `wanted-3` …: the first that is not taken yet; adds it to `taken`."""
    found, count = wanted[:LONGEST_ID], 1
    while found in taken:
        count += 1
        found = f"{wanted[:LONGEST_ID]}-{count}"
    taken.add(found)
    return found
