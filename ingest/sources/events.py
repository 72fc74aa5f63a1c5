"""What happened to a source since its state was stored: the events that a run is made of.

A revision is opaque: the module that finds the source makes it, all others only compare it for equality. That of a
file is its size and time; that of a URL is its version in a feed or sitemap, and its server's ETag and Last-Modified.
How a source was read (the options) is kept beside the revision in its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.content.types import Read, Unpublished
from ingest.sources.files import Source
from rag.schema import Failure, Notice
from rag.store.catalog.source_states import SourceState


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The source has the revision of its stored `state`, or its server says that it did not change."""

    source: Source
    revision: str
    state: SourceState


@dataclass(frozen=True, slots=True)
class Changed:
    """The source is new, or has another revision; `items` reads it. A revision that is empty is not stored."""

    source: Source
    revision: str
    items: Read


@dataclass(frozen=True, slots=True)
class Listing:
    """The source lists others (a feed, a sitemap, a list of URLs), whose events come before this one."""

    source: Source
    revision: str
    listed: Sequence[Source | Failure | Notice | Unpublished]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The source cannot be read now."""

    source: Source
    problem: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that the index has articles of no longer exists, and its folder was listed whole."""

    origin: str


Event = Unchanged | Changed | Listing | Unavailable | Removed | Failure
"""A Failure is of a place where no source can be found."""
