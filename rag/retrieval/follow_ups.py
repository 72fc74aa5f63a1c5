"""What a question takes from the conversation before it, without a language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag.errors import IndexChanging
from rag.language.english import NO_NAMES
from rag.language.question import NAMED
from rag.schema import Query, Turn
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index

LEANS, MAY_LEAN, STANDS = 1.0, 0.3, 0.0
"""How much a question takes from the conversation: its subject is missing; it names none; it names its own."""
TURNS = 4
"""Turns that are looked back on, besides the first."""
MOST_CARRIED = 8
"""Words carried over; more would drown the question's own."""
FEW_WORDS = 2

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
_REST = re.compile(r"\b(?:any|anything|anyone|what|who|where) (?:else|other)\b|\bthere\W*$", re.IGNORECASE)
_NAMES = re.compile(r"\b[A-Z][\w’-]+(?: (?:(?:of|the|de|von|van|al|bin|for) )?[A-Z][\w’-]+)*")


def in_context(query: Query, history: Sequence[Turn], index: Index) -> Query:
    """The query with what it takes from these turns, oldest first: nothing if it stands alone."""
    weight = leaning_of(query.question, index.fulltext) if history else STANDS
    if not weight:
        return query
    recent = list(dict.fromkeys([history[0], *history[-TURNS:]]))
    articles = cited(history) or located(recent, index)
    titles = [entry.title for entry in index.entries(articles).values()]
    said = tuple(turn.answer for turn in history)
    return replace(query, weight=weight, carried=carried(titles, recent), articles=articles, said=said)


def leaning_of(question: str, fulltext: FullTextIndex) -> float:
    """How much a question needs what was said before it, as far as its words tell."""
    name = NAMED.search(question)
    person, thing = _PERSON.search(question), _THING.search(question)
    if _CONTINUES.match(question) or _REST.search(question):
        return LEANS
    if person and not (name and name.start() < person.start()):
        return LEANS
    if thing and not name and len(fulltext.terms(question[: thing.start()])) < FEW_WORDS:
        return LEANS
    if name:
        return STANDS
    return LEANS if len(fulltext.terms(question)) < FEW_WORDS else MAY_LEAN


def cited(history: Sequence[Turn]) -> tuple[str, ...]:
    """The articles of the last turn that cited any, most cited first."""
    return next((turn.articles for turn in reversed(history) if turn.articles), ())


def located(turns: Sequence[Turn], index: Index) -> tuple[str, ...]:
    """The article in which most of what these turns said stands, by its words; for turns that say no article."""
    said = " ".join(f"{turn.question} {turn.answer}" for turn in turns)
    best = index.fulltext.search(said, 1)
    try:
        return tuple(stored.passage.article_id for stored in index.passages([passage_id for passage_id, _ in best]))
    except IndexChanging:
        return ()


def carried(titles: Sequence[str], turns: Sequence[Turn]) -> str:
    """The words of the articles' titles, and the names that were spoken of, the latest first."""
    names = [name for turn in reversed(turns) for said in (turn.question, turn.answer) for name in names_in(said)]
    words = " ".join([*titles[:1], *names]).split()
    return " ".join(list(dict.fromkeys(words))[:MOST_CARRIED])


def names_in(text: str) -> list[str]:
    """Runs of capitalised words, without the words that only begin a sentence."""
    found = (name.split(" ") for name in _NAMES.findall(text))
    return [" ".join(words[words[0] in NO_NAMES :]) for words in found if words[words[0] in NO_NAMES :]]
