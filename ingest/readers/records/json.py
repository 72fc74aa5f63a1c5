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
from ingest.content.values import one_line
from ingest.readers.records.record import (
    MOST_NAMED,
    Numbered,
    articles_of,
    blocks_here,
    flattened,
    summary_of,
    words_of,
)
from rag.errors import ReadError
from rag.schema import Failure

LIST_LEVELS = 3
"""How deep in an object the list of its articles may stand."""


def from_json(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """JSON: an article as an object, a list of them, or an object that such a list stands in.

    One object a line is read as JSON Lines. Raises ReadError for what is no JSON, or holds several lists of articles.
    """
    data = read_bytes(content, options)
    try:
        found = _loaded(data)
    except (ValueError, RecursionError) as error:
        if not _is_lines(data):
            raise ReadError(f"is not JSON ({error}); mend it, or save one object a line as .jsonl") from error
        del data
        yield from from_jsonl(content, options, parse_markup)
        return
    records = _records(found, options.fields)
    yield from articles_of(
        ((f"{content.name}, entry {i}", record) for i, record in enumerate(records, 1)), content, options, parse_markup
    )


def from_jsonl(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """JSON Lines: one article a line; blank lines are passed over, a broken one fails alone."""
    if content.start(64).split(b"\n", 1)[0].strip() in (b"[", b"{"):
        # A list, or an object, that only has the wrong name.
        yield from from_json(content, options, parse_markup)
    else:
        yield from articles_of(_lines(content, options), content, options, parse_markup)


def _loaded(data: bytes) -> Any:
    """The value that JSON stands for. Raises ValueError, RecursionError, or ReadError for what is no text."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Stricter than what many programs write: other encodings, NaN, half of a pair of surrogates.
        return json.loads(decode(data))


def _is_lines(data: bytes) -> bool:
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        return isinstance(_loaded(first), Mapping) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _records(found: Any, mapping: Mapping[str, str]) -> list[Any]:
    """What of a JSON file may be articles: the items of a list, those of the one list in an object, or the object."""
    if isinstance(found, list):
        return found
    if not isinstance(found, Mapping) or _is_article(found, mapping):
        return [found]
    if posts := _ghost_posts(found):
        return posts
    lists = dict(_lists(found))
    if len(lists) > 1:
        told = {name: items for name, items in lists.items() if any(_has_text(item, mapping) for item in items[:20])}
        lists = told or {}
    if len(lists) > 1:
        names = ", ".join(one_line(name)[:60] for name in list(lists)[:MOST_NAMED])
        raise ReadError(f"has several lists of objects ({names}); save the one with the articles as a file of its own")
    return next(iter(lists.values()), [found])


def _ghost_posts(found: Mapping[str, Any]) -> list[Any]:
    """The posts in an export of Ghost, beside which stand lists of users, tags and settings; none for other JSON."""
    databases = found.get("db")
    thing = databases[0] if isinstance(databases, list) and databases else found
    data = thing.get("data") if isinstance(thing, Mapping) else None
    posts = data.get("posts") if isinstance(data, Mapping) else None
    return posts if isinstance(posts, list) else []


def _lists(thing: Mapping[str, Any], levels: int = LIST_LEVELS, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The lists of objects in an object, by where they stand in it."""
    for key, value in thing.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield f"{path}{key}", value
        elif isinstance(value, Mapping) and levels > 1:
            yield from _lists(value, levels - 1, f"{path}{key}.")


def _is_article(record: Mapping[str, Any], mapping: Mapping[str, str]) -> bool:
    """Has it a text of its own that is not a list of articles?"""
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
                yield where, Failure(where, f"{problem}; mend or delete the line")
            except ReadError as error:
                if number == 1:
                    raise
                yield where, Failure(where, str(error))


def _wide_lines(file: BinaryIO, encoding: str, longest: int) -> Iterator[bytes]:
    """The lines of a file whose line feeds are two or four bytes."""
    with io.TextIOWrapper(file, encoding, "replace", newline="\n") as text:
        for line in iter(partial(text.readline, longest + 1), ""):
            yield line.encode("utf-8", "replace")


def _split(file: BinaryIO, longest: int, start: bytes) -> Iterator[bytes]:
    """The lines of a file, in UTF-8 if it is UTF-16 or UTF-32; of one that is too long, its start."""
    narrow = iter(partial(file.readline, longest + 1), b"")
    lines = _wide_lines(file, encoding_of(start), longest) if is_wide(start) else narrow
    whole_line = True
    for line in lines:
        if whole_line:
            yield line
        whole_line = line.endswith(b"\n")
