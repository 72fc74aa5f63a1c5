"""Public sets in their own formats → entries as a pairs file has them, and articles as ingest reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.split import sentences_of
from rag.errors import ReadError
from rag.schema import Failure

Entries = Iterator[tuple[str, Any]]
"""Where an entry stands ("pairs.jsonl, line 3"), and its fields, or the failure it is."""

INSUFFICIENT = "insufficient information"
"""MultiHop-RAG's answer to the questions that have none."""
QRELS = ("test", "dev", "train")


def whole_json(path: Path) -> Any | None:
    """What a .json file holds; None for other files, and for one that holds JSON Lines."""
    if path.suffix.lower() != ".json":
        return None
    text = path.read_text("utf-8-sig", errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if len(text.splitlines()) > 1 and _is_json(text.splitlines()[0]):
            return None
        raise ReadError(f"{path} is not JSON ({error}); mend it, or save one object a line as .jsonl") from error


def json_pairs(name: str, found: Any) -> Entries:
    """The pairs of a JSON file: SQuAD's, MultiHop-RAG's, or a list of pairs as JSON Lines have them."""
    if isinstance(found, Mapping) and isinstance(found.get("data"), list):
        yield from _guarded(name, squad_pairs(found["data"]))
    elif isinstance(found, list):
        for number, entry in enumerate(found, 1):
            where = f"{name}, entry {number}"
            yield where, _entry(where, entry)
    else:
        raise ReadError(f"{name} is neither a list of pairs nor a set in SQuAD's format; see the README for formats")


def squad_pairs(data: Iterable[Mapping[str, Any]]) -> Entries:
    """SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): an article by its title, the answer's sentence as evidence."""
    for article in data:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answerable = not qa.get("is_impossible", False)
                fields = {
                    "id": qa["id"],
                    "question": qa["question"],
                    "articles": [article["title"]],
                    "evidence": _sentence(paragraph["context"], qa["answers"]) if answerable else [],
                    "answerable": answerable,
                    "answers": [answer["text"] for answer in qa["answers"]] if answerable else [],
                }
                yield f"question {qa['id']}", fields


def multihop_pair(entry: Mapping[str, Any]) -> dict[str, Any]:
    """MultiHop-RAG (Tang and Yang 2024): articles by URL or title, the facts as evidence."""
    facts = entry["evidence_list"]
    answerable = str(entry["answer"]).strip(" .").lower() != INSUFFICIENT
    return {
        "question": entry["query"],
        "answers": [entry["answer"]] if answerable else [],
        "articles": list(dict.fromkeys(fact.get("url") or fact["title"] for fact in facts)),
        "evidence": [fact["fact"] for fact in facts],
        "answerable": answerable,
        "kind": entry.get("question_type", ""),
    }


def beir_pairs(folder: Path) -> Entries:
    """A BEIR folder (Thakur et al. 2021): the queries that the relevance judgements name, test before dev and train."""
    relevant = _qrels(folder)
    for where, query in _lines(folder / "queries.jsonl"):
        if isinstance(query, Failure) or query.get("_id") in relevant:
            yield where, query if isinstance(query, Failure) else _beir_pair(query, relevant[query["_id"]])


def articles_of(path: Path) -> Iterator[dict[str, Any]] | None:
    """The articles that a set brings along, as ingest reads them; None if it is no set that does."""
    if path.is_dir():
        corpus = path / "corpus.jsonl"
        return _beir_articles(corpus) if corpus.is_file() and (path / "queries.jsonl").is_file() else None
    found = whole_json(path)
    if isinstance(found, Mapping) and isinstance(found.get("data"), list):
        return _squad_articles(found["data"])
    if isinstance(found, list) and found and isinstance(found[0], Mapping) and "body" in found[0]:
        return _multihop_articles(found)
    return None


def _squad_articles(data: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for article in data:
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        yield {"id": article["title"], "title": article["title"].replace("_", " "), "text": text}


def _beir_articles(corpus: Path) -> Iterator[dict[str, Any]]:
    for _, document in _lines(corpus):
        if not isinstance(document, Failure):
            yield {"id": document.get("_id"), "title": document.get("title"), "text": document.get("text")}


def _multihop_articles(entries: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        known = {name: entry.get(name) for name in ("title", "source", "author", "url")}
        yield {"id": entry.get("url"), "text": entry.get("body"), "date": entry.get("published_at"), **known}


def _entry(where: str, entry: Any) -> Any:
    """One of a list: MultiHop-RAG's translated, any other as it is."""
    try:
        return multihop_pair(entry) if isinstance(entry, Mapping) and "query" in entry else entry
    except (KeyError, TypeError, AttributeError) as error:
        return Failure(where, f"is not in MultiHop-RAG's format ({error!r} is missing or wrong); mend or delete it")


def _guarded(name: str, entries: Iterable[tuple[str, Any]]) -> Entries:
    """The entries with the file's name before their place; one that lacks a field ends the file."""
    try:
        for where, entry in entries:
            yield f"{name}, {where}", entry
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"{name} is not in the format it seems to have ({error!r} is missing or wrong)") from error


def _sentence(context: str, answers: Iterable[Mapping[str, Any]]) -> list[str]:
    """The sentences that hold the first answer."""
    for answer in answers:
        start = int(answer["answer_start"])
        end = start + len(answer["text"])
        found = [context[s.start : s.end] for s in sentences_of(context) if s.start < end and start < s.end]
        return ["".join(found).strip()]
    return []


def _qrels(folder: Path) -> dict[str, list[str]]:
    file = next((p for split in QRELS if (p := folder / "qrels" / f"{split}.tsv").is_file()), None)
    if file is None:
        raise ReadError(f"{folder} has no qrels/test.tsv; give a BEIR folder (queries.jsonl, qrels/), or a pairs file")
    relevant: dict[str, list[str]] = {}
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.reader(rows, delimiter="\t"):
            if len(row) == 3 and row[2].strip().lstrip("-").isdigit() and int(row[2]) > 0:
                relevant.setdefault(row[0], []).append(row[1])
    return relevant


def _beir_pair(query: Mapping[str, Any], documents: list[str]) -> dict[str, Any]:
    return {"id": query["_id"], "question": query.get("text"), "articles": documents}


def _lines(path: Path) -> Entries:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path.name}, line {number}"
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, Failure(where, f"is not JSON ({error}); mend or delete it")
            else:
                yield where, found if isinstance(found, dict) else Failure(where, "is no object; mend or delete it")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
