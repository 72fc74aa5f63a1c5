"""Removes a model's reasoning (`<think>…</think>`) from a reply, as the reply arrives."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REASONING_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_REASONING_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_LONGEST_TAG = len("</thinking>")


@dataclass(slots=True)
class ReasoningFilter:
    """Takes out of a reply, as it arrives, what a model thinks before it; some servers leave that in."""

    _begun: bool = False
    _thinks: bool = False
    _held: str = ""

    def add(self, piece: str) -> str:
        """What there is to read of the reply, with this piece, that was not there before."""
        if self._begun:
            return piece
        self._held = (self._held + piece).lstrip()
        if not self._thinks:
            begins = _REASONING_BEGINS.match(self._held)
            if not begins and "<thinking>".startswith(self._held[:_LONGEST_TAG].lower()):
                return ""
            self._thinks, self._held = bool(begins), self._held[begins.end() :] if begins else self._held
        if self._thinks:
            ends = _REASONING_ENDS.search(self._held)
            self._held = self._held[ends.end() :].lstrip() if ends else self._held[-_LONGEST_TAG:]
            self._thinks = not ends
        self._begun = not self._thinks and bool(self._held)
        return self._held if self._begun else ""

    def end(self) -> str:
        """What was held back because it might have begun a thought."""
        return "" if self._begun or self._thinks else self._held


def without_reasoning(text: str) -> str:
    """A reply without what a model thinks before it; empty as long as it thinks."""
    spoken = ReasoningFilter()
    return spoken.add(text) + spoken.end()
