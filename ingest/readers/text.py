"""Readers of plain text and Markdown."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.articles.coverage import with_notices
from ingest.articles.fields import LONGEST_ARTICLE, as_line, make_article, pick_fields
from ingest.articles.unpublished import is_unpublished
from ingest.content.blocks import Block, join_blocks
from ingest.content.encoding import decode
from ingest.content.types import Content, Options, Read, Unpublished, read_bytes
from ingest.content.values import one_line, slug, unique_id
from ingest.readers.dump import captions_of, parse_dump
from ingest.readers.html.text import html_blocks
from rag.errors import ReadError

_PLUSES = re.compile(r"^\+\+\+[ ]*$\n?", re.MULTILINE)
_DASHES = re.compile(r"^---[ ]*$\n?", re.MULTILINE)
_FIELD = re.compile(r"\s*+[\w -]{1,64}:")


def from_text(content: Content, options: Options) -> Read:
    """Plain text: one article, or each article of a scraped dump."""
    text = decode(read_bytes(content, options))
    if max(map(len, text.split("\n"))) > LONGEST_ARTICLE:
        yield make_article(content, text, {})
        return
    yield from with_notices(content.name, _scraped(text, content, options), text)


def _scraped(text: str, content: Content, options: Options) -> Read:
    scraped = parse_dump(text)
    if not scraped:
        yield make_article(content, "", {})
    taken: set[str] = set()
    for part in scraped:
        several = f"{content.name}#{slug(part.title) or 'article'}"
        own_id = content.name if len(scraped) == 1 else unique_id(several, taken)
        fields = {"id": own_id, "title": part.title, "author": part.author, "date": part.published}
        fields |= {"source": part.source, "url": part.url, "language": part.language}
        if is_unpublished(part.extra) and not options.include_drafts:
            yield Unpublished(own_id)
            continue
        yield make_article(content, part.text, fields, part.extra, part.captions)


def from_markdown(content: Content, options: Options) -> Read:
    """Markdown, with or without YAML or TOML front matter (id, title, date, source, author, url, language).

    The text is that of the rendered page, without pictures; headings are part of it but never quoted.
    """
    text = decode(read_bytes(content, options))
    yield from with_notices(content.name, _markdown(text, content, options), text)


def _markdown(text: str, content: Content, options: Options) -> Read:
    given, body = _front_matter(text)
    fields, extra = pick_fields(given, options.fields)
    if is_unpublished(given) and not options.include_drafts:
        yield Unpublished(as_line(fields.get("id")) or content.name)
        return
    if len(body) > LONGEST_ARTICLE:
        yield make_article(content, body, {})
        return
    title, blocks = _rendered(body)
    title = one_line(fields.get("title")) or title
    joined_text = join_blocks(block for block in blocks if not (block.unquotable and block.text == title))
    yield make_article(content, joined_text, {**fields, "title": title}, extra, captions_of(joined_text.text))


LONGEST_FRONT_MATTER, DEEPEST_FRONT_MATTER = 50_000, 20
"""Characters and nesting levels of front matter."""


def _front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """The fields of YAML between --- lines or TOML between +++ lines, and the text after them."""
    is_toml = text.startswith("+++\n")
    parts = (_PLUSES if is_toml else _DASHES).split(text, maxsplit=2)
    if len(parts) < 3 or parts[0].strip():
        return {}, text
    name, lines = ("TOML", "+++") if is_toml else ("YAML", "---")
    if len(parts[1]) > LONGEST_FRONT_MATTER and not is_toml:
        if not _FIELD.match(parts[1]):
            return {}, text
        problem = f"its front matter is longer than {LONGEST_FRONT_MATTER:,} characters"
        raise ReadError(f"{problem}; shorten the part between the {lines} lines")
    try:
        fields = tomllib.loads(parts[1]) if is_toml else _yaml(parts[1])
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        problem = f"its front matter is not {name} ({' '.join(str(error).split())})"
        raise ReadError(f"{problem}; correct the part between the {lines} lines") from error
    return (fields, parts[2]) if isinstance(fields, Mapping) else ({}, text)


def _yaml(front_matter: str) -> Any:
    _check_structure(front_matter)
    # The base loader keeps every value as text: a title "No", an id "010".
    return yaml.load(front_matter, yaml.BaseLoader)  # noqa: S506 - it builds nothing but strings, lists and maps


def _check_structure(front_matter: str) -> None:
    """Rejects aliases before anything is built, since each repeats its anchor: a few lines can become gigabytes.

    Raises ReadError for aliases and for deep nesting, YAMLError for invalid YAML.
    """
    levels = 0
    for event in yaml.parse(front_matter, yaml.BaseLoader):
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            raise ReadError("its front matter has YAML anchors or aliases (&name, *name); write the values out")
        if levels > DEEPEST_FRONT_MATTER:
            raise ReadError(f"its front matter is nested more than {DEEPEST_FRONT_MATTER} levels deep; flatten it")


def _rendered(text: str) -> tuple[str, list[Block]]:
    """The first top-level heading, and the blocks of the HTML that Markdown renders to."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    headings = (inside for opening, inside in pairwise(tokens) if (opening.type, opening.tag) == ("heading_open", "h1"))
    title = next(filter(None, map(_inline_text, headings)), "")
    return title, html_blocks(parser.renderer.render(tokens, parser.options, {}))


def _inline_text(token: Token) -> str:
    breaks = {"softbreak": " ", "hardbreak": " "}
    kept = ("text", "code_inline")
    children = token.children or []
    return one_line("".join(breaks.get(c.type, c.content if c.type in kept else "") for c in children))
