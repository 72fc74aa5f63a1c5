"""Saved conversations as text: written, validated when read, and searched.

A text is two lines of JSON: the entry that a list shows, and the whole conversation. Anybody may have written it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag.errors import HistoryError
from rag.schema import Answer, Citation
from ui.schema import CONVERSATION_FORMAT, Exchange, HistoryEntry, SavedConversation
from ui.wording import NEAREST_SHOWN

LONGEST_TEXT, MOST_EXCHANGES = 4_000_000, 1000
LONGEST_TITLE = 120
MOST_LENGTHS = 100
"""Sentences or passages that a saved question may have been asked for: it can be asked again."""
CONTEXT_BEFORE, CONTEXT_AFTER = 60, 100
"""Characters of a snippet around a word that was searched for."""
MOST_CONVERSATIONS = 1000
"""Conversations kept for one user; the oldest ones are dropped."""
ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
UNREADABLE = "this conversation cannot be read; delete it, and start a new one"
_FORMER_NAMES = {"also": "duplicates", "side_fits": "sub_question_fits", "story": "duplicate_group"}
"""Names of fields in conversations of format 1."""


def to_text(saved: SavedConversation) -> str:
    """A conversation as text, without what the page does not show again.

    A conversation that would be too long to be read again keeps its latest questions.
    """
    exchanges = tuple(map(_trimmed, saved.exchanges[-MOST_EXCHANGES:]))
    while len(text := _text(replace(saved, title=shortened(saved.title), exchanges=exchanges))) > LONGEST_TEXT:
        exchanges = exchanges[1 + len(exchanges) // 10 :]
    return text


def _text(saved: SavedConversation) -> str:
    parts = (entry_json(saved.entry), _conversations().dump_python(saved, mode="json"))
    text = "\n".join(json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in parts)
    return text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be written to a file


def from_text(text: str) -> SavedConversation:
    """The conversation of a text. Raises HistoryError if it is not valid."""
    if len(text) > LONGEST_TEXT:
        raise HistoryError(UNREADABLE)
    try:
        saved = _conversations().validate_json(_upgraded(text.partition("\n")[2]), strict=True)
    except (ValidationError, ValueError, RecursionError) as error:
        raise HistoryError(UNREADABLE) from error
    if not _is_valid(saved):
        raise HistoryError(UNREADABLE)
    exchanges = tuple(replace(_trimmed(exchange), done=True) for exchange in saved.exchanges)
    return replace(saved, title=shortened(saved.title), exchanges=exchanges)


def _upgraded(document: str) -> str:
    """The JSON of a conversation with today's field names. Raises ValueError or RecursionError."""
    if '"format":1' not in document:
        return document
    found = json.loads(
        document, object_hook=lambda fields: {_FORMER_NAMES.get(name, name): fields[name] for name in fields}
    )
    return json.dumps({**found, "format": CONVERSATION_FORMAT} if isinstance(found, dict) else found)


def entry_of(text: str) -> HistoryEntry | None:
    """The entry in a text's first line; None if it is not valid."""
    try:
        entry = _entries().validate_json(text.partition("\n")[0][:10_000], strict=True)
    except (ValidationError, ValueError):
        return None
    return replace(entry, snippet="") if ID.fullmatch(entry.id) and _is_utc(entry.updated) else None


def entry_json(entry: HistoryEntry) -> dict[str, Any]:
    """An entry as in the first line of a text."""
    fields: dict[str, Any] = _entries().dump_python(entry, mode="json", exclude={"snippet"})
    return fields


def renamed(text: str, title: str) -> str:
    """The text with another title, unless that is empty. Raises HistoryError."""
    saved = from_text(text)
    return to_text(replace(saved, title=shortened(title) or saved.title))


def shortened(title: str) -> str:
    """A title in one line, short enough for a list."""
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def searchable(saved: SavedConversation) -> list[str]:
    """The parts of a conversation that a search looks at: what was asked, answered and quoted, and the sources."""
    parts: list[str] = []
    for exchange in saved.exchanges:
        parts.append(exchange.question)
        if answer := exchange.answer:
            parts.append(answer.text)
            parts += [citation.quote for citation in answer.citations]
            parts += [part for c in answer.citations for part in (c.passage.title, c.passage.source)]
    return parts


def snippet_of(title: str, parts: Iterable[str], words: str) -> str | None:
    """The text around the first of the words; None if any of them is in neither the title nor a part.

    The snippet is empty if only the title has them.
    """
    wanted = words.casefold().split()
    folded_parts = [(text, text.casefold()) for text in parts]
    folded_title = title.casefold()
    if not all(word in folded_title or any(word in folded for _, folded in folded_parts) for word in wanted):
        return None
    other = [(text, folded) for text, folded in folded_parts if shortened(text) != title]
    text, folded = max(other, key=lambda part: sum(word in part[1] for word in wanted), default=("", ""))
    places = [place for word in wanted if (place := folded.find(word)) >= 0]
    return _around(text, min(places)) if places else ""


def search_text(text: str, words: str) -> HistoryEntry | None:
    """The entry of a text that has all the words, with a snippet; None if it lacks any or is not valid."""
    entry = entry_of(text)
    if not entry or not words.strip():
        return entry
    try:
        saved = from_text(text)
    except HistoryError:
        return None
    snippet = snippet_of(saved.title, searchable(saved), words)
    return None if snippet is None else replace(entry, snippet=snippet)


def entries_in(texts: Any, words: str = "") -> list[HistoryEntry]:
    """The entries of a browser's conversations that have all the words, the latest first; what is invalid is skipped.

    A browser sends whole texts, or first lines alone if it has searched for the words itself.
    """
    given = [text for text in texts[:MOST_CONVERSATIONS] if isinstance(text, str)] if isinstance(texts, list) else []
    found = (search_text(text, words) if "\n" in text else entry_of(text) for text in given)
    return sorted(filter(None, found), key=lambda entry: entry.updated, reverse=True)


def _around(text: str, place: int) -> str:
    """The text around a place in its casefolded form, which may have more characters."""
    at = next(n for n, end in enumerate(accumulate(len(c.casefold()) for c in text)) if end > place)
    first, last = max(0, at - CONTEXT_BEFORE), at + CONTEXT_AFTER
    before, after = text[first:at], text[at:last]
    if first:
        before = "…" + (before.partition(" ")[2] or before)
    if last < len(text):
        after = (after.rpartition(" ")[0] or after) + "…"
    return " ".join(f"{before}{after}".split())


@cache
def _conversations() -> TypeAdapter[SavedConversation]:
    return TypeAdapter(SavedConversation)


@cache
def _entries() -> TypeAdapter[HistoryEntry]:
    return TypeAdapter(HistoryEntry)


def _trimmed(exchange: Exchange) -> Exchange:
    answer = exchange.answer
    if not answer:
        return exchange
    hits = () if answer.grounded else answer.hits[:NEAREST_SHOWN]
    plain = tuple(replace(h, fit=(), similarities=(), duplicates=(), sub_question_fits=()) for h in hits)
    return replace(exchange, answer=replace(answer, hits=plain, stages=()))


def _is_valid(saved: SavedConversation) -> bool:
    """Whether values that the types allow make sense: ids, times in UTC, numbers in range, and exact quotes."""
    if saved.format != CONVERSATION_FORMAT or not ID.fullmatch(saved.id) or len(saved.exchanges) > MOST_EXCHANGES:
        return False
    return all(map(_is_utc, (saved.started, saved.updated))) and all(map(_is_valid_exchange, saved.exchanges))


def _is_utc(time: datetime) -> bool:
    return time.utcoffset() == timedelta(0)


def _is_valid_exchange(exchange: Exchange) -> bool:
    lengths = all(1 <= length <= MOST_LENGTHS for length in exchange.lengths or ())
    return lengths and (not exchange.answer or _is_valid_answer(exchange.answer))


def _is_valid_answer(answer: Answer) -> bool:
    numbers = [citation.number for citation in answer.citations]
    cited = {number for sentence in answer.sentences for number in sentence.citations}
    spans = (*answer.emphasis, *((sentence.start, sentence.end) for sentence in answer.sentences))
    supports, scores = (s.support for s in answer.sentences), (h.score for h in answer.hits)
    return (
        all(map(math.isfinite, (answer.confidence, answer.seconds, *supports, *scores)))
        and len(set(numbers)) == len(numbers)
        and cited <= set(numbers)
        and all(0 <= start <= end <= len(answer.text) for start, end in spans)
        and all(map(_is_exact, answer.citations))
    )


def _is_exact(citation: Citation) -> bool:
    """Whether the quote is in its passage at the given place: no words may be attributed to an article falsely."""
    start, end, passage = citation.start, citation.end, citation.passage
    inside = citation.number > 0 and passage.start <= start and end - start == len(citation.quote)
    return inside and passage.slice((start, end)) == citation.quote
