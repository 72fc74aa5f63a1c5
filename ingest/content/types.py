"""The types that all readers share: content, options, limits and the items a reader yields."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ingest.content.blocks import Block
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice

ParseMarkup = Callable[[Sequence[str]], list[list[Block]]]
"""Texts with markup → the blocks of each. Raises ReadError."""

MEGABYTE = 1_000_000
CONTAINER_FACTOR = 5
"""A source may hold many others (an archive, a mailbox, records with markup), so it gets so many times `seconds`."""
BYTES_PER_EXTENSION = 10 * MEGABYTE
"""A source gets `seconds` once more for each so many bytes of its size."""
CONTAINER_BYTES_FACTOR = 50
"""All members of an archive together may unpack to so many times the limit of one."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An entry left out because its source marks it as a draft, private or deleted; `id` is its article's."""

    id: str


Item = Article | Failure | Notice | Unpublished
Read = Iterator[Item]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one source may cost: `seconds` to fetch or to parse, and `bytes` once unpacked."""

    seconds: float = 60.0
    bytes: int = 200 * MEGABYTE


class OutOfTime(ReadError):
    """A source used up its time; the rest of it is not read."""


@dataclass(slots=True)
class Budget:
    """The `seconds` of reading and the unpacked `bytes` that a source, with everything inside it, has left.

    The clock runs only inside `timed`, while the source is read, not while its articles are stored.
    """

    seconds: float
    bytes: int
    total_seconds: float
    total_bytes: int
    _since: float | None = None

    @classmethod
    def for_source(cls, limits: Limits, size: int) -> Budget:
        """The budget of a source of `size` bytes, packed or not."""
        seconds = limits.seconds * (CONTAINER_FACTOR + size / BYTES_PER_EXTENSION)
        unpacked = limits.bytes * CONTAINER_BYTES_FACTOR
        return cls(seconds, unpacked, seconds, unpacked)

    def seconds_left(self) -> float:
        """Seconds left, the time since the clock was started taken off."""
        running = time.monotonic() - self._since if self._since is not None else 0.0
        return self.seconds - running

    def check(self) -> None:
        """Raises OutOfTime if no time is left."""
        if self.seconds_left() <= 0:
            raise OutOfTime(f"takes longer than {self.total_seconds:.0f} s in all; split it, or raise source_seconds")

    def check_bytes(self) -> None:
        """Raises ReadError if more was unpacked than allowed."""
        if self.bytes < 0:
            raise ReadError(
                f"unpacks to more than {self.total_bytes:,} bytes in all; unpack it yourself and give the folder"
            )

    def timed(self, items: Read) -> Read:
        """The items; the clock runs while the next one is produced."""
        while True:
            self._since = time.monotonic()
            try:
                item = next(items, None)
            finally:
                self.seconds -= time.monotonic() - self._since
                self._since = None
            if item is None:
                return
            yield item


@dataclass(frozen=True, slots=True)
class Options:
    """How sources are read.

    fields: which field of a record is the title, the text and so on ({"title": "headline"}); the others are guessed.
    keep: keep articles that vanished from their sources.
    include_drafts: read entries that their source marks as drafts, private or deleted.
    follow_links: follow links that lead out of the folder they are in.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    keep: bool = False
    include_drafts: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """Something to read, wherever it comes from: a file, a member of an archive, a fetched page.

    name: shown to the user, and the start of the ids of its articles.
    origin: the real path of the file, or the URL.
    open: opens the bytes at the start.
    metadata: what another place says of it (the feed that lists a page), under the names of Article's fields; fills the
    fields that the content itself does not state.
    """

    name: str
    origin: str
    open: Callable[[], BinaryIO]
    size: int
    url: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def start(self, length: int = 65_536) -> bytes:
        """The first bytes."""
        with self.open() as file:
            return file.read(length)


Reader = Callable[[Content, Options], Read]
"""Reads one kind of source: yields its articles and failures. Raises ReadError or OSError if nothing can be read."""


def read_bytes(content: Content, options: Options) -> bytes:
    """All bytes of a content. Raises ReadError if they exceed the limit."""
    with content.open() as file:
        data = file.read(options.limits.bytes + 1)
    if len(data) > options.limits.bytes:
        raise ReadError(f"is larger than {options.limits.bytes:,} bytes; split it, or raise source_megabytes")
    return data


def raised_in_package(error: BaseException) -> bool:
    """Whether an error was raised by code of `ingest` itself, not by a library that it calls."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parents[1])
