"""One writer at a time: a lock on the index's folder, and a note of who holds it."""

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


class _Note(BaseModel):
    """What a writer says of itself."""

    pid: int
    host: str
    since: datetime


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other writer out of a folder, which is made if it is not there, and tell them who is in.

    Raises IndexLocked when another process is, StoreError when nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise IndexLocked(
            f"{_writer(folder)} is writing to the index {folder}; wait until it is done, or give another --index"
        ) from error
    except (OSError, ValueError) as error:
        raise _not_writable(folder, error) from error
    try:
        _sign(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / WRITER_FILE).unlink(missing_ok=True)
        lock.release()


def _sign(folder: Path) -> None:
    since = datetime.now().astimezone().isoformat()
    note = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    try:
        (folder / WRITER_FILE).write_text(note, "utf-8")
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or error
    return StoreError(f"cannot write to the index {folder} ({reason}); make it writable, or give another --index")


def _writer(folder: Path) -> str:
    """Who holds the lock and since when, as far as it said so."""
    try:
        note = _Note.model_validate_json((folder / WRITER_FILE).read_bytes())
    except (OSError, ValidationError):
        return "another process"
    return f"process {note.pid} on {note.host[:80]}, since {note.since:%H:%M:%S on %d %B %Y},"
