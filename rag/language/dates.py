"""Dates in a question that limit the publication date; the only file that imports dateparser."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time

from rag.language.english import MONTHS, NEWS, NUMBERS, PRINTED, REPORTS, WEEKDAYS, either
from rag.language.mentions import AROUND, overlaps_any
from rag.schema import Filters, ReadFilter, Span

_LAG = 2
"""Days between an event and the article that reports it."""
_ONE_YEAR = 366
_MAX_MENTIONS = 12
"""Dates are not read from a text that mentions more times: it is hardly a question, and each takes a millisecond."""

# ---- patterns of dates

_MONTHS = (
    r"(?i:jan(?:uary|\.)?|feb(?:ruary|\.)?|mar(?:ch|\.)?|apr(?:il|\.)?|may|june?|july?|aug(?:ust|\.)?"
    r"|sep(?:t(?:ember|\.)?|\.)?|oct(?:ober|\.)?|nov(?:ember|\.)?|dec(?:ember|\.)?)(?![a-z])"
)
_ALSO_WORDS = ("March", "May", "August")
"""Months only when capitalized."""
_MONTH = rf"(?:(?i:{either(tuple(m for m in MONTHS if m not in _ALSO_WORDS))})|{either(_ALSO_WORDS)})(?![a-z])"
_YEAR = r"(?:1[0-9]{3}|20[0-9]{2})(?![0-9]|[.,][0-9])"
_DAY = r"(?:[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?(?![0-9a-z])"
_SMALL = rf"(?:an?|{either(NUMBERS[1:13])}|[1-9][0-9]{{0,2}})"
_UNIT = r"(?:day|week|month|year)"
_DATED = (
    rf"(?:{_YEAR}-(?:0[1-9]|1[0-2])-[0-3][0-9](?![0-9])"
    rf"|(?:the )?{_DAY}(?: of)? {_MONTHS},? {_YEAR}|{_MONTHS} {_DAY},? {_YEAR}"
    rf"|{_MONTHS}(?: of|,)? {_YEAR}|{_MONTH} (?:of )?(?:this|last) year)"
)
_ABSOLUTE = rf"(?:{_DATED}|(?:the )?{_DAY}(?: of)? {_MONTH}|{_MONTHS} {_DAY}|{_MONTH}|{_YEAR})"
_RELATIVE = (
    rf"(?:[Yy]esterday|[Tt]oday|(?:[Ll]ast|[Tt]his) (?:week|month|year)"
    rf"|[Ll]ast (?:{either(WEEKDAYS)})|{_SMALL} {_UNIT}s? ago)"
)
_ANY = rf"(?:{_ABSOLUTE}|{_RELATIVE})"

_PATTERNS = tuple(
    re.compile(rf"(?<![\w’'-])(?:{pattern})(?!\w)")
    for pattern in (
        rf"(?i:between) (?P<first>{_ANY}|{_DAY}) and (?P<last>{_ANY})",
        rf"(?i:from) (?P<first>{_ANY}|{_DAY}) (?:to|until|till|through) (?P<last>{_ANY})",
        rf"(?P<edge>(?i:since|after|before|until|till|by|prior to)) (?P<what>{_ANY})",
        rf"(?P<edge>(?i:from)) (?P<what>{_ANY})(?= onwards?\b| on\b)",
        rf"(?:(?i:in|during|throughout) (?:(?:early|mid|late)[ -])?|(?i:on) (?:[A-Z][a-z]+day,? )?|{PRINTED} "
        rf"|{REPORTS} (?:from|of) )(?P<what>{_ABSOLUTE})",
        rf"(?P<what>{_DATED})(?=,? {NEWS}\b)",
        rf"(?i:in|over|during|within|for) (?P<past>the (?:last|past|previous) (?:{_SMALL} {_UNIT}s?|{_UNIT}))",
        rf"(?P<what>{_RELATIVE})",
    )
)
_OTHER_TIMES = re.compile(rf"(?<![\w’'-])(?:{_DATED}|{_RELATIVE}|(?<!the ){_YEAR})(?!\w)")

# ---- patterns around a date

_JOINED = re.compile(rf"[-–—/%\w]|[’'](?!s {REPORTS}\b)| of\b| or (?:more|so|fewer|less)\b")
_CLAUSE_ENDS = re.compile(r"\s*(?:$|[?!;:)]|[.,](?![0-9]))")
_CLAUSE_CONTINUES = re.compile(
    r"\s(?:who|what|which|where|when|why|how|did|does|do|the|an?|this|that|these|by|at|in|for|with|about|to|and|as"
    r"|while|because)\b"
)
_INVERTED = re.compile(r"\s(?:is|was|are|were|has|have|had)\b")
_NAME_FOLLOWS = re.compile(r"\s[A-Z0-9]")
_AFTER_SOMETHING = re.compile(r"\b(?:after|before|since|until|till|by the time|following|prior to)\b[^,;:?!.]*$", re.I)
_BACKGROUND = re.compile(
    r"\b(?:founded|established|born|built|created|formed|incorporated|constructed|dat\w+ back)\s*$"
)
_NO_PUBLICATION = re.compile(
    r"\b(?:than|from|over|on|as|to|with|like|of|about|nearly|almost|around|the|every|each)\s*$"
)
_COMPARING = re.compile(
    r"\b(?:compar\w+|contrast\w*|versus|vs|unlike|(?:in)?consisten\w+|differ(?:s|ed|ences?)?"
    r"|than (?:it |they |he |she |that |those |did |was |were )*(?:in|on|during)"
    rf"|another (?:by|from|in)|(?:an)?other {REPORTS}"
    rf"|(?:earlier|later|previous|prior|subsequent|second) {REPORTS})\b",
    re.I,
)
_AHEAD = re.compile(
    r"\b(?:will|shall|going to|scheduled|planned (?:for|to|in|on)|due (?:to|in|on|by)|set to|expected to|upcoming)\b",
    re.I,
)
_QUOTED = re.compile(r"[\"“][^\"“”]{1,200}[\"”]")
_REPORTED = re.compile(rf"\b(?:{PRINTED}|written|known|said) $", re.I)
_OF_REPORTS = re.compile(rf"\b(?:{REPORTS}|{PRINTED}|written|covered|known|said)\b", re.I)
_JUST_REPORTED = re.compile(rf"(?:\b{PRINTED}|\b{REPORTS}(?: published)?)(?: on| of| from| in)?\s*$", re.I)
NEXT_REPORT = re.compile(rf"(?:[’']s)?,? {REPORTS}\b")
_TODAYS_NEWS = re.compile(rf"\b(?:happen(?:ed|s|ing)?|said|announced|new|{PRINTED}|{REPORTS})\s*$", re.I)


# ---- dates


@dataclass(frozen=True, slots=True)
class _Period:
    """First and last day of a date expression; `relative` to today, or without a year (`bare`)."""

    first: date
    last: date
    unit: str
    relative: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class _DateMention:
    """A mention that limits the publication date, and the periods it names."""

    span: Span
    after: date | None
    before: date | None
    periods: tuple[_Period, ...]

    @property
    def is_open(self) -> bool:
        return self.after is None or self.before is None


@dataclass(frozen=True, slots=True)
class IndexDates:
    """The first and last publication date in the index, and today."""

    first: date
    last: date
    today: date


class _Calendar:
    """Date expressions → periods, relative to a given day."""

    def __init__(self, today: date) -> None:
        from dateparser.date import DateDataParser

        self.today = today
        noon = datetime.combine(today, time(12))
        settings = {"RELATIVE_BASE": noon, "PREFER_DATES_FROM": "past", "PREFER_DAY_OF_MONTH": "current"}
        self._parser = DateDataParser(languages=["en"], settings=settings)

    def period(self, words: str) -> _Period | None:
        """The period of an expression; None for a day that does not exist."""
        numeric = re.sub(r"(?:of )?\b(this|last) year$", self._year, words) if words[0] not in "tlTL" else words
        parsed = self._parser.get_date_data(numeric)
        if parsed.date_obj is None:
            return None
        day, unit = parsed.date_obj.date(), parsed.period or "day"
        first, last = _PERIOD_OF[unit](day) if unit in _PERIOD_OF else (day, day)
        has_year = re.search(_YEAR, numeric) is not None
        relative = not has_year and re.fullmatch(_RELATIVE, words) is not None
        return _Period(first, last, unit, relative, bare=not has_year and not relative)

    def _year(self, match: re.Match[str]) -> str:
        return str(self.today.year - (match[1] == "last"))

    def since(self, words: str) -> _Period | None:
        """The period that ends today, of an expression such as "the last three weeks"."""
        length = re.sub(r"^the \w+ ", "", words)
        start = self._parser.get_date_data(f"{length if ' ' in length else f'one {length}'} ago")
        if start.date_obj is None:
            return None
        return _Period(start.date_obj.date(), self.today, "span", relative=True)

    def pair(self, first: str, last: str) -> tuple[_Period, _Period] | None:
        """The two ends of a range, each of which takes a missing month or year from the other."""
        if re.fullmatch(_DAY, first):
            first = re.sub(rf"^(?:the )?{_DAY}", first, last) if re.match(rf"(?:the )?{_DAY}\b", last) else ""
        begin, end = self.period(first) if first else None, self.period(last)
        if begin is None or end is None:
            return None
        if begin.bare:
            begin = self._in_year(first, end.first.year, end.last, -1) or begin
        elif end.bare:
            end = self._in_year(last, begin.first.year, begin.first, +1) or end
        return (begin, end) if begin.first <= end.last else None

    def _in_year(self, words: str, year: int, other: date, step: int) -> _Period | None:
        """The expression in that year, or in the year before or after it if the range would run backwards."""
        same_year = self.period(f"{words} {year}")
        backwards = same_year is not None and (same_year.first > other if step < 0 else same_year.last < other)
        return self.period(f"{words} {year + step}") if backwards else same_year


def _week(day: date) -> tuple[date, date]:
    return _shifted(day, -day.weekday()), _shifted(day, 6 - day.weekday())


def whole_month(day: date) -> tuple[date, date]:
    """First and last day of the month of a day."""
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def whole_year(day: date) -> tuple[date, date]:
    """First and last day of the year of a day."""
    return date(day.year, 1, 1), date(day.year, 12, 31)


_PERIOD_OF = {"week": _week, "month": whole_month, "year": whole_year}


def _shifted(day: date, days: int) -> date:
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def date_filters(question: str, index: IndexDates) -> list[ReadFilter]:
    """Filters for the dates that limit publication; none if the question compares times or asks about the future."""
    matches = _matches(question)
    if not 0 < len(matches) <= _MAX_MENTIONS or _COMPARING.search(question) or _AHEAD.search(question):
        return []
    calendar = _Calendar(index.today)
    limits = _limits(question, matches, index, calendar)
    if not _is_one_period(limits) or _names_another_time(question, limits, index, calendar):
        return []
    return [ReadFilter(question[slice(*m.span)], Filters(m.after, m.before), (m.span,)) for m in limits]


def _limits(question: str, matches: list[re.Match[str]], index: IndexDates, calendar: _Calendar) -> list[_DateMention]:
    """The mentions that limit the publication date."""
    limits: list[_DateMention] = []
    last_end = 0
    for match in matches:
        mention = _mention(question, match, calendar)
        if mention is None or not all(_may_be_published(period, index) for period in mention.periods):
            continue
        before = question[max(last_end, match.start() - 2 * AROUND) : match.start()]
        if mention.is_open or not (_AFTER_SOMETHING.search(before) or _BACKGROUND.search(before)):
            limits.append(mention)
            last_end = match.end()
    return limits


def _matches(question: str) -> list[re.Match[str]]:
    """Date expressions, the wider pattern first where two overlap; dates in quotation marks belong to titles."""
    taken = _quoted(question)
    matches = []
    for pattern in _PATTERNS:
        for match in pattern.finditer(question):
            if not overlaps_any(match.span(), taken):
                matches.append(match)
                taken.append(match.span())
    return sorted(matches, key=re.Match.start)


def _quoted(question: str) -> list[Span]:
    return [match.span() for match in _QUOTED.finditer(question)]


def _mention(question: str, match: re.Match[str], calendar: _Calendar) -> _DateMention | None:
    """The date mention of a match, or None if the words around it show that it is no time."""
    before, rest = question[max(0, match.start() - AROUND) : match.start()], question[match.end() :][:AROUND]
    if _JOINED.match(rest):
        return None
    parts = match.groupdict()
    if "past" in parts:
        span = calendar.since(parts["past"])
        return _DateMention(match.span(), span.first, span.last, (span,)) if span else None
    if "first" in parts:
        pair = calendar.pair(parts["first"], parts["last"])
        complete = pair is not None and _stands_alone(pair[1], rest)
        return _DateMention(match.span(), pair[0].first, pair[1].last, pair) if pair and complete else None
    period = calendar.period(parts["what"])
    if period is None:
        return None
    if "edge" in parts:
        return _open_period(match.span(), parts["edge"].lower(), period, before, rest)
    return _closed_period(match, period, before, rest, calendar.today)


def _stands_alone(period: _Period, rest: str, before: bool = False) -> bool:
    """Whether it is a time, not a number or the first word of a name ("in 2000 people", "the May Day march")."""
    unambiguous = period.unit != "year" and not period.bare
    if unambiguous or _CLAUSE_ENDS.match(rest):
        return not (period.relative and _NAME_FOLLOWS.match(rest))
    if before and period.unit == "month":
        return False
    return bool(_CLAUSE_CONTINUES.match(rest) or (period.unit == "year" and _INVERTED.match(rest)))


def _open_period(span: Span, word: str, period: _Period, before: str, rest: str) -> _DateMention | None:
    """The mention after "since", "after", "before", "until" or "by".

    "by" usually names a deadline and "until" the end of a state: both count only beside words for publication.
    """
    if not _stands_alone(period, rest, before=True):
        return None
    cue = {"until": _OF_REPORTS, "till": _OF_REPORTS, "by": _REPORTED}.get(word)
    if cue and not cue.search(before):
        return None
    limits: dict[str, tuple[date | None, date | None]] = {
        "since": (period.first, None),
        "from": (period.first, None),
        "after": (_shifted(period.last, 1), None),
        "before": (None, _shifted(period.first, -1)),
        "prior to": (None, _shifted(period.first, -1)),
    }
    return _DateMention(span, *limits.get(word, (None, period.last)), (period,))


def _closed_period(match: re.Match[str], period: _Period, before: str, rest: str, today: date) -> _DateMention | None:
    lead = before + match[0][: match.start("what") - match.start()]
    reported = bool(_JUST_REPORTED.search(lead) or NEXT_REPORT.match(rest))
    if not reported and not (_relative_fits(match[0], before, rest) if period.relative else _fits(match[0], period)):
        return None
    if not (NEXT_REPORT.match(rest) or _stands_alone(period, rest)):
        return None
    is_event_day = period.unit == "day" and not reported
    last = min(_shifted(period.last, _LAG), max(period.last, today)) if is_event_day else period.last
    return _DateMention(match.span(), period.first, last, (period,))


def _fits(words: str, period: _Period) -> bool:
    """Whether the preposition fits: "on" a day, "in" anything longer."""
    return words.lower().startswith("on ") == (period.unit == "day")


def _relative_fits(words: str, before: str, rest: str) -> bool:
    """Not "more than last year", "last year's winner", "Last Week Tonight", or "today" meaning nowadays."""
    if _NO_PUBLICATION.search(before) or _NAME_FOLLOWS.match(rest) or (words[0].isupper() and before.strip()):
        return False
    return words.lower() != "today" or _TODAYS_NEWS.search(before) is not None


def _may_be_published(period: _Period, index: IndexDates) -> bool:
    """Whether articles of this index may be from the period; otherwise it is history or the future."""
    if period.first > max(index.today, index.last):
        return False
    if period.unit == "year" and not (period.relative and period.first.year >= index.today.year - 1):
        return period.first <= index.last and period.last >= index.first
    begin, end = _shifted(index.first, -_ONE_YEAR), _shifted(index.last, _ONE_YEAR)
    in_range = period.first >= begin if period.unit == "span" else period.last >= begin
    return in_range and (not period.bare or period.first <= end)


def _is_one_period(limits: list[_DateMention]) -> bool:
    """True for one mention or the two ends of a range; a question with several times compares them."""
    if len(limits) < 2:
        return True
    after = [limit.after for limit in limits if limit.before is None and limit.after]
    before = [limit.before for limit in limits if limit.after is None and limit.before]
    return len(limits) == 2 and len(after) == len(before) == 1 and after[0] <= before[0]


def _names_another_time(question: str, limits: list[_DateMention], index: IndexDates, calendar: _Calendar) -> bool:
    """Whether the question names another time that articles of this index may be from."""
    if not limits:
        return False
    known = [*(limit.span for limit in limits), *_quoted(question)]
    others = {match[0] for match in _OTHER_TIMES.finditer(question) if not overlaps_any(match.span(), known)}
    periods = (period for words in others if (period := calendar.period(words)))
    return len(others) > _MAX_MENTIONS or any(
        _may_be_published(period, index)
        and not all(period.first <= part.first and part.last <= period.last for part in limits[0].periods)
        for period in periods
    )
