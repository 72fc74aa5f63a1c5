"""E-books (.epub) → an article: the chapters in order, as paragraphs, headings, list items and table rows."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.articles.coverage import several_documents_notice
from ingest.content.archives import Parts, zip_file
from ingest.content.blocks import Block
from ingest.content.encoding import decode
from ingest.content.types import Content, Options, Read, read_bytes
from ingest.content.values import one_line
from ingest.readers.documents.article import document_article
from ingest.readers.documents.docx import local, parsed
from ingest.readers.html.elements import BLOCKS, BREAKS, blocks_of
from rag.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element


CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")

_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rb ruby s samp small span "
    "strike strong sub sup time tt u var wbr".split()
)
"""Elements within a paragraph; all others begin and end a paragraph."""
_SYNONYMS = {"bridgehead": "h2", "docauthor": "address", "doctitle": "h1", "hd": "h2"}
"""Elements of DTBook that correspond to one of HTML."""
_UNREAD = frozenset("head script style template svg math nav audio video object iframe noscript rt rp".split())
_KNOWN = _INLINE | _UNREAD | BLOCKS | BREAKS
_SPACE = re.compile(r"\s+")
_NOTES = frozenset({"noteref", "doc-noteref"})
_EMPTY = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([A-Za-z][\w:.-]*+)([^<>]*+)(?<=/)>",
    re.IGNORECASE,
)
"""A self-closed XML element, which an HTML parser would leave open to the end of the page."""
_NEWS = re.compile(r"(?:^|/)feed_\d+/article_\d+/")
"""Paths of the articles in a book that Calibre made of news feeds."""
_DECLARATION = re.compile(r"\A[\s\ufeff]*+<\?xml[^>]*+>")


def from_epub(content: Content, options: Options) -> Read:
    """An e-book as one article, without table of contents and note references.

    Raises ReadError if it is broken, protected against copying, or unpacks to too much.
    """
    with zip_file(io.BytesIO(read_bytes(content, options))) as archive:
        parts = Parts(archive, options.limits.bytes)
        package = _Package.of(parts)
        chapters = [name for name in package.chapters if name in parts]
        if ENCRYPTION in parts and any(name in chapters for name in _encrypted(parts)):
            raise ReadError("is protected against copying (DRM); give a copy that is not")
        blocks = [block for name in chapters for block in page_blocks(_text(parts, name))]
    metadata = package.metadata
    fields = {
        "title": metadata.get("title", [""])[0],
        "author": metadata.get("creator"),
        "date": metadata.get("date", [""])[0],
        "source": metadata.get("publisher"),
        "language": metadata.get("language", [""])[0],
    }
    description = " ".join(block.text for line in metadata.get("description", ()) for block in page_blocks(line))
    extra = {name: metadata.get(name) for name in ("identifier", "subject", "rights", "contributor")}
    yield document_article(content, blocks, fields, {"description": description, **extra})
    articles = sum(bool(_NEWS.search(name)) for name in chapters)
    if articles > 1:
        yield several_documents_notice(content.name, articles)


def _text(parts: Parts, name: str) -> str:
    data = parts.read(name)
    try:
        return decode(data)
    except ReadError as error:
        raise ReadError(f"is broken ({one_line(name)} in it is not text); create or download it again") from error


@dataclass(slots=True)
class _Package:
    """A book's package file: its metadata, and the paths of its chapters in order."""

    metadata: dict[str, list[str]] = field(default_factory=dict)
    chapters: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Parts) -> _Package:
        rootfile = ""
        for _, element in parsed(parts.read(CONTAINER)):
            rootfile = rootfile or (element.get("full-path", "") if local(element) == "rootfile" else "")
        package, pages = cls(), dict[str, str]()
        folder = posixpath.dirname(rootfile)
        for event, element in parsed(parts.read(rootfile)):
            if event == "end":
                package._take(element, local(element), folder, pages)
        return package

    def _take(self, element: _Element, name: str, folder: str, pages: dict[str, str]) -> None:
        if name == "item" and element.get("media-type") in PAGES and "nav" not in element.get("properties", "").split():
            path = posixpath.join(folder, unquote(element.get("href", "")).split("#")[0])
            pages[element.get("id", "")] = posixpath.normpath(path)
        elif name == "itemref" and (page := pages.get(element.get("idref", ""))):
            self.chapters.append(page)
        elif "/dc/elements/" in str(element.tag) and (text := one_line(element.text)):
            values = self.metadata.setdefault(name, [])
            # Of several dates, that of publication comes first.
            first = name == "date" and "publication" in element.attrib.values()
            values.insert(0 if first else len(values), text)


def _encrypted(parts: Parts) -> Iterator[str]:
    for event, element in parsed(parts.read(ENCRYPTION)):
        if event == "end" and local(element) == "CipherReference":
            yield unquote(element.get("URI", ""))


def page_blocks(markup: str) -> list[Block]:
    """The blocks of one XHTML page; of a broken one, as many as can be parsed."""
    from lxml import etree

    markup = _EMPTY.sub(lambda tag: f"<{tag[1]}{tag[2][:-1]}></{tag[1]}>", _DECLARATION.sub("", markup, count=1))
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(markup.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        # It holds no element.
        return []
    if root is None:
        return []
    for element in root.iter():
        # Elements that web pages do not have are blocks.
        name = element.tag.lower()
        element.tag = name if name in _KNOWN else _SYNONYMS.get(name, "div")

    def is_unread(element: _Element) -> bool:
        return element.tag in _UNREAD or not _NOTES.isdisjoint((element.get("epub:type"), element.get("role")))

    return blocks_of(root, _SPACE, is_unread)
