"""The checksums of Chroma's files: any change is noticed, before Chroma opens them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.store.derived.chroma_files import (
    DATABASE,
    SQLITE_HEADER,
    WRITTEN,
    forget_checksums,
    has_checksums,
    is_complete,
    is_intact,
    record_checksums,
    reserved,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "chroma"
    for segment in ("saved", "new"):
        (folder / segment).mkdir(parents=True)
        (folder / segment / "header.bin").write_bytes(os.urandom(100))
    (folder / "saved" / WRITTEN).write_bytes(os.urandom(2_000_000))
    (folder / DATABASE).write_bytes(SQLITE_HEADER + bytes(100))
    record_checksums(folder)
    return folder


def test_files_as_they_were_recorded(folder: Path) -> None:
    assert (has_checksums(folder), is_complete(folder), is_intact(folder)) == (True, True, True)
    (folder / "new" / "header.bin").write_bytes(b"anew")
    (folder / DATABASE).write_bytes(SQLITE_HEADER + b"changed")
    assert is_intact(folder), "these change whenever Chroma opens them"
    forget_checksums(folder)
    assert (has_checksums(folder), is_complete(folder), is_intact(folder)) == (False, False, False)


@pytest.mark.parametrize(
    ("damage", "complete"),
    [
        (lambda folder: (folder / "saved" / "header.bin").unlink(), False),
        (lambda folder: (folder / "saved" / WRITTEN).unlink(), False),
        (lambda folder: os.truncate(folder / "saved" / "header.bin", 99), False),
        (lambda folder: (folder / "saved" / "header.bin").write_bytes(bytes(100)), True),
        (lambda folder: (folder / DATABASE).write_bytes(bytes(100)), True),
        (lambda folder: (folder / DATABASE).unlink(), True),
        (lambda folder: (folder / "files.json").write_text("[]"), False),
        (lambda folder: (folder / "files.json").write_bytes(b"\xff"), False),
    ],
)
def test_files_that_changed(folder: Path, damage: Callable[[Path], object], complete: bool) -> None:
    damage(folder)
    assert (is_complete(folder), is_intact(folder)) == (complete, False)


def test_files_that_are_being_changed_are_not_opened(folder: Path) -> None:
    with reserved(folder, wait=True) as first, reserved(folder, wait=False) as second:
        assert (first, second) == (True, False)
    with reserved(folder, wait=False) as third:
        assert third
