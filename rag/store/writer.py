"""Writes the index: one writer at a time, each article committed as a whole, interrupted writes repaired.

Knows nothing of embedding and of sources: it receives articles with their vectors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rag.errors import IndexMismatch, StoreError
from rag.models.embedding import Vectors
from rag.schema import ArticleEntry, Copy, Span
from rag.store.connection import (
    FORMAT,
    FULLTEXT_FOLDER,
    Connection,
    built_pairs,
    check_built_with,
    connect,
    create_pair,
    drop_other_pairs,
)
from rag.store.fulltext import FullTextIndex
from rag.store.hints import new_index_hint
from rag.store.index import Index, View
from rag.store.lock import locked
from rag.store.rows import (
    Neighbour,
    StoredArticle,
    article_row,
    copies_json,
    entries_from,
    passage_row,
    passages_from,
    sentence_spans,
    sentence_vectors_from,
)
from rag.store.vectors import Database, LostVectors, Rows, store_errors

REMOVED_AT_ONCE = 1000
REMOVED_ROWS = "taken-out.json"
"""The file of the passages' rows while they are being reinserted."""


class IndexWriter(Index):
    """An index, opened for writing by this process alone. Created by `open_for_writing`.

    After a failed write it refuses further ones; opening for writing again repairs the index.
    """

    _interrupted = False
    _counts_passages = False  # `open_for_writing` has just done it

    def _current(self) -> View:
        # Nobody else writes while this process holds the lock.
        return self._view

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add or replace these articles; each is stored, with its text, when this returns.

        Passages are written first, then the articles' rows, which commit them, then superseded passages are deleted: a
        process killed at any point leaves either the old version or the new one.
        """
        if not batch:
            return
        ids = [stored.article.id for stored in batch]
        passages = [passage for stored in batch for passage in stored.passages]
        groups: list[str] = []
        for stored in batch:
            groups += [stored.duplicate_group or stored.article.text_digest] * len(stored.passages)
        vectors = np.concatenate([stored.vectors for stored in batch])
        sentences = [own for stored in batch for own in stored.sentence_vectors]
        self._check_dimension(vectors.shape[1])
        added = {entry.id: entry.added for entry in self.entries(ids).values()}
        now = datetime.now(UTC)
        with self._writing(dimension=vectors.shape[1]) as view:
            old = self._passage_ids(view, ids)
            rows = [passage_row(*row) for row in zip(passages, sentences, groups, strict=True)]
            view.store.upsert_passages(passages, vectors, rows)
            view.fulltext.replace(ids, passages)
            view.store.articles.upsert(
                ids,
                np.stack([stored.vectors.mean(axis=0) for stored in batch]),
                [article_row(stored, added.get(stored.article.id) or now) for stored in batch],
            )
            view.store.passages.delete(old - {passage.id for passage in passages})

    def set_copies(self, copies: Mapping[str, Sequence[Copy]]) -> None:
        """Replace the copies of these articles; unknown ones are ignored."""
        known = list(self.entries(list(copies)))
        if known:
            with self._writing() as view:
                view.store.articles.update(known, [{"copies": copies_json(copies[i])} for i in known])

    def delete_passages(self, passage_ids: Sequence[str]) -> None:
        """Delete passages that belong to no article."""
        with self._writing() as view:
            view.store.passages.delete(passage_ids)

    def reinsert_passages(self, passage_ids: Sequence[str]) -> None:
        """Delete these passages and insert them unchanged, so that Chroma links them again in its graph of vectors."""
        with self._writing() as view:
            rows = view.store.passages.get(passage_ids, "embeddings", "documents", "metadatas")
            _save_removed(self.folder, rows)
            view.store.passages.delete(rows["ids"])
            _restore_removed(self.folder, view.store)

    def find_by_text(self, text_digests: Sequence[str]) -> dict[str, ArticleEntry]:
        """The articles with one of these texts, by the text's digest."""
        with self._reading() as view:
            rows = view.store.articles.find([{"text_digest": {"$in": text_digests}}], "metadatas")
        return {entry.text_digest: entry for entry in entries_from(rows)}

    def vectors(self, article_id: str) -> tuple[Vectors, list[Vectors], list[tuple[Span, ...]]]:
        """The vectors of an article's passages and of their sentences, and the sentences' spans, passage by passage."""
        with self._reading() as view:
            conditions = [{"article_id": article_id}, {"digest": view.store.entries([article_id])[article_id].digest}]
            rows = view.store.passages.find(conditions, "embeddings", "metadatas")
        metadatas = [row or {} for row in rows["metadatas"]]
        order = sorted(range(len(metadatas)), key=lambda i: int(str(metadatas[i]["ordinal"])))
        sentences = sentence_vectors_from(rows)
        return (
            np.asarray(rows["embeddings"], dtype=np.float32)[order],
            [sentences[rows["ids"][i]] for i in order],
            [sentence_spans(metadatas[i]) for i in order],
        )

    def neighbours(self, vectors: Vectors, limit: int) -> list[list[Neighbour]]:
        """For each vector the nearest articles, at most `limit`, nearest first."""
        with self._reading() as view:
            try:
                results = view.store.articles.nearest(vectors, limit, with_metadata=True)
            except LostVectors:  # no neighbours can be found until a check repairs the vectors
                return [[] for _ in vectors]
        return [
            [Neighbour(m.similarity, str(m.metadata["story"]), str(m.metadata["sketch"])) for m in matches]
            for matches in results
        ]

    def remove(self, article_ids: Sequence[str]) -> int:
        """Delete these articles with their passages; returns how many there were."""
        known = list(self.entries(article_ids))
        for start in range(0, len(known), REMOVED_AT_ONCE):
            batch = known[start : start + REMOVED_AT_ONCE]
            with self._writing() as view:
                old = self._passage_ids(view, batch)
                view.store.articles.delete(batch)
                view.fulltext.replace(batch, [])
                view.store.passages.delete(old)
        return len(known)

    @contextmanager
    def _writing(self, **metadata: int) -> Iterator[View]:
        """Set the full text's generation file one ahead, write, then raise the index's generation to it."""
        if self._interrupted:
            raise StoreError(f"an earlier write to {self.folder} failed; run the command again, which repairs it")
        self._interrupted = True
        view, folder = self._view, self.folder / FULLTEXT_FOLDER
        generation = view.generation + 1
        with store_errors(self.folder):
            FullTextIndex.write_generation(folder, generation)
            yield view
            view.store.articles.modify({**view.store.metadata, **metadata, "generation": generation})
            FullTextIndex.write_generation(folder, generation)
        self._view = replace(view, generation=generation, file_state=FullTextIndex.file_state(folder))
        self._interrupted = False

    def _passage_ids(self, view: View, article_ids: Sequence[str]) -> set[str]:
        return set(view.store.passages.find([{"article_id": {"$in": article_ids}}])["ids"])

    def _check_dimension(self, dimension: int) -> None:
        if self.dimension not in (0, dimension):
            raise IndexMismatch(
                f"the vectors in {self.folder} have {self.dimension} numbers, but those of {self.embedding_model} have "
                f"{dimension}; {new_index_hint(self.folder)}"
            )


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer; creates it if there is none, and repairs it after an interrupted write.

    `splitter` names the current way of cutting passages, and is recorded. Articles cut by an earlier version stay as
    they are until they change. Raises IndexLocked when another process writes, IndexMismatch when the index was built
    with another embedding model, StoreError when it cannot be written at all.
    """
    with locked(folder):
        with store_errors(folder):
            _create(folder, embedding_model, splitter)
            repair(folder)
        yield IndexWriter(folder, embedding_model)


def _create(folder: Path, embedding_model: str, splitter: str) -> None:
    """Create the collections if they are missing; check that existing ones match what is configured."""
    with closing(Database(folder)) as database:
        pairs = built_pairs(database)
        if not pairs:
            built_with = {"format": FORMAT, "embedding_model": embedding_model, "splitter": splitter}
            create_pair(database, 0, {**built_with, "generation": 0, "built": 1})
            return
        name, metadata = pairs[-1]
        check_built_with(metadata, embedding_model, folder)
        if metadata.get("splitter") != splitter:
            database.collection(name).modify({**metadata, "splitter": splitter})
        drop_other_pairs(database, name)


def repair(folder: Path) -> None:
    """After an interrupted write, delete uncommitted passages and build the full text again."""
    store, fulltext = connect(folder), folder / FULLTEXT_FOLDER
    _restore_removed(folder, store)
    if FullTextIndex.open_current(fulltext, store.generation, store.passages.count()):
        return
    current = store.digests()
    for page in store.passage_pages():
        store.passages.delete(p.id for p in passages_from(page) if current.get(p.article_id) != p.digest)
    FullTextIndex.build(fulltext, store.generation, store.committed_passages())


def _save_removed(folder: Path, rows: Rows) -> None:
    """Save passages' rows in a file, in case this process ends before they are inserted again."""
    embeddings = [[float(number) for number in vector] for vector in rows["embeddings"]]
    new = folder / f"{REMOVED_ROWS}.new"
    new.write_text(json.dumps({**rows, "embeddings": embeddings}), "utf-8")
    new.replace(folder / REMOVED_ROWS)


def _restore_removed(folder: Path, store: Connection) -> None:
    """Insert the passages' rows that were saved, if there are any."""
    file = folder / REMOVED_ROWS
    try:
        rows = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return
    vectors = np.asarray(rows["embeddings"], dtype=np.float32)
    store.passages.upsert(rows["ids"], vectors, rows["metadatas"], rows["documents"])
    file.unlink()
