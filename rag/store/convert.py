"""Converts an index of format 3, which kept articles in Chroma, to a store with a catalogue, without embedding anew.

Knows the collections, rows and files of that format, and takes over all that they hold.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.errors import IndexMismatch, StoreError
from rag.models.embedding import Vectors, normalized
from rag.schema import ArticleEntry, Copy, Passage
from rag.store.catalog.reading import Catalog
from rag.store.catalog.rows import StoredArticle, number_date, sentence_spans, stored_from
from rag.store.catalog.source_states import SourceState
from rag.store.derived.chroma import BATCH, open_client
from rag.store.files import CATALOG, OLD_DATABASE, delete_other_stores, has_old_format, store_in_use
from rag.store.hints import new_index_hint
from rag.store.lock import locked
from rag.store.rebuild import Contents, Embed, Progress, fill

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

FORMAT = 3
ARTICLES_AT_ONCE = 100
FULLTEXT, STATES, REMOVED_ROWS = "lexical", "sources.sqlite3", "taken-out.json"
"""The files beside Chroma's: the full text, the sources' states, and passages' rows while they were reinserted."""
_COLLECTION = re.compile(r"(articles|passages)(-\d+)?")
"""The names of our collections; others in the same database are not touched."""
_SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The names of Chroma's folders."""
_ARTICLE_FIELDS = ("digest", "title", "source", "url", "author", "origin", "language", "text_digest", "passages")
_PASSAGE_FIELDS = ("article_id", "digest", "ordinal", "start", "end", "title", "source", "url", "author")
"""Fields that a row holds unchanged, under their own name."""

log = logging.getLogger(__name__)


Sketch = Callable[[str], str]
"""A text → its sketch."""


def convert(
    folder: Path, embedding_model: str, embedder: Callable[[str], Embed], sketch: Sketch, progress: Progress
) -> int:
    """Convert an index of format 3; returns the number of passages.

    Its vectors are taken over; only lost ones are embedded, or all if `embedding_model` is another than it was built
    with. `embedder` returns the function that embeds with the model of a name; `sketch` replaces the stored sketches,
    which cannot be compared with those of this version. The old files are deleted once the new
    store is in use; until then, and if this is interrupted, nothing has changed. Where a store is in use already, only
    what is left of the old files is deleted. Raises IndexMissing, IndexLocked, IndexMismatch or StoreError.
    """
    if not has_old_format(folder):
        store_in_use(folder)  # raises IndexMissing before the folder is locked, which would create it
    with locked(folder), _errors(folder):
        if has_old_format(folder):
            delete_other_stores(folder, folder)  # what an interrupted conversion has left
            with closing(open_client(folder)) as client:
                fill(folder, _OldIndex(folder, client, embedding_model, embedder, sketch).contents(), progress)
        _delete_old_files(folder)
        return Catalog(folder, store_in_use(folder) / CATALOG).state().passages


class _OldIndex:
    """An index of format 3, opened."""

    def __init__(
        self, folder: Path, client: Client, embedding_model: str, embedder: Callable[[str], Embed], sketch: Sketch
    ) -> None:
        self._folder, self._sketch = folder, sketch
        self._articles, self._passages = _collections_in_use(client, folder)
        self._metadata: Mapping[str, Any] = self._articles.metadata
        own = str(self._metadata["embedding_model"])
        self._embedding_model = embedding_model or own
        self._keeps_vectors = self._embedding_model == own
        self._embed = embedder(self._embedding_model)
        self._incomplete: set[str] = set()

    def contents(self) -> Contents:
        """All that the index holds."""
        self._restore_removed()
        states = _states(self._folder / STATES)
        # Read after the articles, when the incomplete ones are known: their sources have to be read again.
        known = (state for state in states if state.origin not in self._incomplete)
        return Contents(
            self._embedding_model, str(self._metadata["splitter"]), self._passages.count(), self._batches(), known
        )

    def _restore_removed(self) -> None:
        """Insert the passages' rows that a repair had removed when it was interrupted."""
        try:
            rows = json.loads((self._folder / REMOVED_ROWS).read_text("utf-8"))
        except FileNotFoundError:
            return
        for start in range(0, len(rows["ids"]), BATCH):
            batch = {
                name: rows[name][start : start + BATCH] for name in ("ids", "embeddings", "metadatas", "documents")
            }
            self._passages.upsert(**batch)

    def _batches(self) -> Iterator[list[StoredArticle]]:
        for offset in range(0, self._articles.count(), ARTICLES_AT_ONCE):
            rows: Any = self._articles.get(limit=ARTICLES_AT_ONCE, offset=offset, include=["metadatas"])
            yield list(self._stored({i: row for i, row in zip(rows["ids"], rows["metadatas"], strict=True) if row}))

    def _stored(self, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[StoredArticle]:
        """The articles of these rows, without the incomplete ones."""
        parts = self._committed(rows)
        passages = [passage for own in parts.values() for passage, _ in own]
        vectors, sentences = self._vectors(passages), {p.id: v for own in parts.values() for p, v in own}
        lost = [passage for passage in passages if passage.id not in vectors]
        if lost:
            embedded = zip(lost, *self._embed(lost), strict=True)
            for passage, vector, of_sentences in embedded:
                vectors[passage.id], sentences[passage.id] = vector, of_sentences
        for article_id, row in rows.items():
            entry, own = _entry(article_id, row), [passage for passage, _ in parts[article_id]]
            if len(own) != entry.passages or not own:
                log.warning("%s lacks passages and is left out; ingest %s again", entry.id, entry.origin)
                self._incomplete.update(entry.origins)
                continue
            of_passages = np.stack([vectors[passage.id] for passage in own])
            sketch = self._sketch("".join(passage.text for passage in own))
            yield stored_from(entry, own, of_passages, [sentences[passage.id] for passage in own], sketch)

    def _committed(self, articles: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[Passage, Vectors]]]:
        """The passages of each article's current version in order, with their sentences' vectors."""
        found: dict[str, list[tuple[Passage, Vectors]]] = defaultdict(list)
        of_these: Any = {"article_id": {"$in": list(articles)}}
        offset, count = 0, BATCH
        while count == BATCH:
            page = self._passages.get(where=of_these, limit=BATCH, offset=offset, include=["documents", "metadatas"])
            rows: Any = zip(page["ids"], page["documents"] or (), page["metadatas"] or (), strict=True)
            for passage_id, text, row in rows:
                if text is not None and row and row["digest"] == articles[row["article_id"]]["digest"]:
                    passage = _passage(passage_id, text, row)
                    found[passage.article_id].append((passage, _unpacked(row["sentence_vectors"])))
            count = len(page["ids"])
            offset += count
        for own in found.values():
            own.sort(key=lambda part: part[0].ordinal)
        return found

    def _vectors(self, passages: Sequence[Passage]) -> dict[str, Vectors]:
        """The vectors of these passages by id, without those that Chroma has lost; none if all are embedded anew."""
        found: dict[str, Vectors] = {}
        for start in range(0, len(passages) if self._keeps_vectors else 0, BATCH):
            found |= self._intact_vectors([passage.id for passage in passages[start : start + BATCH]])
        return found

    def _intact_vectors(self, ids: list[str]) -> dict[str, Vectors]:
        from chromadb.errors import InternalError

        try:
            rows = self._passages.get(ids=ids, include=["embeddings"])
        except InternalError:  # one lost vector fails the whole request
            middle = len(ids) // 2
            return {**self._intact_vectors(ids[:middle]), **self._intact_vectors(ids[middle:])} if middle else {}
        return dict(zip(rows["ids"], np.asarray(rows["embeddings"], dtype=np.float32), strict=True))


def _collections_in_use(client: Client, folder: Path) -> tuple[Collection, Collection]:
    """The articles' and the passages' collection: the newest pair that was completed."""
    pairs = {}
    for collection in client.list_collections():
        matched, metadata = _COLLECTION.fullmatch(collection.name), collection.metadata or {}
        if matched and matched[1] == "articles" and ("built" in metadata or metadata.get("format") != FORMAT):
            pairs[int((matched[2] or "-0")[1:])] = (matched[2] or "", metadata.get("format"))
    if not pairs:
        raise StoreError(f"the index {folder} has no articles; {new_index_hint(folder)}")
    suffix, found = pairs[max(pairs)]
    if found != FORMAT:
        raise IndexMismatch(
            f"the index {folder} has format {found}, which cannot be converted; ingest its articles again: "
            f"{new_index_hint(folder)}"
        )
    # Without an embedding function: Chroma's own would download a model.
    names = (f"articles{suffix}", f"passages{suffix}")
    articles, passages = (client.get_collection(name, embedding_function=None) for name in names)
    return articles, passages


def _entry(article_id: str, row: Mapping[str, Any]) -> ArticleEntry:
    return ArticleEntry(
        id=article_id,
        published=number_date(row["published"]),
        extra=tuple((name, value) for name, value in json.loads(row["extra"])),
        duplicate_group=row["story"],
        copies=tuple(Copy(*copy) for copy in json.loads(row["copies"])),
        added=datetime.fromisoformat(row["added"]) if row.get("added") else None,
        **{name: row[name] for name in _ARTICLE_FIELDS},
    )


def _passage(passage_id: str, text: str, row: Mapping[str, Any]) -> Passage:
    return Passage(
        id=passage_id,
        text=text,
        sentences=sentence_spans(row["sentences"]),
        published=number_date(row["published"]),
        duplicate_group=row["story"],
        **{name: row[name] for name in _PASSAGE_FIELDS},
    )


def _unpacked(packed: str) -> Vectors:
    """The vectors of sentences, one row each, of length 1, from a row of Chroma, which holds no bytes."""
    dimension, _, numbers = packed.partition(":")
    scaled = np.frombuffer(base64.b64decode(numbers), dtype=np.int8)
    return normalized(scaled.reshape(-1, int(dimension)).astype(np.float32))


def _states(file: Path) -> list[SourceState]:
    """The states of the sources; none if the file is lost or damaged, since then the sources are read again."""
    if not file.is_file():
        return []
    columns = "origin, name, version, options, articles, pages"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            rows = connection.execute(f"SELECT {columns} FROM stamps").fetchall()  # noqa: S608
        return [SourceState(*(*own, tuple(json.loads(pages)))) for *own, pages in rows]
    except (sqlite3.Error, ValueError) as error:
        log.warning("the states of sources in %s cannot be read (%s); all sources will be read again", file, error)
        return []


def _delete_old_files(folder: Path) -> None:
    """Delete the files of format 3; of a database that has other collections too, only ours."""
    database = folder / OLD_DATABASE
    if database.is_file():
        with closing(open_client(folder)) as client:
            names = [collection.name for collection in client.list_collections()]
            shared = not all(_COLLECTION.fullmatch(name) for name in names)
            for name in names if shared else ():
                if _COLLECTION.fullmatch(name):
                    client.delete_collection(name)
        if not shared:
            for file in folder.glob(f"{OLD_DATABASE}*"):
                file.unlink()
    if not database.is_file():
        for segment in folder.iterdir():
            if _SEGMENT.fullmatch(segment.name):
                shutil.rmtree(segment)
    shutil.rmtree(folder / FULLTEXT, ignore_errors=True)
    for name in (STATES, REMOVED_ROWS):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    """Turn errors of Chroma and of the disk, and rows without a field, into StoreError."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, sqlite3.Error, OSError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"the index {folder} cannot be converted ({reason}); {new_index_hint(folder)}") from error
