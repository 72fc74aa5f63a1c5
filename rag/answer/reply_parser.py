"""What a language model writes → plain sentences, each with the marks it cites; read as it arrives.

Time and memory grow with the length of what arrives: text is read once, and only what may still change is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from rag.language.segment import is_ended, sentence_ends
from rag.models.reasoning import ReasoningFilter

_LETTERS = "bcdfghjkmnpqrstvwxz"
"""No vowels, so that a mark is no word."""
_LONGEST_HELD = 600
"""Characters that are held back while they may still become a mark or markup; more than the longest of those."""
_SURE = 12
"""Characters of the next sentence from which on it is clear that the one before has ended."""
LONGEST_SENTENCE = 2_000
"""Characters; what is longer is no sentence, and is cut."""
_STEP = 500
"""Characters read at once."""
_GROUP = re.compile(r"[\[【]([^\[\]【】\n]{1,60})[\]】]")
_CITES = re.compile(
    r"\W*+(?:(?i:passages?|sources?|refs?|marks?|cite|p)\b\W*+)?[a-z]{0,3}\d{1,4}(?:\W++[a-z]{0,3}\d{1,4})*+\W*+"
)
_LINK = re.compile(r"\[([^\[\]\n]{0,200})\]\([^()\n]{0,300}\)")
_PART_OF_A_LINK = re.compile(r"\[[^\[\]\n]{0,200}(?:\](?:\([^()\n]{0,300})?)?\Z|【[^\[\]【】\n]{0,60}\Z")
_LINK_CUT = re.compile(r"(?<=\])\([^()\n]*\Z")
_IMAGE = re.compile(r"!\[[^\[\]\n]{0,200}\](?:\([^()\n]{0,300}\))?")
_PART_OF_AN_IMAGE = re.compile(r"!(?:\[[^\[\]\n]{0,200}(?:\](?:\([^()\n]{0,300})?)?)?\Z")
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]{0,300}>")
_PART_OF_A_TAG = re.compile(r"<(?:[/!a-zA-Z?][^<>]{0,300})?\Z")
_BEGINS_A_LINE = re.compile(r"#{1,6}(?=[ \t])|>|[-*•–](?=[ \t])|\d{1,2}[.)](?=[ \t])")
_MAY_BEGIN_A_LINE = re.compile(r"(?:#{1,6}|[-*•–]|\d{1,2}[.)]?)\Z")
_WAIT = -1
"""Instead of a place in the text: more of it has to arrive."""
_FIRST_SIGN = 0xF0000
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U0010ffff]"
)
"""Controls, what hides or turns around what stands beside it, and characters that have no meaning of their own."""
_EMPTY = re.compile(r"\(\s*+(?:[,;]\s*+)?\)|(?<=\()\s*+[,;]")
_BEFORE_A_POINT = re.compile(r"(?<!\s)\s++(?=[.,;:!?…](?:\s|$))")


@dataclass(frozen=True, slots=True)
class ParsedSentence:
    """A sentence of a model, without its marks; `marks` are the known ones among them, in order."""

    text: str
    marks: tuple[str, ...] = ()


def labels_for(number: int, texts: Sequence[str]) -> list[str]:
    """So many marks, which stand in none of the texts: no text can cite another one."""
    told = "\n".join(texts).lower()
    pairs = ("".join(pair) for pair in product(_LETTERS, repeat=2))
    letters = next(pair for pair in pairs if not re.search(rf"\b{pair}\d*\b", told))
    return [f"{letters}{n}" for n in range(1, number + 1)]


@dataclass(slots=True)
class _Clearing:
    """Takes marks and markup out of a reply as it arrives; a known mark becomes a sign, one character of no meaning."""

    marks: Sequence[str]
    _held: str = ""
    _comment: bool = False
    _line_begins: bool = True
    _space: bool = False
    _gap: bool = False
    _last: str = "\n"
    _out: list[str] = field(default_factory=list)
    _bare: re.Pattern[str] = field(init=False)
    _alone: re.Pattern[str] = field(init=False)
    _part: re.Pattern[str] = field(init=False)
    _special: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = re.escape(self.marks[0].rstrip("0123456789"))
        self._bare = re.compile(rf"\b{letters}\d{{1,6}}\b", re.IGNORECASE)
        # Without a look at what stands before it, which may be emphasis; behind it may stand the end of that.
        self._alone = re.compile(rf"{letters}\d{{1,6}}(?![^\W_]|_{{1,3}}[^\W_])", re.IGNORECASE)
        self._part = re.compile(rf"(?:{letters[0]}|{letters}\d{{0,6}}_{{0,3}})\Z", re.IGNORECASE)
        self._special = re.compile(rf"[ \t\n<!\[【*_~`]|\b{letters[0]}", re.IGNORECASE)

    def add(self, piece: str, *, final: bool = False) -> str:
        """What is clear with this piece; with a `final` one, all that is left."""
        text, self._held, at = self._held + _HIDDEN.sub("", piece), "", 0
        while at < len(text):
            waits = not final and len(text) - at <= _LONGEST_HELD
            text, end = self._read(text, at, waits)
            if end == _WAIT:
                self._held = text[at:]
                break
            at = end
        told, self._out = "".join(self._out), []
        return told

    def forget_brackets(self) -> None:
        """What was held back as a part of a mark, a link or a tag is that: there is no more of it."""
        if self._held[:1] in {"[", "【", "<"}:
            self._held = ""

    def _read(self, text: str, at: int, waits: bool) -> tuple[str, int]:
        """The text, of which a link may have become its words, and how far it is read, or _WAIT."""
        if self._comment:
            return text, self._hidden(text, at, waits)
        if self._line_begins and not text[at].isspace():
            if waits and _MAY_BEGIN_A_LINE.match(text, at):
                return text, _WAIT
            self._line_begins = False
            if found := _BEGINS_A_LINE.match(text, at):
                return text, found.end()
        if text[at] in "[【":
            return self._brackets(text, at, waits)
        readers: dict[str, Callable[[str, int, bool], int]] = {"<": self._tag, "!": self._image}
        readers |= {**dict.fromkeys("*_~`", self._emphasis), **dict.fromkeys(" \t\n", self._white)}
        return text, readers.get(text[at], self._words)(text, at, waits)

    def _say(self, words: str) -> int:
        """Put out words that are no markup; how many characters they are."""
        if self._space or (self._gap and words[0].isalnum()):
            self._out.append(" ")
        self._out.append(words)
        self._space = self._gap = False
        self._last = words[-1]
        return len(words)

    def _hidden(self, text: str, at: int, waits: bool) -> int:
        """A part of a comment."""
        end = text.find("-->", at)
        self._comment = end < 0
        if end >= 0:
            return end + 3
        return _WAIT if waits and len(text) - at < 3 else max(at + 1, len(text) - 2)

    def _white(self, text: str, at: int, waits: bool) -> int:  # noqa: ARG002 - as the others
        if text[at] != "\n":
            self._space = not self._line_begins
            return at + 1
        if self._last != "\n":
            self._out.append("\n")
            self._last = "\n"
        self._space, self._line_begins = False, True
        return at + 1

    def _tag(self, text: str, at: int, waits: bool) -> int:
        if text.startswith("<!--", at):
            self._comment = True
            return at + 4
        if found := _TAG.match(text, at):
            return found.end()
        if part := _PART_OF_A_TAG.match(text, at):
            if waits:
                return _WAIT
            if len(part[0]) > 1:
                return part.end()
        return at + self._say("<")

    def _image(self, text: str, at: int, waits: bool) -> int:
        part = _PART_OF_AN_IMAGE.match(text, at)
        if part and waits:
            return _WAIT
        if found := _IMAGE.match(text, at):
            cut = _LINK_CUT.match(text, found.end())
            return cut.end() if cut else found.end()
        return part.end() if part and len(part[0]) > 1 else at + self._say("!")

    def _brackets(self, text: str, at: int, waits: bool) -> tuple[str, int]:
        """Marks in brackets, a link, of which the words are read on, or brackets that mean nothing."""
        if waits and _PART_OF_A_LINK.match(text, at):
            return text, _WAIT
        if link := _LINK.match(text, at):
            return link[1] + text[link.end() :], 0
        group = _GROUP.match(text, at)
        if group and self._cites(group[1]):
            cut = _LINK_CUT.match(text, group.end()) if text[at] == "[" else None
            return text, cut.end() if cut else group.end()
        return text, at + self._say(text[at])

    def _cites(self, inside: str) -> bool:
        """Are these marks? Known ones are put out as signs."""
        known = [self._sign(found[0]) for found in self._bare.finditer(inside)]
        if any(known) or _CITES.fullmatch(inside):
            self._mark("".join(known))
            return True
        return False

    def _sign(self, mark: str) -> str:
        return chr(_FIRST_SIGN + self.marks.index(mark.lower())) if mark.lower() in self.marks else ""

    def _mark(self, signs: str) -> None:
        """Instead of a mark, and of the space before it."""
        self._space, self._gap = False, True
        if signs:
            self._out.append(signs)
            self._last = signs[-1]

    def _emphasis(self, text: str, at: int, waits: bool) -> int:
        character, end = text[at], at
        while end < len(text) and text[end] == character:
            end += 1
        if waits and end == len(text) and character != "`":
            return _WAIT
        single = character != "`" and (end - at) % 2
        if single and not (character in "*_" and self._emphasises(text[end : end + 1])):
            self._say(character)
        return end

    def _emphasises(self, after: str) -> bool:
        """Does a single sign between the last character and this one begin or end emphasis?"""
        before = " " if self._space or self._gap else self._last
        begins = not _is_word(before) and bool(after.strip())
        return begins or (bool(before.strip()) and not _is_word(after))

    def _words(self, text: str, at: int, waits: bool) -> int:
        """Words up to what may be markup; a mark among them without its brackets."""
        first = self._space or self._gap or not _is_word(self._last)
        if first:
            if waits and self._part.match(text, at):
                return _WAIT
            if found := self._alone.match(text, at):
                self._mark(self._sign(found[0]))
                return found.end()
        ahead = self._special.search(text, at + 1)
        return at + self._say(text[at : ahead.start() if ahead else len(text)])


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


@dataclass(slots=True)
class ReplyParser:
    """Reads pieces of a reply whose passages have these marks.

    Known marks are taken out of the text and told with their sentence; whatever else looks like one is dropped, as are
    thoughts, markup, links and pictures.
    """

    marks: Sequence[str]
    _spoken: ReasoningFilter = field(default_factory=ReasoningFilter)
    _clearing: _Clearing = field(init=False)
    _text: str = ""
    _signs: list[tuple[int, int]] = field(default_factory=list)
    _found: list[_Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clearing = _Clearing(self.marks)

    def add(self, piece: str) -> list[ParsedSentence]:
        """The sentences that are complete with it."""
        told: list[ParsedSentence] = []
        for start in range(0, len(piece), _STEP):
            self._append(self._clearing.add(self._spoken.add(piece[start : start + _STEP])))
            self._found = _sentences(self._text)
            if not self._text.strip():  # marks alone lead whatever comes
                self._text, self._signs = "", [(0, sign) for sign in dict.fromkeys(sign for _, sign in self._signs)]
            elif len(self._text) > LONGEST_SENTENCE:
                told += self._tell(len(self._found))
                self._text, self._signs, self._found = "", [], []
            else:
                told += self._tell(sum(map(self._is_over, self._found, self._found[1:])))
        return told

    def end(self) -> list[ParsedSentence]:
        """The sentences that are left."""
        self._finish()
        return self._tell(len(self._found))

    def cut(self) -> list[ParsedSentence]:
        """The sentences that are left of a reply that was cut off, without an unfinished one, which is `pending`."""
        self._clearing.forget_brackets()
        self._finish()
        ended = bool(self._found) and is_ended(self._text[: self._found[-1].end])
        return self._tell(len(self._found) - (not ended))

    @property
    def pending(self) -> str:
        """What is there of the next sentence, without what may still become a mark; none of the one after it."""
        first = self._found[0] if self._found else _Found(0, 0, new_line=True)
        return _plain(self._text[first.start : first.end])

    def _finish(self) -> None:
        self._append(self._clearing.add(self._spoken.end(), final=True))
        self._found = _sentences(self._text)

    def _is_over(self, sentence: _Found, following: _Found) -> bool:
        """Has a sentence ended for sure? Behind an abbreviation it may go on."""
        return following.new_line or len(self._text[sentence.end :].strip()) >= _SURE

    def _append(self, cleared: str) -> None:
        for character in cleared:
            if ord(character) >= _FIRST_SIGN:
                self._signs.append((len(self._text), ord(character) - _FIRST_SIGN))
            else:
                self._text += character

    def _tell(self, number: int) -> list[ParsedSentence]:
        """The first so many sentences, which are then forgotten."""
        if number <= 0:
            return []
        tellable, end = self._found[:number], self._found[number - 1].end
        owned = list(_owned(self._text, self._found, self._signs))
        told = []
        for sentence in tellable:
            own = [sign for owner, (_, sign) in owned if owner is sentence]
            told.append(ParsedSentence(_plain(self._text[sentence.start : sentence.end]), _named(own, self.marks)))
        self._signs = [(max(place - end, 0), sign) for owner, (place, sign) in owned if owner not in tellable]
        self._text = self._text[end:]
        self._found = _sentences(self._text)
        return [written for written in told if any(map(str.isalnum, written.text))]


@dataclass(frozen=True, slots=True)
class _Found:
    """A sentence's place in a text, up to where the next one begins, and whether it begins a line."""

    start: int
    end: int
    new_line: bool


def _sentences(text: str) -> list[_Found]:
    found: list[_Found] = []
    start = 0
    for line in text.splitlines(keepends=True):
        new_line = True
        for first, last in pairwise([0, *(sentence_ends(line) if line.strip() else [len(line)])]):
            if line[first:last].strip(" \t\n.,;:()"):
                found.append(_Found(start + first, start + last, new_line))
                new_line = False
            elif found:
                found[-1] = _Found(found[-1].start, start + last, found[-1].new_line)
        start += len(line)
    return found


def _owned(
    text: str, found: Sequence[_Found], signs: Sequence[tuple[int, int]]
) -> Iterator[tuple[_Found, tuple[int, int]]]:
    """Each mark with the sentence it belongs to: the one before it, unless it begins a line with text in it."""
    for place, sign in signs:
        before = [sentence for sentence in found if sentence.start < place]
        behind = [sentence for sentence in found if sentence.start >= place]
        begins = text[:place].rpartition("\n")[2].strip() == ""
        leads = behind and "\n" not in text[place : behind[0].start].strip(" ") and begins
        if before and not leads:
            yield before[-1], (place, sign)
        elif behind:
            yield behind[0], (place, sign)


def _named(numbers: Iterable[int], marks: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(marks[number] for number in numbers))


def _plain(text: str) -> str:
    return " ".join(_BEFORE_A_POINT.sub("", " ".join(_EMPTY.sub("", text).split())).split())
