"""The content of one file → articles, one small function per kind of source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypedDict

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.dump import captions_of, joined, parse_dump, unwrapped
from ingest.encoding import decode
from ingest.fields import LONGEST_ID, clean, one_line, parse_date, slug, unique_id
from rag.errors import ReadError
from rag.schema import Article, Failure

LONGEST_ARTICLE = 2_000_000
"""Characters, some three novels: more than that is a dump whose articles could not be told apart."""

LONGEST_TITLE = 500

Read = Iterator[Article | Failure]

_HEADING = re.compile(r"h\d")
_TAG = re.compile(r"<[^>]*>")
_UNSEEN = re.compile(r"<(script|style)\b.*?(</\1>|$)|<!--.*?-->", re.DOTALL | re.IGNORECASE)


def from_text(name: str, origin: str, text: str) -> Read:
    """Plain text: one article, or each article of a scraped dump."""
    if max(map(len, text.split("\n"))) > LONGEST_ARTICLE:
        yield checked(Article(name, name, text), name)
        return
    scraped = parse_dump(text)
    if not scraped:
        yield checked(Article(name, name, ""), name)
    taken: set[str] = set()
    for part in scraped:
        article_id = name if len(scraped) == 1 else unique_id(f"{name}#{slug(part.title) or 'article'}", taken)
        metadata = _metadata({"title": part.title, "author": part.author, "date": part.published}, name)
        article = Article(id=article_id, text=part.text, origin=origin, captions=part.captions, **metadata)
        yield checked(article, name)


def from_markdown(name: str, origin: str, text: str) -> Read:
    """Markdown, with or without YAML front matter (id, title, date, source, author, url).

    The text is what the markup shows, without pictures; headings are in it, but are not quoted.
    """
    fields, body = _front_matter(text)
    blocks = list(_markdown_blocks(body))
    title = one_line(fields.get("title")) or next((block for tag, block in blocks if tag == "h1"), "")
    kept = [(block, bool(_HEADING.match(tag))) for tag, block in blocks if tag != "h1" or block != title]
    shown, headings = joined(kept)
    article = Article(
        id=one_line(fields.get("id"))[:LONGEST_ID] or name,
        text=shown,
        origin=origin,
        captions=(*headings, *captions_of(shown)),
        **_metadata({**fields, "title": title}, name),
    )
    yield checked(article, name)


def from_json(name: str, origin: str, text: str) -> Read:
    """JSON: one article as an object, or a list of them."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"is not JSON ({error}); mend it, or save one object a line as .jsonl") from error
    records = found if isinstance(found, list) else [found]
    yield from _records(((f"{name}, entry {i}", record) for i, record in enumerate(records, 1)), name, origin)


def from_jsonl(name: str, origin: str, lines: Iterable[bytes]) -> Read:
    """JSON Lines: one article a line; blank lines are passed over, a broken one fails alone."""
    yield from _records(_parsed(name, lines), name, origin)


def checked(article: Article, where: str) -> Article | Failure:
    """The article, or why it cannot be one."""
    if not any(character.isalnum() for character in article.text):
        return Failure(where, "has no text; nothing to index")
    if len(article.text) > LONGEST_ARTICLE:
        return Failure(
            where,
            f"is one article of {len(article.text):,} characters, the limit is {LONGEST_ARTICLE:,}; "
            "split it into several articles",
        )
    return article


def title_from(name: str) -> str:
    """A file's name as a title: "reports/port_strike-2.txt" becomes "port strike 2"."""
    stem = _file(name).rsplit(".", 1)[0]
    return one_line(stem.replace("_", " ").replace("-", " ")) or "Untitled"


def _file(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _parsed(name: str, lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        try:
            text = decode(line)
            if text.strip():
                yield where, json.loads(text)
        except (ValueError, RecursionError) as error:
            yield where, Failure(where, f"is not JSON ({error}); mend or delete the line")
        except ReadError as error:
            if number == 1:
                raise
            yield where, Failure(where, str(error))


def _records(records: Iterable[tuple[str, Any]], name: str, origin: str) -> Read:
    taken: set[str] = set()
    for where, record in records:
        if isinstance(record, Failure):
            yield record
        elif not isinstance(record, Mapping) or not isinstance(record.get("text"), str):
            yield Failure(where, 'is no object with a "text"; give each article as {"title": …, "text": …}')
        else:
            given = one_line(record.get("id"))
            if given in taken or len(given) > LONGEST_ID:
                problem = "was used by an earlier entry" if given in taken else f"is over {LONGEST_ID} characters"
                yield Failure(where, f"its id {given[:60]!r} {problem}; give each article a short id of its own")
                continue
            title = one_line(record.get("title"))
            article_id = given or unique_id(f"{name}#{slug(title) or 'article'}", taken)
            taken.add(article_id)
            text = unwrapped(clean(record["text"]))
            metadata = _metadata(record, name)
            article = Article(id=article_id, text=text, origin=origin, captions=captions_of(text), **metadata)
            yield checked(article, where)


class _Metadata(TypedDict):
    title: str
    source: str
    url: str
    author: str
    published: date | None


def _metadata(fields: Mapping[str, Any], name: str) -> _Metadata:
    """What is known of an article besides its text; the file's name stands in for a title or source it lacks."""
    authors = fields.get("author")
    return {
        "title": one_line(fields.get("title"))[:LONGEST_TITLE] or title_from(name),
        "source": one_line(fields.get("source")) or _file(name),
        "url": one_line(fields.get("url")),
        "author": ", ".join(map(one_line, authors)) if isinstance(authors, list) else one_line(authors),
        "published": parse_date(fields.get("date") or fields.get("published")),
    }


def _front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """The YAML between the first two lines of three dashes, and what follows."""
    parts = re.split(r"^---[ ]*$\n?", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3 or parts[0].strip():
        return {}, text
    try:
        # The base loader leaves every value the text it is: a title "No", an id "010".
        fields = yaml.load(parts[1], yaml.BaseLoader)  # noqa: S506 - it builds nothing but strings, lists and maps
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ReadError(f"its front matter is not YAML ({problem}); mend what stands between the --- lines") from error
    return (fields, parts[2]) if isinstance(fields, Mapping) else ({}, text)


def _markdown_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each block of Markdown as (tag, text without markup): headings, paragraphs, items, rows of tables, code, HTML."""
    tag, row = "", list[str]()
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("heading_open", "paragraph_open", "th_open", "td_open"):
            tag = token.tag
        elif token.type in ("fence", "code_block"):
            yield "code", clean(token.content)
        elif token.type == "html_block" and (found := one_line(_TAG.sub(" ", _UNSEEN.sub(" ", token.content)))):
            yield "html", found
        elif token.type == "inline" and tag in ("th", "td"):
            row.append(_inline_text(token))
        elif token.type == "tr_close":
            yield "tr", " | ".join(row)
            row = []
        elif token.type == "inline" and (found := _inline_text(token)):
            yield tag, found


def _inline_text(token: Token) -> str:
    breaks = {"softbreak": " ", "hardbreak": " "}
    kept = ("text", "code_inline")
    children = token.children or []
    return one_line("".join(breaks.get(c.type, c.content if c.type in kept else "") for c in children))
