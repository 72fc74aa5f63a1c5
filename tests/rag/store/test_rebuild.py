"""A new store beside the one in use: with another model, interrupted at any step, and with readers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from rag.errors import IndexLocked, IndexMismatch, IndexMissing
from rag.models.embedding import Vectors, normalized
from rag.schema import Copy, Passage
from rag.store import rebuild as module
from rag.store.catalog.reading import Catalog
from rag.store.catalog.source_states import SourceState
from rag.store.files import CATALOG, store_in_use
from rag.store.index import Index
from rag.store.lock import locked
from rag.store.rebuild import rebuild
from tests.support.store import (
    LONG,
    MODEL,
    Killed,
    assert_in_step,
    killed_before,
    nearest_articles,
    opened,
    stored,
    texts,
    write,
)

ADDED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of three articles, the first with all that one can have, after some changes."""
    folder = tmp_path / "index"
    first = stored("a", 0, LONG, "group", extra=(("x", "y"),), language="en", origin="/a.txt", published=None)
    write(folder, replace(first, copies=(Copy("c", "/c"),), sketch="s", added=ADDED), stored("b", 1), stored("gone", 2))
    with opened(folder) as writer:
        writer.put([stored("b", 2, "New text."), stored("c", 3)])
        writer.remove(["gone"])
        writer.states.put([SourceState("/a.txt", "a", "1", "o", 1, ("/p",))])
    return folder


def other(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
    """Vectors of another model, with another number of dimensions."""
    vectors = normalized(np.array([np.eye(5)["abc".index(p.article_id)] + 0.1 for p in passages], dtype=np.float32))
    return vectors, [
        vector.reshape(1, -1).repeat(len(p.sentences), 0) for p, vector in zip(passages, vectors, strict=True)
    ]


def stored_in(folder: Path) -> list[object]:
    """All that the catalogue has, but vectors, keys and generations."""
    catalog = Catalog(folder, store_in_use(folder) / CATALOG)
    articles = [one for page in catalog.stored_articles(2) for one in page]
    return [
        (one.article, [replace(p, key=0) for p in one.passages], one.duplicate_group, one.copies, one.sketch, one.added)
        for one in articles
    ]


def test_everything_is_kept_but_the_vectors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ARTICLES_AT_ONCE", 2)
    before, total, seen = stored_in(folder), Index(folder, MODEL).counts()[1], list[tuple[int, int]]()
    assert rebuild(folder, "other", other, lambda *given: seen.append(given)) == total
    assert stored_in(folder) == before
    assert seen[-1] == (total, total)
    assert len(seen) == 2
    reader = Index(folder, "other")
    assert (reader.dimension, reader.counts()) == (5, (3, total))
    assert nearest_articles(reader, np.eye(5, dtype=np.float32)[1], 1) == ["b"]
    with opened_as(folder, "other") as writer:
        assert writer.states.get("/a.txt") == SourceState("/a.txt", "a", "1", "o", 1, ("/p",))
        assert writer.catalog.state().splitter == "splitter"
    assert_in_step(folder)
    assert [path.name for path in folder.glob("store-*")] == ["store-2"]


def opened_as(folder: Path, embedding_model: str) -> object:
    from rag.store.writer import open_for_writing

    return open_for_writing(folder, embedding_model, "splitter")


def test_a_reader_learns_of_another_model(folder: Path) -> None:
    reader = Index(folder, MODEL)
    rebuild(folder, "other", other, lambda *_: None)
    with pytest.raises(IndexMismatch, match="PULLQUOTE_EMBEDDING_MODEL=other"):
        reader.counts()


def test_an_error_of_the_model_leaves_the_store_in_use(folder: Path) -> None:
    def fails(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
        raise ValueError("no memory")

    before = stored_in(folder)
    with pytest.raises(ValueError, match="no memory"):
        rebuild(folder, "other", fails, lambda *_: None)
    assert stored_in(folder) == before
    write(folder, stored("d", 3))
    assert [path.name for path in folder.glob("store-*")] == ["store-1"], "the next writer deletes what was begun"


@pytest.mark.slow
def test_it_may_be_killed_at_any_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored_in(folder)
    for step in count():
        copy = folder.parent / f"copy{step}"
        shutil.copytree(folder, copy)
        try:
            with killed_before(step, monkeypatch):
                rebuild(copy, "other", other, lambda *_: None)
            break
        except Killed:
            pass
        assert stored_in(copy) == before
        assert texts(Index(copy, MODEL)).keys() == {"a", "b", "c"}, "the old one is in use"
        rebuild(copy, "other", other, lambda *_: None)
        assert_in_step(copy)
        assert stored_in(copy) == before
        assert len(list(copy.glob("store-*"))) == 1
    assert step > 10, "each number of a step was tried"


def test_an_empty_index(tmp_path: Path) -> None:
    with opened(tmp_path / "index"):
        pass
    assert rebuild(tmp_path / "index", "other", other, lambda *_: None) == 0
    assert Index(tmp_path / "index", "other").counts() == (0, 0)


def test_a_missing_index_is_not_created_and_one_that_is_written_to_not_rebuilt(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        rebuild(tmp_path / "none", "other", other, lambda *_: None)
    assert not (tmp_path / "none").exists()
    with locked(folder), pytest.raises(IndexLocked):
        rebuild(folder, "other", other, lambda *_: None)
