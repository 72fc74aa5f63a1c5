"""Plain text → articles: one article, or a scraped dump of several, with what scraping leaves behind.

A scraped page often starts with its title, a picture's caption (once or more), the label of a share button, and
then the title again. None of the rules here knows a site: a title is a line that reads like one and stands where
an article can start; a caption is a line that ends in a credit or is said twice; a leftover is a line too short
to say anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from ingest.fields import clean, parse_date
from rag.schema import Span

HEADER_LINES = 12
"""How many lines a page's header (titles, captions, leftovers) can have before its story starts."""
BODY_WORDS = 12
CAPTION_WORDS = 60
HEADLINE_WORDS = 4
TITLE_WORDS, TITLE_LENGTH = 30, 200
SEPARATOR_GAP = 4
"""Blank lines that a line of dashes, or a form feed, counts for."""
WRAPPED = range(45, 110)
"""Lengths of the lines of a text that was broken into lines at a fixed width."""
LEFTOVERS = frozenset(
    "advertisement advertisment ad share tweet print email save comments copy link facebook twitter whatsapp telegram "
    "tt more related loading subscribe follow listen".split()
)
"""Labels of buttons and slots, one word each; a line made of nothing else is dropped."""

_SEPARATOR = re.compile(r"^\f|^([-=*_#~•·]\s?){3,}$")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
_CREDIT = re.compile(
    r"(?<=\S )\([A-Z@][^()]{1,60}\)$"  # … in Baghdad. (Agency)
    r"|^(?i:(file |handout )?(photo|image|picture|pic|credit)s?\s?[:/|])"  # FILE PHOTO: …
    r"|\b(?i:(photo|image|picture|credit)s?( by|:)) [^.!?]{2,40}$"  # … Photo: Agency
)
_BYLINE = re.compile(r"^by ([^\W\d_][^\d|]{2,60})$", re.IGNORECASE)
_CLOSING = (".", ",", ";", ":", "…")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, and how many blank ones stand before it."""

    text: str
    gap: int = 0

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def is_sentence(self) -> bool:
        return bool(_SENTENCE_END.search(self.text))

    @property
    def has_credit(self) -> bool:
        return bool(_CREDIT.search(self.text)) and self.words <= CAPTION_WORDS

    @property
    def is_body(self) -> bool:
        return self.words >= BODY_WORDS and self.is_sentence and not self.has_credit

    @property
    def is_title(self) -> bool:
        fits = 2 <= self.words <= TITLE_WORDS and len(self.text) <= TITLE_LENGTH
        return fits and not self.text.endswith(_CLOSING) and not self.has_credit and not self.is_metadata

    @property
    def is_metadata(self) -> bool:
        return bool(_BYLINE.match(self.text)) or parse_date(self.text) is not None

    @property
    def is_leftover(self) -> bool:
        return all(word in LEFTOVERS for word in self.text.lower().split())


@dataclass(frozen=True, slots=True)
class Scraped:
    """One article of a dump; `captions` are spans of `text`. The title is empty where the text has none."""

    title: str
    text: str
    author: str
    published: date | None
    captions: tuple[Span, ...]


def parse_dump(text: str) -> list[Scraped]:
    """The articles of a text, in order; none for a text without words."""
    lines = [line for line in _lines(clean(text)) if not line.is_leftover]
    if not lines:
        return []
    doubled = _doubled(lines)
    starts = _starts(lines, doubled)
    parts = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [_scraped(part, doubled) for part in parts]


def captions_of(text: str) -> tuple[Span, ...]:
    """Spans of the lines that have a caption's form."""
    return tuple(match.span() for match in re.finditer(r"[^\n]+", text) if Line(match.group()).has_credit)


def _lines(text: str) -> Iterator[Line]:
    for gap, block in _blocks(text.replace("\f", "\n" * SEPARATOR_GAP)):
        for position, line in enumerate(_unwrapped(block)):
            yield Line(line, 0 if position else gap)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines with no blank one among them, each with the number of blank lines before it."""
    gap, block = 0, list[str]()
    for line in [*map(str.strip, text.split("\n")), ""]:
        separator = bool(_SEPARATOR.match(line))
        if line and not separator:
            block.append(line)
            continue
        if block:
            yield gap, block
            gap, block = 0, []
        gap += SEPARATOR_GAP if separator else 1


def _unwrapped(block: list[str]) -> list[str]:
    """A paragraph that was broken into lines at a fixed width, as one line; any other block as it is."""
    *full, last = block
    lengths = [len(line) for line in full]
    wrapped = (
        len(set(block)) == len(block) > 1
        and all(length in WRAPPED for length in lengths)
        and max(lengths) - min(lengths) <= 25
        and sum(not _SENTENCE_END.search(line) for line in full) > len(full) / 2
        and (len(full) > 1 or last[:1].islower())
    )
    return [" ".join(block)] if wrapped else block


def _doubled(lines: Sequence[Line]) -> frozenset[str]:
    """Lines said again a few lines further on: titles, captions, slots for advertisements."""
    texts = [line.text for line in lines]
    return frozenset(text for i, text in enumerate(texts) if text in texts[i + 1 : i + HEADER_LINES])


def _starts(lines: Sequence[Line], doubled: frozenset[str]) -> list[int]:
    """Where articles begin: at the first line and, once a story was told, at each title that opens a page.

    A title opens a page if it is said again before the story, or if it is set apart by more blank lines than
    paragraphs are and a story follows. One that is only set apart must be longer than a section's heading.
    """
    usual = Counter(line.gap for line in lines[1:]).most_common(1)
    apart = max(2, usual[0][0] + 1 if usual else 0)
    starts, told = [0], False
    for i, line in enumerate(lines):
        header = _header(lines, i + 1, doubled)
        said_again = line.text in {later.text for later in lines[i + 2 : header]}
        set_apart = line.gap >= apart and line.words >= HEADLINE_WORDS and header < len(lines)
        if told and line.is_title and (said_again or set_apart):
            starts.append(i)
            told = False
        told = told or (line.is_body and line.text not in doubled)
    return starts


def _header(lines: Sequence[Line], start: int, doubled: frozenset[str]) -> int:
    """Index of the first line of the story that follows `start`; `len(lines)` if none does soon."""
    for i in range(start, min(start + HEADER_LINES, len(lines))):
        if lines[i].is_body and lines[i].text not in doubled:
            return i
    return len(lines)


def _scraped(lines: Sequence[Line], doubled: frozenset[str]) -> Scraped:
    """One article: title, byline and date out of the header; every line that is said again, once."""
    title = lines[0].text if len(lines) > 1 and lines[0].is_title else ""
    story = _header(lines, 0, doubled)
    header = lines[:story] if story < len(lines) else lines[:1]
    author = next((match[1] for line in header if (match := _BYLINE.match(line.text))), "")
    published = next((day for line in header if (day := parse_date(line.text))), None)
    seen, kept = {title}, list[Line]()
    for i, line in enumerate(lines):
        fragment = i < len(header) and (line.is_metadata or (line.words <= 2 and not line.is_sentence))
        if not fragment and line.text not in seen:
            kept.append(line)
        if line.text in doubled:
            seen.add(line.text)
    captions = {line.text for line in kept if line.has_credit or line.text in doubled}
    text, spans = _joined(kept, captions)
    return Scraped(title, text, author, published, spans)


def _joined(lines: Sequence[Line], captions: set[str]) -> tuple[str, tuple[Span, ...]]:
    """The paragraphs as one text, and where in it the captions are."""
    spans, offset = [], 0
    for line in lines:
        if line.text in captions:
            spans.append((offset, offset + len(line.text)))
        offset += len(line.text) + 2
    return "\n\n".join(line.text for line in lines), tuple(spans)
