"""The history on the server: found, renamed and deleted, with several users, threads and processes."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import HistoryError
from tests.conftest import ROOT
from tests.ui.html.test_answer import texts
from tests.ui.services.test_conversation_text import kept
from ui.schema import Exchange
from ui.services.conversation_text import (
    LONGEST_TEXT,
    MOST_CONVERSATIONS,
    entries_in,
    from_text,
    to_text,
)
from ui.services.history import ServerHistory


def conversation(n: int, question: str = "A?", minutes: int = 0) -> str:
    return to_text(kept(Exchange(question), conversation=f"conversation-{n}", minutes=minutes))


def ids(histories: ServerHistory, user: str = "ann", words: str = "") -> list[str]:
    return [entry.id for entry in histories.entries(user, words)]


@pytest.fixture
def histories(tmp_path: Path) -> ServerHistory:
    return ServerHistory.beside(tmp_path / "index")


def test_conversations_are_saved_found_and_deleted(histories: ServerHistory, tmp_path: Path) -> None:
    tea, ice = (conversation(n, f"What of “{word}”?", n) for n, word in enumerate(("tea", "ice")))
    histories.put("ann", tea)
    histories.put("ann", ice)
    assert ids(ServerHistory.beside(tmp_path / "index")) == ["conversation-1", "conversation-0"], "the latest first"
    assert histories.entries("ann") == entries_in([tea, ice])
    assert histories.entries("bob") == []
    assert ids(histories, words="of TEA") == ["conversation-0"]
    assert [entry.snippet for entry in histories.entries("ann", "ice")] == ["What of “ice”?"]
    assert histories.entries("ann", "exchanges") == [], "which is in the JSON of each"
    assert histories.get("ann", "conversation-0") == tea
    with pytest.raises(HistoryError, match="no longer saved"):
        histories.get("bob", "conversation-0")
    histories.delete("bob", "conversation-0")
    histories.delete("ann", "conversation-1")
    assert ids(histories) == ["conversation-0"]
    assert histories.entries("ann", "ice") == []


def test_a_renamed_conversation_is_found_by_its_new_title_alone(histories: ServerHistory) -> None:
    histories.put("ann", conversation(1))
    histories.rename("ann", "conversation-1", " Tea\nand ice ")
    [entry] = histories.entries("ann", "and tea")
    assert (entry.title, entry.snippet) == ("Tea and ice", "")
    assert from_text(histories.get("ann", "conversation-1")).title == "Tea and ice"
    assert histories.entries("ann", "title") == []
    with pytest.raises(HistoryError, match="no longer saved"):
        histories.rename("bob", "conversation-1", "Mine")


TRICKY = ("İstanbul", "straße", "NO", '"', '"no"', "a\0b", "\ud800ab", "tea*", "AND", "fold:x", "(", "x", "é", "'; --")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts, st.data())
def test_a_search_finds_what_a_browsers_search_finds(histories: ServerHistory, said: str, data: st.DataObject) -> None:
    text = conversation(1, f"{said} İstanbul straße no \" a\0b tea* é ('; --")
    histories.put("ann", text)
    word = st.one_of(st.sampled_from([*TRICKY, *said.split()]), st.text(max_size=4))
    words = " ".join(data.draw(st.lists(word, min_size=1, max_size=3)))
    assert histories.entries("ann", words) == entries_in([text], words)


@pytest.mark.parametrize("name", ["../../x12345678", "", "a/b/c/d/e/f", "\0" * 10, "CON", "x" * 200, "\ud800" * 12])
def test_a_name_of_any_kind_is_a_user_but_no_id(histories: ServerHistory, tmp_path: Path, name: str) -> None:
    histories.put(name, conversation(1))
    assert histories.get(name, "conversation-1")
    with pytest.raises(HistoryError):
        histories.put("ann", to_text(kept(conversation=name)))
    with pytest.raises(HistoryError):
        histories.get("ann", name)
    histories.delete("ann", name)
    assert [path.name for path in tmp_path.iterdir()] == ["index.conversations.sqlite3"]


def test_only_the_owner_may_read_the_database(histories: ServerHistory) -> None:
    with sqlite3.connect(histories.file) as connection:
        connection.execute("SELECT count(*) FROM conversations")
        histories.put("ann", conversation(1))
        files = list(histories.file.parent.iterdir())
        assert len(files) == 3, "with its log and shared memory, as long as it is open"
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    connection.close()


def test_the_oldest_are_dropped(histories: ServerHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.services.history.MOST_CONVERSATIONS", 3)
    assert MOST_CONVERSATIONS > 3
    histories.put("bob", conversation(9))
    for n in range(5):
        histories.put("ann", conversation(n, minutes=n))
    assert ids(histories) == ["conversation-4", "conversation-3", "conversation-2"]
    assert ids(histories, words="a?") == ids(histories)
    assert ids(histories, "bob") == ["conversation-9"]


def test_no_two_users_share_a_history(histories: ServerHistory) -> None:
    names = ["?", "\ud800", "\ud801", "\ufffd", "ann", "Ann", "ann ", "a\u0301nn", "\u00e1nn"]
    for n, name in enumerate(names):
        histories.put(name, conversation(n))
    assert [ids(histories, name) for name in names] == [[f"conversation-{n}"] for n in range(len(names))]


def test_a_text_that_could_never_be_read_is_refused(histories: ServerHistory) -> None:
    whole = conversation(1)
    histories.put("ann", whole)
    for text in (whole + " " * LONGEST_TEXT, "{}\n{}", ""):
        with pytest.raises(HistoryError, match="cannot be read"):
            histories.put("ann", text)
    assert histories.get("ann", "conversation-1") == whole


def test_what_is_deleted_is_in_no_file(histories: ServerHistory, tmp_path: Path) -> None:
    histories.put("ann", conversation(1, "What of zirconium?"))
    assert any(b"zirconium" in file.read_bytes() for file in tmp_path.iterdir())
    histories.delete("ann", "conversation-1")
    assert not any(b"zirconium" in file.read_bytes() for file in tmp_path.iterdir())


def test_an_update_starts_from_what_is_stored(histories: ServerHistory) -> None:
    seen: list[Any] = []
    for minutes in (1, 2):
        saved = kept(Exchange("A?"), minutes=minutes)
        histories.update("ann", "conversation-1", lambda entry, saved=saved: seen.append(entry) or saved)  # type: ignore[misc]
    [entry] = histories.entries("ann")
    assert (seen[0], seen[1].updated, entry) == (None, kept(minutes=1).updated, saved.entry)
    with pytest.raises(ZeroDivisionError):
        histories.update("ann", "conversation-1", lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    assert histories.entries("ann") == [entry]


WRITER = """
import sys; from pathlib import Path; from ui.services.history import ServerHistory
text = Path(sys.argv[2]).read_text("utf-8")
print("ready", flush=True); sys.stdin.readline()
histories = ServerHistory.beside(Path(sys.argv[1]))
for _ in range(int(sys.argv[3])): histories.put("ann", text)
"""


def writers(folder: Path, text: str, rounds: int) -> Sequence[subprocess.Popen[str]]:
    """Two processes that open the history at once and write the same conversation over and over."""
    file = folder / "text"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-c", WRITER, str(folder / "index"), str(file), str(rounds)]
    running = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * 2  # type: ignore[union-attr]
    for process in running:
        process.stdin.close()  # type: ignore[union-attr]
    return running


def ended(running: Sequence[subprocess.Popen[str]]) -> list[int]:
    for process in running:
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    return [process.returncode for process in running]


def test_several_processes_at_once(tmp_path: Path) -> None:
    """A conversation is always read whole, and all of them can create the database."""
    whole = conversation(1, "A?" * 10_000)
    running = writers(tmp_path, whole, 200)
    histories = ServerHistory.beside(tmp_path / "index")
    while any(process.poll() is None for process in running):
        for entry in histories.entries("ann"):
            assert histories.get("ann", entry.id) == whole
    assert ended(running) == [0, 0]
    assert ids(histories, words="a?") == ["conversation-1"]


def test_processes_that_are_killed_leave_whole_conversations(tmp_path: Path) -> None:
    whole = conversation(1, "A?" * 10_000)
    running = writers(tmp_path, whole, 100_000)
    histories = ServerHistory.beside(tmp_path / "index")
    while not histories.entries("ann"):
        pass
    for process in running:
        process.kill()
    assert ended(running) == [-signal.SIGKILL] * 2
    assert [histories.get("ann", id_) for id_ in ids(histories, words="a?")] == [whole]
    histories.put("ann", conversation(2))
    assert ids(histories) == ["conversation-1", "conversation-2"]


def test_several_threads_at_once(histories: ServerHistory, tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    both = (histories, ServerHistory.beside(tmp_path / "index"))

    def write(n: int) -> None:
        barrier.wait()
        both[n // 4].put("ann", conversation(n % 2, "A?" * 1000, n))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(histories.entries("ann")) == 2
    for entry in histories.entries("ann", "a?"):
        assert from_text(histories.get("ann", entry.id)).id == entry.id


def test_a_database_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "index.conversations.sqlite3").mkdir()
    with pytest.raises(HistoryError, match=r"cannot use the saved conversations in .*fix its permissions"):
        ServerHistory.beside(tmp_path / "index")
    (tmp_path / "other.conversations.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(HistoryError, match="cannot use the saved conversations in"):
        ServerHistory.beside(tmp_path / "other")


def test_sqlite_without_trigrams_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 33, 0))
    with pytest.raises(HistoryError, match=r"install a Python with SQLite 3\.34 or later and FTS5"):
        ServerHistory.beside(tmp_path / "index")


def test_a_database_of_a_newer_version_is_left_alone(histories: ServerHistory) -> None:
    with sqlite3.connect(histories.file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HistoryError, match="update Pullquote"):
        histories.entries("ann")


def test_files_of_earlier_versions_are_imported_once(tmp_path: Path) -> None:
    folder = tmp_path / "index.conversations" / "49915e0d7d4b402e3017d010bc1c0e83"  # SHA-256 of "ann", as they named it
    folder.mkdir(parents=True)
    first, second, third = (conversation(n, f"What of {n}?", n) for n in range(1, 4))
    unreadable = first.partition("\n")[0].replace("conversation-1", "unreadable-1") + "\n{}"
    endless = third.replace('"turns":1', f'"turns":1{"0" * 30}')
    for n, text in enumerate((first, second, unreadable, endless, "\ufffd", "")):
        (folder / f"{n}.json").write_text(text, "utf-8")
    (folder / "6.json").symlink_to("gone")
    files = {file: file.lstat().st_mtime_ns for file in folder.iterdir()}
    histories = ServerHistory.beside(tmp_path / "index")
    assert ids(histories) == ["conversation-2", "conversation-1", "unreadable-1"], "the last one can be deleted"
    assert ids(histories, words="of 1") == ["conversation-1"]
    assert histories.get("ann", "conversation-2") == second
    histories.delete("ann", "conversation-1")
    assert ids(ServerHistory.beside(tmp_path / "index")) == ["conversation-2", "unreadable-1"], "once"
    assert {file: file.lstat().st_mtime_ns for file in folder.iterdir()} == files, "they are left as they are"
