"""Article → passages of whole sentences, which join to the article's text again."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingest.content.blocks import LIST_INTRODUCERS
from rag.language.segment import sentence_ends
from rag.schema import Article, Passage, Span

SPLITTER = "sentencex/60-90/abbreviations"
"""Recorded in the index; changed whenever the same text would be cut otherwise from then on."""
LEAST_WORDS, MOST_WORDS = 60, 90
LONGEST_WORD = 24
"""Characters; text without spaces is cut, and counted, as if a word ended here."""
WINDOW = 5_000
"""Characters given to the segmenter at once."""

_MARKER = re.compile(
    r"\s*(?P<marker>[•‣▪◦●○■□⁃∙·*–—-]|(?P<open>\(?)(?P<number>\d{1,3}|[ivx]{1,5}|[IVX]{1,5}|[a-zA-Z])(?P<close>[.)]))"
    r"\s+(?=\S)"
)
"""What stands before an item of a list: a bullet, or a number or letter of a row of them."""
_ROMAN = "- i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()
_WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")
_PARAGRAPH = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A span of the article's text that reaches to where the next one begins."""

    start: int
    end: int
    words: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What passages are made of: a sentence, or one that ends in a colon with the list that it announces.

    `quote` is the span that may be quoted, without the marker of an item; None for headings, captions and the like.
    """

    start: int
    end: int
    words: int
    quote: Span | None


def split(article: Article) -> list[Passage]:
    """Cut an article into passages of 60–90 words on sentence borders; a shorter article is one passage.

    Passages are as even as whole sentences allow: each differs as little as possible from the middle of that
    range (least squares, as in breaking a paragraph into lines). Only a sentence longer than a passage is cut; a list
    stays with the sentence that announces it as far as they fit in a passage, and is quoted with it.
    """
    units = _units(article)
    if not units:
        return []
    starts = [units[first].start for first in _breaks([unit.words for unit in units])]
    starts[0] = 0
    ends = [*starts[1:], len(article.text)]
    quotable, digest = [unit.quote for unit in units if unit.quote], article.digest
    return [
        Passage(
            id=f"{article.id}#{digest[:8]}-{ordinal}",
            article_id=article.id,
            digest=digest,
            ordinal=ordinal,
            start=start,
            end=end,
            text=article.text[start:end],
            sentences=tuple(quotable[bisect_left(quotable, (start, 0)) : bisect_left(quotable, (end, 0))]),
            title=article.title,
            source=article.source,
            url=article.url,
            author=article.author,
            published=article.published,
        )
        for ordinal, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def sentences_of(text: str) -> Iterator[Sentence]:
    """The sentences of a text in order; a paragraph's end ends a sentence. None for a text of white space."""
    for paragraph in _PARAGRAPH.finditer(text):
        for start, end in _within(paragraph.group()):
            words = [word.span() for word in _WORD.finditer(text, paragraph.start() + start, paragraph.start() + end)]
            for first in range(0, len(words), MOST_WORDS):
                part = words[first : first + MOST_WORDS]
                yield Sentence(part[0][0], part[-1][1], len(part))


def _within(paragraph: str) -> Iterator[Span]:
    """Sentence spans of one paragraph, found a window at a time.

    The segmenter's time grows with the square of the text in which no sentence ends. The last sentence of a
    window may go on, so the next window begins with it.
    """
    offset = 0
    while offset < len(paragraph):
        ends = sentence_ends(paragraph[offset : offset + WINDOW])
        if offset + WINDOW < len(paragraph) and len(ends) > 1:
            ends.pop()
        yield from ((offset + start, offset + end) for start, end in pairwise([0, *ends]))
        offset += ends[-1]


def _units(article: Article) -> list[Unit]:
    """The sentences of an article, each that ends in a colon as one with what it announces."""
    markers = _markers(article.text)
    lines = _lines(article, markers)
    found, position = list[Unit](), 0
    while position < len(lines):
        *before, last = lines[position]
        position += 1
        announced = 0
        if last.quote and article.text.endswith(LIST_INTRODUCERS, 0, last.end):
            last, announced = _with_list(article, last, lines[position : position + MOST_WORDS], markers)
        found += (*before, last)
        position += announced
    return found


def _lines(article: Article, markers: Mapping[int, int]) -> list[list[Unit]]:
    """The sentences of each line. A marker that was taken for a sentence is part of the next one."""
    captions, lines = sorted(article.captions), list[list[Unit]]()
    marker: Sentence | None = None
    for sentence in sentences_of(article.text):
        start, words = (marker.start, marker.words + sentence.words) if marker else (sentence.start, sentence.words)
        said = markers.get(start, start)
        if said >= sentence.end:
            marker = Sentence(start, sentence.end, words)
            continue
        marker = None
        quote = None if _touches(captions, sentence) else (said, sentence.end)
        unit = Unit(start, sentence.end, words, quote)
        if lines and "\n" not in article.text[lines[-1][-1].end : start]:
            lines[-1].append(unit)
        else:
            lines.append([unit])
    return lines


def _with_list(
    article: Article, lead: Unit, lines: Sequence[Sequence[Unit]], markers: Mapping[int, int]
) -> tuple[Unit, int]:
    """A sentence that ends in a colon with what it announces, and of how many of the lines after it that is made.

    Those are the items of a list and the lines of its own paragraph, as long as all of it fits in a passage.
    """
    whole, count, words, end = lead, 0, lead.words, lead.end
    for number, line in enumerate(lines, 1):
        start, in_paragraph = line[0].start, article.text.count("\n", end, line[0].start) == 1
        words, end = words + sum(unit.words for unit in line), line[-1].end
        is_item = start in markers or in_paragraph or _touches(article.lists, line[0])
        if words > MOST_WORDS or not is_item:
            break
        if lead.quote and line[-1].quote:
            whole, count = Unit(lead.start, end, words, (lead.quote[0], end)), number
    return whole, count


def _markers(text: str) -> dict[int, int]:
    """Where the markers of lists begin and end: bullets, and numbers and letters with the next or last one near."""
    found: dict[int, int] = {}
    rows: dict[tuple[str, ...], list[tuple[int, Span]]] = {}
    for line in _PARAGRAPH.finditer(text):
        if match := _MARKER.match(text, line.start(), line.end()):
            span = (match.start("marker"), match.end())
            if not match["number"]:
                found[span[0]] = span[1]
            for kind, value in _values(match["number"] or ""):
                rows.setdefault((match["open"], match["close"], kind), []).append((value, span))
    for row in rows.values():
        for (value, span), (other, beside) in pairwise(row):
            if other == value + 1:
                found |= (span, beside)
    return found


def _values(number: str) -> Iterator[tuple[str, int]]:
    """What a number or letter can count as: "i" is the ninth letter, and the first Roman number."""
    case = "upper" if number.isupper() else "lower"
    if number.isdecimal():
        yield "digits", int(number)
    elif len(number) == 1:
        yield case, ord(number)
    if number.lower() in _ROMAN:
        yield f"{case} roman", _ROMAN.index(number.lower())


def _touches(captions: Sequence[Span], sentence: Sentence | Unit) -> bool:
    before = bisect_left(captions, (sentence.end, 0)) - 1
    return before >= 0 and captions[before][1] > sentence.start


def _breaks(words: Sequence[int]) -> list[int]:
    """Indexes of the sentences that begin a passage, by dynamic programming over the cost of each passage."""
    middle = (LEAST_WORDS + MOST_WORDS) / 2
    cost = [0.0] + [float("inf")] * len(words)
    begins = [0] * (len(words) + 1)
    for end in range(1, len(words) + 1):
        size = 0
        for start in range(end - 1, -1, -1):
            size += words[start]
            if size > MOST_WORDS and start < end - 1:
                break
            total = cost[start] + (size - middle) ** 2
            if total < cost[end]:
                cost[end], begins[end] = total, start
    found, position = [], len(words)
    while position:
        position = begins[position]
        found.append(position)
    return found[::-1]
