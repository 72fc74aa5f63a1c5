"""Whether a text contains a gold answer, with words, numbers and initials compared as a reader would."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from rag.language.text import visible

YES_OR_NO = frozenset({"yes", "no"})
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SIGN, _POINT = "\ue001", "\ue000"
"""Placeholders for any punctuation, and for the separator inside a number: 3.5, 10:30, 9/11."""
_IN_NUMBER = re.compile(r"(?<=\d)[.:/](?=\d)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""The comma of 1,000."""
_INITIALS = re.compile(r"(?<=(?<!\w)[^\W\d_])\.(?=[^\W\d_](?!\w))")
"""The points of U.S."""
_CLITIC = re.compile(r"(?<=\w)['’](?:s|t|d|m|ll|re|ve)(?!\w)")
"""The end of Manning's or don't; kept as a word, it would contain the gold answer "S"."""
_IN_WORD = re.compile(rf"(?<=[^\W\d_]){_SIGN}+(?=\w)|(?<=\w){_SIGN}+(?=[^\W\d_])")
"""Punctuation inside a word with letters: 24-yard, Manning's, e-mail."""
_FREE_ARTICLES = re.compile(rf"(?<!\w)(?<!\w{_SIGN})(?:an?|the)(?!\w|{_SIGN}\w)")
"""An article outside of words such as A-level."""


def normalized(text: str) -> list[str]:
    """Words in lower case without punctuation and without a, an, the, as SQuAD's script normalises."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


@lru_cache(maxsize=256)
def tokens(text: str, inside: str) -> tuple[str, ...]:
    """Words as `contains` compares them; `inside` replaces punctuation within a word.

    SQuAD's normalisation (evaluate-v2.0.py, `normalize_answer`: lower case, no punctuation, no articles), with a space
    for punctuation between words, without accents, and with 1,000, 3.5 and U.S. as one word each.
    """
    plain = visible(text).casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    plain = _CLITIC.sub("", plain) if inside else plain
    plain = _GROUPED.sub("", _IN_NUMBER.sub(_POINT, _INITIALS.sub("", plain)))
    signed = plain.translate(_signs())
    return tuple(_IN_WORD.sub(inside, _FREE_ARTICLES.sub(" ", signed)).replace(_SIGN, " ").split())


@cache
def _signs() -> Mapping[int, str]:
    """Maps all punctuation and symbols to one sign."""
    characters = map(chr, range(sys.maxunicode + 1))
    return {ord(c): _SIGN for c in characters if unicodedata.category(c)[0] in "PS"}


def contains(said: str, gold: str) -> float:
    """1 if the gold answer's words are consecutive words of the text; a bare yes or no has to be its first word.

    Punctuation within a word counts as a space, as in "24-yard", or as nothing, as in "e-mail", whichever fits.
    """
    whole = tokens(gold, "")
    if len(whole) == 1 and whole[0] in YES_OR_NO:
        return float(tokens(said, "")[:1] == whole)
    return float(any(_has_phrase(tokens(said, inside), tokens(gold, inside)) for inside in (" ", "")))


def _has_phrase(said: Sequence[str], gold: Sequence[str]) -> bool:
    starts = range(len(said) - len(gold) + 1) if gold else ()
    return any(said[start] == gold[0] and said[start : start + len(gold)] == gold for start in starts)


def is_yes_or_no(answers: Sequence[str]) -> bool:
    """Whether every gold answer is a bare yes or no."""
    return bool(answers) and all(" ".join(normalized(answer)) in YES_OR_NO for answer in answers)
