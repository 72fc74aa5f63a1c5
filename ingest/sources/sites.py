"""A URL → the page that it is, or the pages that it lists: a feed's entries, a sitemap's pages, a list of URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

from ingest.content.types import Content, Options, Read, Unpublished
from ingest.readers.feeds import is_feed, is_sitemap, listed_urls, sitemap_pages
from ingest.sources.events import Changed, Listing, Unavailable, Unchanged
from ingest.sources.files import Source, url_source
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice
from rag.store.catalog.source_states import SourceState

if TYPE_CHECKING:
    from ingest.sources.fetch import Fetcher, Page

DEEPEST_LIST = 3
"""How deep sitemaps inside sitemaps, and the like, are followed."""


def version_of(revision: str) -> str:
    """What a source's listing said of it when it had this revision: its `version`."""
    return revision.partition("\n")[0]


def _revision(version: str, etag: str, modified: str) -> str:
    return "\n".join((version, etag, modified))


class Sites:
    """Fetches URLs; a context manager, for its connections. `read` yields the articles of a content."""

    def __init__(self, options: Options, read: Callable[[Content, Source, str], Read], *, private: bool) -> None:
        self._limits, self._private = options.limits, private
        self._read = read
        self._fetcher: Fetcher | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fetcher:
            self._fetcher.close()

    def event(
        self, source: Source, state: SourceState | None, depth: int
    ) -> Changed | Unchanged | Listing | Unavailable:
        """What happened to a URL since its state; its server is asked to send it only if it changed since then."""
        from ingest.sources.fetch import Fetcher  # httpx: a run without URLs must not pay for it

        self._fetcher = self._fetcher or Fetcher(self._limits, self._private)
        version, etag, modified = [*(state.revision if state else "").split("\n"), "", ""][:3]
        try:
            page = self._fetcher.fetch(source.origin, etag, modified)
            if state and page.status == 304:
                return Unchanged(source, _revision(source.version or version, etag, modified), state)
            content = Content(
                source.name,
                source.origin,
                lambda: BytesIO(page.data),
                len(page.data),
                url=page.url,
                metadata=source.metadata,
            )
            listed = list(self._listed(page, content, source)) if depth < DEEPEST_LIST else []
        except ReadError as error:
            return Unavailable(source, str(error))
        revision = _revision(source.version, page.etag, page.modified)
        if listed:
            return Listing(source, revision, listed)
        return Changed(source, revision, self._items(content, source, page.media_type))

    def _items(self, content: Content, source: Source, media_type: str) -> Read:
        items = list(self._read(content, source, media_type))
        if source.entry and not any(isinstance(item, Article) for item in items):
            raise ReadError("holds no article on its page; ask for it again later")
        yield from items

    def _listed(
        self, page: Page, content: Content, source: Source
    ) -> Iterator[Source | Failure | Notice | Unpublished]:
        if is_feed(content.start()):
            for item in self._read(content, source, ""):
                yield _entry_source(item, content.origin) if isinstance(item, Article) else item
        elif is_sitemap(content.start()):
            pages, maps = sitemap_pages(page.data, page.url)
            yield from map(_listed_source, maps)
            yield from (_listed_source(url, changed) for url, changed in pages)
        elif page.media_type == "text/plain" and source.asked:
            yield from map(_listed_source, listed_urls(page.data.decode("utf-8", "replace")))


def _listed_source(url: str, version: str = "") -> Source | Failure:
    source = url_source(url)
    return replace(source, version=version, asked=False) if isinstance(source, Source) else source


def _entry_source(entry: Article, feed: str) -> Source | Failure:
    """The source of a feed's entry: its page, or the entry itself if it has none, under what the feed calls it."""
    source = _listed_source(entry.url or f"{feed}?{urlencode({'entry': entry.id})}", entry.digest)
    date = entry.published.isoformat() if entry.published else ""
    known = {"title": entry.title, "date": date, "author": entry.author, "source": entry.source}
    known["language"] = entry.language
    return replace(source, metadata=known, entry=entry) if isinstance(source, Source) else source
