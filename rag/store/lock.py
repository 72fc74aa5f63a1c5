"""One writer at a time: a lock on the index's folder, and a file that names its holder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from rag.errors import IndexLocked, StoreError

LOCK_FILE, WRITER_FILE = "write.lock", "writer.json"


class _Writer(BaseModel):
    """The process that holds the lock."""

    pid: int
    host: str
    since: datetime


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for writing; creates it if necessary.

    Raises IndexLocked, which names the writer, if another process holds the lock, and StoreError if the folder cannot
    be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise IndexLocked(
            f"{_lock_holder(folder)} is writing to the index {folder}; wait until it is done, or give another --index"
        ) from error
    except (OSError, ValueError) as error:
        raise _not_writable(folder, error) from error
    try:
        _record_writer(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / WRITER_FILE).unlink(missing_ok=True)
        lock.release()


def _record_writer(folder: Path) -> None:
    since = datetime.now().astimezone().isoformat()
    writer = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    try:
        (folder / WRITER_FILE).write_text(writer, "utf-8")
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or error
    return StoreError(f"cannot write to the index {folder} ({reason}); make it writable, or give another --index")


def _lock_holder(folder: Path) -> str:
    """The process that holds the lock and since when, if its file can be read."""
    try:
        writer = _Writer.model_validate_json((folder / WRITER_FILE).read_bytes())
    except (OSError, ValidationError):
        return "another process"
    return f"process {writer.pid} on {writer.host[:80]}, since {writer.since:%H:%M:%S on %d %B %Y},"
