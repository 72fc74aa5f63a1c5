"""PDF → an article: rebuilds paragraphs and headings from the lines of pages.

A PDF stores the positions of letters, not paragraphs. Letters and line ends come from each page's plain text, which is
exact. Whether a line is a heading or begins a paragraph comes from a second extraction as Markdown, which sees sizes
and gaps but glues, drops and repeats words: only its hints are used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from ingest.articles.coverage import count_words, dropped_text_notice
from ingest.content.blocks import Block
from ingest.content.types import Content, Options, Read, read_bytes
from ingest.content.values import one_line, parse_date
from ingest.readers.documents.article import document_article
from rag.errors import ReadError
from rag.schema import Notice

if TYPE_CHECKING:
    from kreuzberg import ExtractionResult


EDGE_LINES = 4
"""Lines at the top and at the bottom of a page that can be running headers or footers."""
REPEATED = 3
"""Pages (or all, if there are fewer) on which a line at the edge has to recur to be furniture."""
LONGEST_HEADING, HEADING_LINES = 200, 4
START_LETTERS = 24
"""Letters by which the first line of a paragraph is recognized in the Markdown."""
NEARLY_FULL = 0.92
"""Share of a full line's length: full lines differ in length, because letters differ in width."""
SHORT = 0.6

_BREAK = "\x02"
"""What kreuzberg returns for a hyphen at the end of a line."""
_LETTERS = re.compile(r"[\W\d_]+")
_DIGITS = re.compile(r"\d+")
_SENTENCE_END = re.compile(r"[.!?…:][\"'”’»)\]]*$")
_HEADING = re.compile(r"#{1,6} +(.+)|(?:- )?\*\*(.+)\*\*")
_BULLET = re.compile(r"[•◦▪‣●○■□–—*-] |\(?(?:\d{1,2}|[a-z])[.)] ")
_PAGE_NUMBER = re.compile(r"(?i:page |p\. ?)?[-–—\[( ]*(?:\d{1,3}|[ivx]{1,6})[-–—\]) ]*(?:(?:/|of) ?\d+)?")
_OWN_NUMBER = re.compile(r"^\d{1,4}\b|\b\d{1,4}$")
_LEADERS = re.compile(r"(?:\.\s?){5}\s*\w{0,6}$")
"""The dot leaders of a table of contents."""
_HYPHENATED = re.compile(rf"(?<![^\W\d_])([^\W\d_]{{2,}})({_BREAK}|-\n?)([^\W\d_]{{2,}})")
_WORD = re.compile(rf"[^\W\d_]+(?:(?:{_BREAK}|-\n?)[^\W\d_]+)*")
_FIRST_PARTS = frozenset("half self well twenty thirty forty fifty sixty seventy eighty ninety".split())
"""First parts of hyphenated compounds, which are not halves of a broken word."""
_SUSPENDED = frozenset("and or to und oder bis et ou y o e".split())
"""Words after a suspended hyphen: "pre- and post-war"."""
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


def from_pdf(content: Content, options: Options) -> Read:
    """A PDF as one article. Raises ReadError if it cannot be opened or holds no text, as a scan.

    Run it in the sandbox: where kreuzberg panics, it raises RuntimeError and reads no further PDF in its process.
    """
    result = _extracted(read_bytes(content, options))
    pages = [_lines(page["content"]) for page in result.pages or []]
    if not any(pages):
        raise ReadError("is a PDF without text (a scan?); run it through OCR first")
    hints = Hints.of(result.content)
    blocks = list(paragraphs(without_furniture(pages, hints.headings), hints))
    words = Words.of(block.text for block in blocks)
    metadata = result.metadata
    fields = {
        "title": metadata.get("title"),
        "author": metadata.get("authors"),
        "date": _stated_day(metadata.get("created_at")),
        "language": metadata.get("language"),
    }
    extra = {"subject": metadata.get("subject"), "keywords": metadata.get("keywords"), "pages": len(pages)}
    yield document_article(content, (replace(b, text=words.rejoined(b.text)) for b in blocks), fields, extra)
    yield from _losses(content.name, pages, blocks)


def _losses(name: str, pages: Sequence[list[str]], blocks: Iterable[Block]) -> Iterator[Notice]:
    """A notice if most pages hold no text, or if most of the text was removed as page furniture."""
    empty = pages.count([])
    if 2 * empty > len(pages):
        yield Notice(name, f"{empty:,} of its {len(pages):,} pages hold no text (scans?); run it through OCR first")
    kept, every = (
        sum(map(count_words, texts))
        for texts in ((block.text for block in blocks), (line for p in pages for line in p))
    )
    yield from dropped_text_notice(name, kept, every - kept)


def _stated_day(created: object) -> date | None:
    """A PDF's date of creation; none if that is today, since then it was only exported now."""
    day = parse_date(created)
    return day if day != date.today() else None


def _extracted(data: bytes) -> ExtractionResult:
    try:
        import kreuzberg
    except ImportError as error:
        problem = "is a PDF, which needs another package; run: pip install 'pullquote[documents]'"
        raise ReadError(problem) from error
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        output_format="markdown",
        pages=kreuzberg.PageConfig(extract_pages=True),
        content_filter=kreuzberg.ContentFilterConfig(strip_repeating_text=False),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )
    try:
        return kreuzberg.extract_bytes_sync(data, "application/pdf", config)
    except kreuzberg.KreuzbergError as error:
        if "password" in str(error):
            raise ReadError("is a PDF with a password; save a copy without one") from error
        raise ReadError("is a broken PDF, or not a PDF; create or download it again") from error


def _lines(page: str) -> list[str]:
    """A page's lines that are not blank. A lone \\r is not a line end: it occurs within composed characters."""
    text = page.replace("\r\n", "\n").replace("\r", " ").translate(_LIGATURES)
    return [line for line in (" ".join(line.split()) for line in text.split("\n")) if line]


def without_furniture(pages: Sequence[list[str]], headings: Collection[str]) -> list[list[str]]:
    """The pages without running headers, footers and page numbers."""
    tops = _furniture([page[:EDGE_LINES] for page in pages], headings)
    bottoms = _furniture([page[: -EDGE_LINES - 1 : -1] for page in pages], headings)
    kept = [page[top : len(page) - bottom] for page, top, bottom in zip(pages, tops, bottoms, strict=True)]
    return kept if any(kept) else list(pages)


def _furniture(edges: Sequence[Sequence[str]], headings: Collection[str]) -> list[int]:
    """How many of each page's lines, from the edge inwards, are furniture."""
    keys = [[_keys(line, number) for line in edge] for number, edge in enumerate(edges)]
    counts = Counter(key for page in keys for key in {key for line in page for key in line})
    needed = max(2, min(REPEATED, len(edges)))

    def is_furniture(page: int, position: int) -> bool:
        line, (text, *numbered) = edges[page][position], keys[page][position]
        # A title often recurs as running header; on the first page it is the title itself.
        if page == 0 and _letters(line) in headings:
            return False
        return counts[text] >= needed or any(counts[key] > 1 for key in numbered) or bool(_PAGE_NUMBER.fullmatch(line))

    return [
        next((position for position in range(len(edge)) if not is_furniture(page, position)), len(edge))
        for page, edge in enumerate(edges)
    ]


def _keys(line: str, page: int) -> tuple[str, ...]:
    """Keys under which a line recurs: without its numbers, and with its numbers relative to the page's."""
    text = _DIGITS.sub("#", line.lower())
    return text, *(f"{text} {int(number) - page}" for number in _OWN_NUMBER.findall(line))


@dataclass(frozen=True, slots=True)
class Hints:
    """Hints from the Markdown: the letters of headings, and those that blocks begin with."""

    headings: frozenset[str]
    starts: frozenset[str]

    @classmethod
    def of(cls, markdown: str) -> Hints:
        lines = [line for line in markdown.split("\n") if line.strip()]
        marked = (match[1] or match[2] for line in lines if (match := _HEADING.fullmatch(line.strip())))
        short = (text for text in marked if len(text) <= LONGEST_HEADING and not text.endswith((".", ",", ";")))
        headings = {_letters(text) for text in short}
        starts = {_letters(line)[:START_LETTERS] for line in lines}
        return cls(frozenset(headings - {""}), frozenset(starts - {""}))


def _letters(text: str) -> str:
    return _LETTERS.sub("", text).lower()


def paragraphs(pages: Sequence[Sequence[str]], hints: Hints) -> Iterator[Block]:
    """The lines of all pages as paragraphs and headings; a paragraph may continue on the next page."""
    full = _full_length(pages)
    current: list[str] = []
    for page in pages:
        position = 0
        while position < len(page):
            heading = _heading(page[position:], hints)
            line = page[position]
            if current and (heading or _begins(line, current[-1], full, hints, new_page=position == 0)):
                yield _paragraph(current)
                current = []
            if heading:
                yield Block(" ".join(page[position : position + heading]), unquotable=True)
            else:
                current.append(line)
            position += heading or 1
    if current:
        yield _paragraph(current)


def _full_length(pages: Sequence[Sequence[str]]) -> int:
    lengths = sorted(len(line) for page in pages for line in page)
    return lengths[int(len(lengths) * 0.9)] if lengths else 0


def _heading(lines: Sequence[str], hints: Hints) -> int:
    """How many of these lines, from the first on, form a heading; 0 if none begins here."""
    so_far = ""
    for count, line in enumerate(lines[:HEADING_LINES], 1):
        so_far += _letters(line)
        if so_far in hints.headings:
            return count
    return 0


def _begins(line: str, before: str, full: int, hints: Hints, *, new_page: bool) -> bool:
    """Whether a line begins a paragraph; one with a lower-case start never does."""
    if line[0].islower() or before.endswith(("-", _BREAK)):
        return False
    ended = bool(_SENTENCE_END.search(before) or _LEADERS.search(before))
    room = len(before) + 1 + len(line.split(" ", 1)[0]) <= NEARLY_FULL * full
    hinted = _letters(line)[:START_LETTERS] in hints.starts and not new_page
    if ended:
        return room or hinted or bool(_BULLET.match(line))
    return (hinted and room) or len(before) < SHORT * full or (hinted and bool(_BULLET.match(line)))


def _paragraph(lines: Sequence[str]) -> Block:
    text = "\n".join(lines)
    return Block(text, unquotable=bool(_LEADERS.search(text)))


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a document, used to rejoin those that were hyphenated at line ends."""

    known: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        return cls(frozenset(match[0].lower() for text in texts for match in _WORD.finditer(text)))

    def rejoined(self, text: str) -> str:
        """The text as one line, with hyphenated words rejoined."""
        return one_line(_HYPHENATED.sub(self._joined, text).replace(_BREAK, "-"))

    def _joined(self, match: re.Match[str]) -> str:
        before, hyphen, after = match.groups()
        if hyphen == "-":
            return match[0]
        if after in _SUSPENDED:
            return f"{before}- {after}"
        return f"{before}{after}" if self._is_one(before.lower(), after.lower()) else f"{before}-{after}"

    def _is_one(self, before: str, after: str) -> bool:
        if f"{before}{after}" in self.known or f"{before}-{after}" in self.known:
            return f"{before}{after}" in self.known
        return before not in _FIRST_PARTS and not (before in self.known and after in self.known)
