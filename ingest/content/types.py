"""What is read, and within what limits: the words that all readers share."""

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


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An entry that was left out because its source marks it as a draft, private or deleted; `id` is its article's."""

    id: str


Item = Article | Failure | Notice | Unpublished
Read = Iterator[Item]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one source may cost: seconds to fetch or to take apart, and bytes, unpacked."""

    seconds: float = 60.0
    bytes: int = 200 * MEGABYTE


HOLDS_MANY = 5
"""How many times `seconds` a source may take that holds many others (an archive, a mailbox, records with markup)."""
AS_MUCH_AGAIN = 10 * MEGABYTE
"""Bytes of its size for each of which it may take `seconds` once more."""
WHOLE_ARCHIVE = 50
"""How many times what one member of an archive may unpack to, all of a source may."""


@dataclass(slots=True)
class Budget:
    """What one source may still cost with all that is in it: `seconds` of reading, and `bytes` unpacked.

    The clock runs only inside `timed`, while the source is read, and not while its articles are stored.
    """

    seconds: float
    bytes: int
    allowed: float
    _since: float | None = None

    @classmethod
    def for_source(cls, limits: Limits, size: int) -> Budget:
        """That of a source of so many bytes as it is found, packed or not."""
        seconds = limits.seconds * (HOLDS_MANY + size / AS_MUCH_AGAIN)
        return cls(seconds, limits.bytes * WHOLE_ARCHIVE, seconds)

    def seconds_left(self) -> float:
        """Seconds that are left."""
        running = time.monotonic() - self._since if self._since is not None else 0.0
        return self.seconds - running

    def check(self) -> None:
        """Raises OutOfTime if none are."""
        if self.seconds_left() <= 0:
            raise OutOfTime(f"takes longer than {self.allowed:.0f} s in all; split it, or raise source_seconds")

    def timed(self, items: Read) -> Read:
        """The items, while the clock runs for as long as each takes to come."""
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


class OutOfTime(ReadError):
    """A source took all the time that it may: nothing more of it is read."""


@dataclass(frozen=True, slots=True)
class Options:
    """How sources are read.

    `fields` says which field of a record is the title, the text and so on ({"title": "headline"}); what it does not
    say is guessed. `keep` is whether articles stay that vanished from their sources. `include_drafts` is whether
    entries are read that their source marks as drafts, private or deleted, `follow_links` whether links are followed
    that lead out of the folder they are in.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    keep: bool = False
    include_drafts: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to read, wherever it comes from: a file, a member of an archive, a page that was fetched.

    `name` is what is shown of it, and what its articles' ids begin with; `origin` is the real path of its file, or its
    URL. `open` starts at its first byte. `metadata` comes from elsewhere (the feed that lists a page) and fills the
    fields of the article that the content itself does not state.
    """

    name: str
    origin: str
    open: Callable[[], BinaryIO]
    size: int
    url: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def start(self, length: int = 65_536) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return file.read(length)


def raised_in_package(error: BaseException) -> bool:
    """Was an error raised by code of this package, and not by a library that it calls?"""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parents[1])


def read_bytes(content: Content, options: Options) -> bytes:
    """All its bytes. Raises ReadError if they are more than the limit."""
    with content.open() as file:
        data = file.read(options.limits.bytes + 1)
    if len(data) > options.limits.bytes:
        raise ReadError(f"is larger than {options.limits.bytes:,} bytes; split it, or raise source_megabytes")
    return data


Reader = Callable[[Content, Options], Read]
"""One kind of source → its articles, and what of it cannot be one. Raises ReadError, or OSError, if nothing can be
read."""
