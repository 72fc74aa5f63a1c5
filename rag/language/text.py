"""Text without characters that nobody sees: for reading, searching, terminals and pages."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\xad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+")
"""Soft hyphens, spaces of no width, byte order marks, tags, and what overrides the direction of the text after it."""
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_MARKS = re.compile(rf"(?<![{_RIGHT_TO_LEFT}])[\u061c\u200e\u200f]++(?![{_RIGHT_TO_LEFT}])")
"""Marks of direction that do not stand beside a letter of a right-to-left script, where they place its punctuation."""
_JOINED = "\u0590-\u1cff\u2190-\u2bff\ua880-\ufdff\ufe0f\U00010000-\U0001faff"
"""Scripts in which joiners change how letters look (Arabic, Indic …), and emoji, which they combine."""
_JOINERS = re.compile(rf"(?<![{_JOINED}])[\u200c\u200d]+|[\u200c\u200d]+(?![\u200c\u200d{_JOINED}])")


def visible(text: str) -> str:
    """The text without invisible format characters; joiners and marks of direction stay where they change what is seen.

    A soft hyphen inside a word would hide the word from search, and U+202E would show the text after it backwards.
    Control characters stay.
    """
    return text if text.isascii() else _MARKS.sub("", _JOINERS.sub("", _UNSEEN.sub("", text)))
