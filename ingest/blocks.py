"""The blocks of a document (its paragraphs, headings, rows of tables) → an article."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ingest.article import article_of, file_name
from ingest.dump import captions_of, joined
from ingest.fields import clean, one_line
from ingest.source import Content
from rag.schema import Article, Failure

Block = tuple[str, bool]
"""A text, and whether it is a heading or a caption: those are found, but never quoted."""

_HYPHENS = str.maketrans({"\u00ad": None})
_JUNK = re.compile(
    r"microsoft (word|powerpoint|excel)\b.*"
    r"|(untitled|document|dokument|unbenannt|sans titre|title|book|presentation|unknown|none|null)[\s_-]*\d*"
    r"|(file|https?):\S*|about:blank"
    r"|\S*\.(docx?|dotx?|rtf|odt|pdf|html?|tex|dvi|ps|indd|qxd|pages|txt|md|wpd|pptx?|xlsx?|pmd|fm)"
    r"|[^a-z]*",
    re.IGNORECASE,
)
"""Titles that programs give, not people."""


def document_article(
    content: Content,
    blocks: Iterable[Block],
    fields: Mapping[str, Any],
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Article | Failure:
    """The article that a document's blocks make, or why they make none.

    A title that only a program can have given falls away. A heading that is the title is not said again.
    """
    title = stated_title(fields.get("title"), content.name)
    cleaned = ((_cleaned(text, one=marked), marked) for text, marked in blocks)
    shown, headings = joined((text, marked) for text, marked in cleaned if text and not (marked and text == title))
    return article_of(content, shown, {**fields, "title": title}, extra, (*headings, *captions_of(shown)))


def _cleaned(text: str, *, one: bool) -> str:
    text = text.translate(_HYPHENS)
    return one_line(text) if one else clean(text)


def stated_title(value: object, name: str) -> str:
    """A title as somebody wrote it; empty for "Microsoft Word - draft.doc", "untitled", or the name of a file."""
    title = one_line(value)
    letters = any(character.isalpha() for character in title)
    return title if letters and not _JUNK.fullmatch(title) and title != file_name(name) else ""
