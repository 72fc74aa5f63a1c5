"""The elements of a page or fragment → its blocks, marked where they are not to be quoted.

Decides by markup alone: tags, roles, properties, and whether a whole paragraph is a link or emphasized. It does not
look at what the words say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from itertools import groupby
from typing import Any

from ingest.content.blocks import QUESTION_END, SENTENCE_END, Block
from ingest.content.values import clean

BLOCKS = frozenset(
    "address article aside blockquote body caption cell center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr html item legend li list main nav ol option p pre quote row section "
    "summary table tbody td tfoot th thead tr ul".split()
)
"""Elements that begin and end a paragraph; cell, item, list, quote and row are trafilatura's names."""
BREAKS = frozenset(("br", "lb"))
UNSEEN = frozenset(
    "audio button canvas datalist embed head iframe map math noscript object script select style svg template textarea "
    "title video".split()
)

_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_CELLS, _ROWS, _LISTS = frozenset(("td", "th", "cell")), frozenset(("tr", "row")), frozenset("list menu ol ul".split())
_ITEMS = frozenset("item li".split())
_LIST_PARTS = _ITEMS | frozenset("blockquote dd pre quote".split())
_IN_ONE_LIST = _LISTS | _LIST_PARTS | _ROWS | frozenset("dl table".split())
_MARKED = frozenset("address aside caption dt figcaption footer legend menu nav option search summary th thead".split())
_MARKED_ROLES = frozenset(
    "banner button columnheader complementary contentinfo head heading menu menubar menuitem navigation option search "
    "tab tablist toolbar".split()
)
"""ARIA roles, and `head`, trafilatura's role of a table's header cell."""
_LABELS = frozenset("label time".split())
_LABEL_PROPERTIES = re.compile(r"author|publisher|date(?:created|modified|published)", re.IGNORECASE)
_STRONG, _STRESSED = frozenset("b strong".split()), frozenset("em i".split())
_LETTER = re.compile(r"[^\W_]")
_NAMES = re.compile(r"[\W_]+")


class _Style(IntFlag):
    """How the elements around a piece of text set it."""

    PLAIN = 0
    LABEL = 1
    """A link, a time, or an author's name."""
    STRONG = 2
    STRESSED = 4
    """In italics, or strong."""


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """A block, with what decides whether it is marked: headings are, a lone link only in a list of links."""

    block: Block
    heading: bool = False
    linked: bool = False


def blocks_of(root: Any, space: re.Pattern[str], is_left_out: Callable[[Any], bool]) -> list[Block]:
    """The blocks of a tree without the elements left out; `space` matches runs that are shown as one space.

    Where every block would be marked, as in a text that is one link, only headings are.
    """
    from lxml import etree

    reader = _Reader(space)
    walk = etree.iterwalk(root, events=("start", "end"))
    left_out = None
    for event, element in walk:
        if event == "end":
            reader.skip(element) if element is left_out else reader.end(element)
        elif is_left_out(element):
            left_out = element
            walk.skip_subtree()
        else:
            reader.start(element)
    paragraphs = reader.finished()
    if all(paragraph.block.unquotable for paragraph in paragraphs):
        return [replace(paragraph.block, unquotable=paragraph.heading) for paragraph in paragraphs]
    return [paragraph.block for paragraph in paragraphs]


def is_unseen(element: Any) -> bool:
    """Whether a page does not show an element's text as part of its own."""
    return element.tag in UNSEEN


@dataclass(slots=True)
class _Depths:
    """How many open elements of each sort surround the current text."""

    heading: int = 0
    marked: int = 0
    question: int = 0
    listed: int = 0
    items: int = 0
    lists: int = 0
    lists_so_far: int = 0
    typed: int = 0
    label: int = 0
    strong: int = 0
    stressed: int = 0

    def change(self, element: Any, by: int) -> None:
        tag = element.tag
        self.typed += by * (tag == "pre")
        self.listed += by * (tag in _LIST_PARTS)
        if tag in _IN_ONE_LIST:
            self.lists_so_far += by > 0 and not self.lists
            self.lists += by
        self.items += by * (tag in _ITEMS)
        self.strong += by * _is_set(element, _STRONG, "#b")
        self.stressed += by * _is_set(element, _STRESSED, "#i")
        self.heading += by * (tag in _HEADINGS or element.get("role") == "heading")
        self.label += by * _is_label(element)
        self.question += by * _is_question(element)
        self.marked += by * (_is_marked(element) or (self.question > 0 and element.get("itemprop") == "name"))

    @property
    def list(self) -> int:
        """The number of the outermost list or table around the text; 0 outside of any."""
        return self.lists_so_far if self.lists else 0

    @property
    def style(self) -> _Style:
        style = _Style.LABEL if self.label else _Style.PLAIN
        if self.strong or self.stressed:
            style |= _Style.STRESSED
        return style | _Style.STRONG if self.strong else style


def _is_marked(element: Any) -> bool:
    if element.tag in _MARKED:
        return True
    if not element.attrib:
        return False
    return (
        not _MARKED_ROLES.isdisjoint((element.get("role") or "").lower().split())
        or (element.get("rend") or "").startswith("dt")
        or "breadcrumb" in (element.get("aria-label") or "").lower()
        or (element.get("itemtype") or "").endswith("BreadcrumbList")
    )


def _is_label(element: Any) -> bool:
    if element.tag in _LABELS or (element.tag == "a" and element.get("href") is not None):
        return True
    if not element.attrib:
        return False
    named = _LABEL_PROPERTIES.fullmatch(element.get("itemprop") or "")
    return named is not None or "author" in (element.get("rel") or "").split()


def _is_question(element: Any) -> bool:
    if not element.attrib:
        return False
    named = f"{element.get('class') or ''} {element.get('itemprop') or ''} {element.get('itemtype') or ''}".lower()
    return "question" in named and "question" in _NAMES.split(named)


def _is_set(element: Any, tags: Collection[str], rendering: str) -> bool:
    """Whether an element sets its text so, by one of HTML's tags or by trafilatura's <hi rend="…">."""
    return element.tag in tags or (element.tag == "hi" and rendering in (element.get("rend") or ""))


@dataclass(slots=True)
class _List:
    """An open list or cell: the positions of its items, and whether all so far are links."""

    links: list[int] = field(default_factory=list)
    all_links: bool = True


class _Reader:
    """Collects paragraphs from the elements of a tree in document order; a row of a table is one paragraph."""

    def __init__(self, space: re.Pattern[str]) -> None:
        self._space = space
        self._pieces: list[tuple[str, _Style]] = []
        self._paragraphs: list[_Paragraph] = []
        self._around: list[list[_Paragraph]] = []
        self._rows: list[list[list[_Paragraph]]] = []
        self._lists: list[_List] = []
        self._open: list[str] = []
        self._in = _Depths()

    def start(self, element: Any) -> None:
        tag = element.tag
        if tag in BLOCKS:
            self._flush()
            self._open.append(tag)
        self._in.change(element, 1)
        if tag in BREAKS:
            self._pieces.append(("\n", self._in.style))
        elif tag in _ROWS:
            self._rows.append([])
        elif tag in _CELLS:
            self._around.append(self._paragraphs)
            self._paragraphs = []
            self._lists.append(_List())
        elif tag in _LISTS:
            self._lists.append(_List())
        self._add(element.text)

    def end(self, element: Any) -> None:
        tag = element.tag
        if tag in BLOCKS:
            self._flush()
            self._open.pop()
        number = self._in.list
        self._in.change(element, -1)
        if tag in _CELLS:
            self._end_cell()
        elif tag in _ROWS:
            self._paragraphs.extend(_row(self._rows.pop(), number))
        elif tag in _LISTS:
            self._end_list()
        self._add(element.tail)

    def skip(self, element: Any) -> None:
        """Takes the end of an element that is left out, with the text after it."""
        if element.tag in BLOCKS:
            self._flush()
        self._add(element.tail)

    def _end_cell(self) -> None:
        self._end_list()
        cell, self._paragraphs = self._paragraphs, self._around.pop()
        if self._rows:
            self._rows[-1].append(cell)
        else:
            self._paragraphs.extend(cell)

    def _end_list(self) -> None:
        """Marks the items of a list that are all links."""
        ended = self._lists.pop()
        for position in ended.links if ended.all_links else ():
            item = self._paragraphs[position]
            self._paragraphs[position] = replace(item, block=replace(item.block, unquotable=True))
        if self._lists and not ended.all_links:
            self._lists[-1].all_links = False

    def finished(self) -> list[_Paragraph]:
        """All paragraphs, after the last element."""
        self._flush()
        return self._paragraphs

    def _add(self, text: str | None) -> None:
        if text:
            plain = self._in.typed or (text.isprintable() and "  " not in text)
            self._pieces.append((text if plain else self._space.sub(" ", text), self._in.style))

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            for part in _parts(pieces):
                self._append(self._paragraph(part))

    def _append(self, paragraph: _Paragraph) -> None:
        if self._lists and not paragraph.block.unquotable:
            self._lists[-1].links.append(len(self._paragraphs))
            self._lists[-1].all_links &= paragraph.linked
        self._paragraphs.append(paragraph)

    def _paragraph(self, lines: Sequence[tuple[str, _Style]]) -> _Paragraph:
        innermost = self._open[-1] if self._open else ""
        in_item = innermost in _ITEMS or innermost in _CELLS
        marks = [self._is_marked_line(text, style, in_item=in_item) for text, style in lines]
        linked = all(style & _Style.LABEL for _, style in lines)
        always = self._in.heading > 0 or self._in.marked > 0 or all(marks) or (linked and not self._in.items)
        unquotable_lines = () if always else tuple(number for number, marked in enumerate(marks) if marked)
        listed = self._in.list if self._in.listed else 0
        text = "\n".join(line for line, _ in lines)
        return _Paragraph(Block(text, always, listed, unquotable_lines), self._in.heading > 0, linked)

    def _is_marked_line(self, text: str, style: _Style, *, in_item: bool) -> bool:
        """Whether a line is a heading set in bold, or an interview question."""
        if QUESTION_END.search(text):
            return self._in.question > 0 or bool(style & _Style.STRESSED)
        return bool(style & _Style.STRONG) and not in_item and not SENTENCE_END.search(text)


def _parts(pieces: Iterable[tuple[str, _Style]]) -> Iterator[list[tuple[str, _Style]]]:
    """The text between blank lines, as clean lines, each with the style that all of it has."""
    for is_text, lines in groupby(_lines(pieces), key=lambda line: bool(line[0].strip())):
        cleaned = ((line, style) for raw, style in lines for line in clean(raw).split("\n") if is_text and line)
        if part := [(line, style if _LETTER.search(line) else _Style.PLAIN) for line, style in cleaned]:
            yield part


def _lines(pieces: Iterable[tuple[str, _Style]]) -> Iterator[tuple[str, _Style]]:
    line, style = "", _ALL
    for text, text_style in pieces:
        for number, part in enumerate(text.split("\n")):
            if number:
                yield line, style
                line, style = "", _ALL
            line += part
            if style and _LETTER.search(part):
                style &= text_style
    yield line, style


_ALL = _Style.LABEL | _Style.STRONG | _Style.STRESSED


def _row(cells: list[list[_Paragraph]], table: int) -> Iterator[_Paragraph]:
    """A row of a data table as one paragraph; the paragraphs of each cell if the table only lays out a page."""
    if any(len(cell) > 1 for cell in cells):
        for cell in cells:
            yield from cell
    elif line := clean(" | ".join(cell[0].block.text if cell else "" for cell in cells).strip(" |")):
        filled = [cell[0] for cell in cells if cell]
        block = Block(line, all(paragraph.block.unquotable for paragraph in filled), list_number=table)
        yield _Paragraph(block, all(p.heading for p in filled), all(p.linked for p in filled))
