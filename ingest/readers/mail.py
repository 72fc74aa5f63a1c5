"""E-mail → articles: a message (.eml), or a file of many (.mbox).

What somebody else wrote, and is quoted in a reply, is left out, and so are signatures: neither would be quoted with the
right author. Attachments are named, not read.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import Message
from functools import partial
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
"""Bytes, with its attachments; most servers take half as much."""
LONGEST_LINE = MEGABYTE
LONGEST_HEADER = 10_000
MOST_ATTACHMENTS = 20
SUBSTANCE = 0.5
"""The plain text of a message is read if it has so many words for each of its HTML: often it only says to see that."""

UNREADABLE = (ValueError, TypeError, RecursionError)
"""What the parser raises on parameters that contradict themselves, and on parts within parts without end."""

_KNOWN = frozenset("from date subject message-id received return-path to mime-version".split())
_FIELD = re.compile(rb"[!-9;-~]+:")
_ESCAPED = re.compile(rb">+From ")
_FOLD = re.compile(r"\r?\n[ \t]*")
_ENCODED = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]*)?\?([qQbB])\?([^?]*)\?=")
_BETWEEN_ENCODED = re.compile(r"(\?=)\s+(?==\?)")
_ADDRESS = re.compile(r"(?<![^<>])([^<>]*+)<([^<>]*+)>")
_COMMENT = re.compile(r"\([^()]*\)")
_LINK = re.compile(r"https?://[^\s<>\"]+")
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_QUOTED = re.compile(r"[ ]?>")
_MARKS = re.compile(r"^(?:[ ]?>)+ ?", re.MULTILINE)
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
"""How a line begins that a newsletter's program adds."""
LONGEST_SERVICE = 300
_UNSENT = frozenset(
    "draft drafts trash spam entwurf entwürfe papierkorb brouillons corbeille borradores papelera".split()
)
"""Labels of Gmail, in the account's language, for what was not sent, deleted, or is not wanted."""
_HEX, _EXPUNGED = re.compile(r"[\da-fA-F]{4}"), 0x0008
_NO_TEXT_CODECS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


def from_eml(content: Content, options: Options) -> Read:
    """One message as one article. Raises ReadError if it is none."""
    message = _parsed(read_bytes(content, options))
    if message is None or not _KNOWN & {name.lower() for name in message.keys()}:  # noqa: SIM118 - it is no mapping
        raise ReadError("is no e-mail message that can be taken apart; save it again as .eml, or as .txt")
    if is_unsent_or_deleted(message) and not options.include_drafts:
        yield Unpublished(header(message, "message-id").strip("<> ") or content.name)
        return
    try:
        yield _article(content, message)
        letters = sum(part.get_content_type() == "message/rfc822" for part in message.walk())
        if letters > 1:
            yield several_documents_notice(content.name, letters)
    except UNREADABLE as error:
        if isinstance(error, TypeError) and raised_in_package(error):
            raise
        raise ReadError("cannot be taken apart; save it alone, as text") from error


def messages(content: Content) -> Iterator[Content | Failure]:
    """Each message of an mbox file, to be read by itself. Raises ReadError if it is no mbox."""
    with content.open() as file:
        for number, data in enumerate(split_mbox(file), 1):
            name = f"{content.name}, message {number}"
            if data is None:
                yield Failure(name, f"is larger than {LONGEST_MESSAGE:,} bytes; save it alone, as text")
            else:
                yield replace(content, name=name, open=partial(BytesIO, data), size=len(data))


def split_mbox(file: BinaryIO) -> Iterator[bytes | None]:
    """The messages of an mbox; None for one that is too long. Raises ReadError if it does not begin as one does.

    One begins at a line "From …" that follows a blank line, or is the first, and is followed by a field.
    """
    line, after_blank = file.readline(LONGEST_LINE), True
    if not line.startswith(b"From "):
        raise ReadError("is no mbox: its first line does not begin with From; give single messages as .eml")
    lines, size, started = list[bytes](), 0, False
    while line:
        following = file.readline(LONGEST_LINE)
        if after_blank and line.startswith(b"From ") and (not started or _FIELD.match(following)):
            if started:
                yield b"".join(lines) if size <= LONGEST_MESSAGE else None
            lines, size, started = [], 0, True
        else:
            size += len(line)
            if size <= LONGEST_MESSAGE:
                lines.append(line[1:] if _ESCAPED.match(line) else line)
            else:
                lines.clear()
        after_blank = not line.strip()
        line = following
    yield b"".join(lines) if size <= LONGEST_MESSAGE else None


def _parsed(data: bytes) -> Message | None:
    try:
        return message_from_bytes(data)
    except UNREADABLE:
        return None


def _article(content: Content, message: Message) -> Article | Failure:
    said = _contents(message)
    title, name, address = header(message, "subject"), *_sender(message)
    fields = {
        "id": header(message, "message-id").strip("<> "),
        "title": title,
        "author": name or address,
        "source": _list_name(message) or name or address or file_name(content.name),
        "date": _COMMENT.sub(" ", header(message, "date")),
        "language": header(message, "content-language"),
        "url": next(iter(_LINK.findall(header(message, "archived-at") or header(message, "list-post"))), ""),
    }
    text = join_blocks(said.blocks)
    named = {"attachments": said.attached[:MOST_ATTACHMENTS]}
    return make_article(content, text, fields, named, (*captions_of(text.text), *_service_lines(text.text)))


def is_unsent_or_deleted(message: Message) -> bool:
    """Do the fields in which Gmail, Thunderbird, Outlook and mutt keep a message's state say that it is no letter?"""
    labels = {label.strip().lower() for label in header(message, "x-gmail-labels").split(",")}
    mozilla = header(message, "x-mozilla-status")
    is_deleted = bool(_HEX.fullmatch(mozilla)) and bool(int(mozilla, 16) & _EXPUNGED)
    flags = header(message, "x-status")
    is_flagged = len(flags) <= len("ADFT") and not {"D", "T"}.isdisjoint(flags)
    return not labels.isdisjoint(_UNSENT) or is_deleted or is_flagged or header(message, "x-unsent") == "1"


def _service_lines(text: str) -> Iterator[Span]:
    """Short lines on how the message is sent: found, but not quoted, for they are none of its author's words."""
    start, goes_on = 0, False
    for line in text.split("\n"):
        end = start + len(line)
        is_service = bool(_SERVICE.match(line)) or (goes_on and line[:1].islower())
        if is_service and len(line) <= LONGEST_SERVICE:
            yield start, end
        goes_on = is_service and not line.endswith((".", "!", "?"))
        start = end + 1


def header(message: Message, name: str) -> str:
    """A field as one line of text, decoded; empty if there is none."""
    return _decoded(_raw(message, name))


def _raw(message: Message, name: str) -> str:
    value = next((value for key, value in message.raw_items() if key.lower() == name), "")
    return _FOLD.sub(" ", str(value)[:LONGEST_HEADER])


def _decoded(value: str) -> str:
    """Without the encodings of RFC 2047; bytes beyond ASCII, which no header may have, are UTF-8 or Western."""
    data = value.encode("utf-8", "surrogateescape")
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        value = data.decode("cp1252", "replace")
    return one_line(_ENCODED.sub(_decoded_word, _BETWEEN_ENCODED.sub(r"\1", value)))


def _decoded_word(match: re.Match[str]) -> str:
    charset, encoding, text = match.groups()
    data = text.encode("ascii", "replace")
    return _text(_base64(data) if encoding in "bB" else binascii.a2b_qp(data, header=True), charset)


def _base64(data: bytes) -> bytes:
    """What can be decoded of it, whatever is wrong with its end."""
    letters = _NO_BASE64.sub(b"", data)
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _text(data: bytes, charset: str) -> str:
    with suppress(LookupError, ValueError):
        codec = codecs.lookup(charset).name.replace("-", "_")
        if codec not in _NO_TEXT_CODECS and (codec != "ascii" or data.isascii()):
            return data.decode(codec, "replace")
    try:
        return decode(data)
    except ReadError:
        return data.decode("cp1252", "replace")


def _sender(message: Message) -> tuple[str, str]:
    """Name and address of who wrote it."""
    raw = _raw(message, "from")
    found = _ADDRESS.search(raw)
    if not found:
        return "", _decoded(_COMMENT.sub(" ", raw))
    return _decoded(found[1].strip(' "\t')).strip("\"' "), one_line(found[2])


def _list_name(message: Message) -> str:
    raw = _raw(message, "list-id")
    found = _ADDRESS.search(raw)
    if not found:
        return _decoded(raw)
    return _decoded(found[1].strip(' "\t')).strip("\"' ") or one_line(found[2])


@dataclass(slots=True)
class _Said:
    """What a message, or a part of one, says; and the names of what is attached to it."""

    blocks: list[Block] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)


def _contents(message: Message) -> _Said:
    kind = message.get_content_type()
    name = _file(message)
    if name or (not message.is_multipart() and kind not in {"text/plain", "text/html"}):
        return _Said(attached=[name or kind])
    if not message.is_multipart():
        return _Said(_leaf(message, kind))
    parts = [part for part in message.get_payload() if isinstance(part, Message)]
    if kind == "multipart/alternative":
        return _best([_contents(part) for part in parts])
    said = _Said()
    for part in parts[:1] if kind in {"multipart/related", "multipart/signed"} else parts:
        if kind == "message/rfc822" and (title := header(part, "subject")):
            said.blocks.append(Block(title, unquotable=True))
        inner = _contents(part)
        said.blocks += inner.blocks
        said.attached += inner.attached
    return said


def _leaf(message: Message, kind: str) -> list[Block]:
    if kind == "text/html":
        return html_blocks(_body(message))
    return plain_blocks(_body(message), flowed=str(message.get_param("format", "")).lower() == "flowed")


def _best(parts: list[_Said]) -> _Said:
    """Of several forms of the same: the first, plain one, unless a later one says far more."""
    words = [sum(len(block.text.split()) for block in part.blocks) for part in parts]
    enough = (part for part, count in zip(parts, words, strict=True) if count and count >= SUBSTANCE * max(words))
    return next(enough, _Said())


def _file(message: Message) -> str:
    """The name of a part that is a file beside the text; empty for the text."""
    disposition = str(message.get("content-disposition", "")).strip().lower()
    name = message.get_filename() or ""
    if not name and not disposition.startswith("attachment"):
        return ""
    return _decoded(str(name)) or message.get_content_type()


def _body(message: Message) -> str:
    # Only as bytes: as text, it would have been decoded already, and what did not fit have been lost.
    data = message.get_payload(decode=True)
    text = _text(data if isinstance(data, bytes) else b"", str(message.get_content_charset() or "utf-8"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain_blocks(text: str, *, flowed: bool = False) -> list[Block]:
    """Plain text as paragraphs, without its signature, and without what it quotes.

    If it is all quoted, that is kept, but marked: it is found, and not quoted again.
    """
    lines = _without_signature(text.split("\n"))
    lines = list(_unflowed(lines)) if flowed else lines
    own = _paragraphs(unwrapped(clean("\n".join(_without_quotes(lines)))))
    if own:
        return own
    quoted = _paragraphs(unwrapped(clean(_MARKS.sub("", "\n".join(lines)))))
    return [replace(block, unquotable=True) for block in quoted]


def _paragraphs(text: str) -> list[Block]:
    return [Block(paragraph) for paragraph in _PARAGRAPH.split(clean(text)) if paragraph]


def _without_signature(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if line == "-- "), len(lines))
    return lines[:end] if any(line.strip() for line in lines[:end]) else lines


def _unflowed(lines: Iterable[str]) -> Iterator[str]:
    """Lines that end with a space go on in the next one (RFC 3676)."""
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
    """Without lines that begin with ">", and without the line that says whose words those are."""
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
    """ "On 5 March 2024, Ada wrote:", at the end of the lines, on one or two of them."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    if not end or not lines[end - 1].rstrip().endswith(":"):
        return
    for count in (1, 2):
        if any(character.isdigit() for line in lines[end - count : end] for character in line) and count <= end:
            del lines[end - count :]
            return
