"""CSV and Parquet → articles."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import Any

from ingest.articles.fields import LONGEST_ARTICLE, pick_fields, plain_name
from ingest.content.encoding import SAMPLE, encoding_of, is_wide
from ingest.content.types import MEGABYTE, Content, Options, ParseMarkup, Read
from ingest.content.values import one_line
from ingest.readers.records.record import SAY_WHICH, SUMMARIES, Numbered, articles_of, blocks_here, listed, no_field
from rag.errors import ReadError
from rag.schema import Failure

LONGEST_LINE = 10 * LONGEST_ARTICLE
"""Characters of a line of CSV."""
BATCH_BYTES, MOST_ROWS = 8 * MEGABYTE, 1_000
"""Size of a batch read from a Parquet file."""
MOST_EXPANDED = 1_000
"""Limit of a Parquet file's unpacked size as a multiple of its size; text is some ten times larger."""
NEEDS_PARQUET = "is Parquet, which needs another package; run: pip install 'pullquote[parquet]'"
BROKEN_PARQUET = "is broken, or not Parquet"
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
END = "\0the end\0"
"""A sentinel after the last line of CSV; a quote that is never closed swallows it."""


def from_csv(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """CSV with a header, one article a row; the delimiter is guessed from the header.

    Raises ReadError for a header that names no text.
    """
    start = content.start(SAMPLE)
    if not is_wide(start) and b"\0" not in start.split(b"\n", 1)[0]:
        start = start.replace(b"\0", b"")
    encoding = encoding_of(start)
    with content.open() as file, io.TextIOWrapper(file, encoding, "replace", newline="") as text:
        yield from articles_of(_rows(text, content, options), content, options, parse_markup)


def from_parquet(content: Content, options: Options, parse_markup: ParseMarkup = blocks_here) -> Read:
    """Parquet, one article a row, read in batches. Raises ReadError if it is broken, or pyarrow is missing."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ReadError(NEEDS_PARQUET) from error
    with content.open() as file:
        try:
            table = parquet.ParquetFile(file, buffer_size=MEGABYTE, pre_buffer=False, memory_map=False)
            columns = _columns(table, content.size, options)
        except (ArrowException, OSError, ValueError) as error:
            raise ReadError(f"{BROKEN_PARQUET} ({one_line(str(error))[:200]}); save it again") from error
        yield from articles_of(_batches(table, columns, content.name), content, options, parse_markup)


def _rows(text: io.TextIOWrapper, content: Content, options: Options) -> Numbered:
    """The rows of CSV as records with the header's names."""
    csv.field_size_limit(LONGEST_ARTICLE)
    lines = iter(partial(text.readline, LONGEST_LINE), "")
    before, first = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    declared = _SEPARATOR.fullmatch(first.strip(" \r\n"))
    rows = chain(() if declared else (first,), lines, (END,))
    reader = csv.reader(rows, delimiter=declared[1] if declared else _delimiter(first))
    before += bool(declared)
    try:
        header = [one_line(name) for name in next(reader)]
    except csv.Error as error:
        raise ReadError(f"has a header that is not CSV ({error}); correct its first line") from error
    _check_names([name for name in header if name], options.fields)
    columns = {name: i for i, name in reversed(list(enumerate(header))) if name}
    while True:
        where = f"{content.name}, line {before + reader.line_num + 1}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield where, Failure(where, f"is not CSV ({error}); correct or delete the row")
            continue
        if row and row != [END]:
            problem = _row_problem(row, len(header))
            yield where, Failure(where, problem) if problem else {name: row[i] for name, i in columns.items()}


def _delimiter(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(",;\t|", key=bare.count)


def _row_problem(row: list[str], width: int) -> str:
    if row[-1].endswith(END):
        return "has a quote that is never closed; correct the row"
    if any("\0" in value for value in row):
        return "holds NUL bytes; delete them"
    if len(row) < width or any(row[width:]):
        return f"has {len(row)} fields, but the header names {width}; correct the row"
    return ""


def _check_names(names: list[str], mapping: Mapping[str, str]) -> None:
    """Raises ReadError if no column can hold the text, or a column named by --map is missing."""
    if not names:
        raise ReadError("has no columns; give it a header that names them")
    record = dict.fromkeys(names, "x")
    for field, path in mapping.items():
        if path not in record and path.split(".")[0] not in record:
            raise ReadError(no_field(field, path, names))
    if "text" not in pick_fields(record, mapping)[0] and not SUMMARIES & set(map(plain_name, names)):
        raise ReadError(f"has no column with a known name for the text; {SAY_WHICH}{listed(names)}")


def _columns(table: Any, size: int, options: Options) -> list[str]:
    """The columns of a Parquet file that can be fields of an article. Raises ReadError for an implausible file."""
    # The footer's column statistics are not read: broken ones make pyarrow abort the whole process.
    unpacked = _unpacked(table)
    if not 0 <= unpacked <= MOST_EXPANDED * size:
        raise ReadError(f"{BROKEN_PARQUET} (it would be {unpacked:,} bytes); save it again")
    mapped = {path.split(".")[0] for path in options.fields.values()} | set(options.fields.values())
    names = [
        field.name
        for field in table.schema_arrow
        if _is_readable(field.type, field.name in mapped or _can_be_text(field.name))
    ]
    _check_names(names, options.fields)
    return names


def _unpacked(table: Any) -> int:
    """The unpacked size of a Parquet file's rows, in bytes."""
    return sum(table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups))


def _can_be_text(name: str) -> bool:
    return "text" in pick_fields({name: "x"}, {})[0] or plain_name(name) in SUMMARIES


def _is_readable(kind: Any, known: bool) -> bool:
    """Whether values of this type can be a field: bytes only as the text, no lists of numbers."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return known
    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_primitive(kind.value_type) and _is_readable(kind.value_type, False)
    if types.is_struct(kind):
        return all(_is_readable(kind.field(i).type, False) for i in range(kind.num_fields))
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
        problem = f"{BROKEN_PARQUET} ({one_line(str(error))[:200]}); save it again"
        if not number:
            raise ReadError(problem) from error
        where = f"{name}, row {number + 1}"
        yield where, Failure(where, f"{problem}, its other rows could not be read")


def _values(column: Any) -> list[Any]:
    """A column's values; None where Python has none, as for a date after 9999."""
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
