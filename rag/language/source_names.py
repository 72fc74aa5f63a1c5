"""Sources that a question names as the reporting ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rag.language.english import REPORTS
from rag.language.mentions import AROUND, overlaps_any
from rag.schema import Filters, ReadFilter, Span

# ---- patterns around a source

_VERBS = (
    r"(?:sa(?:y|ys|id|ying)|(?:report|cover|mention|claim|suggest|highlight|discuss|portray|indicat|predict|not|describ"
    r"|quot|stat)(?:e?s|e?d|ing|e)?|publish(?:e[sd]|ing)?|writ(?:es?|ing)|wrote|written)"
)
_BY = (
    r"(?:reported|covered|published|written|said|described|discussed|highlighted|noted|featured|mentioned|quoted|printed"
    r"|posted|run|carried|detailed|stated|claimed)"
)
_LEAD_IN = re.compile(
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
_CONJUNCTION = re.compile(r"[\"'’”]?(?:,? (?:and|or|as well as) |, | & )(?:both )?(?:the )?[\"'‘“]?")
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


# ---- sources


@dataclass(frozen=True, slots=True)
class _Mention:
    """A name in the question, and the sources of the index that have it."""

    span: Span
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """A name of sources, without its article."""

    text: str
    has_article: bool
    sources: tuple[str, ...]

    def spans(self, question: str) -> Iterator[Span]:
        """Its occurrences as a name: "the guardian said" is a person's guardian, "the nytimes.com" is a source."""
        pattern = rf"(?<![\w@/.&-])({'(?:The )?' if self.has_article else ''})({re.escape(self.text)})(?!\w)"
        for match in re.finditer(pattern, question, re.IGNORECASE):
            is_first = self.has_article and not match[1] and _OPENS_SENTENCE.search(question[: match.start()][-3:])
            if self._is_spelled(match[2]) and not is_first and not question.isupper():
                yield match.span()

    def _is_spelled(self, words: str) -> bool:
        pairs = list(zip(self.text.split(), words.split(), strict=False))
        if all(word[0].isupper() or not own[0].isupper() for own, word in pairs) and words[0] != words[0].lower():
            return True
        return words == self.text or len(pairs) > 2 or re.search(r"\w[A-Z]|[0-9]|\w\.\w", self.text) is not None


def _names(sources: tuple[str, ...], question: str) -> list[_Name]:
    """The names that the question may contain: of each source the full name, and the part before a separator."""
    lowered = question.lower()
    return [name for text, name in _all_names(sources) if text in lowered]


@lru_cache(maxsize=8)
def _all_names(sources: tuple[str, ...]) -> tuple[tuple[str, _Name], ...]:
    """The names of sources, each after its lower-case spelling. There may be thousands, the same for each question."""
    names: dict[tuple[str, bool], list[str]] = {}
    for source in dict.fromkeys(sources):
        for name in dict.fromkeys((source.strip(), _SEPARATOR.split(source.strip())[0])):
            text = re.sub(r"^The (?=\w)", "", name)
            if len(text) > 1:
                names.setdefault((text, text != name), []).append(source)
    return tuple(
        (text.lower(), _Name(text, has_article, tuple(owners))) for (text, has_article), owners in names.items()
    )


def sources_named(question: str, sources: tuple[str, ...]) -> list[_Mention]:
    """The sources that the question names, in order; of overlapping names the longest."""
    if len({source for source in sources if source.strip()}) < 2:
        return []
    spans: dict[Span, list[str]] = {}
    for name in _names(sources, question):
        for span in name.spans(question):
            spans.setdefault(span, []).extend(name.sources)
    taken: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if not overlaps_any(span, taken):
            taken.append(span)
    return [_Mention(span, tuple(dict.fromkeys(spans[span]))) for span in sorted(taken)]


def source_filters(question: str, named: list[_Mention]) -> list[ReadFilter]:
    """One filter with all sources that the question names as reporting, or none."""
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
    return [ReadFilter(", ".join(words), Filters(sources=sources), spans)]


def _rows(question: str, named: list[_Mention]) -> list[list[_Mention]]:
    """Mentions grouped: names joined by "and", "or" or a comma share a cue."""
    rows: list[list[_Mention]] = []
    for mention in named:
        if rows and _CONJUNCTION.fullmatch(question, rows[-1][-1].span[1], mention.span[0]):
            rows[-1].append(mention)
        else:
            rows.append([mention])
    return rows


def _in_part(question: str, rows: list[list[_Mention]]) -> bool:
    """Whether the attribution covers only a part of the question, so that other articles may answer the rest.

    "Who owns the ship, reported by The Age to leak, and is being sued?"
    """
    placed = [(question[max(0, row[0].span[0] - AROUND) : row[0].span[0]], row[-1].span[1]) for row in rows]
    before, end = placed[-1]
    continues = _LEAD_IN.search(before) and not _LEAD_IN.fullmatch(before) and _CLAUSE_FOLLOWS.match(question, end)
    return bool(continues) or any(_REPORTED_BY.search(text) and _VERB_LATER.match(question, at) for text, at in placed)


def _is_subject(question: str, mention: _Mention) -> bool:
    """Whether the source is reported on; otherwise it may be one more source whose articles are asked for."""
    start = mention.span[0]
    return _ABOUT.search(question[max(0, start - AROUND) : start]) is not None


def _is_reporting(question: str, row: list[_Mention]) -> bool:
    """Whether the words around the names show that these report."""
    start, end = row[0].span[0], row[-1].span[1]
    before, rest = question[max(0, start - AROUND) : start], question[end:][:AROUND]
    if _LEAD_IN.search(before):
        return not _NAME_GOES_ON.match(rest) or bool(NOUN_FOLLOWS.match(rest))
    if _NAME_BEGAN.search(before) and not _NO_NAME.search(before):
        return False
    if NOUN_FOLLOWS.match(rest):
        return True
    return bool(_VERB_FOLLOWS.match(rest) and _SUBJECT_STARTS.search(before) and not _ITS_OWN.search(question))
