"""Question-answer pairs: reading them, and the sample ones that come with Pullquote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
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
    """Questions of the sample pairs, on as different articles as can be, if the index holds the sample corpus."""
    pairs = [pair for pair in sample_pairs() if pair.answerable and not pair.history and len(pair.articles) == 1]
    known = index.entries([pair.articles[0] for pair in pairs])
    by_article: dict[str, str] = {}
    for pair in pairs:
        if pair.articles[0] in known:
            by_article.setdefault(pair.articles[0], pair.question)
    return list(by_article.values())[:: max(1, len(by_article) // limit)][:limit]


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
