"""HTML as text, and web pages as articles."""

from __future__ import annotations

import io
import time
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.articles.passages import split
from ingest.content.types import Content, Limits, Options
from ingest.content.values import clean
from ingest.readers.html.page import MOST_ELEMENTS, from_html
from ingest.readers.html.text import LONGEST_TAG, html_blocks, looks_like_html, unescaped
from rag.errors import ReadError
from rag.schema import Article, Failure

STORY = "The harbour master of Kelm said on Tuesday that the pier would stay closed to all ships until the spring."
OTHER = "A storm had torn away its outer wall two weeks before, and nobody had yet agreed to pay for another one."
FLASH = "The harbour at Kelm was closed on Tuesday after a storm."

PAGE = f"""<!DOCTYPE html>
<html lang="en-GB"><head><meta charset="utf-8">
<title>The pier: closed | Bay Times</title>
<meta property="og:title" content="The pier: closed | Bay Times">
<meta property="og:site_name" content="Bay Times">
<meta property="article:published_time" content="2024-03-05T10:00:00+00:00">
<meta name="author" content="Ada Moor">
<meta name="description" content="No ships until spring.">
<meta name="keywords" content="piers, storms">
<link rel="canonical" href="https://bay.example/pier">
</head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/sport">Sport</a></li></ul></nav>
<article>
<h1>The pier: closed</h1>
<figure><img src="x.png"><figcaption>People at the pier</figcaption></figure>
<p>{STORY} {STORY}</p>
<h2>What it <b>costs</b></h2>
<p>{OTHER}<br>{STORY}</p>
<ul><li>Ten crowns</li><li>Nothing at all</li></ul>
<table><tr><th>Year</th><th>Ships</th></tr><tr><td>2023</td><td>14</td></tr></table>
<blockquote><p>“We have no choice,” she said.</p></blockquote>
</article>
<section class="comments"><p>Ola: I think this is a very bad idea, and so do all of my neighbours.</p></section>
<aside><p>Read more: the ten best piers of the whole coast, all of them open, with maps and prices.</p></aside>
<footer>© 2023 Bay Times. All rights reserved.</footer>
</body></html>"""


def content(data: str | bytes, url: str = "", **known: str) -> Content:
    kept = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return Content("pages/the_pier.html", "/x", lambda: io.BytesIO(kept), len(kept), url, known)


def html_text(markup: str) -> str:
    return "\n\n".join(block.text for block in html_blocks(markup))


def article(data: str | bytes, url: str = "", **known: str) -> Article:
    [found] = from_html(content(data, url, **known), Options())
    assert isinstance(found, Article)
    return found


def test_a_page_is_its_article() -> None:
    found = article(PAGE)
    assert found.text.split("\n\n") == [
        f"{STORY} {STORY}",
        "What it costs",
        f"{OTHER}\n{STORY}",
        "Ten crowns",
        "Nothing at all",
        "Year | Ships",
        "2023 | 14",
        "“We have no choice,” she said.",
    ]
    assert [found.text[start:end] for start, end in found.captions] == ["What it costs", "Year | Ships"]
    assert (found.title, found.author, found.source) == ("The pier: closed", "Ada Moor", "Bay Times")
    assert (found.url, found.language, found.published) == ("https://bay.example/pier", "en", date(2024, 3, 5))
    assert dict(found.extra) == {"description": "No ships until spring.", "tags": "piers, storms"}


def test_known_metadata_fills_the_gaps_of_a_page() -> None:
    known = {"id": "k1", "title": "From the feed", "source": "Bay Feed", "date": "2024-03-06", "author": "Bo Lind"}
    found = article(f"<p>{FLASH}", "https://www.bay.example/a", **known)
    assert (found.id, found.title, found.source, found.author) == ("k1", "From the feed", "Bay Feed", "Bo Lind")
    assert (found.published, found.url) == (date(2024, 3, 6), "https://www.bay.example/a")
    assert article(f"<p>{FLASH}", "https://www.bay.example/a").source == "bay.example"
    assert article(PAGE, "https://feed.example/redirect", **known).source == "Bay Times"


@pytest.mark.parametrize(
    "page",
    [
        f"<html><body><article><h1>Flash</h1><p>{FLASH}</p></article></body></html>",
        f"<p>{FLASH}</p>",
        f"<div>{FLASH}",
        f"<title>Flash</title>{FLASH}",
    ],
)
def test_short_news_is_read(page: str) -> None:
    assert article(page).text == FLASH


SHARE = '<div class="share"><a href="/f">Share on Facebook</a> <a href="/t">Tweet</a></div>'
FIGURE = "<figure><img src=x><figcaption>Ships at the pier. Photo: Bo Lind</figcaption></figure>"


@pytest.mark.parametrize(
    "body",
    [
        f"<nav><a href=/>Home</a></nav><article><h1>Closed</h1><p>{STORY}</p><p>{FLASH}</p>{SHARE}</article>",
        f"<main><h1>Closed</h1>{FIGURE}<p>{STORY}</p><p>{FLASH}</p>{SHARE}</main><footer>All rights reserved</footer>",
        f'<article>{FIGURE}<div itemprop="articleBody"><p>{STORY}</p><p>{FLASH}</p></div>{SHARE}</article>',
        f'<article><h1>Closed</h1><p class="byline">By Ada Moor</p><div>{STORY}</div><div>{FLASH}</div></article>',
        f'<article><h1>Closed</h1><p>{STORY}</p><p>{FLASH}</p><p><a href="/b">More on the bay and its ships</a></p>'
        '<section id="related-stories"><p>Ten piers that you must see before the summer ends.</p></section></article>',
        f'<article><p>{STORY}</p><p>{FLASH}</p></article><div id="cookie-bar"><p>We use cookies.</p></div>',
        f'<div class="with-sidebar"><h1>Closed</h1><p>{STORY}</p><p>{FLASH}</p></div>'
        '<article><a href="/b"><p>Heron count rises</p></a></article>',
        f"<article><h1>Closed</h1><p>{STORY}</p><p>{FLASH}</p></article><article><h2>Other</h2><p>{OTHER}</p></article>",
        f"<article><h1>Closed</h1><p>{STORY}</p><p>{FLASH}</p><form><p>Get our letter</p><input></form></article>",
    ],
)
def test_a_short_page_is_read_without_its_furniture(body: str) -> None:
    found = article(f"<html><head><title>Closed | Bay</title></head><body>{body}</body></html>")
    assert found.text == f"{STORY}\n\n{FLASH}"
    assert found.captions == ()


def test_a_byline_of_a_short_page_is_not_quoted() -> None:
    lines = "<p>By Ada Moor</p><p>5 March 2024</p><p>Published by Bo Lind, our man at the coast, on Tuesday evening</p>"
    found = article(f"<title>Closed | Bay</title><article><h1>Closed</h1>{lines}<p>{FLASH}</p>{SHARE}</article>")
    captions = {found.text[start:end] for start, end in found.captions}
    assert [text for text in found.text.split("\n\n") if text not in captions] == [FLASH]


def test_a_short_page_that_asks_to_log_in_is_refused() -> None:
    form = "<form><p>Log in to read on.</p><input type=password></form>"
    with pytest.raises(ReadError, match="holds no article text"):
        article(f"<article><h1>Closed</h1><p>{FLASH}</p>{form}</article>")


@pytest.mark.parametrize(
    "page",
    [
        "",
        " \n",
        "<!-- nothing -->",
        "<html><head><title>App</title></head><body><div id=root></div><script>start()</script></body></html>",
        "<body><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div>",
        "<title>Log in</title><form><label>Name</label><input><input type=password></form><p>Log in to continue.</p>",
        "<form><input type=password></form><p>Der Zugang zu allen Artikeln ist nur mit einem Konto möglich.</p>",
        "<p>We and our partners use cookies to give you the best experience. By clicking accept you agree to it.</p>",
        "<p>Checking your browser before you go on to the page. This takes a few seconds, please wait.</p>",
        "<p>Not found</p>",
    ],
)
def test_a_page_without_an_article_is_an_error(page: str) -> None:
    with pytest.raises(ReadError, match="holds no article text"):
        list(from_html(content(page), Options()))


def test_the_article_body_in_json_ld() -> None:
    data = (
        '{"@context": "https://schema.org", "@graph": [{"@type": "WebSite", "name": "Bay"}, {"@type": "NewsArticle", '
        f'"headline": "The pier", "articleBody": "{STORY}\\n\\n{OTHER}", "datePublished": "2024-03-05T10:00:00Z", '
        '"author": {"@type": "Person", "name": "Ada Moor"}, "inLanguage": "en"}]}'
    )
    found = article(f'<head><script type="application/ld+json">{data}</script></head><body><div id=app></div>')
    assert found.text == f"{STORY}\n\n{OTHER}"
    assert (found.title, found.author, found.language) == ("The pier", "Ada Moor", "en")
    assert found.published == date(2024, 3, 5)


@pytest.mark.parametrize(
    ("markup", "day"),
    [
        ('<script type="application/ld+json">{"@type": "Article", "datePublished": "2024-03-05"}</script>', True),
        ('<script type="application/ld+json">{"@type": "WebPage", "datePublished": "2023-01-01"}</script>'
         '<script type="application/ld+json">{"@type": "NewsArticle", "datePublished": "2024-03-05"}</script>', True),
        ('<script type="application/ld+json">{"@type": "Article", "about": {"datePublished": "2024-03-05"}}</script>',
         False),
        ('<script type="application/ld+json">{"datePublished": "2024-03-05"</script>', False),
        ('<meta name="DC.date.issued" content="5 March 2024">', True),
        ('<meta itemprop="datePublished" content="2024-03-05">', True),
        ('<meta property="article:modified_time" content="2024-03-05">', False),
        ('<meta name="date" content="2024">', False),
        ('<meta name="date" content="03/04/2024">', False),
        ('<meta name="date" content="9999-12-31">', False),
        ('<meta name="date" content="0001-01-01T00:00:00">', False),
        ('<meta name="date" content="nonsense">', False),
        ('<article><time class="entry-date published updated" datetime="2024-03-05T10:00">Tuesday</time>', True),
        ("<article><time>10:00</time><time>5 March 2024</time>", True),
        ('<article><time class="updated" datetime="2024-03-05">', False),
        ('<p><span itemprop="datePublished" content="2024-03-05">5.3.</span>', True),
        ('<p><time datetime="2024-03-05">5 March</time>', True),
        ('<p><time datetime="2024-03-05">a</time><time datetime="2024-03-06">b</time>', False),
        ('<aside><time datetime="2024-03-05">5 March</time></aside>', False),
        ("<footer>© 2024-03-05</footer>", False),
        ("<p>On 5 March 2024 it was closed.</p>", False),
        ('<link rel="canonical" href="https://bay.example/2024/03/05/pier">', False),
    ],
)  # fmt: skip
def test_only_stated_dates_are_read(markup: str, day: bool) -> None:
    assert article(f"{markup}<p>{STORY}</p>").published == (date(2024, 3, 5) if day else None)


def test_a_date_in_the_future_is_ignored() -> None:
    ahead = date.today() + timedelta(days=30)
    assert article(f'<meta name="date" content="{ahead}"><p>{STORY}').published is None


@pytest.mark.parametrize(
    ("markup", "url"),
    [
        ('<link rel="canonical" href="/pier">', "https://got.example/x"),
        ('<link rel="canonical" href="javascript:alert(1)">', "https://got.example/x"),
        ('<link rel="canonical" href="file:///etc/passwd">', "https://got.example/x"),
        ('<link rel="canonical" href="http://[">', "http://["),
        ('<meta property="og:url" content="https://bay.example/b">', "https://bay.example/b"),
    ],
)
def test_a_url_is_absolute(markup: str, url: str) -> None:
    assert article(f"<head>{markup}</head><p>{STORY}", "https://got.example/x").url == url


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (f"<p>{STORY} Žofín.".encode(), "Žofín"),
        (f"<meta charset=iso-8859-1><p>{STORY} “Café”".encode("cp1252"), "“Café”"),
        (f"<meta charset=iso-8859-1><p>{STORY} Žofín".encode(), "Žofín"),
        (f'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>{STORY} Пирс'.encode("cp1251"),
         "Пирс"),
        (f'<?xml version="1.0" encoding="Shift_JIS"?><html><p>{STORY} 港は閉鎖'.encode("cp932"), "港は閉鎖"),
        (f"<meta charset=iso-2022-jp><p>{STORY} 港は閉鎖".encode("iso2022_jp"), "港は閉鎖"),
        (f"\ufeff<p>{STORY} 港".encode("utf-16-le"), "港"),
        (f"\ufeff<meta charset=latin1><p>{STORY} 港".encode(), "港"),
        (f"<meta charset=rot13><p>{STORY} é".encode(), "é"),
        (f"<meta charset=x\xff><p>{STORY} é".encode(), "é"),
        (f"<p>{STORY}\0 é".encode(), "é"),
    ],
)  # fmt: skip
def test_encodings(data: bytes, text: str) -> None:
    assert text in article(data).text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ar", "قال مدير الميناء يوم الثلاثاء إن الرصيف سيبقى مغلقا أمام السفن حتى الربيع بعد العاصفة."),
        ("zh", "港务局长周二表示,由于风暴摧毁了外墙,码头将一直关闭到春天。"),
        ("th", "นายท่าเรือกล่าวเมื่อวันอังคารว่าท่าเรือจะปิดไปจนถึงฤดูใบไม้ผลิหลังจากพายุ"),
    ],
)
def test_pages_in_many_scripts(language: str, text: str) -> None:
    found = article(f"<html lang={language}><p>{text}</p>")
    assert (found.text, found.language) == (text, language)


def test_no_download_whatever_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refused(*_: object) -> None:
        raise AssertionError("a page made a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert article(PAGE, "https://bay.example/pier").title == "The pier: closed"
    with pytest.raises(ReadError):
        list(from_html(content("https://bay.example/pier"), Options()))


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReadError):
        list(from_html(content("<p>x"), Options()))
    assert capfd.readouterr() == ("", "")


def test_huge_pages_are_refused() -> None:
    with pytest.raises(ReadError, match="too many elements"):
        list(from_html(content("<p>x" * (MOST_ELEMENTS + 1)), Options()))
    with pytest.raises(ReadError, match="too many elements"):
        list(from_html(content("<div>" * 5_000 + STORY), Options()))
    with pytest.raises(ReadError, match="larger than"):
        list(from_html(content(PAGE), Options(limits=Limits(bytes=100))))
    assert article("<div>" * 500 + STORY).text == STORY


def test_a_malformed_url_in_json_ld_does_not_lose_the_article() -> None:
    assert article(f'<head><meta property="og:url" content="http://["></head><p>{STORY}').text == STORY


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a < b and c > d", "a < b and c > d"),
        ("<", "<"),
        ("<p>a<p>b", "a\n\nb"),
        ("<div>a<div>b</div>c</div>", "a\n\nb\n\nc"),
        ("a<br/>b<br><br>c", "a\nb\n\nc"),
        ("<ul><li>x<li>y <b>z</b></ul>t", "x\n\ny z\n\nt"),
        ("<h1>T</h1>x<script>y<p></script>z<!-- <p>c -->w<style>p{}</style>", "T\n\nxzw"),
        ("<head><title>T</title></head><body>x<template><p>y</template>", "x"),
        ("<table><tr><td>a<td>b<tr><td><p>x</p><td>y</table>", "a | b\n\nx | y"),
        ("<table><tr><td><p>one</p><p>two</p><td>b</table>", "one\n\ntwo\n\nb"),
        ("<table><tr><td><table><tr><td>a<td>b<tr><td>c</table><td>d</table>", "a | b\n\nc\n\nd"),
        ("<td>a<td>b", "a\n\nb"),
        ("Tom &amp; Ann&nbsp;said &lt;no&gt; &#8217;til&unknown;", "Tom & Ann said <no> ’til&unknown;"),
        ("<pre>a\n\n  b</pre>", "a\n\nb"),
        ("<p>a\n  b\tc</p>", "a b c"),
        ("One\ntwo <b>three</b>\n\nfour", "One\ntwo three\n\nfour"),
        ("x\0y<p>\ud800\x07z", "xy\n\n?z"),
        ("<!--><p>x", "x"),
        ("<p title='a>b'>x", "x"),
        ('<p title="never closed>x', ""),
    ],
)
def test_html_as_text(markup: str, text: str) -> None:
    assert html_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "end"),
    [
        ("<div>" * 100_000 + "hello", "hello"),
        ("<b>" * 3_000 + "hello</b> you", "hello you"),
        ("<p>x" * 100_000, "x"),
        ("<" * 500_000, "<"),
        ("<p " * 100_000, ""),
        ('<p a="' * 100_000, ""),
        ("<!--" * 100_000, ""),
        ("<script>" * 100_000, ""),
        ("<a " + "=" * 500_000, ""),
        ("&" * 500_000, "&"),
        ("<p " + " ".join(f"a{i}" for i in range(100_000)) + ">hello", "hello"),
        ("<p>" + "x" * 12_000_000, "x"),
        ("<table><tr><td>" * 1_000 + "hello", "hello"),
        ("<ul><li><a href=x>x</a>" * 20_000, "x"),
        ("<ul><li>" * 500 + "<a href=x>x</a><li>" * 20_000, "x"),
        ("<p>" + "<b>q?</b><br>x<br>" * 20_000, "x"),
    ],
    ids=[
        "div",
        "b",
        "p",
        "lone",
        "open",
        "quote",
        "comment",
        "script",
        "equals",
        "entity",
        "names",
        "long",
        "table",
        "lists",
        "items",
        "lines",
    ],
)
def test_hostile_markup_is_parsed_quickly(markup: str, end: str) -> None:
    looks_like_html(markup)
    assert html_text(markup).endswith(end)


def test_a_long_script_without_an_end_of_tag_loses_nothing() -> None:
    assert html_text(f"<p>a</p><script>for(i=0;i<n;i++){'x' * LONGEST_TAG}</script><p>b</p>") == "a\n\nb"


@pytest.mark.parametrize(
    "text",
    ["<p>One", "a<br/>b", "a<br>b", "x</p>", '<a href="x">y</a>', "<DIV class=a>", "<!doctype html>x", "1<hr />2"],
)
def test_html_is_recognized(text: str) -> None:
    assert looks_like_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a < b and c > d",
        "x <b and c> y",
        "&nbsp;",
        "Tom &amp; Ann",
        "<ada@moor.example>",
        "<3",
        "<http://a.example>",
    ],
)
def test_text_that_is_not_html(text: str) -> None:
    assert not looks_like_html(text)


def test_entities() -> None:
    assert unescaped("Kelm&#8217;s &ldquo;end&rdquo; &amp;lt; AT&T &nope; &") == "Kelm’s “end” &lt; AT&T &nope; &"


PIECES = [
    STORY, "x", "&#1;", "&#xD800;", "&#0;", "&amp;", "\0", "\ud800", "<", ">", "<!--", "-->", "<![CDATA[", "\n\n",
    "\u200f", *(f"<{tag}>" for tag in "p div b ul li table tr td h1 br pre article time script template head".split()),
    *(f"</{tag}>" for tag in "p div b ul table tr td h1 article script head".split()),
    "<time datetime=9999-12-31>", '<meta property="og:url" content="http://[">', "<meta name=author content='A B'>",
    '<script type="application/ld+json">', '{"@context":"https://schema.org","@type":["Article",5],"author":{"name":{}}}',
    '[{"@graph":[1,null]}]', "[[[", '<link rel=canonical href="//[">', "<html lang=en", "<p " + "a " * 3_000,
]  # fmt: skip
markup = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200)


@settings(max_examples=150)
@given(markup)
def test_any_markup_is_text(found: str) -> None:
    text = html_text(found)
    text.encode()
    assert clean(text) == text


@settings(max_examples=150)
@given(markup.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=300))
def test_any_bytes_are_an_article_or_an_error(data: bytes) -> None:
    try:
        [found] = from_html(content(data), Options())
    except ReadError:
        return
    assert isinstance(found, (Article, Failure))
    if isinstance(found, Article):
        "".join((found.id, found.title, found.text, found.source, found.url, found.author, str(found.extra))).encode()
        assert all(0 <= start < end <= len(found.text) for start, end in found.captions)


ASIDES = """<nav><p>Find what the council does for you</p></nav>
<p aria-label="breadcrumb"><a href="/">Home</a> / <a href="/b">The bay and its piers</a></p>"""


ROWS = "<tr><td>Ada of Kelm<td>14 from Tolm</tr><tr><td>Bea of Kelm<td>15 from Tolm</tr>"


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(
    ("markup", "marked"),
    [
        (f"<h2>What the pier costs</h2><p>{STORY}</p>", ["What the pier costs"]),
        (f"<p><b>What the pier costs</b></p><p>{STORY}</p>", ["What the pier costs"]),
        (f"<p><strong>And who will pay?</strong></p><p>{STORY}</p>", ["And who will pay?"]),
        (f"<dl><dt>Who will pay?</dt><dd>{STORY}</dd></dl>", ["Who will pay?"]),
        (f"<details><summary>Show who will pay</summary><p>{STORY}</p></details>", ["Show who will pay"]),
        (f'<p>{STORY}</p><p><a href="/b">Read more about the piers of the coast</a></p>', None),
        (f'<p>{STORY}</p><ul><li><a href="/a">Pay for a berth</a><li><a href="/b">Rent a boat</a></ul>', None),
        (f"<table><thead><tr><td>Ship of Kelm<td>No .</thead>{ROWS}</table>", ["Ship of Kelm | No ."]),
        (f"<table><tr><th>Ship of Kelm<th>No .</tr>{ROWS}</table>", ["Ship of Kelm | No ."]),
        (f"{ASIDES}<p>{STORY}</p>", None),
    ],
)
def test_marked_blocks_of_a_page_are_not_quoted(markup: str, marked: list[str] | None, *, long: bool) -> None:
    more = f"<p>{OTHER}</p>" * 8 if long else ""
    found = article(f"<title>Closed | Bay</title><article><h1>Closed</h1><p>{FLASH}</p>{markup}{more}</article>")
    captions = [found.text[start:end] for start, end in found.captions]
    if marked is None:
        # What leads elsewhere may have been left out altogether.
        assert set(found.text.split("\n\n")) - set(captions) <= {FLASH, STORY, OTHER}
    else:
        assert captions == marked


def test_questions_in_json_ld_are_not_quoted() -> None:
    data = '{"@type": "FAQPage", "mainEntity": [{"@type": "Question", "name": "Leaving the bay by ship"}]}'
    head = f'<script type="application/ld+json">{data}</script>'
    found = article(
        f"{head}<main><h1>FAQ</h1><p>{FLASH}</p><p>Leaving the bay by ship</p><p>{STORY}</p>" + f"<p>{OTHER}" * 8
    )
    assert [found.text[start:end] for start, end in found.captions] == ["Leaving the bay by ship"]


def test_a_list_of_a_page_goes_with_its_colon() -> None:
    items = "<ul><li>Your old passport</li><li>58 crowns</li></ul>"
    for more in ("", f"<p>{OTHER}</p>" * 8):
        found = article(
            f"<article><h1>Passports</h1><p>{STORY}</p><p>Bring with you:</p>{items}<p>{FLASH}</p>{more}</article>"
        )
        assert [found.text[start:end] for start, end in found.lists] == ["Your old passport\n\n58 crowns"]
        quoted = [passage.slice(span) for passage in split(found) for span in passage.sentences]
        assert "Bring with you:\n\nYour old passport\n\n58 crowns" in quoted


def test_headings_in_a_json_ld_body_are_not_quoted() -> None:
    body = f"<p>{STORY}</p><h2>What it costs</h2><p>{OTHER}</p>"
    data = f'{{"@type": "NewsArticle", "headline": "The pier", "articleBody": "{body}"}}'
    found = article(f'<head><script type="application/ld+json">{data}</script></head><body><div id=app></div>')
    assert found.text == f"{STORY}\n\nWhat it costs\n\n{OTHER}"
    assert [found.text[start:end] for start, end in found.captions] == ["What it costs"]


def test_a_crash_of_trafilatura_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'tag'")

    monkeypatch.setattr("trafilatura.bare_extraction", fails)
    page = Content("a.html", "/a.html", lambda: io.BytesIO(b"<html><body><p>Text.</p>"), 30)
    with pytest.raises(ReadError, match="on which trafilatura fails"):
        list(from_html(page, Options()))


def test_an_error_of_our_own_code_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.readers.html import page as html_page

    monkeypatch.setattr("trafilatura.bare_extraction", lambda *_, **__: html_page._is_label(None))  # type: ignore[arg-type]
    page = Content("a.html", "/a.html", lambda: io.BytesIO(b"<html><body><p>Text.</p>"), 30)
    with pytest.raises(TypeError):
        list(from_html(page, Options()))


def test_links_without_other_text_are_found_in_one_walk() -> None:
    from ingest.readers.html import page as html_page

    page = html_page._page(
        '<ul><li><a href="/a">One</a><li><a href="/b">Two</a>, three</ul><div> <a>x</a> · <a>y</a></div>'
    )
    linked = sorted((element.tag, "".join(element.itertext())) for element in html_page._link_blocks(page))
    assert linked == [("div", " x · y"), ("li", "One")]


def test_articles_in_articles_do_not_take_longer_with_every_level() -> None:
    end = f"<p>{FLASH} {STORY}</p><table><tr><td>a<td>b</table>"

    def seconds(count: int) -> float:
        nested = '<article><h1>Pier <nav><a href="/">x</a></nav>' * count
        data = f"<title>Pier</title><body>{nested}{end}".encode()
        started = time.process_time()
        assert len(list(from_html(Content("a", "/a", lambda: io.BytesIO(data), len(data)), Options()))) == 1
        return time.process_time() - started

    seconds(10)
    assert min(seconds(200) for _ in range(2)) < 10 * min(seconds(50) for _ in range(3))
