"""Bytes → text."""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

from rag.errors import ReadError

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


def decode(data: bytes) -> str:
    """Text from bytes: by its byte-order mark, as UTF-8, or in the most likely of the older encodings.

    Raises ReadError for what is no text.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data[:SAMPLE]:
        raise ReadError("is a binary file, not text; give text, Markdown, JSON or JSON Lines")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess(data[:SAMPLE]), "replace")


def _guess(sample: bytes) -> str:
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise ReadError("is a binary file, not text; give text, Markdown, JSON or JSON Lines")
    for match in matches:
        # Western text fits many code pages equally well; the one that most of it was written in breaks the tie.
        if match.encoding == "cp1252" and (match.chaos, -match.coherence) <= (best.chaos, -best.coherence):
            return "cp1252"
    return best.encoding
