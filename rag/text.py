"""Text without characters that nobody sees: for reading, searching, terminals and pages."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
"""Soft hyphens, spaces of no width, byte order marks, tags, and marks that change the direction of what follows."""
_JOINED = "\u0590-\u1cff\u2190-\u2bff\ua880-\ufdff\ufe0f\U00010000-\U0001faff"
"""Scripts in which joiners change how letters look (Arabic, Indic …), and emoji, which they combine."""
_JOINERS = re.compile(rf"(?<![{_JOINED}])[\u200c\u200d]+|[\u200c\u200d]+(?![\u200c\u200d{_JOINED}])")


def visible(text: str) -> str:
    """The text without invisible format characters; joiners stay where they change what is seen.

    A soft hyphen inside a word would hide the word from search, and U+202E would show the text after it backwards.
    Right-to-left text needs none of these to be laid out. Control characters stay.
    """
    return text if text.isascii() else _JOINERS.sub("", _UNSEEN.sub("", text))
