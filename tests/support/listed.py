"""Indexes of articles that are given by their metadata alone, with vectors that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ingest.articles.passages import split
from rag.schema import Article, ArticleEntry, Passage
from rag.store.catalog.rows import StoredArticle
from rag.store.index import Index
from rag.store.writer import open_for_writing

MODEL = "model"


def stored(entry: ArticleEntry) -> StoredArticle:
    """The article with this metadata and as many passages of one sentence."""
    article = Article(
        entry.id,
        entry.title,
        f"This is what {entry.id} says.",
        entry.source,
        entry.url,
        entry.author,
        entry.published,
        entry.origin,
    )
    [passage] = split(article)
    passages: list[Passage] = [replace(passage, ordinal=n) for n in range(entry.passages)]
    vectors = np.tile(np.eye(4, dtype=np.float32)[0], (len(passages), 1))
    sentences = [np.tile(vectors[0], (len(passage.sentences), 1))] * len(passages)
    return StoredArticle(article, passages, vectors, sentences, copies=entry.copies, added=entry.added)


def index_of(folder: Path, entries: Sequence[ArticleEntry]) -> Index:
    """An index of these articles."""
    with open_for_writing(folder, MODEL, "splitter") as writer:
        writer.put([stored(entry) for entry in entries])
        writer.finish()
    return Index(folder, MODEL)
