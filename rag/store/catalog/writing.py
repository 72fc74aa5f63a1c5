"""Writes the catalogue: each change in one transaction, with the generation that it makes."""

from __future__ import annotations

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, delete, insert, select, update

from rag.schema import Copy
from rag.store.catalog.reading import MOST_VALUES, PAGE_BYTES, Catalog, Removal, State, open_engine, sql_errors
from rag.store.catalog.rows import (
    StoredArticle,
    Values,
    article_values,
    bands_of,
    copies_json,
    listing_values,
    passage_values,
    place_values,
)
from rag.store.catalog.tables import articles, bands, facets, listing, passages, places, removals, state, tables
from rag.store.files import FORMAT

_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)


class CatalogWriter(Catalog):
    """The catalogue of one store, opened for writing by this process alone."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Raises as Catalog does."""
        super().__init__(folder, file)
        self._writing = open_engine(file, writing=True)
        self.present = self.state()

    def put(self, batch: Sequence[StoredArticle], dimension: int) -> tuple[list[Removal], list[range]]:
        """Add or replace these articles; returns the versions they replace and the keys of each one's passages.

        The keys follow the present state's next ones.
        """
        first, keys = self.present.next_passage, list[range]()
        for stored in batch:
            keys.append(range(first, first + len(stored.passages)))
            first += len(stored.passages)
        with self._transaction() as (connection, before):
            removed, added = self._remove(connection, [stored.article.id for stored in batch], before)
            rows = self._rows_of(batch, keys, added, before.next_article)
            for table, values in rows.items():
                if values:
                    connection.execute(insert(table), values)
            _count_sources(connection, Counter(stored.article.source for stored in batch))
            after = replace(
                before,
                dimension=dimension,
                next_article=before.next_article + len(batch),
                next_passage=first,
                articles=before.articles - len(removed) + len(batch),
                passages=before.passages - sum(r.passages for r in removed) + first - before.next_passage,
            )
            self._record(connection, after)
        return removed, keys

    def add_sources(self, sources: Sequence[str]) -> dict[str, int]:
        """The keys of sources, to which new ones are added."""
        known = self.source_keys(sources)
        new = [{"source": source, "articles": 0} for source in dict.fromkeys(sources) if source not in known]
        if not new:
            return known
        with self.writing() as connection:
            connection.execute(insert(facets), new)
        return self.source_keys(sources)

    def _rows_of(
        self, batch: Sequence[StoredArticle], keys: Sequence[range], added: Mapping[str, str], first_article: int
    ) -> dict[Table, list[Values]]:
        rows: dict[Table, list[Values]] = {articles: [], listing: [], bands: [], passages: [], places: []}
        now = datetime.now(UTC)
        for number, (stored, own) in enumerate(zip(batch, keys, strict=True)):
            article, key = stored.article, first_article + number
            known = added.get(article.id)
            first_added = stored.added or (datetime.fromisoformat(known) if known else now)
            rows[articles].append(article_values(stored, key, own.start, first_added))
            rows[listing].append(listing_values(rows[articles][-1]))
            rows[bands] += [{"hash": band, "article_key": key} for band in bands_of(stored.sketch)]
            rows[passages] += passage_values(stored, key, own.start)
            rows[places] += place_values(
                key, [(article.id, article.origin), *((c.id, c.origin) for c in stored.copies)]
            )
        return rows

    def remove(self, article_ids: Sequence[str]) -> list[Removal]:
        """Remove the articles among these; returns what was removed."""
        with self._transaction() as (connection, before):
            removed, _ = self._remove(connection, article_ids, before)
            passages_left = before.passages - sum(removal.passages for removal in removed)
            self._record(connection, replace(before, articles=before.articles - len(removed), passages=passages_left))
        return removed

    def set_copies(self, copies: Mapping[str, Sequence[Copy]]) -> None:
        """Replace the copies of these articles; unknown ones are ignored."""
        with self._transaction() as (connection, before):
            columns = select(articles.c.id, articles.c.key, articles.c.origin)
            for row in connection.execute(columns.where(articles.c.id.in_(_KEYS)), {"keys": list(copies)}).all():
                own, key = copies[row.id], row.key
                connection.execute(update(articles).where(articles.c.key == key).values(copies=copies_json(own)))
                connection.execute(delete(places).where(places.c.article_key == key))
                pairs = [(row.id, row.origin), *((copy.id, copy.origin) for copy in own)]
                connection.execute(insert(places), place_values(key, pairs))
            self._record(connection, before)

    def set_splitter(self, splitter: str) -> None:
        """Record the current way of cutting passages."""
        if self.present.splitter != splitter:
            with self._transaction() as (connection, before):
                self._record(connection, replace(before, splitter=splitter))

    def forget_removals(self, generation: int) -> None:
        """Forget the removals up to a generation, which all derived indexes hold."""
        with self.writing() as connection:
            connection.execute(delete(removals).where(removals.c.generation <= generation))

    def close(self) -> None:
        """Release the file."""
        self._writing.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that changes no article."""
        with sql_errors(self.folder), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Connection, State]]:
        """A transaction, and the state with the generation that it makes."""
        with self.writing() as connection:
            before = self._state(connection)
            yield connection, replace(before, generation=before.generation + 1)
        self.present = self.state()

    def _record(self, connection: Connection, after: State) -> None:
        connection.execute(update(state).values(**asdict(after)))

    def _remove(
        self, connection: Connection, article_ids: Sequence[str], before: State
    ) -> tuple[list[Removal], dict[str, str]]:
        """Remove these articles' rows; returns what was removed, and when each was first indexed."""
        names = ("key", "id", "first_passage", "passages", "source", "added", "sketch")
        query = select(*(articles.c[name] for name in names)).where(articles.c.id.in_(_KEYS))
        rows = [
            row
            for first in range(0, len(article_ids), MOST_VALUES)
            for row in connection.execute(query, {"keys": list(article_ids[first : first + MOST_VALUES])})
        ]
        if not rows:
            return [], {}
        own = ((passages, passages.c.key), (places, places.c.article_key), (listing, listing.c.key))
        for table, column in (*own, (articles, articles.c.key)):
            for row in rows:
                first, count = (row.first_passage, row.passages) if table is passages else (row.key, 1)
                connection.execute(delete(table).where(column >= first, column < first + count))
        own_bands = [{"band": band, "of": row.key} for row in rows for band in bands_of(row.sketch)]
        if own_bands:
            is_own = (bands.c.hash == bindparam("band"), bands.c.article_key == bindparam("of"))
            connection.execute(delete(bands).where(*is_own), own_bands)
        removed = [Removal(row.key, row.id, row.first_passage, row.passages) for row in rows]
        connection.execute(insert(removals), [{**asdict(r), "generation": before.generation} for r in removed])
        _count_sources(connection, Counter({source: -n for source, n in Counter(row.source for row in rows).items()}))
        return removed, {row.id: row.added for row in rows}


def _count_sources(connection: Connection, changes: Mapping[str, int]) -> None:
    for source, change in changes.items():
        row = facets.c.source == source
        connection.execute(update(facets).where(row).values(articles=facets.c.articles + change))


def create_catalog(file: Path, embedding_model: str, splitter: str) -> None:
    """Create an empty catalogue, in one step. Raises as SQLAlchemy and sqlite3 do."""
    new = file.with_name(f"{file.name}.new")
    with sqlite3.connect(new) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    engine = open_engine(new, writing=True)
    with engine.begin() as transaction:
        tables.create_all(transaction)
        transaction.execute(
            insert(state).values(
                id=1,
                format=FORMAT,
                identity=secrets.token_hex(16),
                embedding_model=embedding_model,
                splitter=splitter,
                dimension=0,
                generation=0,
                next_article=1,
                next_passage=1,
                articles=0,
                passages=0,
            )
        )
    engine.dispose()
    new.replace(file)
