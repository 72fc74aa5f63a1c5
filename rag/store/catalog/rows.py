"""Articles and passages to and from rows of the catalogue.

Knows nothing of statements and connections.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from rag.errors import StoreError
from rag.models.embedding import Vectors, normalized
from rag.schema import Article, ArticleEntry, Copy, Passage, Span, passage_id
from rag.store.catalog.quantization import SCALE_BYTES, quantized
from rag.store.hints import repair_hint

BANDS, BAND_HASHES = 21, 3
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Joins hashes to one: 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4)."""

Values = dict[str, Any]
"""A row to insert, by column."""
_ARTICLE_FIELDS = ("id", "digest", "title", "source", "url", "author", "origin", "language", "text_digest")
_OWN_FIELDS = ("key", "ordinal", "start", "end", "text")
_SHARED_FIELDS = ("digest", "title", "source", "url", "author", "duplicate_group")
"""Fields that rows hold unchanged, under their own name: of articles, of passages, and of passages' articles."""
_CHECKED_FIELDS = (
    *_ARTICLE_FIELDS,
    *("key", "first_passage", "passages", "published", "extra", "duplicate_group", "sketch", "added"),
)
"""Of an article: all but its copies."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article with everything written for it: its passages, and one row of vectors for each.

    `duplicate_group` and `copies` are as in ArticleEntry; `sketch` finds near duplicates; `added` is when it was first
    indexed, now if None.
    """

    article: Article
    passages: Sequence[Passage]
    vectors: Vectors
    sentence_vectors: Sequence[Vectors]
    duplicate_group: str = ""
    copies: tuple[Copy, ...] = ()
    sketch: str = ""
    added: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage and the vectors of its sentences, one row each, of length 1."""

    passage: Passage
    sentence_vectors: Vectors


@dataclass(frozen=True, slots=True)
class Sketched:
    """An article that may be a near duplicate: its duplicate group and its sketch."""

    duplicate_group: str
    sketch: str


def bands_of(sketch: str) -> list[int]:
    """Hashes of parts of a MinHash, one of which similar texts have in common; none for an empty sketch.

    With 21 bands of 3 hashes, two texts of which .6 of the shingles are the same share a band with a probability of
    .994, and with .1 of the shingles, of .02: 1 - (1 - s^3)^21 (Leskovec et al., Mining of Massive Datasets, 3.4).
    """
    try:
        hashes = np.frombuffer(base64.b64decode(sketch), dtype="<u4").astype(np.uint64)
    except ValueError:
        return []
    if len(hashes) < BANDS * BAND_HASHES:
        return []
    parts = hashes[: BANDS * BAND_HASHES].reshape(BANDS, BAND_HASHES)
    mixed = np.arange(BANDS, dtype=np.uint64)
    for column in parts.T:
        mixed = (mixed + column) * HASH_FACTOR
    return list(dict.fromkeys(mixed.view(np.int64).tolist()))


def date_number(day: date | None) -> int:
    """A day as a number that sorts and filters by range, such as 20240131; 0 for None."""
    return day.year * 10000 + day.month * 100 + day.day if day else 0


def number_date(number: int) -> date | None:
    """The day of a `date_number`."""
    return date(number // 10000, number // 100 % 100, number % 100) if number else None


def pack_sentences(vectors: Vectors) -> bytes:
    """The vectors of sentences, quantized, without scales: they have length 1."""
    return quantized(vectors)[:, SCALE_BYTES:].tobytes()


def unpack_sentences(packed: bytes, dimension: int) -> Vectors:
    """The vectors of sentences, one row each, of length 1."""
    return normalized(np.frombuffer(packed, dtype=np.int8).reshape(-1, dimension or 1).astype(np.float32))


def article_values(stored: StoredArticle, key: int, first_passage: int, added: datetime) -> Values:
    """An article's row."""
    article = stored.article
    values = {
        **{name: getattr(article, name) for name in _ARTICLE_FIELDS},
        # An article that was read from the index has lost the captions and lists that its digest depends on.
        "digest": stored.passages[0].digest if stored.passages else article.digest,
        "key": key,
        "first_passage": first_passage,
        "passages": len(stored.passages),
        "published": date_number(article.published),
        "extra": json.dumps(article.extra),
        "duplicate_group": stored.duplicate_group or article.text_digest,
        "copies": copies_json(stored.copies),
        "sketch": stored.sketch,
        "added": added.isoformat(timespec="seconds"),
    }
    return {**values, "checksum": article_checksum(values)}


def article_checksum(row: Mapping[Any, Any]) -> int:
    """The checksum of an article's row, without its copies, which change."""
    return _checksum("\x1f".join(str(row[name]) for name in _CHECKED_FIELDS))


def passage_checksum(row: Mapping[Any, Any]) -> int:
    """The checksum of a passage's text, and of where it and its sentences are."""
    return _checksum(f"{row['ordinal']},{row['start']},{row['end']},{row['sentences']},{row['text']}")


def vector_checksum(row: Mapping[Any, Any]) -> int:
    """The checksum of a passage's vector and of those of its sentences."""
    return zlib.crc32(row["sentence_vectors"], zlib.crc32(row["vector"]))


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def listing_values(row: Values) -> Values:
    """The row that an article is searched for and sorted by, from its own row."""
    title, source, author, article_id = (row[name].casefold() for name in ("title", "source", "author", "id"))
    return {
        **{name: row[name] for name in ("key", "published", "passages", "added")},
        "words": f"{title} {source} {author} {article_id} {number_date(row['published']) or ''}",
        "name": title or article_id,
        "title": title,
        "source": source,
        "author": author,
    }


def passage_values(stored: StoredArticle, article_key: int, first_passage: int) -> list[Values]:
    """The rows of an article's passages."""
    columns = zip(stored.passages, quantized(stored.vectors), stored.sentence_vectors, strict=True)
    rows: list[Values] = [
        {
            "key": first_passage + number,
            "article_key": article_key,
            "ordinal": passage.ordinal,
            "start": passage.start,
            "end": passage.end,
            "text": passage.text,
            "sentences": sentences_json(passage.sentences),
            "vector": vector.tobytes(),
            "sentence_vectors": pack_sentences(sentence_vectors),
        }
        for number, (passage, vector, sentence_vectors) in enumerate(columns)
    ]
    return [{**row, "checksum": passage_checksum(row), "vector_checksum": vector_checksum(row)} for row in rows]


def place_values(article_key: int, places: Sequence[tuple[str, str]]) -> list[Values]:
    """The rows of an article's places: its id and origin, then those of its copies."""
    return [
        {"article_key": article_key, "number": number, "id": place_id, "origin": origin}
        for number, (place_id, origin) in enumerate(places)
    ]


def copies_json(copies: Sequence[Copy]) -> str:
    """Copies as their article's row holds them."""
    return json.dumps([astuple(copy) for copy in copies])


def sentences_json(sentences: Sequence[Span]) -> str:
    """The spans of sentences as a passage's row holds them."""
    return json.dumps(sentences, separators=(",", ":"))


def sentence_spans(sentences: str) -> tuple[Span, ...]:
    """The spans of a passage's sentences, from its row."""
    return tuple((start, end) for start, end in json.loads(sentences))


def whole_rows(rows: Sequence[RowMapping], folder: Path) -> Iterator[RowMapping]:
    """The rows of passages among these that are as they were written: a damaged text must not be quoted."""
    for row in rows:
        if passage_checksum(row) == row["checksum"]:
            yield row
        else:
            log.warning("passage %s of %s is damaged and left out; %s", row["key"], folder, repair_hint(folder))


def entry_from(row: Mapping[Any, Any]) -> ArticleEntry:
    """The article of a row. Raises StoreError if the row is damaged."""
    try:
        return _entry(row)
    except (ValueError, TypeError) as error:
        reason = "repair the index: pullquote check --fix"
        raise StoreError(f"the article {row['id']!r} is damaged in the catalogue; {reason}") from error


def _entry(row: Mapping[Any, Any]) -> ArticleEntry:
    return ArticleEntry(
        published=number_date(row["published"]),
        passages=row["passages"],
        extra=tuple((name, value) for name, value in json.loads(row["extra"])),
        duplicate_group=row["duplicate_group"],
        copies=tuple(Copy(*copy) for copy in json.loads(row["copies"])),
        added=datetime.fromisoformat(row["added"]),
        **{name: row[name] for name in _ARTICLE_FIELDS},
    )


def article_from(entry: ArticleEntry, passages: Sequence[Passage]) -> Article:
    """An article with its full text; `captions` and `lists` are empty, as they are not stored."""
    return Article(
        id=entry.id,
        title=entry.title,
        text="".join(passage.text for passage in passages),
        source=entry.source,
        url=entry.url,
        author=entry.author,
        published=entry.published,
        origin=entry.origin,
        language=entry.language,
        extra=entry.extra,
    )


def stored_from(
    entry: ArticleEntry,
    passages: Sequence[Passage],
    vectors: Vectors,
    sentence_vectors: Sequence[Vectors],
    sketch: str,
) -> StoredArticle:
    """An article as it was stored, from its entry, its passages in order, and a row of vectors for each."""
    return StoredArticle(
        article_from(entry, passages),
        passages,
        vectors,
        sentence_vectors,
        entry.duplicate_group,
        entry.copies,
        sketch,
        entry.added,
    )


def passage_from(row: Mapping[Any, Any]) -> Passage:
    """The passage of a row that joins a passage to its article."""
    return Passage(
        id=passage_id(row["id"], row["digest"], row["ordinal"]),
        article_id=row["id"],
        sentences=sentence_spans(row["sentences"]),
        published=number_date(row["published"]),
        **{name: row[name] for name in (*_OWN_FIELDS, *_SHARED_FIELDS)},
    )
