"""English word lists, each word class once, and the sets and pattern parts that rules compose of them."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def either(words: tuple[str, ...]) -> str:
    """The words as alternatives of a pattern."""
    return "|".join(words)


# ---- grammar

ARTICLES = _words("a an the")
PRONOUNS = _words("i you he she it we they his her its their this that these those any there")
QUESTION_WORDS = _words("how what when where which who whom whose why")
AUXILIARIES = _words("is are was were do does did has have had can could will would")
PREPOSITIONS = _words("as at by for from in of on to with")
CONJUNCTIONS = _words("and but if or so then while")
GRAMMAR = ARTICLES | PRONOUNS | QUESTION_WORDS | AUXILIARIES | PREPOSITIONS | CONJUNCTIONS
"""The most frequent words, which carry no subject wherever they stand."""

_LESS_FREQUENT = _words(
    "our your them all many more most much some such no nor not being having about after before under until"
    " also because just than"
)
_NOT_AT_THE_START = _words(
    "me my him hers am be been doing should said say says tell told into off out over up own too"
)
_OPENING_WORDS = _words(
    "another both each either neither nobody none nothing only other others several same one once"
    " according among despite during given like since unlike upon within without"
    " although however instead meanwhile moreover rather therefore though through thus together whether yet yes"
    " almost close earlier even finally here later nearly now overall still today"
    " officials people police researchers scientists"
)

# ---- calendar

MONTHS = tuple("January February March April May June July August September October November December".split())
WEEKDAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())

# ---- numbers

NUMBERS = (
    *"zero one two three four five six seven eight nine ten eleven twelve".split(),
    *"thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(),
)
"""0–19; the index is the value."""
TENS = tuple("twenty thirty forty fifty sixty seventy eighty ninety".split())
ORDINALS = tuple("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split())
"""1–12; the others are formed from NUMBERS and TENS."""

# ---- abbreviations, without their final point

TITLES = _words(
    "Adm Amb Atty Brig Capt Cdr Cllr Cmdr Col Cpl Det Dr Fr Gen Gov Hon Insp Lieut Lt Maj Messrs Mr Mrs Ms Mx Pfc Pres"
    " Prof Pvt Rep Rev Sen Sens Sgt St Supt Treas Ven Mt Ft"
)
"""Always followed by a name; case-sensitive."""
NEVER_LAST = _words("approx cf eds eg esp est excl figs i.e e.g incl nos pp q.v resp tel v vs viz ca circa")
"""Never the last word of a sentence."""
SELDOM_LAST = _words(
    "a.m al app apr art assn assoc aug ave avg bldg blvd bros ch co corp d.c dec dept div e.u ed enc eq etc ext "
    "feb fig fl ft gal govt hon hr hrs inc jan jr jul jun km lb lbs ltd mar max min mins misc mph mt natl no nov "
    "oct op orig p p.m par para pl pop pt qty rd ref refs rev sec sep sept ser sr st temp trans u.k u.n u.s univ "
    "vol vols wt yr yrs"
)
"""The last word of a sentence unless a small letter or a digit follows."""

# ---- what rules use

FUNCTION_WORDS = sorted(GRAMMAR | _LESS_FREQUENT | _NOT_AT_THE_START)
"""Stop words of the full-text index, which neither match nor count as unmatched; a list, as tantivy takes it."""
OPENERS = GRAMMAR | _LESS_FREQUENT | _OPENING_WORDS
"""Words that are capitalized at the start of a sentence and are no name."""
NO_NAMES = frozenset(word.capitalize() for word in GRAMMAR)
"""GRAMMAR as it starts a sentence: not the first word of a name in a conversation."""
NO_SUBJECTS = frozenset(word.lower() for word in (*MONTHS, *WEEKDAYS)) | _words("mr mrs ms dr st")
"""Capitalized words that no question is suggested about."""

NEWS = r"(?:articles?|stor(?:y|ies)|coverage|pieces?|posts?|issues?|editions?|columns?|editorials?|op-eds?|reviews?)"
REPORTS = rf"(?:{NEWS}|reports?|reporting|interviews?|headlines?|newsletters?|news)"
PRINTED = r"(?:published|posted|printed|dated|reported)"
SAYS = "said|says|told|warned|announced|argued|added|explained|promised|insisted|claimed"
