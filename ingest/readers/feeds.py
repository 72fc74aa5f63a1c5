"""Feeds (RSS, Atom, RDF), sitemaps and lists of addresses → which articles there are. Nothing is fetched here.

feedparser reads feeds, lxml sitemaps, and neither sees a document type: no entity can be declared, no other file is
opened. What is written to be slow takes feedparser long, so a feed is to be read where it can be stopped.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ingest.articles.fields import make_article
from ingest.articles.unpublished import is_not_an_article, is_unpublished, non_article_notice
from ingest.content.archives import GZIP_START, gunzip
from ingest.content.blocks import JoinedText, join_blocks
from ingest.content.encoding import SAMPLE, decode, is_wide
from ingest.content.types import Content, Options, Read, Unpublished, read_bytes
from ingest.content.values import LONGEST_URL, clean, one_line, parse_date, slug, unique_id
from ingest.readers.html.text import html_blocks
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice

if TYPE_CHECKING:
    from lxml.etree import _Element


LARGEST = 50_000_000
"""Bytes, unpacked, of a feed or a sitemap: the limit that the protocol of sitemaps sets itself."""
MOST_TAGS = 3_000_000
"""Tags and attributes: more would be a bomb, of a few bytes each that a tree makes hundreds of."""
MOST_ENTRIES = 10_000
MOST_PAGES = 50_000
"""Addresses of a sitemap, by its protocol, and of a list."""

_DATES = ("published", "updated", "created")
_TEXTS = ("text/", "application/xhtml+xml")

# Possessive, so that no text can make it try again and again.
_PROLOG = re.compile(
    r"""(?: [\s\ufeff]++
    | <\?.*?(?:\?>|\Z)
    | <!--.*?(?:-->|\Z)
    | <!DOCTYPE (?: [^\[>"'] | "[^"]*+" | '[^']*+' )*+
        (?: \[ (?: <!--.*?(?:-->|\Z) | [^\]"'] | "[^"]*+" | '[^']*+' )*+ \] \s*+ )?+ >
    )*+""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_FEED = re.compile(
    r"<(?:[\w.-]+:)?(?:rss[\s/>]|feed\s[^<>]*/atom|rdf\s[^<>]*(?:purl\.org/rss/|netscape\.com/rdf))", re.IGNORECASE
)
"""What the outermost tag of a feed says, besides its name: other things are written as <feed> and <RDF> too."""
_SITEMAP = re.compile(r"<(?:[\w.-]+:)?(?:urlset|sitemapindex)[\s/>]", re.IGNORECASE)
_ROOT = re.compile(r"<([A-Za-z_][\w:.-]{0,100})(?=[\s/>])")
_TAG = re.compile(r"<\w")
_DECLARED = re.compile(rb"\s{0,80}<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{1,40})")
_CODE_PAGE = re.compile(r"utf-?8|us-ascii|iso-?8859|latin|windows-|cp-?\d|koi8|gb|big5|euc|shift|iso-2022-jp|mac")
"""How encodings of text are called. Python has others, among them some that a text can be made to take hours for."""
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_AMPERSAND = re.compile(
    r"(<!\[CDATA\[.*?(?:\]\]>|\Z))|&(?:#(?:(\d{1,9})|[xX]([\da-fA-F]{1,8}));|[^\W\d]\w{0,31};)?", re.DOTALL | re.ASCII
)
_CAPTION = re.compile(r"(</?media:)description\b")
_MARKED_UP = re.compile(r"</?\w[^<>]*>|&#?\w{1,32};")
_APPENDED = re.compile(
    r"(?s:(.*\s|))(?:The post|Der Beitrag|L[’']article|La entrada) (?![a-z])[^\n]{1,300}"
    r" (?:appeared first on|first appeared on|erschien zuerst auf|est apparu en premier sur|"
    r"(?:apareció primero|se publicó primero) en) [^\n]{1,200}"
)
"""What WordPress puts at the end of an entry."""
LONGEST_APPENDED = 600
_MAIL = re.compile(r"[<(]?[^\s<>()@]{1,80}@[^\s<>()@]{1,200}[>)]?")
_NEXT_FEED = re.compile(rb"</(?:rss|feed|rdf:rdf)\s*>\s*(?:<\?xml[^>]*>\s*)?<(?:rss|feed|rdf:rdf)[\s>]", re.IGNORECASE)
_LISTED = re.compile(r"https?://\S+", re.IGNORECASE)


def is_feed(start: bytes) -> bool:
    """Do these first bytes open a feed?"""
    return bool(_FEED.match(_opening(start)))


def is_sitemap(start: bytes) -> bool:
    """Do these first bytes open a sitemap, or an index of sitemaps, packed or not?"""
    return bool(_SITEMAP.match(_opening(start)))


def root_name(start: bytes) -> str:
    """The name of the outermost element of XML or HTML that these first bytes open; empty if they open none."""
    found = _ROOT.match(_opening(start))
    return found[1] if found else ""


def from_feed(content: Content, options: Options) -> Read:
    """A feed: an article an entry, of what the feed itself has of it, were it no more than a title and a link.

    A relative link is one of the feed's own address (`content.url`) or, where that is unknown, of the site that it
    names. An entry that comes twice is one article. What an export of a blog marks as a draft, private or deleted is
    left out unless the options include drafts; its attachments and menus are no articles.
    """
    data = read_bytes(content, options)
    feed, entries = _parsed(data)
    base = content.url or one_line(feed.get("link"))
    ids: set[str] = set()
    seen: set[tuple[str, str]] = set()
    others = 0
    for number, entry in enumerate(entries[:MOST_ENTRIES], start=1):
        fields = _fields(entry, feed, base)
        url, guid, title = fields["url"], fields["id"], fields["title"]
        marks = _marks(entry)
        if is_not_an_article(marks):
            others += 1
            continue
        if is_unpublished(marks) and not options.include_drafts:
            yield Unpublished(url or guid)
            continue
        if (url or guid) and (url, guid or title) in seen:
            continue
        seen.add((url, guid or title))
        own_id = unique_id(url or guid or f"{content.name}#{slug(title) or 'article'}", ids)
        tags = [tag.get("label") or tag.get("term") for tag in _maps(entry, "tags")]
        text = _text(entry)
        text = text if text.text or not url else JoinedText(title)
        read = make_article(content, text, {**fields, "id": own_id}, {"tags": tags})
        # An entry without a page of its own is not found at the feed's address.
        where = {"url": url} if isinstance(read, Article) else {"source": f"{content.name}, entry {number}"}
        yield replace(read, **where)
    if len(entries) > MOST_ENTRIES:
        yield Failure(content.name, f"has more than {MOST_ENTRIES:,} entries, of which the rest was left out; split it")
    if others:
        yield non_article_notice(content.name, others)
    if feeds := len(_NEXT_FEED.findall(data)):
        yield Notice(
            content.name, f"holds {feeds + 1} feeds, of which only the first was read; save each as its own file"
        )


def _marks(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry's fields by their names without the prefix, such as WordPress's wp:status, which any prefix can name."""
    return {key.partition("_")[2] or key: value for key, value in entry.items()}


def sitemap_pages(data: bytes, base: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The pages of a sitemap, each with what it says of its last change, or empty; and the sitemaps it refers to.

    Raises ReadError if there are neither.
    """
    pages: dict[str, str] = {}
    nested: dict[str, None] = {}
    root = _tree(_xml(data))
    for element in islice(() if root is None else root.iterchildren("*"), MOST_PAGES):
        children = element.iterchildren("*", reversed=True)
        said = {_name(child): one_line("".join(islice(child.itertext(), 100))) for child in children}
        address = _address(said.get("loc", ""), base)
        if address and _name(element) == "url":
            pages.setdefault(address, said.get("lastmod", "")[:LONGEST_URL])
        elif address and _name(element) == "sitemap":
            nested[address] = None
    if not pages and not nested:
        raise ReadError("is a sitemap without any address; give the address of another, or of a page")
    return list(pages.items()), list(nested)


def listed_urls(text: str) -> list[str]:
    """The addresses of a text that is nothing but addresses, one a line, and lines that start with #; else none."""
    lines = [line for line in map(str.strip, text.lstrip("\ufeff").splitlines()) if line and not line.startswith("#")]
    if not all(map(_LISTED.fullmatch, lines)):
        return []
    return list(islice(dict.fromkeys(filter(None, (_address(line, "") for line in lines))), MOST_PAGES))


def _parsed(data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What feedparser finds in a feed: of the feed itself, and of each entry. Raises ReadError."""
    import feedparser

    text = _CAPTION.sub(r"\1caption", _xml(data))
    file, headers = BytesIO(text.encode("utf-8", "replace")), {"content-type": "application/xml; charset=utf-8"}
    try:
        found = feedparser.parse(file, response_headers=headers, resolve_relative_uris=False, sanitize_html=False)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        # It takes for granted that a tag was opened, that a number is one, that a name of its own is not a tag's.
        problem = one_line(f"{type(error).__name__}: {error}")[:120]
        raise ReadError(f"is no feed that can be read ({problem}); give the address of a page") from error
    if not found["entries"]:
        raise ReadError("holds no entry of a feed; give the address of one, or of a page")
    feed = dict(found["feed"])
    if not str(found["version"]).startswith("atom"):
        # Its editor, whom feedparser takes for the author.
        feed.update(author="", authors=[])
    # Plain ones: feedparser's own take one name for another, and warn of it.
    return feed, [dict(entry) for entry in found["entries"]]


def _fields(entry: Mapping[str, Any], feed: Mapping[str, Any], base: str) -> dict[str, Any]:
    title, source, guid = entry.get("title_detail"), entry.get("source"), one_line(entry.get("id"))
    link = one_line(entry.get("feedburner_origlink")) or one_line(entry.get("link"))
    # A name that stands in for a link is no path.
    named = link == guid and entry.get("guidislink")
    return {
        "id": guid,
        "title": one_line(_shown(title)),
        # As they are written: feedparser's own days are those of Greenwich, and "2024-10" is one.
        "date": next(filter(None, map(parse_date, map(entry.get, _DATES))), None),
        "author": _authors(entry) or _authors(feed),
        "source": one_line(_of(source, "title")) or one_line(_shown(feed.get("title_detail"))),
        "language": one_line(entry.get("language")) or one_line(_of(title, "language")) or feed.get("language"),
        "url": _address(link, "" if named else base),
    }


def _authors(said: Mapping[str, Any]) -> str:
    """Names, without the mail addresses that stand with them."""
    # What was said of the last one is kept; feedparser's name has the end of a long domain in it.
    authors = [*(author.get("name") for author in _maps(said, "authors")[:-1]), said.get("author")]
    names = (_MAIL.sub("", one_line(author)).strip() for author in authors)
    return ", ".join(dict.fromkeys(re.sub(r"^\((.*)\)$", r"\1", name) for name in names if name))


def _text(entry: Mapping[str, Any]) -> JoinedText:
    """The longest text that an entry has; what it says of a picture or a video if it has no other."""
    shown = map(_joined, (*_maps(entry, "content"), entry.get("summary_detail")))
    text = _own(max(shown, key=lambda said: len(said.text)))
    return text if text.text else _joined({"value": entry.get("media_caption")})


def _own(said: JoinedText) -> JoinedText:
    """A text without the words that say where it appeared first: nobody wrote those, and they answer nothing."""
    end = said.text[-LONGEST_APPENDED:]
    appended = _APPENDED.fullmatch(end)
    return said.up_to((said.text.removesuffix(end) + appended[1]).rstrip()) if appended else said


def _shown(detail: object) -> str:
    """The text that a value shows."""
    return _joined(detail).text


def _joined(detail: object) -> JoinedText:
    """What a value shows: it is HTML if it says so and has any, or else plain."""
    value, kind = _of(detail, "value"), str(_of(detail, "type") or "text/html")
    if not isinstance(value, str) or not kind.startswith(_TEXTS):
        return JoinedText("")
    if kind == "text/plain" or not _MARKED_UP.search(value):
        return JoinedText(clean(value))
    return join_blocks(html_blocks(value))


def _of(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _maps(said: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A list of feedparser's; empty where a feed has a tag of that name, which it then finds instead."""
    found = said.get(name)
    return [value for value in found if isinstance(value, Mapping)] if isinstance(found, list) else []


def _address(text: str, base: str) -> str:
    """A link as an absolute address of the web; empty for any other."""
    try:
        address = urljoin(base, text.strip()) if text.strip() else ""
        parts = urlsplit(address)
    except ValueError:
        return ""
    address = address.replace(" ", "%20")
    fits = len(address) <= LONGEST_URL and address.isprintable()
    return address if fits and parts.scheme in ("http", "https") and parts.netloc else ""


def _tree(text: str) -> _Element | None:
    """The root element of XML, as far as it can be read."""
    from lxml import etree

    parser = etree.XMLParser(
        recover=True, resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None


def _name(element: _Element) -> str:
    """An element's local name in lower case."""
    return re.split("[}:]", element.tag)[-1].lower()


def _xml(data: bytes) -> str:
    """XML from its first tag on. Raises ReadError for what is no text, or far too much of it."""
    data = _unpacked(data, LARGEST + 1)
    text = _NO_XML.sub("", _decoded(data))
    if len(data) > LARGEST or text.count("<") + text.count("=") > MOST_TAGS:
        raise ReadError(f"has more than {LARGEST:,} bytes or {MOST_TAGS:,} tags; split it")
    text = _without_prolog(text)
    root = _TAG.search(text)
    return _AMPERSAND.sub(_referred, text[root.start() :]) if root else ""


def _referred(found: re.Match[str]) -> str:
    """An ampersand as XML has it, whether it stands for itself or refers to a character.

    Some write an emoji as references to its halves, which are no characters and would end the reading of all.
    """
    code = int(found[2] or found[3] or "0", 10 if found[2] else 16)
    if 0xD7FF < code < 0xE000 or code > 0x10FFFF:
        return ""
    return "&amp;" if found[0] == "&" else found[0]


def _unpacked(data: bytes, most: int) -> bytes:
    """At most so many bytes of data; of what gzip packed, as many as can be unpacked."""
    if not data.startswith(GZIP_START):
        return data[:most]
    found = bytearray()
    with suppress(ReadError):
        for piece in gunzip([data]):
            found += piece
            if len(found) >= most:
                break
    return bytes(found[:most])


def _decoded(data: bytes) -> str:
    """The text of XML, in the encoding that it declares. Raises ReadError for what is no text."""
    declared = _DECLARED.match(data)
    name = declared[1].decode("latin-1").lower() if declared else ""
    if _CODE_PAGE.match(name):
        with suppress(LookupError, UnicodeDecodeError):
            return data.decode(name)
    return decode(data)


def _opening(start: bytes) -> str:
    """What follows the prolog of XML, of which these are the first bytes."""
    start = _unpacked(start, SAMPLE)
    # All that counts is ASCII.
    text = decode(start) if is_wide(start) else start.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    return _without_prolog(text)


def _without_prolog(text: str) -> str:
    prolog = _PROLOG.match(text)
    return text[prolog.end() :] if prolog else text
