"""Word documents (.docx) → an article: paragraphs, headings, items and rows of tables, as Word would show them."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.archive import Parts, zip_file
from ingest.blocks import Block, document_article, stated_title
from ingest.fields import one_line
from ingest.source import Content, Options, Read, whole
from rag.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element

_HEADING = re.compile(r"(heading|[üu]?berschrift|titre) ?\d.*|title|subtitle|caption", re.IGNORECASE)
_CONTENTS = re.compile(r"toc ?\d|toc heading", re.IGNORECASE)
_SKIPPED = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText"})
"""What was deleted, what stands for something that is read already, and the names of fields."""
_SIGNS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": " "}


def from_docx(content: Content, options: Options) -> Read:
    """A Word document as one article, without headers, footers, notes and comments.

    If it states no title, a heading that it begins with is one.
    Raises ReadError if it is broken, or unpacks to too much.
    """
    with zip_file(io.BytesIO(whole(content, options))) as archive:
        parts = Parts(archive, options.limits.bytes)
        document = _document_name(parts)
        styles = _styles(parts, posixpath.join(posixpath.dirname(document), "styles.xml"))
        told = _core_properties(parts)
        blocks = list(_blocks(parts.read(document), styles))
    heading = blocks[0][0] if blocks and blocks[0][1] else ""
    fields = {key: told.get(name) for key, name in _FIELDS.items()}
    fields["title"] = stated_title(told.get("title"), content.name) or heading
    extra = {name: told.get(name) for name in ("subject", "keywords", "category", "description", "modified")}
    yield document_article(content, blocks, fields, extra)


_FIELDS = {"author": "creator", "date": "created", "language": "language"}


def parsed(data: bytes) -> Iterator[tuple[str, _Element]]:
    """The starts and ends of XML's elements, as they come. Nothing is loaded, no entity is resolved.

    Raises ReadError for what is not XML.
    """
    from lxml import etree

    try:
        yield from etree.iterparse(
            io.BytesIO(data), ("start", "end"), resolve_entities=False, load_dtd=False, no_network=True
        )
    except etree.XMLSyntaxError as error:
        raise ReadError(f"is broken ({one_line(str(error))[:200]}); make it, or load it, again") from error


def local(element: _Element) -> str:
    """An element's name without its namespace, of which there are two for everything."""
    return str(element.tag).rsplit("}", 1)[-1]


def _attribute(element: _Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rsplit("}", 1)[-1] == name), "")


def _document_name(parts: Parts) -> str:
    """Where the text stands: nearly always in word/document.xml."""
    if "_rels/.rels" in parts:
        for event, element in parsed(parts.read("_rels/.rels")):
            if event == "end" and _attribute(element, "Type").endswith("/officeDocument"):
                target = _attribute(element, "Target").lstrip("/")
                if target in parts:
                    return target
    return "word/document.xml"


def _styles(parts: Parts, name: str) -> Mapping[str, str]:
    """The names of styles by their ids, which depend on the language of the Word that made them."""
    if name not in parts:
        return {}
    found: dict[str, str] = {}
    style = ""
    for event, element in parsed(parts.read(name)):
        if event == "start" and local(element) == "style":
            style = _attribute(element, "styleId")
        elif event == "end" and local(element) == "name" and style:
            found[style] = _attribute(element, "val")
            style = ""
    return found


def _core_properties(parts: Parts) -> Mapping[str, Any]:
    if "docProps/core.xml" not in parts:
        return {}
    ends = (element for event, element in parsed(parts.read("docProps/core.xml")) if event == "end")
    return {local(element): element.text for element in ends if element.text}


@dataclass(slots=True)
class _Paragraph:
    texts: list[str] = field(default_factory=list)
    style: str = ""
    outlined: bool = False


@dataclass(slots=True)
class _Row:
    """A row of a table: the paragraphs of each of its cells."""

    cells: list[list[Block]] = field(default_factory=list)

    def blocks(self) -> list[Block]:
        """One line, if no cell holds more than a paragraph; else its paragraphs, which a table can set side by side."""
        filled = [cell for cell in self.cells if cell]
        if len(filled) > 1 and all(len(cell) == 1 for cell in filled):
            return [(" | ".join(one_line(cell[0][0]) for cell in filled), all(cell[0][1] for cell in filled))]
        return [block for cell in filled for block in cell]


class _Body:
    """Takes a document's elements, and gives its blocks as soon as they are whole."""

    def __init__(self, styles: Mapping[str, str]) -> None:
        self._styles = styles
        self._open: list[_Paragraph] = []
        self._rows: list[_Row] = []
        self._skipping = 0

    def start(self, name: str) -> None:
        if name in _SKIPPED:
            self._skipping += 1
        elif name == "p":
            self._open.append(_Paragraph())
        elif name == "tr":
            self._rows.append(_Row())
        elif name == "tc" and self._rows:
            self._rows[-1].cells.append([])

    def end(self, element: _Element, name: str) -> list[Block]:
        if name in _SKIPPED:
            self._skipping -= 1
        elif name == "p" and self._open:
            return self._put(self._finished(self._open.pop()))
        elif name == "tr" and self._rows:
            return self._put(self._rows.pop().blocks())
        elif self._open and not self._skipping:
            self._add(element, name, self._open[-1])
        return []

    def _add(self, element: _Element, name: str, paragraph: _Paragraph) -> None:
        parent = element.getparent()
        in_run = parent is not None and local(parent) == "r"
        if name == "t":
            paragraph.texts.append(element.text or "")
        elif name in _SIGNS and in_run:
            paragraph.texts.append(_SIGNS[name])
        elif name == "pStyle":
            identity = _attribute(element, "val")
            paragraph.style = self._styles.get(identity, identity)
        elif name == "outlineLvl":
            paragraph.outlined = _attribute(element, "val") != "9"

    def _finished(self, paragraph: _Paragraph) -> list[Block]:
        lines = (one_line(line) for line in "".join(paragraph.texts).split("\n"))
        text = "\n".join(line for line in lines if line)
        if not text or _CONTENTS.match(paragraph.style):
            return []
        return [(text, paragraph.outlined or bool(_HEADING.fullmatch(paragraph.style)))]

    def _put(self, blocks: list[Block]) -> list[Block]:
        """Into the cell they stand in, or out."""
        if self._rows and self._rows[-1].cells:
            self._rows[-1].cells[-1].extend(blocks)
            return []
        return blocks


def _blocks(data: bytes, styles: Mapping[str, str]) -> Iterator[Block]:
    body = _Body(styles)
    for event, element in parsed(data):
        name = local(element)
        if event == "start":
            body.start(name)
            continue
        yield from body.end(element, name)
        if name in {"p", "tbl", "sectPr"}:
            # What was read is let go, so that a long document takes little more memory than a short one.
            element.clear(keep_tail=True)
