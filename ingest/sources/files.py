"""Files, folders and URLs → sources, and a source → its articles."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from ingest.content.types import Content
from ingest.content.values import one_line
from ingest.readers.exports.substack import is_in_export, list_beside
from ingest.readers.feeds import listed_urls
from ingest.readers.registry import (
    TEXT,
    is_wanted,
    kind_of,
)
from rag.errors import ReadError
from rag.schema import Article, Failure
from rag.store.connection import DATABASE

_OTHER_URL = re.compile(r"[a-z][a-z+.-]+:/", re.IGNORECASE)
LISTED = 1_000_000
"""Bytes of a file that may be a list of URLs."""
UNKNOWN = "is of no kind that can be read; `pullquote sources` lists the kinds"


@dataclass(frozen=True, slots=True)
class Source:
    """What is read, and remembered, as one: a file, or a URL.

    `name` is what the ids of its articles begin with: its path below the folder that was asked for, or its file name;
    of a URL the whole. `origin` is its real path, the same however it was written, or the URL. `version` changes
    whenever it does, as far as that shows without reading it. `asked` is whether it was asked for by its own name.
    `metadata` is what a feed says of a page, `feed_article` the article made of its entry; `fields` is as in Options.
    """

    name: str
    origin: str
    path: Path | None = None
    version: str = ""
    size: int = 0
    asked: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    feed_article: Article | None = None
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
        return is_wanted(path.name, kind_of(file_content(path)))
    except (OSError, ReadError):
        return False


def listed_in(path: Path) -> list[str]:
    """The URLs of a file that is nothing but a list of them."""
    try:
        content = file_content(path)
        return urls_in(content) if kind_of(content) in (TEXT, None) else []
    except (OSError, ReadError):
        return []


def file_content(path: Path) -> Content:
    """A file's content. Raises ReadError for a pipe and the like, which might never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or _is_of_the_system(os.path.realpath(path)):
        raise ReadError("is no regular file; give one that can be read to its end")
    return Content(path.name, str(path), lambda: path.open("rb"), found.st_size)


def urls_in(content: Content) -> list[str]:
    """The URLs that a text lists, if it is nothing but such a list."""
    if content.size > LISTED or b"://" not in content.start(4096):
        return []
    return listed_urls(content.start(LISTED).decode("utf-8-sig", "replace"))
