"""The elements of a page or a fragment → its blocks, and which of them may be quoted.

Only what the markup itself says is used: tags, roles, properties, and whether a whole paragraph is a link or is
emphasised. No words are judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any

from ingest.content.blocks import QUESTION_END, SENTENCE_END, Block
from ingest.content.values import clean

BLOCKS = frozenset(
    "address article aside blockquote body caption cell center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr html item legend li list main nav ol option p pre quote row section "
    "summary table tbody td tfoot th thead tr ul".split()
)
"""Elements that begin and end a paragraph; `cell`, `item`, `list`, `quote` and `row` are trafilatura's."""
BREAKS = frozenset(("br", "lb"))
UNSEEN = frozenset(
    "audio button canvas datalist embed head iframe map math noscript object script select style svg template textarea "
    "title video".split()
)

_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_CELLS, _ROWS, _LISTS = frozenset(("td", "th", "cell")), frozenset(("tr", "row")), frozenset("list menu ol ul".split())
_ITEMS = frozenset("item li".split())
_LISTED = _ITEMS | frozenset("blockquote dd pre quote".split())
_ONE_LIST = _LISTS | _LISTED | _ROWS | frozenset("dl table".split())
_MARKED = frozenset("address aside caption dt figcaption footer legend menu nav option search summary th thead".split())
_MARKED_ROLES = frozenset(
    "banner button columnheader complementary contentinfo head heading menu menubar menuitem navigation option search "
    "tab tablist toolbar".split()
)
"""Roles of ARIA, and `head`, which is trafilatura's for the cell of a table's header."""
_LABELS = frozenset("label time".split())
_LABEL_PROPERTIES = re.compile(r"author|publisher|date(?:created|modified|published)", re.IGNORECASE)
_STRONG, _STRESSED = frozenset("b strong".split()), frozenset("em i".split())
_LETTER = re.compile(r"[^\W_]")
_NAMES = re.compile(r"[\W_]+")


class _Says(IntFlag):
    """What is said of a piece of text by the elements around it."""

    NOTHING = 0
    LABEL = 1
    """It is a link, a time, or the name of who wrote it."""
    STRONG = 2
    STRESSED = 4
    """In italics, or strong."""


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """A block, and how it came to be marked: a heading always is, a link alone only where its list is all links."""

    block: Block
    heading: bool = False
    linked: bool = False


def blocks_of(root: Any, space: re.Pattern[str], is_left_out: Callable[[Any], bool]) -> list[Block]:
    """The blocks of a tree, without the elements that are left out; `space` matches what is shown as one space.

    Where all of them would be marked, as in a text that is one link, only headings are.
    """
    from lxml import etree

    reader = _Reader(space)
    walk = etree.iterwalk(root, events=("start", "end"))
    left_out = None
    for event, element in walk:
        if event == "end":
            reader.passed(element) if element is left_out else reader.end(element)
        elif is_left_out(element):
            left_out = element
            walk.skip_subtree()
        else:
            reader.start(element)
    found = reader.finished()
    if all(paragraph.block.unquotable for paragraph in found):
        return [replace(paragraph.block, unquotable=paragraph.heading) for paragraph in found]
    return [paragraph.block for paragraph in found]


def is_unseen(element: Any) -> bool:
    """Is an element one whose text a page does not show as part of it?"""
    return element.tag in UNSEEN


@dataclass(slots=True)
class _Depths:
    """In how many elements of each sort the text stands."""

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
        self.listed += by * (tag in _LISTED)
        if tag in _ONE_LIST:
            self.lists_so_far += by > 0 and not self.lists
            self.lists += by
        self.items += by * (tag in _ITEMS)
        self.strong += by * _is_strong(element)
        self.stressed += by * _is_stressed(element)
        self.heading += by * _is_heading(element)
        self.label += by * _is_label(element)
        self.question += by * _is_question(element)
        self.marked += by * (_is_marked(element) or (self.question > 0 and element.get("itemprop") == "name"))

    @property
    def list(self) -> int:
        """The number of the outermost list or table; lists in a list are part of it."""
        return self.lists_so_far if self.lists else 0

    @property
    def says(self) -> _Says:
        strong = _Says.STRONG | _Says.STRESSED if self.strong else _Says.NOTHING
        stressed = _Says.STRESSED if self.stressed else _Says.NOTHING
        return strong | stressed | (_Says.LABEL if self.label else _Says.NOTHING)


def _is_heading(element: Any) -> bool:
    return element.tag in _HEADINGS or element.get("role") == "heading"


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


def _is_strong(element: Any) -> bool:
    return element.tag in _STRONG or (element.tag == "hi" and "#b" in (element.get("rend") or ""))


def _is_stressed(element: Any) -> bool:
    return element.tag in _STRESSED or (element.tag == "hi" and "#i" in (element.get("rend") or ""))


@dataclass(slots=True)
class _List:
    """A list, or a cell, that is being read: where its items stand, and whether all so far are links."""

    links: list[int] = field(default_factory=list)
    leads_elsewhere: bool = True


class _Reader:
    """Takes the elements of a tree in order, and makes paragraphs of them; a row of a table is one."""

    def __init__(self, space: re.Pattern[str]) -> None:
        self._space = space
        self._pieces: list[tuple[str, _Says]] = []
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
            self._pieces.append(("\n", self._in.says))
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
        of_list = self._in.list
        self._in.change(element, -1)
        if tag in _CELLS:
            self._end_cell()
        elif tag in _ROWS:
            self._paragraphs.extend(_row(self._rows.pop(), of_list))
        elif tag in _LISTS:
            self._end_list()
        self._add(element.tail)

    def passed(self, element: Any) -> None:
        """The end of an element that was left out."""
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
        """A list all of whose items are links leads elsewhere; one that holds another item is no such list."""
        ended = self._lists.pop()
        for position in ended.links if ended.leads_elsewhere else ():
            item = self._paragraphs[position]
            self._paragraphs[position] = replace(item, block=replace(item.block, unquotable=True))
        if self._lists and not ended.leads_elsewhere:
            self._lists[-1].leads_elsewhere = False

    def finished(self) -> list[_Paragraph]:
        """All paragraphs, once the tree's last element has ended."""
        self._flush()
        return self._paragraphs

    def _add(self, text: str | None) -> None:
        if text:
            plain = self._in.typed or (text.isprintable() and "  " not in text)
            self._pieces.append((text if plain else self._space.sub(" ", text), self._in.says))

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            for part in _parts(pieces):
                self._put(self._finished(part))

    def _put(self, paragraph: _Paragraph) -> None:
        if self._lists and not paragraph.block.unquotable:
            self._lists[-1].links.append(len(self._paragraphs))
            self._lists[-1].leads_elsewhere &= paragraph.linked
        self._paragraphs.append(paragraph)

    def _finished(self, part: _Part) -> _Paragraph:
        innermost = self._open[-1] if self._open else ""
        in_item = innermost in _ITEMS or innermost in _CELLS
        marks = [self._is_marked_line(text, says, in_item=in_item) for text, says in part.lines]
        linked = all(says & _Says.LABEL for _, says in part.lines)
        always = self._in.heading > 0 or self._in.marked > 0 or all(marks) or (linked and not self._in.items)
        lines = () if always else tuple(number for number, marked in enumerate(marks) if marked)
        listed = self._in.list if self._in.listed else 0
        return _Paragraph(Block(part.text, always, listed, lines), self._in.heading > 0, linked)

    def _is_marked_line(self, text: str, says: _Says, *, in_item: bool) -> bool:
        """Is a line a heading that is only printed in bold, or the question of an interview?"""
        if QUESTION_END.search(text):
            return self._in.question > 0 or bool(says & _Says.STRESSED)
        return bool(says & _Says.STRONG) and not in_item and not SENTENCE_END.search(text)


@dataclass(frozen=True, slots=True)
class _Part:
    """Clean text between blank lines, and of each of its lines what is said of all of it."""

    text: str
    lines: tuple[tuple[str, _Says], ...]


def _parts(pieces: Iterable[tuple[str, _Says]]) -> Iterator[_Part]:
    raw, current, says = list[tuple[str, _Says]](), list[str](), _ALL
    for text, of_text in pieces:
        first, *more = text.split("\n")
        for fresh, line in ((False, first), *((True, line) for line in more)):
            if fresh:
                raw.append(("".join(current), says))
                current, says = [], _ALL
            current.append(line)
            if says and _LETTER.search(line):
                says &= of_text
    raw.append(("".join(current), says))
    yield from _split_at_blanks(raw)


_ALL = _Says.LABEL | _Says.STRONG | _Says.STRESSED


def _split_at_blanks(raw: Iterable[tuple[str, _Says]]) -> Iterator[_Part]:
    lines = list[tuple[str, _Says]]()
    for line, says in (*raw, ("", _Says.NOTHING)):
        if line.strip():
            lines.append((line, says))
        elif lines:
            if part := _part(lines):
                yield part
            lines = []


def _part(lines: Iterable[tuple[str, _Says]]) -> _Part | None:
    cleaned = ((line, says) for raw, says in lines for line in clean(raw).split("\n"))
    kept = tuple((line, says if _LETTER.search(line) else _Says.NOTHING) for line, says in cleaned if line)
    return _Part("\n".join(line for line, _ in kept), kept) if kept else None


def _row(cells: list[list[_Paragraph]], table: int) -> Iterator[_Paragraph]:
    """A row of a data table as one paragraph; the paragraphs in each cell if the table only lays out a page."""
    if any(len(cell) > 1 for cell in cells):
        for cell in cells:
            yield from cell
    elif line := clean(" | ".join(cell[0].block.text if cell else "" for cell in cells).strip(" |")):
        filled = [cell[0] for cell in cells if cell]
        block = Block(line, all(paragraph.block.unquotable for paragraph in filled), list_number=table)
        yield _Paragraph(block, all(p.heading for p in filled), all(p.linked for p in filled))
