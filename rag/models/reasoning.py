"""Removes a model's reasoning (`<think>…</think>`) from a reply, as the reply arrives."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REASONING_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_REASONING_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_LONGEST_TAG = len("</thinking>")


@dataclass(slots=True)
class ReasoningFilter:
    """Removes the reasoning before a streamed reply, which some servers leave in."""

    _answering: bool = False
    _reasoning: bool = False
    _buffer: str = ""

    def add(self, piece: str) -> str:
        """Add a piece of the reply; returns the text without reasoning that can now be shown."""
        if self._answering:
            return piece
        self._buffer = (self._buffer + piece).lstrip()
        if not self._reasoning:
            begins = _REASONING_BEGINS.match(self._buffer)
            if not begins and "<thinking>".startswith(self._buffer[:_LONGEST_TAG].lower()):
                return ""
            self._reasoning, self._buffer = bool(begins), self._buffer[begins.end() :] if begins else self._buffer
        if self._reasoning:
            ends = _REASONING_ENDS.search(self._buffer)
            self._buffer = self._buffer[ends.end() :].lstrip() if ends else self._buffer[-_LONGEST_TAG:]
            self._reasoning = not ends
        self._answering = not self._reasoning and bool(self._buffer)
        return self._buffer if self._answering else ""

    def end(self) -> str:
        """End the reply; returns text held back because it might have been the start of a tag."""
        return "" if self._answering or self._reasoning else self._buffer


def without_reasoning(text: str) -> str:
    """A reply without the reasoning before it; empty while that has not ended."""
    reply = ReasoningFilter()
    return reply.add(text) + reply.end()
