"""Resolve follow-up questions with words and articles of the conversation, without a language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag.language.english import NO_NAMES
from rag.language.question import NAMED
from rag.schema import Query, Turn
from rag.store.derived.fulltext import FullTextIndex
from rag.store.index import Index

DEPENDENT, UNCLEAR, INDEPENDENT = 1.0, 0.3, 0.0
"""Weight of the conversation for a question without a subject, one without a name, and one with a name of its own."""
TURNS = 4
"""The latest turns that are used, besides the first one."""
MOST_CARRIED = 8
"""Words carried over; more would outweigh the question's own."""
FEW_TERMS = 2
"""A question, or its part before "it" or "this", with fewer terms has no subject."""

_CONTINUES = re.compile(
    r"(?:and|but|so|or|also|then|what about|how about|why not|how so|how come)\b|why\W*$"
    r"|(?:any|anything|anyone|something) (?:else|more|other)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(?:he|she|him|her|his|hers|himself|herself)\b", re.IGNORECASE)
_THING = re.compile(
    r"\b(?:it|they|them|its|their|theirs|itself|themselves|this|these"
    r"|(?:after|before|about|during|since|of|with|for|to|from|in|by|did|was|is|do|does|like) that)\b",
    re.IGNORECASE,
)
_REMAINDER = re.compile(r"\b(?:any|anything|anyone|what|who|where) (?:else|other)\b|\bthere\W*$", re.IGNORECASE)
_NAMES = re.compile(r"\b[A-Z][\w’-]+(?: (?:(?:of|the|de|von|van|al|bin|for) )?[A-Z][\w’-]+)*")


def in_context(query: Query, history: Sequence[Turn], index: Index) -> Query:
    """Add to the query what it needs from these turns, oldest first; unchanged if it is independent."""
    weight = dependence(query.question, index.fulltext) if history else INDEPENDENT
    if not weight:
        return query
    recent = list(dict.fromkeys([history[0], *history[-TURNS:]]))
    articles = cited_articles(history) or best_match(recent, index)
    titles = [entry.title for entry in index.entries(articles).values()]
    said = tuple(turn.answer for turn in history)
    return replace(query, weight=weight, carried=carried_words(titles, recent), articles=articles, said=said)


def dependence(question: str, fulltext: FullTextIndex) -> float:
    """How much a question depends on the conversation, judged by its words alone."""
    name = NAMED.search(question)
    person, thing = _PERSON.search(question), _THING.search(question)
    if _CONTINUES.match(question) or _REMAINDER.search(question):
        return DEPENDENT
    if person and not (name and name.start() < person.start()):
        return DEPENDENT
    if thing and not name and len(fulltext.terms(question[: thing.start()])) < FEW_TERMS:
        return DEPENDENT
    if name:
        return INDEPENDENT
    return DEPENDENT if len(fulltext.terms(question)) < FEW_TERMS else UNCLEAR


def cited_articles(history: Sequence[Turn]) -> tuple[str, ...]:
    """The articles of the latest turn that cited any, most cited first."""
    return next((turn.articles for turn in reversed(history) if turn.articles), ())


def best_match(turns: Sequence[Turn], index: Index) -> tuple[str, ...]:
    """The article that best matches the words of these turns, for turns without citations."""
    words = " ".join(f"{turn.question} {turn.answer}" for turn in turns)
    best = index.fulltext.search(words, 1)
    return tuple(stored.passage.article_id for stored in index.passages([key for key, _ in best]))


def carried_words(titles: Sequence[str], turns: Sequence[Turn]) -> str:
    """The words of the first title, and the names in the turns, the latest first."""
    names = [name for turn in reversed(turns) for text in (turn.question, turn.answer) for name in names_in(text)]
    words = " ".join([*titles[:1], *names]).split()
    return " ".join(list(dict.fromkeys(words))[:MOST_CARRIED])


def names_in(text: str) -> list[str]:
    """Runs of capitalized words, without words that are capitalized only at the start of a sentence."""
    runs = (name.split(" ") for name in _NAMES.findall(text))
    return [" ".join(words[words[0] in NO_NAMES :]) for words in runs if words[words[0] in NO_NAMES :]]
