"""The conversations of each user on the server: one SQLite database beside the index, searched by FTS5.

It does not know what a conversation means: it stores the texts of `conversation_text`, and their entries to list them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from rag.errors import HistoryError
from ui.schema import HistoryEntry, SavedConversation
from ui.services.conversation_text import (
    LONGEST_TEXT,
    MOST_CONVERSATIONS,
    UNREADABLE,
    entry_of,
    from_text,
    renamed,
    searchable,
    snippet_of,
    to_text,
)

BUSY_SECONDS = 30
"""Another process that writes is waited for this long."""
VERSION = 1
"""Of the tables, as SQLite's `user_version`."""
TABLES = """
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, user TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, updated TEXT NOT NULL,
    turns INTEGER NOT NULL, text TEXT NOT NULL, parts TEXT NOT NULL, UNIQUE (user, id)
);
CREATE INDEX latest ON conversations (user, updated DESC);
CREATE VIRTUAL TABLE words USING fts5(folded, tokenize = 'trigram case_sensitive 1');
CREATE TRIGGER forgotten AFTER DELETE ON conversations BEGIN DELETE FROM words WHERE rowid = old.number; END;
"""
"""`parts` is the JSON of a conversation's searchable parts, `words` the same casefolded, for any part of a word."""
FIRST_WITH_TRIGRAMS = (3, 34)
SHORTEST_INDEXED = 3
"""Characters of a word that FTS5's trigrams find; shorter ones are looked for in each conversation of the user."""


@dataclass(frozen=True, slots=True)
class ServerHistory:
    """The conversations of all users in one file, under a hash of each name. Safe with several threads and processes.

    Conversations in `folder`, in which earlier versions kept a file for each, are imported once, when the database is
    created. The folder is left untouched: what is deleted later stays there, until somebody deletes the folder.
    """

    file: Path
    folder: Path | None = None

    @classmethod
    def beside(cls, index: Path) -> ServerHistory:
        """Open the history beside an index's folder, so that it survives a rebuild. Raises HistoryError."""
        folder = index.with_name(f"{index.name}.conversations")
        history = cls(index.with_name(f"{folder.name}.sqlite3"), folder)
        with history._connected():
            return history

    def put(self, user: str, text: str) -> None:
        """Save a conversation's text, in place of an earlier one of the same id. Raises HistoryError."""
        with self._writing() as connection:
            _put(connection, _hashed(user), text)

    def update(
        self, user: str, conversation: str, make: Callable[[HistoryEntry | None], SavedConversation]
    ) -> SavedConversation:
        """Save what `make` returns for the stored entry of a conversation, or for None; nobody else writes meanwhile.

        Raises HistoryError.
        """
        with self._writing() as connection:
            query = "SELECT id, title, updated, turns FROM conversations WHERE user = ? AND id = ?"
            row = connection.execute(query, _key(user, conversation)).fetchone()
            saved = make(_entry(*row) if row else None)
            _put(connection, _hashed(user), to_text(saved))
        return saved

    def rename(self, user: str, conversation: str, title: str) -> None:
        """Give a conversation another title. Raises HistoryError if there is none."""
        with self._writing() as connection:
            _put(connection, _hashed(user), renamed(_get(connection, user, conversation), title))

    def get(self, user: str, conversation: str) -> str:
        """A conversation's text. Raises HistoryError if there is none."""
        with self._connected() as connection:
            return _get(connection, user, conversation)

    def delete(self, user: str, conversation: str) -> None:
        """Delete a conversation, if there is one. Raises HistoryError."""
        with self._writing() as connection:
            connection.execute("DELETE FROM conversations WHERE user = ? AND id = ?", _key(user, conversation))

    def entries(self, user: str, words: str = "") -> list[HistoryEntry]:
        """The entries of the conversations that have all the words, the latest first. Raises HistoryError."""
        query, values = _search(words)
        with self._connected() as connection:
            rows = connection.execute(query, (_hashed(user), *values))
            if not words.strip():
                return [_entry(*row) for row in rows]
            found = ((row, snippet_of(row[1], json.loads(parts), words)) for *row, parts in rows)
            return [replace(_entry(*row), snippet=snippet) for row, snippet in found if snippet is not None]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use; the database is created at the first."""
        try:
            with suppress(FileExistsError):  # an open file must not be closed here: SQLite's locks on it would be lost
                os.close(os.open(self.file, os.O_CREAT | os.O_EXCL, 0o600))  # SQLite would let others read it
            with closing(sqlite3.connect(self.file, BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                if _version(connection) != VERSION:
                    self._create(connection)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(
                f"cannot use the saved conversations in {self.file} ({error}); free disk space or fix its permissions"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")  # after an error, closing the connection rolls back

    def _create(self, connection: sqlite3.Connection) -> None:
        """Create the tables and import the folder, all or nothing."""
        if _version(connection) > VERSION:
            raise HistoryError(f"{self.file} is of a newer version; update Pullquote")
        enabled = connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]
        if not enabled or sqlite3.sqlite_version_info < FIRST_WITH_TRIGRAMS:
            raise HistoryError(
                f"Python's SQLite {sqlite3.sqlite_version} has no full-text search by trigrams; "
                "install a Python with SQLite 3.34 or later and FTS5"
            )
        for attempt in _until_unlocked():
            with attempt:
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not _version(connection):  # no other process was faster
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            for user, text in self._former_texts():
                with suppress(HistoryError, OverflowError):  # a number in a broken file
                    _put(connection, user, text)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _former_texts(self) -> Iterator[tuple[str, str]]:
        """Texts of the folder, each with the hash of its user, which is the name of its own folder."""
        for file in sorted(self.folder.glob("*/*.json")) if self.folder else ():
            with suppress(OSError):
                yield file.parent.name, file.read_text("utf-8", "replace")


def _until_unlocked() -> Retrying:
    """Attempts at a statement for which SQLite itself does not wait until another process is done."""
    locked = retry_if_exception_type(sqlite3.OperationalError)
    return Retrying(retry=locked, stop=stop_after_delay(BUSY_SECONDS), wait=wait_fixed(0.05), reraise=True)


def _put(connection: sqlite3.Connection, user: str, text: str) -> None:
    entry = entry_of(text)
    if not entry or len(text) > LONGEST_TEXT:
        raise HistoryError(UNREADABLE)
    parts: list[str] = []
    with suppress(HistoryError):  # it is listed all the same, to be deleted
        parts = searchable(from_text(text))
    updated = entry.updated.astimezone(UTC).isoformat(timespec="microseconds")
    connection.execute("DELETE FROM conversations WHERE user = ? AND id = ?", (user, entry.id))
    number = connection.execute(
        "INSERT INTO conversations (user, id, title, updated, turns, text, parts) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (user, entry.id, entry.title, updated, entry.turns, text, json.dumps(parts)),
    ).lastrowid
    connection.execute(
        "INSERT INTO words (rowid, folded) VALUES (?, ?)", (number, _folded("\n".join([entry.title, *parts])))
    )
    connection.execute(
        "DELETE FROM conversations WHERE number IN "
        "(SELECT number FROM conversations WHERE user = ? ORDER BY updated DESC LIMIT -1 OFFSET ?)",
        (user, MOST_CONVERSATIONS),
    )


def _get(connection: sqlite3.Connection, user: str, conversation: str) -> str:
    query = "SELECT text FROM conversations WHERE user = ? AND id = ?"
    row = connection.execute(query, _key(user, conversation)).fetchone()
    if not row:
        raise HistoryError("this conversation is no longer saved; it may have been deleted")
    text: str = row[0]
    return text


def _search(words: str) -> tuple[str, list[str]]:
    """The query for a user's conversations that may have the words, and its values after the user's."""
    columns = "id, title, updated, turns" + (", parts" if words.strip() else "")
    indexed = [word.replace('"', '""') for word in _folded(words).split() if len(word) >= SHORTEST_INDEXED]
    phrases = [f'"{word}"' for word in indexed]
    where = "AND number IN (SELECT rowid FROM words WHERE words MATCH ?)" if phrases else ""
    query = f"SELECT {columns} FROM conversations WHERE user = ? {where} ORDER BY updated DESC"  # noqa: S608 - constants
    return query, [" ".join(phrases)] if phrases else []


def _folded(text: str) -> str:
    """Casefolded text as it is indexed; FTS5 would end at a NUL."""
    return _storable(text.casefold().replace("\0", "\ufffd"))


def _storable(text: str) -> str:
    """Text without lone surrogates, which SQLite refuses."""
    return text.encode("utf-8", "replace").decode()


def _entry(id_: str, title: str, updated: str, turns: int) -> HistoryEntry:
    return HistoryEntry(id_, title, datetime.fromisoformat(updated), turns)


def _hashed(user: str) -> str:
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _key(user: str, conversation: str) -> tuple[str, str]:
    return _hashed(user), _storable(conversation)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
