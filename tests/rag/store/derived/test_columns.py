"""Filters on days and sources, from a file beside the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.store.derived.columns import Columns


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Keys 1–6: three passages of January from source 1, two undated ones from source 2, one of March from source 1."""
    file = tmp_path / "c.columns"
    Columns.append(file, 1, [(3, 20240131, 1), (2, 0, 2)])
    Columns.append(file, 6, [(1, 20240301, 1)])
    return file


@pytest.mark.parametrize(
    ("days", "sources", "keys"),
    [
        (None, None, [1, 2, 3, 4, 5, 6]),
        ((20240131, 20240131), None, [1, 2, 3]),
        ((20240101, 99991231), None, [1, 2, 3, 6]),
        ((20240201, 20240229), None, []),
        (None, [2], [4, 5]),
        (None, [1, 2], [1, 2, 3, 4, 5, 6]),
        (None, [], []),
        (None, [9], []),
        ((20240201, 99991231), [1], [6]),
        ((20240101, 99991231), [2], []),
    ],
)
def test_a_mask_allows_what_the_filters_do(
    file: Path, days: tuple[int, int] | None, sources: list[int] | None, keys: list[int]
) -> None:
    for columns in (Columns(file), Columns.of([(1, 3, 20240131, 1), (4, 2, 0, 2), (6, 1, 20240301, 1)], 7)):
        assert np.flatnonzero(columns.mask(slice(0, 7), days, sources)).tolist() == keys
        some = np.array([2, 4, 6])
        assert some[columns.mask(some, days, sources)].tolist() == [key for key in keys if key % 2 == 0]


def test_a_reader_sees_what_is_appended_and_keeps_what_it_has(file: Path) -> None:
    reader = Columns(file)
    Columns.append(file, 7, [(2, 20240401, 3)])
    assert np.flatnonzero(reader.mask(slice(0, 9), None, [3])).tolist() == [7, 8]
    file.unlink()
    mask = reader.mask(slice(0, 12), None, None)
    assert (len(mask), int(mask.sum())) == (12, 8)


def test_a_file_is_whole_if_it_has_all_keys(file: Path, tmp_path: Path) -> None:
    assert [Columns.exists(file, end) for end in (1, 7, 8)] == [True, True, False]
    assert not Columns.exists(tmp_path / "none", 1)
    Columns.of([(2, 1, 20240131, 4)], 3).save(tmp_path / "new" / "c.columns")
    assert np.flatnonzero(Columns(tmp_path / "new" / "c.columns").mask(slice(0, 3), None, [4])).tolist() == [2]
