"""Removes invisible characters from text for reading, searching, terminals and pages."""

from __future__ import annotations

import re

_INVISIBLE = re.compile("[\xad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+")
"""Soft hyphens, zero-width spaces, byte order marks, tags, and overrides of the text direction."""
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_DIRECTION_MARKS = re.compile(rf"(?<![{_RIGHT_TO_LEFT}])[\u061c\u200e\u200f]++(?![{_RIGHT_TO_LEFT}])")
"""Direction marks, except beside a letter of a right-to-left script, where they place punctuation."""
_JOINING = "\u0590-\u1cff\u2190-\u2bff\ua880-\ufdff\ufe0f\U00010000-\U0001faff"
"""Scripts in which joiners change the shape of letters (Arabic, Indic …), and emoji, which they combine."""
_JOINERS = re.compile(rf"(?<![{_JOINING}])[\u200c\u200d]+|[\u200c\u200d]+(?![\u200c\u200d{_JOINING}])")


def visible(text: str) -> str:
    """The text without invisible format characters, except joiners and direction marks that change how it looks.

    A soft hyphen inside a word hides the word from search, and U+202E shows the text after it backwards. Control
    characters stay.
    """
    return text if text.isascii() else _DIRECTION_MARKS.sub("", _JOINERS.sub("", _INVISIBLE.sub("", text)))
