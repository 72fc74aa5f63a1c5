"""Split an article into passages of whole sentences; joined, they are the article's text again."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingest.content.blocks import LIST_INTRODUCERS
from rag.language.segment import sentence_ends
from rag.schema import Article, Passage, Span, passage_id

SPLITTER = "sentencex/60-90/abbreviations"
"""The splitter's version, recorded in the index; changed with every change of where a text is split."""
LEAST_WORDS, MOST_WORDS = 60, 90
"""Of a passage."""
LONGEST_WORD = 24
"""Characters; a longer run without spaces is counted, and split, as several words."""
WINDOW = 5_000
"""Characters given to the sentence segmenter at once."""

_MARKER = re.compile(
    r"\s*(?P<marker>[•‣▪◦●○■□⁃∙·*–—-]|(?P<open>\(?)(?P<number>\d{1,3}|[ivx]{1,5}|[IVX]{1,5}|[a-zA-Z])(?P<close>[.)]))"
    r"\s+(?=\S)"
)
"""The bullet, number or letter before a list item."""
_ROMAN = "- i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()
_WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")
_PARAGRAPH = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """An indivisible part of a passage: a sentence, or one that ends in a colon with the list it introduces.

    `quote` is the span that may be quoted, without a list marker; None for headings, captions and the like.
    """

    start: int
    end: int
    words: int
    quote: Span | None = None


def split(article: Article) -> list[Passage]:
    """Split an article into passages of 60–90 words at sentence ends; a shorter article is one passage.

    The lengths are as even as whole sentences allow: their squared distances from the middle of the range are
    minimal, as in breaking a paragraph into lines. Only a sentence longer than a passage is cut. A list stays with the
    sentence that introduces it, and is quoted with it, as far as both fit in one passage.
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
            id=passage_id(article.id, digest, ordinal),
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


def sentences_of(text: str) -> Iterator[Unit]:
    """The sentences of a text in order; a sentence ends at the latest with its paragraph."""
    for paragraph in _PARAGRAPH.finditer(text):
        for start, end in _sentence_spans(paragraph.group()):
            words = [word.span() for word in _WORD.finditer(text, paragraph.start() + start, paragraph.start() + end)]
            for first in range(0, len(words), MOST_WORDS):
                part = words[first : first + MOST_WORDS]
                yield Unit(part[0][0], part[-1][1], len(part))


def _sentence_spans(paragraph: str) -> Iterator[Span]:
    """Sentence spans of one paragraph, segmented a window at a time.

    The segmenter's time is quadratic in the length of a text without sentence ends. The last sentence of a window may
    continue beyond it, so the next window begins with it.
    """
    offset = 0
    while offset < len(paragraph):
        ends = sentence_ends(paragraph[offset : offset + WINDOW])
        if offset + WINDOW < len(paragraph) and len(ends) > 1:
            ends.pop()
        yield from ((offset + start, offset + end) for start, end in pairwise([0, *ends]))
        offset += ends[-1]


def _units(article: Article) -> list[Unit]:
    """The units of an article: its sentences, those that introduce a list merged with it."""
    markers = _markers(article.text)
    lines = _lines(article, markers)
    units, position = list[Unit](), 0
    while position < len(lines):
        *before, last = lines[position]
        position += 1
        merged = 0
        if last.quote and article.text.endswith(LIST_INTRODUCERS, 0, last.end):
            last, merged = _with_list(article, last, lines[position : position + MOST_WORDS], markers)
        units += (*before, last)
        position += merged
    return units


def _lines(article: Article, markers: Mapping[int, int]) -> list[list[Unit]]:
    """The units of each line. A list marker that the segmenter took for a sentence is part of the next one."""
    captions, lines = sorted(article.captions), list[list[Unit]]()
    marker: Unit | None = None
    for sentence in sentences_of(article.text):
        start, words = (marker.start, marker.words + sentence.words) if marker else (sentence.start, sentence.words)
        text_start = markers.get(start, start)
        if text_start >= sentence.end:
            marker = Unit(start, sentence.end, words)
            continue
        marker = None
        quote = None if _overlaps(captions, sentence) else (text_start, sentence.end)
        unit = Unit(start, sentence.end, words, quote)
        if lines and "\n" not in article.text[lines[-1][-1].end : start]:
            lines[-1].append(unit)
        else:
            lines.append([unit])
    return lines


def _with_list(
    article: Article, lead: Unit, lines: Sequence[Sequence[Unit]], markers: Mapping[int, int]
) -> tuple[Unit, int]:
    """Merge a sentence that ends in a colon with the list after it; the unit, and the number of lines merged.

    Merged are items of a list and lines of the sentence's own paragraph, as long as all fits in one passage.
    """
    unit, count, words, end = lead, 0, lead.words, lead.end
    for number, line in enumerate(lines, 1):
        start, in_paragraph = line[0].start, article.text.count("\n", end, line[0].start) == 1
        words, end = words + sum(part.words for part in line), line[-1].end
        is_item = start in markers or in_paragraph or _overlaps(article.lists, line[0])
        if words > MOST_WORDS or not is_item:
            break
        if lead.quote and line[-1].quote:
            unit, count = Unit(lead.start, end, words, (lead.quote[0], end)), number
    return unit, count


def _markers(text: str) -> dict[int, int]:
    """Start → end of each list marker: bullets, and numbers or letters that continue a sequence."""
    markers: dict[int, int] = {}
    sequences: dict[tuple[str, ...], list[tuple[int, Span]]] = {}
    for line in _PARAGRAPH.finditer(text):
        if match := _MARKER.match(text, line.start(), line.end()):
            span = (match.start("marker"), match.end())
            if not match["number"]:
                markers[span[0]] = span[1]
            for kind, value in _values(match["number"] or ""):
                sequences.setdefault((match["open"], match["close"], kind), []).append((value, span))
    for sequence in sequences.values():
        for (value, span), (next_value, next_span) in pairwise(sequence):
            if next_value == value + 1:
                markers |= (span, next_span)
    return markers


def _values(number: str) -> Iterator[tuple[str, int]]:
    """The numerals a marker can be: "i" is the ninth letter and the first Roman numeral."""
    case = "upper" if number.isupper() else "lower"
    if number.isdecimal():
        yield "digits", int(number)
    elif len(number) == 1:
        yield case, ord(number)
    if number.lower() in _ROMAN:
        yield f"{case} roman", _ROMAN.index(number.lower())


def _overlaps(spans: Sequence[Span], unit: Unit) -> bool:
    before = bisect_left(spans, (unit.end, 0)) - 1
    return before >= 0 and spans[before][1] > unit.start


def _breaks(words: Sequence[int]) -> list[int]:
    """Indexes of the units that begin a passage; dynamic programming minimizes the sum of squared deviations."""
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
    starts, position = [], len(words)
    while position:
        position = begins[position]
        starts.append(position)
    return starts[::-1]
