"""A URL → the page it is, or the pages that it lists: a feed's entries, a sitemap's pages, a list of URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from ingest.content.types import Content, Options, Read, Unpublished
from ingest.readers.feeds import is_feed, is_sitemap, listed_urls, sitemap_pages
from ingest.sources.fetch import Fetcher, Page
from ingest.sources.files import Source, url_source
from ingest.sources.state import SourceState
from rag.schema import Article, Failure, Notice

Listed = Source | Failure | Notice | Unpublished
DEEPEST_LIST = 3
"""Sitemaps inside a sitemap, and the like, that are still followed."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What was found at a source: a page with its content, or other sources; neither where nothing changed since."""

    page: Page | None
    content: Content | None = None
    lists: Sequence[Listed] = ()


class Sites:
    """Fetches what URLs lead to; a context manager, for its connections. `read` takes a content apart."""

    def __init__(self, options: Options, read: Callable[[Content, Source], Read], *, private: bool = False) -> None:
        self._limits, self._private = options.limits, private
        self._read = read
        self._fetcher: Fetcher | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fetcher:
            self._fetcher.__exit__(kind, error, trace)

    def visit(self, source: Source, stamp: SourceState | None, depth: int) -> Visit:
        """What a URL leads to now; asked for anew only if it changed since its stamp. Raises ReadError."""
        self._fetcher = self._fetcher or Fetcher(self._limits, self._private)
        page = self._fetcher.fetch(source.origin, stamp.etag if stamp else "", stamp.modified if stamp else "")
        if page.status == 304:
            return Visit(page)
        content = Content(
            source.name,
            source.origin,
            lambda: BytesIO(page.data),
            len(page.data),
            url=page.url,
            metadata=source.metadata,
        )
        lists = list(self._listed(page, content, source)) if depth < DEEPEST_LIST else []
        return Visit(page, lists=lists) if lists else Visit(page, content)

    def _listed(self, page: Page, content: Content, source: Source) -> Iterator[Listed]:
        if is_feed(content.start()):
            for item in self._read(content, source):
                yield _entry(item, content.origin) if isinstance(item, Article) else item
        elif is_sitemap(content.start()):
            pages, maps = sitemap_pages(page.data, page.url)
            yield from (_source(url) for url in maps)
            yield from (_source(url, changed) for url, changed in pages)
        elif page.media_type == "text/plain" and source.asked:
            yield from (_source(url) for url in listed_urls(page.data.decode("utf-8", "replace")))


def _source(url: str, version: str = "") -> Source | Failure:
    """A page; what lists it may tell by its version that it did not change, without the page being asked for."""
    found = url_source(url)
    return replace(found, version=version, asked=False) if isinstance(found, Source) else found


def _entry(told: Article, feed: str) -> Source | Failure:
    """A feed's entry. One without a page of its own is known by what the feed calls it."""
    found = url_source(told.url or f"{feed}?{urlencode({'entry': told.id})}")
    if isinstance(found, Failure):
        return found
    date = told.published.isoformat() if told.published else ""
    known = {"title": told.title, "date": date, "author": told.author, "source": told.source}
    return replace(
        found, version=told.digest, asked=False, metadata={**known, "language": told.language}, feed_article=told
    )
