"""The kinds of sources that can be read: how each is known, what reads it, and what is read of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath

from ingest.content.archives import GZIP_START, ZIP_STARTS
from ingest.content.types import Content, Reader
from ingest.readers.documents.reader import document_kind, from_document
from ingest.readers.feeds import from_feed, is_feed
from ingest.readers.html.page import from_html
from ingest.readers.mail import from_eml
from ingest.readers.records.json import from_json, from_jsonl
from ingest.readers.records.tabular import from_csv, from_parquet
from ingest.readers.text import from_markdown, from_text


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source.

    `what` says what is read of it. `extra` is the package's extra that it needs, and `module` the module that comes
    with it. One that is `isolated` is read in a process of its own, since what reads it may hang or crash.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    what: str
    media_types: tuple[str, ...] = ()
    extra: str = ""
    module: str = ""
    isolated: bool = False

    @property
    def missing(self) -> str:
        """The extra that has yet to be installed; empty if the kind can be read."""
        return self.extra if self.module and not find_spec(self.module) else ""


TEXT = Kind("Text", (".txt", ".text"), from_text, "one article, or each of a scraped dump", ("text/plain",))
MARKDOWN = Kind(
    "Markdown",
    (".md", ".markdown"),
    from_markdown,
    "the text as it is shown; front matter as fields",
    ("text/markdown",),
    isolated=True,
)
HTML = Kind(
    "Web page",
    (".html", ".htm", ".xhtml"),
    from_html,
    "the article without the page around it; title, author, date, site, language",
    ("text/html", "application/xhtml+xml"),
    isolated=True,
)
JSON = Kind(
    "JSON",
    (".json",),
    from_json,
    "an article, a list of them, or an object that holds such a list",
    ("application/json", "application/feed+json"),
)
JSON_LINES = Kind(
    "JSON Lines", (".jsonl", ".ndjson"), from_jsonl, "an article a line, however many", ("application/x-ndjson",)
)
CSV = Kind("CSV", (".csv", ".tsv"), from_csv, "an article a row, below a line of headings", ("text/csv",))
PARQUET = Kind("Parquet", (".parquet",), from_parquet, "an article a row", extra="parquet", module="pyarrow")
PDF = Kind(
    "PDF",
    (".pdf",),
    from_document,
    "paragraphs without running heads and page numbers; title, author, date",
    ("application/pdf",),
    extra="documents",
    module="kreuzberg",
    isolated=True,
)
WORD = Kind(
    "Word", (".docx",), from_document, "paragraphs, lists and tables; title, author, date, language", isolated=True
)
EPUB = Kind(
    "EPUB",
    (".epub",),
    from_document,
    "the chapters in order, as one article; title, author, publisher, date, language",
    ("application/epub+zip",),
    isolated=True,
)
MAIL = Kind(
    "Mail",
    (".eml",),
    from_eml,
    "a letter without what it quotes; subject, sender, date; attachments by name",
    ("message/rfc822",),
    isolated=True,
)
MAILBOX = Kind("Mailbox", (".mbox",), from_eml, "each letter in it", ("application/mbox",), isolated=True)
FEED = Kind(
    "Feed",
    (".rss", ".atom", ".xml"),
    from_feed,
    "RSS or Atom in a file: of each entry what the feed itself says",
    ("application/rss+xml", "application/atom+xml", "application/xml", "text/xml"),
    isolated=True,
)
KINDS = (TEXT, MARKDOWN, HTML, JSON, JSON_LINES, CSV, PARQUET, PDF, WORD, EPUB, MAIL, MAILBOX, FEED)

SURE = (HTML, PARQUET, PDF, WORD, EPUB, MAIL, MAILBOX, FEED)
"""What is known by its content beyond doubt; much else begins like text or JSON, and holds no article."""
ARCHIVES = (".zip", ".gz")
PLACES = (
    ("Archive", ARCHIVES, "each file in it that is of a kind above"),
    ("Folder", (), "each file below it that is of a kind above"),
    ("URL", ("http…",), "the page, of any kind above"),
    ("URL of a feed", ("http…",), "each entry's page, or what the feed says of it where that cannot be had"),
    ("URL of a sitemap", ("http…",), "each page that it lists"),
    ("List of URLs", (".txt",), "each of them, a line each, if the file is given by its own name"),
)
"""What holds sources instead of being one."""
SUFFIXES = tuple(suffix for kind in KINDS for suffix in kind.suffixes)

# Possessive, and with one place to start from, so that no file can make them try again and again.
_HTML = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?+(?:<!--(?>.*?-->)\s*+)*+<(!doctype\s+html|html|head|body)\b", re.I | re.S
)
_JSON = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')
_FRONT_MATTER = re.compile(
    r"---[ \t]*+\n[^\n:]*+:(?>.*?\n---)[ \t]*+\n|\+\+\+\n[^\n=]*+=(?>.*?\n\+\+\+)[ \t]*+\n", re.S
)
_HEADERS = re.compile(r"([!-9;-~]+:.*\n([ \t].*\n)*)+\n")
_MAIL = re.compile(r"^(message-id|mime-version|received|return-path):", re.I | re.M)


def kind_of(content: Content, media_type: str = "") -> Kind | None:
    """What a content is, by its first bytes where these leave no doubt, else by its name, else by its media type.

    None if it is nothing that can be read.
    """
    start = content.start()
    suffix = PurePosixPath(content.name).suffix.lower()
    named = next((kind for kind in KINDS if suffix in kind.suffixes), None)
    named = named or next((kind for kind in KINDS if media_type in kind.media_types), None)
    return _by_magic(content, start) or _by_text(start, named) or (None if named == FEED else named)


def is_wanted(name: str, kind: Kind | None) -> bool:
    """Is a file among others, which nobody asked for by its name, to be read?"""
    return kind in SURE or PurePosixPath(name).suffix.lower() in (*SUFFIXES, *ARCHIVES)


def is_archive(start: bytes) -> bool:
    """Does this begin a zip or a gzip file? A Word file or an EPUB is a zip too."""
    return start.startswith((*ZIP_STARTS, GZIP_START))


def _by_magic(content: Content, start: bytes) -> Kind | None:
    if start.startswith(b"PAR1"):
        return PARQUET
    return {"pdf": PDF, "docx": WORD, "epub": EPUB}.get(document_kind(content, start))


def _by_text(start: bytes, named: Kind | None) -> Kind | None:
    """By how a text begins; CSV and Markdown without front matter are known by their names alone."""
    if named in (CSV, HTML, MAIL, MAILBOX):
        return named
    text = _text(start)
    tests: Sequence[tuple[Kind, bool]] = (
        (FEED, is_feed(start)),
        (HTML, bool(_HTML.match(text))),
        (MAILBOX, text.startswith("From ") and _is_mail(text.partition("\n")[2])),
        (MAIL, _is_mail(text)),
        (MARKDOWN, bool(_FRONT_MATTER.match(text))),
        (JSON_LINES, _is_json_lines(text, named)),
        (JSON, bool(_JSON.match(text))),
    )
    return next((kind for kind, holds in tests if holds), None)


def _text(start: bytes) -> str:
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = start.decode("utf-16" if wide else "utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")


def _is_mail(text: str) -> bool:
    headers = _HEADERS.match(text)
    return bool(headers and _MAIL.search(headers[0]))


def _is_json_lines(text: str, named: Kind | None) -> bool:
    """Is the first line an object by itself, and does another one begin after it?"""
    first, _, rest = text.lstrip().partition("\n")
    if not _JSON.match(first) or not first.startswith("{"):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return named == JSON_LINES
    return rest.lstrip().startswith("{") or named == JSON_LINES
