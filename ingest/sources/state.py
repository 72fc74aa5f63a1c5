"""Per-source ingest state, used to skip unchanged sources: a small table beside the index.

Without it every source is read again, and nothing else happens; a table with other columns is deleted.
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
COLUMNS = "origin, name, version, options, articles, pages"
"""Of the table `stamps`: the fields of SourceState in order, as indexes on disk call them."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source that was read to its end.

    `name` is what its articles' ids start with; `revision` changes when the source does; `options` is how it was read;
    `articles` is how many it had, and `pages` are the sources that it lists instead.
    """

    origin: str
    name: str
    revision: str
    options: str = ""
    articles: int = 0
    pages: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The mapping of fields that the source was read with."""
        fields: dict[str, str] = json.loads(self.options.partition(";")[2] or "{}")
        return fields


class SourceStates:
    """The states of one index's sources, for its writer alone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, origin: str) -> SourceState | None:
        """The state of a source, if it was read to its end before."""
        return self._first("origin = ?", origin)

    def named(self, name: str) -> SourceState | None:
        """The state of the source that has this name."""
        return self._first("name = ?", name)

    def _first(self, where: str, value: str) -> SourceState | None:
        row = self._connection.execute(f"SELECT {COLUMNS} FROM stamps WHERE {where}", (value,)).fetchone()  # noqa: S608
        return _state(row) if row else None

    def all(self) -> Iterator[SourceState]:
        """Every state, by origin."""
        yield from map(_state, self._connection.execute(f"SELECT {COLUMNS} FROM stamps ORDER BY origin"))  # noqa: S608

    def put(self, states: Iterable[SourceState]) -> None:
        """Store these, each in the place of an earlier one of its source."""
        rows = [(*astuple(state)[:-1], json.dumps(state.pages)) for state in states]
        with self._connection:
            self._connection.executemany(f"INSERT OR REPLACE INTO stamps ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608

    def drop(self, origins: Iterable[str]) -> None:
        """Forget these sources, so that they are read again."""
        with self._connection:
            self._connection.executemany("DELETE FROM stamps WHERE origin = ?", [(origin,) for origin in origins])


def _state(row: tuple[Any, ...]) -> SourceState:
    origin, name, revision, options, articles, pages = row
    return SourceState(origin, name, revision, options, articles, tuple(json.loads(pages)))


@contextmanager
def open_states(folder: Path, *, read_only: bool = False) -> Iterator[SourceStates]:
    """The states of the index in a folder; none if the file is damaged. Raises StoreError if it cannot be used."""
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
        "CREATE TABLE IF NOT EXISTS stamps"
        " (origin TEXT PRIMARY KEY, name TEXT, version TEXT, options TEXT, articles INTEGER, pages TEXT)"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS by_name ON stamps (name)")
    connection.execute(f"SELECT {COLUMNS} FROM stamps LIMIT 1")  # noqa: S608
    return connection
