"""Conversations that are kept: as text, in the browser or on the server, a file each."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag.errors import HistoryError
from rag.schema import Answer, Citation
from ui.schema import CONVERSATION_FORMAT, Exchange, HistoryEntry, SavedConversation
from ui.wording import NEAREST_SHOWN

LONGEST_KEPT, MOST_EXCHANGES = 4_000_000, 1000
LONGEST_TITLE = 120
MOST_LENGTHS = 100
"""Sentences or passages that a kept question may have been asked for: it can be asked again."""
BEFORE, AFTER = 60, 100
"""Characters around a word that was looked for."""
MOST_KEPT = 1000
"""Conversations of one user on the server; the oldest ones make room."""
ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_FORMER_NAMES = {"also": "duplicates", "side_fits": "sub_question_fits", "story": "duplicate_group"}
"""What fields are called in conversations of format 1."""
NOT_READABLE = "this conversation cannot be read; delete it, and start a new one"


def to_text(kept: SavedConversation) -> str:
    """Two lines of JSON: its entry, and the whole, without what the page does not show again.

    Of a conversation that is longer than can be read again, its latest questions.
    """
    exchanges = tuple(map(_trimmed, kept.exchanges[-MOST_EXCHANGES:]))
    while len(text := _text(replace(kept, title=shortened(kept.title), exchanges=exchanges))) > LONGEST_KEPT:
        exchanges = exchanges[1 + len(exchanges) // 10 :]
    return text


def _text(kept: SavedConversation) -> str:
    parts = (
        entry_json(kept.entry),
        _kept().dump_python(kept, mode="json"),
    )
    text = "\n".join(json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in parts)
    return text.encode("utf-8", "replace").decode()  # half a character cannot be written to a file


def from_text(text: str) -> SavedConversation:
    """A conversation out of its text, which anybody may have written. Raises HistoryError."""
    if len(text) > LONGEST_KEPT:
        raise HistoryError(NOT_READABLE)
    try:
        kept = _kept().validate_json(_in_this_format(text.partition("\n")[2]), strict=True)
    except (ValidationError, ValueError, RecursionError) as error:
        raise HistoryError(NOT_READABLE) from error
    if not _sound(kept):
        raise HistoryError(NOT_READABLE)
    exchanges = tuple(replace(_trimmed(exchange), done=True) for exchange in kept.exchanges)
    return replace(kept, title=shortened(kept.title), exchanges=exchanges)


def _in_this_format(document: str) -> str:
    """The JSON of a conversation, with the field names of today. Raises ValueError or RecursionError."""
    if '"format":1' not in document:
        return document
    found = json.loads(document, object_hook=lambda one: {_FORMER_NAMES.get(name, name): one[name] for name in one})
    return json.dumps({**found, "format": CONVERSATION_FORMAT} if isinstance(found, dict) else found)


def entry_of(text: str) -> HistoryEntry | None:
    """The entry that a conversation's text begins with; None if it is none."""
    try:
        entry = _entries().validate_json(text.partition("\n")[0][:10_000], strict=True)
    except (ValidationError, ValueError):
        return None
    return replace(entry, snippet="") if ID.fullmatch(entry.id) and _is_utc(entry.updated) else None


def entry_json(entry: HistoryEntry) -> dict[str, Any]:
    """An entry as the first line of a conversation's text has it."""
    fields: dict[str, Any] = _entries().dump_python(entry, mode="json", exclude={"snippet"})
    return fields


def renamed(text: str, title: str) -> str:
    """A conversation's text under another title. Raises HistoryError."""
    kept = from_text(text)
    return to_text(replace(kept, title=shortened(title) or kept.title))


def shortened(title: str) -> str:
    """A title in one line, of a length that a list has room for."""
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def holds(text: str, words: Iterable[str]) -> bool:
    """Does a conversation's text have all the words, which are in lower case? Its JSON's own words count as well."""
    folded = text.casefold()
    return all(json.dumps(word, ensure_ascii=False)[1:-1] in folded for word in words)


def found_in(kept: SavedConversation, words: str) -> str | None:
    """Where a conversation has the words: what stands around the first of them, or None if it lacks any.

    They are looked for in what was asked, answered and quoted, and in whose words those are; the text is empty if only
    the title has them.
    """
    wanted = words.casefold().split()
    told = [(text, text.casefold()) for text in _said(kept)]
    title = kept.title.casefold()
    if not all(word in title or any(word in folded for _, folded in told) for word in wanted):
        return None
    apart = [(text, folded) for text, folded in told if shortened(text) != kept.title]
    text, folded = max(apart, key=lambda one: sum(word in one[1] for word in wanted), default=("", ""))
    places = [place for word in wanted if (place := folded.find(word)) >= 0]
    return _around(text, min(places)) if places else ""


def entry_found(text: str, words: str) -> HistoryEntry | None:
    """A conversation's entry, with where in it the words stand; None if it lacks any, or is none."""
    entry, wanted = entry_of(text), words.casefold().split()
    if not entry or not wanted:
        return entry
    if not holds(text, wanted):  # most do not, and are not worth reading
        return None
    with suppress(HistoryError):
        snippet = found_in(from_text(text), words)
        return None if snippet is None else replace(entry, snippet=snippet)
    return None


def _said(kept: SavedConversation) -> Iterator[str]:
    for exchange in kept.exchanges:
        yield exchange.question
        if answer := exchange.answer:
            yield answer.text
            yield from (citation.quote for citation in answer.citations)
            yield from (part for c in answer.citations for part in (c.passage.title, c.passage.source))


def _around(text: str, place: int) -> str:
    """What stands around a place of a text in lower case, which may have more characters than the text."""
    at = next(n for n, end in enumerate(accumulate(len(c.casefold()) for c in text)) if end > place)
    first, last = max(0, at - BEFORE), at + AFTER
    before, after = text[first:at], text[at:last]
    if first:
        before = "…" + (before.partition(" ")[2] or before)
    if last < len(text):
        after = (after.rpartition(" ")[0] or after) + "…"
    return " ".join(f"{before}{after}".split())


@cache
def _kept() -> TypeAdapter[SavedConversation]:
    return TypeAdapter(SavedConversation)


@cache
def _entries() -> TypeAdapter[HistoryEntry]:
    return TypeAdapter(HistoryEntry)


def _trimmed(exchange: Exchange) -> Exchange:
    answer = exchange.answer
    if not answer:
        return exchange
    hits = (
        ()
        if answer.grounded
        else tuple(replace(h, fit=(), similarities=(), duplicates=(), sub_question_fits=()) for h in answer.hits)
    )
    return replace(exchange, answer=replace(answer, hits=hits[:NEAREST_SHOWN], stages=()))


def _sound(kept: SavedConversation) -> bool:
    """What no type says: ids that are ids, times in UTC, numbers that are numbers, and quotes that are quotes."""
    fits = kept.format == CONVERSATION_FORMAT and ID.fullmatch(kept.id) and len(kept.exchanges) <= MOST_EXCHANGES
    return bool(fits) and all(map(_is_utc, (kept.started, kept.updated))) and all(map(_is_sound, kept.exchanges))


def _is_utc(time: datetime) -> bool:
    return time.utcoffset() == timedelta(0)


def _is_sound(exchange: Exchange) -> bool:
    chosen = all(1 <= length <= MOST_LENGTHS for length in exchange.lengths or ())
    return chosen and (not exchange.answer or _holds_together(exchange.answer))


def _holds_together(answer: Answer) -> bool:
    numbers = [citation.number for citation in answer.citations]
    marked = {number for sentence in answer.sentences for number in sentence.citations}
    spans = (*answer.emphasis, *((sentence.start, sentence.end) for sentence in answer.sentences))
    measured = (
        answer.confidence,
        answer.seconds,
        *(s.support for s in answer.sentences),
        *(h.score for h in answer.hits),
    )
    return (
        all(map(math.isfinite, measured))
        and len(set(numbers)) == len(numbers)
        and marked <= set(numbers)
        and all(0 <= start <= end <= len(answer.text) for start, end in spans)
        and all(map(_is_quoted, answer.citations))
    )


def _is_quoted(citation: Citation) -> bool:
    """Does its quote stand in its passage, where it says? Nobody's words may be put into an article's mouth."""
    start, end, passage = citation.start, citation.end, citation.passage
    whole = citation.number > 0 and passage.start <= start and end - start == len(citation.quote)
    return whole and passage.slice((start, end)) == citation.quote


@dataclass(slots=True)
class ServerHistory:
    """The conversations of each user on the server: a folder for each, whose name tells nobody who it is."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def beside(cls, index: Path) -> ServerHistory:
        """Beside the index's folder, so that they are still there when the index is made anew."""
        return cls(index.with_name(f"{index.name}.conversations"))

    def put(self, user: str, text: str) -> None:
        """Keep a conversation, in place of what was kept of it before. Raises HistoryError."""
        with self._lock:
            self._put(user, text)

    def update(
        self, user: str, conversation: str, kept_of: Callable[[HistoryEntry | None], SavedConversation]
    ) -> SavedConversation:
        """Keep what is made of a conversation's entry, or of None if it is not kept; nobody writes meanwhile.

        Raises HistoryError.
        """
        with self._lock:
            kept = kept_of(entry_of(_begun(self._file(user, conversation), whole=False)))
            self._put(user, to_text(kept))
        return kept

    def rename(self, user: str, conversation: str, title: str) -> None:
        """Give a conversation another title. Raises HistoryError if there is none."""
        with self._lock:
            self._put(user, renamed(self.get(user, conversation), title))

    def _put(self, user: str, text: str) -> None:
        entry = entry_of(text)
        if not entry or len(text) > LONGEST_KEPT:
            raise HistoryError(NOT_READABLE)
        file = self._file(user, entry.id)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the mode is not that of parents
            file.parent.mkdir(mode=0o700, exist_ok=True)
            _write(file, text)
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
        with suppress(OSError, HistoryError), self._lock:
            file = self._file(user, conversation)
            for written in (file, *file.parent.glob(f"{file.stem}.*.draft")):  # a process may have ended while it wrote
                written.unlink(missing_ok=True)

    def entries(self, user: str, words: str = "") -> list[HistoryEntry]:
        """Those that have all the words, the latest first."""
        texts = (_begun(file, whole=bool(words.strip())) for file in self._files(user))
        return latest_first(filter(None, (entry_found(text, words) for text in texts)))

    def _files(self, user: str) -> list[Path]:
        with suppress(OSError):
            dated = ((_changed(file), file) for file in self._home(user).glob("*.json"))
            return [file for _, file in sorted(dated, reverse=True)]
        return []

    def _home(self, user: str) -> Path:
        return self.folder / hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _file(self, user: str, conversation: str) -> Path:
        if not ID.fullmatch(conversation):
            raise HistoryError("there is no such conversation; open one of those that are listed")
        return self._home(user) / f"{conversation}.json"


def _write(file: Path, text: str) -> None:
    """In one go, whoever else writes it."""
    draft = file.with_suffix(f".{token_urlsafe(6)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            written.write(text.encode("utf-8", "replace"))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _changed(file: Path) -> int:
    """When it was written; the beginning of time for one that another process has just deleted."""
    with suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


def _begun(file: Path, *, whole: bool) -> str:
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        return lines.read(LONGEST_KEPT) if whole else lines.readline(10_000)
    return ""


def latest_first(entries: Iterable[HistoryEntry]) -> list[HistoryEntry]:
    """As they are listed."""
    return sorted(entries, key=lambda entry: entry.updated, reverse=True)


def entries_in(texts: Any, words: str = "") -> list[HistoryEntry]:
    """Those of a browser that have all the words; what is none is passed over.

    A browser sends conversations, or only what each begins with if it has looked for the words itself.
    """
    told = [text for text in texts[:MOST_KEPT] if isinstance(text, str)] if isinstance(texts, list) else []
    return latest_first(filter(None, (entry_found(text, words) if "\n" in text else entry_of(text) for text in told)))
