"""Records → articles: JSON, JSON Lines, CSV and Parquet, by whatever names their fields have."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from typing import Any, BinaryIO, Protocol

import orjson

from ingest.article import LEVELS, LONGEST_ARTICLE, MOST_ITEMS, article_of, as_line, pick, plain_name
from ingest.dump import captions_of, unwrapped
from ingest.encoding import SAMPLE, decode, encoding_of, is_wide
from ingest.fields import LONGEST_ID, clean, one_line, slug, unique_id
from ingest.html import html_blocks, looks_like_html, unescaped
from ingest.paragraphs import BETWEEN, Block, Joined, joined
from ingest.source import MEGABYTE, Content, Options, OutOfTime, Read, TakeApart, Unpublished, whole
from ingest.unpublished import is_no_article, is_unpublished, no_articles
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice

LIST_LEVELS = 3
"""How deep in an object the list of its articles may stand."""
BLOCK_LEVELS = 5
"""How deep in a record's text its paragraphs may stand."""
MOST_FIELDS = 100
"""Fields of a record that are looked at as extra ones."""
LONGEST_MARKUP = 4_000
"""Characters of a field other than the text in which markup is looked for."""
BATCH_CHARACTERS, BATCH_RECORDS = 2_000_000, 200
"""Records whose markup is taken apart at once."""
MOST_NAMED = 10
"""How many names of fields a message tells."""
MOST_TOLD = 3
"""How many entries without a text are told one by one."""
LONGEST_LINE = 10 * LONGEST_ARTICLE
"""Characters of a line of CSV."""
BATCH_BYTES, MOST_ROWS = 8 * MEGABYTE, 1_000
"""What is taken out of a Parquet file at once."""
MOST_EXPANDED = 1_000
"""How many times larger than its file Parquet may be when it is unpacked; text is some ten times larger."""
SUMMARIES = frozenset(
    "description summary abstract excerpt lead leadparagraph snippet teaser standfirst trailtext intro "
    "metadescription".split()
)
"""Fields that stand in for a text that is missing: the longest counts."""
NO_TEXT = 'is no object with a text; give each article as {"title": …, "text": …}'
SAY_WHICH = "say which field it is with --map text=NAME; it has: "
NEEDS_PARQUET = "is Parquet, which needs another package; run: pip install 'pullquote[parquet]'"
BROKEN_PARQUET = "is not Parquet, or broken"

_SHOWN = ("title", "author", "source")
_BLOCK_TEXTS = ("text", "content", "body", "rendered", "html", "value", "paragraph", "bodyhtml", "bodytext",
                "bodytextsummary", "paragraphs", "blocks", "children")  # fmt: skip
"""Where a block of a text ({"type": "paragraph", "text": …}) has its words."""
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
END = "\0the end\0"
"""What the last line of CSV is followed by: a quote that was not closed takes it in."""


@dataclass(frozen=True, slots=True)
class _NoText:
    """Why an entry has no text."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Raw:
    """What a record says: its text, or the field that stands in where that shows none, and its other fields."""

    text: str
    summary: str
    fields: dict[str, Any]
    extra: dict[str, Any]
    record: Mapping[str, Any]

    def markup(self) -> Iterator[str]:
        """All of it that is markup, as it will be asked for."""
        yield from filter(looks_like_html, (self.text, self.summary))
        others = islice(self.extra.values(), MOST_FIELDS)
        for value in (*(self.fields[name] for name in _SHOWN if name in self.fields), *others):
            yield from _markup_in(value)


class _Shown:
    """What markup shows, of many records at once, so that it can be asked for elsewhere."""

    def __init__(self, take_apart: TakeApart) -> None:
        self._take_apart = take_apart
        self._known: dict[str, list[Block]] = {}

    def prepare(self, raws: Iterable[_Raw]) -> None:
        """Take the markup of these records apart; where one of them makes that fail, each is tried alone later."""
        markup = list(dict.fromkeys(chain.from_iterable(raw.markup() for raw in raws)))
        self._known.clear()
        if markup:
            with suppress(ReadError):
                self._known.update(zip(markup, self._take_apart(markup), strict=True))

    def blocks(self, markup: str) -> list[Block]:
        """Raises ReadError."""
        if markup not in self._known:
            [self._known[markup]] = self._take_apart([markup])
        return self._known[markup]

    def text(self, markup: str) -> str:
        return BETWEEN.join(block.text for block in self.blocks(markup))


def blocks_here(markup: Sequence[str]) -> list[list[Block]]:
    """The blocks of texts with markup, without a process that could be ended."""
    return [html_blocks(text) for text in markup]


class RecordReader(Protocol):
    """As a Reader; `take_apart` takes apart the markup in records."""

    def __call__(self, content: Content, options: Options, take_apart: TakeApart, /) -> Read: ...


Numbered = Iterable[tuple[str, Any]]
"""Records, or what failed in their place, each with what it is called in a message."""


def from_json(content: Content, options: Options, take_apart: TakeApart = blocks_here) -> Read:
    """JSON: an article as an object, a list of them, or an object that such a list stands in.

    One object a line is read as JSON Lines. Raises ReadError for what is no JSON, or holds several lists of articles.
    """
    data = whole(content, options)
    try:
        found = _loaded(data)
    except (ValueError, RecursionError) as error:
        if not _is_lines(data):
            raise ReadError(f"is not JSON ({error}); mend it, or save one object a line as .jsonl") from error
        del data
        yield from from_jsonl(content, options, take_apart)
        return
    records = _records(found, options.fields)
    yield from _articles(
        ((f"{content.name}, entry {i}", record) for i, record in enumerate(records, 1)), content, options, take_apart
    )


def from_jsonl(content: Content, options: Options, take_apart: TakeApart = blocks_here) -> Read:
    """JSON Lines: one article a line; blank lines are passed over, a broken one fails alone."""
    if content.start(64).split(b"\n", 1)[0].strip() in (b"[", b"{"):
        # A list, or an object, that only has the wrong name.
        yield from from_json(content, options, take_apart)
    else:
        yield from _articles(_lines(content, options), content, options, take_apart)


def from_csv(content: Content, options: Options, take_apart: TakeApart = blocks_here) -> Read:
    """CSV with a header: one article a row; the separator is the one that parts the header.

    Raises ReadError for a header that names no text.
    """
    start = content.start(SAMPLE)
    if not is_wide(start) and b"\0" not in start.split(b"\n", 1)[0]:
        start = start.replace(b"\0", b"")
    encoding = encoding_of(start)
    with content.open() as file, io.TextIOWrapper(file, encoding, "replace", newline="") as text:
        yield from _articles(_rows(text, content, options), content, options, take_apart)


def from_parquet(content: Content, options: Options, take_apart: TakeApart = blocks_here) -> Read:
    """Parquet: one article a row, a few at a time. Raises ReadError if it is broken, or pyarrow is missing."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ReadError(NEEDS_PARQUET) from error
    with content.open() as file:
        try:
            table = parquet.ParquetFile(file, buffer_size=MEGABYTE, pre_buffer=False, memory_map=False)
            columns = _columns(table, content.size, options)
        except (ArrowException, OSError, ValueError) as error:
            raise ReadError(f"{BROKEN_PARQUET} ({one_line(str(error))[:200]}); save it anew") from error
        yield from _articles(_batches(table, columns, content.name), content, options, take_apart)


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
    text = pick(record, mapping)[0].get("text")
    several = isinstance(text, list) and any(
        {"title", "text"} <= pick(item, {})[0].keys() for item in text if isinstance(item, Mapping)
    )
    return not several and bool(_words(text))


def _has_text(record: Any, mapping: Mapping[str, str]) -> bool:
    if not isinstance(record, Mapping):
        return False
    fields, extra = _opened(record, mapping)
    return bool(_words(fields.get("text")) or _summary(extra))


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


def _rows(text: io.TextIOWrapper, content: Content, options: Options) -> Numbered:
    """The rows of CSV by the names in its header."""
    csv.field_size_limit(LONGEST_ARTICLE)
    lines = iter(partial(text.readline, LONGEST_LINE), "")
    before, first = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    told = _SEPARATOR.fullmatch(first.strip(" \r\n"))
    reader = csv.reader(
        chain(() if told else (first,), lines, (END,)), delimiter=told[1] if told else _delimiter(first)
    )
    before += bool(told)
    try:
        header = [one_line(name) for name in next(reader)]
    except csv.Error as error:
        raise ReadError(f"has a header that is not CSV ({error}); mend its first line") from error
    _check_names([name for name in header if name], options.fields)
    columns = {name: i for i, name in reversed(list(enumerate(header))) if name}
    while True:
        where = f"{content.name}, line {before + reader.line_num + 1}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield where, Failure(where, f"is not CSV ({error}); mend or delete the row")
            continue
        if row and row != [END]:
            problem = _row_problem(row, len(header))
            yield where, Failure(where, problem) if problem else {name: row[i] for name, i in columns.items()}


def _delimiter(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(",;\t|", key=bare.count)


def _row_problem(row: list[str], width: int) -> str:
    if row[-1].endswith(END):
        return "has a quote that is never closed; mend the row"
    if any("\0" in value for value in row):
        return "holds NUL bytes; delete them"
    if len(row) < width or any(row[width:]):
        return f"has {len(row)} fields, but the header names {width}; mend the row"
    return ""


def _check_names(names: list[str], mapping: Mapping[str, str]) -> None:
    """Raises ReadError if records that all have these fields can have no text, or lack one that is asked for."""
    if not names:
        raise ReadError("has no columns; give it a header that names them")
    record = dict.fromkeys(names, "x")
    for field, path in mapping.items():
        if path not in record and path.split(".")[0] not in record:
            raise ReadError(_no_field(field, path, names))
    if "text" not in pick(record, mapping)[0] and not SUMMARIES & set(map(plain_name, names)):
        raise ReadError(f"has no column that is named like a text; {SAY_WHICH}{_listed(names)}")


def _no_field(field: str, path: str, names: Iterable[Any]) -> str:
    return f"has no field {one_line(path)[:60]!r} to take its {field} from; name one of those it has: {_listed(names)}"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(one_line(name)[:60] for name in islice(names, MOST_NAMED)) or "none"


def _columns(table: Any, size: int, options: Options) -> list[str]:
    """The columns of a Parquet file that can say something of an article. Raises ReadError for what it cannot be."""
    # What the footer says of a single column is left alone: broken, it makes pyarrow end the whole program.
    unpacked = _unpacked(table)
    if not 0 <= unpacked <= MOST_EXPANDED * size:
        raise ReadError(f"{BROKEN_PARQUET} (it would be {unpacked:,} bytes); save it anew")
    mapped = {path.split(".")[0] for path in options.fields.values()} | set(options.fields.values())
    fields = [
        field for field in table.schema_arrow if _is_told(field.type, field.name in mapped or _is_known(field.name))
    ]
    names = [field.name for field in fields]
    _check_names(names, options.fields)
    return names


def _unpacked(table: Any) -> int:
    """Bytes of a Parquet file's rows when they are unpacked."""
    return sum(table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups))


def _is_known(name: str) -> bool:
    return "text" in pick({name: "x"}, {})[0] or plain_name(name) in SUMMARIES


def _is_told(kind: Any, known: bool) -> bool:
    """Can values of this type be read? Bytes only where a text should stand; numbers in a list are no words."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return known
    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_primitive(kind.value_type) and _is_told(kind.value_type, False)
    if types.is_struct(kind):
        return all(_is_told(kind.field(i).type, False) for i in range(kind.num_fields))
    return not (types.is_null(kind) or types.is_map(kind) or types.is_union(kind) or types.is_fixed_size_list(kind))


def _batches(table: Any, columns: list[str], name: str) -> Numbered:
    from pyarrow import ArrowException

    row_bytes = _unpacked(table) // max(table.metadata.num_rows, 1)
    rows = max(1, min(MOST_ROWS, BATCH_BYTES // max(row_bytes, 1)))
    number = 0
    try:
        for batch in table.iter_batches(rows, columns=columns, use_threads=False):
            values = [_values(column) for column in batch.columns]
            for row in zip(*values, strict=True):
                number += 1
                yield f"{name}, row {number}", dict(zip(batch.schema.names, row, strict=True))
    except (ArrowException, OSError, ValueError) as error:
        problem = f"{BROKEN_PARQUET} ({one_line(str(error))[:200]}); save it anew"
        if not number:
            raise ReadError(problem) from error
        where = f"{name}, row {number + 1}"
        yield where, Failure(where, f"{problem}, its other rows could not be read")


def _values(column: Any) -> list[Any]:
    """A column's values; None for one that Python has no value for (a date after 9999)."""
    from pyarrow import ArrowException, timestamp, types

    if types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(timestamp("us", column.type.tz), safe=False)
    try:
        values = column.to_pylist()
    except (ArrowException, OverflowError, ValueError):
        values = [_value(scalar) for scalar in column]
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]


def _value(scalar: Any) -> Any:
    from pyarrow import ArrowException

    try:
        return scalar.as_py()
    except (ArrowException, OverflowError, ValueError):
        return None


def _articles(records: Numbered, content: Content, options: Options, take_apart: TakeApart) -> Read:
    taken: set[str] = set()
    missing = dict(options.fields)
    last: Mapping[Any, Any] = {}
    without = 0
    shown = _Shown(take_apart)
    for batch in _in_batches(_published(records, content, options), options.fields):
        shown.prepare(raw for _, _, raw in batch if isinstance(raw, _Raw))
        for where, record, raw in batch:
            if isinstance(raw, Notice | Unpublished):
                yield raw
                continue
            if missing and isinstance(record, Mapping):
                missing = {field: path for field, path in missing.items() if not _has(record, path)}
                last = record
            found = _article(raw, content, options.fields, taken, shown) if isinstance(raw, _Raw) else raw
            without += isinstance(found, _NoText)
            if isinstance(found, Article):
                yield found
            elif not isinstance(found, _NoText) or without <= MOST_TOLD:
                yield Failure(where, found.reason)
    if without > MOST_TOLD:
        more = without - MOST_TOLD
        yield Failure(content.name, f"{more:,} more {'entry has' if more == 1 else 'entries have'} no text either")
    for field, path in missing.items():
        if field != "text" and last:
            yield Failure(content.name, _no_field(field, path, last))


def _published(records: Numbered, content: Content, options: Options) -> Numbered:
    """The records without those that are no articles, and with a mark in the place of one that is not published."""
    others = 0
    for where, record in records:
        if not isinstance(record, Mapping):
            yield where, record
        elif is_no_article(record):
            others += 1
        elif is_unpublished(record) and not options.include_drafts:
            yield where, Unpublished(_own_id(record, content, options.fields))
        else:
            yield where, record
    if others:
        yield content.name, no_articles(content.name, others)


def _own_id(record: Mapping[str, Any], content: Content, mapping: Mapping[str, str]) -> str:
    """The id that a record would have as an article."""
    fields, _ = _opened(record, mapping)
    return as_line(fields.get("id")) or f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}"


def _in_batches(
    records: Numbered, mapping: Mapping[str, str]
) -> Iterator[list[tuple[str, Any, _Raw | Failure | Notice | Unpublished | _NoText]]]:
    """Records with what they say, some at a time."""
    batch, size = [], 0
    for where, record in records:
        raw = record if isinstance(record, Failure | Notice | Unpublished) else _raw(record, mapping)
        batch.append((where, record, raw))
        size += len(raw.text) if isinstance(raw, _Raw) else 0
        if size > BATCH_CHARACTERS or len(batch) == BATCH_RECORDS:
            yield batch
            batch, size = [], 0
    yield batch


def _raw(record: Any, mapping: Mapping[str, str]) -> _Raw | _NoText:
    if not isinstance(record, Mapping):
        return _NoText(NO_TEXT)
    if "text" in mapping and not _has(record, mapping["text"]):
        return _NoText(_no_field("text", mapping["text"], record))
    fields, extra = _opened(record, mapping)
    text, key = _unescaped(_words(fields.pop("text", None))), ""
    if not text.strip() or looks_like_html(text):
        key = _summary(extra)
    return _Raw(text, _unescaped(_words(extra.get(key))) if key else "", fields, extra, record)


def _article(
    raw: _Raw, content: Content, mapping: Mapping[str, str], taken: set[str], shown: _Shown
) -> Article | Failure | _NoText:
    try:
        return _made(raw, content, mapping, taken, shown)
    except OutOfTime:
        raise
    except ReadError as error:
        return Failure("", f"has markup that {error}")


def _made(
    raw: _Raw, content: Content, mapping: Mapping[str, str], taken: set[str], shown: _Shown
) -> Article | Failure | _NoText:
    fields, extra = dict(raw.fields), dict(raw.extra)
    story = _story(raw.text, shown)
    if not story.text and (key := _summary(extra)):
        story = _story(_unescaped(_words(extra.pop(key))), shown)
    if not story.text:
        return _NoText(_no_text(raw.record, mapping))
    fields |= {name: _plain(fields[name], shown) for name in _SHOWN if name in fields}
    given = as_line(fields.get("id"), LONGEST_ID + 1)
    if given in taken or len(given) > LONGEST_ID:
        problem = "was used by an earlier entry" if given in taken else f"is over {LONGEST_ID} characters"
        return Failure("", f"its id {given[:60]!r} {problem}; give each article a short id of its own")
    fields["id"] = given or unique_id(f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}", taken)
    taken.add(fields["id"])
    if isinstance(fields.get("date"), (Mapping, list)):
        fields["date"] = as_line(fields["date"])
    plain = {key: _plain(value, shown) for key, value in islice(extra.items(), MOST_FIELDS)}
    if len(story.text) > LONGEST_ARTICLE:
        return article_of(content, story.text, fields, plain)
    return article_of(content, story, fields, plain, captions_of(story.text))


def _no_text(record: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    named = mapping.get("text") or next((key for key in record if "text" in pick({key: "x"}, {})[0]), "")
    problem = (
        f"has nothing in its field {one_line(named)[:60]!r}" if named else "has no text under a name that is known"
    )
    return f"{problem}; {SAY_WHICH}{_listed(record)}" if record else NO_TEXT


def _has(record: Mapping[str, Any], path: str) -> bool:
    """Has a record this field, or an empty place for it?"""
    value: Any = record if path not in record else None
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return value is None
        if name not in value:
            return False
        value = value[name]
    return True


def _opened(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `pick`; what stands in an object of its own inside the record ({"_source": {…}}) counts as the record's."""
    fields, extra = pick(record, mapping)
    text = fields.get("text")
    if "text" in mapping or isinstance(text, (str, list)):
        return fields, extra
    if isinstance(text, Mapping):
        inside = text if {"title", "text"} <= pick(text, {})[0].keys() else None
    else:
        things = (value for value in record.values() if isinstance(value, Mapping))
        inside = next((thing for thing in things if _words(pick(thing, {})[0].get("text"))), None)
    if inside is None:
        return fields, extra
    return pick({**{key: value for key, value in record.items() if value is not inside}, **inside}, mapping)


def _story(text: str, shown: _Shown) -> Joined:
    """What a text shows, with the spans that are not quoted, and those of its lists."""
    if looks_like_html(text):
        return joined(shown.blocks(text))
    text = clean(text)
    return Joined(unwrapped(text) if len(text) <= LONGEST_ARTICLE else text)


def _unescaped(text: str) -> str:
    return unescaped(text) if "&" in text and "<" not in text else text


def _words(value: Any) -> str:
    """The words of a text, whatever it is given as; of one that is too long for an article, so many as show it."""
    if isinstance(value, str):
        return value
    found, size = list[str](), 0
    for paragraph in _paragraphs(value):
        found.append(paragraph)
        size += len(paragraph) + len(BETWEEN)
        if size > LONGEST_ARTICLE + len(BETWEEN):
            break
    return BETWEEN.join(found)


def _paragraphs(value: Any, levels: int = BLOCK_LEVELS) -> Iterator[str]:
    """The texts in a list of paragraphs, or of blocks that have them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and levels:
        for item in value:
            yield from _paragraphs(item, levels - 1)
    elif isinstance(value, Mapping) and levels:
        plain = {plain_name(key): inside for key, inside in value.items()}
        for name in _BLOCK_TEXTS:
            inside = _paragraphs(plain[name], levels - 1) if name in plain else iter(())
            if (first := next(inside, None)) is not None:
                yield first
                yield from inside
                break


def _summary(fields: Mapping[str, Any]) -> str:
    """The name of the longest field that can stand in for a text; empty if there is none."""
    names = [key for key, value in fields.items() if plain_name(key) in SUMMARIES and _words(value).strip()]
    return max(names, key=lambda key: len(_words(fields[key])), default="")


def _plain(value: Any, shown: _Shown, levels: int = LEVELS) -> Any:
    """A value as text: markup as what it shows, a day as it is written."""
    if isinstance(value, str) and ("&" in value or "<" in value):
        text = value[:LONGEST_MARKUP]
        return shown.text(text) if looks_like_html(text) else unescaped(text)
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, (Mapping, list)) and not levels:
        return None
    if isinstance(value, Mapping):
        inside = islice(value.items(), MOST_ITEMS)
        return {key: _plain(item, shown) if isinstance(item, str) else item for key, item in inside}
    return [_plain(item, shown, levels - 1) for item in value[:MOST_ITEMS]] if isinstance(value, list) else value


def _markup_in(value: Any, levels: int = LEVELS) -> Iterator[str]:
    """The markup that _plain finds in a value."""
    if isinstance(value, str):
        if "<" in value and looks_like_html(text := value[:LONGEST_MARKUP]):
            yield text
    elif isinstance(value, Mapping) and levels:
        yield from (text for item in islice(value.values(), MOST_ITEMS) for text in _markup_in(item, 0))
    elif isinstance(value, list) and levels:
        yield from (text for item in value[:MOST_ITEMS] for text in _markup_in(item, levels - 1))
