"""The dates in a question that limit the day of publication; the only file that imports dateparser."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time

from dateparser.date import DateDataParser

from rag.language.english import NEWS, PRINTED, REPORTS
from rag.language.mentions import AROUND, PlacedFilter, overlaps_any
from rag.schema import Filters, ReadFilter, Span

_LAG = 2
"""Days by which an article may follow what it reports."""
_YEAR_OF_DAYS = 366
_MOST = 12
"""Mentions of times that are looked into: a question with more is no question, and each takes a millisecond."""

# ---- where a date may stand

_MONTHS = (
    r"(?i:jan(?:uary|\.)?|feb(?:ruary|\.)?|mar(?:ch|\.)?|apr(?:il|\.)?|may|june?|july?|aug(?:ust|\.)?"
    r"|sep(?:t(?:ember|\.)?|\.)?|oct(?:ober|\.)?|nov(?:ember|\.)?|dec(?:ember|\.)?)(?![a-z])"
)
_MONTH = r"(?:(?i:january|february|april|june|july|september|october|november|december)|March|May|August)(?![a-z])"
"""A month on its own: "may", "march" and "august" are months only when they are written with a capital."""
_YEAR = r"(?:1[0-9]{3}|20[0-9]{2})(?![0-9]|[.,][0-9])"
_DAY = r"(?:[12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?(?![0-9a-z])"
_SMALL = r"(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[1-9][0-9]{0,2})"
_UNIT = r"(?:day|week|month|year)"
_DATED = (
    rf"(?:{_YEAR}-(?:0[1-9]|1[0-2])-[0-3][0-9](?![0-9])"
    rf"|(?:the )?{_DAY}(?: of)? {_MONTHS},? {_YEAR}|{_MONTHS} {_DAY},? {_YEAR}"
    rf"|{_MONTHS}(?: of|,)? {_YEAR}|{_MONTH} (?:of )?(?:this|last) year)"
)
_ABSOLUTE = rf"(?:{_DATED}|(?:the )?{_DAY}(?: of)? {_MONTH}|{_MONTHS} {_DAY}|{_MONTH}|{_YEAR})"
_RELATIVE = (
    rf"(?:[Yy]esterday|[Tt]oday|(?:[Ll]ast|[Tt]his) (?:week|month|year)"
    rf"|[Ll]ast (?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|{_SMALL} {_UNIT}s? ago)"
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

# ---- what stands around a date

_GLUED = re.compile(rf"[-–—/%\w]|[’'](?!s {REPORTS}\b)| of\b| or (?:more|so|fewer|less)\b")
_ENDS = re.compile(r"\s*(?:$|[?!;:)]|[.,](?![0-9]))")
_GOES_ON = re.compile(
    r"\s(?:who|what|which|where|when|why|how|did|does|do|the|an?|this|that|these|by|at|in|for|with|about|to|and|as"
    r"|while|because)\b"
)
_INVERTED = re.compile(r"\s(?:is|was|are|were|has|have|had)\b")
_LONGER = re.compile(r"\s[A-Z0-9]")
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
    """The first and last day of what some words say; `relative` to today, or without a year (`bare`)."""

    first: date
    last: date
    unit: str
    relative: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class _Time:
    """A mention that limits the day of publication, and the periods it names."""

    span: Span
    after: date | None
    before: date | None
    periods: tuple[_Period, ...]

    @property
    def is_edge(self) -> bool:
        return self.after is None or self.before is None


@dataclass(frozen=True, slots=True)
class Reach:
    """The days of publication in the index, and today."""

    first: date
    last: date
    today: date


class _Calendar:
    """What date some words say, as seen from today."""

    def __init__(self, today: date) -> None:
        self.today = today
        noon = datetime.combine(today, time(12))
        settings = {"RELATIVE_BASE": noon, "PREFER_DATES_FROM": "past", "PREFER_DAY_OF_MONTH": "current"}
        self._parser = DateDataParser(languages=["en"], settings=settings)

    def period(self, words: str) -> _Period | None:
        """None for a day that there is not."""
        counted = re.sub(r"(?:of )?\b(this|last) year$", self._counted, words) if words[0] not in "tlTL" else words
        found = self._parser.get_date_data(counted)
        if found.date_obj is None:
            return None
        day, unit = found.date_obj.date(), found.period or "day"
        first, last = _WHOLE.get(unit, _one_day)(day)
        dated = re.search(_YEAR, counted) is not None
        relative = not dated and re.fullmatch(_RELATIVE, words) is not None
        return _Period(first, last, unit, relative, bare=not dated and not relative)

    def _counted(self, match: re.Match[str]) -> str:
        return str(self.today.year - (match[1] == "last"))

    def since(self, words: str) -> _Period | None:
        """The days from so long ago until today, of "the last three weeks"."""
        length = re.sub(r"^the \w+ ", "", words)
        begun = self._parser.get_date_data(f"{length if ' ' in length else f'one {length}'} ago")
        if begun.date_obj is None:
            return None
        return _Period(begun.date_obj.date(), self.today, "span", relative=True)

    def pair(self, first: str, last: str) -> tuple[_Period, _Period] | None:
        """Two ends of a range, of which either may leave to the other what it does not say."""
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
        """The words' date in that year, or in the one before or after it if the range would run backwards."""
        here = self.period(f"{words} {year}")
        backwards = here is not None and (here.first > other if step < 0 else here.last < other)
        return self.period(f"{words} {year + step}") if backwards else here


def _one_day(day: date) -> tuple[date, date]:
    return day, day


def _week(day: date) -> tuple[date, date]:
    return _moved(day, -day.weekday()), _moved(day, 6 - day.weekday())


def whole_month(day: date) -> tuple[date, date]:
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def whole_year(day: date) -> tuple[date, date]:
    return date(day.year, 1, 1), date(day.year, 12, 31)


_WHOLE = {"week": _week, "month": whole_month, "year": whole_year}


def _moved(day: date, days: int) -> date:
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def date_filters(question: str, reach: Reach) -> list[PlacedFilter]:
    mentions = _mentions(question)
    if not 0 < len(mentions) <= _MOST or _COMPARING.search(question) or _AHEAD.search(question):
        return []
    calendar = _Calendar(reach.today)
    times = _times(question, mentions, reach, calendar)
    if not _go_together(times) or _other_times(question, times, reach, calendar):
        return []
    return [(t.span[0], ReadFilter(question[slice(*t.span)], Filters(t.after, t.before), (t.span,))) for t in times]


def _times(question: str, mentions: list[re.Match[str]], reach: Reach, calendar: _Calendar) -> list[_Time]:
    """The mentions that limit the day of publication."""
    found: list[_Time] = []
    done = 0
    for match in mentions:
        told = _told(question, match, calendar)
        if told is None or not all(_may_be_published(period, reach) for period in told.periods):
            continue
        said_before = question[max(done, match.start() - 2 * AROUND) : match.start()]
        if told.is_edge or not (_AFTER_SOMETHING.search(said_before) or _BACKGROUND.search(said_before)):
            found.append(told)
            done = match.end()
    return found


def _mentions(question: str) -> list[re.Match[str]]:
    """Where dates stand, the wider reading first where two overlap; a date in quotation marks is a title's."""
    taken = _quoted(question)
    found = []
    for pattern in _PATTERNS:
        for match in pattern.finditer(question):
            if not overlaps_any(match.span(), taken):
                found.append(match)
                taken.append(match.span())
    return sorted(found, key=re.Match.start)


def _quoted(question: str) -> list[Span]:
    return [match.span() for match in _QUOTED.finditer(question)]


def _told(question: str, match: re.Match[str], calendar: _Calendar) -> _Time | None:
    """What a mention says, or None if its words are no time after all."""
    before, rest = question[max(0, match.start() - AROUND) : match.start()], question[match.end() :][:AROUND]
    if _GLUED.match(rest):
        return None
    parts = match.groupdict()
    if "past" in parts:
        span = calendar.since(parts["past"])
        return _Time(match.span(), span.first, span.last, (span,)) if span else None
    if "first" in parts:
        pair = calendar.pair(parts["first"], parts["last"])
        whole = pair is not None and _stands_alone(pair[1], rest)
        return _Time(match.span(), pair[0].first, pair[1].last, pair) if pair and whole else None
    period = calendar.period(parts["what"])
    if period is None:
        return None
    if "edge" in parts:
        return _edge(match.span(), parts["edge"].lower(), period, before, rest)
    return _within(match, period, before, rest, calendar.today)


def _stands_alone(period: _Period, rest: str, before: bool = False) -> bool:
    """Is it the time itself, and not a number or a name's first word ("in 2000 people", "the May Day march")?"""
    sure = period.unit != "year" and not period.bare
    if sure or _ENDS.match(rest):
        return not (period.relative and _LONGER.match(rest))
    if before and period.unit == "month":
        return False
    return bool(_GOES_ON.match(rest) or (period.unit == "year" and _INVERTED.match(rest)))


def _edge(span: Span, word: str, period: _Period, before: str, rest: str) -> _Time | None:
    """Since, after, before, until. "by" is a deadline as a rule, "until" the end of a state: both only of reports."""
    if not _stands_alone(period, rest, before=True):
        return None
    clue = {"until": _OF_REPORTS, "till": _OF_REPORTS, "by": _REPORTED}.get(word)
    if clue and not clue.search(before):
        return None
    limits: dict[str, tuple[date | None, date | None]] = {
        "since": (period.first, None),
        "from": (period.first, None),
        "after": (_moved(period.last, 1), None),
        "before": (None, _moved(period.first, -1)),
        "prior to": (None, _moved(period.first, -1)),
    }
    return _Time(span, *limits.get(word, (None, period.last)), (period,))


def _within(match: re.Match[str], period: _Period, before: str, rest: str, today: date) -> _Time | None:
    led = before + match[0][: match.start("what") - match.start()]
    reported = bool(_JUST_REPORTED.search(led) or NEXT_REPORT.match(rest))
    if not reported and not (_relative_fits(match[0], before, rest) if period.relative else _fits(match[0], period)):
        return None
    if not (NEXT_REPORT.match(rest) or _stands_alone(period, rest)):
        return None
    widened = period.unit == "day" and not reported
    last = min(_moved(period.last, _LAG), max(period.last, today)) if widened else period.last
    return _Time(match.span(), period.first, last, (period,))


def _fits(words: str, period: _Period) -> bool:
    """One says "on" a day and "in" all else."""
    return words.lower().startswith("on ") == (period.unit == "day")


def _relative_fits(words: str, before: str, rest: str) -> bool:
    """Not "more than last year", "last year's winner", "Last Week Tonight", nor today in the sense of nowadays."""
    if _NO_PUBLICATION.search(before) or _LONGER.match(rest) or (words[0].isupper() and before.strip()):
        return False
    return words.lower() != "today" or _TODAYS_NEWS.search(before) is not None


def _may_be_published(period: _Period, reach: Reach) -> bool:
    """Could a reader of this index mean the day of publication, or is it history, or a time to come?"""
    if period.first > max(reach.today, reach.last):
        return False
    if period.unit == "year" and not (period.relative and period.first.year >= reach.today.year - 1):
        return period.first <= reach.last and period.last >= reach.first
    begin, end = _moved(reach.first, -_YEAR_OF_DAYS), _moved(reach.last, _YEAR_OF_DAYS)
    in_reach = period.first >= begin if period.unit == "span" else period.last >= begin
    return in_reach and (not period.bare or period.first <= end)


def _go_together(times: list[_Time]) -> bool:
    """One mention, or the two ends of a range: a question that names several times compares them."""
    if len(times) < 2:
        return True
    after = [t.after for t in times if t.before is None and t.after]
    before = [t.before for t in times if t.after is None and t.before]
    return len(times) == 2 and len(after) == len(before) == 1 and after[0] <= before[0]


def _other_times(question: str, times: list[_Time], reach: Reach, calendar: _Calendar) -> bool:
    """Does the question name another time that an article of this index may be of?"""
    if not times:
        return False
    seen = [*(told.span for told in times), *_quoted(question)]
    others = {match[0] for match in _OTHER_TIMES.finditer(question) if not overlaps_any(match.span(), seen)}
    periods = (calendar.period(words) for words in others)
    return len(others) > _MOST or any(p and _may_be_published(p, reach) and not _holds(p, times[0]) for p in periods)


def _holds(period: _Period, told: _Time) -> bool:
    return all(period.first <= part.first and part.last <= period.last for part in told.periods)
