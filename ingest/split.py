"""Article → passages of whole sentences, which join to the article's text again."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.schema import Article, Passage, Span
from rag.segment import sentence_ends

SPLITTER = "sentencex/60-90/abbreviations"
"""Recorded in the index; changed whenever the same text would be cut otherwise."""
LEAST_WORDS, MOST_WORDS = 60, 90
LONGEST_WORD = 24
"""Characters; text without spaces is cut, and counted, as if a word ended here."""
WINDOW = 5_000
"""Characters given to the segmenter at once."""

_WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")
_PARAGRAPH = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A span of the article's text that reaches to where the next one begins."""

    start: int
    end: int
    words: int


def split(article: Article) -> list[Passage]:
    """Cut an article into passages of 60–90 words on sentence borders; a shorter article is one passage.

    Passages are as even as whole sentences allow: each differs as little as possible from the middle of that
    range (least squares, as in breaking a paragraph into lines). Only a sentence longer than a passage is cut.
    """
    sentences = list(sentences_of(article.text))
    if not sentences:
        return []
    starts = [sentences[first].start for first in _breaks([s.words for s in sentences])]
    starts[0] = 0
    ends = [*starts[1:], len(article.text)]
    quotable, digest = quotable_spans(article, sentences), article.digest
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


def quotable_spans(article: Article, sentences: Sequence[Sentence]) -> list[Span]:
    """The sentences that are not part of a caption."""
    captions = sorted(article.captions)
    return [(s.start, s.end) for s in sentences if not _touches(captions, s)]


def _touches(captions: Sequence[Span], sentence: Sentence) -> bool:
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
