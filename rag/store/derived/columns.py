"""What filters need of each passage, in a file that is read through a memory map: the day and the source.

Row n belongs to key n of the catalogue, from which the file can be written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.store.catalog.quantization import Keys
from rag.store.derived.scan import Mask

ROW = np.dtype([("published", "<i4"), ("source", "<i4")])
"""A `date_number`, and a source's key."""


class Columns:
    """The rows of keys from 1 on; row 0 belongs to no key. In memory without a file."""

    def __init__(self, file: Path | None, rows: npt.NDArray[Any] | None = None) -> None:
        self._file = file
        self._rows = np.zeros(0, ROW) if rows is None else rows
        self._read(1)

    @property
    def is_in_memory(self) -> bool:
        """Whether there is no file."""
        return self._file is None

    @classmethod
    def exists(cls, file: Path, end: int) -> bool:
        """Whether a file has the rows of all keys below `end`."""
        try:
            return file.stat().st_size >= end * ROW.itemsize
        except OSError:
            return False

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int, int, int]], end: int) -> Columns:
        """The rows of ranges of passages (first key, count, published, source), in memory."""
        rows = np.zeros(end, ROW)
        for first, count, published, source in ranges:
            rows[first : first + count] = (published, source)
        return cls(None, rows)

    def save(self, file: Path) -> None:
        """Write all rows to a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(self._rows.tobytes())
        new.replace(file)

    @staticmethod
    def append(file: Path, first: int, rows: Sequence[tuple[int, int, int]]) -> None:
        """Write rows (count, published, source) from a key on, each for so many passages."""
        values = np.repeat(np.array([row[1:] for row in rows], dtype="<i4"), [row[0] for row in rows], axis=0)
        file.touch()
        with file.open("r+b") as stream:
            stream.seek(first * ROW.itemsize)
            stream.write(values.tobytes())

    def mask(self, keys: Keys | slice, days: tuple[int, int] | None, sources: Iterable[int] | None) -> Mask:
        """Which of these passages were published on these days, inclusive, and are from one of these sources."""
        end = int(keys.stop if isinstance(keys, slice) else keys.max(initial=0) + 1)
        rows = self._read(end)[keys]
        mask = rows["source"] > 0  # row 0 belongs to no passage
        if days:
            published = np.ascontiguousarray(rows["published"])
            mask &= (published >= days[0]) & (published <= days[1])
        if sources is not None:
            own = np.ascontiguousarray(rows["source"])
            mask &= np.logical_or.reduce([own == source for source in sources], axis=0, initial=False)
        return mask

    def _read(self, end: int) -> npt.NDArray[Any]:
        """The rows of all keys below `end`; empty ones where a rebuild has deleted the file."""
        rows = self._rows
        if len(rows) < end and self._file is not None:
            with suppress(FileNotFoundError):
                count = self._file.stat().st_size // ROW.itemsize
                rows = self._rows = np.memmap(self._file, ROW, "r", shape=(count,)) if count else rows
        return rows if len(rows) >= end else np.concatenate([rows, np.zeros(end - len(rows), ROW)])
