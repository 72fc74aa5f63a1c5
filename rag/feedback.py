"""What readers made of the chat's answers: a line of JSON each, which `pullquote eval label` makes pairs of."""

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
    """Beside the index's folder, so that it is still there when the index is made anew."""
    return index.with_name(f"{index.name}.feedback.jsonl")


@dataclass(frozen=True, slots=True)
class Rating:
    """What a reader made of an answer, and why, in own words. `id` is the answer's; what is said last of it counts."""

    liked: bool
    reason: str = ""
    id: str = ""


def add_feedback(file: Path, answer: Answer, history: Sequence[Turn], rating: Rating) -> None:
    """Write down what a reader made of an answer. Raises ReadError if the file cannot be written."""
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
        raise ReadError(f"cannot write feedback to {file} ({error.strerror}); make room or mend its rights") from error


def is_feedback(entry: Any) -> bool:
    """Is this a line of such a file?"""
    return isinstance(entry, Mapping) and "rating" in entry


def latest(entries: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Entries with where they stand, of those about one answer only the last one."""
    kept: dict[Any, tuple[str, Any]] = {}
    for where, entry in entries:
        told = is_feedback(entry) and isinstance(entry.get("id"), str)
        key = ("id", entry["id"]) if told else ("where", where)
        kept.pop(key, None)
        kept[key] = (where, entry)
    return list(kept.values())


def pair_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A pair's fields as far as the feedback has them: what was liked with its citations as evidence, no answer yet.

    Raises TypeError or KeyError where the citations are none.
    """
    quotes = (entry.get("citations") or ()) if entry["rating"] == LIKED else ()
    return {
        "id": entry.get("id") or f"{KIND}-{hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:12]}",
        "question": entry.get("question"),
        "articles": list(dict.fromkeys(quote["article"] for quote in quotes)),
        "evidence": [quote["quote"] for quote in quotes],
        "history": entry.get("history"),
        "answerable": False,  # a pair without an answer can be no other, until somebody writes one
        "kind": KIND,
        "asked_on": _asked_on(entry),
    }


def _asked_on(entry: Mapping[str, Any]) -> str:
    """The day on which the answer was rated, nearly always that of the question; empty if it is not told."""
    told = str(entry.get("asked_on") or entry.get("date") or "")[: len("2024-03-05")]
    with suppress(ValueError):
        return date.fromisoformat(told).isoformat()
    return ""


def verdict(entry: Mapping[str, Any]) -> str:
    """What the reader made of the answer, in words."""
    reason = str(entry.get("reason") or "")
    return " because: ".join(filter(None, ("liked it" if entry["rating"] == LIKED else "disliked it", reason)))
