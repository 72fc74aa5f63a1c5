"""Files and folders → articles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.encoding import decode
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
        return str(self.path.resolve())


def find(path: Path) -> Iterator[Source | Failure]:
    """The files that a path means, in order of name; hidden ones, and those of no known kind, are passed over.

    A file that was asked for by its own name is always found, or a Failure says why it cannot be read.
    """
    if path.is_dir():
        yield from _below(path)
    elif not path.exists():
        yield Failure(str(path), "does not exist; check the path")
    elif path.suffix.lower() not in SUFFIXES:
        yield Failure(str(path), f"is of no kind that can be read; give one of {', '.join(SUFFIXES)}, or a folder")
    else:
        yield Source(path, path.name)


def read(source: Source) -> Read:
    """The articles of one file. Raises ReadError if it cannot be read as what its suffix says."""
    suffix = source.path.suffix.lower()
    try:
        if suffix in _BY_LINE:
            yield from from_jsonl(source.name, source.origin, _lines(source.path))
        else:
            if source.path.stat().st_size > LARGEST_FILE:
                raise ReadError(f"is larger than {LARGEST_FILE:,} bytes; split it, or give it as .jsonl")
            yield from _WHOLE[suffix](source.name, source.origin, decode(source.path.read_bytes()))
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error}); check the file") from error


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
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
                yield Source(path, path.relative_to(folder).as_posix())
    yield from failures
    if nothing and not failures:
        yield Failure(str(folder), f"holds no file that can be read; put {', '.join(SUFFIXES)} files there")


def listed(paths: Sequence[Path]) -> list[Path]:
    """The folders among the paths, resolved: files that vanished from them are known to have vanished."""
    return [path.resolve() for path in paths if path.is_dir()]
