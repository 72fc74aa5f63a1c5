"""Checksums of Chroma's files: it crashes on damaged ones, so that they are verified before it opens them.

The checksums are written after the files, and deleted before these change: a process killed meanwhile leaves none.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

CHECKSUMS = "files.json"
DATABASE = "chroma.sqlite3"
SQLITE_HEADER = b"SQLite format 3\0"
WRITTEN = "index_metadata.pickle"
"""In the folder of each segment that was written: until its graph is first saved, the vectors are in the database."""
BLOCK = 1 << 20


def forget_checksums(folder: Path) -> None:
    """Delete the checksums, before the files change."""
    (folder / CHECKSUMS).unlink(missing_ok=True)


def record_checksums(folder: Path) -> None:
    """Write the checksums of the files as they are."""
    new = folder / f"{CHECKSUMS}.new"
    new.write_text(json.dumps({name: [size, _checksum(folder / name)] for name, size in _sizes(folder).items()}))
    new.replace(folder / CHECKSUMS)


def has_checksums(folder: Path) -> bool:
    """Whether the files were recorded since they last changed."""
    return (folder / CHECKSUMS).is_file()


def is_complete(folder: Path) -> bool:
    """Whether the files have the recorded sizes: what can be told without reading them."""
    recorded = _recorded(folder)
    return recorded is not None and {name: size for name, (size, _) in recorded.items()} == _sizes(folder)


def is_intact(folder: Path) -> bool:
    """Whether the files have the recorded contents.

    The database is only looked at: its contents change whenever it is opened, and SQLite reports damage by itself.
    """
    recorded = _recorded(folder)
    try:
        with (folder / DATABASE).open("rb") as stream:
            is_database = stream.read(len(SQLITE_HEADER)) == SQLITE_HEADER
        return (
            is_database
            and recorded is not None
            and is_complete(folder)
            and all(_checksum(folder / name) == checksum for name, (_, checksum) in recorded.items())
        )
    except OSError:
        return False


@contextmanager
def reserved(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Keep the files from being changed, or from being opened, by other processes; False if another one has them.

    Whoever changes them waits; whoever opens them does not.
    """
    if not os.access(folder.parent, os.W_OK):
        yield True  # nobody can change them
        return
    lock = FileLock(folder.with_suffix(".lock"), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _recorded(folder: Path) -> dict[str, tuple[int, int]] | None:
    try:
        found = json.loads((folder / CHECKSUMS).read_text("utf-8"))
        return {name: (int(size), int(checksum)) for name, (size, checksum) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _sizes(folder: Path) -> dict[str, int]:
    """The size of each file of a segment that was written: Chroma creates the others anew whenever it opens them."""
    written = [file.parent for file in folder.glob(f"*/{WRITTEN}")]
    files = sorted(file for segment in written for file in segment.iterdir())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
