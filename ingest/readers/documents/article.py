"""The blocks of a document (paragraphs, headings, table rows) → an article. Knows no file format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ingest.articles.fields import file_name, make_article
from ingest.content.blocks import Block, join_blocks
from ingest.content.types import Content
from ingest.content.values import clean, one_line
from ingest.readers.dump import captions_of
from rag.schema import Article, Failure

_HYPHENS = str.maketrans({"\u00ad": None})
_GENERATED_TITLE = re.compile(
    r"microsoft (word|powerpoint|excel)\b.*"
    r"|(untitled|document|dokument|unbenannt|sans titre|title|book|presentation|unknown|none|null)[\s_-]*\d*"
    r"|(file|https?):\S*|about:blank"
    r"|\S*\.(docx?|dotx?|rtf|odt|pdf|html?|tex|dvi|ps|indd|qxd|pages|txt|md|wpd|pptx?|xlsx?|pmd|fm)"
    r"|[^a-z]*",
    re.IGNORECASE,
)
"""Titles that programs fill in."""


def document_article(
    content: Content,
    blocks: Iterable[Block],
    fields: Mapping[str, Any],
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Article | Failure:
    """The article made of a document's blocks, or why there is none.

    A title that a program filled in is dropped, and so is a heading that repeats the title.
    """
    title = stated_title(fields.get("title"), content.name)
    cleaned = map(_cleaned, blocks)
    text = join_blocks(block for block in cleaned if block.text and not (block.unquotable and block.text == title))
    return make_article(content, text, {**fields, "title": title}, extra, captions_of(text.text))


def _cleaned(block: Block) -> Block:
    text = block.text.translate(_HYPHENS)
    return replace(block, text=one_line(text) if block.unquotable else clean(text))


def stated_title(value: object, name: str) -> str:
    """A title that a person wrote; empty for "Microsoft Word - draft.doc", "untitled", or a file's name."""
    title = one_line(value)
    letters = any(character.isalpha() for character in title)
    return title if letters and not _GENERATED_TITLE.fullmatch(title) and title != file_name(name) else ""
