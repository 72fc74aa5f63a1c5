"""The filters that a question's words ask for, and a filter in words. Only what is sure is read.

Where a date stands is found by a few patterns; what date it is, dateparser says. A source is read only beside words
that make it the one who reports ("according to The Age"), not the one reported on.

- A period ("in March 2024", "last week") is read as the days of publication. "since X" begins with X's first day,
  "after X" with the day after its last; "before X" ends with the day before its first, "until X" and "by X" with its
  last, and these two are read only of reports: a deadline or the end of a state is no day of publication.
- A day is mostly that of the event, and the article follows it: the two days after it are included, unless the words
  say that something was published or reported on that day.
- A date is content as often: history, a plan, one of two things compared, what came before the thing asked for.
  None of these is read, nor is anything where a question names several times.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time

from dateparser.date import DateDataParser

from rag.schema import Filters, ReadFilter, Span, long_date

_Placed = tuple[int, ReadFilter]
"""A filter, and where in the question it stands."""

_LAG = 2
"""Days by which an article may follow what it reports."""
_YEAR_OF_DAYS = 366
_MOST = 12
"""Mentions of times that are looked into: a question with more is no question, and each takes a millisecond."""
_AROUND = 80
"""Characters looked at on either side of a mention: no clue stands farther away, and no question is slow."""

_NEWS = r"(?:articles?|stor(?:y|ies)|coverage|pieces?|posts?|issues?|editions?|columns?|editorials?|op-eds?|reviews?)"
REPORTS = rf"(?:{_NEWS}|reports?|reporting|interviews?|headlines?|newsletters?|news)"
_PRINTED = r"(?:published|posted|printed|dated|reported)"

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
        rf"(?:(?i:in|during|throughout) (?:(?:early|mid|late)[ -])?|(?i:on) (?:[A-Z][a-z]+day,? )?|{_PRINTED} "
        rf"|{REPORTS} (?:from|of) )(?P<what>{_ABSOLUTE})",
        rf"(?P<what>{_DATED})(?=,? {_NEWS}\b)",
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
_REPORTED = re.compile(rf"\b(?:{_PRINTED}|written|known|said) $", re.I)
_OF_REPORTS = re.compile(rf"\b(?:{REPORTS}|{_PRINTED}|written|covered|known|said)\b", re.I)
_JUST_REPORTED = re.compile(rf"(?:\b{_PRINTED}|\b{REPORTS}(?: published)?)(?: on| of| from| in)?\s*$", re.I)
NEXT_REPORT = re.compile(rf"(?:[’']s)?,? {REPORTS}\b")
_TODAYS_NEWS = re.compile(rf"\b(?:happen(?:ed|s|ing)?|said|announced|new|{_PRINTED}|{REPORTS})\s*$", re.I)

# ---- what stands around a source

_VERBS = (
    r"(?:sa(?:y|ys|id|ying)|(?:report|cover|mention|claim|suggest|highlight|discuss|portray|indicat|predict|not|describ"
    r"|quot|stat)(?:e?s|e?d|ing|e)?|publish(?:e[sd]|ing)?|writ(?:es?|ing)|wrote|written)"
)
_BY = (
    r"(?:reported|covered|published|written|said|described|discussed|highlighted|noted|featured|mentioned|quoted|printed"
    r"|posted|run|carried|detailed|stated|claimed)"
)
_LEADS = re.compile(
    rf"(?:\baccording to(?: {REPORTS} (?:from|by|in|on))?|\b{_BY} (?:by|in|on)|\b{REPORTS} (?:from|by|in|on)"
    rf"|\b(?:{_BY}|says?|wrote|writes?|reads?|appear(?:s|ed)?|appearing)(?: \w+){{0,2}} in|(?:^|[.?!:] )In)"
    r" (?:both )?(?:an? |the )?[\"'‘“]?$",
    re.I,
)
NOUN_FOLLOWS = re.compile(
    rf"[\"'’”]?(?: magazine| newspaper)?(?: |[’']s? (?:[A-Za-z]+ ){{0,2}})(?:both |each )?(?!news\b){REPORTS}\b"
)
_VERB_FOLLOWS = re.compile(rf"[\"'’”]?(?: (?:also|ever|first|both|not|[a-z]+ly))? {_VERBS}\b(?! (?:in|at) its own)")
_SUBJECT_STARTS = re.compile(
    r"(?:^|[,;:.?!] ?|\b(?:did|does|do|has|have|had|what|that|how|why|which|after|before|as|while|since|when|where|if"
    r"|whether|and|but|with) )(?:both )?(?:the )?[\"'‘“]?$",
    re.I,
)
_GLUE = re.compile(r"[\"'’”]?(?:,? (?:and|or|as well as) |, | & )(?:both )?(?:the )?[\"'‘“]?")
_NAME_GOES_ON = re.compile(r"[-/@.&]\w| ?[&|]| (?:of )?[A-Z0-9]")
_NAME_BEGAN = re.compile(r"(?:[A-Z][\w’'&.]{0,60}[ -]|[@/.\w&-])$")
_NO_NAME = re.compile(
    r"\b(?:According To|Do|Does|Did|Has|Have|Had|In|From|By|The|An?|Both|And|Or|What|Which|How|Why|When|After|Before|As"
    r"|While|Since|Is|Was|Are|Were|If|But|Whether|With|\w+ing) $",
    re.I,
)
_REPORTED_BY = re.compile(rf"(?<!as )\b{_BY} (?:by|in|on) (?:both )?(?:the )?[\"'‘“]?$", re.I)
_CLAUSE_FOLLOWS = re.compile(r"[^?]*, (?:and|but|while)\b")
_VERB_LATER = re.compile(r"[^?]*\b(?:is|are|was|were|has|have|had)\b")
_ABOUT = re.compile(r"\b(?:about|against|on|at|to) (?:the )?[\"'‘“]?$")
_SEPARATOR = re.compile(r"(?<!\s)\s*+[|–—]\s*+|(?<!\s)\s++-\s++|:\s")
_OPENS_SENTENCE = re.compile(r"(?:^|[.?!:])\s*$")
_ITS_OWN = re.compile(r"\bits (?:own|lawsuit|lawyers|staff|employees|journalists|reporters|readers|owners?|layoffs)\b")


@dataclass(frozen=True, slots=True)
class Known:
    """What the index knows: its articles' sources as they are spelled, and the first and last day of publication."""

    sources: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None


def read_filters(question: str, known: Known, today: date) -> list[ReadFilter]:
    """The filters that the question's words ask for, in the order they stand in it; mostly there are none.

    All sources that are named make one filter, as an article has but one. Its `words` are those from the first
    name to the last; if these stand apart, the names joined by commas. A date's `words` stand in the question. No two
    filters of a question have the same `words`: the later one's begin further ahead then.
    """
    named = _named(question, known.sources)
    found = _source_filters(question, named)
    if known.first and known.last and len(named) < 2:
        found += _date_filters(question, _Reach(known.first, known.last, today))
    return _told_apart(question, [read for _, read in sorted(found, key=lambda placed: placed[0])])


def _told_apart(question: str, found: list[ReadFilter]) -> list[ReadFilter]:
    """The filters, each with words of its own: a source may be called "Last week"."""
    apart: list[ReadFilter] = []
    for read in found:
        words, start = read.words, read.spans[0][0]
        while start and any(words.casefold() == other.words.casefold() for other in apart):
            start = _word_before(question, start)
            words = question[start : read.spans[-1][1]]
        apart.append(replace(read, words=words))
    return apart


def _word_before(question: str, at: int) -> int:
    found = re.search(r"\S+\s*$", question[:at])
    return found.start() if found else 0


def described(filters: Filters) -> str:
    """A filter in words, to stand after "articles": "published in March 2024, from The Age"."""
    count = len(filters.article_ids)
    parts = [
        _published(filters.published_after, filters.published_before),
        f"from {_either(filters.sources)}" if filters.sources else "",
        f"in {count} chosen article{'s' if count > 1 else ''}" if count else "",
    ]
    return ", ".join(part for part in parts if part)


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _published(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        limits = (("since", first), ("until", last))
        return "".join(f"published {word} {long_date(day)}" for word, day in limits if day)
    whole = {(first, first): f"on {long_date(first)}", _month(first): f"in {first:%B} {first.year}"}
    whole[_year(first)] = f"in {first.year}"
    return f"published {whole.get((first, last)) or _range(first, last)}"


def _range(first: date, last: date) -> str:
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{long_date(last)}"
    return (
        f"{first.day} {first:%B} – {long_date(last)}"
        if first.year == last.year
        else f"{long_date(first)} – {long_date(last)}"
    )


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
class _Reach:
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


def _month(day: date) -> tuple[date, date]:
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def _year(day: date) -> tuple[date, date]:
    return date(day.year, 1, 1), date(day.year, 12, 31)


_WHOLE = {"week": _week, "month": _month, "year": _year}


def _moved(day: date, days: int) -> date:
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def _date_filters(question: str, reach: _Reach) -> list[_Placed]:
    mentions = _mentions(question)
    if not 0 < len(mentions) <= _MOST or _COMPARING.search(question) or _AHEAD.search(question):
        return []
    calendar = _Calendar(reach.today)
    times = _times(question, mentions, reach, calendar)
    if not _go_together(times) or _other_times(question, times, reach, calendar):
        return []
    return [(t.span[0], ReadFilter(question[slice(*t.span)], Filters(t.after, t.before), (t.span,))) for t in times]


def _times(question: str, mentions: list[re.Match[str]], reach: _Reach, calendar: _Calendar) -> list[_Time]:
    """The mentions that limit the day of publication."""
    found: list[_Time] = []
    done = 0
    for match in mentions:
        told = _told(question, match, calendar)
        if told is None or not all(_may_be_published(period, reach) for period in told.periods):
            continue
        said_before = question[max(done, match.start() - 2 * _AROUND) : match.start()]
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
            if not _meets(match.span(), taken):
                found.append(match)
                taken.append(match.span())
    return sorted(found, key=re.Match.start)


def _quoted(question: str) -> list[Span]:
    return [match.span() for match in _QUOTED.finditer(question)]


def _meets(span: Span, others: list[Span]) -> bool:
    return any(span[0] < other[1] and other[0] < span[1] for other in others)


def _told(question: str, match: re.Match[str], calendar: _Calendar) -> _Time | None:
    """What a mention says, or None if its words are no time after all."""
    before, rest = question[max(0, match.start() - _AROUND) : match.start()], question[match.end() :][:_AROUND]
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


def _may_be_published(period: _Period, reach: _Reach) -> bool:
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


def _other_times(question: str, times: list[_Time], reach: _Reach, calendar: _Calendar) -> bool:
    """Does the question name another time that an article of this index may be of?"""
    if not times:
        return False
    seen = [*(told.span for told in times), *_quoted(question)]
    others = {match[0] for match in _OTHER_TIMES.finditer(question) if not _meets(match.span(), seen)}
    periods = (calendar.period(words) for words in others)
    return len(others) > _MOST or any(p and _may_be_published(p, reach) and not _holds(p, times[0]) for p in periods)


def _holds(period: _Period, told: _Time) -> bool:
    return all(period.first <= part.first and part.last <= period.last for part in told.periods)


# ---- sources


@dataclass(frozen=True, slots=True)
class _Mention:
    """A name of one or more of the index's sources."""

    span: Span
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """What sources go by, without its "The"."""

    text: str
    has_article: bool
    sources: tuple[str, ...]

    def found(self, question: str) -> Iterator[Span]:
        """Where the name stands as a name: "the guardian said" is a person's guardian, "the nytimes.com" is not."""
        pattern = rf"(?<![\w@/.&-])({'(?:The )?' if self.has_article else ''})({re.escape(self.text)})(?!\w)"
        for match in re.finditer(pattern, question, re.IGNORECASE):
            opens = self.has_article and not match[1] and _OPENS_SENTENCE.search(question[: match.start()][-3:])
            if self._is_spelled(match[2]) and not opens and not question.isupper():
                yield match.span()

    def _is_spelled(self, words: str) -> bool:
        pairs = list(zip(self.text.split(), words.split(), strict=False))
        if all(word[0].isupper() or not own[0].isupper() for own, word in pairs) and words[0] != words[0].lower():
            return True
        return words == self.text or len(pairs) > 2 or re.search(r"\w[A-Z]|[0-9]|\w\.\w", self.text) is not None


def _names(sources: tuple[str, ...], question: str) -> list[_Name]:
    """The names that the question may hold: of each source the whole one, and the part before a separator."""
    small = question.lower()
    found: dict[tuple[str, bool], list[str]] = {}
    for source in dict.fromkeys(sources):
        for name in dict.fromkeys((source.strip(), _SEPARATOR.split(source.strip())[0])):
            text = re.sub(r"^The (?=\w)", "", name)
            if len(text) > 1 and text.lower() in small:
                found.setdefault((text, text != name), []).append(source)
    return [_Name(text, has_article, tuple(of)) for (text, has_article), of in found.items()]


def _named(question: str, sources: tuple[str, ...]) -> list[_Mention]:
    """The sources that the question names, the longest name first where two overlap."""
    if len({source for source in sources if source.strip()}) < 2:
        return []
    spans: dict[Span, list[str]] = {}
    for name in _names(sources, question):
        for span in name.found(question):
            spans.setdefault(span, []).extend(name.sources)
    taken: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if not _meets(span, taken):
            taken.append(span)
    return [_Mention(span, tuple(dict.fromkeys(spans[span]))) for span in sorted(taken)]


def _source_filters(question: str, named: list[_Mention]) -> list[_Placed]:
    """One filter of all sources that the question says are reporting, or none."""
    rows = [row for row in _rows(question, named) if _is_reporting(question, row)]
    reporting = [mention for row in rows for mention in row]
    silent = [mention for mention in named if mention not in reporting]
    if not reporting or _in_part(question, rows) or not all(_is_subject(question, mention) for mention in silent):
        return []
    firsts = list({mention.sources: mention for mention in reversed(reporting)}.values())[::-1]
    sources = tuple(dict.fromkeys(source for mention in firsts for source in mention.sources))
    joined = len(_rows(question, firsts)) == 1
    words = [question[firsts[0].span[0] : firsts[-1].span[1]]] if joined else [question[slice(*m.span)] for m in firsts]
    spans = tuple((row[0].span[0], row[-1].span[1]) for row in rows)
    return [(firsts[0].span[0], ReadFilter(", ".join(words), Filters(sources=sources), spans))]


def _rows(question: str, named: list[_Mention]) -> list[list[_Mention]]:
    """Mentions in rows: names joined by "and", "or" or a comma share their cue."""
    rows: list[list[_Mention]] = []
    for mention in named:
        if rows and _GLUE.fullmatch(question, rows[-1][-1].span[1], mention.span[0]):
            rows[-1].append(mention)
        else:
            rows.append([mention])
    return rows


def _in_part(question: str, rows: list[list[_Mention]]) -> bool:
    """Does the question go on after its attribution, so that this is of a part only?

    "Who owns the ship, reported by The Age to leak, and is being sued?": other articles may hold the rest.
    """
    placed = [(question[max(0, row[0].span[0] - _AROUND) : row[0].span[0]], row[-1].span[1]) for row in rows]
    before, end = placed[-1]
    joined = _LEADS.search(before) and not _LEADS.fullmatch(before) and _CLAUSE_FOLLOWS.match(question, end)
    return bool(joined) or any(_REPORTED_BY.search(said) and _VERB_LATER.match(question, at) for said, at in placed)


def _is_subject(question: str, mention: _Mention) -> bool:
    """Is it what is reported on? Any other name may be that of one more article which is asked for."""
    start = mention.span[0]
    return _ABOUT.search(question[max(0, start - _AROUND) : start]) is not None


def _is_reporting(question: str, row: list[_Mention]) -> bool:
    """Do the words around the names say that these report?"""
    start, end = row[0].span[0], row[-1].span[1]
    before, rest = question[max(0, start - _AROUND) : start], question[end:][:_AROUND]
    if _LEADS.search(before):
        return not _NAME_GOES_ON.match(rest) or bool(NOUN_FOLLOWS.match(rest))
    if _NAME_BEGAN.search(before) and not _NO_NAME.search(before):
        return False
    if NOUN_FOLLOWS.match(rest):
        return True
    return bool(_VERB_FOLLOWS.match(rest) and _SUBJECT_STARTS.search(before) and not _ITS_OWN.search(question))
