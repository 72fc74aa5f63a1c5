"""Links in a folder: those that lead out of it are refused, those within it are read once, none of them blocks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ingest.content.types import Options
from ingest.sources.files import LEADS_NOWHERE, LEADS_OUT, Source, find, hinders, vanished
from ingest.sources.opener import Opener
from rag.errors import ReadError
from rag.schema import Failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text("The password is tide.")
    (inside / "deep" / "pier.txt").write_text("The pier is closed.")
    return inside


def found(folder: Path, *, follow_links: bool = False) -> dict[str, str]:
    """What is found below a folder: the real file that is read, or why none is."""
    items = list(find(folder, follow_links=follow_links))
    return {
        i.name if isinstance(i, Source) else i.source: i.origin if isinstance(i, Source) else i.reason for i in items
    }


def test_links_that_lead_out_are_refused_unless_asked_for(folder: Path) -> None:
    (folder / "notes.txt").symlink_to("../outside/secret.txt")
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    (folder / "more").symlink_to("../outside")
    (folder / "again.txt").symlink_to("notes.txt")
    pier, secret = str(folder / "deep" / "pier.txt"), str(folder.parent / "outside" / "secret.txt")
    refused = dict.fromkeys(("again.txt", "more", "notes.txt", "passwd.txt"), LEADS_OUT)
    assert found(folder) == {"deep/pier.txt": pier, **refused}
    followed = found(folder, follow_links=True)
    assert {secret, pier, os.path.realpath("/etc/passwd")} == set(followed.values())
    assert followed["more/secret.txt"] == secret


def test_the_place_that_is_given_may_be_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert found(link) == {"deep/pier.txt": str(folder / "deep" / "pier.txt")}
    (folder.parent / "file.txt").symlink_to(folder / "deep" / "pier.txt")
    assert found(folder.parent / "file.txt") == {"file.txt": str(folder / "deep" / "pier.txt")}


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_within_a_folder_are_read_once_under_the_own_name(folder: Path, follow_links: bool) -> None:
    (folder / "a.txt").symlink_to("deep/pier.txt")
    (folder / "deeper").symlink_to("deep")
    (folder / "loop").symlink_to(".")
    (folder / "deep" / "up").symlink_to("..")
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "nothing.txt").symlink_to("missing.txt")
    items = list(find(folder, follow_links=follow_links))
    sources = [item for item in items if isinstance(item, Source)]
    assert sources[0].name == "deep/pier.txt"
    assert {source.origin for source in sources} == {str(folder / "deep" / "pier.txt")}
    failures = [item for item in items if isinstance(item, Failure)]
    assert [(f.source, f.reason) for f in failures] == [(n, LEADS_NOWHERE) for n in ("nothing.txt", "self.txt")]
    assert not any(map(hinders, failures))


def test_pipes_devices_and_system_files_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    (folder / "null.txt").symlink_to("/dev/null")
    (folder / "log.txt").symlink_to("/proc/kmsg")
    (folder / "proc").symlink_to("/proc/self")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.txt"))
    with Opener(Options()) as opener:
        for source in find(folder, follow_links=True):
            if isinstance(source, Source) and source.name != "deep/pier.txt":
                with pytest.raises(ReadError, match="not a regular file"):
                    list(opener.read(source))
    assert not any(name.startswith("proc/") for name in found(folder, follow_links=True))


def test_a_file_read_through_a_link_is_not_reported_as_vanished(folder: Path) -> None:
    """Its file lies in no folder that was listed, so that nobody has looked for it."""
    outside, inside = str(folder.parent / "outside" / "gone.txt"), str(folder / "deep" / "gone.txt")
    assert list(vanished([outside, inside, str(folder / "deep" / "pier.txt")], {folder})) == [inside]
