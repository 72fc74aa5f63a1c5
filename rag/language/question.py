"""The expected answer type of a question, by its words, and whether a sentence has something of that type.

Only surface features are used: a date for *when*, a number for *how many*, a name for *who*, a place for *where*,
reported speech for *what did … say*. They rank sentences that otherwise fit equally; they exclude none.
"""

from __future__ import annotations

import re
from enum import Enum

from rag.language.english import MONTHS, NUMBERS, TENS, WEEKDAYS, either
from rag.schema import Span

_SPEECH = (
    r"(?:sa(?:y|ys|id)|tell|told|announc|claim|stress|warn|argu|insist|deny|denied|demand|promis|comment|respond|call"
    r"|ask|answer|urg|accus|describ|present|according to)"
)
_MONTHS, _DAYS = either(MONTHS), either(WEEKDAYS)
_NOT_A_DAY = rf"(?!(?:{_MONTHS}|{_DAYS})\b)"
_NUMBERS = f"{either(NUMBERS[1:13] + TENS)}|hundred|thousand|million|billion|dozen|half|twice|both"
_PLACE_ENDS = (
    r"[,.;:!?)”\"’]|$| (?:and|or|but|on|in|at|to|for|from|by|with|near|over|during|after|before|since|until|while|when"
    r"|where|which|who|that|as|is|was|are|were|has|have|had|will|would|next|last|this)\b"
)
"""What follows the name of a place; "the Syrian file" names none."""

MOST_SUB_QUESTIONS = 4
_SPLIT = re.compile(
    r"(?:[,;:]|(?<!\s))\s++(?:while|whereas|before|after|prior to|compared (?:to|with)"
    r"|and (?:did|does|do|is|was|has|have))\s++|[,;]\s++(?:and|but|or|yet|nor)\s++|;\s++"
)
"""Where a question about two things may be split."""
MIN_SUB_QUESTION_WORDS = 3
_COMPARES = re.compile(
    r"\b(?:compar\w+|differ\w*|versus|vs|both|either|same|more|less|fewer|earlier|later|before|after|first|than"
    r"|between|while|whereas|respectively|agree\w*|contradict\w*)\b|[,;] (?:and|but|or) ",
    re.IGNORECASE,
)


class Asked(Enum):
    """Expected answer types."""

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
    Asked.SPEECH: rf"\bwhat (?:did|does|do|has|have|had)\b.*\b{_SPEECH}|\baccording to\b",
}
_OFFERS = {
    Asked.DATE: rf"\b(?:1\d{{3}}|20\d{{2}})s?\b|\b(?:{_MONTHS}|{_DAYS})\b|\b(?:century|centuries|decade)\b",
    Asked.NUMBER: rf"\d|\b(?i:{_NUMBERS})\b",
    Asked.NAME: r"(?<=[\w,] )[A-Z]\w+",
    Asked.PLACE: rf"\b(?:in|at|near|off|outside|from) (?:the )?{_NOT_A_DAY}[A-Z]\w+(?:[ -][A-Z]\w+)*(?={_PLACE_ENDS})",
    Asked.SPEECH: rf"[“”\"]|\b(?i:{_SPEECH})",
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
"""The longest span of each type that answers the question."""
_YES_NO = re.compile(
    r"(?:am|is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might|must)(?:n['’]t)?\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not(?! only\b)|never|nor|neither|cannot|without|none|nobody|nothing|\w+n['’]t"
    r"|no(?!\s+\.|\.\s*\d|\.\s+of\b))\b",
    re.IGNORECASE,
)
"""Negations; not the "No ." before a number, as in a table's header."""
_IMPLICIT_DENIAL = re.compile(
    r"\b(?:fail|refus|declin|reject|oppos|prohibit|avoid|exclud|except|lack|absen|den(?:y|ied)|unable|prevent|ban(?:s|ned)"
    r"|forb[ia]d)",
    re.IGNORECASE,
)
"""Words that deny something without a negation."""
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
NAMED = re.compile(r"(?<![.?!“\"] )(?<!^)\b[A-Z][\w’'-]+|\b[A-Z]{2,}\b|\b\w*\d(?:[\w.,]*\w)?\b")
"""A name or number in a question: a capitalized word inside a sentence, initials, or a word with a digit."""
_ANAPHOR = re.compile(r"[“\"'‘(]*(?:he|she|it|they|his|her|its|their|him|them|this|that|these|those)\b", re.IGNORECASE)
_NEW_TO_THE_QUESTION = {Asked.NAME, Asked.PLACE, Asked.DATE}


def asked(question: str) -> Asked:
    """The expected answer type of a question: the first whose words it has."""
    lowered = question.lower()
    return next((kind for kind, words in _QUESTIONS.items() if re.search(words, lowered)), Asked.ANYTHING)


def has_answer_type(sentence: str, kind: Asked, question: str) -> bool:
    """Whether the sentence has something of the expected type; a name, place or date must be new to the question."""
    if kind is Asked.ANYTHING:
        return False
    known = set(re.findall(r"\w+", question.lower())) if kind in _NEW_TO_THE_QUESTION else set()
    return any(match[0].split()[-1].lower() not in known for match in re.finditer(_OFFERS[kind], sentence))


def answering(sentence: str, kind: Asked, question: str) -> tuple[Span, ...]:
    """The span of the sentence that answers the question, if exactly one is of the expected type."""
    pattern = _ANSWERS.get(kind)
    if not pattern:
        return ()
    spans = [m.span() for m in re.finditer(pattern, sentence) if m[0].strip() and not _contains(question, m[0])]
    return (spans[0],) if len(spans) == 1 else ()


def _contains(question: str, words: str) -> bool:
    """Whether the question has these whole words: "Time" is new to a question about Times Square."""
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(words)}(?!\w|[.,]\d)", question, re.IGNORECASE) is not None


def denies(question: str) -> bool:
    """Whether a question asks for what is not so ("Which ports are not open?"); "Is it not open?" does not."""
    return bool(_NEGATION.search(question)) and not _YES_NO.match(question)


def says_not(sentence: str) -> bool:
    """Whether a sentence has a negation."""
    return bool(_NEGATION.search(sentence))


def can_deny(sentence: str) -> bool:
    """Whether a sentence may deny something, by a negation or implicitly ("refused to")."""
    return bool(_NEGATION.search(sentence) or _IMPLICIT_DENIAL.search(sentence))


def named(question: str) -> list[str]:
    """The names and numbers of a question, in order."""
    return NAMED.findall(question)


def starts_with_anaphor(sentence: str) -> bool:
    """Whether a sentence begins with a pronoun that refers to the sentence before it."""
    return bool(_ANAPHOR.match(sentence))


def compares(question: str) -> bool:
    """Whether a question may be about several things, each of which has to be searched for."""
    return bool(sub_questions(question)) or (bool(_COMPARES.search(question)) and len(named(question)) > 1)


def sub_questions(question: str) -> list[str]:
    """The parts of a question about several things ("Did A … before B …?"), in order; none if there is only one."""
    parts = [part.strip(" ,?") for part in _SPLIT.split(question)]
    clauses = [part for part in parts if len(part.split()) >= MIN_SUB_QUESTION_WORDS]
    return clauses[:MOST_SUB_QUESTIONS] if len(clauses) > 1 else []
