"""What a language model writes → plain sentences, each with the marks it cites; read as it arrives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, product
from typing import Self

from sentencex import get_sentence_boundaries

_LETTERS = "bcdfghjkmnpqrstvwxz"
"""No vowels, so that a mark is no word."""
_LONGEST_HELD = 300
"""Characters that are held back while they may still become a mark or markup."""
_SURE = 12
"""Characters of the next sentence from which on it is clear that the one before has ended."""
_GROUP = re.compile(r"[ \t]*[\[【]([^\[\]【】\n]{1,60})[\]】](?!\([^()\n]*\))")
_CITES = re.compile(
    r"\W*(?:(?i:passages?|sources?|refs?|marks?|cite|p)\b)?\W*[a-z]{0,3}\d{1,4}(?:\W+[a-z]{0,3}\d{1,4})*\W*"
)
_HELD = re.compile(
    rf"(?:[ \t]*[\[【][^\[\]【】\n]{{0,60}}|!?\[[^\[\]\n]{{0,200}}\](?:\([^()\n]{{0,{_LONGEST_HELD}}})?"
    rf"|<(?:[/!a-zA-Z?][^<>]{{0,{_LONGEST_HELD}}})?|!|[*_`~#]+|(?<=\n)>|(?<=\n)[ \t]*(?:[-*•–]|\d{{1,2}}[.)]?)?[ \t]*)$"
)
_BROKEN_OFF = re.compile(r"(?:<[/!a-zA-Z][^<>]*|!\[[^\[\]\n]*(?:\](?:\([^()\n]*)?)?|(?<=\])\([^()\n]*)\Z")
"""Markup that the end of a text has cut."""
_THOUGHT = re.compile(r"\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARKUP = (
    (re.compile(r"<!--.*?(?:-->|$)", re.DOTALL), ""),
    (re.compile(r"</?[a-zA-Z!?][^<>]*>"), ""),
    (re.compile(r"!\[[^\[\]\n]*\](?:\([^()\n]*\))?"), ""),
    (re.compile(r"\[([^\[\]\n]*)\]\([^()\n]*\)"), r"\1"),
    (re.compile(r"(?<=\n)[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*•–][ \t]+|\d{1,2}[.)][ \t]+)"), ""),
    (re.compile(r"\*\*|__|~~|`+"), ""),
    (re.compile(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)"), ""),
)
_FIRST_SIGN = 0xF0000
_SIGN = re.compile(r"[\U000f0000-\U000ffffd]")
"""One character of no meaning for each known mark, while the text around it is cleared."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U0010ffff]"
)
"""Controls, what hides or turns around what stands beside it, and characters that have no meaning of their own."""
_SPACES = re.compile(r"[ \t]+")
_EMPTY = re.compile(r"\(\s*[,;]?\s*\)|(?<=\()\s*[,;]")
_BEFORE_A_POINT = re.compile(r"\s+(?=[.,;:!?…](?:\s|$))")


@dataclass(frozen=True, slots=True)
class Written:
    """A sentence of a model, without its marks; `marks` are the known ones among them, in order."""

    text: str
    marks: tuple[str, ...] = ()


def marks_for(number: int, texts: Sequence[str]) -> list[str]:
    """So many marks, which stand in none of the texts: no text can cite another one."""
    told = "\n".join(texts).lower()
    pairs = ("".join(pair) for pair in product(_LETTERS, repeat=2))
    letters = next(pair for pair in pairs if not re.search(rf"\b{pair}\d*\b", told))
    return [f"{letters}{n}" for n in range(1, number + 1)]


@dataclass(slots=True)
class Reading:
    """Reads pieces of a reply whose passages have these marks.

    Known marks are taken out of the text and told with their sentence; whatever else looks like one is dropped, as are
    thoughts, markup, links and pictures.
    """

    marks: Sequence[str]
    _raw: str = ""
    _told: int = 0
    _marks_told: int = 0
    _clear: _Clear = field(init=False)
    _bare: re.Pattern[str] = field(init=False)
    _part: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self._clear = _Clear.of("")
        letters = re.escape(self.marks[0].rstrip("0123456789"))
        self._bare = re.compile(rf"[ \t]*\b{letters}\d+\b", re.IGNORECASE)
        self._part = re.compile(rf"[ \t]*\b(?:{letters[0]}|{letters}\d*)$", re.IGNORECASE)

    def add(self, piece: str) -> list[Written]:
        """The sentences that are complete with it."""
        narrow = _SPACES.sub(" ", _HIDDEN.sub("", piece))  # patterns take long over long runs of space
        self._raw += narrow.lstrip(" ") if self._raw.endswith(" ") else narrow
        clear = self._clear = self._cleared(held=True)
        found = _sentences(clear, self._told)
        sure = found and (found[-1].new_line or len(clear.text[found[-1].start :].strip()) >= _SURE)
        return self._tell(clear, found, len(found) - 1) if sure else []

    def end(self) -> list[Written]:
        """The sentences that are left."""
        clear = self._cleared(held=False)
        found = _sentences(clear, self._told)
        return self._tell(clear, found, len(found))

    @property
    def pending(self) -> str:
        """What is there of the next sentence, without what may still become a mark; none of the one after it."""
        found = _sentences(self._clear, self._told)
        return _plain(self._clear.text[found[0].start : found[0].end]) if found else ""

    def _tell(self, clear: _Clear, found: Sequence[_Found], number: int) -> list[Written]:
        """The first so many of them."""
        owned = list(_owned(clear, found, self._marks_told))
        told = []
        for sentence in found[:number]:
            own = [mark for owner, mark in owned if owner is sentence]
            told.append(Written(_plain(clear.text[sentence.start : sentence.end]), _named(own, self.marks)))
            self._told, self._marks_told = sentence.end, self._marks_told + len(own)
        return [written for written in told if written.text]

    def _cleared(self, *, held: bool) -> _Clear:
        text = "\n" + without_thoughts(self._raw)
        text = self._part.sub("", _HELD.sub("", text)) if held else _BROKEN_OFF.sub("", text)
        text = self._bare.sub(self._sign, _GROUP.sub(self._signs, text))
        for pattern, instead in _MARKUP:
            text = pattern.sub(instead, text)
        return _Clear.of(text)

    def _signs(self, found: re.Match[str]) -> str:
        known = "".join(map(self._sign, self._bare.finditer(found[1])))
        gap = " " * found.string[found.end() : found.end() + 1].isalnum()
        return known + gap if known or _CITES.fullmatch(found[1]) else found[0]

    def _sign(self, found: re.Match[str]) -> str:
        mark = found[0].strip().lower()
        return chr(_FIRST_SIGN + self.marks.index(mark)) if mark in self.marks else ""


@dataclass(frozen=True, slots=True)
class _Clear:
    """Text without thoughts, markup and marks, and where in it each known mark stood: its place, and its number."""

    text: str
    marks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, signed: str) -> Self:
        """Of a text with one character for each mark."""
        pieces = _SIGN.split(signed)
        places = accumulate(map(len, pieces))
        return cls(
            "".join(pieces), tuple(zip(places, (ord(s) - _FIRST_SIGN for s in _SIGN.findall(signed)), strict=False))
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A sentence's place in a text, up to where the next one begins, and whether it begins a line."""

    start: int
    end: int
    new_line: bool


def _sentences(clear: _Clear, start: int) -> list[_Found]:
    found: list[_Found] = []
    for line in clear.text[start:].splitlines(keepends=True):
        new_line = True
        for boundary in get_sentence_boundaries("en", line):
            end = start + boundary["end_index"] - boundary["start_index"]
            if clear.text[start:end].strip(" \t\n.,;:()"):
                found.append(_Found(start, end, new_line))
                new_line = False
            elif found:
                found[-1] = replace(found[-1], end=end)
            start = end
    return found


def _owned(clear: _Clear, found: Sequence[_Found], after: int) -> Iterator[tuple[_Found, int]]:
    """Each mark with the sentence it belongs to: the one before it, unless it begins a line with text in it."""
    for place, number in clear.marks[after:]:
        before = [sentence for sentence in found if sentence.start < place]
        behind = [sentence for sentence in found if sentence.start >= place]
        begins = clear.text[:place].rpartition("\n")[2].strip() == ""
        leads = behind and "\n" not in clear.text[place : behind[0].start].strip(" ") and begins
        if before and not leads:
            yield before[-1], number
        elif behind:
            yield behind[0], number


def _named(numbers: Iterable[int], marks: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(marks[number] for number in numbers))


def without_thoughts(text: str) -> str:
    """A reply without what a model thinks before it, which some servers leave in it; empty as long as it thinks."""
    return _THOUGHT.sub("", text, count=1).lstrip() if text.lstrip()[:6].lower() == "<think" else text


def _plain(text: str) -> str:
    return " ".join(_BEFORE_A_POINT.sub("", " ".join(_EMPTY.sub("", text).split())).split())
