"""The words of a question that ask for a filter: which were lifted, and the question without them.

Everything is done by position. The same letters may stand elsewhere in a question ("According to Time, what happened
in Times Square?"), where they belong to what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from rag.language.dates import NEXT_REPORT
from rag.language.english import REPORTS
from rag.language.filters import Known, read_filters
from rag.language.source_names import NOUN_FOLLOWS
from rag.schema import ReadFilter, Span

_LED = re.compile(
    rf"(?:\b(?:according to(?: {REPORTS} (?:from|by|in|on))?"
    r"|by|in|from|on|of|at|during|over|within|throughout|for)\s+)?(?:\bboth\s+)?(?:\b(?:an?|the)\s+)?$",
    re.IGNORECASE,
)
"""What leads to a name or a time, and says nothing without it."""
_TRAILING = re.compile(r"(?: magazine\b| newspaper\b)?(?:[’']s?(?!\w))?")
"""What belongs to a name: "Fortune magazine's"."""
_CONJUNCTION = re.compile(r"\W{0,5}(?:and|or|but)?\W{0,5}", re.IGNORECASE)
_ONWARDS = re.compile(r" on(?:wards?)?\b")
_NAMED_REPORT = re.compile(rf"{REPORTS} (?=(?:from|of) )", re.IGNORECASE)
_AROUND = 80
"""Characters looked at before and after a span: no cue is longer, and no question is slow."""
_PAIRS = {'"': '"', "'": "'", "‘": "’", "“": "”", "(": ")", "[": "]"}
_CLOSING = frozenset(".?!;:,)]”’")
_SEPARATORS = " \t\n,;:"
_EXPECTS_MORE = re.compile(
    r"(?:^|[\s(])(?:the|an?|of|in|by|on|from|at|to|for|with|and|or|but|during|since|until|before|after)$", re.IGNORECASE
)
"""The end of a phrase that no comma can follow."""


@dataclass(frozen=True, slots=True)
class QuestionFilters:
    """The filters that a question asks for, and what is needed to find their words in another wording of it."""

    question: str
    known: Known
    today: date
    found: tuple[ReadFilter, ...] = ()

    @classmethod
    def read(cls, question: str, known: Known, today: date, lifted: Collection[str] = ()) -> QuestionFilters:
        """The filters read out of a question, except those that were lifted."""
        found = read_filters(question, known, today)
        return cls(question, known, today, tuple(not_lifted(question, found, lifted)))

    def without(self, text: str) -> str:
        """The question, or another wording of it, without the words that ask for these filters."""
        if not self.found:
            return text
        found: Sequence[ReadFilter] = self.found
        if text != self.question:
            own = [each.filters for each in self.found]
            found = [each for each in read_filters(text, self.known, self.today) if each.filters in own]
        return without_spans(text, cut_spans(text, found))


def not_lifted(question: str, found: Iterable[ReadFilter], lifted: Collection[str]) -> list[ReadFilter]:
    """The filters that no lifted words name.

    Words that are those of a filter (`ReadFilter.words`) lift that filter only. Any others lift every filter that was
    read inside them, wherever they stand in the question.
    """
    found = list(found)
    names = {_in_one_case(each.words) for each in found}
    told = [words.encode("utf-8", "replace").decode() for words in lifted]  # as the question was, before it was read
    wanted = set(map(_in_one_case, told))
    regions = [place for words in told if _in_one_case(words) not in names for place in _places(question, words)]
    return [each for each in found if _in_one_case(each.words) not in wanted and not _is_inside(each, regions)]


def _in_one_case(words: str) -> str:
    return " ".join(words.split()).casefold()


def _places(question: str, words: str) -> list[Span]:
    """Where the words stand as whole words, whatever their case and the spaces between them."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return [m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", question, re.IGNORECASE)] if pattern else []


def _is_inside(read: ReadFilter, regions: Iterable[Span]) -> bool:
    return any(all(a <= start and end <= b for start, end in read.spans) and read.spans for a, b in regions)


def cut_spans(question: str, found: Iterable[ReadFilter]) -> list[Span]:
    """What to remove from a question for these filters: their words, and what says nothing without them.

    That is a preposition that led to them, the ending of a possessive, and a conjunction between two of them. Sorted,
    and without overlaps.
    """
    joined: list[Span] = []
    for start, end in sorted(_widened(question, span) for each in found for span in each.spans):
        if joined and (start <= joined[-1][1] or _CONJUNCTION.fullmatch(question, joined[-1][1], start)):
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _widened(question: str, span: Span) -> Span:
    start, end = span
    if named := _NAMED_REPORT.match(question, start, end):
        return named.end(), end
    if start and _PAIRS.get(question[start - 1]) == question[end : end + 1]:
        start, end = start - 1, end + 1
    rest = question[end : end + _AROUND]
    led = _LED.search(question, max(0, start - _AROUND), start)
    if led and not NOUN_FOLLOWS.match(rest) and not NEXT_REPORT.match(rest):
        start = led.start()
    is_open = question[slice(*span)].lower().startswith("from ")
    trailing = (_ONWARDS.match(rest) if is_open else None) or _TRAILING.match(rest)
    return start, end + (trailing.end() if trailing else 0)


def without_spans(text: str, spans: Iterable[Span]) -> str:
    """The text without these spans, which are sorted and apart; nothing else is lost but what they leave dangling.

    That is a second space, a comma or colon with nothing before or behind it, and an empty pair of quotation marks or
    brackets. A text whose beginning was removed begins as it did, with a capital or without.
    """
    kept, at = "", 0
    for start, end in spans:
        kept = _joined(kept, text[at:start]) if at else text[:start]
        at = end
    rest = _joined(kept, text[at:]) if at else text
    opens_with_capital = text.lstrip()[:1].isupper()
    return _capitalised(rest) if opens_with_capital else rest


def _joined(before: str, after: str) -> str:
    """Two parts between which something was removed."""
    left, right = before.rstrip(), after.lstrip()
    while left and right and _PAIRS.get(left[-1]) == right[0]:
        left, right = left[:-1].rstrip(), right[1:].lstrip()
    if not left:
        return right.lstrip(_SEPARATORS)
    if right[:1] == "," and (left[-1] in ",;:" or _EXPECTS_MORE.search(left[-_AROUND:])):
        right = right[1:].lstrip()
    if not right or right[0] in ".?!;:)":
        left = left.rstrip(_SEPARATORS)
    is_tight = not left or not right or right[0] in _CLOSING or left[-1] in "(["
    return f"{left}{right}" if is_tight else f"{left} {right}"


def _capitalised(text: str) -> str:
    first = text[:1].upper()
    return first + text[1:] if len(first) == 1 else text
