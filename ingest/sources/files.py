"""Finds sources: files, folders and URLs → one source for each file and URL."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from ingest.content.types import Content
from ingest.content.values import one_line
from ingest.readers.exports.substack import is_in_export, list_beside
from ingest.readers.feeds import listed_urls
from ingest.readers.registry import TEXT, is_wanted, kind_of
from rag.errors import ReadError
from rag.schema import Article, Failure
from rag.store.files import OLD_DATABASE, POINTER

_OTHER_URL = re.compile(r"[a-z][a-z+.-]+:/", re.IGNORECASE)
LARGEST_LIST = 1_000_000
"""Bytes of a file that may be a list of URLs."""
UNKNOWN = "is of no kind that can be read; `pullquote sources` lists the kinds"
LEADS_NOWHERE = "is a link that leads nowhere, or where nothing may be read; delete it"
LEADS_OUT = "is a link that leads out of the folder; give what it leads to, or run pullquote ingest --follow-links"


@dataclass(frozen=True, slots=True)
class Source:
    """A file or a URL: what is read, and remembered, as one.

    `name` is what the ids of its articles start with: its path below the folder that was given, or its file name; of a
    URL the whole. `origin` is its real path, the same however it was written, or the URL. `version` is what shows a
    change without opening it: a file's size and time, or what a feed or sitemap says of a page; empty if nothing does.
    `asked` is whether it was given by its own name. `metadata` is what a feed states of a page, and `entry` the article
    that the feed's own text makes; `fields` is as in Options.
    """

    name: str
    origin: str
    path: Path | None = None
    version: str = ""
    size: int = 0
    asked: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    entry: Article | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


def is_url(place: str) -> bool:
    """Whether this is a URL and not a path."""
    return place.lower().startswith(("http://", "https://"))


def is_gone(origin: str) -> bool:
    """Whether a file certainly does not exist; one that cannot be looked at may exist, and so may a URL."""
    if is_url(origin):
        return False
    try:
        Path(origin).stat()
    except (OSError, ValueError) as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def vanished(origins: Iterable[str], places: Set[Path]) -> Iterator[str]:
    """Those of these files that no longer exist and were at, or below, one of these places, which were listed whole."""
    for origin in origins:
        path = Path(origin)
        if not places.isdisjoint((path, *path.parents)) and is_gone(origin):
            yield origin


def url_source(url: str) -> Source | Failure:
    """The source at a URL, without its fragment."""
    try:
        url, parts = urldefrag(url).url, urlsplit(url)
    except ValueError as error:
        return Failure(one_line(url), f"is not a valid address ({error}); check it")
    if _has_odd_characters(url) or parts.username is not None or parts.password is not None:
        hint = (
            "contains a user name, a password or unprintable characters; remove them, or save the page and ingest that"
        )
        return Failure(one_line(parts.netloc.rpartition("@")[2]), hint)
    return Source(url, url, asked=True)


def _has_odd_characters(name: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def find(path: Path, others: Counter[str] | None = None, *, follow_links: bool = False) -> Iterator[Source | Failure]:
    """The files at a path, in order of name, without hidden ones and those of unknown kind.

    The latter are counted in `others`, by the end of their name. A file that was given by its own name is always found,
    or a Failure says why it cannot be read. Links below a folder that lead out of it are Failures, unless they are to
    be followed; `path` itself may be a link.
    """
    if _OTHER_URL.match(str(path)):
        yield Failure(one_line(str(path)), "is an address that cannot be fetched; give one that starts with https://")
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
    """A file that was read before, under the name that it has since."""
    return _source(Path(origin), name)


def _source(path: Path, name: str, *, asked: bool = False) -> Source | Failure:
    if _has_odd_characters(f"{path}{os.path.realpath(path)}"):
        return Failure(one_line(name), "has control or undecodable characters in its name; rename it")
    try:
        status, posts = path.stat(), list_beside(path)
        version, size = _version(status), status.st_size
        # The list of posts says which are published: that can change without the post.
        version += f";{_version(posts.stat())}" if posts else ""
    except OSError:
        version, size = "", 0
    return Source(name, os.path.realpath(path), path, version, size, asked)


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _below(folder: Path, others: Counter[str], follow_links: bool) -> Iterator[Source | Failure]:
    root, empty = os.path.realpath(folder), True
    links: list[Source | Failure] = []
    for path in _walked(folder, root, follow_links):
        if isinstance(path, Failure):
            empty = False
            yield path
            continue
        name, is_link = path.relative_to(folder).as_posix(), path.is_symlink()
        if is_link and (problem := _link_problem(path, root, follow_links)):
            if is_wanted(path.name, None) or not path.suffix or path.is_dir():
                links.append(Failure(name, problem))
            else:
                others[path.suffix.lower()] += 1
        elif path.is_dir():
            continue
        elif not _is_readable(path):
            others[path.suffix.lower()] += 1
        elif is_link:
            links.append(_source(path, name))
        else:
            empty = False
            yield _source(path, name)
    # After the files: the target of a link inside the folder is read once, under its own name.
    yield from links
    if empty and not links:
        yield Failure(str(folder), f"holds no file that can be read; {UNKNOWN.partition('; ')[2]}")


def _walked(folder: Path, root: str, follow_links: bool) -> Iterator[Path | Failure]:
    """Files below a folder, and links to folders that are not followed, in order of name and without hidden ones."""
    failures: list[Failure] = []

    def failed(error: OSError) -> None:
        failures.append(Failure(str(error.filename), f"cannot be listed ({error.strerror}); check its permissions"))

    walked = set[str]()
    for where, folders, files in os.walk(folder, onerror=failed, followlinks=follow_links):
        real = os.path.realpath(where)
        if (
            not {OLD_DATABASE, POINTER}.isdisjoint(files) or real in walked or _is_system(real)
        ):  # an index, or any Chroma store
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = [name for name in folders if Path(where, name).is_symlink()]
        if follow_links:
            # A target inside the folder is read there.
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
    """Why a link below a folder is not followed; empty if it is followed, or its target is read anyway."""
    target = os.path.realpath(link)
    if not os.path.exists(target):  # noqa: PTH110 - for a loop of links, Path.exists raises an error
        return LEADS_NOWHERE
    return "" if follow_links or Path(target).is_relative_to(root) else LEADS_OUT


def hinders(failure: Failure) -> bool:
    """Whether a folder is not listed whole because of this failure."""
    return failure.reason not in (LEADS_OUT, LEADS_NOWHERE)


def _is_system(real: str) -> bool:
    """Whether the system shows itself as files here, some of which never end."""
    return Path(real).is_relative_to("/proc") or Path(real).is_relative_to("/sys")


def _is_readable(path: Path) -> bool:
    """Whether a file is of a known kind by its name, or without doubt by its content."""
    if is_wanted(path.name, None):
        return True
    try:
        return is_wanted(path.name, kind_of(file_content(path)))
    except (OSError, ReadError):
        return False


def listed_in(path: Path) -> list[str]:
    """The URLs of a file that is nothing but a list of them; none for any other file."""
    try:
        content = file_content(path)
        return urls_in(content) if kind_of(content) in (TEXT, None) else []
    except (OSError, ReadError):
        return []


def file_content(path: Path) -> Content:
    """A file's content. Raises ReadError for a pipe and the like, which might never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or _is_system(os.path.realpath(path)):
        raise ReadError("is not a regular file; give one that can be read to its end")
    return Content(path.name, str(path), lambda: path.open("rb"), status.st_size)


def urls_in(content: Content) -> list[str]:
    """The URLs of a text that is nothing but a list of them; none for any other text."""
    if content.size > LARGEST_LIST or b"://" not in content.start(4096):
        return []
    return listed_urls(content.start(LARGEST_LIST).decode("utf-8-sig", "replace"))
