"""Embeds a whole index anew with another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.connection import (
    FULLTEXT_FOLDER,
    Connection,
    check_made_with,
    collection_names,
    connect,
    database_file_number,
    drop_all_but,
    make_pair,
    pair_number,
    upsert_passages,
    whole_fulltext,
)
from rag.store.fulltext import FullTextIndex
from rag.store.lock import locked
from rag.store.rows import (
    entries,
    passage_row,
    passages,
)
from rag.store.vectors import (
    Found,
    store_errors,
)
from rag.store.writer import build_fulltext, repair

REBUILT = 32
"""Articles that are embedded anew at once."""


Embed = Callable[[Sequence[Passage]], tuple[Vectors, list[Vectors]]]
"""Passages → their vectors, and those of their sentences."""


def rebuild(folder: Path, embedding_model: str, embed: Embed, progress: Callable[[int, int], object]) -> int:
    """Embed everything anew, with another model, out of the text that is stored; returns the number of passages.

    The new collections come into use at the end; until then, and if this is interrupted, the old ones are. `progress`
    is given passages done and all of them. Raises IndexMissing, IndexLocked, IndexMismatch or StoreError.
    """
    database_file_number(folder)
    with locked(folder), store_errors(folder):
        repair(folder)
        old = connect(folder)
        check_made_with(old.metadata, str(old.metadata.get("embedding_model")), folder)
        drop_all_but(old.database, old.articles.name)
        number, generation = pair_number(old.articles.name) + 1, int(old.metadata.get("generation", 0)) + 1
        made_with = {**old.metadata, "embedding_model": embedding_model, "generation": generation}
        unbuilt = {name: value for name, value in made_with.items() if name not in ("built", "dimension")}
        make_pair(old.database, number, unbuilt)
        articles, passages = map(old.database.rows, collection_names(number))
        new, total, done, dimension = Connection(old.database, passages, articles), old.passages.count(), 0, 0
        for page in old.articles.pages(REBUILT, "metadatas"):
            vectors = _embedded_anew(page, old, new, embed)
            done, dimension = done + len(vectors), vectors.shape[1] if len(vectors) else dimension
            progress(done, total)
        fulltext = folder / FULLTEXT_FOLDER
        if not whole_fulltext(fulltext, generation - 1, done):
            build_fulltext(new, fulltext, generation)
        FullTextIndex.write_stamp(fulltext, generation)  # ahead, as by any other write
        articles.modify({**made_with, "built": 1, **({"dimension": dimension} if dimension else {})})
        FullTextIndex.write_stamp(fulltext, generation)
        drop_all_but(old.database, articles.name)
    return done


def _embedded_anew(found: Found, old: Connection, new: Connection, embed: Embed) -> Vectors:
    """Copy these articles with their passages from one pair of collections to the other."""
    of_these = [{"article_id": {"$in": found["ids"]}}]
    live = {entry.id: entry.digest for entry in entries(found)}
    parts = passages(old.passages.find(of_these, "documents", "metadatas"))
    parts = [passage for passage in parts if live[passage.article_id] == passage.digest]
    if not parts:
        return np.zeros((0, 0), dtype=np.float32)
    vectors, sentences = embed(parts)
    rows = [passage_row(p, of_p, p.duplicate_group) for p, of_p in zip(parts, sentences, strict=True)]
    upsert_passages(new, parts, vectors, rows)
    own = {i: [n for n, p in enumerate(parts) if p.article_id == i] for i in found["ids"]}
    means = np.stack([vectors[own[i]].mean(axis=0) if own[i] else np.zeros(vectors.shape[1]) for i in found["ids"]])
    new.articles.upsert(found["ids"], means.astype(np.float32), [row or {} for row in found["metadatas"]])
    return vectors
