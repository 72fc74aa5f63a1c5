"""What was known of each source when it was last read whole: a small table beside the index.

It only saves work: without it every source is read again. An old one is dropped where its columns are others.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rag.errors import StoreError

FILE = "sources.sqlite3"
COLUMNS = "origin, name, version, options, etag, modified, articles, pages"


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source that was read to its end: what its articles' ids begin with, and how a change of it would show.

    `version` is its size and time, or what a feed or a sitemap said of it; `options` is how it was read; `etag` and
    `modified` are what its server said; `articles` how many it held, and `pages` the sources that it lists instead.
    """

    origin: str
    name: str
    version: str
    options: str = ""
    etag: str = ""
    modified: str = ""
    articles: int = 0
    pages: tuple[str, ...] = ()


class SourceStates:
    """The stamps of one index, for its writer alone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, origin: str) -> SourceState | None:
        """The stamp of a source, if it was read whole before."""
        return self._one("origin = ?", origin)

    def named(self, name: str) -> SourceState | None:
        """The source that has this name."""
        return self._one("name = ?", name)

    def _one(self, where: str, value: str) -> SourceState | None:
        found = self._connection.execute(f"SELECT {COLUMNS} FROM stamps WHERE {where}", (value,)).fetchone()  # noqa: S608
        return _state(found) if found else None

    def all(self) -> Iterator[SourceState]:
        """Every stamp."""
        for row in self._connection.execute(f"SELECT {COLUMNS} FROM stamps ORDER BY origin"):  # noqa: S608
            yield _state(row)

    def put(self, stamps: Iterable[SourceState]) -> None:
        """Keep these, each in the place of an earlier one of its source."""
        places = ", ".join("?" * len(COLUMNS.split(", ")))
        with self._connection:
            rows = [(*astuple(stamp)[:-1], json.dumps(stamp.pages)) for stamp in stamps]
            self._connection.executemany(f"INSERT OR REPLACE INTO stamps ({COLUMNS}) VALUES ({places})", rows)  # noqa: S608

    def drop(self, origins: Iterable[str]) -> None:
        """Forget these sources, so that they are read again."""
        with self._connection:
            self._connection.executemany("DELETE FROM stamps WHERE origin = ?", [(origin,) for origin in origins])


def _state(row: tuple[Any, ...]) -> SourceState:
    values: dict[str, Any] = dict(zip(COLUMNS.split(", "), row, strict=True))
    return SourceState(**{**values, "pages": tuple(json.loads(values["pages"]))})


@contextmanager
def open_states(folder: Path, *, read_only: bool = False) -> Iterator[SourceStates]:
    """The stamps of the index in a folder; none if the file is damaged. Raises StoreError if it cannot be kept."""
    file = folder / FILE
    try:
        with closing(_for_reading(file) if read_only else _connected(file)) as connection:
            yield SourceStates(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{file} cannot be used ({error}); check that the disk is not full, or delete it") from error


def _connected(file: Path) -> sqlite3.Connection:
    try:
        return _prepared(sqlite3.connect(file))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "no such column" not in str(error):
            raise
        file.unlink(missing_ok=True)
        return _prepared(sqlite3.connect(file))


def _for_reading(file: Path) -> sqlite3.Connection:
    """A connection that changes nothing; to an empty table where there is none, or a damaged one."""
    with suppress(sqlite3.DatabaseError):
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        connection.execute(f"SELECT {COLUMNS} FROM stamps LIMIT 1")  # noqa: S608
        return connection
    return _prepared(sqlite3.connect(":memory:"))


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS stamps (origin TEXT PRIMARY KEY, name TEXT, version TEXT, options TEXT, etag TEXT,"
        " modified TEXT, articles INTEGER, pages TEXT)"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS by_name ON stamps (name)")
    connection.execute(f"SELECT {COLUMNS} FROM stamps LIMIT 1")  # noqa: S608
    return connection
