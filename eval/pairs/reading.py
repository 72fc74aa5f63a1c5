"""Reads question-answer pairs from JSON Lines, CSV and public sets, checks them, and writes them."""

from __future__ import annotations

import csv
import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from eval.pairs import datasets
from eval.pairs.schema import QAPair
from ingest.content.values import one_line
from rag.chain import Scope, checked
from rag.errors import QuestionError, ReadError
from rag.schema import ArticleEntry, Copy, Failure, Span, Turn
from rag.store.index import Index

Pairs = Iterator[QAPair | Failure]
SAMPLE = Path(str(files("eval"))) / "data"
SAMPLE_ARTICLES = SAMPLE / "articles"
LISTS = ("answers", "answer", "articles", "evidence", "history")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_pairs(path: Path) -> Pairs:
    """The pairs of a file or a folder, one at a time; an invalid entry is a failure with its line.

    Reads JSON Lines, CSV, SQuAD's JSON, MultiHop-RAG's JSON and BEIR folders. Raises ReadError if the file cannot be
    read at all.
    """
    return (parse_pair(where, entry) for where, entry in read_entries(path))


def read_entries(path: Path) -> datasets.Entries:
    """The entries of a file or a folder, not yet parsed as pairs. Raises ReadError as `read_pairs` does."""
    try:
        if path.is_dir():
            yield from datasets.beir_pairs(path)
        elif path.suffix.lower() == ".csv":
            yield from _csv_entries(path)
        else:
            whole = datasets.load_json(path)
            yield from (
                _jsonl_entries(path) if whole is None else datasets.json_pairs(datasets.display_name(path), whole)
            )
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is not UTF-8 ({error.reason}); save it as that") from error
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"cannot read pairs from {path} ({reason}); give a .jsonl, .csv or .json file") from error


def pair_json(pair: QAPair) -> dict[str, Any]:
    """A pair as an object of a pairs file; empty fields with a default are omitted."""
    fields: dict[str, Any] = {"id": pair.id, "question": pair.question}
    if pair.answers or not pair.answerable:
        fields["answers"] = list(pair.answers)
    fields |= {"articles": list(pair.articles), "evidence": list(pair.evidence), "answerable": pair.answerable}
    if pair.history:
        fields["history"] = [{"question": turn.question, "answer": turn.answer} for turn in pair.history]
    if pair.asked_on:
        fields["asked_on"] = pair.asked_on.isoformat()
    return fields | {name: value for name in ("rewrite", "kind") if (value := getattr(pair, name))}


@dataclass(frozen=True, slots=True)
class ArticleNames:
    """The names by which pairs may refer to indexed articles: id, URL, or a title that only one article has.

    An article also goes by the names of its copies, whose text is the same; near-duplicates are articles of their own.
    """

    ids: Mapping[str, str]

    @classmethod
    def of(cls, entries: Iterable[ArticleEntry]) -> Self:
        """The names of these articles."""
        ids: dict[str, str] = {}
        copy_ids: dict[str, str] = {}
        urls_and_titles: dict[str, str] = {}
        for entry in entries:
            ids[entry.id] = entry.id
            for copy in entry.copies:
                _add(copy_ids, copy.id, entry.id)
            places: tuple[ArticleEntry | Copy, ...] = (entry, *entry.copies)
            for place in places:
                _add(urls_and_titles, place.url, entry.id)
                _add(urls_and_titles, place.title, entry.id)
        names = {**urls_and_titles, **copy_ids, **ids}
        return cls({name: article_id for name, article_id in names.items() if name and article_id})

    def to_ids(self, articles: Iterable[str]) -> tuple[str, ...]:
        """The ids of these articles, each once; an unknown name is kept."""
        return tuple(dict.fromkeys(self.ids.get(one_line(name), name) for name in articles))

    def resolve(self, pair: QAPair) -> QAPair | Failure:
        """The pair with its articles by id; a failure if one of them is not in the index."""
        unknown = next((name for name in pair.articles if one_line(name) not in self.ids), None)
        if unknown is not None:
            reason = f"its article {unknown[:80]!r} is not in the index; ingest it, or correct the name"
            return Failure(pair.origin, reason)
        return replace(pair, articles=self.to_ids(pair.articles))


def _add(names: dict[str, str], name: str, article_id: str) -> None:
    """Add a name; one shared by several articles refers to none."""
    names[name] = article_id if names.get(name, article_id) == article_id else ""


def asking_day(pair: QAPair, default: date | None = None) -> Scope:
    """The day a pair was asked on, or the default; empty without either, which means today."""
    day = pair.asked_on or default
    return {"today": day} if day else {}


def check_pairs(pairs: Iterable[QAPair | Failure], names: ArticleNames) -> Pairs:
    """Resolve the articles of pairs; a pair with an unknown article or a repeated id becomes a failure."""
    seen: set[int] = set()
    for pair in pairs:
        if isinstance(pair, QAPair):
            key = hash(pair.id)  # not the id itself: a set of 100,000 of them would be larger than all the rest
            yield repeated_id(pair) if key in seen else names.resolve(pair)
            seen.add(key)
        else:
            yield pair


@dataclass(frozen=True, slots=True)
class Survey:
    """Counts from a first reading of the pairs; `cut` is the largest draw in the sample, None for all pairs."""

    pairs: int
    excluded: int
    failures: tuple[Failure, ...]
    cut: int | None


def survey(pairs: Pairs, sample: int | None, max_failures: int = 20) -> Survey:
    """Count checked pairs, keep the first failures, and find the cut for a sample of a given size."""
    asked = excluded = 0
    failures: list[Failure] = []
    lowest: list[int] = []  # a heap of negated draws: the largest draw of the sample comes first
    for pair in pairs:
        if isinstance(pair, QAPair):
            asked += 1
            if sample is not None:
                (heapq.heappush if len(lowest) < sample else heapq.heappushpop)(lowest, -_draw(pair))
        else:
            excluded += 1
            failures += [pair][: max_failures - len(failures)]
    return Survey(len(lowest) or asked, excluded, tuple(failures), -lowest[0] if lowest else None)


def sampled(pairs: Pairs, cut: int | None) -> Pairs:
    """The failures, and the pairs of the sample, which depends on their ids and not on their order."""
    return (p for p in pairs if cut is None or not isinstance(p, QAPair) or _draw(p) <= cut)


def sample_pairs() -> list[QAPair]:
    """The pairs over the sample corpus."""
    return [pair for pair in read_pairs(SAMPLE / "pairs.jsonl") if isinstance(pair, QAPair)]


def sample_questions(index: Index, limit: int = 4) -> list[str]:
    """Questions of the sample pairs about different articles, if the index has the sample corpus."""
    pairs = [pair for pair in sample_pairs() if pair.answerable and not pair.history and len(pair.articles) == 1]
    known = index.entries([pair.articles[0] for pair in pairs])
    by_article: dict[str, str] = {}
    for pair in pairs:
        if pair.articles[0] in known:
            by_article.setdefault(pair.articles[0], pair.question)
    return list(by_article.values())[:: max(1, len(by_article) // limit)][:limit]


def find_quote(text: str, quote: str) -> Span | None:
    """The first place of a quote in a text, whatever the white space between its words."""
    words = quote.split()
    match = re.search(r"\s+".join(map(re.escape, words)), text) if words else None
    return match.span() if match else None


def _draw(pair: QAPair) -> int:
    return int.from_bytes(hashlib.sha256(pair.id.encode()).digest()[:8])


def repeated_id(pair: QAPair) -> Failure:
    """The failure of a pair whose id an earlier pair has."""
    return Failure(pair.origin, f"its id {pair.id[:80]!r} is that of an earlier pair; give each its own")


def _jsonl_entries(path: Path) -> datasets.Entries:
    with path.open("rb") as lines:
        yield from datasets.parse_json_lines(datasets.display_name(path), lines)


def _csv_entries(path: Path) -> datasets.Entries:
    """Rows below a header; in a list column, a cell holds a JSON list or a single value."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        for row in rows:
            where = f"{datasets.display_name(path)}, line {rows.line_num}"
            yield where, _csv_entry(row, where)


def _csv_entry(row: Mapping[Any, Any], where: str) -> dict[str, Any] | Failure:
    if None in row:
        return Failure(where, "has more cells than the header; quote cells that contain commas")
    cells = {name: cell for name, cell in row.items() if isinstance(cell, str) and cell.strip()}
    try:
        return {n: json.loads(c) if n in LISTS and c.lstrip().startswith("[") else c for n, c in cells.items()}
    except (ValueError, RecursionError) as error:
        return Failure(where, f"has a cell that starts with [ but is not a JSON list ({error}); correct it")


def parse_pair(where: str, entry: Any) -> QAPair | Failure:
    """An entry as a pair, or as a failure with the reason."""
    if isinstance(entry, Failure):
        return entry
    try:
        return _pair(entry, where)
    except ValueError as error:
        return Failure(where, f"{error}; correct or delete it")
    except QuestionError as error:
        return Failure(where, str(error))


def _pair(fields: Any, where: str) -> QAPair:
    """Raises ValueError or QuestionError with the reason."""
    if not isinstance(fields, Mapping) or not isinstance(fields.get("question"), str):
        raise ValueError('is not an object with a "question"')
    answerable = _truth(fields.get("answerable", True))
    given = fields.get("answers", fields.get("answer"))
    answers = tuple(dict.fromkeys(_texts("answers", given))) if answerable else ()
    articles, evidence = _texts("articles", fields.get("articles")), _texts("evidence", fields.get("evidence"))
    if answerable and given is not None and not (answers and all(answer.strip() for answer in answers)):
        raise ValueError("is answerable, but has an empty answer")
    if answerable and not (answers or articles or evidence):
        raise ValueError("has no answers, articles or evidence to measure by")
    return QAPair(
        id=one_line(fields.get("id")) or _made_id(fields),
        question=checked(fields["question"]),
        answers=answers,
        articles=articles,
        evidence=tuple(quote for quote in evidence if quote.strip()),
        answerable=answerable,
        history=_turns(fields.get("history") or ()),
        kind=one_line(fields.get("kind")),
        origin=where,
        rewrite=_rewrite(fields.get("rewrite")),
        asked_on=_day(fields.get("asked_on")),
    )


def _day(value: Any) -> date | None:
    """The date of "2024-03-05" or of a time on that day; None if missing."""
    if value is None or value == "":
        return None
    try:
        return datetime.fromisoformat(value.strip()).date()
    except (AttributeError, ValueError) as error:
        raise ValueError(f"asked_on is {value!r}, not a date such as 2024-03-05") from error


def _rewrite(question: Any) -> str:
    if question is not None and not isinstance(question, str):
        raise ValueError("rewrite is not a question")
    return checked(question) if question and question.strip() else ""


def _made_id(fields: Mapping[str, Any]) -> str:
    """An id made of the question, independent of the pair's position in its file."""
    on = [fields["asked_on"]] if fields.get("asked_on") else []  # ids of pairs without a day stay as they were
    asked = json.dumps([fields["question"], fields.get("history") or [], *on])
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise ValueError(f"{name} is neither a text nor a list of texts")
    return tuple(values)


def _truth(value: Any) -> bool:
    truth = value if isinstance(value, bool) else TRUTH.get(str(value).strip().lower())
    if truth is None:
        raise ValueError(f"answerable is {value!r}, neither true nor false")
    return truth


def _turns(turns: Any) -> tuple[Turn, ...]:
    try:
        return tuple(Turn(str(turn["question"]), str(turn["answer"])) for turn in turns)
    except (TypeError, KeyError) as error:
        raise ValueError('history is not a list of {"question": …, "answer": …}') from error
