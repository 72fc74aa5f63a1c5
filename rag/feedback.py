"""Readers' ratings of answers: a JSONL file, from which `pullquote eval label` makes pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from rag.errors import ReadError
from rag.schema import Answer, Turn

KIND = "feedback"
LIKED, DISLIKED = "up", "down"


def feedback_file(index: Path) -> Path:
    """The file beside the index's folder, where it survives a rebuild of the index."""
    return index.with_name(f"{index.name}.feedback.jsonl")


@dataclass(frozen=True, slots=True)
class Rating:
    """A reader's rating of the answer `id`, and the reason; the last rating of an answer counts."""

    liked: bool
    reason: str = ""
    id: str = ""


def add_feedback(file: Path, answer: Answer, history: Sequence[Turn], rating: Rating) -> None:
    """Append a rating to a file. Raises ReadError if the file cannot be written."""
    entry = {
        **({"id": rating.id} if rating.id else {}),
        "question": answer.question,
        "answer": answer.text,
        "rating": LIKED if rating.liked else DISLIKED,
        "reason": rating.reason,
        "citations": [{"article": c.passage.article_id, "quote": c.quote} for c in answer.citations],
        "history": [{"question": turn.question, "answer": turn.answer} for turn in history],
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "asked_on": date.today().isoformat(),
    }
    line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode("utf-8", "replace")
    try:
        with file.open("ab") as lines:
            lines.write(line)
    except OSError as error:
        raise ReadError(
            f"cannot write feedback to {file} ({error.strerror}); free disk space or correct its permissions"
        ) from error


def is_feedback(entry: Any) -> bool:
    """Whether a JSON value is a line of a feedback file."""
    return isinstance(entry, Mapping) and "rating" in entry


def latest(entries: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The entries with their positions in the file, only the last one about each answer."""
    last: dict[Any, tuple[str, Any]] = {}
    for where, entry in entries:
        has_id = is_feedback(entry) and isinstance(entry.get("id"), str)
        key = ("id", entry["id"]) if has_id else ("where", where)
        last.pop(key, None)
        last[key] = (where, entry)
    return list(last.values())


def pair_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a pair that the feedback has: the citations of a liked answer as evidence, but no answer.

    Raises TypeError or KeyError for invalid citations.
    """
    quotes = (entry.get("citations") or ()) if entry["rating"] == LIKED else ()
    return {
        "id": entry.get("id") or f"{KIND}-{hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:12]}",
        "question": entry.get("question"),
        "articles": list(dict.fromkeys(quote["article"] for quote in quotes)),
        "evidence": [quote["quote"] for quote in quotes],
        "history": entry.get("history"),
        "answerable": False,  # a pair may only be answerable with an answer, which a person has yet to write
        "kind": KIND,
        "asked_on": _asked_on(entry),
    }


def _asked_on(entry: Mapping[str, Any]) -> str:
    """The day of the rating, which is nearly always that of the question; empty if unknown."""
    day = str(entry.get("asked_on") or entry.get("date") or "")[: len("2024-03-05")]
    with suppress(ValueError):
        return date.fromisoformat(day).isoformat()
    return ""


def verdict(entry: Mapping[str, Any]) -> str:
    """The rating in words."""
    reason = str(entry.get("reason") or "")
    return " because: ".join(filter(None, ("liked it" if entry["rating"] == LIKED else "disliked it", reason)))
