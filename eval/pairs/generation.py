"""Generates pairs from a corpus: cloze questions, without a model, or questions written by a model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

from eval.matching import contains
from eval.pairs.reading import find_quote, parse_pair
from eval.pairs.schema import QAPair
from ingest.articles.passages import sentences_of
from rag.models import prompts
from rag.schema import Article, Failure, Span
from rag.store.index import Index

BLANK = "____"
CLOZE, WRITTEN = "cloze", "written by a model"
MIN_WORDS, MAX_WORDS = 8, 40
"""Length of a sentence that becomes a cloze question."""
PER_ARTICLE = 3
"""Questions a model writes about one article; with more, the later ones are trivial."""
PROMPT_CHARACTERS = 6000
"""The part of an article in a prompt, so that it fits a small model's context."""

_NAME = r"[A-Z][\w-]*\w(?:[’'](?!s\b)\w+)?"
_FACT = re.compile(
    r"(?<![\w.,:–-])(?P<number>\$?\d+(?:[.,:]\d+)*(?: (?:million|billion|percent|per cent)\b|%)?)(?![\w–-]|[.,:]\d)"
    rf"|\b[a-z][\w’'-]*,? (?P<name>{_NAME}(?: (?:(?:of|the|de|van|bin) )?{_NAME})*)(?![\w-]|\.? [A-Z])"
)
"""A whole number, or a name after a word in lower case, which makes it a whole name."""
_WHOLE = re.compile(r"[“\"‘']?[A-Z0-9].*[.!?][”\"’']?", re.DOTALL)

Write = Callable[[prompts.Prompt], str]
"""Prompt → reply."""


def cloze_pairs(index: Index, count: int, seed: int = 1) -> Iterator[QAPair]:
    """At most `count` cloze pairs: a sentence with a number or a name blanked out, which is the answer (Taylor 1953).

    Articles contribute equally as far as they can; the same seed gives the same pairs. They are far easier to find
    than people's questions, since they have most of their sentence's words: use them to compare settings.
    """
    return islice(_round_robin(index, _drawn_ids(index, seed), seed, count), count)


def written_pairs(index: Index, write: Write, count: int, seed: int = 1) -> Iterator[QAPair | Failure]:
    """At most `count` pairs whose questions a model writes; the articles are drawn at random.

    A question whose evidence is not in its article, word for word, or does not contain the answer, is a failure.
    """
    seen: set[str] = set()
    for article_id in _drawn_ids(index, seed):
        article = index.article(article_id)
        for pair in _written(article, write, min(PER_ARTICLE, count - len(seen)), seed) if article else ():
            if isinstance(pair, Failure):
                yield pair
            elif pair.id not in seen:
                seen.add(pair.id)
                yield pair
        if len(seen) >= count:
            return


def _written(article: Article, write: Write, count: int, seed: int) -> Iterator[QAPair | Failure]:
    reply = write(prompts.questions(article.title, _part(article.text, seed), count))
    try:
        entries = json.loads(reply[reply.index("[") : reply.rindex("]") + 1])[:count]
    except (ValueError, RecursionError):
        yield Failure(article.id, "the model's reply is not a JSON list of questions")
        return
    for number, entry in enumerate(entries, 1):
        yield _verified(article, entry, f"{article.id}, question {number}")


def _part(text: str, seed: int) -> str:
    """The text, or a part of a long text that starts at a random sentence."""
    starts = [span.start for span in sentences_of(text) if span.start <= max(0, len(text) - PROMPT_CHARACTERS)]
    start = min(starts, key=lambda start: _draw(seed, f"{start} {text}"), default=0)
    return text[start : start + PROMPT_CHARACTERS]


def _verified(article: Article, entry: object, where: str) -> QAPair | Failure:
    try:
        question, answer, evidence = (str(entry[name]) for name in ("question", "answer", "evidence"))  # type: ignore[index]
    except (KeyError, TypeError):
        return Failure(where, "is not an object with a question, an answer and evidence")
    span = find_quote(article.text, evidence)
    if not span:
        return Failure(where, f"its evidence is not in the article, word for word: {evidence[:80]!r}")
    if not contains(evidence, answer):
        return Failure(where, f"its evidence does not contain its answer {answer[:80]!r}")
    pair = {
        "id": f"written-{hashlib.sha256(f'{article.id} {question}'.encode()).hexdigest()[:12]}",
        "question": question,
        "answers": [answer],
        "articles": [article.id],
        "evidence": [article.text[slice(*span)]],
        "kind": WRITTEN,
    }
    return parse_pair(where, pair)


def clozes(article: Article, seed: int = 1) -> list[QAPair]:
    """All cloze pairs of an article, at most one a sentence, in random order."""
    pairs = {}
    for span in sentences_of(article.text):
        sentence = article.text[span.start : span.end]
        matches = [match.span(match.lastgroup or 0) for match in _FACT.finditer(sentence)]
        facts = [(start, end) for start, end in matches if sentence.count(sentence[start:end]) == 1]
        if facts and MIN_WORDS <= span.words <= MAX_WORDS and _WHOLE.fullmatch(sentence):
            pair = _cloze(article.id, sentence, min(facts, key=lambda fact: _draw(seed, f"{fact} {sentence}")))
            pairs[pair.id] = pair
    return sorted(pairs.values(), key=lambda pair: _draw(seed, pair.id))


def _round_robin(index: Index, ids: list[str], seed: int, count: int) -> Iterator[QAPair]:
    """A pair of each article, then a second one, and so on; `count` limits the pairs held in memory."""
    taken = 0
    while ids:
        most = -(-count // len(ids))
        ready = {article_id: _slice(index, article_id, seed, slice(taken, taken + most)) for article_id in ids}
        for turn in range(most):
            yield from (ready[article_id][turn] for article_id in ids if turn < len(ready[article_id]))
        ids = [article_id for article_id in ids if len(ready[article_id]) == most]
        taken += most


def _slice(index: Index, article_id: str, seed: int, which: slice) -> list[QAPair]:
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
