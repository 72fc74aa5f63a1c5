"""Word documents (.docx) → an article: paragraphs, headings, list items and table rows as Word shows them."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ingest.content.archives import Parts, zip_file
from ingest.content.blocks import QUESTION_END, SENTENCE_END, Block
from ingest.content.types import Content, Options, Read, read_bytes
from ingest.content.values import one_line
from ingest.readers.documents.article import document_article, stated_title
from rag.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element


_HEADING = re.compile(r"(heading|[üu]?berschrift|titre) ?\d.*|title|subtitle|caption", re.IGNORECASE)
_CONTENTS = re.compile(r"toc ?\d|toc heading", re.IGNORECASE)
_SKIPPED = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText"})
"""Deleted text, fallbacks of content that is read already, and field codes."""
_RUN_STYLES = {"b": "strong", "i": "stressed"}
NO_OUTLINE, NO_LIST = "9", "0"
LIST, TABLE = 1, 2
"""Numbers for Block.list_number: neighbouring items belong to one list, neighbouring rows to one table."""
MOST_BASES = 12
"""Length of a chain of styles that are based on each other."""
_SIGNS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": " "}


def from_docx(content: Content, options: Options) -> Read:
    """A Word document as one article, without headers, footers, notes and comments.

    Without a stated title, a heading at the start is the title. Raises ReadError if it is broken or unpacks to too
    much.
    """
    with zip_file(io.BytesIO(read_bytes(content, options))) as archive:
        parts = Parts(archive, options.limits.bytes)
        document = _document_name(parts)
        styles = _styles(parts, posixpath.join(posixpath.dirname(document), "styles.xml"))
        properties = _core_properties(parts)
        blocks = list(_blocks(parts.read(document), styles))
    heading = blocks[0].text if blocks and blocks[0].unquotable and not blocks[0].list_number else ""
    fields = {key: properties.get(name) for key, name in _FIELDS.items()}
    fields["title"] = stated_title(properties.get("title"), content.name) or heading
    extra = {name: properties.get(name) for name in ("subject", "keywords", "category", "description", "modified")}
    yield document_article(content, blocks, fields, extra)


_FIELDS = {"author": "creator", "date": "created", "language": "language"}


def parsed(data: bytes) -> Iterator[tuple[str, _Element]]:
    """Start and end events of XML, without loading or resolving anything external. Raises ReadError for broken XML."""
    from lxml import etree

    try:
        yield from etree.iterparse(
            io.BytesIO(data), ("start", "end"), resolve_entities=False, load_dtd=False, no_network=True
        )
    except etree.XMLSyntaxError as error:
        raise ReadError(f"is broken ({one_line(str(error))[:200]}); create or download it again") from error


def local(element: _Element) -> str:
    """An element's name without its namespace: Word has two namespaces for everything."""
    return str(element.tag).rsplit("}", 1)[-1]


def _attribute(element: _Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rsplit("}", 1)[-1] == name), "")


def _document_name(parts: Parts) -> str:
    """The part with the text: nearly always word/document.xml."""
    if "_rels/.rels" in parts:
        for event, element in parsed(parts.read("_rels/.rels")):
            if event == "end" and _attribute(element, "Type").endswith("/officeDocument"):
                target = _attribute(element, "Target").lstrip("/")
                if target in parts:
                    return target
    return "word/document.xml"


@dataclass(slots=True)
class _Style:
    """A paragraph style. Its name is the same in every language of Word, its id is not."""

    name: str = ""
    base: str = ""
    outlined: bool = False
    listed: bool = False


def _styles(parts: Parts, name: str) -> Mapping[str, _Style]:
    """The styles by id, each with what it inherits."""
    if name not in parts:
        return {}
    styles: dict[str, _Style] = {}
    style = _Style()
    for event, element in parsed(parts.read(name)):
        tag, value = local(element), _attribute(element, "val")
        if event == "start" and tag == "style":
            style = styles.setdefault(_attribute(element, "styleId"), _Style())
        elif event == "end" and tag == "name":
            style.name = style.name or value
        elif event == "end" and tag == "basedOn":
            style.base = value
        elif event == "end" and tag == "outlineLvl":
            style.outlined = value != NO_OUTLINE
        elif event == "end" and tag == "numPr":
            style.listed = True
    return {identity: _with_bases(style, styles) for identity, style in styles.items()}


def _with_bases(style: _Style, styles: Mapping[str, _Style]) -> _Style:
    merged, base = _Style(style.name, style.base), style
    for _ in range(MOST_BASES):
        merged.outlined = merged.outlined or base.outlined or bool(_HEADING.fullmatch(base.name))
        merged.listed = merged.listed or base.listed
        if base.base not in styles:
            break
        base = styles[base.base]
    return merged


def _core_properties(parts: Parts) -> Mapping[str, Any]:
    if "docProps/core.xml" not in parts:
        return {}
    ends = (element for event, element in parsed(parts.read("docProps/core.xml")) if event == "end")
    return {local(element): element.text for element in ends if element.text}


@dataclass(slots=True)
class _Run:
    """A run of text within a paragraph, with its style."""

    text: str
    strong: bool = False
    stressed: bool = False
    linked: bool = False


@dataclass(slots=True)
class _Paragraph:
    runs: list[_Run] = field(default_factory=list)
    style: _Style = field(default_factory=_Style)
    outlined: bool = False
    listed: bool = False
    strong: bool = False
    stressed: bool = False

    def block(self, *, in_cell: bool) -> Block | None:
        """The paragraph as a block; None if it is empty or a line of the table of contents."""
        lines = (one_line(line) for line in "".join(run.text for run in self.runs).split("\n"))
        text = "\n".join(line for line in lines if line)
        if not text or _CONTENTS.match(self.style.name):
            return None
        listed = self.listed or self.style.listed
        return Block(text, self._is_marked(text, part=in_cell or listed), LIST if listed else 0)

    def _is_marked(self, text: str, *, part: bool) -> bool:
        """Whether it is a heading (by style, or all bold), a lone link, or an interview question."""
        if self.outlined or self.style.outlined:
            return True
        runs = [run for run in self.runs if any(map(str.isalnum, run.text))]
        if QUESTION_END.search(text):
            return bool(runs) and all(run.strong or run.stressed for run in runs)
        if not runs or part:
            return False
        return all(run.linked for run in runs) or (all(run.strong for run in runs) and not SENTENCE_END.search(text))


@dataclass(slots=True)
class _Row:
    """A row of a table: the paragraphs of each cell. `header` rows are those that Word repeats on each page."""

    cells: list[list[Block]] = field(default_factory=list)
    header: bool = False

    def blocks(self) -> list[Block]:
        """One line if no cell holds more than a paragraph; else the paragraphs, which the table only lays out."""
        filled = [cell for cell in self.cells if cell]
        if len(filled) > 1 and all(len(cell) == 1 for cell in filled):
            marked = self.header or all(cell[0].unquotable for cell in filled)
            return [Block(" | ".join(one_line(cell[0].text) for cell in filled), marked, TABLE)]
        return [replace(block, unquotable=block.unquotable or self.header) for cell in filled for block in cell]


class _Body:
    """Takes a document's elements in order and returns its blocks as soon as they are complete."""

    def __init__(self, styles: Mapping[str, _Style]) -> None:
        self._styles = styles
        self._open: list[_Paragraph] = []
        self._rows: list[_Row] = []
        self._skipping = self._links = 0

    def start(self, name: str) -> None:
        if name in _SKIPPED:
            self._skipping += 1
        elif name == "p":
            self._open.append(_Paragraph())
        elif name == "tr":
            self._rows.append(_Row())
        elif name == "tc" and self._rows:
            self._rows[-1].cells.append([])
        elif name == "hyperlink":
            self._links += 1

    def end(self, element: _Element, name: str) -> list[Block]:
        if name in _SKIPPED:
            self._skipping -= 1
        elif name == "p" and self._open:
            block = self._open.pop().block(in_cell=bool(self._rows))
            return self._put([block] if block else [])
        elif name == "tr" and self._rows:
            return self._put(self._rows.pop().blocks())
        elif name == "tblHeader" and self._rows:
            self._rows[-1].header = _is_on(element)
        elif name == "hyperlink":
            self._links -= 1
        elif self._open and not self._skipping:
            self._add(element, name, self._open[-1])
        return []

    def _add(self, element: _Element, name: str, paragraph: _Paragraph) -> None:
        parent = element.getparent()
        inside = local(parent) if parent is not None else ""
        if name == "t":
            self._add_text(element.text or "", paragraph)
        elif name in _SIGNS and inside == "r":
            self._add_text(_SIGNS[name], paragraph)
        elif name in _RUN_STYLES and inside == "rPr":
            setattr(paragraph, _RUN_STYLES[name], _is_on(element))
        elif name == "r" or (name == "rPr" and inside == "pPr"):
            # The style of the paragraph mark is not that of the text.
            paragraph.strong = paragraph.stressed = False
        elif name == "pStyle":
            identity = _attribute(element, "val")
            paragraph.style = self._styles.get(identity, _Style(identity, outlined=bool(_HEADING.fullmatch(identity))))
        elif name == "numId":
            paragraph.listed = _attribute(element, "val") != NO_LIST
        elif name == "outlineLvl":
            paragraph.outlined = _attribute(element, "val") != NO_OUTLINE

    def _add_text(self, text: str, paragraph: _Paragraph) -> None:
        paragraph.runs.append(_Run(text, paragraph.strong, paragraph.stressed, self._links > 0))

    def _put(self, blocks: list[Block]) -> list[Block]:
        """Adds blocks to the open cell, else returns them."""
        if self._rows and self._rows[-1].cells:
            self._rows[-1].cells[-1].extend(blocks)
            return []
        return blocks


def _is_on(element: _Element) -> bool:
    return _attribute(element, "val").lower() not in {"0", "false", "off", "none"}


def _blocks(data: bytes, styles: Mapping[str, _Style]) -> Iterator[Block]:
    body = _Body(styles)
    for event, element in parsed(data):
        name = local(element)
        if event == "start":
            body.start(name)
            continue
        yield from body.end(element, name)
        if name in {"p", "tbl", "sectPr"}:
            # Frees what was read, so that memory does not grow with the document.
            element.clear(keep_tail=True)
