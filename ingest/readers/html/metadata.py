"""A web page's metadata: title, author, date, site, language, canonical URL.

Only what the page states is used, never a guess from its text.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from ingest.content.types import Content, raised_in_package
from ingest.content.values import one_line, parse_date
from rag.errors import ReadError

FIRST_YEAR = 1500
"""Earlier dates are a program's zero, not dates of publication."""
_ADDRESS = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_NOT_LETTERS = re.compile(r"[\W_]+")
_ARTICLE_TYPE = re.compile(r"article|posting|report|review|story", re.IGNORECASE)
_NOT_PUBLICATION = re.compile(r"modif|updat|comment|relat|teaser", re.IGNORECASE)
_DATE_METAS = (
    "articlepublishedtime ogarticlepublishedtime articlepublished datepublished parselypubdate sailthrudate "
    "citationpublicationdate citationonlinedate citationdate dcdateissued dctermsissued dcdate dctermsdate "
    "dctermscreated dcdatecreated originalpublicationdate publicationdate publisheddate publishdate publishtime "
    "pubdate date datecreated"
).split()


def call_trafilatura(extract: Callable[[], Any]) -> Any:
    """Runs a function of trafilatura, silently. Raises ReadError where it crashes on a page.

    Errors raised by this package's own code pass through.
    """
    from lxml import etree

    for name in ("trafilatura", "htmldate", "courlan"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    odd = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
    try:
        return extract()
    except (*odd, etree.LxmlError) as error:
        if raised_in_package(error):
            raise
        problem = one_line(f"{type(error).__name__}: {error}")[:120]
        raise ReadError(f"is a page on which trafilatura fails ({problem}); save its text as .txt") from error


def metadata_of(page: Any, stated: list[Mapping[str, Any]], content: Content) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata a page states: by the names of Article's fields, and the rest. `stated` is its JSON-LD."""
    from trafilatura.metadata import Document, extract_metadata

    # Without an output format it does not guess a date where none is stated.
    document = Document()
    with suppress(ReadError):
        document = call_trafilatura(lambda: extract_metadata(page, date_config={"outputformat": ""})) or document
    metas = _metas(page)
    url = _canonical(page, metas)
    site = one_line(document.sitename)
    host = url.split("//", 1)[-1].split("/", 1)[0].lower().removeprefix("www.")
    if not site or site.lower() in one_line(document.url).lower():
        # A part of the address is no name: the feed's name of the site is better.
        site = "" if content.url or content.metadata.get("source") else host
    fields = {
        "title": _title(page, one_line(document.title), site),
        "author": one_line(document.author).replace(";", ","),
        "date": _published(page, stated, metas),
        "source": site,
        "url": url,
        "language": _language(page, metas, stated),
    }
    return fields, {"description": document.description, "categories": document.categories, "tags": document.tags}


def _title(page: Any, title: str, site: str) -> str:
    """The title without the site's name."""
    headings = [one_line(" ".join(heading.itertext())) for heading in page.iter("h1")]
    for shorter in (*headings, title.removesuffix(site).rstrip(" |–—·•»:-")):
        rest = title.removeprefix(shorter)
        if len(shorter) > 1 and rest != title and re.match(r" [|–—·•»:-] ", rest):
            return shorter
    return title


def _metas(page: Any) -> dict[str, str]:
    """The first content of each meta element, by its name in lower case without punctuation."""
    contents: dict[str, str] = {}
    for meta in page.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv") or ""
        if value := one_line(meta.get("content") or ""):
            contents.setdefault(_NOT_LETTERS.sub("", name).lower(), value)
    return contents


def _canonical(page: Any, metas: Mapping[str, str]) -> str:
    links = (link.get("href") for link in page.iter("link") if "canonical" in (link.get("rel") or "").lower().split())
    return next((url for url in map(one_line, (*links, metas.get("ogurl"))) if _ADDRESS.fullmatch(url)), "")


def _language(page: Any, metas: Mapping[str, str], stated: Iterable[Mapping[str, Any]]) -> str:
    in_data = (node.get("inLanguage") for node in stated if isinstance(node.get("inLanguage"), str))
    in_markup = (element.get("lang") or element.get("xml:lang") for element in page.iter("html", "body"))
    candidates = (*in_markup, metas.get("contentlanguage"), metas.get("oglocale"), *in_data)
    return next((one_line(value) for value in candidates if value), "")


def json_ld(page: Any) -> list[Mapping[str, Any]]:
    """The nodes of a page's JSON-LD (https://schema.org), articles first."""
    nodes: list[Mapping[str, Any]] = []
    for script in page.iter("script"):
        try:
            waiting = [json.loads(script.text or "", strict=False)]
        except (ValueError, RecursionError):
            continue
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting.extend(reversed(node))
            elif isinstance(node, Mapping):
                nodes.append(node)
                waiting.extend(node[key] for key in ("mainEntity", "@graph") if key in node)
    return sorted(nodes, key=lambda node: not _ARTICLE_TYPE.search(str(node.get("@type"))))


def _published(page: Any, stated: Iterable[Mapping[str, Any]], metas: Mapping[str, str]) -> date | None:
    """The stated date of publication, unless it lies in the future.

    Not by htmldate: of 23 cases where a page states a date or none, it gets 11 wrong, mostly by guessing.
    """
    values = [*(node.get("datePublished") for node in stated), *(metas.get(name) for name in _DATE_METAS)]
    days = map(parse_date, (*values, *_times(page)))
    latest = date.today() + timedelta(days=1)
    return next((day for day in days if day and day.year >= FIRST_YEAR and day <= latest), None)


def _times(page: Any) -> Iterator[str]:
    """The times that markup gives as the article's: named datePublished, inside the article, or the page's only one."""
    times = list(page.iter("time"))
    named = [element for element in page.xpath("//*[@itemprop]") if "datepublished" in element.get("itemprop").lower()]
    named += [time for time in times if time.get("pubdate") is not None]
    articles = [*page.iter("article"), *page.iter("main")]
    inside = [time for article in articles[:1] for time in article.iter("time") if not _is_aside(time)]
    only = times if len({_time(time) for time in times}) == 1 and not _is_aside(times[0]) else []
    for element in (*named, *inside, *only):
        yield _time(element)


def _is_aside(time: Any) -> bool:
    """Whether a time belongs to something beside the article, or says when the article was changed."""
    around = [time, *time.iterancestors()]
    if any(element.tag in ("aside", "footer", "nav") for element in around):
        return True
    names = [f"{element.get('class') or ''} {element.get('id') or ''}" for element in around[:4]]
    return "publi" not in names[0].lower() and any(map(_NOT_PUBLICATION.search, names))


def _time(element: Any) -> str:
    return one_line(element.get("datetime") or element.get("content") or " ".join(element.itertext()))
