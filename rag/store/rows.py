"""What is stored of articles and passages ⇄ the rows of the two collections: strings and numbers alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from rag.models.embedding import Vectors, normalized
from rag.schema import Article, ArticleEntry, Copy, Filters, Passage, Span
from rag.store.fulltext import date_number, number_date

SENTENCE_VECTORS = "sentence_vectors"


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with all that is written for it: its passages and their vectors, row by row.

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
    """An article near to another one: the cosine of their vectors, its story and its sketch."""

    similarity: float
    duplicate_group: str
    sketch: str


def packed(vectors: Vectors) -> str:
    """Vectors as Chroma can keep them beside a passage: a byte a number, which changes a cosine by some .001."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-9)
    scaled = np.rint(vectors / largest * 127).astype(np.int8)
    return f"{vectors.shape[1]}:{base64.b64encode(scaled.tobytes()).decode('ascii')}"


def unpacked(packed: str) -> Vectors:
    """The vectors that were packed, of length 1."""
    dimension, _, numbers = packed.partition(":")
    scaled = np.frombuffer(base64.b64decode(numbers), dtype=np.int8)
    return normalized(scaled.reshape(-1, int(dimension)).astype(np.float32))


def passage_row(passage: Passage, sentence_vectors: Vectors, duplicate_group: str) -> dict[str, str | int]:
    """The metadata of a passage's row; its text is the row's document."""
    return {
        "article_id": passage.article_id,
        "digest": passage.digest,
        "ordinal": passage.ordinal,
        "start": passage.start,
        "end": passage.end,
        "sentences": json.dumps(passage.sentences),
        SENTENCE_VECTORS: packed(sentence_vectors),
        "title": passage.title,
        "source": passage.source,
        "url": passage.url,
        "author": passage.author,
        "published": date_number(passage.published),
        "story": duplicate_group,
    }


def article_row(stored: StoredArticle, added: datetime) -> dict[str, str | int]:
    """The metadata of an article's row; `added` is when it first came into the index."""
    article = stored.article
    return {
        "digest": article.digest,
        "title": article.title,
        "source": article.source,
        "url": article.url,
        "author": article.author,
        "published": date_number(article.published),
        "origin": article.origin,
        "passages": len(stored.passages),
        "language": article.language,
        "extra": json.dumps(article.extra),
        "text_digest": article.text_digest,
        "story": stored.duplicate_group or article.text_digest,
        "copies": copies_row(stored.copies),
        "sketch": stored.sketch,
        "added": added.isoformat(timespec="seconds"),
    }


def copies_row(copies: Sequence[Copy]) -> str:
    """Copies as their article's row keeps them."""
    return json.dumps([astuple(copy) for copy in copies])


def passages(found: Any) -> list[Passage]:
    """The passages of what Chroma found, without rows that have lost what belongs to them."""
    rows = zip(found["ids"], found["documents"], found["metadatas"], strict=True)
    return [_passage(*row) for row in rows if row[1] is not None and row[2] is not None]


def sentence_spans(row: Mapping[str, Any]) -> tuple[Span, ...]:
    """The spans of a passage's sentences, as its row keeps them."""
    return tuple((start, end) for start, end in json.loads(row["sentences"]))


def _passage(passage_id: str, text: str, row: Mapping[str, Any]) -> Passage:
    return Passage(
        id=passage_id,
        article_id=row["article_id"],
        digest=row["digest"],
        ordinal=row["ordinal"],
        start=row["start"],
        end=row["end"],
        text=text,
        sentences=sentence_spans(row),
        title=row["title"],
        source=row["source"],
        url=row["url"],
        author=row["author"],
        published=number_date(row["published"]) if row["published"] else None,
        duplicate_group=row["story"],
    )


def entries(found: Any) -> list[ArticleEntry]:
    """The articles of what Chroma found, without rows that have lost what belongs to them."""
    rows = ((i, row) for i, row in zip(found["ids"], found["metadatas"], strict=True) if row is not None)
    return [
        ArticleEntry(
            id=article_id,
            title=row["title"],
            source=row["source"],
            url=row["url"],
            author=row["author"],
            published=number_date(row["published"]) if row["published"] else None,
            origin=row["origin"],
            digest=row["digest"],
            passages=row["passages"],
            language=row["language"],
            extra=tuple((name, value) for name, value in json.loads(row["extra"])),
            text_digest=row["text_digest"],
            duplicate_group=row["story"],
            copies=tuple(Copy(*copy) for copy in json.loads(row["copies"])),
            added=datetime.fromisoformat(row["added"]) if row.get("added") else None,
        )
        for article_id, row in rows
    ]


def conditions(filters: Filters) -> list[dict[str, Any]]:
    """What the rows of passages must meet that the filters let through, each condition in Chroma's form."""
    terms: list[dict[str, Any]] = []
    if filters.published_after:
        terms.append({"published": {"$gte": date_number(filters.published_after)}})
    if filters.published_before:
        terms += [{"published": {"$gt": 0}}, {"published": {"$lte": date_number(filters.published_before)}}]
    if filters.sources:
        terms.append({"source": {"$in": list(filters.sources)}})
    if filters.article_ids:
        terms.append({"article_id": {"$in": list(filters.article_ids)}})
    return terms
