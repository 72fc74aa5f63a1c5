"""Articles and passages to and from the rows of Chroma's collections, which hold strings and numbers only.

Knows nothing of collections and requests.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from rag.models.embedding import Vectors, normalized
from rag.schema import Article, ArticleEntry, Copy, Filters, Passage, Span
from rag.store.fulltext import date_number, number_date
from rag.store.vectors import Rows

_PASSAGE_FIELDS = ("article_id", "digest", "ordinal", "start", "end", "title", "source", "url", "author")
_ARTICLE_FIELDS = ("digest", "title", "source", "url", "author", "origin", "language", "text_digest")
"""Fields that a row holds unchanged, under their own name."""
_SENTENCE_VECTORS = "sentence_vectors"


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with everything written for it: its passages, and one row of vectors for each.

    `duplicate_group` and `copies` are as in ArticleEntry; `sketch` finds near duplicates.
    """

    article: Article
    passages: Sequence[Passage]
    vectors: Vectors
    sentence_vectors: Sequence[Vectors]
    duplicate_group: str = ""
    copies: tuple[Copy, ...] = ()
    sketch: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An article near another one: the cosine of their vectors, its duplicate group and its sketch."""

    similarity: float
    duplicate_group: str
    sketch: str


def _pack(vectors: Vectors) -> str:
    """Vectors as text, one byte per number, which changes a cosine by about .001."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-9)
    scaled = np.rint(vectors / largest * 127).astype(np.int8)
    return f"{vectors.shape[1]}:{base64.b64encode(scaled.tobytes()).decode('ascii')}"


def _unpack(packed: str) -> Vectors:
    dimension, _, numbers = packed.partition(":")
    scaled = np.frombuffer(base64.b64decode(numbers), dtype=np.int8)
    return normalized(scaled.reshape(-1, int(dimension)).astype(np.float32))


def passage_row(passage: Passage, sentence_vectors: Vectors, duplicate_group: str) -> dict[str, str | int]:
    """The metadata of a passage's row; its text is the row's document."""
    return {
        **{name: getattr(passage, name) for name in _PASSAGE_FIELDS},
        "sentences": json.dumps(passage.sentences),
        _SENTENCE_VECTORS: _pack(sentence_vectors),
        "published": date_number(passage.published),
        "story": duplicate_group,
    }


def article_row(stored: StoredArticle, added: datetime) -> dict[str, str | int]:
    """The metadata of an article's row; `added` is when the article was first indexed."""
    article = stored.article
    return {
        **{name: getattr(article, name) for name in _ARTICLE_FIELDS},
        "published": date_number(article.published),
        "passages": len(stored.passages),
        "extra": json.dumps(article.extra),
        "story": stored.duplicate_group or article.text_digest,
        "copies": copies_json(stored.copies),
        "sketch": stored.sketch,
        "added": added.isoformat(timespec="seconds"),
    }


def copies_json(copies: Sequence[Copy]) -> str:
    """Copies as their article's row holds them."""
    return json.dumps([astuple(copy) for copy in copies])


def passages_from(rows: Rows) -> list[Passage]:
    """The passages in these rows, without those whose text or metadata Chroma has lost."""
    columns = zip(rows["ids"], rows["documents"], rows["metadatas"], strict=True)
    return [_passage(i, text, row) for i, text, row in columns if text is not None and row is not None]


def sentence_vectors_from(rows: Rows) -> dict[str, Vectors]:
    """The vectors of the passages' sentences, of length 1, by passage id; without those that Chroma has lost."""
    columns = zip(rows["ids"], rows["metadatas"], strict=True)
    return {i: _unpack(str(row[_SENTENCE_VECTORS])) for i, row in columns if row}


def sentence_spans(row: Mapping[str, Any]) -> tuple[Span, ...]:
    """The spans of a passage's sentences, from its row."""
    return tuple((start, end) for start, end in json.loads(row["sentences"]))


def _passage(passage_id: str, text: str, row: Mapping[str, Any]) -> Passage:
    return Passage(
        id=passage_id,
        text=text,
        sentences=sentence_spans(row),
        published=_day(row),
        duplicate_group=row["story"],
        **{name: row[name] for name in _PASSAGE_FIELDS},
    )


def entries_from(rows: Rows) -> list[ArticleEntry]:
    """The articles in these rows, without those whose metadata Chroma has lost."""
    return [_entry(i, row) for i, row in zip(rows["ids"], rows["metadatas"], strict=True) if row is not None]


def _entry(article_id: str, row: Mapping[str, Any]) -> ArticleEntry:
    return ArticleEntry(
        id=article_id,
        published=_day(row),
        passages=row["passages"],
        extra=tuple((name, value) for name, value in json.loads(row["extra"])),
        duplicate_group=row["story"],
        copies=tuple(Copy(*copy) for copy in json.loads(row["copies"])),
        added=datetime.fromisoformat(row["added"]) if row.get("added") else None,
        **{name: row[name] for name in _ARTICLE_FIELDS},
    )


def _day(row: Mapping[str, Any]) -> date | None:
    return number_date(row["published"]) if row["published"] else None


def filter_conditions(filters: Filters) -> list[dict[str, Any]]:
    """The conditions, in Chroma's form, that the rows of the passages must meet which the filters allow."""
    first, last = filters.published_after, filters.published_before
    conditions: list[dict[str, Any]] = []
    if first or last:  # passages without a date have the number 0, below that of any day
        conditions.append({"published": {"$gte": date_number(first or date.min)}})
    if last:
        conditions.append({"published": {"$lte": date_number(last)}})
    if filters.sources:
        conditions.append({"source": {"$in": list(filters.sources)}})
    if filters.article_ids:
        conditions.append({"article_id": {"$in": list(filters.article_ids)}})
    return conditions
