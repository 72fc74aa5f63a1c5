"""Decode bytes to text: byte-order marks, UTF-8, and older encodings by guess."""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

from rag.errors import ReadError

BINARY = "is a binary file of an unsupported kind; `pullquote sources` lists the supported ones"
VALID_PER_BROKEN = 10
"""Text is still UTF-8 if it has more than so many non-ASCII characters for each broken one."""
SAMPLE = 65_536
"""Bytes from which an encoding is guessed."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; UTF-32's little-endian one begins with UTF-16's, so it is tried first."""


def is_wide(start: bytes) -> bool:
    """Whether the first bytes of a file mark it as UTF-16 or UTF-32."""
    return _marked_encoding(start) in {"utf-16", "utf-32"}


def _marked_encoding(start: bytes) -> str:
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")


def decode(data: bytes) -> str:
    """Decode by byte-order mark, as UTF-8, or in a guessed older encoding; line ends become \\n.

    Raises ReadError for binary data.
    """
    return _decoded(data).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    if marked := _marked_encoding(data):
        return data.decode(marked, "replace")
    if b"\0" in data[:SAMPLE]:
        raise ReadError(BINARY)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        lenient = data.decode("utf-8", "replace")
        if _is_nearly_valid(lenient):
            return lenient
        return data.decode(_guess(data[max(0, error.start - SAMPLE // 2) : error.start + SAMPLE // 2]), "replace")


def encoding_of(start: bytes) -> str:
    """The encoding of a file by its first bytes, for reading it in pieces. Raises ReadError for binary data."""
    if marked := _marked_encoding(start):
        return marked
    if b"\0" in start:
        raise ReadError(BINARY)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # it may end in the middle of a character
    except UnicodeDecodeError:
        return "utf-8" if _is_nearly_valid(start.decode("utf-8", "replace")) else _guess(start)
    return "utf-8"


def _is_nearly_valid(text: str) -> bool:
    """Whether few of the characters of a leniently decoded text were broken."""
    return text.count("\ufffd") * VALID_PER_BROKEN < sum(character > "\x7f" for character in text)


def _guess(sample: bytes) -> str:
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise ReadError(BINARY)
    for match in matches:
        # Western text fits many code pages equally well; cp1252, the most common one, wins a tie.
        if match.encoding == "cp1252" and (match.chaos, -match.coherence) <= (best.chaos, -best.coherence):
            return "cp1252"
    return best.encoding
