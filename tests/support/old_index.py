"""Indexes of format 3, written as that version of Pullquote wrote them."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.catalog.rows import StoredArticle, date_number
from rag.store.catalog.source_states import SourceState
from tests.support.store import MODEL

STATES = [
    SourceState("/a.txt", "a.txt", "1", 'x;{"title": "headline"}', 1, ("/p", "/q")),
    SourceState("/b.txt", "b.txt", "2", articles=2),
]
BUILT_WITH = {"format": 3, "embedding_model": MODEL, "splitter": "cut", "generation": 7}


def packed(vectors: Vectors) -> str:
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-9)
    scaled = np.rint(vectors / largest * 127).astype(np.int8)
    return f"{vectors.shape[1]}:{base64.b64encode(scaled.tobytes()).decode('ascii')}"


def old_pair(client: Any, articles: Sequence[StoredArticle], suffix: str = "", **metadata: Any) -> tuple[Any, Any]:
    """A pair of collections, of passages and of articles, with these rows."""
    rows = {**BUILT_WITH, "built": 1, "dimension": 4, **metadata}
    made = [
        client.create_collection(
            f"{name}{suffix}",
            metadata={key: value for key, value in rows.items() if value is not None},
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )
        for name in ("passages", "articles")
    ]
    for one in articles:
        put_passages(made[0], one)
        put_article(made[1], one)
    return made[0], made[1]


def put_passages(collection: Any, one: StoredArticle) -> None:
    collection.upsert(
        ids=[passage.id for passage in one.passages],
        embeddings=one.vectors,
        documents=[passage.text for passage in one.passages],
        metadatas=[
            passage_row(one, passage, own) for passage, own in zip(one.passages, one.sentence_vectors, strict=True)
        ],
    )


def passage_row(one: StoredArticle, passage: Passage, sentence_vectors: Vectors) -> dict[str, Any]:
    names = ("article_id", "digest", "ordinal", "start", "end", "title", "source", "url", "author")
    return {
        **{name: getattr(passage, name) for name in names},
        "sentences": json.dumps(passage.sentences),
        "sentence_vectors": packed(sentence_vectors),
        "published": date_number(passage.published),
        "story": one.duplicate_group or one.article.text_digest,
    }


def put_article(collection: Any, one: StoredArticle) -> None:
    article = one.article
    names = ("digest", "title", "source", "url", "author", "origin", "language", "text_digest")
    row = {
        **{name: getattr(article, name) for name in names},
        "published": date_number(article.published),
        "passages": len(one.passages),
        "extra": json.dumps(article.extra),
        "story": one.duplicate_group or article.text_digest,
        "copies": json.dumps([astuple(copy) for copy in one.copies]),
        "sketch": one.sketch,
        **({"added": one.added.isoformat(timespec="seconds")} if one.added else {}),
    }
    collection.upsert(ids=[article.id], embeddings=[one.vectors.mean(axis=0)], metadatas=[row])


def other_files(folder: Path, states: Sequence[SourceState] = STATES) -> None:
    """What lay beside Chroma's files: the full text and the states of sources."""
    (folder / "lexical").mkdir()
    (folder / "lexical" / "meta.json").write_text("{}")
    with closing(sqlite3.connect(folder / "sources.sqlite3")) as connection, connection:
        connection.execute("CREATE TABLE stamps (origin TEXT PRIMARY KEY, name, version, options, articles, pages)")
        rows = [(*astuple(state)[:-1], json.dumps(state.pages)) for state in states]
        connection.executemany("INSERT INTO stamps VALUES (?, ?, ?, ?, ?, ?)", rows)
