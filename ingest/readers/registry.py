"""The kinds of sources that can be read: how each is recognized, and which reader reads it.

A new kind is one file with its reader, and one `Kind` in KINDS. The first bytes of a source are the evidence, its name
and media type the fallback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
from ingest.readers.records.record import RecordReader
from ingest.readers.records.tabular import from_csv, from_parquet
from ingest.readers.text import from_markdown, from_text


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a kind is recognized by: a source's first bytes, also as text, and the kind that its name suggests."""

    data: bytes
    text: str
    document: str
    """ "pdf", "docx", "epub" or empty."""
    named: Kind | None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source: its display name, suffixes, reader, and a description of what is read.

    `recognize` decides by the first bytes; without it, only name and media type do. A `binary` kind is recognized under
    any name. A file in a folder that has no known suffix is read only if its kind is `binary` or `certain`: the other
    kinds are too easily mistaken. `extra` is the optional dependency group it needs, `module` a module of that group.
    An `isolated` kind is read in the sandbox, because its parser may hang or crash. The reader of `records` gives only
    the markup in them to the sandbox.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    what: str
    media_types: tuple[str, ...] = ()
    recognize: Callable[[Evidence], bool] | None = None
    binary: bool = False
    certain: bool = False
    isolated: bool = False
    extra: str = ""
    module: str = ""
    records: RecordReader | None = None

    @property
    def missing(self) -> str:
        """The extra that has yet to be installed; empty if the kind can be read."""
        return self.extra if self.module and not find_spec(self.module) else ""

    @property
    def reader(self) -> str:
        """The reader's name in the sandbox, as module:function."""
        return f"{self.read.__module__}:{self.read.__name__}"


# Possessive quantifiers and one place to start from, so that no file causes catastrophic backtracking.
_HTML = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?+(?:<!--(?>.*?-->)\s*+)*+<(!doctype\s+html|html|head|body)\b", re.I | re.S
)
_JSON = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')
_FRONT_MATTER = re.compile(
    r"---[ \t]*+\n[^\n:]*+:(?>.*?\n---)[ \t]*+\n|\+\+\+\n[^\n=]*+=(?>.*?\n\+\+\+)[ \t]*+\n", re.S
)
_HEADERS = re.compile(r"([!-9;-~]+:.*\n([ \t].*\n)*)+\n")
_MAIL_HEADER = re.compile(r"^(message-id|mime-version|received|return-path):", re.I | re.M)


def _is_mail(text: str) -> bool:
    headers = _HEADERS.match(text)
    return bool(headers and _MAIL_HEADER.search(headers[0]))


def _is_json_lines(evidence: Evidence) -> bool:
    """Whether the first line is an object by itself, and another object begins after it."""
    first, _, rest = evidence.text.lstrip().partition("\n")
    if not _JSON.match(first) or not first.startswith("{"):
        return False
    is_named = evidence.named == JSON_LINES
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return is_named
    return rest.lstrip().startswith("{") or is_named


TEXT = Kind("Text", (".txt", ".text"), from_text, "one article, or each article of a scraped dump", ("text/plain",))
MARKDOWN = Kind(
    "Markdown",
    (".md", ".markdown"),
    from_markdown,
    "the rendered text; front matter as fields",
    ("text/markdown",),
    lambda evidence: bool(_FRONT_MATTER.match(evidence.text)),
    isolated=True,
)
HTML = Kind(
    "Web page",
    (".html", ".htm", ".xhtml"),
    from_html,
    "the article without navigation and ads; title, author, date, site, language",
    ("text/html", "application/xhtml+xml"),
    lambda evidence: bool(_HTML.match(evidence.text)),
    certain=True,
    isolated=True,
)
JSON = Kind(
    "JSON",
    (".json",),
    from_json,
    "an article, a list of them, or an object that holds such a list",
    ("application/json", "application/feed+json"),
    lambda evidence: bool(_JSON.match(evidence.text)),
    records=from_json,
)
JSON_LINES = Kind(
    "JSON Lines",
    (".jsonl", ".ndjson"),
    from_jsonl,
    "one article a line, of any number",
    ("application/x-ndjson",),
    _is_json_lines,
    records=from_jsonl,
)
CSV = Kind("CSV", (".csv", ".tsv"), from_csv, "one article a row, below a header row", ("text/csv",), records=from_csv)
PARQUET = Kind(
    "Parquet",
    (".parquet",),
    from_parquet,
    "one article a row",
    recognize=lambda evidence: evidence.data.startswith(b"PAR1"),
    binary=True,
    extra="parquet",
    module="pyarrow",
    records=from_parquet,
)
PDF = Kind(
    "PDF",
    (".pdf",),
    from_document,
    "paragraphs without running heads and page numbers; title, author, date",
    ("application/pdf",),
    lambda evidence: evidence.document == "pdf",
    binary=True,
    isolated=True,
    extra="documents",
    module="kreuzberg",
)
WORD = Kind(
    "Word",
    (".docx",),
    from_document,
    "paragraphs, lists and tables; title, author, date, language",
    recognize=lambda evidence: evidence.document == "docx",
    binary=True,
    isolated=True,
)
EPUB = Kind(
    "EPUB",
    (".epub",),
    from_document,
    "the chapters in order, as one article; title, author, publisher, date, language",
    ("application/epub+zip",),
    lambda evidence: evidence.document == "epub",
    binary=True,
    isolated=True,
)
MAIL = Kind(
    "Mail",
    (".eml",),
    from_eml,
    "a message without quoted replies; subject, sender, date; names of attachments",
    ("message/rfc822",),
    lambda evidence: _is_mail(evidence.text),
    certain=True,
    isolated=True,
)
MAILBOX = Kind(
    "Mailbox",
    (".mbox",),
    from_eml,
    "each message in it",
    ("application/mbox",),
    lambda evidence: evidence.text.startswith("From ") and _is_mail(evidence.text.partition("\n")[2]),
    certain=True,
    isolated=True,
)
FEED = Kind(
    "Feed",
    (".rss", ".atom", ".xml"),
    from_feed,
    "an RSS or Atom file: each entry, as the feed itself states it",
    ("application/rss+xml", "application/atom+xml", "application/xml", "text/xml"),
    lambda evidence: is_feed(evidence.data),
    certain=True,
    isolated=True,
)
KINDS = (TEXT, MARKDOWN, HTML, JSON, JSON_LINES, CSV, PARQUET, PDF, WORD, EPUB, MAIL, MAILBOX, FEED)
"""From the general to the special: the last one that recognizes a source is its kind."""

ISOLATED_READERS = frozenset(kind.reader for kind in KINDS if kind.isolated)
ARCHIVES = (".zip", ".gz")
PLACES = (
    ("Archive", ARCHIVES, "each file in it that has a format above"),
    ("Folder", (), "each file below it that has a format above"),
    ("URL", ("http…",), "the page, in any format above"),
    ("URL of a feed", ("http…",), "each entry's page, or the feed's own text if the page cannot be fetched"),
    ("URL of a sitemap", ("http…",), "each page that it lists"),
    ("List of URLs", (".txt",), "each URL, one a line, if the file is given by its own name"),
)
"""Containers and lists of sources."""
SUFFIXES = tuple(suffix for kind in KINDS for suffix in kind.suffixes)

_BINARY = tuple(kind for kind in KINDS if kind.binary)
_NAME_DECIDES = (CSV, HTML, MAIL, MAILBOX)
"""Kinds whose suffix or media type outweighs how the text begins."""


def kind_of(content: Content, media_type: str = "") -> Kind | None:
    """A content's kind: by its first bytes where these are conclusive, else by its name, else by its media type.

    None if it is of no kind that can be read.
    """
    start = content.start()
    suffix = PurePosixPath(content.name).suffix.lower()
    named = next((kind for kind in KINDS if suffix in kind.suffixes), None)
    named = named or next((kind for kind in KINDS if media_type in kind.media_types), None)
    evidence = Evidence(start, text_of(start), document_kind(content, start), named)
    for kind in _BINARY if named in _NAME_DECIDES else (*_BINARY, *reversed(KINDS)):
        if kind.recognize and kind.recognize(evidence):
            return kind
    return None if named == FEED else named


def is_wanted(name: str, kind: Kind | None) -> bool:
    """Whether a file that was only found, not asked for by its name, is read."""
    return bool(kind and (kind.binary or kind.certain)) or PurePosixPath(name).suffix.lower() in (*SUFFIXES, *ARCHIVES)


def is_archive(start: bytes) -> bool:
    """Whether these first bytes begin a zip or a gzip file. Word files and EPUBs are zips too."""
    return start.startswith((*ZIP_STARTS, GZIP_START))


def text_of(start: bytes) -> str:
    """A file's first bytes as text with \\n as its line end, in UTF-16 if they begin so, else in UTF-8."""
    is_wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = start.decode("utf-16" if is_wide else "utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
