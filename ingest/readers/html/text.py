"""HTML markup → blocks of plain text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ingest.content.blocks import Block
from ingest.readers.html.elements import BLOCKS, BREAKS, blocks_of, is_unseen

LONGEST_TAG = 4_000
"""Characters of a tag; a longer one loses its attributes, because parsing them takes quadratic time."""
_INLINE = "a abbr b bdi bdo big cite code del dfn em font i img ins kbd mark q s small span strike strong sub sup u var"

_MARKUP = re.compile(
    rf"<!doctype html|</?(?:{'|'.join(sorted(BLOCKS | set(_INLINE.split())))}|br|head|link|meta|script|style|title)"
    r"(?:\s*+/?>|\s[^<>=]*+=[^<>]*+>)",
    re.IGNORECASE,
)
_BLOCK_TAG = re.compile(r"<(?:p|br|div|li|pre|td|tr)\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?P<raw>script|style|template)(?=[\s/>])(?P<attributes>[^>]*+)(?:>|\Z)(?P<inside>.*?)"
    r"(?:</(?P=raw)(?=[\s/>])[^>]*+(?:>|\Z)|\Z)"
    r"|<(?P<tag>/?[a-z][^\s/<>]*+)(?:[^>=]++|=\s*+\"[^\"]*+(?:\"|\Z)|=\s*+'[^']*+(?:'|\Z)|=)*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
SPACE, SPACE_IN_LINE = re.compile(r"\s+"), re.compile(r"[^\S\n]+")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,30});", re.IGNORECASE)


def html_blocks(markup: str) -> list[Block]:
    """The paragraphs, headings, items and rows of a page or fragment, each with clean text that is not empty."""
    if not _BLOCK_TAG.search(markup):
        # With inline markup only, line ends are what separates paragraphs.
        markup = markup.replace("\r\n", "\n").replace("\n", "<br>\n")
    bounded = bounded_markup(markup)
    root, complete = parsed(bounded)
    if not complete:
        root, _ = parsed(_flattened(bounded))
    return blocks_of(root, SPACE, is_unseen) if root is not None else []


def looks_like_html(text: str) -> bool:
    """Whether a text contains an HTML tag, not only "a < b"."""
    return "<" in text and _MARKUP.search(text) is not None


def unescaped(text: str) -> str:
    """A text with its entities ("&rsquo;", "&#8217;") as the characters they stand for."""
    return _ENTITY.sub(lambda entity: _character(entity[0]), text)


@lru_cache(1_024)
def _character(entity: str) -> str:
    root, _ = parsed(f"<p>{entity}")
    return "".join(root.itertext())


def bounded_markup(markup: str) -> str:
    """The markup without scripts, comments and tags that take a parser too long; JSON-LD stays."""
    return _TOKEN.sub(_bounded_token, _CONTROL.sub("", markup))


def _bounded_token(token: re.Match[str]) -> str:
    if token["raw"]:
        is_data = "ld+json" in token["attributes"][:LONGEST_TAG].lower()
        return f'<script type="application/ld+json">{token["inside"]}</script>' if is_data else ""
    if not token["tag"]:
        return ""
    return token[0] if token.end() - token.start() <= LONGEST_TAG else f"<{token['tag'][:20]}>"


def _flattened(markup: str) -> str:
    """Markup that is nested too deeply for the parser, as a sequence of paragraphs."""

    def flatten(token: re.Match[str]) -> str:
        name = (token["tag"] or "").strip("/").lower()
        return "<p>" if name in BLOCKS or name in BREAKS else ""

    return _TOKEN.sub(flatten, markup)


def parsed(markup: str, whole_page: bool = False) -> tuple[Any, bool]:
    """The root element, None for empty markup, and whether the tree holds all of the markup."""
    from lxml import etree, html

    # trafilatura needs the elements of lxml.html, which take longer to build.
    make = html.HTMLParser if whole_page else etree.HTMLParser
    parser = make(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = etree.fromstring(markup.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None, True
    limit = etree.ErrorTypes.ERR_RESOURCE_LIMIT
    return root, all(entry.type != limit for entry in parser.error_log)
