"""What is read, and within what limits: the words that all readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from rag.errors import ReadError
from rag.schema import Article, Failure, Notice

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


@dataclass(frozen=True, slots=True)
class Options:
    """How sources are read.

    `fields` says which field of a record is the title, the text and so on ({"title": "headline"}); what it does not
    say is guessed. `keep` is whether articles stay that vanished from their sources. `include_drafts` is whether
    entries are read that their source marks as drafts, private or deleted.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    keep: bool = False
    include_drafts: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to read, wherever it comes from: a file, a member of an archive, a page that was fetched.

    `name` is what is shown of it, and what its articles' ids begin with; `origin` is the real path of its file, or its
    URL. `open` starts at its first byte. `known` is metadata from elsewhere (a feed tells of its entries), by the names
    of Article's fields: it stands in for what the content does not say of itself.
    """

    name: str
    origin: str
    open: Callable[[], BinaryIO]
    size: int
    url: str = ""
    known: Mapping[str, Any] = field(default_factory=dict)

    def start(self, length: int = 65_536) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return file.read(length)


def whole(content: Content, options: Options) -> bytes:
    """All its bytes. Raises ReadError if they are more than the limit."""
    with content.open() as file:
        data = file.read(options.limits.bytes + 1)
    if len(data) > options.limits.bytes:
        raise ReadError(f"is larger than {options.limits.bytes:,} bytes; split it, or raise source_megabytes")
    return data


Reader = Callable[[Content, Options], Read]
"""One kind of source → its articles, and what of it cannot be one. Raises ReadError, or OSError, if nothing can be
read."""
