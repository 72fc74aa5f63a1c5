"""Whether a text contains a gold answer: tokens, figures and initials compared as readers would."""

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
"""Stand for any punctuation, and for the point of a figure: of 3.5, of 10:30, of 9/11."""
_IN_FIGURE = re.compile(r"(?<=\d)[.:/](?=\d)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""The comma of 1,000."""
_INITIALS = re.compile(r"(?<=(?<!\w)[^\W\d_])\.(?=[^\W\d_](?!\w))")
"""The points of U.S."""
_CLITIC = re.compile(r"(?<=\w)['’](?:s|t|d|m|ll|re|ve)(?!\w)")
"""The end of Manning's or don't: left as a word, it would contain the gold answer "S"."""
_IN_WORD = re.compile(rf"(?<=[^\W\d_]){_SIGN}+(?=\w)|(?<=\w){_SIGN}+(?=[^\W\d_])")
"""Punctuation inside a word of which a part is letters: 24-yard, Manning's, e-mail."""
_FREE_ARTICLES = re.compile(rf"(?<!\w)(?<!\w{_SIGN})(?:an?|the)(?!\w|{_SIGN}\w)")
"""An article that is no part of a word such as A-level."""


def normalized(text: str) -> list[str]:
    """Words in lower case without punctuation and without a, an, the: the normalisation of SQuAD's own script."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


@lru_cache(maxsize=256)
def tokens(text: str, inside: str) -> tuple[str, ...]:
    """Words as `contains` compares them: `inside` is put in place of punctuation within a word.

    SQuAD's normalisation (evaluate-v2.0.py, `normalize_answer`: lower case, no punctuation, no articles), with a space
    for punctuation that parts words, without accents, and with 1,000, 3.5 and U.S. as one word each.
    """
    plain = visible(text).casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    plain = _CLITIC.sub("", plain) if inside else plain
    plain = _GROUPED.sub("", _IN_FIGURE.sub(_POINT, _INITIALS.sub("", plain)))
    signed = plain.translate(_signs())
    return tuple(_IN_WORD.sub(inside, _FREE_ARTICLES.sub(" ", signed)).replace(_SIGN, " ").split())


@cache
def _signs() -> Mapping[int, str]:
    """All punctuation and all symbols → one sign."""
    characters = map(chr, range(sys.maxunicode + 1))
    return {ord(c): _SIGN for c in characters if unicodedata.category(c)[0] in "PS"}


def contains(said: str, gold: str) -> float:
    """1 if the gold answer's words stand in a row in what is said; a bare yes or no has to be its first word.

    Punctuation within a word counts as a space, as in "24-yard", or for nothing, as in "e-mail", whichever fits.
    """
    whole = tokens(gold, "")
    if len(whole) == 1 and whole[0] in YES_OR_NO:
        return float(tokens(said, "")[:1] == whole)
    return float(any(_stand_in(tokens(said, inside), tokens(gold, inside)) for inside in (" ", "")))


def _stand_in(said: Sequence[str], gold: Sequence[str]) -> bool:
    starts = range(len(said) - len(gold) + 1) if gold else ()
    return any(said[start] == gold[0] and said[start : start + len(gold)] == gold for start in starts)


def is_yes_or_no(answers: Sequence[str]) -> bool:
    """Is every gold answer a bare yes or no?"""
    return bool(answers) and all(" ".join(normalized(answer)) in YES_OR_NO for answer in answers)
