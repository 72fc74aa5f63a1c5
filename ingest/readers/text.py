"""Plain text and Markdown → articles."""

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
    """Markdown, with or without YAML front matter (id, title, date, source, author, url, language).

    The text is what the markup shows, without pictures; headings and the like are in it, but are not quoted.
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
    title, blocks = _shown(body)
    title = one_line(fields.get("title")) or title
    shown = join_blocks(block for block in blocks if not (block.unquotable and block.text == title))
    yield make_article(content, shown, {**fields, "title": title}, extra, captions_of(shown.text))


LONGEST_FRONT_MATTER, DEEPEST_FRONT_MATTER = 50_000, 20
"""Characters, and levels of lists and maps, of the fields before a text."""


def _front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """The YAML between the first two lines of three dashes, or the TOML between those of three +, and what follows."""
    if text.startswith("+++\n"):
        return _toml_front_matter(text)
    parts = re.split(r"^---[ ]*$\n?", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3 or parts[0].strip():
        return {}, text
    if len(parts[1]) > LONGEST_FRONT_MATTER:
        if not _FIELD.match(parts[1]):
            return {}, text
        problem = f"its front matter is longer than {LONGEST_FRONT_MATTER:,} characters"
        raise ReadError(f"{problem}; shorten what stands between the --- lines")
    try:
        _check_structure(parts[1])
        # The base loader leaves every value the text it is: a title "No", an id "010".
        fields = yaml.load(parts[1], yaml.BaseLoader)  # noqa: S506 - it builds nothing but strings, lists and maps
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ReadError(f"its front matter is not YAML ({problem}); mend what stands between the --- lines") from error
    return (fields, parts[2]) if isinstance(fields, Mapping) else ({}, text)


def _check_structure(front_matter: str) -> None:
    """Before anything is built: an alias stands for all that its anchor holds, so that a few lines can be gigabytes.

    Raises ReadError for aliases and for what is nested too deeply, YAMLError for what is no YAML.
    """
    levels = 0
    for event in yaml.parse(front_matter, yaml.BaseLoader):
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            raise ReadError("its front matter has YAML anchors or aliases (&name, *name); write the values out")
        if levels > DEEPEST_FRONT_MATTER:
            raise ReadError(f"its front matter is nested more than {DEEPEST_FRONT_MATTER} levels deep; flatten it")


def _toml_front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    parts = _PLUSES.split(text, maxsplit=2)
    if len(parts) < 3:
        return {}, text
    try:
        return tomllib.loads(parts[1]), parts[2]
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ReadError(
            f"its front matter is not TOML ({problem}); correct what stands between the +++ lines"
        ) from error


def _shown(text: str) -> tuple[str, list[Block]]:
    """The first heading of the first level, and all that Markdown shows: it is read as the page that it stands for."""
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
