"""Metadata of a source → a typed, bounded Article, under any field names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from math import isnan
from types import MappingProxyType
from typing import Any

from ingest.content.blocks import JoinedText
from ingest.content.types import Content
from ingest.content.values import LONGEST_ID, LONGEST_URL, language_code, one_line, parse_date
from rag.schema import Article, Failure, Span

LONGEST_ARTICLE = 2_000_000
"""Characters, some three novels; a longer text is a dump whose articles could not be separated."""
LONGEST_TITLE = 500
LONGEST_EXTRA, MOST_EXTRA = 500, 30
"""Characters kept of an unknown field, and the number of such fields."""
LONGEST_NAME = 64
"""Characters of a field's name; a longer key is not a name."""
MOST_ITEMS = 100
"""Items of a list that are joined into one line."""
LONGEST_LINE = 2_000
"""Characters kept of a field that is one line."""

NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "guid", "uuid", "articleid", "newsid", "docid", "documentid", "storyid", "postid", "messageid", "uri"),
    "title": ("title", "headline", "webtitle", "articletitle", "newstitle", "posttitle", "name", "subject", "heading"),
    "text": ("text", "body", "content", "articlebody", "maintext", "fulltext", "bodytext", "articletext",
             "articlecontent", "newstext", "newscontent", "storytext", "posttext", "postcontent", "article",
             "contenttext", "plaintext", "contenthtml", "bodyhtml", "html", "story"),
    "date": ("date", "published", "publishedat", "publishedon", "publisheddate", "publishedtime", "pubdate",
             "datepublished", "datepublish", "publicationdate", "publishdate", "publishtime", "publicationtime",
             "webpublicationdate", "firstpublicationdate", "firstpublished", "articledate", "newsdate", "postdate",
             "releasedate", "displaydate", "seendate", "datetime", "firstcreated", "created", "createdat",
             "datecreated", "timestamp", "updated", "updatedat", "datemodified", "modified"),
    "author": ("author", "authors", "byline", "bylines", "authorname", "authornames", "creator", "creators",
               "dccreator", "writer", "reporter", "journalist", "by"),
    "source": ("source", "outlet", "publisher", "publication", "publicationname", "site", "sitename", "newspaper",
               "newsoutlet", "sourcename", "domain", "sourcedomain", "provider"),
    "url": ("url", "link", "permalink", "canonicalurl", "weburl", "articleurl", "href", "sourceurl"),
    "language": ("language", "lang", "locale", "inlanguage", "languagecode"),
}  # fmt: skip
"""The names that exports give to each field, in lower case without spaces and punctuation; the first one found wins."""

_PUNCTUATION = re.compile(r"[\W_]+")
_FIELD_AND_RANK = {name: (field, rank) for field, names in NAMES.items() for rank, name in enumerate(names)}
_NEVER_NUMBERS = frozenset(("text", "author", "source"))
"""Fields that a number cannot fill: it is a key of some other table."""
_BY = re.compile(r"^by (?=\S)", re.IGNORECASE)
_LABEL_KEYS = ("name", "title", "main", "rendered", "text", "value", "label", "original")
"""Keys of an object that hold its name or its text."""
LEVELS = 4
"""How deeply a field's value may be nested."""
_TYPE_PREFIXES = ("$", "#", "@", "_")
_NAME_PARTS = (("given", "first", "givenname", "firstname"), ("family", "last", "familyname", "lastname"))


def pick_fields(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a record into the fields of NAMES and the remaining ones.

    `mapping` is as Options.fields; its paths may lead into nested objects ("date": "meta.published").
    """
    used = {path for field, path in mapping.items() if field in NAMES}
    best: dict[str, tuple[int, str]] = {}
    for key, value in record.items():
        field, rank = _FIELD_AND_RANK.get(plain_name(key), ("", 0))
        if not field or field in mapping or key in used or not _has_value(value):
            continue
        is_number = field in _NEVER_NUMBERS and isinstance(value, (int, float))
        if not is_number and (field not in best or rank < best[field][0]):
            best[field] = (rank, key)
    picked = {field: _nested_value(record, mapping[field]) for field in NAMES if field in mapping}
    picked |= {field: record[key] for field, (_, key) in best.items()}
    used.update(key for _, key in best.values())
    return picked, {str(key): value for key, value in record.items() if key not in used}


def plain_name(key: object) -> str:
    """A field's name as in NAMES: lower case, without spaces and punctuation; empty if too long to be a name."""
    return _plain_name(key) if isinstance(key, str) and len(key) <= LONGEST_NAME else ""


@lru_cache(4_096)
def _plain_name(key: str) -> str:
    return _PUNCTUATION.sub("", key).lower()


def _has_value(value: Any) -> bool:
    """Whether a value says something: it is not empty, a boolean or NaN."""
    return not (value in (None, "", [], {}) or isinstance(value, bool) or (isinstance(value, float) and isnan(value)))


def _nested_value(record: Mapping[str, Any], path: str) -> Any:
    """The value under a key or a path of keys ("meta.published"); None if there is none."""
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def make_article(
    content: Content,
    text: str | JoinedText,
    fields: Mapping[str, Any],
    extra: Mapping[str, Any] = MappingProxyType({}),
    captions: Iterable[Span] = (),
) -> Article | Failure:
    """Make an article of a clean text and the fields of NAMES; a Failure if it is empty or too long.

    Fields that are missing come from `content.metadata`; id, title and source fall back to the name of the file or the
    site. `captions` are spans that are not quoted, in addition to those of the text.
    """
    body = text if isinstance(text, JoinedText) else JoinedText(text)
    stated = {key: value for key, value in fields.items() if _has_value(value)}
    known = {**{key: value for key, value in content.metadata.items() if value}, **stated}
    article = Article(
        id=as_line(known.get("id"))[:LONGEST_ID] or content.name,
        title=as_line(known.get("title"))[:LONGEST_TITLE] or title_from(content.name),
        text=body.text,
        source=as_line(known.get("source")) or _site(content),
        url=_url(known.get("url")) or content.url,
        author=_BY.sub("", as_line(known.get("author"))),
        published=parse_date(known.get("date")),
        origin=content.origin,
        captions=(*body.captions, *captions),
        lists=body.lists,
        language=language_code(known.get("language")),
        extra=_extra(extra),
    )
    if not any(character.isalnum() for character in article.text):
        return Failure(content.name, "has no text; nothing to index")
    if len(article.text) > LONGEST_ARTICLE:
        problem = f"is one article of {len(article.text):,} characters, the limit is {LONGEST_ARTICLE:,}"
        return Failure(content.name, f"{problem}; split it into several articles")
    return article


def _url(value: Any) -> str:
    url = as_line(value, longest=LONGEST_URL + 1)
    return url if len(url) <= LONGEST_URL else ""


def as_line(value: Any, longest: int = LONGEST_LINE, levels: int = LEVELS) -> str:
    """A value as one line of at most `longest` characters: the items of a list, the name of an object ({"name": …})."""
    if isinstance(value, str):
        # Much of it may be white space, hence the margin.
        return one_line(value[: 4 * longest])[:longest]
    if isinstance(value, Mapping) and levels:
        return _label_of(value, longest, levels)
    if isinstance(value, (list, tuple)) and levels:
        return _list_line(value, longest, levels)
    return one_line(value)[:longest]


def _list_line(items: Iterable[Any], longest: int, levels: int) -> str:
    lines, left = list[str](), longest
    for item in islice(items, MOST_ITEMS):
        if left <= 0:
            break
        if not isinstance(item, float) and (line := as_line(item, left, levels - 1)):
            lines.append(line)
            left -= len(line) + len(", ")
    return ", ".join(lines)


def _label_of(thing: Mapping[str, Any], longest: int, levels: int) -> str:
    """The name of an object; the value of one that only wraps it with its type ({"$date": …})."""
    if len(thing) == 1 and str(next(iter(thing)))[:1] in _TYPE_PREFIXES:
        return as_line(next(iter(thing.values())), longest, levels - 1)
    plain = {plain_name(key): value for key, value in islice(thing.items(), MOST_ITEMS)}
    lines = (as_line(plain[name], longest, levels - 1) for name in _LABEL_KEYS if name in plain)
    parts = (next((as_line(plain[name], longest, 0) for name in names if name in plain), "") for names in _NAME_PARTS)
    return next(filter(None, lines), "") or " ".join(filter(None, parts))[:longest]


def _extra(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    stated = ((key, value) for key, value in fields.items() if isinstance(value, bool) or _has_value(value))
    lines = ((as_line(key, LONGEST_EXTRA), as_line(value, LONGEST_EXTRA)) for key, value in stated)
    return tuple(islice(((key, value) for key, value in lines if key and value), MOST_EXTRA))


def _site(content: Content) -> str:
    if not content.url:
        return file_name(content.name)
    return content.url.split("//", 1)[-1].split("/", 1)[0].removeprefix("www.")


def title_from(name: str) -> str:
    """A file's name as a title: "reports/port_strike-2.txt" becomes "port strike 2"."""
    stem = file_name(name).rsplit(".", 1)[0]
    return one_line(stem.replace("_", " ").replace("-", " ")) or "Untitled"


def file_name(name: str) -> str:
    """The last part of a path."""
    return name.rstrip("/").rsplit("/", 1)[-1]
