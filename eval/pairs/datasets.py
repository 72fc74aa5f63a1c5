"""Converts public data sets to the entries of a pairs file, and to articles for ingestion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.articles.passages import sentences_of
from ingest.content.values import one_line
from rag.errors import ReadError
from rag.schema import Failure

Entries = Iterator[tuple[str, Any]]
"""The place of an entry ("pairs.jsonl, line 3") with its fields, or with a failure."""

INSUFFICIENT = "insufficient information"
"""MultiHop-RAG's answer to unanswerable questions."""
QRELS = ("test", "dev", "train")


def _failed(where: str, reason: str) -> tuple[str, Failure]:
    return where, Failure(where, f"{reason}; correct or delete it")


def load_json(path: Path) -> Any | None:
    """The content of a .json file; None for other files, and for JSON Lines."""
    if path.suffix.lower() != ".json":
        return None
    text = path.read_text("utf-8-sig")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if len(text.splitlines()) > 1 and is_json(text.splitlines()[0]):
            return None
        raise ReadError(f"{path} is not JSON ({error}); correct it, or save one object per line as .jsonl") from error


def json_pairs(name: str, content: Any) -> Entries:
    """The pairs of a JSON file: SQuAD's, MultiHop-RAG's, or a list of pairs."""
    if isinstance(content, Mapping) and isinstance(content.get("data"), list):
        yield from squad_pairs(name, content["data"])
    elif isinstance(content, list):
        for number, entry in enumerate(content, 1):
            yield _entry(f"{name}, entry {number}", entry)
    else:
        raise ReadError(f"{name} is neither a list of pairs nor a set in SQuAD's format; see the README for formats")


def squad_pairs(name: str, data: Iterable[Any]) -> Entries:
    """SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): articles by title, the answer's sentence as evidence."""
    for number, article in enumerate(data, 1):
        where = f"{name}, article {number}"
        try:
            asked = [(p["context"], qa) for p in article["paragraphs"] for qa in p["qas"]]
            title = article["title"]
        except (KeyError, TypeError) as error:
            yield _failed(where, f"is not in SQuAD's format ({error!r})")
            continue
        for position, (context, qa) in enumerate(asked, 1):
            yield _squad_entry(title, context, qa, f"{where}, question {position}")


def _squad_entry(title: str, context: str, qa: Any, where: str) -> tuple[str, Any]:
    try:
        answerable = not qa.get("is_impossible", False)
        fields = {
            "id": qa["id"],
            "question": qa["question"],
            "articles": [title],
            "evidence": _sentence(context, qa["answers"]) if answerable else [],
            "answerable": answerable,
            "answers": [answer["text"] for answer in qa["answers"]] if answerable else [],
        }
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        return _failed(where, f"is not in SQuAD's format ({error!r})")
    return where, fields


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
    """A BEIR folder (Thakur et al. 2021): the queries with relevance judgements, of test before dev and train."""
    relevant: dict[str, list[str]] = {}
    file = next((p for split in QRELS if (p := folder / "qrels" / f"{split}.tsv").is_file()), None)
    if file is None:
        raise ReadError(f"{folder} has no qrels/test.tsv; give a BEIR folder (queries.jsonl, qrels/), or a pairs file")
    for where, judgement in _qrels(file):
        if isinstance(judgement, Failure):
            yield where, judgement
        else:
            query_id, document_id = judgement
            relevant.setdefault(query_id, []).append(document_id)
    for where, query in _lines(folder / "queries.jsonl"):
        if isinstance(query, Failure):
            yield where, query
        elif documents := relevant.pop(one_line(query.get("_id")), None):
            yield where, {"id": query["_id"], "question": query.get("text"), "articles": documents}
    for query_id in relevant:
        where = f"{display_name(file)}, query {query_id}"
        yield _failed(where, "is judged, but missing from queries.jsonl")


def articles_of(path: Path) -> Iterator[dict[str, Any]] | None:
    """The articles contained in a public set, as ingest reads them; None for other files.

    Articles without text are reported by ingest. Raises ReadError for content that is not in its format.
    """
    try:
        if path.is_dir():
            corpus = path / "corpus.jsonl"
            return _beir_articles(corpus) if corpus.is_file() and (path / "queries.jsonl").is_file() else None
        content = load_json(path)
        if isinstance(content, Mapping) and isinstance(content.get("data"), list):
            return iter(_squad_articles(content["data"]))
        if isinstance(content, list) and content and isinstance(content[0], Mapping) and "body" in content[0]:
            return iter(_multihop_articles(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"{path} is not in the format it seems to have ({error!r} is missing or wrong)") from error
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is not UTF-8 ({error.reason}); save it as that") from error
    return None


def display_name(path: Path) -> str:
    """A file's name as valid text, whatever its bytes."""
    return path.name.encode("utf-8", "replace").decode()


def _squad_articles(data: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    joined = [(a["title"], "\n\n".join(p["context"] for p in a["paragraphs"])) for a in data]
    return [{"id": title, "title": title.replace("_", " "), "text": text} for title, text in joined]


def _beir_articles(corpus: Path) -> Iterator[dict[str, Any]]:
    for _, document in _lines(corpus):
        if not isinstance(document, Failure):
            yield {"id": one_line(document.get("_id")), "title": document.get("title"), "text": document.get("text")}


def _multihop_articles(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = ("title", "source", "author", "url")
    return [
        {"id": e.get("url"), "text": e.get("body"), "date": e.get("published_at"), **{n: e.get(n) for n in names}}
        for e in entries
    ]


def _entry(where: str, entry: Any) -> tuple[str, Any]:
    """An entry of a list, converted if it is MultiHop-RAG's."""
    try:
        return where, multihop_pair(entry) if isinstance(entry, Mapping) and "query" in entry else entry
    except (KeyError, TypeError, AttributeError) as error:
        return _failed(where, f"is not in MultiHop-RAG's format ({error!r})")


def _sentence(context: str, answers: Iterable[Mapping[str, Any]]) -> list[str]:
    """The sentences of the first answer."""
    for answer in answers:
        start = int(answer["answer_start"])
        end = start + len(answer["text"])
        sentences = [context[s.start : s.end] for s in sentences_of(context) if s.start < end and start < s.end]
        return ["".join(sentences).strip()]
    return []


def _qrels(file: Path) -> Iterator[tuple[str, tuple[str, str] | Failure]]:
    """Query and document of each row with a score above 0; three columns, or TREC's four."""
    with file.open(encoding="utf-8-sig", newline="", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            where, cells = f"{display_name(file)}, line {number}", line.strip("\r\n").split("\t")
            try:
                query, document, score = cells[0], cells[-2], float(cells[-1])
            except (ValueError, IndexError):
                if line.strip() and number > 1:  # the first one is the header
                    yield _failed(where, "is not query, document and score with tabs between")
            else:
                if score > 0 and len(cells) in (3, 4):
                    yield where, (query, document)


def _lines(path: Path) -> Entries:
    with path.open("rb") as lines:
        for where, entry in parse_json_lines(display_name(path), lines):
            valid = isinstance(entry, (dict, Failure))
            yield (where, entry) if valid else _failed(where, "is not an object")


def parse_json_lines(name: str, lines: Iterable[bytes]) -> Entries:
    """The values of JSON Lines without the empty lines; a line that is not JSON is a failure."""
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        try:
            text = line.decode("utf-8-sig").strip()
            if text:
                yield where, json.loads(text)
        except (ValueError, RecursionError) as error:
            yield _failed(where, f"is not JSON ({error})")


def is_json(line: str | bytes) -> bool:
    """Whether a line can be parsed as JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
