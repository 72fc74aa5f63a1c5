"""Feeds (RSS, Atom, RDF), sitemaps and lists of URLs → the articles they list. Nothing is fetched here.

feedparser parses feeds, lxml sitemaps. Document types are removed first, so that no entity is declared and no other
file opened. A malicious feed can slow feedparser down, so feeds are read in the sandbox.
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
"""Unpacked bytes of a feed or sitemap: the limit of the sitemap protocol."""
MOST_TAGS = 3_000_000
"""Tags and attributes: of a few bytes each, they take hundreds in a tree, so more would be a bomb."""
MOST_ENTRIES = 10_000
MOST_PAGES = 50_000
"""URLs of a sitemap, by its protocol, and of a list."""

_DATES = ("published", "updated", "created")
_TEXTS = ("text/", "application/xhtml+xml")

# Possessive quantifiers, so that no text causes catastrophic backtracking.
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
"""The root tag of a feed, with its namespace where other formats have a <feed> or <RDF> too."""
_SITEMAP = re.compile(r"<(?:[\w.-]+:)?(?:urlset|sitemapindex)[\s/>]", re.IGNORECASE)
_ROOT = re.compile(r"<([A-Za-z_][\w:.-]{0,100})(?=[\s/>])")
_TAG = re.compile(r"<\w")
_DECLARED = re.compile(rb"\s{0,80}<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{1,40})")
_CODE_PAGE = re.compile(r"utf-?8|us-ascii|iso-?8859|latin|windows-|cp-?\d|koi8|gb|big5|euc|shift|iso-2022-jp|mac")
"""Names of text encodings. Python has other codecs, some of which a text can make take hours."""
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_AMPERSAND = re.compile(
    r"(<!\[CDATA\[.*?(?:\]\]>|\Z))|&(?:#(?:(\d{1,9})|[xX]([\da-fA-F]{1,8}));|[^\W\d]\w{0,31};)?", re.DOTALL | re.ASCII
)
_CAPTION = re.compile(r"(</?media:)description\b")
_MARKED_UP = re.compile(r"</?\w[^<>]*>|&#?\w{1,32};")
_BOILERPLATE = re.compile(
    r"(?s:(.*\s|))(?:The post|Der Beitrag|L[’']article|La entrada) (?![a-z])[^\n]{1,300}"
    r" (?:appeared first on|first appeared on|erschien zuerst auf|est apparu en premier sur|"
    r"(?:apareció primero|se publicó primero) en) [^\n]{1,200}"
)
"""What WordPress appends to an entry."""
LONGEST_BOILERPLATE = 600
_MAIL = re.compile(r"[<(]?[^\s<>()@]{1,80}@[^\s<>()@]{1,200}[>)]?")
_NEXT_FEED = re.compile(rb"</(?:rss|feed|rdf:rdf)\s*>\s*(?:<\?xml[^>]*>\s*)?<(?:rss|feed|rdf:rdf)[\s>]", re.IGNORECASE)
_LISTED = re.compile(r"https?://\S+", re.IGNORECASE)


def is_feed(start: bytes) -> bool:
    """Whether these first bytes begin a feed."""
    return bool(_FEED.match(_opening(start)))


def is_sitemap(start: bytes) -> bool:
    """Whether these first bytes, gzipped or not, begin a sitemap or an index of sitemaps."""
    return bool(_SITEMAP.match(_opening(start)))


def root_name(start: bytes) -> str:
    """The root element's name in XML or HTML with these first bytes; empty if there is none."""
    found = _ROOT.match(_opening(start))
    return found[1] if found else ""


def from_feed(content: Content, options: Options) -> Read:
    """A feed as one article per entry, with what the feed itself holds, even if only a title and a link.

    Relative links are resolved against the feed's address (`content.url`), else against the site that it names. An
    entry that occurs twice is one article. Drafts, private and deleted entries of a blog export are left out unless
    the options include drafts; its attachments and menus are not articles.
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
        properties = _properties(entry)
        if is_not_an_article(properties):
            others += 1
            continue
        if is_unpublished(properties) and not options.include_drafts:
            yield Unpublished(url or guid)
            continue
        if (url or guid) and (url, guid or title) in seen:
            continue
        seen.add((url, guid or title))
        own_id = unique_id(url or guid or f"{content.name}#{slug(title) or 'article'}", ids)
        tags = [tag.get("label") or tag.get("term") for tag in _maps(entry, "tags")]
        text = _text(entry)
        text = text if text.text or not url else JoinedText(title)
        article = make_article(content, text, {**fields, "id": own_id}, {"tags": tags})
        # Without a page of its own, an entry has no URL: the feed's is not it.
        where = {"url": url} if isinstance(article, Article) else {"source": f"{content.name}, entry {number}"}
        yield replace(article, **where)
    if len(entries) > MOST_ENTRIES:
        yield Failure(content.name, f"has more than {MOST_ENTRIES:,} entries; the rest was left out: split it")
    if others:
        yield non_article_notice(content.name, others)
    if feeds := len(_NEXT_FEED.findall(data)):
        yield Notice(content.name, f"holds {feeds + 1} feeds; only the first was read: save each as its own file")


def _properties(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry's fields without namespace prefixes (wp:status in WordPress), which any export can name differently."""
    return {key.partition("_")[2] or key: value for key, value in entry.items()}


def sitemap_pages(data: bytes, base: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The URLs of a sitemap, each with its lastmod or "", and the sitemaps it refers to.

    Raises ReadError if there are neither.
    """
    pages: dict[str, str] = {}
    nested: dict[str, None] = {}
    root = _tree(_xml(data))
    for element in islice(() if root is None else root.iterchildren("*"), MOST_PAGES):
        children = element.iterchildren("*", reversed=True)
        values = {_name(child): one_line("".join(islice(child.itertext(), 100))) for child in children}
        address = _address(values.get("loc", ""), base)
        if address and _name(element) == "url":
            pages.setdefault(address, values.get("lastmod", "")[:LONGEST_URL])
        elif address and _name(element) == "sitemap":
            nested[address] = None
    if not pages and not nested:
        raise ReadError("is a sitemap without any URL; give another sitemap's URL, or a page's")
    return list(pages.items()), list(nested)


def listed_urls(text: str) -> list[str]:
    """The URLs of a text that consists of URLs, one a line, and of comments (#); none for any other text."""
    lines = [line for line in map(str.strip, text.lstrip("\ufeff").splitlines()) if line and not line.startswith("#")]
    if not all(map(_LISTED.fullmatch, lines)):
        return []
    return list(islice(dict.fromkeys(filter(None, (_address(line, "") for line in lines))), MOST_PAGES))


def _parsed(data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The feed's own fields and those of each entry, by feedparser. Raises ReadError."""
    import feedparser

    text = _CAPTION.sub(r"\1caption", _xml(data))
    file, headers = BytesIO(text.encode("utf-8", "replace")), {"content-type": "application/xml; charset=utf-8"}
    try:
        result = feedparser.parse(file, response_headers=headers, resolve_relative_uris=False, sanitize_html=False)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        # feedparser crashes on unopened tags, malformed numbers, and tags named like its own attributes.
        problem = one_line(f"{type(error).__name__}: {error}")[:120]
        raise ReadError(f"is a feed that cannot be parsed ({problem}); give a page's URL") from error
    if not result["entries"]:
        raise ReadError("is a feed without entries; give another feed's URL, or a page's")
    feed = dict(result["feed"])
    if not str(result["version"]).startswith("atom"):
        # feedparser takes the editor of an RSS feed for its author.
        feed.update(author="", authors=[])
    # Plain dicts: feedparser's own alias some keys, with warnings.
    return feed, [dict(entry) for entry in result["entries"]]


def _fields(entry: Mapping[str, Any], feed: Mapping[str, Any], base: str) -> dict[str, Any]:
    title, source, guid = entry.get("title_detail"), entry.get("source"), one_line(entry.get("id"))
    link = one_line(entry.get("feedburner_origlink")) or one_line(entry.get("link"))
    # A guid that stands in for a link is not a relative path.
    is_guid = link == guid and entry.get("guidislink")
    return {
        "id": guid,
        "title": one_line(_rendered(title).text),
        # From the text: feedparser converts to UTC, which shifts days, and reads "2024-10" as a day.
        "date": next(filter(None, map(parse_date, map(entry.get, _DATES))), None),
        "author": _authors(entry) or _authors(feed),
        "source": one_line(_get(source, "title")) or one_line(_rendered(feed.get("title_detail")).text),
        "language": one_line(entry.get("language")) or one_line(_get(title, "language")) or feed.get("language"),
        "url": _address(link, "" if is_guid else base),
    }


def _authors(fields: Mapping[str, Any]) -> str:
    """The authors' names without e-mail addresses."""
    # The last author from the raw field: feedparser's name for it can include part of a long mail domain.
    authors = [*(author.get("name") for author in _maps(fields, "authors")[:-1]), fields.get("author")]
    names = (_MAIL.sub("", one_line(author)).strip() for author in authors)
    return ", ".join(dict.fromkeys(re.sub(r"^\((.*)\)$", r"\1", name) for name in names if name))


def _text(entry: Mapping[str, Any]) -> JoinedText:
    """The longest text of an entry, else the caption of its picture or video."""
    texts = map(_rendered, (*_maps(entry, "content"), entry.get("summary_detail")))
    text = _without_boilerplate(max(texts, key=lambda candidate: len(candidate.text)))
    return text if text.text else _rendered({"value": entry.get("media_caption")})


def _without_boilerplate(text: JoinedText) -> JoinedText:
    """A text without WordPress's last sentence on where it appeared first."""
    end = text.text[-LONGEST_BOILERPLATE:]
    boilerplate = _BOILERPLATE.fullmatch(end)
    return text.up_to((text.text.removesuffix(end) + boilerplate[1]).rstrip()) if boilerplate else text


def _rendered(detail: object) -> JoinedText:
    """A feedparser detail as text: HTML if it is declared so and contains any, else plain."""
    value, kind = _get(detail, "value"), str(_get(detail, "type") or "text/html")
    if not isinstance(value, str) or not kind.startswith(_TEXTS):
        return JoinedText("")
    return (
        JoinedText(clean(value))
        if kind == "text/plain" or not _MARKED_UP.search(value)
        else join_blocks(html_blocks(value))
    )


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _maps(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """One of feedparser's lists; empty where a tag of the same name has replaced it."""
    values = fields.get(name)
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _address(text: str, base: str) -> str:
    """A link as an absolute http(s) URL; empty for any other."""
    try:
        address = urljoin(base, text.strip()) if text.strip() else ""
        parts = urlsplit(address)
    except ValueError:
        return ""
    address = address.replace(" ", "%20")
    fits = len(address) <= LONGEST_URL and address.isprintable()
    return address if fits and parts.scheme in ("http", "https") and parts.netloc else ""


def _tree(text: str) -> _Element | None:
    """The root element of XML, as far as it can be parsed."""
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
    """XML from its first tag on. Raises ReadError for bytes that are no text, or too many."""
    data = _unpacked(data, LARGEST + 1)
    text = _NOT_XML.sub("", _decoded(data))
    if len(data) > LARGEST or text.count("<") + text.count("=") > MOST_TAGS:
        raise ReadError(f"has more than {LARGEST:,} bytes or {MOST_TAGS:,} tags; split it")
    text = _without_prolog(text)
    root = _TAG.search(text)
    return _AMPERSAND.sub(_reference, text[root.start() :]) if root else ""


def _reference(match: re.Match[str]) -> str:
    """A valid XML ampersand or character reference for any that is found.

    Some programs write an emoji as references to its two surrogates, which would end the parsing.
    """
    code = int(match[2] or match[3] or "0", 10 if match[2] else 16)
    if 0xD7FF < code < 0xE000 or code > 0x10FFFF:
        return ""
    return "&amp;" if match[0] == "&" else match[0]


def _unpacked(data: bytes, most: int) -> bytes:
    """At most so many bytes of data, unpacked if it is gzipped, as far as it can be."""
    if not data.startswith(GZIP_START):
        return data[:most]
    unpacked = bytearray()
    with suppress(ReadError):
        for piece in gunzip([data]):
            unpacked += piece
            if len(unpacked) >= most:
                break
    return bytes(unpacked[:most])


def _decoded(data: bytes) -> str:
    """The text of XML, in its declared encoding, else a guessed one. Raises ReadError for bytes that are no text."""
    declared = _DECLARED.match(data)
    name = declared[1].decode("latin-1").lower() if declared else ""
    if _CODE_PAGE.match(name):
        with suppress(LookupError, UnicodeDecodeError):
            return data.decode(name)
    return decode(data)


def _opening(start: bytes) -> str:
    """The start of XML after its prolog, from a file's first bytes."""
    start = _unpacked(start, SAMPLE)
    # Latin-1, since the names of the root tags are ASCII.
    text = decode(start) if is_wide(start) else start.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    return _without_prolog(text)


def _without_prolog(text: str) -> str:
    prolog = _PROLOG.match(text)
    return text[prolog.end() :] if prolog else text
