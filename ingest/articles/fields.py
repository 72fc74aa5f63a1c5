"""What a source says of an article → an Article: the fields by their many names, typed and bounded."""

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
"""Characters, some three novels: more than that is a dump whose articles could not be told apart."""
LONGEST_TITLE = 500
LONGEST_EXTRA, MOST_EXTRA = 500, 30
"""Characters of an unknown field that are kept, and how many such fields."""
LONGEST_NAME = 64
"""Characters of a field's name; a longer one means nothing."""
MOST_ITEMS = 100
"""Items of a list that go into one line."""
LONGEST_LINE = 2_000
"""Characters of a field that is one line; of a longer one, its start is kept."""

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
"""The names that exports give to each field, without case, spaces, hyphens and underscores; the first one found
counts."""

_PLAIN = re.compile(r"[\W_]+")
_MEANINGS = {name: (field, rank) for field, names in NAMES.items() for rank, name in enumerate(names)}
_WORDS = frozenset(("text", "author", "source"))
"""What a number cannot say: it is a key into some other list."""
_BY = re.compile(r"^by (?=\S)", re.IGNORECASE)
_LINES = ("name", "title", "main", "rendered", "text", "value", "label", "original")
"""Where a thing says what it is called, or how it reads."""
LEVELS = 4
"""How deep in a field's value its words may stand."""
_SIGNS = ("$", "#", "@", "_")
_NAME_PARTS = (("given", "first", "givenname", "firstname"), ("family", "last", "familyname", "lastname"))


def pick_fields(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record's fields by our names, and those that have none of our meanings.

    `mapping` is as in Options: its field may stand deeper ("date": "meta.published").
    """
    used = {path for field, path in mapping.items() if field in NAMES}
    best: dict[str, tuple[int, str]] = {}
    for key, value in record.items():
        meaning = _MEANINGS.get(plain_name(key))
        if not meaning or meaning[0] in mapping or key in used or not _says(value):
            continue
        field, rank = meaning
        is_number = field in _WORDS and isinstance(value, (int, float))
        if not is_number and (field not in best or rank < best[field][0]):
            best[field] = (rank, key)
    found = {field: _deep(record, mapping[field]) for field in NAMES if field in mapping}
    found |= {field: record[key] for field, (_, key) in best.items()}
    used.update(key for _, key in best.values())
    return found, {str(key): value for key, value in record.items() if key not in used}


def plain_name(key: object) -> str:
    """A field's name as in NAMES: without case, spaces and signs; empty for one that is too long to be a name."""
    return _plain_name(key) if isinstance(key, str) and len(key) <= LONGEST_NAME else ""


@lru_cache(4_096)
def _plain_name(key: str) -> str:
    return _PLAIN.sub("", key).lower()


def _says(value: Any) -> bool:
    """Is it more than nothing, a yes or no, or a number that is none?"""
    return not (value in (None, "", [], {}) or isinstance(value, bool) or (isinstance(value, float) and isnan(value)))


def _deep(record: Mapping[str, Any], path: str) -> Any:
    """The value of a record's field, or of a field inside it ("meta.published"); None if it has none."""
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
    """The article that these fields (by the names of NAMES) make of a clean text, or why it cannot be one.

    `captions` are spans that are not quoted, beside those that were joined into the text.

    What neither they nor `content.metadata` say stays empty; an id, a title or a source that is missing is the name of
    its file, or its site.
    """
    said = text if isinstance(text, JoinedText) else JoinedText(text)
    known = {**{key: value for key, value in content.metadata.items() if value}, **_said(fields)}
    article = Article(
        id=as_line(known.get("id"))[:LONGEST_ID] or content.name,
        title=as_line(known.get("title"))[:LONGEST_TITLE] or title_from(content.name),
        text=said.text,
        source=as_line(known.get("source")) or _site(content),
        url=_url(known.get("url")) or content.url,
        author=_BY.sub("", as_line(known.get("author"))),
        published=parse_date(known.get("date")),
        origin=content.origin,
        captions=(*said.captions, *captions),
        lists=said.lists,
        language=language_code(known.get("language")),
        extra=_extra(extra),
    )
    return _checked(article, content.name)


def _url(value: Any) -> str:
    url = as_line(value, longest=LONGEST_URL + 1)
    return url if len(url) <= LONGEST_URL else ""


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if _says(value)}


def _checked(article: Article, where: str) -> Article | Failure:
    if not any(character.isalnum() for character in article.text):
        return Failure(where, "has no text; nothing to index")
    if len(article.text) > LONGEST_ARTICLE:
        problem = f"is one article of {len(article.text):,} characters, the limit is {LONGEST_ARTICLE:,}"
        return Failure(where, f"{problem}; split it into several articles")
    return article


def as_line(value: Any, longest: int = LONGEST_LINE) -> str:
    """A value as one line: of a list its items, of a thing with a name ({"name": …}) that name.

    No more than `longest` characters are put together.
    """
    return _line(value, longest, LEVELS)


def _line(value: Any, longest: int, levels: int) -> str:
    if isinstance(value, str):
        # Much of it may be space; what is cut off for certain need not be cleaned first.
        return one_line(value[: 4 * longest])[:longest]
    if isinstance(value, Mapping) and levels:
        return _called(value, longest, levels)
    if isinstance(value, (list, tuple)) and levels:
        return _joined(value, longest, levels)
    return one_line(value)[:longest]


def _joined(items: Iterable[Any], longest: int, levels: int) -> str:
    lines, left = list[str](), longest
    for item in islice(items, MOST_ITEMS):
        if left <= 0:
            break
        if not isinstance(item, float) and (line := _line(item, left, levels - 1)):
            lines.append(line)
            left -= len(line) + len(", ")
    return ", ".join(lines)


def _called(thing: Mapping[str, Any], longest: int, levels: int) -> str:
    """What a thing is called; of one that is only a value with its type ({"$date": …}), that value."""
    if len(thing) == 1 and str(next(iter(thing)))[:1] in _SIGNS:
        return _line(next(iter(thing.values())), longest, levels - 1)
    plain = {plain_name(key): value for key, value in islice(thing.items(), MOST_ITEMS)}
    lines = (_line(plain[name], longest, levels - 1) for name in _LINES if name in plain)
    parts = (next((_line(plain[name], longest, 0) for name in names if name in plain), "") for names in _NAME_PARTS)
    return next(filter(None, lines), "") or " ".join(filter(None, parts))[:longest]


def _extra(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    told = ((key, value) for key, value in fields.items() if isinstance(value, bool) or _says(value))
    lines = ((as_line(key, LONGEST_EXTRA), as_line(value, LONGEST_EXTRA)) for key, value in told)
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
