"""What the index and earlier runs know of sources: their names, and their states while these can be trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.content.types import Options
from ingest.sources.files import Source, file_source, is_gone, is_url, url_source
from rag.schema import Failure
from rag.store.catalog.reading import Catalog, IndexedOrigin
from rag.store.catalog.source_states import SourceState, SourceStateWriter

READING_VERSION = 2
"""Raised when readers give other articles for the same source, so that all sources are read again."""


@dataclass(frozen=True, slots=True)
class IndexedSources:
    """What the index has of sources, by origin, each as it was when first asked for.

    A state with another number of articles than the index is not trusted: they were removed or lost, or the run was
    interrupted.
    """

    catalog: Catalog
    _origins: dict[str, IndexedOrigin] = field(default_factory=dict)

    def count(self, origin: str) -> int:
        """The number of articles, and of copies of others, that come from a source."""
        return self._origin(origin).articles

    def name(self, origin: str) -> str:
        """The name that the ids of a source's articles start with; empty if it has none, or is not in the index."""
        return _name_in(self._origin(origin).first_id, origin)

    def load(self, place: str) -> list[str]:
        """The origins of all sources at and below a file or folder, which are read from the index together."""
        found = {each.origin: each for each in self.catalog.origins_below(place)}
        self._origins.update((origin, each) for origin, each in found.items() if origin not in self._origins)
        return list(found)

    def _origin(self, origin: str) -> IndexedOrigin:
        if origin not in self._origins:
            self._origins[origin] = self.catalog.origin(origin)
        return self._origins[origin]


def _name_in(article_id: str, origin: str) -> str:
    """The end of a file's path that an id starts with; empty where the source itself gave the id."""
    parts = Path(origin).parts if not is_url(origin) else ()
    names = ("/".join(parts[first:]) for first in range(1, len(parts)))
    return next((name for name in names if article_id == name or article_id.startswith((f"{name}#", f"{name}/"))), "")


@dataclass(frozen=True, slots=True)
class KnownSources:
    """Sources as the index and the stored states know them; `names` are those given in this run, with their origins."""

    indexed: IndexedSources
    states: SourceStateWriter
    options: Options
    names: dict[str, str] = field(default_factory=dict)

    def load(self, place: str) -> None:
        """Read at once what is known of all sources at and below a file or folder."""
        self.indexed.load(place)
        self.states.load(place)

    def identified(self, source: Source) -> tuple[Source, SourceState | None]:
        """The source under its name, with its mapping of fields; and its state, if that can be trusted."""
        state = self.states.get(source.origin)
        name = state.name if state else self._free_name(source)
        # A mapping of fields need not be given again.
        source = replace(source, name=name, fields=self.options.fields or (state.fields if state else {}))
        trusted = state and state.options == self._options_of(source) and self._is_intact(state)
        return source, state if trusted else None

    def reopened(self, origin: str) -> Source | Failure:
        """A source of an earlier run, without its state, so that it is read whether it changed or not."""
        state = self.states.get(origin)
        self.states.drop([origin])
        name = state.name if state else self.indexed.name(origin) or Path(origin).name
        return url_source(origin) if is_url(origin) else file_source(origin, name)

    def state_of(self, source: Source, revision: str, articles: int = 0, pages: tuple[str, ...] = ()) -> SourceState:
        """The state to store of a source that was read to its end."""
        return SourceState(source.origin, source.name, revision, self._options_of(source), articles, pages)

    def _options_of(self, source: Source) -> str:
        drafts = "+drafts" if self.options.include_drafts else ""
        return f"{READING_VERSION}{drafts};{json.dumps(source.fields, sort_keys=True)}"

    def _is_intact(self, state: SourceState) -> bool:
        """Whether the index has as many articles of the source, and of each page that it lists, as were read."""
        if not state.pages:
            return self.indexed.count(state.origin) == state.articles
        pages = map(self.states.get, state.pages)
        return all(page is not None and not page.pages and self._is_intact(page) for page in pages)

    def _free_name(self, source: Source) -> str:
        """The source's name in the index; else its name, after as much of its path as makes it unique."""
        name, parts = self.indexed.name(source.origin) or source.name, Path(source.origin).parts
        while self._is_taken(name, source.origin) and source.path:
            longer = "/".join(parts[-len(name.split("/")) - 1 :])
            if longer == name:
                break
            name = longer
        self.names[name] = source.origin
        return name

    def _is_taken(self, name: str, origin: str) -> bool:
        state = self.states.named(name)
        other = self.names.get(name) or (state.origin if state else origin)
        return other != origin and not is_gone(other)
