"""Opens a source and yields its articles; unpacks archives and mailboxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from ingest.articles.unpublished import is_draft_name
from ingest.content.archives import GZIP_START, members
from ingest.content.types import Budget, Content, Options, OutOfTime, Read, Unpublished
from ingest.readers.exports.substack import LIST, Post, Posts, list_beside, post_of, posts_in
from ingest.readers.mail import messages
from ingest.readers.registry import (
    ISOLATED_READERS,
    MAIL,
    MAILBOX,
    TEXT,
    Kind,
    is_archive,
    is_wanted,
    kind_of,
)
from ingest.readers.sandbox import Sandbox
from ingest.readers.unsupported import refusal
from ingest.sources.files import UNKNOWN, Source, file_content, urls_in
from rag.errors import ReadError
from rag.schema import Failure, Notice

DEEPEST_ARCHIVE = 2
"""How deep archives inside archives are opened."""
MOST_SUFFIXES = 10
"""How many suffixes a notice lists."""


class Opener:
    """Opens sources; a context manager, for the sandbox in which it reads hostile kinds."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._sandbox = Sandbox(options, ISOLATED_READERS)
        self._file: BinaryIO | None = None
        self._posts: tuple[Path | None, Posts] = (None, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.close()

    @property
    def position(self) -> int:
        """Bytes read of the current file."""
        return self._file.tell() if self._file and not self._file.closed else 0

    def read(self, source: Source) -> Read:
        """The articles of a file. Raises ReadError if nothing of it can be read."""
        path = source.path
        if path is None:
            raise ValueError(f"{source.origin} is a URL; its content is read by read_content")
        try:
            content = file_content(path)

            def opened() -> BinaryIO:
                self._file = content.open()
                return self._file

            named = replace(content, name=source.name, origin=source.origin, open=opened, metadata=source.metadata)
            budget = Budget.for_source(self._options.limits, content.size)
            yield from budget.timed(self._published(named, self._post(path), source, budget))
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror or error}); check the file") from error

    def read_content(self, content: Content, source: Source, media_type: str = "") -> Read:
        """The articles of a content that was fetched. Raises ReadError if it is of no kind that can be read."""
        budget = Budget.for_source(self._options.limits, content.size)
        yield from budget.timed(self._read(content, source, budget, media_type))

    def _post(self, path: Path) -> Post | None:
        posts_file = list_beside(path)
        if posts_file != self._posts[0]:
            self._posts = (posts_file, posts_in(file_content(posts_file)) if posts_file else {})
        return post_of(path.name, self._posts[1])

    def _published(self, content: Content, post: Post | None, source: Source, budget: Budget, depth: int = 0) -> Read:
        """The articles of a content, unless its name or its line in a list of posts marks it as a draft."""
        published = post.published if post else not is_draft_name(content.name)
        if not published and not self._options.include_drafts:
            yield Unpublished(content.name)
            return
        known = {**post.metadata, **content.metadata} if post else content.metadata
        yield from self._read(replace(content, metadata=known), source, budget, depth=depth)

    def _read(self, content: Content, source: Source, budget: Budget, media_type: str = "", depth: int = 0) -> Read:
        kind = kind_of(content, media_type)
        if depth and not is_wanted(content.name, kind):
            raise ReadError(UNKNOWN)
        if problem := refusal(content, kind):
            raise ReadError(problem)
        if kind is None and is_archive(content.start(4)):
            yield from self._unpacked(content, source, budget, depth)
        elif kind is MAILBOX:
            yield from self._each(
                content, messages(content), lambda part: self._sandbox.read(MAIL.reader, part, budget), budget
            )
        elif kind is None and source.asked and not content.url and not content.start(64).lstrip().startswith(b"<"):
            yield from self._by_kind(TEXT, content, source, budget)
        elif kind is None:
            raise ReadError(UNKNOWN)
        elif kind is TEXT and (urls := urls_in(content)):
            raise ReadError(f"is a list of URLs ({len(urls)}); give it by its own name to have them fetched")
        else:
            yield from self._by_kind(kind, content, source, budget)

    def _by_kind(self, kind: Kind, content: Content, source: Source, budget: Budget) -> Read:
        options = replace(self._options, fields=source.fields)
        if kind.isolated and not kind.missing:
            return self._sandbox.read(kind.reader, content, budget, options)
        if kind.records:
            return kind.records(content, options, partial(self._sandbox.blocks, budget=budget))
        return kind.read(content, options)

    def _unpacked(self, archive: Content, source: Source, budget: Budget, depth: int) -> Read:
        if depth == DEEPEST_ARCHIVE:
            raise ReadError(f"is an archive inside {DEEPEST_ARCHIVE} others; unpack it")
        posts = self._listed_posts(archive)
        parts = members(archive, self._options, budget)
        if posts:
            parts = (part for part in parts if not _name(part).endswith(".csv"))
        yield from self._each(
            archive,
            parts,
            lambda part: self._published(part, post_of(part.name, posts), source, budget, depth + 1),
            budget,
        )

    def _listed_posts(self, archive: Content) -> Posts:
        """The posts that a table in an archive lists, as in an export of Substack."""
        parts = (part for part in members(archive, self._options) if isinstance(part, Content))
        return next((posts_in(part) for part in parts if part.name.endswith(f"/{LIST}")), {})

    def _each(
        self, whole: Content, parts: Iterator[Content | Failure], read: Callable[[Content], Read], budget: Budget
    ) -> Read:
        """The articles of all parts; a part that cannot be read fails alone, parts of unknown kind are counted.

        Raises OutOfTime if the whole takes too long.
        """
        others: Counter[str] = Counter()
        for part in parts:
            budget.check()
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
            counts = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(MOST_SUFFIXES))
            yield Notice(whole.name, f"holds files of kinds that cannot be read, which were passed over: {counts}")


def _name(part: Content | Failure) -> str:
    return part.name if isinstance(part, Content) else part.source
