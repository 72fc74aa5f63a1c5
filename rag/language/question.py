"""What a question asks for, as far as its words say so, and whether a sentence offers that.

Only surface signs are used: a date for *when*, a number for *how many*, a name for *who*, a place for *where*,
somebody's words for *what did … say*. They shift the choice between sentences that fit otherwise; they exclude none.
"""

from __future__ import annotations

import re
from enum import Enum

from rag.schema import Span

_REPORTS = (
    r"(?:sa(?:y|ys|id)|tell|told|announc|claim|stress|warn|argu|insist|deny|denied|demand|promis|comment|respond|call"
    r"|ask|answer|urg|accus|describ|present|according to)"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_NOT_A_DAY = rf"(?!(?:{_MONTHS}|{_DAYS})\b)"
_NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    "ninety|hundred|thousand|million|billion|dozen|half|twice|both"
)

_PLACE_ENDS = (
    r"[,.;:!?)”\"’]|$| (?:and|or|but|on|in|at|to|for|from|by|with|near|over|during|after|before|since|until|while|when"
    r"|where|which|who|that|as|is|was|are|were|has|have|had|will|would|next|last|this)\b"
)
"""What follows a place's name; "the Syrian file" names no place."""

MOST_SUB_QUESTIONS = 4
_JOINT = re.compile(
    r"(?:[,;:]|(?<!\s))\s++(?:while|whereas|before|after|prior to|compared (?:to|with)"
    r"|and (?:did|does|do|is|was|has|have))\s++|[,;]\s++(?:and|but|or|yet|nor)\s++|;\s++"
)
"""Where a question over two things may be cut into its sides."""
LEAST_WORDS_OF_A_SUB_QUESTION = 3
_COMPARES = re.compile(
    r"\b(?:compar\w+|differ\w*|versus|vs|both|either|same|more|less|fewer|earlier|later|before|after|first|than"
    r"|between|while|whereas|respectively|agree\w*|contradict\w*)\b|[,;] (?:and|but|or) ",
    re.IGNORECASE,
)


class Asked(Enum):
    """The kinds of answer that are told apart."""

    DATE = "date"
    NUMBER = "number"
    NAME = "name"
    PLACE = "place"
    SPEECH = "speech"
    ANYTHING = "anything"


_QUESTIONS = {
    Asked.DATE: r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|time|century|decade)\b",
    Asked.NUMBER: r"\bhow (?:many|much|often|old|long|far|high|tall|large|big)\b"
    r"|\bwhat (?:percent|percentage|number|share|rate|price)\b",
    Asked.PLACE: r"\bwhere\b|\b(?:what|which) (?:city|country|town|place|province|state|region|village|port)\b",
    Asked.NAME: r"\b(?:who|whom|whose)\b",
    Asked.SPEECH: rf"\bwhat (?:did|does|do|has|have|had)\b.*\b{_REPORTS}|\baccording to\b",
}
_OFFERS = {
    Asked.DATE: rf"\b(?:1\d{{3}}|20\d{{2}})s?\b|\b(?:{_MONTHS}|{_DAYS})\b|\b(?:century|centuries|decade)\b",
    Asked.NUMBER: rf"\d|\b(?i:{_NUMBERS})\b",
    Asked.NAME: r"(?<=[\w,] )[A-Z]\w+",
    Asked.PLACE: rf"\b(?:in|at|near|off|outside|from) (?:the )?{_NOT_A_DAY}[A-Z]\w+(?:[ -][A-Z]\w+)*(?={_PLACE_ENDS})",
    Asked.SPEECH: rf"[“”\"]|\b(?i:{_REPORTS})",
}
_NAME = r"[A-Z][\w.’'-]*\w"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_ANSWERS = {
    Asked.DATE: rf"(?:\b{_DAY} )?\b(?:{_MONTHS})\b(?: {_DAY}\b)?(?:,? \d{{4}}\b)?"
    rf"|\b(?:1\d{{3}}|20\d{{2}})\b|\b(?:{_DAYS})\b",
    Asked.NUMBER: r"[$€£]?\d+(?:[.,]\d+)*(?: (?:percent|per cent|million|billion|trillion|thousand|hundred)\b)?%?"
    rf"|\b(?i:(?:{_NUMBERS})(?:[- ](?:{_NUMBERS}))*)\b",
    Asked.NAME: rf"(?<=[\w,] ){_NAME}(?: (?:(?:of|the|de|von|van|al|bin) )?{_NAME})*",
    Asked.PLACE: rf"(?:(?<=\b[Ii]n )|(?<=\b[Aa]t )|(?<=\bnear ))(?:the )?{_NOT_A_DAY}{_NAME}(?: {_NAME})*",
}
"""What the words of an answer look like, as long as they go."""
_WHETHER = re.compile(
    r"(?:am|is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might|must)(?:n['’]t)?\b",
    re.IGNORECASE,
)
_DENYING = re.compile(
    r"\b(?:not(?! only\b)|never|nor|neither|cannot|without|none|nobody|nothing|\w+n['’]t"
    r"|no(?!\s+\.|\.\s*\d|\.\s+of\b))\b",
    re.IGNORECASE,
)
"""Words that deny; not the "No ." before a number, as in the head of a table."""
_IN_EFFECT = re.compile(
    r"\b(?:fail|refus|declin|reject|oppos|prohibit|avoid|exclud|except|lack|absen|den(?:y|ied)|unable|prevent|ban(?:s|ned)"
    r"|forb[ia]d)",
    re.IGNORECASE,
)
"""Words by which a sentence denies something without a "not"."""
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
NAMED = re.compile(r"(?<![.?!“\"] )(?<!^)\b[A-Z][\w’'-]+|\b[A-Z]{2,}\b|\b\w*\d(?:[\w.,]*\w)?\b")
"""A name or a figure in a question: a capital that does not only begin a sentence, initials, a word with a digit."""
_LEANING = re.compile(r"[“\"'‘(]*(?:he|she|it|they|his|her|its|their|him|them|this|that|these|those)\b", re.IGNORECASE)
_NEW_TO_THE_QUESTION = {Asked.NAME, Asked.PLACE, Asked.DATE}


def asked(question: str) -> Asked:
    """The first kind whose words the question has."""
    lowered = question.lower()
    return next((kind for kind, words in _QUESTIONS.items() if re.search(words, lowered)), Asked.ANYTHING)


def offers(sentence: str, kind: Asked, question: str) -> bool:
    """Does the sentence have something of the kind asked for? A name, place or date must not be the question's own."""
    if kind is Asked.ANYTHING:
        return False
    known = set(re.findall(r"\w+", question.lower())) if kind in _NEW_TO_THE_QUESTION else set()
    return any(match[0].split()[-1].lower() not in known for match in re.finditer(_OFFERS[kind], sentence))


def answering(sentence: str, kind: Asked, question: str) -> tuple[Span, ...]:
    """Where the sentence says what was asked for; nowhere unless that is clear, which is: it says one such thing."""
    pattern = _ANSWERS.get(kind)
    if not pattern:
        return ()
    spans = [m.span() for m in re.finditer(pattern, sentence) if m[0].strip() and not _stands_in(m[0], question)]
    return (spans[0],) if len(spans) == 1 else ()


def _stands_in(words: str, question: str) -> bool:
    """Does a question have these words? Not inside others: "Time" is new to a question about Times Square."""
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(words)}(?!\w|[.,]\d)", question, re.IGNORECASE) is not None


def denies(question: str) -> bool:
    """Does a question ask for what is not so ("Which ports are not open?")? "Is it not open?" asks whether it is."""
    return bool(_DENYING.search(question)) and not _WHETHER.match(question)


def says_not(sentence: str) -> bool:
    """Does a sentence say "not", or another of the words for it?"""
    return bool(_DENYING.search(sentence))


def can_deny(sentence: str) -> bool:
    """Does a sentence say what is not so, in such words or in effect ("refused to")?"""
    return bool(_DENYING.search(sentence) or _IN_EFFECT.search(sentence))


def named(question: str) -> list[str]:
    """The names and figures of a question, in order."""
    return NAMED.findall(question)


def leans(sentence: str) -> bool:
    """Does a sentence begin with a word that stands for something said before it?"""
    return bool(_LEANING.match(sentence))


def compares(question: str) -> bool:
    """May a question be over several things, so that each of them has to be looked up?"""
    return bool(sub_questions(question)) or (bool(_COMPARES.search(question)) and len(named(question)) > 1)


def sub_questions(question: str) -> list[str]:
    """The sides of a question over several things ("Did A … before B …?"), in order; none if it has only one."""
    found = [part.strip(" ,?") for part in _JOINT.split(question)]
    whole = [part for part in found if len(part.split()) >= LEAST_WORDS_OF_A_SUB_QUESTION]
    return whole[:MOST_SUB_QUESTIONS] if len(whole) > 1 else []
