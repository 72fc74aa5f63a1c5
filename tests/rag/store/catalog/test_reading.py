"""The catalogue: every request of any size, what an article's change leaves, and files that SQLite cannot use."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from rag.errors import StoreError
from rag.schema import Copy
from rag.store.catalog import reading as module
from rag.store.catalog.listing import Listing
from rag.store.catalog.reading import Catalog, IndexedOrigin
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.writing import CatalogWriter, create_catalog
from tests.support.store import LONG, stored


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogWriter:
    """An empty catalogue, whose requests take three rows or values at once."""
    monkeypatch.setattr(module, "MOST_VALUES", 3)
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr("rag.store.catalog.writing.MOST_VALUES", 3)
    create_catalog(tmp_path / "c.sqlite3", "model", "splitter")
    return CatalogWriter(tmp_path, tmp_path / "c.sqlite3")


def put(writer: CatalogWriter, *batch: StoredArticle) -> None:
    writer.add_sources([one.article.source for one in batch])
    writer.put(batch, 4)


def ten(writer: CatalogWriter) -> list[str]:
    """Ten articles of one passage each; returns their ids."""
    put(writer, *(stored(f"a{n}", n % 4, f"Text {n}.", source=f"S{n % 3}", origin=f"/{n % 2}.txt") for n in range(10)))
    return [f"a{n}" for n in range(10)]


def sources(writer: CatalogWriter, limit: int) -> list[str]:
    return [source for source, _ in Listing(writer).by_source(limit)]


def test_requests_of_any_size(writer: CatalogWriter) -> None:
    names, keys = ten(writer), list(range(1, 11))
    assert writer.entries([*names, "none", *names]).keys() == set(names)
    digests = [entry.text_digest for entry in writer.all_entries()]
    assert writer.find_by_text(digests).keys() == set(digests)
    assert [each.passage.key for each in writer.passages([*keys[::-1], 99])] == keys[::-1]
    assert writer.vectors(keys).keys() == set(keys)
    assert [p.key for page in writer.passage_pages() for p in page] == keys
    assert [p.key for page in writer.passage_pages(4) for p in page] == keys[4:]
    assert [key for page, _ in writer.vector_pages(4) for key in page] == keys[4:]
    assert [one.article.id for page in writer.stored_articles(4) for one in page] == names
    assert writer.existing([*keys, 99]) == set(keys)
    assert writer.passage_keys([*names[::2], "none"]).tolist() == keys[::2]
    assert writer.find_by_key([*keys, 99]).keys() == set(keys)
    assert {entry.id for entry in writer.find_by_origin(["/0.txt", *(f"/{n}" for n in range(9))])} == set(names[::2])
    assert writer.source_keys(["S0", "S1", "S2", "x", "y"]).keys() == {"S0", "S1", "S2"}
    assert [row.key for page in writer.article_rows(3) for row in page] == keys
    for request in (writer.entries, writer.passages, writer.vectors, writer.existing, writer.passage_keys):
        assert len(request([])) == 0
    assert len(writer.remove(names)) == 10
    assert (writer.state().articles, writer.state().passages) == (0, 0)


def test_counts_of_sources_follow_the_articles(writer: CatalogWriter) -> None:
    ten(writer)
    assert sources(writer, 2) == ["S0", "S1"]
    put(writer, stored("a0", 0, source="S2"), stored("a3", 0, source=""))
    assert sources(writer, 9) == ["S2", "S1", "S0"]
    writer.remove(["a6", "a9"])
    assert sources(writer, 9) == ["S2", "S1"]


def test_days_of_publication(writer: CatalogWriter) -> None:
    assert writer.published() is None
    put(writer, stored("a", 0, published=None))
    assert writer.published() is None
    put(writer, stored("b", 0, published=date(1999, 12, 31)), stored("c", 0, published=date(2024, 2, 29)))
    assert writer.published() == (date(1999, 12, 31), date(2024, 2, 29))


def test_what_comes_from_an_origin(writer: CatalogWriter) -> None:
    copies = (Copy("a-copy", "/press/2/a.txt"), Copy("other", "/press-2/a.txt"))
    put(writer, replace(stored("a", 0, origin="/press/1.txt"), copies=copies), stored("b", 0, origin="/press/1.txt"))
    assert writer.origin("/press/1.txt") == IndexedOrigin("/press/1.txt", 2, "a")
    assert writer.origin("/none") == IndexedOrigin("/none")
    assert {found.origin for found in writer.origins_below("/press")} == {"/press/1.txt", "/press/2/a.txt"}
    assert {found.origin for found in writer.origins_below("/press/1.txt")} == {"/press/1.txt"}
    assert len(writer.origins_below()) == 3
    writer.set_copies({"a": ()})
    assert [found.origin for found in writer.origins_below()] == ["/press/1.txt"]


def test_a_change_replaces_rows_and_is_recorded(writer: CatalogWriter) -> None:
    put(writer, stored("a", 0, LONG), stored("b", 1))
    before, count = writer.state(), len(stored("a", 0, LONG).passages)
    put(writer, stored("a", 2, "New."))
    after = writer.state()
    assert (after.generation, after.next_passage, after.passages) == (before.generation + 1, before.next_passage + 1, 2)
    [removal] = writer.removals(before.generation)
    assert (removal.article_id, removal.first_passage, removal.passages) == ("a", 1, count)
    assert (writer.count_removed(before.generation), writer.count_removed(after.generation)) == (count, 0)
    assert writer.existing(list(range(1, count + 3))) == {count + 1, count + 2}
    writer.forget_removals(after.generation)
    assert writer.removals(0) == []
    [[b, a]] = writer.stored_articles(9)
    assert (b.article.id, a.article.id, a.passages[0].text) == ("b", "a", "New.")
    assert np.allclose(a.vectors, np.eye(4)[2], atol=0.01)


def test_a_state_is_read_by_other_connections_while_one_writes(writer: CatalogWriter, tmp_path: Path) -> None:
    reader, started, ended = Catalog(tmp_path, tmp_path / "c.sqlite3"), threading.Event(), threading.Event()

    def hold() -> None:
        with writer.writing():
            started.set()
            ended.wait(30)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        assert started.wait(30)
        assert reader.state().generation == 0
        ended.set()
        holding.result()


def test_values_that_no_encoding_has(writer: CatalogWriter) -> None:
    odd = stored("a\0'\"%", 0, "A “text” with \u2028, \0 and 🦊.", url="x'; DROP TABLE articles")
    put(writer, odd)
    [[one]] = writer.stored_articles(9)
    assert one.article == odd.article
    assert writer.entries([odd.article.id])[odd.article.id].url == odd.article.url


def test_a_missing_or_empty_catalogue_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "none.sqlite3"
    with pytest.raises(StoreError, match=r"cannot be used \(unable to open database file\)"):
        Catalog(tmp_path, file).state()
    assert not file.exists(), "reading creates no file"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="no such table: state"):
        Catalog(tmp_path, file).state()


def test_a_catalogue_without_its_row_of_state(writer: CatalogWriter, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM state")
    with pytest.raises(StoreError, match="is empty; make a new one"):
        Catalog(tmp_path, tmp_path / "c.sqlite3").state()


def test_a_catalogue_that_another_program_holds(
    writer: CatalogWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    other = CatalogWriter(tmp_path, tmp_path / "c.sqlite3")
    with writer.writing(), pytest.raises(StoreError, match=r"cannot be used \(database is locked\)"):
        other.forget_removals(0)
    other.forget_removals(0)


def test_ids_that_no_row_can_have(writer: CatalogWriter) -> None:
    assert writer.entries(["\ud800", "unknown"]) == {}
    assert writer.passages_of("\ud800") == []
