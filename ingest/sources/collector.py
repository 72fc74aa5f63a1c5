"""Places → articles, passing over the sources that did not change, and keeping count of what was seen."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from ingest.content.types import Options, Read, Unpublished
from ingest.sources.files import Source, file_source, find, hinders, is_url, listed_in, url_source
from ingest.sources.opener import Opener
from ingest.sources.sites import Sites, Visit
from ingest.sources.state import SourceState, SourceStates
from rag.errors import ReadError
from rag.schema import Article, ArticleEntry, Copy, Failure, Notice

VERSION = 2
"""Raised when the same source would be read otherwise, so that it is read again."""
SIZE_OF_A_PAGE = 50_000
"""Bytes that a URL counts for when it is told how much is still to be read."""
MOST_FAILURES = 100
"""Of one source that are told one by one."""
MOST_LISTED = 100_000
"""Pages that one run follows from feeds, sitemaps and lists."""

Collected = Article | SourceState
"""An article, or that a source's articles have all been gathered: its stamp is to be kept once they are stored."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The entries of a source that are not published: its name, and how many have which id."""

    name: str
    ids: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Seen:
    """What a run has come across so far.

    `articles` are ids with their origins; `tried` every source, `complete` those that were read to their end, `skipped`
    those that did not change, with `unchanged` articles; `folders` were listed without a failure. `unpublished` are
    entries that were left out, by origin; `names` are those given in this run, by origin; `others` files of no kind
    that can be read, by the end of their name. `bytes` and `done` are of all sources known of, `source` is the one at
    hand.
    """

    failed: list[Failure] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    unpublished: dict[str, LeftOut] = field(default_factory=dict)
    articles: set[tuple[str, str]] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    listed: int = 0
    source: str = ""
    bytes: int = 0
    done: int = 0

    def there(self, article_id: str, origin: str) -> bool:
        """Is an article still where it was read from, as far as is known by now?"""
        if (article_id, origin) in self.articles or origin in self.skipped:
            return True
        if origin in self.complete or self.is_unpublished(article_id, origin):
            return False
        listed = any(Path(origin).is_relative_to(folder) for folder in self.folders)
        return is_url(origin) or not (listed and gone(origin))

    def is_unpublished(self, article_id: str, origin: str) -> bool:
        """Was an article left out because its source now marks it as a draft or the like?"""
        found = self.unpublished.get(origin)
        return bool(found and article_id in found.ids)

    def all_notices(self) -> tuple[Notice, ...]:
        """Each notice once, and for each source how many of its entries are not published."""
        left_out = (Notice(found.name, _left_out(found.ids.total())) for found in self.unpublished.values())
        return (*dict.fromkeys(self.notices), *left_out)

    def read_again(self, origins: Iterable[str]) -> None:
        """Forget that these sources were read."""
        again = set(origins)
        self.tried -= again
        self.complete -= again
        self.skipped -= again
        self.articles = {one for one in self.articles if one[1] not in again}
        self.unpublished = {origin: ids for origin, ids in self.unpublished.items() if origin not in again}


def gone(origin: str) -> bool:
    """Does a file certainly not exist? One that merely cannot be looked at counts as there."""
    if is_url(origin):
        return False
    try:
        Path(origin).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


@dataclass(frozen=True, slots=True)
class IndexedSources:
    """What the index has of each source before a run, by origin: how many articles, and what their ids begin with.

    A stamp that tells of another number of articles is not to be trusted: they were removed, or lost, or an earlier run
    was interrupted.
    """

    counts: Mapping[str, int]
    names: Mapping[str, str]

    @classmethod
    def of(cls, entries: Iterable[ArticleEntry]) -> Self:
        """Of all articles of an index."""
        counts: Counter[str] = Counter()
        names: dict[str, str] = {}
        for entry in entries:
            for place in (Copy(entry.id, entry.origin), *entry.copies):
                counts[place.origin] += 1
                if place.origin not in names:
                    names[place.origin] = _name_in(place.id, place.origin)
        return cls(counts, {origin: name for origin, name in names.items() if name})


def _name_in(article_id: str, origin: str) -> str:
    """The end of a file's path that an id begins with; empty where the id was given by the source itself."""
    parts = Path(origin).parts if not is_url(origin) else ()
    names = ("/".join(parts[first:]) for first in range(1, len(parts)))
    return next((name for name in names if article_id == name or article_id.startswith((f"{name}#", f"{name}/"))), "")


@dataclass(frozen=True, slots=True)
class Collector:
    """Gathers the articles of one run."""

    opener: Opener
    sites: Sites
    stamps: SourceStates
    options: Options
    held: IndexedSources
    seen: Seen

    def places(self, places: Sequence[str]) -> Iterator[Collected]:
        """All articles of these files, folders and URLs that may have changed; what fails goes into `seen`."""
        found = [(place, [url_source(place)] if is_url(place) else self._found(Path(place))) for place in places]
        self.seen.bytes += sum(_size(source) for _, sources in found for source in sources)
        for place, sources in found:
            for source in sources:
                yield from self._of(source)
            if not is_url(place) and not any(isinstance(source, Failure) and hinders(source) for source in sources):
                self.seen.folders.add(Path(os.path.realpath(place)))

    def _found(self, place: Path) -> list[Source | Failure]:
        return list(find(place, self.seen.others, follow_links=self.options.follow_links))

    def again(self, origins: Iterable[str]) -> Iterator[Collected]:
        """All articles of sources that were read before, changed or not."""
        sources = [self._known(origin) for origin in sorted(origins) if not gone(origin)]
        self.seen.bytes += sum(map(_size, sources))
        for source in sources:
            yield from self._of(source)

    def _known(self, origin: str) -> Source | Failure:
        stamp = self.stamps.get(origin)
        self.stamps.drop([origin])
        name = stamp.name if stamp else self.held.names.get(origin, Path(origin).name)
        return url_source(origin) if is_url(origin) else file_source(origin, name)

    def _of(self, source: Source | Failure, depth: int = 0) -> Iterator[Collected]:
        if isinstance(source, Failure):
            self.seen.failed.append(source)
        elif source.origin not in self.seen.tried:
            self.seen.tried.add(source.origin)
            self.seen.source = source.name
            yield from self._changed(source, depth)
        self.seen.done += _size(source)

    def _changed(self, source: Source, depth: int) -> Iterator[Collected]:
        stamp = self.stamps.get(source.origin)
        name = stamp.name if stamp else self._free_name(source)
        source = replace(source, name=name, fields=self.options.fields or _fields_of(stamp))
        if stamp and (stamp.options != self._fingerprint(source) or not self._is_intact(stamp)):
            stamp = None
        if stamp and stamp.version and stamp.version == source.version:
            self._skip(stamp)
            return
        if source.feed_article and not source.feed_article.url:
            yield from self._content(source, Visit(None), iter([source.feed_article]))
            return
        try:
            found = self._visited(source, stamp, depth)
        except ReadError as error:
            yield from self._stand_in(source, str(error))
            return
        if stamp and found.page and found.page.status == 304:
            self._skip(stamp)
            yield replace(stamp, version=source.version or stamp.version)
        elif found.lists:
            yield from self._pages(source, found, depth)
        else:
            yield from self._content(source, found, self._read(source, found))

    def _fingerprint(self, source: Source) -> str:
        """How a source is read: by what version of the readers, with drafts or not, with which mapping of fields."""
        drafts = "+drafts" if self.options.include_drafts else ""
        return f"{VERSION}{drafts};{json.dumps(source.fields, sort_keys=True)}"

    def _is_intact(self, stamp: SourceState) -> bool:
        """Does the index hold just what the source held, and what the pages that it lists held?"""
        if not stamp.pages:
            return self.held.counts.get(stamp.origin, 0) == stamp.articles
        pages = map(self.stamps.get, stamp.pages)
        return all(page is not None and not page.pages and self._is_intact(page) for page in pages)

    def _skip(self, stamp: SourceState) -> None:
        for origin in stamp.pages or (stamp.origin,):
            if origin not in self.seen.skipped and origin not in self.seen.complete:
                self.seen.skipped.add(origin)
                self.seen.tried.add(origin)
                self.seen.unchanged += self.held.counts.get(origin, 0)

    def _visited(self, source: Source, stamp: SourceState | None, depth: int) -> Visit:
        if source.path is None:
            return self.sites.visit(source, stamp, depth)
        # Only who asks for a list by its name means its URLs to be fetched.
        return Visit(None, lists=list(map(url_source, listed_in(source.path))) if source.asked else [])

    def _read(self, source: Source, found: Visit) -> Read:
        if found.content is None or found.page is None:
            yield from self.opener.read(source)
            return
        items = list(self.opener.read_content(found.content, source, found.page.media_type))
        if source.feed_article and not any(isinstance(item, Article) for item in items):
            raise ReadError("holds no article on its page; ask for it again later")
        yield from items

    def _content(self, source: Source, found: Visit, items: Read) -> Iterator[Collected]:
        try:
            held, failed = yield from self._articles(source, items)
        except ReadError as error:
            yield from self._stand_in(source, str(error))
            return
        if not failed:
            self.seen.complete.add(source.origin)
            yield from self._stamped(source, found, held)

    def _stand_in(self, source: Source, problem: str) -> Iterator[Article]:
        """What a feed says of a page that cannot be had; it is asked for again by the next run."""
        told = _told(source)
        if told and not self.held.counts.get(source.origin):
            yield from self._articles(source, iter([told]))
            problem += " (what its feed says of it was taken)"
        self.seen.failed.append(Failure(source.name, problem))

    def _pages(self, source: Source, found: Visit, depth: int) -> Iterator[Collected]:
        listed = [inner for inner in found.lists if not isinstance(inner, Notice | Unpublished)]
        for item in found.lists:
            if isinstance(item, Notice | Unpublished):
                self._note(source, item)
        self.seen.listed += len(listed)
        if self.seen.listed > MOST_LISTED:
            problem = f"lists more than {MOST_LISTED:,} pages together with others; give its parts one by one"
            self.seen.failed.append(Failure(source.name, problem))
            return
        self.seen.bytes += sum(map(_size, listed))
        for inner in listed:
            yield from self._of(inner, depth + 1)
        origins = [inner.origin for inner in listed if isinstance(inner, Source) and inner.version]
        whole = all(origin in self.seen.complete or origin in self.seen.skipped for origin in origins)
        if whole and len(origins) == len(listed):
            yield from self._stamped(source, found, 0, tuple(origins))

    def _articles(self, source: Source, items: Read) -> Generator[Article, None, tuple[int, int]]:
        """The articles among these items; returns how many there were, and how many failures."""
        articles = failed = 0
        for item in items:
            if isinstance(item, Notice | Unpublished):
                self._note(source, item)
                continue
            failure = self._problem(source, item)
            if failure:
                failed += 1
                if failed <= MOST_FAILURES:
                    self.seen.failed.append(failure)
            elif isinstance(item, Article):
                articles += 1
                self.seen.articles.add((item.id, item.origin))
                yield item
        if failed > MOST_FAILURES:
            self.seen.failed.append(
                Failure(source.name, f"{failed - MOST_FAILURES:,} more of it failed; mend those first")
            )
        if not articles and not failed and source.origin not in self.seen.unpublished:
            failed = 1
            self.seen.failed.append(Failure(source.name, "holds no article; nothing of it was changed"))
        return articles, failed

    def _note(self, source: Source, item: Notice | Unpublished) -> None:
        if isinstance(item, Notice):
            self.seen.notices.append(item)
        else:
            self.seen.unpublished.setdefault(source.origin, LeftOut(source.name)).ids[item.id] += 1

    def _problem(self, source: Source, item: Article | Failure) -> Failure | None:
        if isinstance(item, Failure):
            return item
        if (item.id, item.origin) in self.seen.articles:
            return Failure(source.name, f"has two articles with the id {item.id!r}; give each its own")
        return None

    def _stamped(self, source: Source, found: Visit, held: int, pages: tuple[str, ...] = ()) -> Iterator[SourceState]:
        """The stamp of a source, if it can be told by it whether the source changed."""
        page = found.page
        if (source.version or page) and not (pages and source.path):
            etag, modified = (page.etag, page.modified) if page else ("", "")
            told = self._fingerprint(source)
            yield SourceState(source.origin, source.name, source.version, told, etag, modified, held, pages)

    def _free_name(self, source: Source) -> str:
        """What the index calls the source; else its name, with as much of its path before it as no other source has."""
        name, parts = self.held.names.get(source.origin, source.name), Path(source.origin).parts
        while self._is_taken(name, source.origin) and source.path:
            longer = "/".join(parts[-len(name.split("/")) - 1 :])
            if longer == name:
                break
            name = longer
        self.seen.names[name] = source.origin
        return name

    def _is_taken(self, name: str, origin: str) -> bool:
        stamp = self.stamps.named(name)
        other = self.seen.names.get(name) or (stamp.origin if stamp else origin)
        return other != origin and not gone(other)


def _left_out(count: int) -> str:
    what = "entry that is not published was" if count == 1 else "entries that are not published were"
    return f"{count:,} {what} left out (draft, private or deleted); pullquote ingest --include-drafts reads them too"


def _fields_of(stamp: SourceState | None) -> dict[str, str]:
    """The mapping that a source was read with before: it need not be given again."""
    fields: dict[str, str] = json.loads(stamp.options.partition(";")[2] or "{}") if stamp else {}
    return fields


def _told(source: Source) -> Article | None:
    """The article that a feed makes of an entry, if it has more of it than its title."""
    told = source.feed_article
    if told is None or told.text == told.title:
        return None
    return replace(told, id=source.origin, origin=source.origin)


def _size(source: Source | Failure) -> int:
    if isinstance(source, Failure):
        return 0
    return source.size or SIZE_OF_A_PAGE
