"""Wording shared by the page, the terminal and exports: counts, dates, confidence, and text that is safe to show."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from rag.language.text import visible
from rag.schema import Filters

NEAREST_SHOWN = 3
CONFIDENCE_WORDS = ((0.85, "Well supported"), (0.65, "Partly supported"), (0.0, "Weakly supported"))
LINK = re.compile(r"https?://[^\s/?#\\]\S*", re.IGNORECASE | re.ASCII)
OWN_SENTENCES = "The articles’ own sentences"
OWN_WORDS, CHECKED_WORDS = "Answers in your articles’ own words", "Answers checked against your articles’ own words"


def showable(text: str) -> str:
    """The text with "\\n" as the only line break and U+FFFD for characters that no page or terminal can show.

    Invisible format characters are removed: U+202E would reverse the text after it.
    """
    lines = visible(text).replace("\r\n", "\n").replace("\r", "\n")
    if lines.replace("\n", "").isprintable():
        return lines
    return "".join(c if c in "\n\t" or _has_glyph(c) else "\ufffd" for c in lines)


def _has_glyph(character: str) -> bool:
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return not noncharacter and unicodedata.category(character) not in ("Cc", "Cs")


def link(url: str) -> str:
    """The address if it is a web address (http or https), else an empty string."""
    return url if LINK.fullmatch(url) and url == showable(url) else ""


def only_line(filters: Filters) -> str:
    """The articles that are asked, all or those that pass a filter, as plain text for a label."""
    return f"Only articles {one_line(described_filters(filters))}" if filters else "All articles"


def one_line(text: str) -> str:
    """The text made safe to show, in one line."""
    return " ".join(showable(text).split())


def described_filters(filters: Filters) -> str:
    """Filters in words."""
    from rag.language.filters import described  # reads dates as well, which takes a while to load

    return described(filters)


def writer_label(name: str, *, found: bool = False) -> str:
    """A choice of who writes the answers: a language model by name, or nobody. Plain text."""
    where = ", found on this machine" if found else ""
    return f"{one_line(name)}{where}" if name else OWN_SENTENCES


def confidence_words(confidence: float) -> str:
    """A confidence (0–1) in words."""
    return next(words for least, words in CONFIDENCE_WORDS if confidence >= least or least == 0)


def counted(count: int, noun: str) -> str:
    """A count with its noun: no articles, 1 article, 2 articles."""
    return f"{f'{count:,}' if count else 'no'} {noun}{'' if count == 1 else 's'}"


def short_date(day: date | None) -> str:
    """A short date for tables: 7 Nov 2024; empty for none."""
    return f"{day.day} {day:%b} {day.year}" if day else ""
