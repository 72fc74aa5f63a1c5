"""Reads what is whole of a catalogue, however damaged it is.

A row that cannot be read costs that article and no other. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Column, RowMapping, Select, func, select

from rag.errors import StoreError
from rag.store.catalog.quantization import SCALE_BYTES, restored_from
from rag.store.catalog.reading import Catalog, State
from rag.store.catalog.rows import (
    StoredArticle,
    article_checksum,
    entry_from,
    passage_checksum,
    passage_from,
    stored_from,
    unpack_sentences,
    vector_checksum,
)
from rag.store.catalog.source_states import SourceState, SourceStates
from rag.store.catalog.tables import articles, passages
from rag.store.files import CATALOG
from rag.store.hints import new_index_hint, restore_command

AT_ONCE = 200
"""Articles that are read at once."""
DAMAGE = (StoreError, ValueError, TypeError, KeyError, AttributeError)
"""What reading a damaged row raises."""


@dataclass(frozen=True, slots=True)
class SalvagedArticle:
    """An article as it was read from its rows; `stored` is None if they are damaged.

    `keys` are those of its passages. If only vectors are damaged, `has_vectors` is false and they are zeros.
    """

    article_id: str
    key: int
    keys: range
    stored: StoredArticle | None = None
    has_vectors: bool = True


class Salvage:
    """A catalogue that may be damaged."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.catalog = Catalog(folder, store / CATALOG)
        self.state = self._state()
        self.dimension = self.state.dimension if self.state else self._first_dimension()

    def articles(self) -> Iterator[SalvagedArticle]:
        """All articles that have a row that can be read, by key. Raises StoreError if nothing can be read at all."""
        end = self._end()
        if not end:
            folder = self.catalog.folder
            raise StoreError(
                f"the catalogue of {folder} cannot be read; restore a backup: {restore_command(folder)}, "
                f"or {new_index_hint(folder)}"
            )
        for first in range(0, end, AT_ONCE):
            rows = self._range(select(articles), articles.c.key, first, min(first + AT_ONCE, end))
            found = self._passages(rows)
            yield from (self._salvaged(row, found) for row in rows)

    def states(self) -> list[SourceState] | None:
        """The states of sources; None if they cannot be read."""
        with suppress(*DAMAGE):
            return list(SourceStates(self.catalog).all())
        return None

    def _state(self) -> State | None:
        with suppress(*DAMAGE):
            state = self.catalog.state()
            numbers = (state.dimension, state.generation, state.next_article, state.next_passage)
            return state if all(isinstance(number, int) for number in numbers) else None
        return None

    def _first_dimension(self) -> int:
        with suppress(*DAMAGE), self.catalog.reading() as connection:
            query = select(func.length(passages.c.vector)).limit(1)
            return max(0, int(connection.execute(query).scalar_one_or_none() or 0) - SCALE_BYTES)
        return 0

    def _end(self) -> int:
        """A number above the keys of all articles; 0 if that cannot be read."""
        with suppress(*DAMAGE), self.catalog.reading() as connection:
            return int(connection.execute(select(func.max(articles.c.key))).scalar_one_or_none() or 0) + 1
        return self.state.next_article if self.state else 0

    def _range(self, query: Select[Any], key: Column[int], first: int, end: int) -> list[RowMapping]:
        """The rows with keys from `first` to below `end`, without those that cannot be read."""
        try:
            with self.catalog.reading() as connection:
                limited = query.where(key >= first, key < end).order_by(key)
                return list(connection.execute(limited).mappings())
        except StoreError:
            if end - first <= 1:
                return []
            middle = (first + end) // 2
            return [*self._range(query, key, first, middle), *self._range(query, key, middle, end)]

    def _passages(self, rows: Sequence[RowMapping]) -> dict[int, RowMapping]:
        """The passages of these articles, by key."""
        merged: list[range] = []
        for own in sorted(map(_keys, rows), key=lambda own: own.start):
            # Articles that were written together are read together.
            if merged and merged[-1].stop == own.start:
                merged[-1] = range(merged[-1].start, own.stop)
            elif own:
                merged.append(own)
        read = (self._range(select(passages), passages.c.key, own.start, own.stop) for own in merged)
        return {row["key"]: row for part in read for row in part}

    def _salvaged(self, row: RowMapping, found: Mapping[int, RowMapping]) -> SalvagedArticle:
        keys = _keys(row)
        with suppress(*DAMAGE):
            own = [found[key] for key in keys]
            if _is_whole(row) and _are_contiguous(row["key"], own):
                has_vectors = all(map(self._has_vectors, own))
                stored = self._stored(row, own, has_vectors=has_vectors)
                if stored.article.text_digest == row["text_digest"]:
                    return SalvagedArticle(row["id"], row["key"], keys, stored, has_vectors)
        return SalvagedArticle(str(row["id"]), row["key"], keys)

    def _has_vectors(self, row: RowMapping) -> bool:
        packed = row["vector"], row["sentence_vectors"]
        is_typed = all(isinstance(each, bytes) for each in packed) and len(packed[0]) == SCALE_BYTES + self.dimension
        return is_typed and vector_checksum(row) == row["vector_checksum"]

    def _stored(self, row: RowMapping, own: Sequence[RowMapping], *, has_vectors: bool) -> StoredArticle:
        parts = [passage_from({**row, **each}) for each in own]
        if has_vectors:
            vectors = restored_from([each["vector"] for each in own], self.dimension)
            sentences = [unpack_sentences(each["sentence_vectors"], self.dimension) for each in own]
        else:
            vectors = np.zeros((len(own), self.dimension), dtype=np.float32)
            sentences = [np.zeros((len(part.sentences), self.dimension), dtype=np.float32) for part in parts]
        return stored_from(entry_from(row), parts, vectors, sentences, row["sketch"])


def _is_whole(row: RowMapping) -> bool:
    return bool(article_checksum(row) == row["checksum"])


def _keys(row: RowMapping) -> range:
    """The keys of an article's passages; none if its row is damaged."""
    return range(row["first_passage"], row["first_passage"] + row["passages"]) if _is_whole(row) else range(0)


def _are_contiguous(article_key: int, rows: Sequence[RowMapping]) -> bool:
    """Whether these are the passages of an article, in order and as they were written."""
    end = 0
    for ordinal, row in enumerate(rows):
        is_own = (row["article_key"], row["ordinal"], row["start"]) == (article_key, ordinal, end)
        end += len(row["text"])
        if not is_own or row["end"] != end or passage_checksum(row) != row["checksum"]:
            return False
    return True
