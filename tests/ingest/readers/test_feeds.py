"""Feeds, sitemaps and lists of URLs."""

from __future__ import annotations

import gzip
import html
import io
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.content.types import Content, Limits, Options
from ingest.readers.feeds import MOST_ENTRIES, MOST_PAGES, from_feed, is_feed, is_sitemap, listed_urls, sitemap_pages
from rag.errors import ReadError
from rag.schema import Article, Failure

RSS = b"""<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"
     xmlns:media="http://search.yahoo.com/mrss/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel>
  <title>Bay Times</title>
  <link>https://bay.example/</link>
  <atom:link href="https://bay.example/feed" rel="self" type="application/rss+xml"/>
  <language>en-gb</language>
  <image><title>Logo</title><url>https://bay.example/logo.png</url></image>
  <item>
    <media:title>A picture</media:title>
    <media:description>A caption that is longer than anything that the article itself has to say.</media:description>
    <title>The pier &amp;#8212; closed</title>
    <link>/pier?a=1&amp;b=2</link>
    <guid isPermaLink="false">bay-1</guid>
    <pubDate>Tue, 05 Mar 2024 23:30:00 EST</pubDate>
    <dc:creator>Ada Moor</dc:creator>
    <dc:creator>Bob Reed</dc:creator>
    <category>Harbour</category>
    <category domain="https://bay.example/tags">Works</category>
    <description>The pier is closed.</description>
    <content:encoded><![CDATA[<p>The pier is <b>closed</b>.</p><p>It opens in May.</p>]]></content:encoded>
  </item>
  <item>
    <title>Night bus</title>
    <guid>https://bay.example/bus</guid>
    <author>bob@bay.example (Bob Reed)</author>
    <source url="https://hill.example/feed">Hill Post</source>
    <description>First paragraph.

Second one, 5 &lt; 6.</description>
  </item>
</channel></rss>"""

ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de" xml:base="https://hill.example/de/">
  <title type="html">Hill &lt;i&gt;Post&lt;/i&gt;</title>
  <author><name>Cleo Hill</name><email>cleo@hill.example</email></author>
  <link rel="self" href="https://hill.example/feed.atom"/>
  <entry>
    <id>tag:hill.example,2024:1</id>
    <title type="text">How to write &lt;b&gt;</title>
    <link rel="enclosure" href="https://hill.example/a.mp3" type="audio/mpeg"/>
    <link rel="alternate" href="https://hill.example/a.pdf" type="application/pdf"/>
    <link rel="alternate" href="ort/a" type="text/html"/>
    <published>2024-03-05T23:30:00-05:00</published>
    <updated>2024-04-01T00:00:00Z</updated>
    <summary>Short.</summary>
    <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One <em>fine</em> day.</p><br/></div></content>
  </entry>
  <entry xml:lang="fr">
    <id>https://hill.example/b</id>
    <title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">Of <em>two</em> minds</div></title>
    <updated>2024-04-01T00:00:00Z</updated>
    <author><name>Dan</name></author><author><name>Eve</name></author>
    <content type="text">5 &lt; 6 &amp;amp; 7</content>
  </entry>
</feed>"""

RDF = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE rdf:RDF [ <!ENTITY % HTML SYSTEM "http://inside.example/x.dtd"> %HTML; ]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
         xmlns:dc="http://purl.org/dc/elements/1.1/">
  <channel rdf:about="https://cove.example/"><title>Cove \x96 News</title><dc:language>en</dc:language></channel>
  <item rdf:about="https://cove.example/1"><title>Caf\xe9 opens</title><link>https://cove.example/1</link>
    <dc:date>2024-03-05T10:00:00+01:00</dc:date><description>It has opened.</description></item>
</rdf:RDF>"""


def read(data: bytes | str, url: str = "") -> list[Article | Failure]:
    data = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
    return list(
        from_feed(Content("feeds/bay.xml", "/feeds/bay.xml", lambda: io.BytesIO(data), len(data), url), Options())
    )


def articles(data: bytes | str, url: str = "") -> list[Article]:
    found = read(data, url)
    assert not [one for one in found if isinstance(one, Failure)]
    return [one for one in found if isinstance(one, Article)]


def item(inside: str, url: str = "https://bay.example/feed") -> Article:
    title = "" if "<title>" in inside else "<title>Night bus</title>"
    text = "" if "<description" in inside else "<description>Text.</description>"
    [article] = articles(f"<rss><channel><item>{title}{inside}{text}</item></channel></rss>", url)
    return article


def test_an_rss_feed() -> None:
    first, second = articles(RSS, "https://bay.example/feed")
    assert first == Article(
        id="https://bay.example/pier?a=1&b=2",
        title="The pier — closed",
        text="The pier is closed.\n\nIt opens in May.",
        source="Bay Times",
        url="https://bay.example/pier?a=1&b=2",
        author="Ada Moor, Bob Reed",
        published=date(2024, 3, 5),
        origin="/feeds/bay.xml",
        language="en",
        extra=(("tags", "Harbour, Works"),),
    )
    assert second == Article(
        id="https://bay.example/bus",
        title="Night bus",
        text="First paragraph.\n\nSecond one, 5 < 6.",
        source="Hill Post",
        url="https://bay.example/bus",
        author="Bob Reed",
        origin="/feeds/bay.xml",
        language="en",
    )


def test_an_atom_feed() -> None:
    first, second = articles(ATOM, "https://hill.example/feed.atom")
    assert (first.id, first.url) == ("https://hill.example/de/ort/a", "https://hill.example/de/ort/a")
    assert (first.title, first.text) == ("How to write <b>", "One fine day.")
    assert (first.author, first.source, first.language) == ("Cleo Hill", "Hill Post", "de")
    assert first.published == date(2024, 3, 5)
    assert (second.url, second.title, second.author) == ("https://hill.example/b", "Of two minds", "Dan, Eve")
    assert (second.published, second.language) == (date(2024, 4, 1), "fr")
    assert second.text == "5 < 6 &amp; 7"


def test_an_rdf_feed_in_an_older_encoding() -> None:
    [article] = articles(RDF, "https://cove.example/feed")
    assert (article.url, article.title, article.text) == ("https://cove.example/1", "Café opens", "It has opened.")
    assert (article.published, article.source, article.language) == (date(2024, 3, 5), "Cove – News", "en")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1251", "gb2312", "punycode", "nonsense"])
def test_encodings(encoding: str) -> None:
    title = {"windows-1251": "Новости", "gb2312": "新闻"}.get(encoding, "Café – x")
    text = f"<?xml version='1.0' encoding='{encoding}'?><rss><channel><item><title>{title}</title><link>https://bay.example/"
    text += "</link></item></channel></rss>"
    codec = "utf-8" if encoding in ("punycode", "nonsense") else encoding
    assert articles(text.encode(codec))[0].title == title


def test_a_feed_that_was_saved() -> None:
    first, _ = articles(RSS)
    # The address of the feed is unknown, that of its site is not.
    assert first.url == "https://bay.example/pier?a=1&b=2"


def test_ids_of_entries() -> None:
    text = "<description>Text.</description>"
    items = [
        f"<title>Night bus</title>{text}",
        f"<title>Night bus</title>{text}",
        f"<guid isPermaLink='false'>1</guid>{text}",
        f"<guid isPermaLink='false'>1</guid>{text}",
        f"<link>https://bay.example/a</link><guid isPermaLink='false'>2</guid>{text}",
        f"<link>https://bay.example/a</link><guid isPermaLink='false'>2</guid>{text}",
        f"<link>https://bay.example/a</link><guid isPermaLink='false'>3</guid>{text}",
        f"<link>https://bay.example/b</link><title>Day bus</title>{text}",
        f"<link>https://bay.example/b</link><title>Night bus</title>{text}",
    ]
    data = "<rss><channel>" + "".join(f"<item>{inside}</item>" for inside in items) + "</channel></rss>"
    assert [article.id for article in articles(data)] == [
        "feeds/bay.xml#night-bus",
        "feeds/bay.xml#night-bus-2",
        "1",
        "https://bay.example/a",
        "https://bay.example/a-2",
        "https://bay.example/b",
        "https://bay.example/b-2",
    ]


def test_an_entry_without_a_text_is_its_title_if_there_is_a_page_to_fetch() -> None:
    linked = "<item><title>Night bus</title><link>https://bay.example/bus</link></item>"
    picture = "<item><title>Day bus</title><link>/day</link><description>&lt;img src='a.png'&gt;</description></item>"
    bare = "<item><title>No bus</title></item>"
    *kept, failed = read(f"<rss><channel>{linked}{picture}{bare}</channel></rss>", "https://bay.example/feed")
    assert [(one.text, one.url) for one in kept if isinstance(one, Article)] == [
        ("Night bus", "https://bay.example/bus"),
        ("Day bus", "https://bay.example/day"),
    ]
    assert failed == Failure("feeds/bay.xml, entry 3", "has no text; nothing to index")


@pytest.mark.parametrize(
    ("inside", "url"),
    [
        ("<link>https://bay.example/a b</link>", "https://bay.example/a%20b"),
        ("<link>\n https://bay.example/a\n</link>", "https://bay.example/a"),
        ("<link>a</link>", "https://bay.example/a"),
        ("<guid>https://bay.example/a</guid>", "https://bay.example/a"),
        ("<guid isPermaLink='false'>https://bay.example/a</guid>", ""),
        ("<guid>bay-1</guid>", ""),
        ("<link>/a</link><guid>/a</guid>", "https://bay.example/a"),
        ("<link>javascript:alert(1)</link>", ""),
        ("<link>file:///etc/passwd</link>", ""),
        ("<link>http://[::1</link>", ""),
        ("<link>//other.example/a</link>", "https://other.example/a"),
        (
            "<f:origLink xmlns:f='http://rssnamespace.org/feedburner/ext/1.0'>https://bay.example/a</f:origLink>"
            "<link>https://counter.example/1</link>",
            "https://bay.example/a",
        ),
    ],
)
def test_links_of_entries(inside: str, url: str) -> None:
    assert item(inside).url == url


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("Wed, 02 Oct 2024 00:10:00 +1400", date(2024, 10, 2)),
        ("2024-10-02", date(2024, 10, 2)),
        ("2024-10", None),
        ("2 October 2024 14:00 Nowhere", None),
        ("2004년 05월 28일 01:31:15", None),
        ("yesterday", None),
        ("10/02/2024", None),
    ],
)
def test_dates_are_read_as_written(said: str, day: date | None) -> None:
    assert item(f"<pubDate>{said}</pubDate>").published == day


def test_an_unreadable_date_falls_back_to_the_next() -> None:
    assert item("<pubDate>soon</pubDate><updated>2024-10-02</updated>").published == date(2024, 10, 2)


@pytest.mark.parametrize(
    ("said", "author"),
    [
        ("ada@bay.example (Ada Moor)", "Ada Moor"),
        ("Ada Moor &lt;ada@bay.example&gt;", "Ada Moor"),
        ("Ada Moor", "Ada Moor"),
        ("Ada Moor (Bay Times)", "Ada Moor (Bay Times)"),
        ("ada@bay.example", ""),
    ],
)
def test_authors_without_their_mail_addresses(said: str, author: str) -> None:
    assert item(f"<author>{said}</author>").author == author


def test_an_editor_is_not_the_author() -> None:
    data = (
        "<rss><channel><managingEditor>Ada</managingEditor><item><title>x</title><link>/x</link></item></channel></rss>"
    )
    assert articles(data, "https://bay.example/")[0].author == ""


def test_a_caption_is_the_text_only_if_there_is_no_other() -> None:
    media = "xmlns:media='http://search.yahoo.com/mrss/'"
    caption = f"<media:description {media}>A caption longer than the text.</media:description>"
    assert item(f"<description>Text.</description>{caption}").text == "Text."
    group = f"<media:group {media}><media:description>A video.</media:description></media:group>"
    feed = f"<feed xmlns='http://www.w3.org/2005/Atom'><entry><title>x</title>{group}</entry></feed>"
    assert articles(feed)[0].text == "A video."


def test_content_of_other_media_types_is_not_text() -> None:
    content = "<summary>A map.</summary><content type='image/png'>aGVsbG8sIGhlbGxvIGFnYWlu</content>"
    feed = f"<feed xmlns='http://www.w3.org/2005/Atom'><entry><title>x</title>{content}</entry></feed>"
    assert articles(feed)[0].text == "A map."


def test_malformed_feeds_are_read_leniently() -> None:
    sloppy = (
        b"\n\n<rss><channel><title>Bay&nbsp;&Cove</title>"
        b"<item><title>Fish & chips \x07 &#55357;&#xDE00;&#x110000;</title>"
        b"<link>https://bay.example/a?b=1&c=2</link><dc:creator>Ada</dc:creator>"
        b"<description><![CDATA[<p>A & B &nbsp; C</p>]]></description></item><item><title>Cut o"
    )
    first, *_ = read(sloppy)
    assert isinstance(first, Article)
    assert (first.url, first.title) == ("https://bay.example/a?b=1&c=2", "Fish & chips")
    assert (first.source, first.author, first.text) == ("Bay &Cove", "Ada", "A & B C")


def test_markup_that_was_not_escaped() -> None:
    assert (
        item("<description>One <p>fine <b>day</b></p> it was</description>").text.split()
        == "One fine day it was".split()
    )


@pytest.mark.parametrize(
    "doctype", ['<!DOCTYPE rss SYSTEM "file://%s">', '<!DOCTYPE rss [<!ENTITY e SYSTEM "file://%s">]>']
)
def test_no_file_is_opened_for_an_entity(doctype: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("<!ENTITY e 'hunter2'>")
    for start in ("", "<!-- <a --> ", "x "):
        data = (
            start
            + doctype % secret
            + "<rss><channel><item><title>It says &e;</title><link>/</link></item></channel></rss>"
        )
        assert articles(data, "https://bay.example/")[0].title.startswith("It says &e")


def test_entities_are_not_multiplied() -> None:
    laughs = "".join(
        f'<!ENTITY {name} "{f"&{inner};" * 10}">\n' for inner, name in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    for doctype in (
        f'<!DOCTYPE rss [<!ENTITY a "ha">\n{laughs}]>',
        f'<!-- <a --><!DOCTYPE rss [\n<!ENTITY k "{"ha" * 9_999}">\n]>',
    ):
        for body in ("<title>&k;</title><link>/</link>", "<title>x</title><link href='/&k;'/>"):
            data = f"{doctype}<rss><channel><item>{body}</item></channel></rss>"
            assert len(str(articles(data, "https://bay.example/"))) < 1_000


def test_a_feed_with_too_many_entries_is_cut() -> None:
    numbered = b"".join(
        b"<item><title>x</title><link>http://a.example/%d</link></item>" % n for n in range(MOST_ENTRIES + 5)
    )
    *kept, last = read(b"<rss><channel>" + numbered + b"</channel></rss>")
    assert len(kept) == MOST_ENTRIES
    assert isinstance(last, Failure)
    assert last.source == "feeds/bay.xml"
    assert last.reason.endswith("split it")


def test_a_bomb_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.readers.feeds.MOST_TAGS", 100)
    monkeypatch.setattr("ingest.readers.feeds.LARGEST", 10_000)
    for data in (b"<rss>" + b"<a/>" * 200, gzip.compress(b"<rss>" + b" " * 20_000)):
        with pytest.raises(ReadError, match="split it"):
            read(data)
        with pytest.raises(ReadError, match="split it"):
            sitemap_pages(data, "")
    content = Content("a", "/a", lambda: io.BytesIO(RSS), len(RSS))
    with pytest.raises(ReadError, match="is larger than 100 bytes"):
        list(from_feed(content, Options(limits=Limits(bytes=100))))


@pytest.mark.parametrize(
    "data", [b"", b"<rss><channel></channel></rss>", b"Just text.", b"<html><body>x", b"\x1f\x8b\x08zz"]
)
def test_feeds_without_entries_are_refused(data: bytes) -> None:
    with pytest.raises(ReadError, match="is a feed without entries; give"):
        read(data)


@pytest.mark.parametrize(
    "inside",
    [
        "</width>",
        "<authors>x</authors><contributors>x</contributors><dc:contributor>y</dc:contributor>",
    ],
)
def test_crashes_of_feedparser_are_errors(inside: str) -> None:
    with pytest.raises(ReadError, match=r"is a feed that cannot be parsed \(\w+Error: .*\); give"):
        read(f"<rss><channel><item><title>x</title>{inside}</item></channel></rss>")


def test_tags_named_like_attributes_of_feedparser() -> None:
    names = (
        "links",
        "tags",
        "title_detail",
        "summary_detail",
        "published_parsed",
        "author_detail",
        "guidislink",
        "source",
    )
    inside = "".join(f"<{name}>x</{name}><{name} a='b'/>" for name in names)
    assert item(inside).title in ("Night bus", "bay")


@pytest.mark.parametrize(
    ("start", "feed", "sitemap"),
    [
        (RSS, True, False),
        (ATOM, True, False),
        (RDF, True, False),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!DOCTYPE rss [<!ENTITY a '>]'>]>\n<rss>", True, False),
        ("\ufeff<?xml version='1.0'?><rss version='2.0'>".encode("utf-16"), True, False),
        (b"<?xml-stylesheet href='<rss'?><!-- <rss> --><html>", False, False),
        (b"<a:feed xmlns:a='http://www.w3.org/2005/Atom'>", True, False),
        (b"<feed><cattle/></feed>", False, False),
        (b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>", False, False),
        (b"<urlset>", False, True),
        (b"<?xml version='1.0'?><s:sitemapindex xmlns:s='http://www.sitemaps.org/schemas/sitemap/0.9'>", False, True),
        (gzip.compress(b"<urlset>" + b"<url/>" * 9, mtime=0), False, True),
        (gzip.compress(b"<urlset>" + bytes(range(256)) * 900, mtime=0)[:300], False, True),
        (b"An article about <rss> feeds.", False, False),
        (b"<rss", False, False),
        (b"", False, False),
    ],
)
def test_feeds_and_sitemaps_are_recognized_by_their_root(start: bytes, feed: bool, sitemap: bool) -> None:
    assert (is_feed(start), is_sitemap(start)) == (feed, sitemap)


SITEMAP = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:i="http://www.google.com/schemas/sitemap-image/1.1">
  <url><i:image><i:loc>https://bay.example/x.png</i:loc></i:image><loc> https://bay.example/a?b=1&amp;c=2
  </loc><lastmod>2024-03-05</lastmod></url>
  <url><loc>/b</loc></url>
  <url><loc>https://bay.example/b</loc><lastmod>2024-03-06</lastmod></url>
  <url><loc>ftp://bay.example/c</loc></url>
  <url/>
</urlset>"""


def test_a_sitemap() -> None:
    pages = [("https://bay.example/a?b=1&c=2", "2024-03-05"), ("https://bay.example/b", "")]
    assert sitemap_pages(SITEMAP, "https://bay.example/sitemap.xml") == (pages, [])
    assert sitemap_pages(gzip.compress(SITEMAP), "https://bay.example/") == (pages, [])


def test_an_index_of_sitemaps() -> None:
    data = (
        b"<sitemapindex><sitemap><loc>https://bay.example/1.xml.gz</loc></sitemap><sitemap><loc>2.xml</loc></sitemap>"
    )
    assert sitemap_pages(data, "https://bay.example/") == (
        [],
        ["https://bay.example/1.xml.gz", "https://bay.example/2.xml"],
    )


def test_a_sitemap_that_is_not_well_formed() -> None:
    data = b"<urlset><url><loc>http://a.example/?b=1&c=2</loc></url><url><loc><![CDATA[http://a.example/?d=1&e=2]]>"
    assert [page for page, _ in sitemap_pages(data, "")[0]] == [
        "http://a.example/?b=1&c=2",
        "http://a.example/?d=1&e=2",
    ]


@pytest.mark.parametrize("data", [b"", b"<urlset></urlset>", b"<urlset><url><loc>x</loc></url></urlset>", b"no XML"])
def test_a_sitemap_without_urls(data: bytes) -> None:
    with pytest.raises(ReadError, match="without any URL; give"):
        sitemap_pages(data, "")


def test_a_sitemap_has_no_more_pages_than_its_protocol_allows() -> None:
    data = b"<urlset>" + b"".join(b"<url><loc>http://a.example/%d</loc></url>" % n for n in range(MOST_PAGES + 5))
    assert len(sitemap_pages(data, "")[0]) == MOST_PAGES


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("\ufeff# To read\n\nhttps://bay.example/a\r\n HTTP://bay.example/b \nhttps://bay.example/a\n", 2),
        ("https://bay.example/a", 1),
        ("https://bay.example/a is worth reading", 0),
        ("Read this:\nhttps://bay.example/a", 0),
        ("# nothing", 0),
        ("", 0),
    ],
)
def test_a_list_of_urls(text: str, urls: int) -> None:
    assert len(listed_urls(text)) == urls


# Pieces of XML and what is next to it, in any order.
tags = st.sampled_from(
    "rss channel item title link guid pubDate author name source description feed entry content summary id updated "
    "media:description dc:creator dc:date category tags authors links svg p image textinput x:y urlset url loc".split()
)
attributes = st.sampled_from(
    [
        "",
        "type='xhtml'",
        "type='html'",
        "mode='base64'",
        "href='a'",
        "xml:base='http://['",
        "isPermaLink=''",
        "xmlns='http://www.w3.org/2005/Atom'",
    ]
)
words = st.sampled_from(
    "http://a.example/ 2024-03-05 99999999999999 &amp; & &#0; &#55357; &nbsp; &x <![CDATA[ ]]> <!-- --> <!DOCTYPE ]> "
    "<? ?> &#xD800; &#1114112; &#99999999999; ' = < > : é \ufeff".split()
)
pieces = st.one_of(
    st.builds("<{} {}>".format, tags, attributes),
    st.builds("</{}>".format, tags),
    st.builds("<{}/>".format, tags),
    words,
)


@given(st.binary(max_size=300) | st.lists(pieces, max_size=40).map(lambda found: "".join(found).encode()))
def test_any_bytes_are_read_or_an_error(data: bytes) -> None:
    for start in (
        b"",
        b"<rss><channel><item><title>x</title>",
        b"<feed xmlns='http://www.w3.org/2005/Atom'><entry>",
        b"<urlset>",
    ):
        assert {is_feed(start + data), is_sitemap(start + data)} <= {True, False}
        with suppress(ReadError):
            pages, nested = sitemap_pages(start + data, "https://bay.example/")
            assert pages or nested
        with suppress(ReadError):
            found = [one for one in read(start + data, "https://bay.example/") if isinstance(one, Article)]
            assert len({one.id for one in found}) == len(found)
            assert all(one.url == "" or one.url.startswith(("http://", "https://")) for one in found)


@given(st.text(st.characters(exclude_characters="\0"), max_size=200), st.text(max_size=50))
def test_any_text_is_a_list_or_none(text: str, base: str) -> None:
    assert all(url.isprintable() for url in listed_urls(f"https://{text}"))
    feed = f"<rss><channel><item><link>{html.escape(text)}</link><description>x</description></item></channel></rss>"
    with suppress(ReadError):
        assert all(one.url == "" or one.url.isprintable() for one in articles(feed, base))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("<p>Ships wait.</p><p>The post <a>Pier closed</a> appeared first on <a>Bay Times</a>.</p>", "Ships wait."),
        ("Ships wait. The post Pier closed first appeared on Bay Times.", "Ships wait."),
        ("<p>The post “Office shut” appeared first on Bay.</p>", "Pier"),
        ("<p>Schiffe warten.</p><p>Der Beitrag Der Steg erschien zuerst auf Bay.</p>", "Schiffe warten."),
        ("The post office appeared first on a map of 1820.", "The post office appeared first on a map of 1820."),
        (
            "<p>The post Pier appeared first on Bay.</p><p>So it was.</p>",
            "The post Pier appeared first on Bay.\n\nSo it was.",
        ),
    ],
)
def test_boilerplate_of_a_blog_is_left_out(shown: str, text: str) -> None:
    item = f"<item><title>Pier</title><link>https://bay.example/p</link><description>{html.escape(shown)}</description></item>"
    data = f"<rss version='2.0'><channel><title>Bay</title>{item}</channel></rss>".encode()
    [found] = from_feed(Content("bay.xml", "/bay.xml", lambda: io.BytesIO(data), len(data)), Options())
    assert isinstance(found, Article)
    assert found.text == text


def test_marked_blocks_of_an_entry_are_not_quoted() -> None:
    page = "<h3>What it costs</h3><p>It is shut.<p>Bring:</p><ul><li>bread</ul><p><a href='/c'>Read more</a></p>"
    found = item(f"<title>Pier</title><description><![CDATA[{page}]]></description>")
    assert [found.text[start:end] for start, end in found.captions] == ["What it costs", "Read more"]
    assert [found.text[start:end] for start, end in found.lists] == ["bread"]
