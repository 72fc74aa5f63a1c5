"""E-mail → articles: a single message (.eml) or a mailbox of many (.mbox).

Quoted replies and signatures are left out: quoted from here, they would be attributed to the wrong author.
Attachments are listed by name and not read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.errors import MessageError
from email.headerregistry import HeaderRegistry
from email.message import Message
from email.policy import EmailPolicy
from functools import lru_cache, partial
from io import BytesIO
from typing import BinaryIO

from ingest.articles.coverage import several_documents_notice
from ingest.articles.fields import file_name, make_article
from ingest.content.blocks import Block, join_blocks
from ingest.content.encoding import decode
from ingest.content.types import MEGABYTE, Content, Options, Read, Unpublished, raised_in_package, read_bytes
from ingest.content.values import clean, one_line
from ingest.readers.dump import captions_of, unwrapped
from ingest.readers.html.text import html_blocks
from rag.errors import ReadError
from rag.schema import Article, Failure, Span

LONGEST_MESSAGE = 50 * MEGABYTE
"""Bytes of a message with its attachments; most servers accept half as much."""
LONGEST_LINE = MEGABYTE
LONGEST_HEADER = 10_000
MOST_ATTACHMENTS = 20
PLAIN_SHARE = 0.5
"""The plain-text version is read if it has at least this share of the HTML version's words: many only point to it."""

UNREADABLE = (ValueError, TypeError, RecursionError)
"""What the parser raises on contradictory parameters and on endlessly nested parts."""
_HEADER_ERRORS = (*UNREADABLE, ArithmeticError, AssertionError, AttributeError, LookupError, MessageError)
"""What the standard library's header parser raises on some malformed headers, by accident rather than by design."""

_KNOWN_HEADERS = frozenset("from date subject message-id received return-path to mime-version".split())
_HEADER_START = re.compile(rb"[!-9;-~]+:")
_ESCAPED_FROM = re.compile(rb">+From ")
_ADDRESS = re.compile(r"(?<![^<>])([^<>]*+)<([^<>]*+)>")
_COMMENT = re.compile(r"\([^()]*\)")
_LINK = re.compile(r"https?://[^\s<>\"]+")
_QUOTED = re.compile(r"[ ]?>")
_QUOTE_PREFIX = re.compile(r"^(?:[ ]?>)+ ?", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n{2,}")
_SERVICE = re.compile(
    r"\W*(?:(?:view|read|open|see) (?:this |the )?(?:e-?mail |newsletter |message )?"
    r"(?:in (?:your |a |the )?browser|online)\b"
    r"|you(?:['’]re| are) (?:receiving|getting) (?:this|these)\b"
    r"|you (?:have )?received this (?:e-?mail|message|newsletter)\b|(?:click here )?to unsubscribe\b"
    r"|if you (?:wish|want|would like|no longer)\b.*\bunsubscribe\b"
    r"|unsubscribe\W*(?:$|here\b|https?:|from (?:this|these|our|all)\b|at any time\b|instantly\b)"
    r"|(?:manage|update|change) (?:your )?(?:e-?mail |subscription )?(?:preferences|settings|subscription)\b)",
    re.IGNORECASE,
)
"""How the lines begin that newsletter software adds (view in browser, unsubscribe)."""
LONGEST_SERVICE = 300
_UNSENT = frozenset(
    "draft drafts trash spam entwurf entwürfe papierkorb brouillons corbeille borradores papelera".split()
)
"""Gmail's labels for drafts, deleted mail and spam, in the language of the account."""
_HEX, _EXPUNGED = re.compile(r"[\da-fA-F]{4}"), 0x0008
_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
"""Python codecs that are no character set of a message; some take quadratic time."""


class _LenientPolicy(EmailPolicy):
    """The standard library's header decoding, for malformed headers too."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return _decoded_header(name, value[:LONGEST_HEADER])


_PARSE_HEADER = HeaderRegistry(use_default_map=False)
"""Parses every header as plain text. The library's address and date parsers are stricter than real mail: of 28 senders
they lost 7 names ("Moor, Ada <…>", "Bay Times [Harbour] <…>"), of 25 dates 10 (ISO 8601, no time of day)."""


@lru_cache(256)
def _decoded_header(name: str, value: str) -> str:
    """A header with its encoded words decoded; one that the library fails on stays as it is written."""
    # Raw bytes beyond ASCII, which no header may have, are UTF-8 or Western.
    data = value.encode("utf-8", "surrogateescape")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    text = text.replace("\r", "").replace("\n", "")
    # The library takes up to seconds for a long header, so it gets only those that need decoding.
    with suppress(*_HEADER_ERRORS):
        return str(_PARSE_HEADER(name, text)) if "=?" in text else text
    return text


NOT_MAIL = "is not an e-mail message that can be parsed; save it again as .eml, or save its text as .txt"


def from_eml(content: Content, options: Options) -> Read:
    """One message as one article. Raises ReadError if it is not a message or cannot be parsed."""
    try:
        message = message_from_bytes(read_bytes(content, options), policy=_LenientPolicy())
    except UNREADABLE as error:
        raise ReadError(NOT_MAIL) from error
    if _KNOWN_HEADERS.isdisjoint(name.lower() for name in message.keys()):  # noqa: SIM118 - not a mapping
        raise ReadError(NOT_MAIL)
    if _is_unsent_or_deleted(message) and not options.include_drafts:
        yield Unpublished(_header(message, "message-id").strip("<> ") or content.name)
        return
    try:
        yield _article(content, message)
        forwarded = sum(part.get_content_type() == "message/rfc822" for part in message.walk())
        if forwarded > 1:
            yield several_documents_notice(content.name, forwarded)
    except UNREADABLE as error:
        if isinstance(error, TypeError) and raised_in_package(error):
            raise
        raise ReadError("cannot be parsed; save its text as .txt") from error


def messages(content: Content) -> Iterator[Content | Failure]:
    """The messages of an mbox file, each as a content of its own. Raises ReadError if it is not an mbox."""
    with content.open() as file:
        for number, data in enumerate(split_mbox(file), 1):
            name = f"{content.name}, message {number}"
            if data is None:
                yield Failure(name, f"is larger than {LONGEST_MESSAGE:,} bytes; save its text as .txt")
            else:
                yield replace(content, name=name, open=partial(BytesIO, data), size=len(data))


def split_mbox(file: BinaryIO) -> Iterator[bytes | None]:
    """The messages of an mbox; None for one that is too long. Raises ReadError if the file is not an mbox.

    A message begins at a "From …" line that is the first line or follows a blank one, and precedes a header. By hand,
    because the standard library's mailbox needs a file on disk and splits at any "From " line.
    """
    line, after_blank = file.readline(LONGEST_LINE), True
    if not line.startswith(b"From "):
        raise ReadError("is not an mbox: its first line does not begin with From; save single messages as .eml")
    lines, size, started = list[bytes](), 0, False
    while line:
        following = file.readline(LONGEST_LINE)
        if after_blank and line.startswith(b"From ") and (not started or _HEADER_START.match(following)):
            if started:
                yield b"".join(lines) if size <= LONGEST_MESSAGE else None
            lines, size, started = [], 0, True
        else:
            size += len(line)
            if size <= LONGEST_MESSAGE:
                lines.append(line[1:] if _ESCAPED_FROM.match(line) else line)
            else:
                lines.clear()
        after_blank = not line.strip()
        line = following
    yield b"".join(lines) if size <= LONGEST_MESSAGE else None


def _article(content: Content, message: Message) -> Article | Failure:
    body = _read_part(message)
    name, address = _name_and_address(_header(message, "from"))
    list_name, list_address = _name_and_address(_header(message, "list-id"))
    fields = {
        "id": _header(message, "message-id").strip("<> "),
        "title": _header(message, "subject"),
        "author": name or address,
        "source": list_name or list_address or name or address or file_name(content.name),
        "date": _COMMENT.sub(" ", _header(message, "date")),
        "language": _header(message, "content-language"),
        "url": next(iter(_LINK.findall(_header(message, "archived-at") or _header(message, "list-post"))), ""),
    }
    text = join_blocks(body.blocks)
    extra = {"attachments": body.attachments[:MOST_ATTACHMENTS]}
    return make_article(content, text, fields, extra, (*captions_of(text.text), *_service_lines(text.text)))


def _is_unsent_or_deleted(message: Message) -> bool:
    """Whether Gmail, Thunderbird, Outlook or mutt marked the message as a draft, deleted or spam."""
    labels = {label.strip().lower() for label in _header(message, "x-gmail-labels").split(",")}
    mozilla = _header(message, "x-mozilla-status")
    is_deleted = bool(_HEX.fullmatch(mozilla)) and bool(int(mozilla, 16) & _EXPUNGED)
    flags = _header(message, "x-status")
    is_flagged = len(flags) <= len("ADFT") and not {"D", "T"}.isdisjoint(flags)
    return not labels.isdisjoint(_UNSENT) or is_deleted or is_flagged or _header(message, "x-unsent") == "1"


def _service_lines(text: str) -> Iterator[Span]:
    """Spans of the short lines about how a newsletter is sent: searchable but not quoted, being nobody's words."""
    start, goes_on = 0, False
    for line in text.split("\n"):
        end = start + len(line)
        is_service = bool(_SERVICE.match(line)) or (goes_on and line[:1].islower())
        if is_service and len(line) <= LONGEST_SERVICE:
            yield start, end
        goes_on = is_service and not line.endswith((".", "!", "?"))
        start = end + 1


def _header(message: Message, name: str) -> str:
    """A header as one line of decoded text; empty if the message has none of that name."""
    return one_line(message.get(name, ""))


def _name_and_address(value: str) -> tuple[str, str]:
    """The name and the address in a header such as From; without angle brackets, all of it is the address."""
    found = _ADDRESS.search(value)
    return (found[1].strip("\"' "), found[2].strip()) if found else ("", one_line(_COMMENT.sub(" ", value)))


@dataclass(slots=True)
class _Body:
    """The text of a message or of a part of it, and the names of its attachments."""

    blocks: list[Block] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)


def _read_part(part: Message) -> _Body:
    """A part with all its parts.

    By hand, because get_body gives one part alone: a letter can have several texts and forwarded messages.
    """
    kind = part.get_content_type()
    name = _attachment_name(part)
    if name or (not part.is_multipart() and kind not in {"text/plain", "text/html"}):
        return _Body(attachments=[name or kind])
    if not part.is_multipart():
        is_flowed = str(part.get_param("format", "")).lower() == "flowed"
        return _Body(html_blocks(_text(part)) if kind == "text/html" else plain_blocks(_text(part), flowed=is_flowed))
    parts = [inner for inner in part.get_payload() if isinstance(inner, Message)]
    if kind == "multipart/alternative":
        return _best([_read_part(inner) for inner in parts])
    body = _Body()
    for inner in parts[:1] if kind in {"multipart/related", "multipart/signed"} else parts:
        if kind == "message/rfc822" and (title := _header(inner, "subject")):
            body.blocks.append(Block(title, unquotable=True))
        read = _read_part(inner)
        body.blocks += read.blocks
        body.attachments += read.attachments
    return body


def _best(versions: list[_Body]) -> _Body:
    """Of several versions of the same text: the first, usually the plain one, unless a later one says far more."""
    words = [sum(len(block.text.split()) for block in version.blocks) for version in versions]
    enough = (body for body, count in zip(versions, words, strict=True) if count and count >= PLAIN_SHARE * max(words))
    return next(enough, _Body())


def _attachment_name(part: Message) -> str:
    """The file name of a part that is an attachment; empty for a part that is text of the message."""
    name = one_line(part.get_filename())
    is_attachment = (part.get_content_disposition() or "").startswith("attachment")
    return name or (part.get_content_type() if is_attachment else "")


def _text(part: Message) -> str:
    """A part's text, by its declared charset if that is one, else by a guess; get_content raises on unknown ones."""
    data = part.get_payload(decode=True)
    text = _decoded(data if isinstance(data, bytes) else b"", str(part.get_content_charset() or "utf-8"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, charset: str) -> str:
    with suppress(LookupError, ValueError):
        codec = codecs.lookup(charset).name.replace("-", "_")
        if codec not in _NOT_CHARSETS and (codec != "ascii" or data.isascii()):
            return data.decode(codec, "replace")
    try:
        return decode(data)
    except ReadError:
        return data.decode("cp1252", "replace")


def plain_blocks(text: str, *, flowed: bool = False) -> list[Block]:
    """The paragraphs of plain text, without signature and quoted replies.

    If all of it is a quote, that is kept but marked: searchable, never quoted.
    """
    lines = _without_signature(text.split("\n"))
    lines = list(_unflowed(lines)) if flowed else lines
    own = _paragraphs(unwrapped(clean("\n".join(_without_quotes(lines)))))
    if own:
        return own
    quoted = _paragraphs(unwrapped(clean(_QUOTE_PREFIX.sub("", "\n".join(lines)))))
    return [replace(block, unquotable=True) for block in quoted]


def _paragraphs(text: str) -> list[Block]:
    return [Block(paragraph) for paragraph in _PARAGRAPH.split(clean(text)) if paragraph]


def _without_signature(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if line == "-- "), len(lines))
    return lines[:end] if any(line.strip() for line in lines[:end]) else lines


def _unflowed(lines: Iterable[str]) -> Iterator[str]:
    """Joins format=flowed lines: one that ends with a space continues in the next (RFC 3676)."""
    begun = ""
    for line in lines:
        quoted = line.startswith(">")
        own = line if quoted else line.removeprefix(" ")
        if quoted and begun:
            yield begun
            begun = ""
        begun += own
        if quoted or not own.endswith(" "):
            yield begun
            begun = ""
    if begun:
        yield begun


def _without_quotes(lines: Iterable[str]) -> list[str]:
    """The lines without those that begin with ">", and without the line that introduces them."""
    kept = list[str]()
    in_quote = False
    for line in lines:
        quoted = bool(_QUOTED.match(line))
        if quoted and not in_quote:
            _drop_attribution(kept)
        if not quoted:
            kept.append(line)
        in_quote = quoted or (in_quote and not line.strip())
    return kept


def _drop_attribution(lines: list[str]) -> None:
    """Drops "On 5 March 2024, Ada wrote:", one line or two, from the end of the lines."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    if not end or not lines[end - 1].rstrip().endswith(":"):
        return
    for count in (1, 2):
        if any(character.isdigit() for line in lines[end - count : end] for character in line) and count <= end:
            del lines[end - count :]
            return
