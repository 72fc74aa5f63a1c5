"""Embeds a whole index again with another model, beside the collections in use.

Knows nothing of the model: a function that embeds passages is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.connection import (
    FULLTEXT_FOLDER,
    Connection,
    check_built_with,
    connect,
    create_pair,
    database_inode,
    drop_other_pairs,
    open_pair,
    pair_number,
)
from rag.store.fulltext import FullTextIndex
from rag.store.lock import locked
from rag.store.rows import entries_from, passage_row, passages_from
from rag.store.vectors import Rows, store_errors
from rag.store.writer import repair

ARTICLES_AT_ONCE = 32

Embed = Callable[[Sequence[Passage]], tuple[Vectors, list[Vectors]]]
"""Passages → their vectors, and those of their sentences."""


def rebuild(folder: Path, embedding_model: str, embed: Embed, progress: Callable[[int, int], object]) -> int:
    """Embed the stored text again with another model; returns the number of passages.

    The new collections come into use at the end; until then, and if this is interrupted, the old ones are in use.
    `progress` is called with the passages done and their total. Raises IndexMissing, IndexLocked, IndexMismatch or
    StoreError.
    """
    database_inode(folder)  # raises IndexMissing before the folder is locked, which would create it
    with locked(folder), store_errors(folder):
        repair(folder)
        old = connect(folder)
        check_built_with(old.metadata, str(old.metadata.get("embedding_model")), folder)
        drop_other_pairs(old.database, old.articles.name)
        number, generation = pair_number(old.articles.name) + 1, old.generation + 1
        metadata = {**old.metadata, "embedding_model": embedding_model, "generation": generation}
        unbuilt = {name: value for name, value in metadata.items() if name not in ("built", "dimension")}
        create_pair(old.database, number, unbuilt)
        new, total, done, dimension = open_pair(old.database, number), old.passages.count(), 0, 0
        for page in old.articles.pages(ARTICLES_AT_ONCE, "metadatas"):
            vectors = _copy_articles(page, old, new, embed)
            done, dimension = done + len(vectors), vectors.shape[1] if len(vectors) else dimension
            progress(done, total)
        fulltext = folder / FULLTEXT_FOLDER
        if not FullTextIndex.open_current(fulltext, old.generation, done):
            FullTextIndex.build(fulltext, generation, new.committed_passages())
        FullTextIndex.write_generation(fulltext, generation)  # one ahead, as in any other write
        new.articles.modify({**metadata, "built": 1, **({"dimension": dimension} if dimension else {})})
        FullTextIndex.write_generation(fulltext, generation)
        drop_other_pairs(old.database, new.articles.name)
    return done


def _copy_articles(articles: Rows, old: Connection, new: Connection, embed: Embed) -> Vectors:
    """Embed the passages of these articles, write both into the new pair, and return the passages' vectors."""
    current = {entry.id: entry.digest for entry in entries_from(articles)}
    rows = old.passages.find([{"article_id": {"$in": articles["ids"]}}], "documents", "metadatas")
    passages = [passage for passage in passages_from(rows) if current[passage.article_id] == passage.digest]
    if not passages:
        return np.zeros((0, 0), dtype=np.float32)
    vectors, sentences = embed(passages)
    new.upsert_passages(
        passages, vectors, [passage_row(p, own, p.duplicate_group) for p, own in zip(passages, sentences, strict=True)]
    )
    own = {i: [n for n, p in enumerate(passages) if p.article_id == i] for i in articles["ids"]}
    means = np.stack([vectors[own[i]].mean(axis=0) if own[i] else np.zeros(vectors.shape[1]) for i in articles["ids"]])
    new.articles.upsert(articles["ids"], means.astype(np.float32), [row or {} for row in articles["metadatas"]])
    return vectors
