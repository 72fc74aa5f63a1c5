"""Bytes → text."""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

from rag.errors import ReadError

BINARY = "is a binary file of no kind that can be read; `pullquote sources` lists the kinds"
MOST_BROKEN = 10
"""UTF-8 in which fewer than one in so many characters beyond ASCII is broken is still UTF-8."""
SAMPLE = 65_536
"""Bytes from which an encoding is guessed."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""UTF-32's little-endian mark begins with UTF-16's, so it is looked for first."""


def is_wide(start: bytes) -> bool:
    """Do these first bytes of a file mark it as UTF-16 or UTF-32?"""
    return any(start.startswith(mark) for mark, encoding in _MARKS.items() if encoding != "utf-8-sig")


def decode(data: bytes) -> str:
    """Text with \\n as its line end, from bytes: by their byte-order mark, as UTF-8, or in an older encoding.

    Raises ReadError for what is no text.
    """
    return _decoded(data).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data[:SAMPLE]:
        raise ReadError(BINARY)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        lenient = data.decode("utf-8", "replace")
        broken = lenient.count("\ufffd")
        if broken * MOST_BROKEN < sum(character > "\x7f" for character in lenient):
            return lenient
        return data.decode(_guess(data[max(0, error.start - SAMPLE // 2) : error.start + SAMPLE // 2]), "replace")


def encoding_of(start: bytes) -> str:
    """The encoding of a file that is read bit by bit, by its first bytes. Raises ReadError for what is no text."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        raise ReadError(BINARY)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # it may end in the middle of a character
    except UnicodeDecodeError:
        lenient = start.decode("utf-8", "replace")
        broken = lenient.count("\ufffd")
        return "utf-8" if broken * MOST_BROKEN < sum(character > "\x7f" for character in lenient) else _guess(start)
    return "utf-8"


def _guess(sample: bytes) -> str:
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise ReadError(BINARY)
    for match in matches:
        # Western text fits many code pages equally well; the one that most of it was written in breaks the tie.
        if match.encoding == "cp1252" and (match.chaos, -match.coherence) <= (best.chaos, -best.coherence):
            return "cp1252"
    return best.encoding
