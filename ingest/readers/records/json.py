"""JSON and JSON Lines → articles."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO

import orjson

from ingest.articles.fields import pick_fields
from ingest.content.encoding import decode, encoding_of, is_wide
from ingest.content.types import Content, Options, ParseMarkup, Read, read_bytes
from ingest.readers.records.record import (
    Numbered,
    articles_of,
    blocks_here,
    flattened,
    listed,
    summary_of,
    words_of,
)
from rag.errors import ReadError
from rag.schema import Failure

LIST_LEVELS = 3
"""How deep in an object the list of its articles may be nested."""


def from_json(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """JSON: an article as an object, a list of them, or an object that contains such a list.

    One object a line is read as JSON Lines. Raises ReadError for invalid JSON and for several lists of articles.
    """
    data = read_bytes(content, options)
    try:
        value = _loaded(data)
    except (ValueError, RecursionError) as error:
        if not _is_lines(data):
            raise ReadError(f"is not JSON ({error}); correct it, or save one object a line as .jsonl") from error
        del data
        yield from from_jsonl(content, options, parse_markup)
        return
    records = _records(value, options.fields)
    yield from articles_of(
        ((f"{content.name}, entry {i}", record) for i, record in enumerate(records, 1)), content, options, parse_markup
    )


def from_jsonl(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """JSON Lines: one article a line; blank lines are skipped, a broken one fails alone."""
    if content.start(64).split(b"\n", 1)[0].strip() in (b"[", b"{"):
        # JSON over several lines under the wrong name.
        yield from from_json(content, options, parse_markup)
    else:
        yield from articles_of(_lines(content, options), content, options, parse_markup)


def _loaded(data: bytes) -> Any:
    """The value of JSON. Raises ValueError or RecursionError, or ReadError for bytes that are no text."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson is stricter than many programs: other encodings, NaN, lone surrogates.
        return json.loads(decode(data))


def _is_lines(data: bytes) -> bool:
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        return isinstance(_loaded(first), Mapping) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _records(value: Any, mapping: Mapping[str, str]) -> list[Any]:
    """The possible articles of a JSON file: the items of a list, or of the only list in an object, or the object."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping) or _is_article(value, mapping):
        return [value]
    if posts := _ghost_posts(value):
        return posts
    lists = dict(_lists(value))
    if len(lists) > 1:
        lists = {name: items for name, items in lists.items() if any(_has_text(item, mapping) for item in items[:20])}
    if len(lists) > 1:
        raise ReadError(
            f"has several lists of objects ({listed(lists)}); save the one with the articles as a file of its own"
        )
    return next(iter(lists.values()), [value])


def _ghost_posts(value: Mapping[str, Any]) -> list[Any]:
    """The posts in an export of Ghost, which also lists users, tags and settings; none for other JSON."""
    databases = value.get("db")
    database = databases[0] if isinstance(databases, list) and databases else value
    data = database.get("data") if isinstance(database, Mapping) else None
    posts = data.get("posts") if isinstance(data, Mapping) else None
    return posts if isinstance(posts, list) else []


def _lists(value: Mapping[str, Any], levels: int = LIST_LEVELS, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The lists of objects in an object, by their paths."""
    for key, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
            yield f"{path}{key}", inner
        elif isinstance(inner, Mapping) and levels > 1:
            yield from _lists(inner, levels - 1, f"{path}{key}.")


def _is_article(record: Mapping[str, Any], mapping: Mapping[str, str]) -> bool:
    """Whether a record has a text of its own that is not a list of articles."""
    text = pick_fields(record, mapping)[0].get("text")
    several = isinstance(text, list) and any(
        {"title", "text"} <= pick_fields(item, {})[0].keys() for item in text if isinstance(item, Mapping)
    )
    return not several and bool(words_of(text))


def _has_text(record: Any, mapping: Mapping[str, str]) -> bool:
    if not isinstance(record, Mapping):
        return False
    fields, extra = flattened(record, mapping)
    return bool(words_of(fields.get("text")) or summary_of(extra))


def _lines(content: Content, options: Options) -> Numbered:
    longest = options.limits.bytes
    with content.open() as file:
        for number, line in enumerate(_split(file, longest, content.start(4)), 1):
            where = f"{content.name}, line {number}"
            try:
                if not line.isspace():
                    yield where, _loaded(line)
            except (ValueError, RecursionError) as error:
                problem = f"is longer than {longest:,} bytes" if len(line) > longest else f"is not JSON ({error})"
                yield where, Failure(where, f"{problem}; correct or delete the line")
            except ReadError as error:
                if number == 1:
                    raise
                yield where, Failure(where, str(error))


def _wide_lines(file: BinaryIO, encoding: str, longest: int) -> Iterator[bytes]:
    """The lines of a UTF-16 or UTF-32 file, as UTF-8."""
    with io.TextIOWrapper(file, encoding, "replace", newline="\n") as text:
        for line in iter(partial(text.readline, longest + 1), ""):
            yield line.encode("utf-8", "replace")


def _split(file: BinaryIO, longest: int, start: bytes) -> Iterator[bytes]:
    """The lines of a file, UTF-16 and UTF-32 as UTF-8; of a line that is too long, only its start."""
    narrow = iter(partial(file.readline, longest + 1), b"")
    lines = _wide_lines(file, encoding_of(start), longest) if is_wide(start) else narrow
    whole_line = True
    for line in lines:
        if whole_line:
            yield line
        whole_line = line.endswith(b"\n")
