"""Conversations that are kept: as text, in the browser or on the server, a file each."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag.errors import HistoryError
from rag.schema import Answer
from ui.render import NEAREST_SHOWN, Exchange, action_html, counted, escape

FORMAT = 1
"""Raised when what is kept changes its meaning."""
LONGEST_KEPT, MOST_EXCHANGES = 4_000_000, 1000
LONGEST_TITLE = 120
MOST_KEPT = 1000
"""Conversations of one user on the server; the oldest ones make room."""
ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
NOT_READABLE = "this conversation cannot be read; delete it, and start a new one"


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation that is kept. `title` is its first question until somebody names it; times are in UTC."""

    id: str
    title: str
    started: datetime
    updated: datetime
    exchanges: tuple[Exchange, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a kept conversation without reading it."""

    id: str
    title: str
    updated: datetime
    turns: int


def to_text(kept: Kept) -> str:
    """Two lines of JSON: its entry, and the whole, without what the page does not show again."""
    trimmed = replace(kept, exchanges=tuple(map(_trimmed, kept.exchanges)))
    entry = Entry(kept.id, kept.title, kept.updated, len(kept.exchanges))
    parts = (_entries().dump_python(entry, mode="json"), _kept().dump_python(trimmed, mode="json"))
    text = "\n".join(json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in parts)
    return text.encode("utf-8", "replace").decode()  # half a character cannot be written to a file


def from_text(text: str) -> Kept:
    """A conversation out of its text, which anybody may have written. Raises HistoryError."""
    if len(text) > LONGEST_KEPT:
        raise HistoryError(NOT_READABLE)
    try:
        kept = _kept().validate_json(text.partition("\n")[2], strict=True)
    except (ValidationError, ValueError) as error:
        raise HistoryError(NOT_READABLE) from error
    if not _sound(kept):
        raise HistoryError(NOT_READABLE)
    return replace(kept, exchanges=tuple(replace(e, done=True) for e in kept.exchanges))


def entry_of(text: str) -> Entry | None:
    """The entry that a conversation's text begins with; None if it is none."""
    try:
        entry = _entries().validate_json(text.partition("\n")[0][:10_000], strict=True)
    except (ValidationError, ValueError):
        return None
    return entry if ID.fullmatch(entry.id) and entry.updated.tzinfo else None


def renamed(text: str, title: str) -> str:
    """A conversation's text under another title. Raises HistoryError."""
    kept = from_text(text)
    return to_text(replace(kept, title=shortened(title) or kept.title))


def shortened(title: str) -> str:
    """A title in one line, of a length that a list has room for."""
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def holds(text: str, words: Iterable[str]) -> bool:
    """Does a conversation's text have all the words, which are in lower case?"""
    folded = text.casefold()
    return all(json.dumps(word, ensure_ascii=False)[1:-1] in folded for word in words)


@cache
def _kept() -> TypeAdapter[Kept]:
    return TypeAdapter(Kept)


@cache
def _entries() -> TypeAdapter[Entry]:
    return TypeAdapter(Entry)


def _trimmed(exchange: Exchange) -> Exchange:
    answer = exchange.answer
    if not answer:
        return exchange
    hits = () if answer.grounded else tuple(replace(h, fit=(), similarities=(), also=()) for h in answer.hits)
    return replace(exchange, answer=replace(answer, hits=hits[:NEAREST_SHOWN], stages=()))


def _sound(kept: Kept) -> bool:
    """What no type says: ids that are ids, times with a zone, numbers that are numbers."""
    told = [e.answer for e in kept.exchanges if e.answer]
    times = kept.started.tzinfo and kept.updated.tzinfo
    fits = kept.format == FORMAT and bool(ID.fullmatch(kept.id)) and len(kept.exchanges) <= MOST_EXCHANGES
    return bool(times) and fits and all(map(_is_finite, told))


def _is_finite(answer: Answer) -> bool:
    return all(map(math.isfinite, (answer.confidence, answer.seconds, *(s.support for s in answer.sentences))))


@dataclass(slots=True)
class Histories:
    """The conversations of each user on the server: a folder for each, whose name tells nobody who it is."""

    folder: Path
    _lock: threading.Lock

    @classmethod
    def beside(cls, index: Path) -> Histories:
        """Beside the index's folder, so that they are still there when the index is made anew."""
        return cls(index.with_name(f"{index.name}.conversations"), threading.Lock())

    def put(self, user: str, text: str) -> None:
        """Keep a conversation, in place of what was kept of it before. Raises HistoryError."""
        entry = entry_of(text)
        if not entry:
            raise HistoryError(NOT_READABLE)
        file = self._file(user, entry.id)
        try:
            with self._lock:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                draft = file.with_suffix(f".{os.getpid()}.draft")
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
                    written.write(text.encode("utf-8", "replace"))
                draft.replace(file)
                for old in self._files(user)[MOST_KEPT:]:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise HistoryError(
                f"cannot keep the conversation in {self.folder} ({error.strerror}); make room"
            ) from error

    def get(self, user: str, conversation: str) -> str:
        """A conversation's text. Raises HistoryError if there is none."""
        try:
            return self._file(user, conversation).read_text("utf-8", "replace")
        except OSError as error:
            raise HistoryError("this conversation is no longer kept; it may have been deleted") from error

    def delete(self, user: str, conversation: str) -> None:
        """Forget a conversation, if there is one."""
        with suppress(OSError, HistoryError):
            self._file(user, conversation).unlink(missing_ok=True)

    def entries(self, user: str, words: str = "") -> list[Entry]:
        """Those that have all the words, the latest first."""
        wanted = words.casefold().split()
        texts = (_begun(file, whole=bool(wanted)) for file in self._files(user))
        found = (entry_of(text) for text in texts if not wanted or holds(text, wanted))
        return latest_first(filter(None, found))

    def _files(self, user: str) -> list[Path]:
        with suppress(OSError):
            dated = [(file.stat().st_mtime, file) for file in self._home(user).glob("*.json")]
            return [file for _, file in sorted(dated, reverse=True)]
        return []

    def _home(self, user: str) -> Path:
        return self.folder / hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()[:32]

    def _file(self, user: str, conversation: str) -> Path:
        if not ID.fullmatch(conversation):
            raise HistoryError("there is no such conversation; open one of those that are listed")
        return self._home(user) / f"{conversation}.json"


def _begun(file: Path, *, whole: bool) -> str:
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        return lines.read(LONGEST_KEPT) if whole else lines.readline(10_000)
    return ""


def latest_first(entries: Iterable[Entry]) -> list[Entry]:
    """As they are listed."""
    return sorted(entries, key=lambda entry: entry.updated, reverse=True)


def entries_in(texts: Any) -> list[Entry]:
    """Those of a browser, which sends what each conversation begins with; what is none is passed over."""
    told = texts if isinstance(texts, list) else []
    return latest_first(filter(None, (entry_of(text) for text in told[:MOST_KEPT] if isinstance(text, str))))


def history_html(entries: Iterable[Entry], words: str = "") -> str:
    """The list of what is kept."""
    rows = "".join(map(_entry_html, entries))
    if not rows:
        why = "No conversation has these words." if words.strip() else "Conversations are kept here."
        return f'<p class="pq-hint" role="status">{why}</p>'
    return f'<ul class="pq-history">{rows}</ul>'


def _entry_html(entry: Entry) -> str:
    now, then = datetime.now(UTC), entry.updated
    when = f"{then.day} {then:%B} {then.year}" if then.year != now.year else f"{then.day} {then:%B}, {then:%H:%M} UTC"
    told = escape(f"{when} · {counted(entry.turns, 'question')}")
    title = entry.title or "Untitled"
    acts = "".join(
        action_html(event, label, conversation=entry.id, **more)
        for event, label, more in (
            ("rename", "Rename", {"title": title}),
            ("export", "Markdown", {"kind": "markdown"}),
            ("export", "JSON", {"kind": "json"}),
            ("delete", "Delete", {}),
        )
    )
    opened = action_html("reopen", title, conversation=entry.id)
    return f'<li>{opened}<p class="pq-byline"><span>{told}</span></p><p class="pq-actions">{acts}</p></li>'
