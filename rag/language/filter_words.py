"""The words of a question that express a filter: ignoring them, and removing them from the question.

Everything works by position: the same letters elsewhere in the question ("According to Time, what happened in Times
Square?") belong to its subject.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from rag.language.dates import NEXT_REPORT
from rag.language.english import REPORTS
from rag.language.filters import Known, read_filters
from rag.language.mentions import AROUND
from rag.language.source_names import NOUN_FOLLOWS
from rag.schema import ReadFilter, Span

_LEAD_IN = re.compile(
    rf"(?:\b(?:according to(?: {REPORTS} (?:from|by|in|on))?"
    r"|by|in|from|on|of|at|during|over|within|throughout|for)\s+)?(?:\bboth\s+)?(?:\b(?:an?|the)\s+)?$",
    re.IGNORECASE,
)
"""Words before a name or a date that are meaningless without it."""
_TRAILING = re.compile(r"(?: magazine\b| newspaper\b)?(?:[’']s?(?!\w))?")
"""Words that belong to the name before them: "Fortune magazine's"."""
_CONJUNCTION = re.compile(r"\W{0,5}(?:and|or|but)?\W{0,5}", re.IGNORECASE)
_ONWARDS = re.compile(r" on(?:wards?)?\b")
_NAMED_REPORT = re.compile(rf"{REPORTS} (?=(?:from|of) )", re.IGNORECASE)
_BRACKETS = {'"': '"', "'": "'", "‘": "’", "“": "”", "(": ")", "[": "]"}
_CLOSING = frozenset(".?!;:,)]”’")
_SEPARATORS = " \t\n,;:"
_EXPECTS_MORE = re.compile(
    r"(?:^|[\s(])(?:the|an?|of|in|by|on|from|at|to|for|with|and|or|but|during|since|until|before|after)$", re.IGNORECASE
)
"""An unfinished phrase, which no comma can follow."""


@dataclass(frozen=True, slots=True)
class QuestionFilters:
    """The filters that a question asks for, with the context to find them again in a rewritten question."""

    question: str
    known: Known
    today: date
    found: tuple[ReadFilter, ...] = ()

    @classmethod
    def read(cls, question: str, known: Known, today: date, lifted: Collection[str] = ()) -> QuestionFilters:
        """The filters of a question, except the lifted ones."""
        found = read_filters(question, known, today)
        return cls(question, known, today, tuple(not_lifted(question, found, lifted)))

    def without(self, text: str) -> str:
        """The question, or a rewritten one, without the words that express these filters."""
        if not self.found:
            return text
        found: Sequence[ReadFilter] = self.found
        if text != self.question:
            own = [each.filters for each in self.found]
            found = [each for each in read_filters(text, self.known, self.today) if each.filters in own]
        return without_spans(text, cut_spans(text, found))


def not_lifted(question: str, found: Iterable[ReadFilter], lifted: Collection[str]) -> list[ReadFilter]:
    """The filters that are not lifted.

    The words of a filter (`ReadFilter.words`) lift only that filter. Any other words lift every filter inside them,
    wherever they occur in the question.
    """
    found = list(found)
    names = {_normalized(each.words) for each in found}
    texts = [words.encode("utf-8", "replace").decode() for words in lifted]  # encoded as the question was
    excluded = set(map(_normalized, texts))
    regions = [span for words in texts if _normalized(words) not in names for span in _occurrences(question, words)]
    return [each for each in found if _normalized(each.words) not in excluded and not _is_inside(each, regions)]


def _normalized(words: str) -> str:
    return " ".join(words.split()).casefold()


def _occurrences(question: str, words: str) -> list[Span]:
    """Occurrences as whole words, whatever the case and white space."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return [m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", question, re.IGNORECASE)] if pattern else []


def _is_inside(read: ReadFilter, regions: Iterable[Span]) -> bool:
    return any(all(a <= start and end <= b for start, end in read.spans) and read.spans for a, b in regions)


def cut_spans(question: str, found: Iterable[ReadFilter]) -> list[Span]:
    """The spans to remove from a question for these filters, sorted and without overlaps.

    Besides the words of a filter: the preposition before it, the ending of a possessive, and the conjunction between
    two filters.
    """
    merged: list[Span] = []
    for start, end in sorted(_widened(question, span) for each in found for span in each.spans):
        if merged and (start <= merged[-1][1] or _CONJUNCTION.fullmatch(question, merged[-1][1], start)):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _widened(question: str, span: Span) -> Span:
    start, end = span
    if named := _NAMED_REPORT.match(question, start, end):
        return named.end(), end
    if start and _BRACKETS.get(question[start - 1]) == question[end : end + 1]:
        start, end = start - 1, end + 1
    rest = question[end : end + AROUND]
    lead_in = _LEAD_IN.search(question, max(0, start - AROUND), start)
    if lead_in and not NOUN_FOLLOWS.match(rest) and not NEXT_REPORT.match(rest):
        start = lead_in.start()
    is_open = question[slice(*span)].lower().startswith("from ")
    trailing = (_ONWARDS.match(rest) if is_open else None) or _TRAILING.match(rest)
    return start, end + (trailing.end() if trailing else 0)


def without_spans(text: str, spans: Iterable[Span]) -> str:
    """The text without these spans, which are sorted and do not overlap.

    Also removed is what is left dangling: a second space, a comma or colon with nothing before or after it, and empty
    quotation marks or brackets. The first letter keeps its case.
    """
    kept, at = "", 0
    for start, end in spans:
        kept = _join(kept, text[at:start]) if at else text[:start]
        at = end
    rest = _join(kept, text[at:]) if at else text
    opens_with_capital = text.lstrip()[:1].isupper()
    return _capitalised(rest) if opens_with_capital else rest


def _join(before: str, after: str) -> str:
    """Join the texts on both sides of a removed span."""
    left, right = before.rstrip(), after.lstrip()
    while left and right and _BRACKETS.get(left[-1]) == right[0]:
        left, right = left[:-1].rstrip(), right[1:].lstrip()
    if not left:
        return right.lstrip(_SEPARATORS)
    if right[:1] == "," and (left[-1] in ",;:" or _EXPECTS_MORE.search(left[-AROUND:])):
        right = right[1:].lstrip()
    if not right or right[0] in ".?!;:)":
        left = left.rstrip(_SEPARATORS)
    is_tight = not left or not right or right[0] in _CLOSING or left[-1] in "(["
    return f"{left}{right}" if is_tight else f"{left} {right}"


def _capitalised(text: str) -> str:
    first = text[:1].upper()
    return first + text[1:] if len(first) == 1 else text
