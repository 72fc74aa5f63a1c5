"""Per-source ingest state, used to skip unchanged sources: rows of the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, bindparam, delete, insert, select

from rag.store.catalog.reading import Catalog, at_or_below
from rag.store.catalog.rows import Values
from rag.store.catalog.tables import sources
from rag.store.catalog.writing import CatalogWriter


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source that was read to its end.

    `name` is what its articles' ids start with; `revision` changes when the source does; `options` is how it was read;
    `articles` is how many it had, and `pages` are the sources that it lists instead.
    """

    origin: str
    name: str
    revision: str
    options: str = ""
    articles: int = 0
    pages: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The mapping of fields that the source was read with."""
        fields: dict[str, str] = json.loads(self.options.partition(";")[2] or "{}")
        return fields


class SourceStates:
    """The states of one index's sources."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, origin: str) -> SourceState | None:
        """The state of a source, if it was read to its end before."""
        return self._first(sources.c.origin == origin)

    def named(self, name: str) -> SourceState | None:
        """The state of the source that has this name."""
        return self._first(sources.c.name == name)

    def _first(self, condition: ColumnElement[bool]) -> SourceState | None:
        with self._catalog.reading() as connection:
            row = connection.execute(select(sources).where(condition)).mappings().first()
        return _state(row) if row else None

    def all(self) -> Iterator[SourceState]:
        """Every state, by origin."""
        return self._found(select(sources).order_by(sources.c.origin))

    def below(self, place: str) -> Iterator[SourceState]:
        """The states of all sources at and below a file or folder."""
        return self._found(select(sources).where(at_or_below(sources.c.origin, place)))

    def _found(self, query: Select[Any]) -> Iterator[SourceState]:
        with self._catalog.reading() as connection:
            rows = connection.execute(query).mappings().all()
        yield from map(_state, rows)


class SourceStateWriter(SourceStates):
    """The states of one index's sources, for its writer."""

    def __init__(self, catalog: CatalogWriter) -> None:
        super().__init__(catalog)
        self._writer = catalog
        self._loaded: dict[str, SourceState | None] = {}

    def get(self, origin: str) -> SourceState | None:
        """The state of a source, if it was read to its end before."""
        return self._loaded[origin] if origin in self._loaded else super().get(origin)

    def load(self, place: str) -> None:
        """Read the states of all sources at and below a file or folder at once."""
        self._loaded |= {state.origin: state for state in self.below(place)}

    def put(self, states: Iterable[SourceState]) -> None:
        """Store these, each in the place of an earlier one of its source."""
        states = list(states)
        self._loaded |= {state.origin: state for state in states}
        rows = [{**asdict(state), "pages": json.dumps(state.pages)} for state in states]
        self._replace([row["origin"] for row in rows], rows)

    def drop(self, origins: Iterable[str]) -> None:
        """Forget these sources, so that they are read again."""
        origins = list(origins)
        self._loaded |= dict.fromkeys(origins)
        self._replace(origins, [])

    def _replace(self, origins: list[str], rows: list[Values]) -> None:
        if origins:
            with self._writer.writing() as connection:
                gone = delete(sources).where(sources.c.origin == bindparam("gone"))
                connection.execute(gone, [{"gone": origin} for origin in origins])
                if rows:
                    connection.execute(insert(sources), rows)


def _state(row: RowMapping) -> SourceState:
    return SourceState(**{**row, "pages": tuple(json.loads(row["pages"]))})
