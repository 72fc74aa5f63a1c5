"""Pairs made from a corpus: sentences with a fact left out, which needs no model, or questions that a model writes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

from eval.matching import contains
from eval.pairs.reading import find_quote, parsed
from eval.pairs.schema import QAPair
from ingest.articles.passages import sentences_of
from rag.models import prompts
from rag.schema import Article, Failure, Span
from rag.store.index import Index

BLANK = "____"
CLOZE, WRITTEN = "cloze", "written by a model"
FEWEST_WORDS, MOST_WORDS = 8, 40
AT_ONCE = 3
"""Questions asked for about one article; of more, the later ones are about less and less."""
PROMPT_CHARACTERS = 6000
"""Of an article, so that a small model's context holds it."""

_NAME = r"[A-Z][\w-]*\w(?:[’'](?!s\b)\w+)?"
_FACT = re.compile(
    r"(?<![\w.,:–-])(?P<number>\$?\d+(?:[.,:]\d+)*(?: (?:million|billion|percent|per cent)\b|%)?)(?![\w–-]|[.,:]\d)"
    rf"|\b[a-z][\w’'-]*,? (?P<name>{_NAME}(?: (?:(?:of|the|de|van|bin) )?{_NAME})*)(?![\w-]|\.? [A-Z])"
)
"""A number that is no part of another, or a name after a word in lower case, so that it is a whole one."""
_WHOLE = re.compile(r"[“\"‘']?[A-Z0-9].*[.!?][”\"’']?", re.DOTALL)

Write = Callable[[prompts.Prompt], str]
"""Prompt → reply."""


def cloze_pairs(index: Index, count: int, seed: int = 1) -> Iterator[QAPair]:
    """At most `count` pairs: a sentence with a number or a name blanked out, which is the answer (Taylor 1953).

    As many of each article as of any other, as far as it has enough; the same ones for the same seed. Far easier to
    find than what people ask, since the question has most of its sentence's words: such pairs compare settings, and
    their level says little.
    """
    return islice(_in_rounds(index, _drawn_ids(index, seed), seed, count), count)


def written_pairs(index: Index, write: Write, count: int, seed: int = 1) -> Iterator[QAPair | Failure]:
    """At most `count` pairs whose questions a model wrote; the articles are drawn at random.

    A question whose evidence is not in its article, word for word, or does not hold the answer, is a failure.
    """
    seen: set[str] = set()
    for article_id in _drawn_ids(index, seed):
        article = index.article(article_id)
        for found in _written(article, write, min(AT_ONCE, count - len(seen)), seed) if article else ():
            if isinstance(found, Failure):
                yield found
            elif found.id not in seen:
                seen.add(found.id)
                yield found
        if len(seen) >= count:
            return


def _written(article: Article, write: Write, count: int, seed: int) -> Iterator[QAPair | Failure]:
    reply = write(prompts.questions(article.title, _part(article.text, seed), count))
    try:
        entries = json.loads(reply[reply.index("[") : reply.rindex("]") + 1])[:count]
    except (ValueError, RecursionError):
        yield Failure(article.id, "the model's reply is no JSON list of questions")
        return
    for number, entry in enumerate(entries, 1):
        yield _verified(article, entry, f"{article.id}, question {number}")


def _part(text: str, seed: int) -> str:
    """The text, or of a long one a part that starts with a sentence drawn at random."""
    starts = [span.start for span in sentences_of(text) if span.start <= max(0, len(text) - PROMPT_CHARACTERS)]
    start = min(starts, key=lambda start: _draw(seed, f"{start} {text}"), default=0)
    return text[start : start + PROMPT_CHARACTERS]


def _verified(article: Article, entry: object, where: str) -> QAPair | Failure:
    try:
        question, answer, evidence = (str(entry[name]) for name in ("question", "answer", "evidence"))  # type: ignore[index]
    except (KeyError, TypeError):
        return Failure(where, "is no object with a question, an answer and evidence")
    span = find_quote(article.text, evidence)
    if not span:
        return Failure(where, f"its evidence is not in the article, word for word: {evidence[:80]!r}")
    if not contains(evidence, answer):
        return Failure(where, f"its evidence does not hold its answer {answer[:80]!r}")
    pair = {
        "id": f"written-{hashlib.sha256(f'{article.id} {question}'.encode()).hexdigest()[:12]}",
        "question": question,
        "answers": [answer],
        "articles": [article.id],
        "evidence": [article.text[slice(*span)]],
        "kind": WRITTEN,
    }
    return parsed(where, pair)


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


def _in_rounds(index: Index, ids: list[str], seed: int, count: int) -> Iterator[QAPair]:
    """A pair of each article, then a second of each that has one, and so on; `count` tells how many to hold ready."""
    taken = 0
    while ids:
        most = -(-count // len(ids))
        ready = {article_id: _some(index, article_id, seed, slice(taken, taken + most)) for article_id in ids}
        for turn in range(most):
            yield from (ready[article_id][turn] for article_id in ids if turn < len(ready[article_id]))
        ids = [article_id for article_id in ids if len(ready[article_id]) == most]
        taken += most


def _some(index: Index, article_id: str, seed: int, which: slice) -> list[QAPair]:
    article = index.article(article_id)
    return clozes(article, seed)[which] if article else []


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


def _drawn_ids(index: Index, seed: int) -> list[str]:
    return sorted((entry.id for entry in index.articles()), key=lambda article_id: _draw(seed, article_id))


def _draw(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
