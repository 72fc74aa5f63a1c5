"""Plain text and Markdown → articles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.article import LONGEST_ARTICLE, article_of, pick
from ingest.dump import captions_of, joined, parse_dump
from ingest.encoding import decode
from ingest.fields import clean, one_line, slug, unique_id
from ingest.source import Content, Options, Read, whole
from rag.errors import ReadError

_HEADING = re.compile(r"h\d")
_TAG = re.compile(r"<[^<>]*+>")
_UNSEEN = re.compile(r"<(script|style)\b.*?(</\1>|$)|<!--.*?(?:-->|$)", re.DOTALL | re.IGNORECASE)


def from_text(content: Content, options: Options) -> Read:
    """Plain text: one article, or each article of a scraped dump."""
    text = decode(whole(content, options))
    if max(map(len, text.split("\n"))) > LONGEST_ARTICLE:
        yield article_of(content, text, {})
        return
    scraped = parse_dump(text)
    if not scraped:
        yield article_of(content, "", {})
    taken: set[str] = set()
    for part in scraped:
        several = f"{content.name}#{slug(part.title) or 'article'}"
        own_id = content.name if len(scraped) == 1 else unique_id(several, taken)
        fields = {"id": own_id, "title": part.title, "author": part.author, "date": part.published}
        fields |= {"source": part.source, "url": part.url, "language": part.language}
        yield article_of(content, part.text, fields, part.extra, part.captions)


def from_markdown(content: Content, options: Options) -> Read:
    """Markdown, with or without YAML front matter (id, title, date, source, author, url, language).

    The text is what the markup shows, without pictures; headings are in it, but are not quoted.
    """
    given, body = _front_matter(decode(whole(content, options)))
    if len(body) > LONGEST_ARTICLE:
        yield article_of(content, body, {})
        return
    fields, extra = pick(given, options.fields)
    blocks = list(_markdown_blocks(body))
    title = one_line(fields.get("title")) or next((block for tag, block in blocks if tag == "h1"), "")
    kept = [(block, bool(_HEADING.match(tag))) for tag, block in blocks if tag != "h1" or block != title]
    shown, headings = joined(kept)
    captions = (*headings, *captions_of(shown))
    yield article_of(content, shown, {**fields, "title": title}, extra, captions)


def _front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """The YAML between the first two lines of three dashes, and what follows."""
    parts = re.split(r"^---[ ]*$\n?", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3 or parts[0].strip():
        return {}, text
    try:
        # The base loader leaves every value the text it is: a title "No", an id "010".
        fields = yaml.load(parts[1], yaml.BaseLoader)  # noqa: S506 - it builds nothing but strings, lists and maps
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
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
