"""Places → the articles of every source that changed, each source's followed by the state to store of it.

Read `Collector.collect` first: it turns places into events, and events into articles.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.content.types import Options, Read, Unpublished
from ingest.sources.events import Changed, Event, Listing, Removed, Unavailable, Unchanged
from ingest.sources.files import Source, find, hinders, is_gone, is_url, listed_in, url_source, vanished
from ingest.sources.known import KnownSources
from ingest.sources.opener import Opener
from ingest.sources.sites import Sites, version_of
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice
from rag.store.catalog.source_states import SourceState

SIZE_OF_A_PAGE = 50_000
"""Bytes that a URL counts for in the progress, before its size is known."""
MOST_FAILURES = 100
"""Failures of one source that are reported one by one."""
MOST_LISTED = 100_000
"""Pages that one run follows from feeds, sitemaps and lists."""

Collected = Article | SourceState
"""An article; or the state of a source, after all its articles, to be stored once they are."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The unpublished entries of a source: its name, and how many have which id."""

    name: str
    ids: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Seen:
    """What a run has seen so far.

    `articles` are ids with their origins. Of the sources, by origin: `tried` are all, `complete` those that were read
    to their end, `skipped` those that did not change, with `unchanged` articles, `removed` those that no longer exist.
    `unpublished` are the entries left out, by origin; `others` counts files of unknown kind, by the end of their name.
    `bytes` and `done` are of all sources found so far, `source` is the current one.
    """

    failed: list[Failure] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    unpublished: dict[str, LeftOut] = field(default_factory=dict)
    articles: set[tuple[str, str]] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    listed: int = 0
    source: str = ""
    bytes: int = 0
    done: int = 0

    def has(self, article_id: str, origin: str) -> bool:
        """Whether an article is still in its source, as far as the run knows by now."""
        if (article_id, origin) in self.articles or origin in self.skipped:
            return True
        left_out = self.unpublished.get(origin)
        missing = origin in self.complete or origin in self.removed or (left_out and article_id in left_out.ids)
        return not missing

    @property
    def touched(self) -> set[str]:
        """The origins from which articles may have vanished, or become copies of others."""
        return self.complete | self.removed | self.unpublished.keys() | {origin for _, origin in self.articles}

    def all_notices(self) -> tuple[Notice, ...]:
        """Each notice once, and for each source how many of its entries are not published."""
        left_out = (Notice(entries.name, _left_out(entries.ids.total())) for entries in self.unpublished.values())
        return (*dict.fromkeys(self.notices), *left_out)

    def forget(self, origins: set[str]) -> None:
        """Forget that these sources were read."""
        self.tried -= origins
        self.complete -= origins
        self.skipped -= origins
        self.articles = {(article_id, origin) for article_id, origin in self.articles if origin not in origins}
        self.unpublished = {origin: ids for origin, ids in self.unpublished.items() if origin not in origins}


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects the articles of one run; failures, notices and the progress go into `seen`."""

    opener: Opener
    sites: Sites
    known: KnownSources
    options: Options
    seen: Seen

    def collect(self, places: Sequence[str]) -> Iterator[Collected]:
        """The articles and states of all new and changed sources at these files, folders and URLs."""
        return self._collected(self._events_at(places))

    def collect_again(self, origins: set[str]) -> Iterator[Collected]:
        """The articles and states of sources that were read before, changed or not."""
        self.seen.forget(origins)
        sources = [self.known.reopened(origin) for origin in sorted(origins) if not is_gone(origin)]
        self.seen.bytes += sum(map(_size, sources))
        return self._collected(self._events(sources))

    def _events_at(self, places: Sequence[str]) -> Iterator[Event]:
        found = [(place, list(self._find(place))) for place in places]
        self.seen.bytes += sum(_size(source) for _, sources in found for source in sources)
        listed_whole: set[Path] = set()
        for place, sources in found:
            if not is_url(place) and any(isinstance(source, Source) for source in sources):
                self.known.load(os.path.realpath(place))
            yield from self._events(sources)
            if not is_url(place) and not any(isinstance(source, Failure) and hinders(source) for source in sources):
                listed_whole.add(Path(os.path.realpath(place)))
        indexed = {origin for place in listed_whole for origin in self.known.indexed.load(str(place))}
        unread = indexed - self.seen.complete - self.seen.skipped
        yield from map(Removed, vanished(sorted(unread), listed_whole))

    def _find(self, place: str) -> Iterable[Source | Failure]:
        if is_url(place):
            return [url_source(place)]
        return find(Path(place), self.seen.others, follow_links=self.options.follow_links)

    def _events(self, sources: Iterable[Source | Failure], depth: int = 0) -> Iterator[Event]:
        """An event for each source that the run comes across for the first time, after those of what it lists."""
        for source in sources:
            if isinstance(source, Failure):
                yield source
            elif source.origin not in self.seen.tried:
                self.seen.tried.add(source.origin)
                self.seen.source = source.name
                event = self._event(source, depth)
                if isinstance(event, Listing):
                    yield from self._events_listed(event, depth)
                yield event
            self.seen.done += _size(source)

    def _event(self, source: Source, depth: int) -> Event:
        source, state = self.known.identified(source)
        if state and source.version and source.version == version_of(state.revision):
            return Unchanged(source, state.revision, state)
        if source.entry and not source.entry.url:
            return Changed(source, source.version, iter([source.entry]))
        if source.path is None:
            return self.sites.event(source, state, depth)
        # Only who gives a list by its name means its URLs to be fetched.
        if source.asked and (urls := listed_in(source.path)):
            return Listing(source, "", list(map(url_source, urls)))
        return Changed(source, source.version, self.opener.read(source))

    def _events_listed(self, listing: Listing, depth: int) -> Iterator[Event]:
        listed = [inner for inner in listing.listed if isinstance(inner, Source | Failure)]
        self.seen.listed += len(listed)
        if self.seen.listed > MOST_LISTED:
            problem = f"lists more than {MOST_LISTED:,} pages together with others; give its parts one by one"
            yield Failure(listing.source.name, problem)
        else:
            self.seen.bytes += sum(map(_size, listed))
            yield from self._events(listed, depth + 1)

    def _collected(self, events: Iterable[Event]) -> Iterator[Collected]:
        for event in events:
            match event:
                case Changed():
                    yield from self._read(event)
                case Unchanged():
                    yield from self._skip(event)
                case Listing():
                    yield from self._finish(event)
                case Unavailable(source, problem):
                    yield from self._stand_in(source, problem)
                case Removed(origin):
                    self.seen.removed.add(origin)
                case Failure():
                    self.seen.failed.append(event)

    def _read(self, event: Changed) -> Iterator[Collected]:
        source = event.source
        try:
            articles, failed = yield from self._articles(source, event.items)
        except ReadError as error:
            yield from self._stand_in(source, str(error))
            return
        if not failed:
            self.seen.complete.add(source.origin)
            if event.revision:
                yield self.known.state_of(source, event.revision, articles)

    def _skip(self, event: Unchanged) -> Iterator[SourceState]:
        for origin in event.state.pages or (event.state.origin,):
            if origin not in self.seen.skipped and origin not in self.seen.complete:
                self.seen.skipped.add(origin)
                self.seen.tried.add(origin)
                self.seen.unchanged += self.known.indexed.count(origin)
        if event.revision != event.state.revision:
            yield replace(event.state, revision=event.revision)

    def _finish(self, event: Listing) -> Iterator[SourceState]:
        """The state of a listing, if all that it lists was read or skipped, and can be skipped by the next run."""
        pages = []
        for item in event.listed:
            if isinstance(item, Notice | Unpublished):
                self._note(event.source, item)
            else:
                pages.append(item.origin if isinstance(item, Source) and item.version else "")
        if event.revision and all(page in self.seen.complete or page in self.seen.skipped for page in pages):
            yield self.known.state_of(event.source, event.revision, pages=tuple(pages))

    def _stand_in(self, source: Source, problem: str) -> Iterator[Article]:
        """A feed's own text of a page that cannot be read; the page is fetched again by the next run."""
        entry = source.entry
        if entry and entry.text != entry.title and not self.known.indexed.count(source.origin):
            yield from self._articles(source, iter([replace(entry, id=source.origin, origin=source.origin)]))
            problem += " (the text in its feed was taken)"
        self.seen.failed.append(Failure(source.name, problem))

    def _articles(self, source: Source, items: Read) -> Generator[Article, None, tuple[int, int]]:
        """The articles among these items; returns how many there are, and how many failures."""
        articles = failed = 0
        for item in items:
            if isinstance(item, Notice | Unpublished):
                self._note(source, item)
                continue
            if isinstance(item, Article) and (item.id, item.origin) in self.seen.articles:
                item = Failure(source.name, f"has two articles with the id {item.id!r}; give each its own")  # noqa: PLW2901
            if isinstance(item, Article):
                articles += 1
                self.seen.articles.add((item.id, item.origin))
                yield item
            else:
                failed += 1
                if failed <= MOST_FAILURES:
                    self.seen.failed.append(item)
        if failed > MOST_FAILURES:
            problem = f"has {failed - MOST_FAILURES:,} more failures; correct those listed first"
            self.seen.failed.append(Failure(source.name, problem))
        if not articles and not failed and source.origin not in self.seen.unpublished:
            failed = 1
            self.seen.failed.append(Failure(source.name, "holds no article; what the index has of it was kept"))
        return articles, failed

    def _note(self, source: Source, item: Notice | Unpublished) -> None:
        if isinstance(item, Notice):
            self.seen.notices.append(item)
        else:
            self.seen.unpublished.setdefault(source.origin, LeftOut(source.name)).ids[item.id] += 1


def _left_out(count: int) -> str:
    entries = "entry that is not published was" if count == 1 else "entries that are not published were"
    return f"{count:,} {entries} left out (draft, private or deleted); pullquote ingest --include-drafts reads them too"


def _size(source: Source | Failure) -> int:
    if isinstance(source, Failure):
        return 0
    return source.size or SIZE_OF_A_PAGE
