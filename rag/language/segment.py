"""Where sentences end: sentencex, corrected after abbreviations that it does not know."""

from __future__ import annotations

import re

from sentencex import get_sentence_boundaries

_TITLES = frozenset(
    "Adm Amb Atty Brig Capt Cdr Cllr Cmdr Col Cpl Det Dr Fr Gen Gov Hon Insp Lieut Lt Maj Messrs Mr Mrs Ms Mx Pfc Pres"
    " Prof Pvt Rep Rev Sen Sens Sgt St Supt Treas Ven Mt Ft".split()
)
"""Before a name; case matters."""
_NEVER_LAST = frozenset("approx cf eds eg esp est excl figs i.e e.g incl nos pp q.v resp tel v vs viz ca circa".split())
"""Something always follows."""
_BEFORE_MORE = frozenset(
    "a.m al app apr art assn assoc aug ave avg bldg blvd bros ch co corp d.c dec dept div e.u ed enc eq etc ext "
    "feb fig fl ft gal govt hon hr hrs inc jan jr jul jun km lb lbs ltd mar max min mins misc mph mt natl no nov "
    "oct op orig p p.m par para pl pop pt qty rd ref refs rev sec sep sept ser sr st temp trans u.k u.n u.s univ "
    "vol vols wt yr yrs".split()
)
"""May end a sentence; they do not where a small letter or a figure follows."""
_LAST_WORD = re.compile(r"(?<![\w.])((?:\w+\.)*\w+)\.[\s\"'”’)\]]*\Z")
_GOES_ON = re.compile(r"[\"'“‘(\[]*[a-z\d]")
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]]*\s*\Z")
_LOOKED_BACK = 40


def sentence_ends(text: str) -> list[int]:
    """Where each sentence of a text ends, the white space behind it included; the last end is the text's.

    By English rules. The time grows with the square of a text in which no sentence ends: give it some thousands of
    characters at most.
    """
    ends: list[int] = []
    for boundary in get_sentence_boundaries("en", text):
        start, end = boundary["start_index"], boundary["end_index"]
        if ends and _continues(text[max(0, start - _LOOKED_BACK) : start], text[start : start + _LOOKED_BACK]):
            ends.pop()
        ends.append(end)
    return ends


def is_ended(text: str) -> bool:
    """Does a text end as a sentence does, and not with an abbreviation before its next word?"""
    found = _LAST_WORD.search(text[-_LOOKED_BACK:])
    return bool(_ENDED.search(text[-_LOOKED_BACK:])) and not (found and _is_never_last(found[1]))


def _continues(before: str, after: str) -> bool:
    """Does a sentence go on behind a point, since that is an abbreviation's?"""
    found = None if "\n" in before[len(before.rstrip()) :] else _LAST_WORD.search(before)
    if not found:
        return False
    return _is_never_last(found[1]) or (found[1].lower() in _BEFORE_MORE and bool(_GOES_ON.match(after)))


def _is_never_last(word: str) -> bool:
    return word in _TITLES or word.lower() in _NEVER_LAST
