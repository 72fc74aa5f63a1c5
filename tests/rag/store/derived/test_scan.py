"""The scan finds what an exact search of the same vectors finds, whatever the filters and while vectors are added."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.models.embedding import Vectors, normalized
from rag.store.derived import scan
from rag.store.derived.matrix import Matrix
from rag.store.derived.scan import Scan


def clustered(rows: int, dimension: int, seed: int = 1) -> Vectors:
    """Vectors around fewer others, as those of articles on the same events are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, dimension))
    return normalized((centres[rng.integers(50, size=rows)] + rng.normal(size=(rows, dimension))).astype(np.float32))


def in_memory(vectors: Vectors) -> Matrix:
    keys = list(range(1, len(vectors) + 1))
    return Matrix.in_memory(iter([(keys, vectors)]), len(vectors) + 1, vectors.shape[1])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller numbers, so that candidates are chosen among few vectors, in several blocks."""
    for name, value in (("RANKED", 200), ("BLOCK", 300), ("SAMPLED", 400)):
        monkeypatch.setattr(scan, name, value)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("dimension", [64, 100, 384])
def test_nearly_all_of_the_nearest_are_found(dimension: int) -> None:
    vectors = clustered(3000, dimension)
    matrix, questions = in_memory(vectors), clustered(20, dimension, 1)
    searched = Scan(matrix)
    mask = np.zeros(3001, dtype=bool)
    mask[1::3] = True
    for allowed in (None, mask):
        keys = np.arange(1, 3001) if allowed is None else np.flatnonzero(allowed)
        recalled = 0
        for question in questions:
            found = searched.nearest(question, 10, 1, 3001, allowed)[0].tolist()
            assert allowed is None or allowed[found].all()
            recalled += len(set(found) & set(matrix.nearest(question, 10, keys)[0].tolist()))
        assert recalled >= 0.9 * 10 * len(questions)


@pytest.mark.usefixtures("few")
def test_every_vector_finds_itself_however_few_the_filters_allow() -> None:
    vectors = clustered(1000, 64)
    searched = Scan(in_memory(vectors))
    for key in range(1, 1001, 97):
        mask = np.zeros(1001, dtype=bool)
        mask[key] = True
        assert searched.nearest(vectors[key - 1], 5, 1, 1001, mask)[0].tolist() == [key]
        assert searched.nearest(vectors[key - 1], 1, 1, 1001)[0].tolist() == [key]
        assert searched.nearest(vectors[key - 1], 1, key + 1, 1001)[0].tolist() != [key]
    assert len(searched.nearest(vectors[0], 5, 1, 1001, np.zeros(1001, dtype=bool))[0]) == 0
    assert len(searched.nearest(vectors[0], 900, 1, 1001)[0]) == 900


@pytest.mark.usefixtures("few")
def test_threads_search_while_vectors_are_added(tmp_path: Path) -> None:
    vectors, file = clustered(4000, 64), tmp_path / "m.i8"
    Matrix.create(file, "00" * 16, 64)
    writer, searched = Matrix(file, 64), Scan(Matrix(file, 64))

    def search(end: int) -> None:
        for key in (1, end // 2, end - 1):
            assert searched.nearest(vectors[key - 1], 1, 1, end)[0].tolist() == [key]

    with ThreadPoolExecutor(4) as threads:
        asked = []
        for end in range(101, 4001, 100):
            writer.write(end - 100, vectors[end - 101 : end - 1])
            asked += [threads.submit(search, end) for _ in range(2)]
        for answer in asked:
            answer.result()


def test_without_vectors_nothing_is_found() -> None:
    assert len(Scan(Matrix(None, 0)).nearest(clustered(1, 64)[0], 5, 1, 1)[0]) == 0
