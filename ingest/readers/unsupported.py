"""Formats that are recognized but not supported: how each is known, what it is called, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ingest.content.archives import ZIP_STARTS, zip_file
from ingest.content.types import Content
from ingest.readers.feeds import root_name
from ingest.readers.registry import FEED, JSON, JSON_LINES, TEXT, Kind, text_of
from rag.errors import ReadError

SAMPLE = 16_384
"""Bytes of a file from which its format is recognized."""
MOST_CONTROLS = 0.02
"""Share of control characters above which a file is no text in any encoding."""
FEWEST_LINES, MOST_LINES = 5, 200
"""Lines from which source code or a log is recognized."""
ENOUGH_LINES = 0.6
"""Share of those lines that have to look like it."""

_DOCUMENT = "save it as .docx or .txt"
_AS_TEXT = "save its text as .txt"
_SHEET = "save the sheet with the articles as .csv"
_PICTURE = "run it through OCR and save the text as .txt"
_SOUND = "save its transcript as .txt"
_ARCHIVE = "unpack it and give the folder, or pack it as .zip"
_REFERENCES = "export the articles' full texts as .csv, .json or .docx"
_PAGE = "save the page as .html"
_RECORDS = "save its articles as .json or .csv"
_WIRE = "convert it to JSON, or save its text as .txt"

Format = tuple[str, str]
"""A format's name in messages, and what to do with a file of it."""

_MAGIC: Sequence[tuple[int, tuple[bytes, ...], Format]] = (
    (0, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",), (
        "an old or a protected Office file (.doc, .xls, .ppt, .msg)",
        "save it as .docx without a password, as .pdf, or as .txt")),
    (0, (b"\x89PNG\r\n",), ("a PNG picture", _PICTURE)),
    (0, (b"\xff\xd8\xff",), ("a JPEG picture", _PICTURE)),
    (0, (b"GIF87a", b"GIF89a"), ("a GIF picture", _PICTURE)),
    (0, (b"II*\0", b"MM\0*"), ("a TIFF picture", _PICTURE)),
    (0, (b"8BPS\0",), ("a Photoshop picture", _PICTURE)),
    (6, (b"\0\0\0\0\x36\0\0\0", b"\0\0\0\0\x8a\0\0\0"), ("a BMP picture", _PICTURE)),
    (0, (b"\0\0\1\0",), ("an icon", _PICTURE)),
    (8, (b"WEBPVP8",), ("a WebP picture", _PICTURE)),
    (4, (b"ftyphei", b"ftypmif1", b"ftypavif"), ("a HEIC or AVIF picture", _PICTURE)),
    (0, (b"AT&TFORM",), ("a DjVu document", _PICTURE)),
    (8, (b"WAVEfmt ",), ("a WAVE recording", _SOUND)),
    (8, (b"AVI LIST",), ("an AVI video", _SOUND)),
    (4, (b"ftyp",), ("an MPEG-4 recording or video", _SOUND)),
    (0, (b"ID3\2", b"ID3\3", b"ID3\4", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9"), (
        "an MP3 or AAC recording", _SOUND)),
    (0, (b"OggS\0", b"fLaC\0", b"MThd\0", b"#!AMR"), ("a recording", _SOUND)),
    (0, (b"\x1aE\xdf\xa3", b"FLV\1", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\1\xba"), ("a video", _SOUND)),
    (0, (b"SQLite format 3\0",), ("an SQLite database", _RECORDS)),
    (4, (b"Standard Jet DB", b"Standard ACE DB"), ("an Access database", _RECORDS)),
    (0, (b"\x89HDF\r\n", b"ARROW1\0\0", b"FEA1", b"Obj\1", b"\x93NUMPY"), ("a data file of a program", _RECORDS)),
    (257, (b"ustar",), ("a tar archive", _ARCHIVE)),
    (0, (b"7z\xbc\xaf\x27\x1c",), ("a 7z archive", _ARCHIVE)),
    (0, (b"Rar!\x1a\7",), ("a RAR archive", _ARCHIVE)),
    (4, (b"1AY&SY",), ("packed by bzip2", _ARCHIVE)),
    (0, (b"\xfd7zXZ\0",), ("packed by xz", _ARCHIVE)),
    (0, (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"LZIP\1", b"MSCF\0", b"\x1f\x9d"), (
        "packed in a way that is not supported", _ARCHIVE)),
    (0, (b"WARC/0.", b"WARC/1.", b"filedesc://"), ("a WARC web archive", "save its pages as .html")),
    (0, (b"bplist00",), ("a binary property list, such as Safari's web archive", _PAGE)),
    (60, (b"BOOKMOBI", b"TEXtREAd"), ("a Kindle book", "convert it to .epub")),
    (0, (b"ITSF\3", b"ITOLITLS"), ("a compiled help file or an old e-book", "convert it to .epub")),
    (0, (b"\xffWPC",), ("a WordPerfect document", _DOCUMENT)),
    (0, (b"!BDN",), ("an Outlook mailbox (.pst)", "export it as .mbox or single messages as .eml")),
    (0, (b"x\x9f>\"",), ("an Outlook attachment (winmail.dat)", "export the message as .eml")),
    (0, (b"%!PS", b"\x04%!PS", b"\xc5\xd0\xd3\xc6"), ("a PostScript document", "convert it to .pdf")),
    (0, (b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xcf\xfa\xed\xfe", b"\0asm"), (
        "a program", _AS_TEXT)),
    (0, (b"MZ\x90\0", b"MZ\0", b"MZP\0"), ("a program for Windows", _AS_TEXT)),
    (0, (b"OTTO\0", b"wOFF", b"wOF2", b"\0\1\0\0\0"), ("a font", _AS_TEXT)),
)  # fmt: skip
"""(offset, signatures at that offset, format)."""

_ZIPS: Sequence[tuple[re.Pattern[str], Format]] = (
    (re.compile(r"\A(?:xl/workbook\.(xml|bin))"), ("an Excel workbook", _SHEET)),
    (re.compile(r"\A(?:ppt/presentation\.xml)"), ("a PowerPoint presentation", "save it as .pdf")),
    (re.compile(r"\A(?:visio/document\.xml|FixedDocSeq\.fdseq)"), (
        "a Visio drawing or an XPS document", "save it as .pdf")),
    (re.compile(r"\A(?:(Index/)?[^/]+\.iwa|Index\.zip|index\.(apxl|xml\.gz))"), (
        "a document of Pages, Numbers or Keynote", "export it as .docx, .csv or .pdf")),
    (re.compile(r"\A(?:META-INF/MANIFEST\.MF|AndroidManifest\.xml|.*\.dist-info/WHEEL)"), (
        "a program's package", _AS_TEXT)),
    (re.compile(r"\A(?:archive/[^/]+\.warc(\.gz)?)"), ("a web archive (WACZ)", "save its pages as .html")),
)  # fmt: skip
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument."

_TEXTS: Sequence[tuple[re.Pattern[str], Format]] = (
    (re.compile(r"\A\{\\rtf"), ("an RTF document", _DOCUMENT)),
    (re.compile(r"\A(?:.*\n){0,30}?TY  - \w+[ ]*\n(?:.*\n){0,3}?[A-Z][A-Z\d]  - "), (
        "an RIS file of references", _REFERENCES)),
    (re.compile(r"\A(?:.*\n){0,5}?PMID- ?\d+[ ]*\n(?:.*\n){0,3}?[A-Z]{2,4} *- "), (
        "a MEDLINE file of references", _REFERENCES)),
    (re.compile(r"\A%0 [A-Z].*\n(?:%[\dA-Z@!&^] .*\n)"), ("an EndNote file of references", _REFERENCES)),
    (re.compile(r"\AFN .*\nVR \d"), ("a Web of Science file of references", _REFERENCES)),
    (re.compile(r"\A(?:[ \t]*+(?:%.*+)?\n)*+[ \t]*+@[A-Za-z]{2,30}[ \t]*+\{[^{}\n]{0,200}\n?[^\n=]{0,200}="), (
        "a BibTeX file of references", _REFERENCES)),
    (re.compile(r"\A(?:=LDR  |\d{5}[acdnp][a-z][a-z ]{2}[ a]22)"), ("a MARC file of catalogue records", _REFERENCES)),
    (
        re.compile(
            r"\A(?:[ \t]*+(?:%.*+)?\n)*+[ \t]*+\\(?:documentclass|documentstyle|NeedsTeXFormat|begin\{|usepackage"
            r"|input\b|section\{|chapter\{|title\{)"
        ),
        ("a LaTeX document", "convert it to .pdf, .docx or .html"),
    ),
    (re.compile(r"\ABEGIN:VCARD"), ("a vCard file of contacts", _AS_TEXT)),
    (re.compile(r"\ABEGIN:VCALENDAR"), ("an iCalendar file of events", _AS_TEXT)),
    (re.compile(r"\A(?:WEBVTT(?:[ \t].*)?\n|\d{1,6}[ \t]*\n\d{1,2}:\d\d:\d\d[,.]\d{1,3} --> \d|\[Script Info\]\n)"), (
        "a file of subtitles", "save what is said as .txt, without the times")),
    (re.compile(r"\A-----BEGIN PGP SIGNED MESSAGE-----"), (
        "a text signed with PGP", "save the text without its signature")),
    (re.compile(r"\A-----BEGIN [A-Z\d ]{2,40}-----"), (
        "encrypted, a key or a certificate", "decrypt it, and save its text")),
    (re.compile(r"\A(?:\d{2,9}[ \t]*\n[!-9;-~]{2,40}: .*\n(?:[!-9;-~]{2,40}: |[ \t]))"), (
        "a message of Apple Mail (.emlx)", "save it as .eml")),
    (re.compile(r"\A(?:\[InternetShortcut\]\n|\[Desktop Entry\]\n)"), (
        "a link to a page", "give the page's address itself")),
    (re.compile(r"\A(?:begin \d{3} \S+\n|=ybegin )"), ("an encoded file", "decode it first")),
    (re.compile(r"\A(?:d\d{1,3}:(?:announce|created))"), ("a torrent", "download what it leads to")),
    (re.compile(r"\A(?:diff --git |Index: \S+\n=|--- \S+.*\n\+\+\+ \S)"), ("a patch of a program's source", _AS_TEXT)),
    (re.compile(r"\A(?:#!\s?/|<\?php\b|/\*!|#include\s*[<\"])"), ("a program's source", _AS_TEXT)),
    (
        re.compile(
            r"\A(?:-- (?:MySQL|MariaDB|PostgreSQL|phpMyAdmin|SQLite)"
            r"|(?:INSERT INTO|CREATE TABLE|PRAGMA|BEGIN TRANSACTION)\b)"
        ),
        ("a database's dump", _RECORDS),
    ),
)  # fmt: skip
_PAGES_IN_MAIL = re.compile(
    r"\A(?:.+\n)*?(?:snapshot-content-location:|from: <?saved by"
    r"|content-type: multipart/related;.{0,200}\n?.{0,200}type=\"text/html\")",
    re.IGNORECASE,
)
_MHTML = ("a page saved as MHTML", "save the page as .html")

_JSONS: Sequence[tuple[re.Pattern[str], Format]] = (
    (re.compile(r"\A\{\s*\"(?:cells|nbformat|metadata)\"[\s\S]*\"(?:cell_type|nbformat)\"\s*:"), (
        "a Jupyter notebook", "export it as .md or .html")),
    (re.compile(r"\A\{\s*\"type\"\s*:\s*\"(?:FeatureCollection|Feature|Topology|GeometryCollection)\""), (
        "a map in GeoJSON", _RECORDS)),
    (re.compile(r"\A\{\s*\"log\"\s*:\s*\{\s*\"(?:version|creator)\""), (
        "a record of a browser's traffic (HAR)", _PAGE)),
    (re.compile(r"\A\{\s*\"(?:openapi|swagger|\$schema|\$id|asyncapi)\"\s*:"), (
        "a description of data or of an API", _AS_TEXT)),
    (re.compile(r"\A\{[\s\S]*\"(?:dependencies|devDependencies|peerDependencies|compilerOptions)\"\s*:\s*\{"), (
        "a program's settings", _AS_TEXT)),
)  # fmt: skip

_ROOTS: dict[str, Format] = {
    "nitf": ("a NITF document", _WIRE),
    "tei": ("a TEI document", _AS_TEXT),
    "svg": ("an SVG picture", _PICTURE),
    "opml": ("an OPML list of feeds", "give the feeds' addresses"),
    "urlset": ("a sitemap", "give its address instead"),
    "sitemapindex": ("an index of sitemaps", "give its address instead"),
    "mediawiki": ("a dump of a wiki", _RECORDS),
    "fictionbook": ("a FictionBook e-book", "convert it to .epub"),
    "package": ("a Word document as XML", _DOCUMENT),
    "worddocument": ("a Word document as XML", _DOCUMENT),
    "workbook": ("an Excel workbook as XML", _SHEET),
    "document": ("an OpenDocument file as XML", _DOCUMENT),
    "plist": ("a property list, such as a link to a page", "give the page's address itself"),
}
_ROOTS |= dict.fromkeys(("newsml", "newsmessage", "newsitem", "packageitem"), ("a NewsML document", _WIRE))
_ROOTS |= dict.fromkeys(("tei.2", "teicorpus"), _ROOTS["tei"])
_FRAGMENT = frozenset(
    "a abbr address article aside audio b big blockquote body br button center cite code dd del details div dl dt em "
    "embed figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins label li "
    "link main mark meta nav ol p pre q s script section small span strike strong style sub summary sup table tbody td "
    "template th thead time title tr tt u ul var video".split()
)
"""HTML elements, with which a text can begin that is not XML."""
_DECLARED = re.compile(r"<\?xml\b|<!DOCTYPE\b(?!\s+html\b)|<[^<>]*\bxmlns[:=]", re.IGNORECASE)

_SOURCE_SUFFIXES = frozenset(
    ".py .pyw .js .mjs .cjs .ts .jsx .tsx .java .c .h .cpp .hpp .cc .cs .go .rs .rb .php .pl .sh .bash .zsh .ps1 .bat "
    ".cmd .swift .kt .scala .r .m .jl .lua .sql .css .scss .less .vue .dart .hs .ml .clj .ex .exs .erl .f90 .pas .asm "
    ".vb .ipynb .gradle .cmake .mk .tf .proto .graphql".split()
)
_SETTINGS_SUFFIXES = frozenset(".yaml .yml .toml .ini .cfg .conf .env .lock .properties .plist .reg".split())
"""Suffixes of files that hold no prose but can begin like it."""
_CODE = re.compile(
    r"\s*+(?:.*[;{}]|[\])}]+[,;]?|(?:def|class|if|for|while|elif|with|try|except|else|switch|case)\b.*:"
    r"|(?:import|from)\s+[\w.]+(?:\s+import\b.*)?|(?:return|var|let|const|func|fn|public|private|static|package|using)\b"
    r".*[;({=)]|[A-Za-z_][\w.\[\]'\"]*\s*(?:[-+*/|&:]?=)\s*\S.*|[A-Za-z_][\w.]*\(.*\)|//.*|#\s?\w+.*|@\w+.*)"
)
_OPERATORS = re.compile(r"\w\(|[=!<>]=|=\s*[\w\"'\[{(]|[{}]\s*$")
_LOGGED = re.compile(
    r"\W?(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d|[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d "
    r"|\d{1,3}(?:\.\d{1,3}){3} \S+ \S+ \["
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL)\b[: \]]|\d\d:\d\d:\d\d[.,]\d{3} )"
)
_CONTROL_BYTES = bytes({*range(1, 32), 127} - set(b"\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f"))
BINARY = "a binary file of an unknown format"


def refusal(content: Content, kind: Kind | None) -> str:
    """Why a content that was taken for this kind cannot be read; empty if it is of no format known here."""
    if kind and kind.binary:
        return ""
    start = content.start(SAMPLE)
    known = next((known for at, marks, known in _MAGIC if start[at : at + 20].startswith(marks)), None)
    known = known or _by_members(content, start)
    if not known and not start.startswith((*ZIP_STARTS, b"\x1f\x8b")):
        known = _by_text(content.name, start, kind)
    return f"is {known[0]}, which cannot be read yet; {known[1]}" if known else ""


def _by_members(content: Content, start: bytes) -> Format | None:
    """The format of a zip file that is not a plain archive."""
    if not start.startswith(ZIP_STARTS):
        return None
    if _OPEN_DOCUMENT in start[:100]:
        return "an OpenDocument file (.odt, .ods, .odp)", "save it as .docx, .csv or .pdf"
    try:
        with content.open() as file, zip_file(file) as archive:
            names = archive.namelist()
    except ReadError:
        return None
    return next((known for pattern, known in _ZIPS if any(map(pattern.fullmatch, names))), None)


def _by_text(name: str, start: bytes, kind: Kind | None) -> Format | None:
    if kind == FEED:
        return None
    if not start.startswith((b"\xff\xfe", b"\xfe\xff")) and len(start.translate(None, _CONTROL_BYTES)) < (
        1 - MOST_CONTROLS
    ) * len(start):
        return BINARY, _AS_TEXT
    return next(filter(None, _formats(name, text_of(start).lstrip("\ufeff \t\n"), start, kind)), None)


def _formats(name: str, text: str, start: bytes, kind: Kind | None) -> Iterator[Format | None]:
    if kind in (JSON, JSON_LINES):
        yield from (known for pattern, known in _JSONS if pattern.match(text))
    yield from (known for pattern, known in _TEXTS if pattern.match(text))
    yield _MHTML if _PAGES_IN_MAIL.match(text) else None
    if kind in (TEXT, None):
        yield _by_root(text, start)
        yield _by_lines(text)
    suffix = PurePosixPath(name).suffix.lower()
    if kind is None and suffix in _SOURCE_SUFFIXES:
        yield "a program's source", _AS_TEXT
    if kind is None and suffix in _SETTINGS_SUFFIXES:
        yield "a program's settings", _AS_TEXT


def _by_root(text: str, start: bytes) -> Format | None:
    """The format of XML, by its root element."""
    root = root_name(start)
    name = root.rpartition(":")[2].lower()
    if not root or (not _DECLARED.match(text) and (name in _FRAGMENT or "</" not in text)):
        return None
    return _ROOTS.get(name, (f"XML of another kind (its root element is <{root[:60]}>)", _WIRE))


def _by_lines(text: str) -> Format | None:
    """Source code or a log, recognized by most of its lines."""
    lines = [line for line in text.split("\n")[:MOST_LINES] if line.strip()]
    if len(lines) < FEWEST_LINES:
        return None
    needed = ENOUGH_LINES * len(lines)
    if sum(bool(_LOGGED.match(line[:100])) for line in lines) >= needed:
        return "a program's log", _AS_TEXT
    code = sum(bool(_CODE.fullmatch(line.rstrip()[:500])) for line in lines)
    signs = sum(bool(_OPERATORS.search(line[:500])) for line in lines)
    return ("a program's source", _AS_TEXT) if code >= needed and signs >= needed / 2 else None
