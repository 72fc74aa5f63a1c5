"""Exact search over vectors in a file: any keys, any number of them, and little loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.models.embedding import Vectors, normalized
from rag.store.catalog.quantization import quantized, restored
from rag.store.derived import matrix
from rag.store.derived.matrix import Matrix, best

IDENTITY = "0123456789abcdef" * 2


def drawn(rows: int, dimension: int, seed: int = 1) -> Vectors:
    return normalized(np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32))


def filled(folder: Path, vectors: Vectors) -> Matrix:
    """A matrix in a file, with these vectors from key 1 on."""
    file, dimension = folder / "vectors" / "m.i8", vectors.shape[1]
    Matrix.create(file, IDENTITY, dimension)
    opened = Matrix(file, dimension)
    opened.write(1, vectors)
    return opened


@given(st.integers(1, 50), st.sampled_from([1, 3, 64, 384]), st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 50.0]))
def test_a_byte_a_number_changes_cosines_little(rows: int, dimension: int, seed: int, length: float) -> None:
    vectors = drawn(rows, dimension, seed)
    again = restored(quantized(vectors * length))
    assert np.allclose(np.linalg.norm(again, axis=1), 1, atol=1e-5)
    assert np.abs(again - vectors).max() <= 1 / 127
    assert np.array_equal(quantized(again)[:, 4:], quantized(vectors * length)[:, 4:]), (
        "repeating it loses nothing more"
    )
    question = drawn(1, dimension, seed + 1)[0]
    assert np.abs(again @ question - vectors @ question).max() <= 0.02


def test_a_cosine_of_news_vectors_changes_by_less_than_a_thousandth() -> None:
    vectors, question = drawn(2000, 384), drawn(1, 384, 2)[0]
    assert np.abs(restored(quantized(vectors)) @ question - vectors @ question).mean() < 0.0005


@settings(max_examples=60)
@given(st.data())
def test_any_keys_are_searched_exactly(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Blocks that are contiguous, blocks with gaps, unknown keys, and more or fewer than wanted."""
    count, dimension = data.draw(st.integers(1, 60)), data.draw(st.sampled_from([2, 8]))
    vectors, question = drawn(count, dimension, count), drawn(1, dimension, 99)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "BLOCK", data.draw(st.sampled_from([1, 7, 1024])))
        opened = filled(tmp_path_factory.mktemp("m"), vectors)
        keys = np.array(sorted(data.draw(st.sets(st.integers(1, count + 5)))), dtype=np.int64)
        limit = data.draw(st.integers(1, 70))
        found, scores = opened.nearest(question, limit, keys)
        numbers = restored(quantized(vectors))
        expected = {int(key): float(numbers[key - 1] @ question) for key in keys if key <= count}
        assert len(found) == min(limit, len(expected))
        assert [expected[key] for key in found.tolist()] == pytest.approx(scores.tolist(), abs=0.02)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        rest = [score for key, score in expected.items() if key not in found]
        assert not rest or max(rest) <= scores.min() + 0.02
        assert opened.similarities(question, keys) == pytest.approx([expected.get(int(k), 0.0) for k in keys], abs=0.02)


def test_removed_and_unknown_keys_have_no_vector(tmp_path: Path) -> None:
    opened = filled(tmp_path, drawn(5, 4))
    opened.clear(2, 2)
    found = opened.vectors(np.array([1, 2, 3, 4, 9]))
    assert np.linalg.norm(found, axis=1).round(3).tolist() == [1, 0, 0, 1, 0]
    assert opened.similarities(found[0], np.array([2, 9])).tolist() == [0, 0]


def test_a_reader_sees_what_is_appended(tmp_path: Path) -> None:
    vectors = drawn(6, 4)
    writer = filled(tmp_path, vectors[:3])
    reader = Matrix(tmp_path / "vectors" / "m.i8", 4)
    assert len(reader.nearest(vectors[0], 10, np.arange(1, 7))[0]) == 3
    writer.write(4, vectors[3:])
    assert reader.nearest(vectors[4], 1, np.arange(1, 7))[0].tolist() == [5]
    (tmp_path / "vectors" / "m.i8").unlink()
    assert reader.nearest(vectors[4], 1, np.arange(1, 20))[0].tolist() == [5], "what is mapped can still be read"


def test_without_vectors_nothing_is_found() -> None:
    empty, question = Matrix(None, 0), drawn(1, 384)[0]
    nothing = np.zeros(0, dtype=np.int64)
    assert len(empty.nearest(question, 5, nothing)[0]) == 0
    assert len(empty.similarities(question, nothing)) == 0
    assert empty.is_in_memory


def test_a_matrix_is_built_beside_the_one_in_use(tmp_path: Path) -> None:
    vectors = drawn(9, 4)
    filled(tmp_path, vectors[:2])
    file, keys = tmp_path / "vectors" / "m.i8", [1, 2, 4, 5, 8]
    reader = Matrix(file, 4)
    pages = [(keys[:3], vectors[:3]), (keys[3:], vectors[3:5])]
    Matrix.build(file, IDENTITY, 4, iter(pages), 10)
    assert [path.name for path in file.parent.iterdir()] == ["m.i8"]
    for opened in (reader, Matrix(file, 4), Matrix.in_memory(iter(pages), 10, 4)):
        found = opened.vectors(np.arange(1, 10))
        assert np.allclose(found[[key - 1 for key in keys]], vectors[:5], atol=0.01) or opened is reader
        assert not found[[2, 5, 6, 8]].any()


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (None, False),
        (b"", False),
        (bytes.fromhex(IDENTITY)[:8] + bytes(8 * 4), True),
        (bytes.fromhex(IDENTITY)[:8] + bytes(8 * 4 - 1), False),
        (bytes(8 * 5), False),
    ],
)
def test_files_that_are_lost_cut_or_of_another_index(tmp_path: Path, content: bytes | None, whole: bool) -> None:
    file = tmp_path / "m.i8"
    if content is not None:
        file.write_bytes(content)
    assert Matrix.exists(file, IDENTITY, 4, 5) is whole


@given(st.lists(st.integers(-50, 50), max_size=40), st.integers(1, 50))
def test_the_best_come_first(numbers: list[int], limit: int) -> None:
    keys, scores = best(np.arange(len(numbers)), np.array(numbers, dtype=np.float32), limit)
    assert scores.tolist() == sorted(numbers, reverse=True)[:limit]
    assert [numbers[key] for key in keys.tolist()] == scores.tolist()
