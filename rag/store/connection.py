"""An index folder's collections in Chroma: which pair is in use, and what it was built with.

Collections come in pairs, one of articles and one of passages. A rebuild fills a new pair beside the one in use, and
finally marks its articles' collection as built: the newest pair with that mark is the index.
Knows nothing of searching.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rag.errors import IndexMismatch, IndexMissing
from rag.models.embedding import Vectors
from rag.schema import ArticleEntry, Passage
from rag.store.hints import ingest_command, new_index_hint, rebuild_command
from rag.store.rows import entries_from, passages_from
from rag.store.vectors import BatchedCollection, Database, Metadata, Rows, store_errors

FORMAT = 3
"""Raised when the meaning of a stored passage or article changes."""
PAGE = 1000
FULLTEXT_FOLDER = "lexical"
DATABASE = "chroma.sqlite3"
_COLLECTION = re.compile(r"(?P<kind>articles|passages)(?:-\d+)?")
"""The names of our collections; others in the same database are ignored."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Connection:
    """The pair of collections in use; their database is closed when the connection is garbage-collected."""

    database: Database
    passages: BatchedCollection
    articles: BatchedCollection

    @property
    def metadata(self) -> Metadata:
        """The metadata of the index, as of opening or of the last write by this connection."""
        return self.articles.metadata

    @property
    def generation(self) -> int:
        """The number of writes to the index so far."""
        return int(self.metadata.get("generation", 0))

    def entries(self, article_ids: Iterable[str]) -> dict[str, ArticleEntry]:
        """The indexed articles among these, by id."""
        return {entry.id: entry for entry in entries_from(self.articles.get(article_ids, "metadatas"))}

    def all_entries(self) -> Iterator[ArticleEntry]:
        """All articles, read in pages."""
        for page in self.articles.pages(PAGE, "metadatas"):
            yield from entries_from(page)

    def digests(self) -> dict[str, str]:
        """The digest of each article's current version, by id."""
        return {entry.id: entry.digest for entry in self.all_entries()}

    def passage_pages(self) -> Iterator[Rows]:
        """The rows of all passages, committed or not; a page may be deleted before the next one is read."""
        return self.passages.pages(PAGE, "documents", "metadatas", backwards=True)

    def committed_passages(self) -> Iterator[Passage]:
        """The passages that belong to the current version of their article."""
        current = self.digests()
        for page in self.passage_pages():
            yield from (p for p in passages_from(page) if current.get(p.article_id) == p.digest)

    def upsert_passages(self, passages: Sequence[Passage], vectors: Vectors, rows: Sequence[Metadata]) -> None:
        """Add or replace passages."""
        self.passages.upsert([p.id for p in passages], vectors, rows, [p.text for p in passages])


def connect(folder: Path) -> Connection:
    """Open the pair in use. Raises IndexMissing if there is none."""
    with store_errors(folder):
        with ExitStack() as stack:
            database = stack.enter_context(closing(Database(folder)))
            name, _ = pair_in_use(database, folder)
            connection = open_pair(database, pair_number(name))
            stack.pop_all()
        weakref.finalize(connection, database.close).atexit = False
        return connection


def open_pair(database: Database, number: int) -> Connection:
    """The pair of collections with this number."""
    articles, passages = map(database.collection, collection_names(number))
    return Connection(database, passages, articles)


def create_pair(database: Database, number: int, metadata: Metadata) -> None:
    """Create a pair of collections, the articles' last: its metadata stands for the whole."""
    for name in reversed(collection_names(number)):
        database.create(name, metadata)


def collection_names(number: int) -> tuple[str, str]:
    """The names of the articles' collection and of the passages'."""
    return (f"articles-{number}", f"passages-{number}") if number else ("articles", "passages")


def pair_number(articles: str) -> int:
    """The number of a pair, from the name of its articles' collection."""
    return int(articles.partition("-")[2] or 0)


def built_pairs(database: Database) -> list[tuple[str, Metadata]]:
    """Name and metadata of the articles' collection of each complete pair; the last one is in use."""
    matches = ((_COLLECTION.fullmatch(name), metadata) for name, metadata in database.collections().items())
    articles = [(found[0], metadata) for found, metadata in matches if found and found["kind"] == "articles"]
    built = [(name, row) for name, row in articles if "built" in row or row.get("format") != FORMAT]
    return sorted(built, key=lambda pair: pair_number(pair[0]))


def pair_in_use(database: Database, folder: Path) -> tuple[str, int]:
    """The name of the articles' collection in use, and its generation; raises IndexMissing if there is none."""
    pairs = built_pairs(database)
    if not pairs:
        raise _index_missing(folder)
    name, metadata = pairs[-1]
    return name, int(metadata.get("generation", 0))


def drop_other_pairs(database: Database, articles: str) -> None:
    """Delete all pairs but this one: an earlier one, or what an interrupted rebuild left."""
    kept = collection_names(pair_number(articles))
    for name in database.collections():
        if name not in kept and _COLLECTION.fullmatch(name):
            database.drop(name)


def check_built_with(metadata: Metadata, embedding_model: str, folder: Path) -> None:
    """Raise IndexMismatch if an index was built in another format or with another embedding model."""
    if metadata.get("format") != FORMAT:
        raise IndexMismatch(
            f"the index {folder} has format {metadata.get('format')}, but this version reads format {FORMAT}; "
            f"{new_index_hint(folder)}"
        )
    built_with = metadata.get("embedding_model")
    if built_with != embedding_model:
        raise IndexMismatch(
            f"the index {folder} was built with the embedding model {built_with}, but {embedding_model} is configured; "
            f"set PULLQUOTE_EMBEDDING_MODEL={built_with}, or run: {rebuild_command(folder, embedding_model)}"
        )


def database_inode(folder: Path) -> int:
    """The inode of the database file, which differs in an index recreated in its place; raises IndexMissing."""
    try:
        return (folder / DATABASE).stat().st_ino
    except (OSError, ValueError) as error:
        raise _index_missing(folder) from error


def _index_missing(folder: Path) -> IndexMissing:
    return IndexMissing(f"there is no index at {folder}; make one: {ingest_command(folder)}")
