"""The facts of a sentence that can be checked word by word: numbers, names, and whether it denies something."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from rag.language.english import NUMBERS, OPENERS, ORDINALS, TENS, either
from rag.language.question import can_deny, says_not
from rag.schema import Span

_TENS = {word: 10 * n for n, word in enumerate(TENS, 2)}
_ORDINALS = {
    **{word: number for number, word in enumerate(ORDINALS, 1)},
    **{f"{word}th": number for number, word in enumerate(NUMBERS) if number > 12},
    **{f"{word[:-1]}ieth": number for word, number in _TENS.items()},
}
_VALUES = {word: number for number, word in enumerate(NUMBERS)} | _ORDINALS | {"dozen": 12}
_SCALES = {"m": "million", "mn": "million", "bn": "billion", "tn": "trillion", "k": "thousand"}
_NUMBER = re.compile(
    r"(?P<digits>(?:(?<![\w.,])\.)?\d+(?:[.,]\d+)*)(?P<scale>(?:mn?|bn|tn|k)\b)?|(?P<part>[¼-¾⅐-⅞])"
    rf"|\b(?P<tens>{either(TENS)})(?:[- ](?P<unit>{either(NUMBERS[1:10] + ORDINALS[:9])}))?\b"
    rf"|\b(?P<word>{either((*NUMBERS[2:], *tuple(_ORDINALS)[1:], 'dozen'))})\b"
    r"|\b(?P<large>hundred|thousand|million|billion|trillion)s?\b",
    re.IGNORECASE | re.ASCII,  # in Unicode, "ſixty" is a spelling of sixty
)
"""Without "one" and "first", which are seldom numbers, except in "twenty-first"."""
_THOUSANDS = re.compile(r"([1-9]\d{0,2}(?:([.,])\d{3})(?:\2\d{3})*)((?:[.,]\d+)?)")
_WORD = re.compile(r"(?:[^\W\d_]\.){2,}|[^\W_]+(?:[’'][^\W_]+)*")
_SENTENCE_START = re.compile(r"[.!?:“\"]['’”\"]?\s*$")
_LOOKBACK = 12
"""Characters before a word that are searched for the end of a sentence; bounds the time on long texts."""
_GAP = re.compile(r"[ \u00a0]|-| of | of the | and | & | de | van | von | al-| bin ")
_REFUSES = re.compile(
    r"\b(?:fail|refus|declin|reject|den(?:y|ies|ied)|oppos|prohibit|prevent|unable|ban(?:s|ned)?\b)", re.I
)
_ENDINGS = ("", "s", "es", "i", "n", "an", "ian", "ans", "ians", "ese", "ish", "a", "e", "o", "y", "ain")
_SHORTEST_STEM = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a text; words are in lower case and without accents.

    names: runs of words.
    initials: those of the names of several words.
    may_deny, denies, says_not: three levels of evidence that the text denies something, the weakest first.
    """

    figures: frozenset[str]
    names: tuple[tuple[str, ...], ...]
    words: frozenset[str]
    abbreviations: frozenset[str]
    initials: frozenset[str]
    may_deny: bool
    denies: bool
    says_not: bool

    def without_figures(self) -> Facts:
        """The same facts without the numbers."""
        return replace(self, figures=frozenset())

    def missing(self, sources: Iterable[Facts]) -> list[str]:
        """Numbers, and words of names, that none of the sources has."""
        texts = list(sources)
        figures = frozenset[str]().union(*(text.figures for text in texts))
        words = frozenset[str]().union(*(text.words for text in texts))
        abbreviations = frozenset[str]().union(*(text.abbreviations for text in texts))
        initials = self.abbreviations & frozenset[str]().union(*(text.initials for text in texts))
        lacking = sorted(self.figures - figures)
        for name in self.names:
            if len(name) == 1 or _initials(name) not in abbreviations:
                lacking += [word for word in name if word not in initials and not _is_among(word, words)]
        return lacking


def facts_of(text: str, plain: Collection[str] = ()) -> Facts:
    """The facts of a short text; `plain` are words that are no name when capitalized at the start of a sentence."""
    words = words_of(text)
    runs = tuple(tuple(_folded(match[0]) for match in run) for run in _runs(text, plain))
    return Facts(
        frozenset(_figures(text)),
        runs,
        frozenset(words),
        frozenset(_folded(match[0]) for match in _WORD.finditer(text) if _is_abbreviation(match[0])),
        frozenset(_initials(run) for run in runs if len(run) > 1),
        can_deny(text),
        says_not(text) or _REFUSES.search(text) is not None,
        says_not(text),
    )


def name_spans(text: str, plain: Collection[str] = ()) -> list[Span]:
    """The span of each name of a text; `plain` is as in `facts_of`."""
    return [(run[0].start(), run[-1].end()) for run in _runs(text, plain)]


def _runs(text: str, plain: Collection[str]) -> list[list[re.Match[str]]]:
    """The words of each name: capitalized, unless they may be so only for starting a sentence."""
    runs: list[list[re.Match[str]]] = []
    for number, match in enumerate(_WORD.finditer(text)):
        word = _folded(match[0])
        before = text[max(0, match.start() - _LOOKBACK) : match.start()]
        is_first = number == 0 or _SENTENCE_START.search(before) is not None
        no_name = is_first and (word in OPENERS or word in plain or _NUMBER.fullmatch(word))
        if match[0][0].isupper() and word != "i" and not no_name:
            if runs and _GAP.fullmatch(text[runs[-1][-1].end() : match.start()]):
                runs[-1].append(match)
            else:
                runs.append([match])
    return runs


def _is_abbreviation(word: str) -> bool:
    return len(_folded(word)) > 1 and _bare(word).isupper()


def words_of(text: str) -> list[str]:
    """The words of a text in order, in lower case and without accents."""
    return [_folded(match[0]) for match in _WORD.finditer(text)]


def lower_words(text: str) -> frozenset[str]:
    """The words that a text has in lower case, and which are therefore no names."""
    return frozenset(_folded(match[0]) for match in _WORD.finditer(text) if match[0].islower())


def _figures(text: str) -> Iterable[str]:
    for match in _NUMBER.finditer(text):
        if match["digits"]:
            yield _plain_number(match["digits"])
            if match["scale"]:
                yield _SCALES[match["scale"].lower()]
        elif match["part"]:
            yield match["part"]
        elif match["tens"]:
            yield str(_TENS[match["tens"].lower()] + _VALUES[(match["unit"] or "zero").lower()])
        elif match["word"]:
            yield str(_VALUES[match["word"].lower()])
        else:
            yield match["large"].lower()


def _plain_number(digits: str) -> str:
    """A number without thousands separators, leading zeros and an empty fraction."""
    parts = _THOUSANDS.fullmatch(digits)
    whole = re.sub("[.,]", "", parts[1]) + parts[3] if parts else digits
    number = whole.replace(",", ".")
    return re.sub(r"\.0+$", "", number).lstrip("0") or "0"


def _bare(word: str) -> str:
    return re.sub(r"[’']s?$", "", word.replace(".", ""))


def _folded(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", _bare(word)).casefold() if not unicodedata.combining(c))


def _initials(name: Iterable[str]) -> str:
    return "".join(word[:1] for word in name)


def _is_among(word: str, words: frozenset[str]) -> bool:
    """Whether the words contain it, or a derived form of the same name (China, Chinese)."""
    if word in words:
        return True
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    return any(len(stem) >= _SHORTEST_STEM and f"{stem}{ending}" in words for stem in stems for ending in _ENDINGS)
