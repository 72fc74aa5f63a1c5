"""Pages, feeds, sitemaps and lists of URLs, end to end: a real server, the real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest import ingest
from ingest.pipeline import remove
from ingest.updater import Model
from rag.config import Config
from rag.schema import ArticleEntry
from rag.store.index import Index
from tests.ingest.test_updater import nonzero_counts
from tests.support.hashing import HashEmbedder
from tests.support.web_server import Answer, Handler, Site, serving

pytestmark = pytest.mark.slow

Ingest = Callable[..., dict[str, int]]
HTML = {"Content-Type": "text/html; charset=utf-8"}


def page(title: str, text: str, **headers: str) -> Answer:
    meta = '<meta name="author" content="Ada Moor"><meta property="article:published_time" content="2024-03-05">'
    body = f"<html lang=en><head><title>{title}</title>{meta}</head><body><nav>Home</nav><article><h1>{title}</h1>"
    paragraphs = "".join(f"<p>{text} This is the {n}. paragraph of the page about {title}.</p>" for n in range(4))
    return (
        200,
        {**HTML, **{n.replace("_", "-"): v for n, v in headers.items()}},
        f"{body}{paragraphs}</article>".encode(),
    )


def conditional(answer: Answer, etag: str) -> Handler:
    """A page that is answered with 304 if the request has its ETag."""

    def handler(request):  # type: ignore[no-untyped-def]
        unchanged = request.headers.get("If-None-Match") == etag
        request.send_response(304 if unchanged else 200)
        request.send_header("ETag", etag)
        for name, value in answer[1].items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0" if unchanged else str(len(answer[2])))
        request.end_headers()
        if not unchanged:
            request.wfile.write(answer[2])

    return handler


@pytest.fixture
def routes() -> dict[str, Answer | Handler]:
    return {
        "/pier": page("Pier closed", "The pier was closed after the storm."),
        "/bus": page("Night bus", "A night bus links the islands."),
    }


@pytest.fixture
def site(routes: dict[str, Answer | Handler]) -> Iterator[Site]:
    with serving(routes) as site:
        yield site


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(index=tmp_path / "index", embedding_model="hash", allow_private_addresses=True, source_seconds=20)


@pytest.fixture
def run(config: Config) -> Ingest:
    return lambda *places: nonzero_counts(ingest(places, config, model=Model("hash", HashEmbedder())))


def entries(config: Config) -> dict[str, ArticleEntry]:
    return {entry.id: entry for entry in Index(config.index, "hash").articles()}


def feed(*items: str) -> Answer:
    return (
        200,
        {"Content-Type": "application/rss+xml"},
        f"<rss version='2.0'><channel>{''.join(items)}</channel></rss>".encode(),
    )


def item(link: str, title: str, text: str = "", day: str = "Tue, 05 Mar 2024 10:00:00 GMT") -> str:
    about = f"<title>{title}</title><description>{text}</description><pubDate>{day}</pubDate>"
    return f"<item><link>{link}</link>{about}</item>"


def test_a_page_is_an_article(run: Ingest, site: Site, config: Config) -> None:
    url = f"{site.url}/pier"
    assert run(url) == {"added": 1, "passages": 1}
    [entry] = entries(config).values()
    assert (entry.id, entry.url, entry.origin) == (url, url, url)
    assert (entry.title, entry.author, str(entry.published), entry.language) == (
        "Pier closed",
        "Ada Moor",
        "2024-03-05",
        "en",
    )
    assert entry.source == f"127.0.0.1:{site.port}"
    assert run(url) == {"unchanged": 1}


def test_a_page_is_fetched_again_only_if_it_changed(
    run: Ingest, site: Site, routes: dict[str, Answer | Handler]
) -> None:
    url = f"{site.url}/pier"
    answer = routes["/pier"]
    assert isinstance(answer, tuple)
    routes["/pier"] = conditional(answer, '"1"')
    assert run(url) == {"added": 1, "passages": 1}
    assert run(url) == {"unchanged": 1}
    assert site.requests[-1].headers["if-none-match"] == '"1"'
    routes["/pier"] = conditional(page("Pier open", "The pier is open again."), '"2"')
    assert run(url) == {"updated": 1, "passages": 1}


def test_the_pages_of_a_feed(run: Ingest, site: Site, routes: dict[str, Answer | Handler], config: Config) -> None:
    routes["/feed"] = feed(item(f"{site.url}/pier", "Pier"), item(f"{site.url}/bus", "Bus"))
    assert run(f"{site.url}/feed") == {"added": 2, "passages": 2}
    assert entries(config)[f"{site.url}/pier"].title == "Pier closed"
    before = len(site.requests)
    assert run(f"{site.url}/feed") == {"unchanged": 2}
    assert site.paths[before:] == ["/feed"], "what the feed says did not change, so no page is asked for"
    routes["/feed"] = feed(item(f"{site.url}/bus", "Bus", day="Wed, 06 Mar 2024 10:00:00 GMT"))
    assert run(f"{site.url}/feed") == {"unchanged": 1}
    assert len(entries(config)) == 2, "what left a feed is not gone"


def test_a_feed_stands_in_for_a_page_until_it_can_be_fetched(
    site: Site, routes: dict[str, Answer | Handler], config: Config
) -> None:
    own = "The text in the feed about the lost hives is long enough to be an article without its page."
    routes["/feed"] = feed(item(f"{site.url}/bees", "Bees", own))
    report = ingest([f"{site.url}/feed"], config, model=Model("hash", HashEmbedder()))
    assert report.added == 1
    assert "HTTP 404" in report.failed[0].reason
    assert "text in its feed" in report.failed[0].reason
    [entry] = entries(config).values()
    assert (entry.id, entry.title) == (f"{site.url}/bees", "Bees")
    routes["/bees"] = page("Hives lost", "Every third hive was lost this winter.")
    report = ingest([f"{site.url}/feed"], config, model=Model("hash", HashEmbedder()))
    assert (report.updated, report.failed) == (1, ())
    assert [entry.title for entry in entries(config).values()] == ["Hives lost"]


def test_a_feed_that_did_not_change_hides_no_page_that_is_missing(
    run: Ingest, site: Site, routes: dict[str, Answer | Handler], config: Config
) -> None:
    routes["/feed"] = conditional(feed(item(f"{site.url}/pier", "Pier"), item(f"{site.url}/bus", "Bus")), '"1"')
    assert run(f"{site.url}/feed") == {"added": 2, "passages": 2}
    assert run(f"{site.url}/feed") == {"unchanged": 2}
    assert site.requests[-1].headers["if-none-match"] == '"1"'
    remove([f"{site.url}/bus"], config)
    assert run(f"{site.url}/feed") == {"added": 1, "unchanged": 1, "passages": 1}


def test_the_pages_of_a_sitemap(run: Ingest, site: Site, routes: dict[str, Answer | Handler], config: Config) -> None:
    xml = {"Content-Type": "application/xml"}
    pier = f"<url><loc>{site.url}/pier</loc><lastmod>2024-03-05</lastmod></url>"
    inner = f"<urlset>{pier}<url><loc>{site.url}/bus</loc></url></urlset>"
    outer = f"<sitemapindex><sitemap><loc>{site.url}/inner.xml</loc></sitemap></sitemapindex>"
    routes |= {"/sitemap.xml": (200, xml, outer.encode()), "/inner.xml": (200, xml, inner.encode())}
    assert run(f"{site.url}/sitemap.xml") == {"added": 2, "passages": 2}
    before = len(site.requests)
    assert run(f"{site.url}/sitemap.xml") == {"unchanged": 2}
    assert site.paths[before:] == ["/sitemap.xml", "/inner.xml", "/bus"]
    assert set(entries(config)) == {f"{site.url}/pier", f"{site.url}/bus"}


def test_a_list_of_urls_given_by_name(run: Ingest, site: Site, tmp_path: Path, config: Config) -> None:
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "urls.txt"
    listed.write_text(f"# morning\n{site.url}/pier\n{site.url}/bus\n")
    assert run(listed) == {"added": 2, "passages": 2}
    report = ingest([tmp_path / "lists"], config, model=Model("hash", HashEmbedder()))
    assert [failure.source for failure in report.failed] == ["urls.txt"]
    assert len(entries(config)) == 2


def test_one_page_under_two_addresses(
    run: Ingest, site: Site, routes: dict[str, Answer | Handler], config: Config
) -> None:
    routes["/print/pier"] = routes["/pier"]
    assert run(f"{site.url}/pier", f"{site.url}/print/pier") == {"added": 1, "duplicates": 1, "passages": 1}
    [entry] = entries(config).values()
    assert [copy.url for copy in entry.copies] == [f"{site.url}/print/pier"]


def test_pages_that_cannot_be_fetched_are_reported_and_the_others_indexed(
    site: Site, routes: dict[str, Answer | Handler], config: Config
) -> None:
    config = replace(config, source_seconds=8, source_megabytes=1)
    routes["/login"] = (
        200,
        HTML,
        b"<html><body><form><input type=password> Log in</form><script>x</script></body></html>",
    )
    routes["/large"] = (200, HTML, b"x" * 2_000_000)
    routes["/feed"] = feed(item(f"{site.url}/404", "Gone"), item(f"{site.url}/pier", "Pier"))
    routes["/endless"] = _endless
    places = [f"{site.url}/{name}" for name in ("login", "large", "feed", "endless", "bus")]
    report = ingest(places, config, model=Model("hash", HashEmbedder()))
    assert report.added == 2
    reasons = {failure.source.removeprefix(site.url): failure.reason for failure in report.failed}
    assert reasons.keys() == {"/login", "/large", "/404", "/endless"}
    assert "login" in reasons["/login"]
    assert "larger than" in reasons["/large"]
    assert "HTTP 404" in reasons["/404"]
    assert "took longer" in reasons["/endless"]


def _endless(request):  # type: ignore[no-untyped-def]
    import time

    request.send_response(200)
    request.send_header("Content-Type", "application/rss+xml")
    request.end_headers()
    request.wfile.write(b"<rss><channel>")
    while True:
        request.wfile.write(b"<item></item>")
        time.sleep(0.02)


def test_a_private_address_is_refused_before_any_connection(site: Site, config: Config) -> None:
    report = ingest(
        [f"{site.url}/pier"], replace(config, allow_private_addresses=False), model=Model("hash", HashEmbedder())
    )
    assert "private address" in report.failed[0].reason
    assert site.requests == []
