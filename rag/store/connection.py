"""An index folder's collections: which pair is in use, what made it, and its full text."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import IndexMismatch, IndexMissing
from rag.models.embedding import Vectors
from rag.schema import ArticleEntry, Passage
from rag.store.fulltext import FullTextIndex
from rag.store.hints import ingest_command, new_index_hint, rebuild_command
from rag.store.rows import (
    entries,
    passages,
)
from rag.store.vectors import (
    BatchedCollection,
    Database,
    Found,
    Row,
    store_errors,
)

FORMAT = 3
"""Raised when what is stored of a passage or an article changes its meaning."""
PAGE = 1000
COLLECTION = re.compile(r"(?:articles|passages)(?:-\d+)?")
"""The names of our collections; any other is left alone."""
FULLTEXT_FOLDER = "lexical"
DATABASE = "chroma.sqlite3"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Connection:
    """The collections in use; their database is closed when the last one who uses it lets go."""

    database: Database
    passages: BatchedCollection
    articles: BatchedCollection

    @property
    def metadata(self) -> Row:
        """What is said of the whole, as far as this connection knows."""
        return self.articles.metadata


def make_pair(database: Database, number: int, metadata: Row) -> None:
    """The articles' collection is made last, so its metadata stands for the whole."""
    for name in reversed(collection_names(number)):
        database.make(name, metadata)


def collection_names(number: int) -> tuple[str, str]:
    """The names of the articles' collection and of the passages'."""
    return (f"articles-{number}", f"passages-{number}") if number else ("articles", "passages")


def pair_number(articles: str) -> int:
    return int(articles.partition("-")[2] or 0)


def built_collections(database: Database) -> list[tuple[str, Row]]:
    """The articles' collections that are whole, with what they say of themselves; the last one is in use."""
    ours = ((name, row) for name, row in database.collections().items() if COLLECTION.fullmatch(name))
    found = [(name, row) for name, row in ours if name.startswith("articles")]
    whole = ((name, row) for name, row in found if "built" in row or row.get("format") != FORMAT)
    return sorted(whole, key=lambda one: pair_number(one[0]))


def drop_all_but(database: Database, articles: str) -> None:
    """Remove what an earlier pair, or a rebuild that did not end, left behind."""
    kept = collection_names(pair_number(articles))
    for name in database.collections():
        if name not in kept and COLLECTION.fullmatch(name):
            database.drop(name)


def check_made_with(found: Mapping[str, Any], embedding_model: str, folder: Path) -> None:
    if found.get("format") != FORMAT:
        raise IndexMismatch(
            f"the index {folder} has format {found.get('format')}, but this version reads format {FORMAT}; "
            f"{new_index_hint(folder)}"
        )
    if found.get("embedding_model") != embedding_model:
        raise IndexMismatch(
            f"the index {folder} was built with the embedding model {found.get('embedding_model')}, but "
            f"{embedding_model} is configured; set PULLQUOTE_EMBEDDING_MODEL={found.get('embedding_model')}, or run: "
            f"{rebuild_command(folder, embedding_model)}"
        )


def no_index(folder: Path) -> str:
    return f"there is no index at {folder}; make one: {ingest_command(folder)}"


def database_file_number(folder: Path) -> int:
    """The database file's number, which another one made in its place does not have; raises IndexMissing."""
    try:
        return (folder / DATABASE).stat().st_ino
    except (OSError, ValueError) as error:
        raise IndexMissing(no_index(folder)) from error


def connect(folder: Path) -> Connection:
    """Raises IndexMissing if there are no collections of ours."""
    with store_errors(folder):
        with ExitStack() as stack:
            database = stack.enter_context(closing(Database(folder)))
            name, _ = newest(database, folder)
            articles, of_it = map(database.rows, collection_names(pair_number(name)))
            store = Connection(database, of_it, articles)
            stack.pop_all()
        weakref.finalize(store, database.close).atexit = False
        return store


def newest(database: Database, folder: Path) -> tuple[str, int]:
    """The name of the articles' collection in use, and its generation; raises IndexMissing if there is none."""
    found = built_collections(database)
    if not found:
        raise IndexMissing(no_index(folder))
    name, row = found[-1]
    return name, int(row.get("generation", 0))


def whole_fulltext(folder: Path, generation: int, passages: int | None) -> FullTextIndex | None:
    """The full text in a folder, if it is of this generation and holds as many passages."""
    if FullTextIndex.stamp(folder) != generation:
        return None
    try:
        fulltext = FullTextIndex(folder)
    except ValueError:
        return None
    return fulltext if passages in (None, fulltext.count) else None


def all_entries(store: Connection) -> Iterator[ArticleEntry]:
    for page in store.articles.pages(PAGE, "metadatas"):
        yield from entries(page)


def digests(store: Connection) -> dict[str, str]:
    return {entry.id: entry.digest for entry in all_entries(store)}


def passage_pages(store: Connection) -> Iterator[list[Passage]]:
    return map(passages, found_pages(store))


def found_pages(store: Connection) -> Iterator[Found]:
    return store.passages.pages(PAGE, "documents", "metadatas", backwards=True)


def committed_passages(store: Connection) -> Iterator[Passage]:
    live = digests(store)
    for page in passage_pages(store):
        yield from (passage for passage in page if live.get(passage.article_id) == passage.digest)


def upsert_passages(store: Connection, parts: Sequence[Passage], vectors: Vectors, rows: Sequence[Row]) -> None:
    store.passages.upsert([p.id for p in parts], vectors, rows, [p.text for p in parts])
