"""Sentence segmentation: sentencex, corrected after abbreviations it does not know."""

from __future__ import annotations

import re

from sentencex import get_sentence_boundaries

from rag.language.english import NEVER_LAST, SELDOM_LAST, TITLES

_LAST_WORD = re.compile(r"(?<![\w.])((?:\w+\.)*\w+)\.[\s\"'”’)\]]*\Z")
_GOES_ON = re.compile(r"[\"'“‘(\[]*[a-z\d]")
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]]*\s*\Z")
_LOOKBACK = 40


def sentence_ends(text: str) -> list[int]:
    """The end of each sentence of a text, trailing white space included; the last is the end of the text.

    English rules. The time is quadratic in a text without sentence ends: pass at most some thousands of characters.
    """
    ends: list[int] = []
    for boundary in get_sentence_boundaries("en", text):
        start, end = boundary["start_index"], boundary["end_index"]
        if ends and _continues(text[max(0, start - _LOOKBACK) : start], text[start : start + _LOOKBACK]):
            ends.pop()
        ends.append(end)
    return ends


def is_ended(text: str) -> bool:
    """Whether a text ends with a whole sentence, not with an abbreviation that a word must follow."""
    last = _LAST_WORD.search(text[-_LOOKBACK:])
    return bool(_ENDED.search(text[-_LOOKBACK:])) and not (last and _is_never_last(last[1]))


def _continues(before: str, after: str) -> bool:
    """Whether the sentence goes on, because the point between the texts belongs to an abbreviation."""
    last = None if "\n" in before[len(before.rstrip()) :] else _LAST_WORD.search(before)
    if not last:
        return False
    return _is_never_last(last[1]) or (last[1].lower() in SELDOM_LAST and bool(_GOES_ON.match(after)))


def _is_never_last(word: str) -> bool:
    return word in TITLES or word.lower() in NEVER_LAST
