"""Files and folders → articles."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.encoding import decode, is_wide
from ingest.fields import one_line
from ingest.formats import Read, from_json, from_jsonl, from_markdown, from_text
from rag.errors import ReadError
from rag.index import DATABASE
from rag.schema import Failure

LARGEST_FILE = 200_000_000
"""Bytes; of JSON Lines, which are read line by line, it is the longest line instead."""

_WHOLE: dict[str, Callable[[str, str, str], Read]] = {
    ".txt": from_text,
    ".text": from_text,
    ".md": from_markdown,
    ".markdown": from_markdown,
    ".json": from_json,
}
_BY_LINE = (".jsonl", ".ndjson")
SUFFIXES = (*_WHOLE, *_BY_LINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read; `name` is its path below the folder that was asked for, or its file name."""

    path: Path
    name: str

    @property
    def origin(self) -> str:
        """The same however the path was written."""
        return os.path.realpath(self.path)


def find(path: Path) -> Iterator[Source | Failure]:
    """The files that a path means, in order of name; hidden ones, and those of no known kind, are passed over.

    A file that was asked for by its own name is always found, or a Failure says why it cannot be read.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
        yield Failure(one_line(str(path)), f"{reason}; check the path")
        return
    if stat.S_ISDIR(mode):
        yield from _below(path)
    elif path.suffix.lower() not in SUFFIXES:
        name = one_line(str(path))
        yield Failure(name, f"is of no kind that can be read; give one of {', '.join(SUFFIXES)}, or a folder")
    else:
        yield _source(path, path.name)


def read(source: Source) -> Read:
    """The articles of one file. Raises ReadError if it cannot be read as what its suffix says."""
    suffix = source.path.suffix.lower()
    try:
        found = source.path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ReadError("is no regular file; give one that can be read to its end")
        if suffix in _BY_LINE:
            yield from from_jsonl(source.name, source.origin, _lines(source.path))
        else:
            if found.st_size > LARGEST_FILE:
                raise ReadError(f"is larger than {LARGEST_FILE:,} bytes; split it, or give it as .jsonl")
            yield from _WHOLE[suffix](source.name, source.origin, decode(source.path.read_bytes()))
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error}); check the file") from error


def _source(path: Path, name: str) -> Source | Failure:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(path)):
        return Failure(one_line(name), "has control or unreadable characters in its name; rename it")
    return Source(path, name)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if is_wide(file.read(4)):
            # Its line feeds are two or four bytes, so it cannot be cut before it is decoded.
            yield from (line.encode() for line in decode(path.read_bytes()).split("\n"))
            return
        file.seek(0)
        while line := file.readline(LARGEST_FILE):
            yield line


def _below(folder: Path) -> Iterator[Source | Failure]:
    failures: list[Failure] = []

    def failed(error: OSError) -> None:
        failures.append(Failure(str(error.filename), f"cannot be listed ({error.strerror}); check its permissions"))

    nothing = True
    for where, folders, files in os.walk(folder, onerror=failed):
        if DATABASE in files:  # an index of ours, or any Chroma store
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES:
                nothing = False
                yield _source(path, path.relative_to(folder).as_posix())
    yield from failures
    if nothing and not failures:
        yield Failure(str(folder), f"holds no file that can be read; put {', '.join(SUFFIXES)} files there")
