"""Files, folders and URLs → sources, and a source → its articles."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urldefrag, urlsplit

from ingest.archive import GZIP_START, members
from ingest.feeds import listed_urls
from ingest.fields import one_line
from ingest.kinds import CSV, JSON, JSON_LINES, MAIL, MAILBOX, PARQUET, TEXT, Kind, is_archive, is_wanted, kind_of
from ingest.mail import messages
from ingest.records import RecordReader, from_csv, from_json, from_jsonl, from_parquet
from ingest.source import Allowance, Content, Options, OutOfTime, Read, Unpublished
from ingest.substack import LIST, Post, Posts, is_in_export, list_beside, post_of, posts_in
from ingest.unpublished import is_draft_name
from ingest.unreadable import refusal
from ingest.worker import Worker
from rag.errors import ReadError
from rag.index import DATABASE
from rag.schema import Article, Failure, Notice

_OTHER_URL = re.compile(r"[a-z][a-z+.-]+:/", re.IGNORECASE)
RECORDS: Mapping[Kind, RecordReader] = {
    JSON: from_json,
    JSON_LINES: from_jsonl,
    CSV: from_csv,
    PARQUET: from_parquet,
}
"""What is read here, but for the markup in it."""
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


def find(path: Path, others: Counter[str] | None = None, *, follow_links: bool = False) -> Iterator[Source | Failure]:
    """The files that a path means, in order of name; hidden ones, and those of no known kind, are passed over.

    The latter are counted in `others`, by the end of their name. A file that was asked for by its own name is always
    found, or a Failure says why it cannot be read. Links below a folder that lead out of it are Failures, unless they
    are to be followed; `path` itself may be a link.
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
        yield from _below(path, Counter() if others is None else others, follow_links)
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


def _below(folder: Path, others: Counter[str], follow_links: bool) -> Iterator[Source | Failure]:
    root, nothing, failed = os.path.realpath(folder), True, False
    links: list[Source | Failure] = []
    for found in _walked(folder, root, follow_links):
        if isinstance(found, Failure):
            failed = True
            yield found
            continue
        name = found.relative_to(folder).as_posix()
        if found.is_symlink() and (problem := _link_problem(found, root, follow_links)):
            if is_wanted(found.name, None) or not found.suffix or found.is_dir():
                links.append(Failure(name, problem))
            else:
                others[found.suffix.lower()] += 1
        elif found.is_dir():
            continue
        elif _readable(found):
            nothing = False
            if found.is_symlink():
                links.append(_source(found, name))
            else:
                yield _source(found, name)
        else:
            others[found.suffix.lower()] += 1
    # After the files themselves: what a link inside the folder leads to is read once, under its own name.
    yield from links
    if nothing and not failed and not links:
        yield Failure(str(folder), f"holds no file that can be read; {UNKNOWN.partition('; ')[2]}")


def _walked(folder: Path, root: str, follow_links: bool) -> Iterator[Path | Failure]:
    """Files below a folder, and links to folders that are not followed, in order of name; what is hidden is not."""
    failures: list[Failure] = []

    def failed(error: OSError) -> None:
        failures.append(Failure(str(error.filename), f"cannot be listed ({error.strerror}); check its permissions"))

    walked = set[str]()
    for where, folders, files in os.walk(folder, onerror=failed, followlinks=follow_links):
        real = os.path.realpath(where)
        if DATABASE in files or real in walked or _is_of_the_system(real):  # an index of ours, or any Chroma store
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = [name for name in folders if Path(where, name).is_symlink()]
        if follow_links:
            # What lies in the folder itself is read there.
            own = {name for name in linked if Path(os.path.realpath(Path(where, name))).is_relative_to(root)}
            folders[:] = [name for name in folders if name not in own]
            linked = []
        has_tables = any(map(_is_table, files)) and is_in_export(Path(where))
        for name in sorted([*linked, *files]):
            if not name.startswith(".") and not (has_tables and _is_table(name)):
                yield Path(where, name)
    yield from failures


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv")


def _link_problem(link: Path, root: str, follow_links: bool) -> str:
    """Why a link below a folder is not followed; empty if it is, or leads to what is read anyway."""
    target = os.path.realpath(link)
    if not os.path.exists(target):  # noqa: PTH110 - for a loop of links, Path.exists raises an error
        return LEADS_NOWHERE
    return "" if follow_links or Path(target).is_relative_to(root) else LEADS_OUT


LEADS_NOWHERE = "is a link that leads nowhere, or where nothing may be read; delete it"
LEADS_OUT = "is a link that leads out of the folder; give what it leads to, or run pullquote ingest --follow-links"


def hinders(failure: Failure) -> bool:
    """Is a folder not listed whole because of this failure?"""
    return failure.reason not in (LEADS_OUT, LEADS_NOWHERE)


def _is_of_the_system(real: str) -> bool:
    """Is this a place where the system shows itself as files, of which some never end?"""
    return Path(real).is_relative_to("/proc") or Path(real).is_relative_to("/sys")


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
    if not stat.S_ISREG(found.st_mode) or _is_of_the_system(os.path.realpath(path)):
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
            allowance = Allowance.of(self._options.limits, content.size)
            yield from allowance.timed(self._published(named, self._post(path), source, allowance))
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror or error}); check the file") from error

    def _post(self, path: Path) -> Post | None:
        listed = list_beside(path)
        if listed != self._posts[0]:
            self._posts = (listed, posts_in(_content(listed)) if listed else {})
        return post_of(path.name, self._posts[1])

    def _published(
        self, content: Content, post: Post | None, source: Source, allowance: Allowance, depth: int = 0
    ) -> Read:
        """The articles of a content, unless its name, or the list of posts that names it, says that it is a draft."""
        published = post.published if post else not is_draft_name(content.name)
        if not published and not self._options.include_drafts:
            yield Unpublished(content.name)
            return
        known = {**post.known, **content.known} if post else content.known
        yield from self._read(replace(content, known=known), source, allowance, depth=depth)

    def read_content(self, content: Content, source: Source, media_type: str = "") -> Read:
        """The articles of a content, or of all that is in it. Raises ReadError if it is of no kind that can be read."""
        allowance = Allowance.of(self._options.limits, content.size)
        yield from allowance.timed(self._read(content, source, allowance, media_type))

    def _read(
        self, content: Content, source: Source, allowance: Allowance, media_type: str = "", depth: int = 0
    ) -> Read:
        kind, options = kind_of(content, media_type), replace(self._options, fields=source.fields)
        if depth and not is_wanted(content.name, kind):
            raise ReadError(UNKNOWN)
        if problem := refusal(content, kind):
            raise ReadError(problem)
        if kind is None and is_archive(content.start(4)):
            yield from self._unpacked(content, source, allowance, depth)
        elif kind is MAILBOX:
            letter = reader_name(MAIL)
            yield from self._each(
                content, messages(content), lambda part: self._worker.read(letter, part, allowance), allowance
            )
        elif kind is None and source.asked and not content.url and not content.start(64).lstrip().startswith(b"<"):
            yield from self._by_kind(TEXT, content, options, allowance)
        elif kind is None:
            raise ReadError(UNKNOWN)
        elif kind is TEXT and (urls := urls_in(content)):
            raise ReadError(f"is a list of URLs ({len(urls)}); give it by its own name to have them fetched")
        else:
            yield from self._by_kind(kind, content, options, allowance)

    def _by_kind(self, kind: Kind, content: Content, options: Options, allowance: Allowance) -> Read:
        if kind.isolated and not kind.missing:
            return self._worker.read(reader_name(kind), content, allowance, options)
        if kind in RECORDS:
            return RECORDS[kind](content, options, partial(self._worker.blocks, allowance=allowance))
        return kind.read(content, options)

    def _unpacked(self, archive: Content, source: Source, allowance: Allowance, depth: int) -> Read:
        if depth == DEEPEST:
            raise ReadError(f"is an archive inside {DEEPEST} others; unpack it")
        posts = self._listed_posts(archive)
        found = members(archive, self._options, allowance)
        if posts:
            found = (part for part in found if not part_name(part).endswith(".csv"))
        yield from self._each(
            archive,
            found,
            lambda member: self._published(member, post_of(member.name, posts), source, allowance, depth + 1),
            allowance,
        )

    def _listed_posts(self, archive: Content) -> Posts:
        """The posts that a table in an archive lists, as in an export of Substack."""
        found = (part for part in members(archive, self._options) if isinstance(part, Content))
        return next((posts_in(part) for part in found if part_name(part).endswith(f"/{LIST}")), {})

    def _each(
        self, whole: Content, parts: Iterator[Content | Failure], read: Callable[[Content], Read], allowance: Allowance
    ) -> Read:
        """The articles of all parts; what cannot be read fails alone, what is of no kind is counted.

        Raises OutOfTime where the whole of it takes too long.
        """
        others: Counter[str] = Counter()
        for part in parts:
            allowance.check()
            if isinstance(part, Failure):
                yield part
                continue
            try:
                yield from read(part)
            except OutOfTime:
                raise
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
