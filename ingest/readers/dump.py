"""Plain text → articles: one article, or a scraped dump of several, with what scraping leaves behind.

A scraped page often starts with its title, a picture's caption (once or more), the label of a share button, and
then the title again. Other dumps name what they know of an article in lines before it ("Title: …"). None of the
rules here knows a site. Where nothing is named, or said twice before the story starts, a text is taken as it is: only
its title, byline and date are read out of its first lines.
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
"""How many lines a page's header (titles, captions, leftovers) can have before its story starts."""
BODY_WORDS = 12
CAPTION_WORDS = 60
LABEL_WORDS, CAPTION_SENTENCE_WORDS = 3, 8
HEADLINE_WORDS = 4
TITLE_WORDS, TITLE_LENGTH = 30, 200
SEPARATOR_GAP = 4
"""Blank lines that a line of dashes, or a form feed, counts for."""
APART = 2
"""Blank lines, more than paragraphs have between them, that set articles apart."""
MOST_LABELS = 40
"""Lines that can name an article's fields."""
WRAPPED = range(45, 110)
"""Lengths of the lines of a text that was broken into lines at a fixed width."""
SLOTS = frozenset({"advertisement", "advertisment"})
"""Where a page had room for something else; dropped wherever they stand alone on a line."""
BUTTONS = frozenset(
    "comments copy email facebook follow link listen print save share subscribe telegram tt tweet twitter "
    "whatsapp".split()
)
"""Labels that are dropped where they stand alone between a page's title and its story."""

_SEPARATOR = re.compile(r"^([-=_]\s?){3,}$")
_BREAK = re.compile(r"^([*#~•·]\s?){2,}$")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
_AGENCY = re.compile(r"[.!?”\"] \([A-Z@][^()]{1,60}\)$")  # … in Baghdad. (Agency)
_LABEL = re.compile(
    r"(?i:((file |handout )?(photo|image|picture|pic)s?\s?[:/|]|(image|media) (caption|source|copyright),))"
)
"""FILE PHOTO: …, or Image caption, …"""
_LABEL_STARTS = frozenset("FHIMPfhimp")
_CREDIT = re.compile(r"\b(?i:(photo|image|picture|credit)s?( by|:)) [^.!?]{2,40}$")  # … Photo: Agency
CREDIT_LENGTH = 80
"""Characters, more than _AGENCY and _CREDIT can take up at a line's end."""
_MARKS = frozenset("-=_*#~•·")
"""What a line that parts a text begins with."""
_NAMED = re.compile(r"([^\W\d][\w -]{0,31}):(?!//)(.*)")
_NAME = r"(?:[A-Z][\w.'’-]*|and|de|van|von|der|bin|al-\w+)"
_BYLINE = re.compile(rf"^(?i:by) ({_NAME}(?: {_NAME}){{0,5}})$")
_LISTED = re.compile(r"^(\(?[\da-zA-Z]{1,3}[.)]|[-•*>–—]) ?")
_DIALOGUE = re.compile(r"^[\"“„«].*[\"”“»]$")
_CLOSING = (".", ",", ";", ":", "…")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, and how many blank ones stand before it.

    One with `labels` stands for all the lines that name an article's fields; its text is the title among them.
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
        """Could be a title or a caption: a short sentence, or a word or two, is more likely to be speech."""
        return self.has_credit or self.words >= (LABEL_WORDS if not self.is_sentence else CAPTION_SENTENCE_WORDS)

    @property
    def is_button(self) -> bool:
        return self.text.lower() in BUTTONS


@dataclass(frozen=True, slots=True)
class Scraped:
    """One article of a dump; `captions` are spans of `text`. What the text does not say is empty.

    `extra` is what it names that has none of our meanings.
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
    lines = [line for line in _lines(clean(text)) if line.text.lower() not in SLOTS]
    if not lines:
        return []
    doubled = _doubled(lines)
    starts = _starts(lines, doubled)
    parts = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [_scraped(part, doubled) for part in parts]


def unwrapped(text: str) -> str:
    """The text with paragraphs that were broken into lines at a fixed width as one line each."""
    lines = (("\n" * gap, _unwrapped(block)) for gap, block in _blocks(text.replace("\f", "\n" * SEPARATOR_GAP)))
    return "\n".join(gap + "\n".join(block) for gap, block in lines).strip("\n")


def captions_of(text: str) -> tuple[Span, ...]:
    """Spans of the lines that have a caption's form."""
    spans, start = list[Span](), 0
    for line in text.split("\n"):
        end = start + len(line)
        if line and _has_credit(line) and Line(line).has_credit:
            spans.append((start, end))
        start = end + 1
    return tuple(spans)


def _has_credit(line: str) -> bool:
    # Both stand at the end; to look for them in the whole line was the slowest part of reading an article.
    if line[:1] in _LABEL_STARTS and _LABEL.match(line):
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
        # Between paragraphs, such lines start an article only where the dump is known to have them, with a title.
        if labels and (first or gap >= SEPARATOR_GAP or (labelled and title)):
            yield Line(title, gap, labels)
            labelled, rest = True, _unlabelled(block, len(labels))
        for position, line in enumerate(_unwrapped(rest)):
            yield Line(line, gap if position == 0 and rest is block else 0)
        first = False


def _labels(block: Sequence[str]) -> dict[str, str]:
    """The fields that a block's first lines name ("Title: …"); none if fewer than two of them are known ones.

    Lines of other names count if they stand among those, or as short as they are. A text's own label ends them.
    """
    labels, known = dict[str, str](), list[str]()
    for line in block[:MOST_LABELS]:
        found = _NAMED.fullmatch(line)
        name = _field(found[1]) if found else ""
        if not found or name == "text" or found[1] in labels or (not name and Line(line).is_body):
            break
        labels[found[1]] = found[2].strip()
        known += [name] if name else []
    # Two speakers can be called a source and a reporter; neither is called a date.
    return labels if len(known) > 1 and not {"title", "date", "url"}.isdisjoint(known) else {}


def _field(label: str) -> str:
    """Our name of the field that a label means; empty if it means none."""
    return next(iter(pick_fields({label: "x"}, {})[0]), "")


def _unlabelled(block: list[str], labels: int) -> list[str]:
    """What follows the labels of a block, without the label of its text."""
    rest = block[labels:]
    found = _NAMED.fullmatch(rest[0]) if rest else None
    if found and _field(found[1]) == "text":
        return list(filter(None, (found[2].strip(), *rest[1:])))
    return rest


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines with no blank one among them, each with the number of blank lines before it."""
    gap, block = 0, list[str]()
    for line in [*map(str.strip, text.split("\n")), ""]:
        separator = line[:1] in _MARKS and bool(_SEPARATOR.match(line))
        if line and not separator and not (line[0] in _MARKS and _BREAK.match(line)):
            block.append(line)
            continue
        if block:
            yield gap, block
            gap, block = 0, []
        gap += SEPARATOR_GAP if separator else 1


def _unwrapped(block: list[str]) -> list[str]:
    """A paragraph that was broken into lines at a fixed width, as one line; any other block as it is."""
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


def _doubled(lines: Sequence[Line]) -> frozenset[str]:
    """Lines said again a few lines further on, as titles and captions are; not a speaker's name, nor "Yes."."""
    texts = [line.text for line in lines]
    return frozenset(
        line.text for i, line in enumerate(lines) if line.is_label and line.text in texts[i + 1 : i + HEADER_LINES]
    )


def _starts(lines: Sequence[Line], doubled: frozenset[str]) -> list[int]:
    """Where articles begin: at the first line, at labels and, once a story was told, at each title that opens a page.

    A title opens a page if it is said again before the story, or if it is set apart by more blank lines than
    paragraphs are and a story follows. One that is only set apart must be longer than a section's heading.
    """
    usual = Counter(line.gap for line in lines[1:]).most_common(1)
    apart = (usual[0][0] if usual else 0) + APART
    starts, told = [0], False
    for i, line in enumerate(lines):
        if line.labels:
            starts += [i] if i else []
            told = False
            continue
        if told and (line.gap >= apart or line.text in doubled) and line.is_title:
            story = _story(lines, i + 1, doubled)
            said_again = line.text in {later.text for later in lines[i + 2 : min(story, i + 1 + HEADER_LINES)]}
            set_apart = line.gap >= apart and line.words >= HEADLINE_WORDS and story < len(lines)
            if said_again or set_apart:
                starts.append(i)
                told = False
        told = told or (line.is_body and line.text not in doubled)
    return starts


def _story(lines: Sequence[Line], start: int, doubled: frozenset[str]) -> int:
    """Index of the first line of the story that follows `start`; `len(lines)` if none does soon."""
    for i in range(start, min(start + HEADER_LINES, len(lines))):
        if lines[i].is_body and lines[i].text not in doubled:
            return i
    return len(lines)


def _scraped(lines: Sequence[Line], doubled: frozenset[str]) -> Scraped:
    """One article: title, byline and date out of the header; title, captions and what the header repeats, once."""
    fields, extra = pick_fields(lines[0].labels or {}, {})
    if "id" in fields:
        extra["id"] = fields["id"]
    if lines[0].labels and not lines[0].text:
        lines = lines[1:]
    named = "title" in fields
    title = lines[0].text if named or (len(lines) > 1 and lines[0].is_title) else ""
    story = _story(lines, int(named), doubled)
    header = lines[:story] if title and story < len(lines) else lines[:0]
    repeated = {line.text for line in header if line.text in doubled} | {title}
    mess = max((i for i, line in enumerate(header) if line.text in repeated), default=0)
    author = next((match[1] for line in header if (match := _BYLINE.match(line.text))), "")
    published = next((day for line in header if (day := parse_date(line.text))), None)
    seen, kept = {title}, list[Line]()
    for i, line in enumerate(lines):
        again = line.text in seen and (line.text in repeated or line.has_credit)
        leftover = i < len(header) and (line.is_metadata or line.is_button or (i < mess and line.words <= 2))
        if not again and not leftover:
            kept.append(line)
            seen.add(line.text)
    unquoted = repeated | {line.text for line in _headings(kept)}
    shown = join_blocks(Block(line.text, line.has_credit or line.text in unquoted) for line in kept)
    author = as_line(fields.get("author")) or author
    published = parse_date(fields.get("date")) or published
    source, language = as_line(fields.get("source")), as_line(fields.get("language"))
    url = as_line(fields.get("url"), LONGEST_URL + 1)
    return Scraped(title, shown.text, author, published, shown.captions, source, url, language, extra)


def _headings(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines that stand alone between two paragraphs of a story, and are no sentence."""
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        alone = line.gap > 0 and after.gap > 0
        if alone and line.is_title and not line.is_sentence and before.is_body and after.is_body:
            yield line
