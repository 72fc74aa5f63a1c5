"""Question-answer pairs: reading them, and the sample ones that come with Pullquote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from itertools import islice
from typing import Any

from rag.errors import ReadError
from rag.index import Index
from rag.schema import QAPair, Turn


def parse_pairs(lines: Iterable[str]) -> Iterator[QAPair]:
    """Pairs from JSON Lines; blank lines are passed over. Raises ReadError with the number of a broken line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _pair(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ReadError(f"line {number} is no question-answer pair ({error!r}); mend or delete it") from error


def sample_pairs() -> list[QAPair]:
    """The pairs over the sample corpus."""
    return list(parse_pairs(files("eval").joinpath("data/pairs.jsonl").read_text("utf-8").splitlines()))


def sample_questions(index: Index, limit: int = 4) -> list[str]:
    """Questions of the sample pairs, each of another article, if the index holds the sample corpus."""
    pairs = [pair for pair in sample_pairs() if pair.answerable and not pair.history]
    known = index.entries([article for pair in pairs for article in pair.articles])
    by_article = {pair.articles[0]: pair.question for pair in reversed(pairs) if set(pair.articles) <= set(known)}
    return list(islice(reversed(by_article.values()), limit))


def _pair(fields: Mapping[str, Any]) -> QAPair:
    if not all(isinstance(fields[key], list) for key in ("answers", "articles", "evidence")):
        raise TypeError("answers, articles and evidence are lists")
    if not isinstance(fields["answerable"], bool):
        raise TypeError("answerable is true or false")
    return QAPair(
        id=str(fields["id"]),
        question=str(fields["question"]),
        answers=tuple(fields["answers"]),
        articles=tuple(fields["articles"]),
        evidence=tuple(fields["evidence"]),
        answerable=fields["answerable"],
        history=tuple(Turn(turn["question"], turn["answer"]) for turn in fields.get("history", ())),
    )
