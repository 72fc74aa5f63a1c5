"""Chroma's graph opened in the background, with real Chroma: readers never wait for it, and do without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.store.catalog.reading import Catalog
from rag.store.derived import dense, sync
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.dense import DenseIndex
from rag.store.derived.sync import open_matrices
from rag.store.files import CATALOG, CHROMA, DerivedState, store_in_use
from tests.support.store import MODEL, axis, opened, stored, write

Make = Callable[[int], DenseIndex]


@pytest.fixture
def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """The vectors of the index, as a reader opens them; Chroma is searched from a number of passages on."""
    monkeypatch.setattr(sync, "MOST_BEHIND", 0)
    monkeypatch.setattr(dense, "REOPEN_PASSAGES", 3)
    monkeypatch.setattr(dense, "OPENING_SHARE", 1e9)  # no pause before the next opening
    made: list[DenseIndex] = []

    def make(graph_passages: int) -> DenseIndex:
        store = store_in_use(folder)
        catalog = Catalog(folder, store / CATALOG)
        state = catalog.state()
        made.append(DenseIndex(store, state.identity, open_matrices(store, catalog, state).passages, graph_passages))
        return made[-1]

    yield make
    for each in made:
        each.wait_until_open()


def keys(index: DenseIndex, number: int, end: int, limit: int = 1) -> list[int]:
    return index.nearest(axis(number), limit, end)[0].tolist()[:limit]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of vectors that Chroma was asked for, request by request."""
    asked, real = list[int](), ChromaVectors.nearest

    def nearest(self: ChromaVectors, vector: np.ndarray, limit: int) -> object:
        asked.append(limit)
        return real(self, vector, limit)

    monkeypatch.setattr(ChromaVectors, "nearest", nearest)
    return asked


def test_few_passages_need_no_graph(folder: Path, make: Make, searched: list[int]) -> None:
    write(folder, stored("a", 0), stored("b", 1))
    index = make(100)
    assert keys(index, 1, 3) == [2]
    index.wait_until_open()
    assert searched == []


def test_it_opens_in_the_background(folder: Path, make: Make, searched: list[int]) -> None:
    write(folder, *(stored(f"a{n}", n) for n in range(4)))
    index = make(1)
    assert keys(index, 1, 5) == [2], "found by the scan"
    index.wait_until_open()
    searched.clear()
    assert keys(index, 2, 5) == [3]
    assert len(searched) == 1
    mask = np.array([False, True, False, False, True])
    assert index.nearest(axis(2), 2, 5, mask)[0].tolist() == [1, 4], "the graph knows no filters"
    assert len(searched) == 1


def test_what_it_does_not_have_is_scanned_until_another_one_opens(
    folder: Path, make: Make, searched: list[int]
) -> None:
    write(folder, stored("a", 0))
    index = make(1)
    index.open_in_background()
    index.wait_until_open()
    first = index._client
    assert first
    assert first.state.through == 1
    with opened(folder) as writer:
        for n in range(1, 4):
            writer.put([stored(f"b{n}", n)])
            assert keys(index, n, n + 2) == [n + 1], "at once"
        assert index._client is first, "Chroma has no more yet"
    assert keys(index, 3, 5) == [4]
    index.wait_until_open()
    assert index._client is not first
    assert index._client
    assert index._client.state.through == 4
    assert keys(index, 0, 5, 4)[0] == 1


def test_removed_passages_are_left_to_the_reader(folder: Path, make: Make) -> None:
    write(folder, *(stored(f"a{n}", 0) for n in range(30)), stored("b", 1))
    index = make(1)
    index.open_in_background()
    index.wait_until_open()
    with opened(folder) as writer:
        writer.remove([f"a{n}" for n in range(10)])
    found = index.nearest(axis(0), 20, 32)[0].tolist()
    assert len(set(found) - set(range(1, 11))) >= 20


@pytest.mark.parametrize("harm", ["lost", "broken"])
def test_without_chroma_all_is_scanned(folder: Path, make: Make, caplog: pytest.LogCaptureFixture, harm: str) -> None:
    write(folder, stored("a", 0), stored("b", 1))
    chroma = store_in_use(folder) / CHROMA
    if harm == "lost":
        shutil.rmtree(chroma)
    else:
        (chroma / "chroma.sqlite3").write_bytes(b"this is no database" * 100)
    index = make(1)
    for _ in range(3):
        assert keys(index, 1, 3) == [2]
        index.wait_until_open()
    assert ("check --fix" in caplog.text) == (harm == "broken")


def test_an_open_client_that_fails_is_given_up(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from chromadb.api.models.Collection import Collection
    from chromadb.errors import InternalError

    write(folder, stored("a", 0), stored("b", 1))
    index = make(1)
    index.open_in_background()
    index.wait_until_open()

    def fails(*_: object, **__: object) -> None:
        raise InternalError("Error finding id")

    monkeypatch.setattr(Collection, "query", fails)
    assert keys(index, 1, 3) == [2]
    assert "Error finding id" in caplog.text
    assert keys(index, 0, 3) == [1]
    assert index._client is None


def test_threads_search_while_clients_are_opened(folder: Path, make: Make) -> None:
    with opened(folder) as writer, ThreadPoolExecutor(4) as threads:
        writer.put([stored("a", 0)])
        writer._derived.update_chroma()
        index = make(1)

        def search(end: int) -> None:
            for _ in range(10):
                assert keys(index, 0, end) == [1]
                assert keys(index, 1, end)[0] in range(2, end)

        asked = []
        for n in range(8):
            writer.put([stored(f"b{n}-{i}", 1 + n % 3) for i in range(3)])
            writer._derived.update_chroma()
            asked.append(threads.submit(search, 5 + 3 * n))
        for answer in asked:
            answer.result()
    index.wait_until_open()
    assert DerivedState.read(store_in_use(folder) / CHROMA).through == 25


def test_the_index_opens_it_when_asked(folder: Path) -> None:
    from rag.store.index import Index

    write(folder, stored("a", 0))
    reader = Index(folder, MODEL)
    reader.open_vectors(wait=True)
    assert reader._current().dense._client
