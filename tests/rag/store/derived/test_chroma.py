"""Chroma behind its one door: requests of any size, and folders that hold something else."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import StoreError
from rag.store.derived import chroma as module
from rag.store.derived.chroma import ChromaVectors
from rag.store.files import CHROMA, DerivedState
from tests.conftest import ROOT

IDENTITY = "ab" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index" / "store-1" / CHROMA


def fan(count: int) -> np.ndarray:
    """Vectors side by side, the first one along the first axis."""
    angles = np.linspace(0, 1.5, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_only_two_modules_call_a_collection() -> None:
    """Behind the door of a library (tests/test_layout.py): one class splits requests, and one reads the old format."""
    users = {
        p.name for p in (ROOT / "rag").rglob("*.py") if re.search(r"get_collection|_collection\b", p.read_text("utf-8"))
    }
    assert users == {"chroma.py", "convert.py"}
    tree = ast.parse((ROOT / "rag" / "store" / "derived" / "chroma.py").read_text("utf-8"))
    [rows] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "_collection"]
    assert {id(node) for node in uses} <= {id(node) for node in ast.walk(rows)}


def test_what_is_written_is_found_and_deleted(folder: Path) -> None:
    own, keys = fan(10), list(range(1, 11))
    chroma = ChromaVectors.create(folder, IDENTITY)
    chroma.load()
    chroma.upsert(keys, own)
    chroma.upsert(keys[:1], own[-1:])
    chroma.upsert(keys[:1], own[:1])
    found, scores = chroma.nearest(own[0], 3)
    assert found.tolist() == [1, 2, 3]
    assert scores == pytest.approx(own[:3] @ own[0], abs=1e-4)
    chroma.delete(np.array([2, 3, 99]))
    assert (chroma.count(), sorted(chroma.keys())) == (8, [1, *range(4, 11)])
    assert chroma.nearest(own[0], 99)[0].tolist() == [1, *range(4, 11)]
    assert {key: v.tolist() for key, v in chroma.vectors([1, 2, 4]).items()} == {
        1: pytest.approx(own[0].tolist()),
        4: pytest.approx(own[3].tolist()),
    }
    chroma.record(7, 10)
    again = ChromaVectors.open(folder, IDENTITY)
    assert again
    assert (again.state, again.count()) == (DerivedState(IDENTITY, 7, 10), 8)
    again.load()


def test_requests_are_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Chroma and SQLite limit them."""
    from chromadb.api.models.Collection import Collection

    def limited(name: str) -> None:
        real = getattr(Collection, name)

        def call(self: Collection, *given: Any, **named: Any) -> Any:
            assert not given, "by name, or this cannot be counted"
            assert len(named.get("ids") or ()) <= 3
            assert named.get("limit", 0) <= 3
            return real(self, **named)

        monkeypatch.setattr(Collection, name, call)

    monkeypatch.setattr(module, "BATCH", 3)
    for name in ("get", "upsert", "delete"):
        limited(name)
    chroma, keys = ChromaVectors.create(folder, IDENTITY), list(range(1, 11))
    chroma.upsert(keys, fan(10))
    assert sorted(chroma.keys()) == keys == sorted(chroma.vectors(keys))
    chroma.delete(np.arange(1, 9))
    assert sorted(chroma.keys()) == [9, 10]


@pytest.mark.slow
def test_more_than_chroma_takes_at_once(folder: Path) -> None:
    chroma, keys = ChromaVectors.create(folder, IDENTITY), list(range(1, 6001))
    chroma.upsert(keys, fan(6000))
    assert (chroma.count(), len(chroma.vectors(keys)), len(set(chroma.keys()))) == (6000, 6000, 6000)
    assert len(chroma.nearest(fan(1)[0], 5500)[0]) == 5500
    chroma.delete(np.array(keys))
    assert chroma.count() == 0


def test_an_open_client_stays_as_it_was_and_a_new_one_sees_all(folder: Path) -> None:
    writer = ChromaVectors.create(folder, IDENTITY)
    writer.upsert([1], fan(1))
    readers = [ChromaVectors.open(folder, IDENTITY) for _ in range(2)]
    writer.upsert([2], fan(2)[1:])
    readers.append(ChromaVectors.open(folder, IDENTITY))
    assert [sorted(reader.nearest(fan(1)[0], 5)[0].tolist()) for reader in readers if reader][-1] == [1, 2]
    del readers[0]
    assert [1 in reader.nearest(fan(1)[0], 5)[0] for reader in readers if reader] == [True, True]


def test_folders_that_hold_something_else(folder: Path) -> None:
    assert ChromaVectors.open(folder, IDENTITY) is None
    assert not folder.exists(), "opening creates nothing"
    ChromaVectors.create(folder, "cd" * 16)
    assert ChromaVectors.open(folder, IDENTITY) is None, "those of another index"
    (folder / "chroma.sqlite3").unlink()
    DerivedState(IDENTITY).write(folder)
    assert ChromaVectors.open(folder, IDENTITY) is None, "no collection"
    ChromaVectors.create(folder, IDENTITY).upsert([1], fan(1))
    (folder / "chroma.sqlite3").write_bytes(b"this is no database" * 100)
    index = folder.parent.parent
    with pytest.raises(StoreError, match=rf"the vectors of {index} cannot be used \(.*check --fix --index {index}"):
        ChromaVectors.open(folder, IDENTITY)
    assert ChromaVectors.create(folder, IDENTITY).count() == 0, "it is replaced"
