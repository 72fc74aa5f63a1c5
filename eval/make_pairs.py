"""Pairs made from a corpus: sentences with a fact left out, which needs no model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import count as counted_from
from itertools import islice

from ingest.split import sentences_of
from rag.index import Index
from rag.schema import Article, QAPair, Span

BLANK = "____"
CLOZE = "cloze"
FEWEST_WORDS, MOST_WORDS = 8, 40

_NAME = r"[A-Z][\w-]*\w(?:[’'](?!s\b)\w+)?"
_FACT = re.compile(
    r"(?<![\w.,:–-])(?P<number>\$?\d+(?:[.,:]\d+)*(?: (?:million|billion|percent|per cent)\b|%)?)(?![\w–-]|[.,:]\d)"
    rf"|\b[a-z][\w’'-]*,? (?P<name>{_NAME}(?: (?:(?:of|the|de|van|bin) )?{_NAME})*)(?![\w-]|\.? [A-Z])"
)
"""A number that is no part of another, or a name after a word in lower case, so that it is a whole one."""
_WHOLE = re.compile(r"[“\"‘']?[A-Z0-9].*[.!?][”\"’']?", re.DOTALL)


def cloze_pairs(index: Index, count: int, seed: int = 1) -> Iterator[QAPair]:
    """At most `count` pairs: a sentence with a number or a name blanked out, which is the answer (Taylor 1953).

    As many of each article as of any other, as far as it has enough; the same ones for the same seed. Far easier to
    find than what people ask, since the question has most of its sentence's words: such pairs compare settings, and
    their level says little.
    """
    ids = sorted((entry.id for entry in index.articles()), key=lambda article_id: _draw(seed, article_id))
    return islice(_in_rounds(index, ids, seed), count)


def clozes(article: Article, seed: int = 1) -> list[QAPair]:
    """All that an article gives: one a sentence, in the order drawn."""
    pairs = {}
    for span in sentences_of(article.text):
        sentence = article.text[span.start : span.end]
        found = [match.span(match.lastgroup or 0) for match in _FACT.finditer(sentence)]
        facts = [(start, end) for start, end in found if sentence.count(sentence[start:end]) == 1]
        if facts and FEWEST_WORDS <= span.words <= MOST_WORDS and _WHOLE.fullmatch(sentence):
            pair = _cloze(article.id, sentence, min(facts, key=lambda fact: _draw(seed, f"{fact} {sentence}")))
            pairs[pair.id] = pair
    return sorted(pairs.values(), key=lambda pair: _draw(seed, pair.id))


def _in_rounds(index: Index, ids: list[str], seed: int) -> Iterator[QAPair]:
    for turn in counted_from():
        left = []
        for article_id in ids:
            article = index.article(article_id)
            pairs = clozes(article, seed) if article else []
            if turn < len(pairs):
                left.append(article_id)
                yield pairs[turn]
        ids = left
        if not ids:
            return


def _cloze(article_id: str, sentence: str, fact: Span) -> QAPair:
    question = f"{sentence[: fact[0]]}{BLANK}{sentence[fact[1] :]}"
    return QAPair(
        id=f"{CLOZE}-{hashlib.sha256(f'{article_id} {question}'.encode()).hexdigest()[:12]}",
        question=question,
        answers=(sentence[slice(*fact)],),
        articles=(article_id,),
        evidence=(sentence,),
        answerable=True,
        kind=CLOZE,
    )


def _draw(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
