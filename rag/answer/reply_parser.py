"""Parse a language model's reply, while it streams in, into plain sentences with the citation labels of each.

Every piece of the reply passes three stages:

1. `ReasoningFilter` drops the model's reasoning (`<think>…</think>`).
2. `_MarkupFilter` drops Markdown, HTML, links and images, and replaces each known label (`[bc3]`) by a placeholder, one
   private-use character. What may still become a label or markup is held back until it is decided. Its states:
       in a comment       drop everything up to `-->`
       at a line start    also drop a heading's or list's marker
       in a line          dispatch on the next character: white space, bracket, tag, image, emphasis, or else words
3. `ReplyParser` splits the clean text into sentences. A sentence is returned once the next one has clearly begun, with
   the labels whose placeholders belong to it: those behind it, or those that begin its line.

Time and memory are linear in the length of the reply: text is read once, and only what may still change is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from rag.language.segment import is_ended, sentence_ends
from rag.models.reasoning import ReasoningFilter

LONGEST_SENTENCE = 2_000
"""Characters; a longer text without an end is cut."""
_LETTERS = "bcdfghjkmnpqrstvwxz"
"""Letters of labels: no vowels, so that a label is no word."""
_LONGEST_HELD = 600
"""Characters held back while they may still become a label or markup; more than the longest of those."""
_SURE = 12
"""Characters of the next sentence from which on the one before is complete."""
_STEP = 500
"""Characters parsed at once."""
_GROUP = re.compile(r"[\[【]([^\[\]【】\n]{1,60})[\]】]")
_CITES = re.compile(
    r"\W*+(?:(?i:passages?|sources?|refs?|marks?|cite|p)\b\W*+)?[a-z]{0,3}\d{1,4}(?:\W++[a-z]{0,3}\d{1,4})*+\W*+"
)
"""The content of brackets that cite something, by a known label or an invalid number."""
_LINK = re.compile(r"\[([^\[\]\n]{0,200})\]\([^()\n]{0,300}\)")
_PARTIAL_LINK = re.compile(r"\[[^\[\]\n]{0,200}(?:\](?:\([^()\n]{0,300})?)?\Z|【[^\[\]【】\n]{0,60}\Z")
_CUT_TARGET = re.compile(r"(?<=\])\([^()\n]*\Z")
"""The target of a link that was cut off."""
_IMAGE = re.compile(r"!\[[^\[\]\n]{0,200}\](?:\([^()\n]{0,300}\))?")
_PARTIAL_IMAGE = re.compile(r"!(?:\[[^\[\]\n]{0,200}(?:\](?:\([^()\n]{0,300})?)?)?\Z")
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]{0,300}>")
_PARTIAL_TAG = re.compile(r"<(?:[/!a-zA-Z?][^<>]{0,300})?\Z")
_LINE_MARKER = re.compile(r"#{1,6}(?=[ \t])|>|[-*•–](?=[ \t])|\d{1,2}[.)](?=[ \t])")
_PARTIAL_LINE_MARKER = re.compile(r"(?:#{1,6}|[-*•–]|\d{1,2}[.)]?)\Z")
_WAIT = -1
"""Returned in place of an offset: more text has to arrive."""
_FIRST_PLACEHOLDER = 0xF0000
"""The placeholder of the first label; those of the others follow."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U0010ffff]"
)
"""Control characters, characters that hide or reorder text, and private-use ones, among them the placeholders."""
_EMPTY_PARENTHESES = re.compile(r"\(\s*+(?:[,;]\s*+)?\)|(?<=\()\s*+[,;]")
_SPACE_BEFORE_POINT = re.compile(r"(?<!\s)\s++(?=[.,;:!?…](?:\s|$))")


@dataclass(frozen=True, slots=True)
class ParsedSentence:
    """A sentence without its citation labels; `labels` are the known ones among them, in order."""

    text: str
    labels: tuple[str, ...] = ()


def labels_for(number: int, texts: Sequence[str]) -> list[str]:
    """So many citation labels that occur in none of the texts, so that no text can imitate a citation."""
    joined = "\n".join(texts).lower()
    pairs = ("".join(pair) for pair in product(_LETTERS, repeat=2))
    letters = next(pair for pair in pairs if not re.search(rf"\b{pair}\d*\b", joined))
    return [f"{letters}{n}" for n in range(1, number + 1)]


@dataclass(slots=True)
class _MarkupFilter:
    """Removes markup from a reply as it arrives, and replaces known labels by placeholders.

    The methods that read take a text, an offset, and whether more text may arrive. They output what is plain text and
    return the offset up to which they have read, or _WAIT.
    """

    labels: Sequence[str]
    _held: str = ""
    _in_comment: bool = False
    _at_line_start: bool = True
    _owes_space: bool = False
    """White space was read; it is output before the next word."""
    _after_label: bool = False
    """A label was removed; the next word is separated from the last one by a space."""
    _last: str = "\n"
    """The last character of the output."""
    _out: list[str] = field(default_factory=list)
    _any_label: re.Pattern[str] = field(init=False)
    _bare_label: re.Pattern[str] = field(init=False)
    _partial_label: re.Pattern[str] = field(init=False)
    _may_be_markup: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = re.escape(self.labels[0].rstrip("0123456789"))
        self._any_label = re.compile(rf"\b{letters}\d{{1,6}}\b", re.IGNORECASE)
        # Emphasis may stand before a label, so there is no look-behind; behind it may stand the end of the emphasis.
        self._bare_label = re.compile(rf"{letters}\d{{1,6}}(?![^\W_]|_{{1,3}}[^\W_])", re.IGNORECASE)
        self._partial_label = re.compile(rf"(?:{letters[0]}|{letters}\d{{0,6}}_{{0,3}})\Z", re.IGNORECASE)
        self._may_be_markup = re.compile(rf"[ \t\n<!\[【*_~`]|\b{letters[0]}", re.IGNORECASE)

    def add(self, piece: str, *, final: bool = False) -> str:
        """The clean text up to this piece that was not returned before; with a `final` one, all that is left."""
        text, self._held, at = self._held + _INVISIBLE.sub("", piece), "", 0
        while at < len(text):
            waits = not final and len(text) - at <= _LONGEST_HELD
            text, end = self._read(text, at, waits)
            if end == _WAIT:
                self._held = text[at:]
                break
            at = end
        clean, self._out = "".join(self._out), []
        return clean

    def drop_partial_markup(self) -> None:
        """Drop what was held back as the beginning of a label, a link or a tag: the reply was cut off."""
        if self._held[:1] in {"[", "【", "<"}:
            self._held = ""

    def _read(self, text: str, at: int, waits: bool) -> tuple[str, int]:
        """Read one token; returns the text, in which a link may have been replaced by its words, and the offset."""
        if self._in_comment:
            return text, self._comment(text, at, waits)
        if self._at_line_start and not text[at].isspace():
            if waits and _PARTIAL_LINE_MARKER.match(text, at):
                return text, _WAIT
            self._at_line_start = False
            if marker := _LINE_MARKER.match(text, at):
                return text, marker.end()
        if text[at] in "[【":
            return self._brackets(text, at, waits)
        if text[at] in " \t\n":
            return text, self._white_space(text, at)
        read = self._tag_or_image if text[at] in "<!" else self._emphasis if text[at] in "*_~`" else self._words
        return text, read(text, at, waits)

    def _put(self, words: str) -> int:
        """Output plain text; returns its length."""
        if self._owes_space or (self._after_label and words[0].isalnum()):
            self._out.append(" ")
        self._out.append(words)
        self._owes_space = self._after_label = False
        self._last = words[-1]
        return len(words)

    def _put_label(self, placeholders: str) -> None:
        """Output placeholders in place of a label and of the space before it."""
        self._owes_space, self._after_label = False, True
        if placeholders:
            self._out.append(placeholders)
            self._last = placeholders[-1]

    def _comment(self, text: str, at: int, waits: bool) -> int:
        end = text.find("-->", at)
        self._in_comment = end < 0
        if end >= 0:
            return end + 3
        return _WAIT if waits and len(text) - at < 3 else max(at + 1, len(text) - 2)

    def _white_space(self, text: str, at: int) -> int:
        if text[at] != "\n":
            self._owes_space = not self._at_line_start
            return at + 1
        if self._last != "\n":
            self._out.append("\n")
            self._last = "\n"
        self._owes_space, self._at_line_start = False, True
        return at + 1

    def _tag_or_image(self, text: str, at: int, waits: bool) -> int:
        if text.startswith("<!--", at):
            self._in_comment = True
            return at + 4
        complete, partial = (_TAG, _PARTIAL_TAG) if text[at] == "<" else (_IMAGE, _PARTIAL_IMAGE)
        part = partial.match(text, at)
        if part and waits:
            return _WAIT
        if markup := complete.match(text, at):
            return (_CUT_TARGET.match(text, markup.end()) or markup).end()
        return part.end() if part and len(part[0]) > 1 else at + self._put(text[at])

    def _brackets(self, text: str, at: int, waits: bool) -> tuple[str, int]:
        """Labels in brackets, a link, whose words are read next, or plain brackets."""
        if waits and _PARTIAL_LINK.match(text, at):
            return text, _WAIT
        if link := _LINK.match(text, at):
            return link[1] + text[link.end() :], 0
        if group := _GROUP.match(text, at):
            known = "".join(self._placeholder(label[0]) for label in self._any_label.finditer(group[1]))
            if known or _CITES.fullmatch(group[1]):
                self._put_label(known)
                cut = _CUT_TARGET.match(text, group.end()) if text[at] == "[" else None
                return text, (cut or group).end()
        return text, at + self._put(text[at])

    def _placeholder(self, label: str) -> str:
        return chr(_FIRST_PLACEHOLDER + self.labels.index(label.lower())) if label.lower() in self.labels else ""

    def _emphasis(self, text: str, at: int, waits: bool) -> int:
        character, end = text[at], at
        while end < len(text) and text[end] == character:
            end += 1
        if waits and end == len(text) and character != "`":
            return _WAIT
        is_single = character != "`" and (end - at) % 2
        if is_single and not (character in "*_" and self._is_emphasis(text[end : end + 1])):
            self._put(character)
        return end

    def _is_emphasis(self, after: str) -> bool:
        """Whether a single sign between the last character and the one `after` it begins or ends emphasis."""
        before = " " if self._owes_space or self._after_label else self._last
        begins = not _is_word(before) and bool(after.strip())
        return begins or (bool(before.strip()) and not _is_word(after))

    def _words(self, text: str, at: int, waits: bool) -> int:
        """Words up to the next possible markup, or a label without brackets."""
        if self._owes_space or self._after_label or not _is_word(self._last):
            if waits and self._partial_label.match(text, at):
                return _WAIT
            if label := self._bare_label.match(text, at):
                self._put_label(self._placeholder(label[0]))
                return label.end()
        ahead = self._may_be_markup.search(text, at + 1)
        return at + self._put(text[at : ahead.start() if ahead else len(text)])


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


@dataclass(slots=True)
class ReplyParser:
    """Parses the pieces of a reply to a prompt whose passages have these labels.

    Known labels are removed from the text and returned with their sentence; unknown ones are dropped, as are reasoning,
    markup, links and images.
    """

    labels: Sequence[str]
    _reasoning: ReasoningFilter = field(default_factory=ReasoningFilter)
    _markup: _MarkupFilter = field(init=False)
    _text: str = ""
    """Clean text of the sentences that were not returned yet."""
    _cited: list[tuple[int, int]] = field(default_factory=list)
    """Offset in the text and number of each label."""
    _sentences: list[_SentenceSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._markup = _MarkupFilter(self.labels)

    def add(self, piece: str) -> list[ParsedSentence]:
        """The sentences that are complete with this piece."""
        complete: list[ParsedSentence] = []
        for start in range(0, len(piece), _STEP):
            self._append(self._markup.add(self._reasoning.add(piece[start : start + _STEP])))
            if not self._text.strip():  # labels alone belong to the sentence that follows
                self._text, self._cited = "", [(0, label) for label in dict.fromkeys(label for _, label in self._cited)]
            elif len(self._text) > LONGEST_SENTENCE:
                complete += self._take(len(self._sentences))
                self._text, self._cited, self._sentences = "", [], []
            else:
                complete += self._take(sum(map(self._is_complete, self._sentences, self._sentences[1:])))
        return complete

    def end(self) -> list[ParsedSentence]:
        """The remaining sentences of a reply that has ended."""
        self._finish()
        return self._take(len(self._sentences))

    def cut(self) -> list[ParsedSentence]:
        """The remaining sentences of a reply that was cut off; an unfinished one stays `pending`."""
        self._markup.drop_partial_markup()
        self._finish()
        is_finished = bool(self._sentences) and is_ended(self._text[: self._sentences[-1].end])
        return self._take(len(self._sentences) - (not is_finished))

    @property
    def pending(self) -> str:
        """The beginning of the next sentence, without what may still become a label."""
        first = self._sentences[0] if self._sentences else _SentenceSpan(0, 0, new_line=True)
        return _plain(self._text[first.start : first.end])

    def _finish(self) -> None:
        self._append(self._markup.add(self._reasoning.end(), final=True))

    def _is_complete(self, sentence: _SentenceSpan, following: _SentenceSpan) -> bool:
        """Whether a sentence has certainly ended; after an abbreviation it may go on."""
        return following.new_line or len(self._text[sentence.end :].strip()) >= _SURE

    def _append(self, clean: str) -> None:
        for character in clean:
            if ord(character) >= _FIRST_PLACEHOLDER:
                self._cited.append((len(self._text), ord(character) - _FIRST_PLACEHOLDER))
            else:
                self._text += character
        self._sentences = _sentence_spans(self._text)

    def _take(self, number: int) -> list[ParsedSentence]:
        """Remove the first `number` sentences from the text and return them with their labels."""
        if number <= 0:
            return []
        taken, end = self._sentences[:number], self._sentences[number - 1].end
        owned = list(_owners(self._text, self._sentences, self._cited))
        parsed = []
        for sentence in taken:
            own = dict.fromkeys(self.labels[label] for owner, _, label in owned if owner is sentence)
            parsed.append(ParsedSentence(_plain(self._text[sentence.start : sentence.end]), tuple(own)))
        self._cited = [(max(place - end, 0), label) for owner, place, label in owned if owner not in taken]
        self._text = self._text[end:]
        self._sentences = _sentence_spans(self._text)
        return [sentence for sentence in parsed if any(map(str.isalnum, sentence.text))]


@dataclass(frozen=True, slots=True)
class _SentenceSpan:
    """A sentence's place in a text, up to where the next one begins, and whether it begins a line."""

    start: int
    end: int
    new_line: bool


def _sentence_spans(text: str) -> list[_SentenceSpan]:
    spans: list[_SentenceSpan] = []
    start = 0
    for line in text.splitlines(keepends=True):
        new_line = True
        for first, last in pairwise([0, *(sentence_ends(line) if line.strip() else [len(line)])]):
            if line[first:last].strip(" \t\n.,;:()"):
                spans.append(_SentenceSpan(start + first, start + last, new_line))
                new_line = False
            elif spans:
                spans[-1] = _SentenceSpan(spans[-1].start, start + last, spans[-1].new_line)
        start += len(line)
    return spans


def _owners(
    text: str, sentences: Sequence[_SentenceSpan], cited: Sequence[tuple[int, int]]
) -> Iterator[tuple[_SentenceSpan, int, int]]:
    """Sentence, place and number of each label; a label belongs to the sentence before it unless it begins a line."""
    for place, label in cited:
        before = [sentence for sentence in sentences if sentence.start < place]
        behind = [sentence for sentence in sentences if sentence.start >= place]
        begins_line = text[:place].rpartition("\n")[2].strip() == ""
        leads = behind and "\n" not in text[place : behind[0].start].strip(" ") and begins_line
        if before and not leads:
            yield before[-1], place, label
        elif behind:
            yield behind[0], place, label


def _plain(text: str) -> str:
    return " ".join(_SPACE_BEFORE_POINT.sub("", " ".join(_EMPTY_PARENTHESES.sub("", text).split())).split())
