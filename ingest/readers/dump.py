"""Splits plain text into articles: one, or those of a scraped dump, without the leftovers of scraping.

A scraped page often starts with its title, a picture's caption (once or more), the label of a share button, and the
title again. Other dumps label an article's fields in lines before it ("Title: …"). No rule knows a site. A text without
labels or repetition before its story is taken as it is, but for title, byline and date in its first lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from ingest.articles.fields import as_line, pick_fields
from ingest.content.blocks import Block, join_blocks
from ingest.content.values import LONGEST_URL, clean, parse_date
from rag.schema import Span

HEADER_LINES = 12
"""Lines that a page's header (titles, captions, leftovers) can have before its story starts."""
BODY_WORDS = 12
CAPTION_WORDS = 60
LABEL_WORDS, CAPTION_SENTENCE_WORDS = 3, 8
HEADLINE_WORDS = 4
TITLE_WORDS, TITLE_LENGTH = 30, 200
SEPARATOR_GAP = 4
"""Blank lines that a line of dashes or a form feed counts as."""
EXTRA_GAP = 2
"""Blank lines between articles, beyond those between paragraphs."""
MOST_LABELS = 40
"""Lines that can label an article's fields."""
WRAPPED = range(45, 110)
"""Line lengths of a text that was wrapped at a fixed width."""
AD_LABELS = frozenset({"advertisement", "advertisment"})
"""Dropped wherever they stand alone on a line."""
BUTTONS = frozenset(
    "comments copy email facebook follow link listen print save share subscribe telegram tt tweet twitter "
    "whatsapp".split()
)
"""Button labels, dropped where they stand alone between a page's title and its story."""

_SEPARATOR = re.compile(r"^([-=_]\s?){3,}$")
_BREAK = re.compile(r"^([*#~•·]\s?){2,}$")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
_AGENCY = re.compile(r"[.!?”\"] \([A-Z@][^()]{1,60}\)$")  # … in Baghdad. (Agency)
_CAPTION = re.compile(
    r"(?i:((file |handout )?(photo|image|picture|pic)s?\s?[:/|]|(image|media) (caption|source|copyright),))"
)
"""FILE PHOTO: …, or Image caption, …"""
_CAPTION_STARTS = frozenset("FHIMPfhimp")
_CREDIT = re.compile(r"\b(?i:(photo|image|picture|credit)s?( by|:)) [^.!?]{2,40}$")  # … Photo: Agency
CREDIT_LENGTH = 80
"""Characters at a line's end in which _AGENCY and _CREDIT are looked for; more than either can match."""
_SEPARATOR_CHARACTERS = frozenset("-=_*#~•·")
_LABELLED_LINE = re.compile(r"([^\W\d][\w -]{0,31}):(?!//)(.*)")
_NAME = r"(?:[A-Z][\w.'’-]*|and|de|van|von|der|bin|al-\w+)"
_BYLINE = re.compile(rf"^(?i:by) ({_NAME}(?: {_NAME}){{0,5}})$")
_LISTED = re.compile(r"^(\(?[\da-zA-Z]{1,3}[.)]|[-•*>–—]) ?")
_DIALOGUE = re.compile(r"^[\"“„«].*[\"”“»]$")
_CLOSING = (".", ",", ";", ":", "…")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, and the number of blank lines before it.

    One with `labels` stands for all the lines that label an article's fields; its text is the title among them.
    """

    text: str
    gap: int = 0
    labels: Mapping[str, str] | None = None

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def is_sentence(self) -> bool:
        return bool(_SENTENCE_END.search(self.text))

    @property
    def has_credit(self) -> bool:
        return _has_credit(self.text) and self.words <= CAPTION_WORDS

    @property
    def is_body(self) -> bool:
        return self.words >= BODY_WORDS and self.is_sentence and not self.has_credit

    @property
    def is_title(self) -> bool:
        fits = 2 <= self.words <= TITLE_WORDS and len(self.text) <= TITLE_LENGTH
        odd = self.has_credit or self.is_metadata or _LISTED.match(self.text) or _DIALOGUE.match(self.text)
        return fits and not odd and not self.text.endswith(_CLOSING)

    @property
    def is_metadata(self) -> bool:
        return bool(_BYLINE.match(self.text)) or parse_date(self.text) is not None

    @property
    def is_label(self) -> bool:
        """Whether it can be a title or caption: a short sentence, or a word or two, is more likely to be speech."""
        return self.has_credit or self.words >= (LABEL_WORDS if not self.is_sentence else CAPTION_SENTENCE_WORDS)

    @property
    def is_button(self) -> bool:
        return self.text.lower() in BUTTONS


@dataclass(frozen=True, slots=True)
class Scraped:
    """One article of a dump; `captions` are spans of `text`, unknown fields are empty.

    `extra` are its labelled fields that Article has no place for.
    """

    title: str
    text: str
    author: str
    published: date | None
    captions: tuple[Span, ...]
    source: str = ""
    url: str = ""
    language: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def parse_dump(text: str) -> list[Scraped]:
    """The articles of a text, in order; none for a text without words."""
    lines = [line for line in _lines(clean(text)) if line.text.lower() not in AD_LABELS]
    if not lines:
        return []
    repeated = _repeated(lines)
    starts = _starts(lines, repeated)
    parts = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [_scraped(part, repeated) for part in parts]


def unwrapped(text: str) -> str:
    """The text with each paragraph that was wrapped at a fixed width as one line."""
    lines = (("\n" * gap, _unwrapped(block)) for gap, block in _blocks(text.replace("\f", "\n" * SEPARATOR_GAP)))
    return "\n".join(gap + "\n".join(block) for gap, block in lines).strip("\n")


def captions_of(text: str) -> tuple[Span, ...]:
    """Spans of the lines that look like captions."""
    spans, start = list[Span](), 0
    for line in text.split("\n"):
        end = start + len(line)
        if line and _has_credit(line) and Line(line).has_credit:
            spans.append((start, end))
        start = end + 1
    return tuple(spans)


def _has_credit(line: str) -> bool:
    # Both patterns stand at the end; searching the whole line was the slowest part of reading an article.
    if line[:1] in _CAPTION_STARTS and _CAPTION.match(line):
        return True
    if line[-1:] in ".!?":
        return False
    end = max(0, len(line) - CREDIT_LENGTH)
    return any(pattern.search(line, end) for pattern in (_AGENCY, _CREDIT))


def _lines(text: str) -> Iterator[Line]:
    labelled, first = False, True
    for gap, block in _blocks(text.replace("\f", "\n" * SEPARATOR_GAP)):
        rest, labels = block, _labels(block) if len(block) > 1 and ":" in block[0] else None
        title = as_line(pick_fields(labels, {})[0].get("title")) if labels else ""
        # Between paragraphs, labels start an article only where the dump is known to use them, with a title.
        if labels and (first or gap >= SEPARATOR_GAP or (labelled and title)):
            yield Line(title, gap, labels)
            labelled, rest = True, _unlabelled(block, len(labels))
        for position, line in enumerate(_unwrapped(rest)):
            yield Line(line, gap if position == 0 and rest is block else 0)
        first = False


def _labels(block: Sequence[str]) -> dict[str, str]:
    """The fields that a block's first lines label ("Title: …"); none if fewer than two labels are known.

    Lines with unknown labels count where they stand among those, or are as short. The text's own label ends them.
    """
    labels, known = dict[str, str](), list[str]()
    for line in block[:MOST_LABELS]:
        found = _LABELLED_LINE.fullmatch(line)
        name = _field(found[1]) if found else ""
        if not found or name == "text" or found[1] in labels or (not name and Line(line).is_body):
            break
        labels[found[1]] = found[2].strip()
        known += [name] if name else []
    # "Source:" and "Reporter:" alone can be two speakers of an interview.
    return labels if len(known) > 1 and not {"title", "date", "url"}.isdisjoint(known) else {}


def _field(label: str) -> str:
    """The field of Article that a label means; empty if it means none."""
    return next(iter(pick_fields({label: "x"}, {})[0]), "")


def _unlabelled(block: list[str], labels: int) -> list[str]:
    """The lines after a block's labels, without the label of its text."""
    rest = block[labels:]
    found = _LABELLED_LINE.fullmatch(rest[0]) if rest else None
    if found and _field(found[1]) == "text":
        return list(filter(None, (found[2].strip(), *rest[1:])))
    return rest


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines without blank ones, each with the number of blank lines before it."""
    gap, block = 0, list[str]()
    for line in [*map(str.strip, text.split("\n")), ""]:
        separator = line[:1] in _SEPARATOR_CHARACTERS and bool(_SEPARATOR.match(line))
        if line and not separator and not (line[0] in _SEPARATOR_CHARACTERS and _BREAK.match(line)):
            block.append(line)
            continue
        if block:
            yield gap, block
            gap, block = 0, []
        gap += SEPARATOR_GAP if separator else 1


def _unwrapped(block: list[str]) -> list[str]:
    """A paragraph that was wrapped at a fixed width as one line; any other block as it is."""
    if len(block) < 2:
        return block
    *full, last = block
    lengths = [len(line) for line in full]
    even = len(full) > 1 and max(lengths) - min(lengths) <= 25
    wrapped = (
        len(set(block)) == len(block)
        and all(length in WRAPPED for length in lengths)
        and sum(not _SENTENCE_END.search(line) for line in full) > len(full) / 2
        and not any(_LISTED.match(line) for line in block)
        and (even or all(line[:1].islower() for line in (*full[1:], last)))
    )
    return [" ".join(block)] if wrapped else block


def _repeated(lines: Sequence[Line]) -> frozenset[str]:
    """Lines that occur again a few lines later, as titles and captions do; not a speaker's name, nor "Yes."."""
    texts = [line.text for line in lines]
    return frozenset(
        line.text for i, line in enumerate(lines) if line.is_label and line.text in texts[i + 1 : i + HEADER_LINES]
    )


def _starts(lines: Sequence[Line], repeated: frozenset[str]) -> list[int]:
    """Where articles begin: at the first line, at labels and, after a story, at each title that opens a page.

    A title opens a page if it is repeated before the story, or if more blank lines precede it than a paragraph and a
    story follows; in the second case it must be longer than a section heading.
    """
    usual = Counter(line.gap for line in lines[1:]).most_common(1)
    wide_gap = (usual[0][0] if usual else 0) + EXTRA_GAP
    starts, in_story = [0], False
    for i, line in enumerate(lines):
        if line.labels:
            starts += [i] if i else []
            in_story = False
            continue
        if in_story and (line.gap >= wide_gap or line.text in repeated) and line.is_title:
            story = _story(lines, i + 1, repeated)
            is_repeated = line.text in {later.text for later in lines[i + 2 : min(story, i + 1 + HEADER_LINES)]}
            is_apart = line.gap >= wide_gap and line.words >= HEADLINE_WORDS and story < len(lines)
            if is_repeated or is_apart:
                starts.append(i)
                in_story = False
        in_story = in_story or (line.is_body and line.text not in repeated)
    return starts


def _story(lines: Sequence[Line], start: int, repeated: frozenset[str]) -> int:
    """Index of the story's first line at or after `start`; `len(lines)` if none is near."""
    for i in range(start, min(start + HEADER_LINES, len(lines))):
        if lines[i].is_body and lines[i].text not in repeated:
            return i
    return len(lines)


def _scraped(lines: Sequence[Line], repeated: frozenset[str]) -> Scraped:
    """One article: title, byline and date from its header, and every repeated title and caption only once."""
    fields, extra = pick_fields(lines[0].labels or {}, {})
    if "id" in fields:
        extra["id"] = fields["id"]
    if lines[0].labels and not lines[0].text:
        lines = lines[1:]
    has_title = "title" in fields
    title = lines[0].text if has_title or (len(lines) > 1 and lines[0].is_title) else ""
    story = _story(lines, int(has_title), repeated)
    header = lines[:story] if title and story < len(lines) else lines[:0]
    in_header = {line.text for line in header if line.text in repeated} | {title}
    last_repeated = max((i for i, line in enumerate(header) if line.text in in_header), default=0)
    author = next((match[1] for line in header if (match := _BYLINE.match(line.text))), "")
    published = next((day for line in header if (day := parse_date(line.text))), None)
    seen, kept = {title}, list[Line]()
    for i, line in enumerate(lines):
        again = line.text in seen and (line.text in in_header or line.has_credit)
        leftover = i < len(header) and (line.is_metadata or line.is_button or (i < last_repeated and line.words <= 2))
        if not again and not leftover:
            kept.append(line)
            seen.add(line.text)
    unquoted = in_header | {line.text for line in _headings(kept)}
    shown = join_blocks(Block(line.text, line.has_credit or line.text in unquoted) for line in kept)
    author = as_line(fields.get("author")) or author
    published = parse_date(fields.get("date")) or published
    source, language = as_line(fields.get("source")), as_line(fields.get("language"))
    url = as_line(fields.get("url"), LONGEST_URL + 1)
    return Scraped(title, shown.text, author, published, shown.captions, source, url, language, extra)


def _headings(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines that stand alone between two paragraphs of a story and are not sentences."""
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        alone = line.gap > 0 and after.gap > 0
        if alone and line.is_title and not line.is_sentence and before.is_body and after.is_body:
            yield line
