"""Writes to the index: one writer, one article at a time committed, repair after an interruption."""

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
    built_collections,
    check_made_with,
    committed_passages,
    connect,
    digests,
    drop_all_but,
    make_pair,
    passage_pages,
    upsert_passages,
    whole_fulltext,
)
from rag.store.fulltext import FullTextIndex
from rag.store.hints import new_index_hint
from rag.store.index import Index, View
from rag.store.lock import locked
from rag.store.rows import (
    SENTENCE_VECTORS,
    Neighbour,
    StoredArticle,
    article_row,
    copies_row,
    entries,
    passage_row,
    sentence_spans,
    unpacked,
)
from rag.store.vectors import (
    Database,
    Found,
    LostVectors,
    store_errors,
)

REMOVED_AT_ONCE = 1000
TAKEN_OUT = "taken-out.json"
"""The file of the passages' rows that are taken out for a moment."""


class IndexWriter(Index):
    """An index, opened for writing by this process alone. Made by `open_for_writing`.

    After a write that failed, the writer refuses to go on; opening for writing again mends what it left.
    """

    _interrupted = False
    _counts = False  # `open_for_writing` has just done it

    def _fresh(self) -> View:
        # Nobody else writes while this process holds the lock.
        return self._view

    def put(self, batch: Sequence[StoredArticle]) -> None:
        """Add these articles, or replace them; each is there, with its text, once this returns.

        Passages first, then the articles' rows, which commit them, then the superseded passages out: a process
        killed at any point leaves either the old version or the new one.
        """
        if not batch:
            return
        view = self._fresh()
        ids = [stored.article.id for stored in batch]
        parts = [passage for stored in batch for passage in stored.passages]
        told = ([stored.duplicate_group or stored.article.text_digest] * len(stored.passages) for stored in batch)
        stories = [duplicate_group for of_one in told for duplicate_group in of_one]
        vectors = np.concatenate([stored.vectors for stored in batch])
        sentences = [of_one for stored in batch for of_one in stored.sentence_vectors]
        self._check_dimension(view, vectors.shape[1])
        added = {entry.id: entry.added for entry in self._entries(view, ids).values()}
        now = datetime.now(UTC)
        with self._writing(view, dimension=vectors.shape[1]):
            old = self._passage_ids(view, ids)
            rows = [passage_row(*row) for row in zip(parts, sentences, stories, strict=True)]
            upsert_passages(view.store, parts, vectors, rows)
            view.fulltext.replace(ids, parts)
            view.store.articles.upsert(
                ids,
                np.stack([stored.vectors.mean(axis=0) for stored in batch]),
                [article_row(stored, added.get(stored.article.id) or now) for stored in batch],
            )
            view.store.passages.delete(old - {passage.id for passage in parts})

    def set_copies(self, copies: Mapping[str, Sequence[Copy]]) -> None:
        """Say where else these articles stand."""
        view = self._fresh()
        known = list(self._entries(view, list(copies)))
        if known:
            with self._writing(view):
                view.store.articles.update(known, [{"copies": copies_row(copies[i])} for i in known])

    def delete_passages(self, passage_ids: Sequence[str]) -> None:
        """Remove passages that belong to no article."""
        view = self._fresh()
        with self._writing(view):
            view.store.passages.delete(passage_ids)

    def reinsert_passages(self, passage_ids: Sequence[str]) -> None:
        """Take these passages out and put them in as they were: Chroma's graph of vectors links them anew."""
        view = self._fresh()
        with self._writing(view):
            found = view.store.passages.get(passage_ids, "embeddings", "documents", "metadatas")
            keep_in_file(self.folder, found)
            view.store.passages.delete(found["ids"])
            put_back(self.folder, view.store)

    def find_by_text(self, text_digests: Sequence[str]) -> dict[str, ArticleEntry]:
        """Those articles whose text is one of these, by the text's digest."""
        view = self._fresh()
        with store_errors(self.folder):
            found = view.store.articles.find([{"text_digest": {"$in": text_digests}}], "metadatas")
        return {entry.text_digest: entry for entry in entries(found)}

    def vectors(self, article_id: str) -> tuple[Vectors, list[Vectors], list[tuple[Span, ...]]]:
        """The vectors of an article's passages and of their sentences, and the sentences' spans, passage by passage."""
        view = self._fresh()
        terms = [{"article_id": article_id}, {"digest": self._entries(view, [article_id])[article_id].digest}]
        with store_errors(self.folder):
            found = view.store.passages.find(terms, "embeddings", "metadatas")
        rows = [row or {} for row in found["metadatas"]]
        order = sorted(range(len(rows)), key=lambda i: int(str(rows[i]["ordinal"])))
        vectors = np.asarray(found["embeddings"], dtype=np.float32)[order]
        rows = [rows[i] for i in order]
        return vectors, [unpacked(str(row[SENTENCE_VECTORS])) for row in rows], [sentence_spans(row) for row in rows]

    def neighbours(self, vectors: Vectors, limit: int) -> list[list[Neighbour]]:
        """For each vector the articles nearest to it in meaning, at most `limit`, the nearest first."""
        view = self._fresh()
        with store_errors(self.folder):
            try:
                found = view.store.articles.nearest(vectors, limit, with_rows=True)
            except LostVectors:  # no neighbours can be found until a check repairs the vectors
                return [[] for _ in vectors]
        return [[Neighbour(n.similarity, str(n.row["story"]), str(n.row["sketch"])) for n in one] for one in found]

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove these articles with all that belongs to them; returns how many there were."""
        known = list(self._entries(self._fresh(), article_ids))
        for start in range(0, len(known), REMOVED_AT_ONCE):
            part, view = known[start : start + REMOVED_AT_ONCE], self._fresh()
            with self._writing(view):
                old = self._passage_ids(view, part)
                view.store.articles.delete(part)
                view.fulltext.replace(part, [])
                view.store.passages.delete(old)
        return len(known)

    @contextmanager
    def _writing(self, view: View, **made_with: int) -> Iterator[None]:
        """Stamp the full text one generation ahead, write, and raise the generation to it."""
        if self._interrupted:
            raise StoreError(f"an earlier write to {self.folder} failed; run the command again, which mends it")
        self._interrupted = True
        generation, folder = view.generation + 1, self.folder / FULLTEXT_FOLDER
        with store_errors(self.folder):
            FullTextIndex.write_stamp(folder, generation)
            yield
            view.store.articles.modify({**view.store.metadata, **made_with, "generation": generation})
            FullTextIndex.write_stamp(folder, generation)
        self._view = replace(view, generation=generation, mark=FullTextIndex.mark(folder))
        self._interrupted = False

    def _passage_ids(self, view: View, article_ids: Sequence[str]) -> set[str]:
        return set(view.store.passages.find([{"article_id": {"$in": article_ids}}])["ids"])

    def _check_dimension(self, view: View, dimension: int) -> None:
        known = view.store.metadata.get("dimension", dimension)
        if known != dimension:
            raise IndexMismatch(
                f"the vectors in {self.folder} have {known} numbers, those of {self.embedding_model} {dimension}; "
                f"{new_index_hint(self.folder)}"
            )


@contextmanager
def open_for_writing(folder: Path, embedding_model: str, splitter: str) -> Iterator[IndexWriter]:
    """Open an index as its only writer, making it if there is none, and mending what an interrupted write left.

    `splitter` names what cuts passages now, and is recorded. Articles that an earlier version cut stay as they are
    until they change. Raises IndexLocked when another process writes, IndexMismatch when the index was made with
    another embedding model, StoreError when it cannot be written at all.
    """
    with locked(folder):
        with store_errors(folder):
            _create(folder, embedding_model, splitter)
            repair(folder)
        yield IndexWriter(folder, embedding_model)


def _create(folder: Path, embedding_model: str, splitter: str) -> None:
    """Make the two collections where they are missing; check that they were made for what is asked now."""
    made_with = {"format": FORMAT, "embedding_model": embedding_model, "splitter": splitter}
    with closing(Database(folder)) as database:
        found = built_collections(database)
        if not found:
            make_pair(database, 0, {**made_with, "generation": 0, "built": 1})
            return
        name, metadata = found[-1]
        check_made_with(metadata, embedding_model, folder)
        if metadata.get("splitter") != splitter:
            database.rows(name).modify({**metadata, "splitter": splitter})
        drop_all_but(database, name)


def repair(folder: Path) -> None:
    """After an interrupted write, drop the passages that no article's row commits and build the full text anew."""
    store, fulltext = connect(folder), folder / FULLTEXT_FOLDER
    put_back(folder, store)
    generation = int(store.metadata.get("generation", 0))
    if whole_fulltext(fulltext, generation, store.passages.count()):
        return
    live = digests(store)
    for page in passage_pages(store):
        store.passages.delete(p.id for p in page if live.get(p.article_id) != p.digest)
    build_fulltext(store, fulltext, generation)


def keep_in_file(folder: Path, found: Found) -> None:
    """Keep passages' rows in a file until they are put back, should this process end before."""
    embeddings = [[float(number) for number in vector] for vector in found["embeddings"]]
    new = folder / f"{TAKEN_OUT}.new"
    new.write_text(json.dumps({**found, "embeddings": embeddings}), "utf-8")
    new.replace(folder / TAKEN_OUT)


def put_back(folder: Path, store: Connection) -> None:
    """Put in the passages' rows that were taken out, if any were."""
    file = folder / TAKEN_OUT
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return
    vectors = np.asarray(found["embeddings"], dtype=np.float32)
    store.passages.upsert(found["ids"], vectors, found["metadatas"], found["documents"])
    file.unlink()


def build_fulltext(store: Connection, folder: Path, generation: int) -> None:
    FullTextIndex.delete(folder)
    FullTextIndex(folder, create=True).replace([], committed_passages(store))
    FullTextIndex.write_stamp(folder, generation)
