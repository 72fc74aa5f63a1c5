"""What in a sentence can be checked word by word: its figures, its names, and whether it denies something."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from rag.language.english import OPENERS
from rag.language.question import can_deny, says_not
from rag.schema import Span

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_WORDS = {word: number for number, word in enumerate(f"{_UNITS} eighteen nineteen".split())}
_TENS = {word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
_FIRST_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_ORDINALS = {
    **{word: number for number, word in enumerate(_FIRST_ORDINALS, 1)},
    **{f"{word}th": number for word, number in _WORDS.items() if number > 12},
    **{f"{word[:-1]}ieth": number for word, number in _TENS.items()},
}
_SCALES = {"m": "million", "mn": "million", "bn": "billion", "tn": "trillion", "k": "thousand"}
_NUMBER = re.compile(
    r"(?P<digits>(?:(?<![\w.,])\.)?\d+(?:[.,]\d+)*)(?P<scale>(?:mn?|bn|tn|k)\b)?|(?P<part>[¼-¾⅐-⅞])"
    rf"|\b(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<unit>{'|'.join([*list(_WORDS)[1:10], *_FIRST_ORDINALS[:9]])}))?\b"
    rf"|\b(?P<word>{'|'.join([*list(_WORDS)[2:], *list(_ORDINALS)[1:], 'dozen'])})\b"
    r"|\b(?P<large>hundred|thousand|million|billion|trillion)s?\b",
    re.IGNORECASE | re.ASCII,  # in Unicode, "ſixty" is a spelling of sixty
)
"""Not "one", which is mostly no number, and not "first", but in "twenty-first"."""
_THOUSANDS = re.compile(r"([1-9]\d{0,2}(?:([.,])\d{3})(?:\2\d{3})*)((?:[.,]\d+)?)")
_WORD = re.compile(r"(?:[^\W\d_]\.){2,}|[^\W_]+(?:[’'][^\W_]+)*")
_BEGINS = re.compile(r"[.!?:“\"]['’”\"]?\s*$")
_LOOKED_BACK = 12
"""Characters before a word in which the end of another sentence is looked for; all of a long text would take long."""
_GAP = re.compile(r"[ \u00a0]|-| of | of the | and | & | de | van | von | al-| bin ")
_REFUSES = re.compile(
    r"\b(?:fail|refus|declin|reject|den(?:y|ies|ied)|oppos|prohibit|prevent|unable|ban(?:s|ned)?\b)", re.I
)
_ENDINGS = ("", "s", "es", "i", "n", "an", "ian", "ans", "ians", "ese", "ish", "a", "e", "o", "y", "ain")
_SHORTEST_STEM = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """The figures of a text, its names as runs of words, all its words, its abbreviations, and its names' initials.

    `may_deny`, `denies` and `says_not` are ever surer signs that it says what is not so.

    Words are in lower case and without accents.
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
        """The same but for its figures."""
        return replace(self, figures=frozenset())

    def missing(self, told: Iterable[Facts]) -> list[str]:
        """Figures of these facts, and words of their names, that none of the texts has."""
        texts = list(told)
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
    """The facts of a sentence or of a few; `plain` are words that may begin a sentence without being a name."""
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
    """Where the names of a text stand, each from its first word to its last; `plain` is as in `facts_of`."""
    return [(run[0].start(), run[-1].end()) for run in _runs(text, plain)]


def _runs(text: str, plain: Collection[str]) -> list[list[re.Match[str]]]:
    """The words of each name: those with a capital, but for what begins a sentence and may be no name for that."""
    runs: list[list[re.Match[str]]] = []
    for number, match in enumerate(_WORD.finditer(text)):
        word = _folded(match[0])
        before = text[max(0, match.start() - _LOOKED_BACK) : match.start()]
        begins = number == 0 or _BEGINS.search(before) is not None
        no_name = begins and (word in OPENERS or word in plain or _NUMBER.fullmatch(word))
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
    """The words that a text has in lower case, and that are no names for that."""
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
            yield str(_TENS[match["tens"].lower()] + _of_word(match["unit"] or "zero"))
        elif match["word"]:
            yield str(_of_word(match["word"]))
        else:
            yield match["large"].lower()


def _of_word(word: str) -> int:
    return {**_WORDS, **_ORDINALS, "dozen": 12}[word.lower()]


def _plain_number(digits: str) -> str:
    """Without signs between thousands, and without zeros that say nothing."""
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
    """One of the words, or one that differs as names and what is named after them do: China, Chinese."""
    if word in words:
        return True
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    return any(len(stem) >= _SHORTEST_STEM and f"{stem}{ending}" in words for stem in stems for ending in _ENDINGS)
