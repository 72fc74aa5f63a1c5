"""A web page's metadata: title, author, date, site, language, canonical URL."""

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
"""Dates before are no dates of publication but some program's zero."""
_ADDRESS = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
NOT_PLAIN = re.compile(r"[\W_]+")
_STORY_TYPE = re.compile(r"article|posting|report|review|story", re.IGNORECASE)
_CHANGED = re.compile(r"modif|updat|comment|relat|teaser", re.IGNORECASE)
_DATE_METAS = (
    "articlepublishedtime ogarticlepublishedtime articlepublished datepublished parselypubdate sailthrudate "
    "citationpublicationdate citationonlinedate citationdate dcdateissued dctermsissued dcdate dctermsdate "
    "dctermscreated dcdatecreated originalpublicationdate publicationdate publisheddate publishdate publishtime "
    "pubdate date datecreated"
).split()


def tried(extract: Callable[[], Any]) -> Any:
    """What trafilatura makes of a page. Raises ReadError where it fails on one; an error of our own is not caught."""
    from lxml import etree

    odd = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
    try:
        return extract()
    except (*odd, etree.LxmlError) as error:
        if raised_in_package(error):
            raise
        problem = one_line(f"{type(error).__name__}: {error}")[:120]
        raise ReadError(f"is a page on which trafilatura fails ({problem}); save its text instead") from error


def silence_trafilatura() -> None:
    """What these libraries have to say of a page goes to a log that nobody reads, or else to the terminal."""
    for name in ("trafilatura", "htmldate", "courlan"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def metadata_of(page: Any, stated: list[Mapping[str, Any]], content: Content) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a page states of its article, by the names of Article's fields, and what else it states."""
    from trafilatura.metadata import Document, extract_metadata

    # It guesses a date if none is stated; given no format for one, it does not.
    found = Document()
    with suppress(ReadError):
        found = tried(lambda: extract_metadata(page, date_config={"outputformat": ""})) or found
    metas = _metas(page)
    url = _canonical(page, metas)
    site = one_line(found.sitename)
    host = url.split("//", 1)[-1].split("/", 1)[0].lower().removeprefix("www.")
    if not site or site.lower() in one_line(found.url).lower():
        # No name, but a part of its address: a feed's name for it says more.
        site = "" if content.url or content.metadata.get("source") else host
    fields = {
        "title": _title(page, one_line(found.title), site),
        "author": one_line(found.author).replace(";", ","),
        "date": _published(page, stated, metas),
        "source": site,
        "url": url,
        "language": _language(page, metas, stated),
    }
    return fields, {"description": found.description, "categories": found.categories, "tags": found.tags}


def _title(page: Any, title: str, site: str) -> str:
    """The title without the site's name."""
    headings = [one_line(" ".join(heading.itertext())) for heading in page.iter("h1")]
    for shorter in (*headings, title.removesuffix(site).rstrip(" |–—·•»:-")):
        rest = title.removeprefix(shorter)
        if len(shorter) > 1 and rest != title and re.match(r" [|–—·•»:-] ", rest):
            return shorter
    return title


def _metas(page: Any) -> dict[str, str]:
    """The page's meta elements: the first content of each name, in lower case without signs."""
    found: dict[str, str] = {}
    for meta in page.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv") or ""
        if value := one_line(meta.get("content") or ""):
            found.setdefault(NOT_PLAIN.sub("", name).lower(), value)
    return found


def _canonical(page: Any, metas: Mapping[str, str]) -> str:
    links = (link.get("href") for link in page.iter("link") if "canonical" in (link.get("rel") or "").lower().split())
    return next((url for url in map(one_line, (*links, metas.get("ogurl"))) if _ADDRESS.fullmatch(url)), "")


def _language(page: Any, metas: Mapping[str, str], stated: Iterable[Mapping[str, Any]]) -> str:
    told = (node.get("inLanguage") for node in stated if isinstance(node.get("inLanguage"), str))
    marked = (element.get("lang") or element.get("xml:lang") for element in page.iter("html", "body"))
    candidates = (*marked, metas.get("contentlanguage"), metas.get("oglocale"), *told)
    return next((one_line(value) for value in candidates if value), "")


def json_ld(page: Any) -> list[Mapping[str, Any]]:
    """The things that a page describes in its data (https://schema.org), stories first."""
    found: list[Mapping[str, Any]] = []
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
                found.append(node)
                waiting.extend(node[key] for key in ("mainEntity", "@graph") if key in node)
    return sorted(found, key=lambda node: not _STORY_TYPE.search(str(node.get("@type"))))


def _published(page: Any, stated: Iterable[Mapping[str, Any]], metas: Mapping[str, str]) -> date | None:
    """The day of publication that a page states; not one that lies ahead."""
    values = [*(node.get("datePublished") for node in stated), *(metas.get(name) for name in _DATE_METAS)]
    days = map(parse_date, (*values, *_times(page)))
    latest = date.today() + timedelta(days=1)
    return next((day for day in days if day and day.year >= FIRST_YEAR and day <= latest), None)


def _times(page: Any) -> Iterator[str]:
    """Times that the page's markup says are the article's: named so, first in it, or the page's only one."""
    times = list(page.iter("time"))
    named = [element for element in page.xpath("//*[@itemprop]") if "datepublished" in element.get("itemprop").lower()]
    named += [time for time in times if time.get("pubdate") is not None]
    stories = [*page.iter("article"), *page.iter("main")]
    inside = [time for story in stories[:1] for time in story.iter("time") if not _is_aside(time)]
    only = times if len({_time(time) for time in times}) == 1 and not _is_aside(times[0]) else []
    for element in (*named, *inside, *only):
        yield _time(element)


def _is_aside(time: Any) -> bool:
    """Does it belong to something else on the page, or say when the article was changed?"""
    around = [time, *time.iterancestors()]
    if any(element.tag in ("aside", "footer", "nav") for element in around):
        return True
    marks = [f"{element.get('class') or ''} {element.get('id') or ''}" for element in around[:4]]
    return "publi" not in marks[0].lower() and any(map(_CHANGED.search, marks))


def _time(element: Any) -> str:
    return one_line(element.get("datetime") or element.get("content") or " ".join(element.itertext()))
