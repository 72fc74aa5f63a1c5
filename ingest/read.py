"""Files, folders and URLs → sources, and a source → its articles."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urldefrag, urlsplit

from ingest.archive import GZIP_START, members
from ingest.feeds import listed_urls
from ingest.fields import one_line
from ingest.kinds import MAIL, MAILBOX, TEXT, Kind, is_archive, is_wanted, kind_of
from ingest.mail import messages
from ingest.source import Content, Options, Read, Unpublished
from ingest.substack import LIST, Post, Posts, is_beside_posts, list_beside, post_of, posts_in
from ingest.unpublished import is_draft_name
from ingest.unreadable import refusal
from ingest.worker import Worker
from rag.errors import ReadError
from rag.index import DATABASE
from rag.schema import Article, Failure, Notice

_OTHER_URL = re.compile(r"[a-z][a-z+.-]+:/", re.IGNORECASE)
DEEPEST = 2
"""Archives inside an archive that are still looked into."""
LISTED = 1_000_000
"""Bytes of a file that may be a list of URLs."""
MOST_ENDINGS = 10
"""Endings of names that a notice lists."""
UNKNOWN = "is of no kind that can be read; `pullquote sources` lists the kinds"


@dataclass(frozen=True, slots=True)
class Source:
    """What is read, and remembered, as one: a file, or a URL.

    `name` is what the ids of its articles begin with: its path below the folder that was asked for, or its file name;
    of a URL the whole. `origin` is its real path, the same however it was written, or the URL. `version` changes
    whenever it does, as far as that shows without reading it. `asked` is whether it was asked for by its own name.
    `known` is what a feed says of a page, and `told` the whole article that it makes of it; `fields` is as in Options.
    """

    name: str
    origin: str
    path: Path | None = None
    version: str = ""
    size: int = 0
    asked: bool = False
    known: Mapping[str, object] = field(default_factory=dict)
    told: Article | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


def is_url(place: str) -> bool:
    """Is this a URL, and no path?"""
    return place.lower().startswith(("http://", "https://"))


def url_source(url: str) -> Source | Failure:
    """A URL as it was asked for, without the place on its page."""
    try:
        url, parts = urldefrag(url).url, urlsplit(url)
    except ValueError as error:
        return Failure(one_line(url), f"is no address ({error}); check it")
    if _has_odd_characters(url) or parts.username is not None or parts.password is not None:
        hint = "holds a user's name, a password or odd characters; leave them out, or save the page and ingest that"
        return Failure(one_line(parts.netloc.rpartition("@")[2]), hint)
    return Source(url, url, asked=True)


def _has_odd_characters(name: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def find(path: Path, others: Counter[str] | None = None) -> Iterator[Source | Failure]:
    """The files that a path means, in order of name; hidden ones, and those of no known kind, are passed over.

    The latter are counted in `others`, by the end of their name. A file that was asked for by its own name is always
    found, or a Failure says why it cannot be read.
    """
    if _OTHER_URL.match(str(path)):
        yield Failure(one_line(str(path)), "is no address that can be fetched; give one that starts with https://")
        return
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
        yield Failure(one_line(str(path)), f"{reason}; check the path")
        return
    if stat.S_ISDIR(mode):
        yield from _below(path, Counter() if others is None else others)
    else:
        yield _source(path, path.name, asked=True)


def file_source(origin: str, name: str) -> Source | Failure:
    """A file that was read before under this name."""
    return _source(Path(origin), name)


def _source(path: Path, name: str, *, asked: bool = False) -> Source | Failure:
    if _has_odd_characters(f"{path}{os.path.realpath(path)}"):
        return Failure(one_line(name), "has control or unreadable characters in its name; rename it")
    try:
        found, listed = path.stat(), list_beside(path)
        version, size = _version(found), found.st_size
        # Whether a page is published can change without the page.
        version += f";{_version(listed.stat())}" if listed else ""
    except OSError:
        version, size = "", 0
    return Source(name, os.path.realpath(path), path, version, size, asked)


def _version(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}"


def _below(folder: Path, others: Counter[str]) -> Iterator[Source | Failure]:
    failures: list[Failure] = []

    def failed(error: OSError) -> None:
        failures.append(Failure(str(error.filename), f"cannot be listed ({error.strerror}); check its permissions"))

    nothing = True
    for where, folders, files in os.walk(folder, onerror=failed):
        if DATABASE in files:  # an index of ours, or any Chroma store
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if name.startswith(".") or is_beside_posts(path):
                continue
            if _readable(path):
                nothing = False
                yield _source(path, path.relative_to(folder).as_posix())
            else:
                others[path.suffix.lower()] += 1
    yield from failures
    if nothing and not failures:
        yield Failure(str(folder), f"holds no file that can be read; {UNKNOWN.partition('; ')[2]}")


def _readable(path: Path) -> bool:
    """Is a file of a known kind by its name, or beyond doubt by its content?"""
    if is_wanted(path.name, None):
        return True
    try:
        return is_wanted(path.name, kind_of(_content(path)))
    except (OSError, ReadError):
        return False


def listed_in(path: Path) -> list[str]:
    """The URLs of a file that is nothing but a list of them."""
    try:
        content = _content(path)
        return urls_in(content) if kind_of(content) in (TEXT, None) else []
    except (OSError, ReadError):
        return []


def _content(path: Path) -> Content:
    """A file's content. Raises ReadError for a pipe and the like, which might never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ReadError("is no regular file; give one that can be read to its end")
    return Content(path.name, str(path), lambda: path.open("rb"), found.st_size)


class Opener:
    """Takes sources apart; a context manager, for the process that it reads hostile kinds in."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._worker = Worker(options)
        self._file: BinaryIO | None = None
        self._posts: tuple[Path | None, Posts] = (None, {})

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    @property
    def position(self) -> int:
        """Bytes into the file that is being read."""
        return self._file.tell() if self._file and not self._file.closed else 0

    def read(self, source: Source) -> Read:
        """The articles of one file. Raises ReadError if nothing of it can be read."""
        path = source.path
        if path is None:
            raise ValueError(f"{source.origin} is a URL; its content is read by read_content")
        try:
            content = _content(path)

            def opened() -> BinaryIO:
                self._file = content.open()
                return self._file

            named = replace(content, name=source.name, origin=source.origin, open=opened, known=source.known)
            yield from self._published(named, self._post(path), source)
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror or error}); check the file") from error

    def _post(self, path: Path) -> Post | None:
        listed = list_beside(path)
        if listed != self._posts[0]:
            self._posts = (listed, posts_in(_content(listed)) if listed else {})
        return post_of(path.name, self._posts[1])

    def _published(self, content: Content, post: Post | None, source: Source, depth: int = 0) -> Read:
        """The articles of a content, unless its name, or the list of posts that names it, says that it is a draft."""
        published = post.published if post else not is_draft_name(content.name)
        if not published and not self._options.include_drafts:
            yield Unpublished(content.name)
            return
        known = {**post.known, **content.known} if post else content.known
        yield from self.read_content(replace(content, known=known), source, depth=depth)

    def read_content(self, content: Content, source: Source, media_type: str = "", depth: int = 0) -> Read:
        """The articles of a content, or of all that is in it. Raises ReadError if it is of no kind that can be read."""
        kind, options = kind_of(content, media_type), replace(self._options, fields=source.fields)
        if depth and not is_wanted(content.name, kind):
            raise ReadError(UNKNOWN)
        if problem := refusal(content, kind):
            raise ReadError(problem)
        if kind is None and is_archive(content.start(4)):
            yield from self._unpacked(content, source, depth)
        elif kind is MAILBOX:
            yield from self._each(
                content, messages(content), lambda message: self._worker.read(reader_name(MAIL), message)
            )
        elif kind is None and source.asked and not content.url and not content.start(64).lstrip().startswith(b"<"):
            yield from self._by_kind(TEXT, content, options)
        elif kind is None:
            raise ReadError(UNKNOWN)
        elif kind is TEXT and (urls := urls_in(content)):
            raise ReadError(f"is a list of URLs ({len(urls)}); give it by its own name to have them fetched")
        else:
            yield from self._by_kind(kind, content, options)

    def _by_kind(self, kind: Kind, content: Content, options: Options) -> Read:
        is_hostile = kind.isolated and not kind.missing
        return self._worker.read(reader_name(kind), content) if is_hostile else kind.read(content, options)

    def _unpacked(self, archive: Content, source: Source, depth: int) -> Read:
        if depth == DEEPEST:
            raise ReadError(f"is an archive inside {DEEPEST} others; unpack it")
        posts = self._listed_posts(archive)
        found = members(archive, self._options)
        if posts:
            found = (part for part in found if not part_name(part).endswith(".csv"))
        yield from self._each(
            archive, found, lambda member: self._published(member, post_of(member.name, posts), source, depth + 1)
        )

    def _listed_posts(self, archive: Content) -> Posts:
        """The posts that a table in an archive lists, as in an export of Substack."""
        found = (part for part in members(archive, self._options) if isinstance(part, Content))
        return next((posts_in(part) for part in found if part_name(part).endswith(f"/{LIST}")), {})

    def _each(self, whole: Content, parts: Iterator[Content | Failure], read: Callable[[Content], Read]) -> Read:
        """The articles of all parts; what cannot be read fails alone, what is of no kind is counted."""
        others: Counter[str] = Counter()
        for part in parts:
            if isinstance(part, Failure):
                yield part
                continue
            try:
                yield from read(part)
            except ReadError as error:
                if str(error) != UNKNOWN:
                    yield Failure(part.name, str(error))
                elif whole.start(2) == GZIP_START:
                    yield Failure(part.name, refusal(part, kind_of(part)) or UNKNOWN)
                else:
                    others[PurePosixPath(part.name).suffix.lower() or "without an ending"] += 1
        if others:
            counts = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(MOST_ENDINGS))
            yield Notice(whole.name, f"holds files of kinds that cannot be read, which were passed over: {counts}")


def part_name(part: Content | Failure) -> str:
    """What a part of an archive is called."""
    return part.name if isinstance(part, Content) else part.source


def reader_name(kind: Kind) -> str:
    """The kind's reader as the worker knows it."""
    return f"{kind.read.__module__}:{kind.read.__name__}"


def urls_in(content: Content) -> list[str]:
    """The URLs that a text lists, if it is nothing but such a list."""
    if content.size > LISTED or b"://" not in content.start(4096):
        return []
    return listed_urls(content.start(LISTED).decode("utf-8-sig", "replace"))
