"""Indexes of format 3, written here as that version wrote them, become stores with all that they held."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.models.embedding import Vectors, normalized
from rag.schema import Copy, Passage
from rag.store.catalog.reading import Catalog
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.source_states import SourceState, SourceStates
from rag.store.convert import ARTICLES_AT_ONCE, convert
from rag.store.derived.chroma import open_client
from rag.store.files import CATALOG, POINTER, has_old_format, store_in_use
from rag.store.index import Index
from rag.store.lock import locked
from rag.store.rebuild import Embed
from tests.support.old_index import STATES, old_pair, other_files, put_passages
from tests.support.store import LONG, MODEL, assert_in_step, killed_at_each_step, nearest_articles, opened, stored

ADDED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


@pytest.fixture
def client(folder: Path) -> Iterator[Any]:
    with closing(open_client(folder)) as client:
        yield client


def varied(name: str, text: str, seed: int, **fields: Any) -> StoredArticle:
    """An article with different vectors for all passages and sentences."""
    one, rng = stored(name, 0, text, **fields), np.random.default_rng(seed)

    def drawn(rows: int) -> Vectors:
        return normalized(rng.normal(size=(rows, 4)).astype(np.float32))

    sentences = [drawn(len(passage.sentences)) for passage in one.passages]
    return replace(one, vectors=drawn(len(one.passages)), sentence_vectors=sentences)


def articles() -> list[StoredArticle]:
    a = varied("a", LONG, 1, origin="/a.txt", language="en", extra=(("topic", "x"), ("topic", "y")))
    b = varied("b", "Short text.", 2, origin="/b.txt", published=None, source="")
    c = varied("c", "Another text, with “quotes” and \u2028 a line.", 3, origin="/b.txt", published=date(1999, 12, 31))
    copies = (Copy("x", "/x.txt", "Title x", "Copier", "https://x"), Copy("y", "/y.txt"))
    return [
        replace(a, duplicate_group="group", copies=copies, sketch="abc", added=ADDED),
        replace(b, duplicate_group="group", added=ADDED.replace(year=2023)),
        replace(c, added=ADDED.replace(year=2022)),
    ]


def never(name: str) -> Embed:
    """An embedder that is not asked for anything."""

    def embed(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
        raise AssertionError(f"{name} was asked to embed {len(passages)} passages")

    return embed


def ones(asked: list[str]) -> Callable[[str], Embed]:
    """An embedder that returns the same vector for all, and notes which passages it was asked for, and its model."""

    def embedder(name: str) -> Embed:
        def embed(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
            asked.extend([name, *(passage.id for passage in passages)])
            unit = normalized(np.ones((1, 4), dtype=np.float32))
            return unit.repeat(len(passages), axis=0), [unit.repeat(len(p.sentences), axis=0) for p in passages]

        return embed

    return embedder


def converted(folder: Path) -> int:
    return convert(folder, "", never, str.upper, lambda *_: None)


def assert_converted(folder: Path, expected: Sequence[StoredArticle], states: Sequence[SourceState] = STATES) -> None:
    """The index has these articles and states, and no old files."""
    assert_in_step(folder)
    catalog = Catalog(folder, store_in_use(folder) / CATALOG)
    assert (catalog.state().splitter, catalog.state().embedding_model) == ("cut", MODEL)
    found = [one for page in catalog.stored_articles(100) for one in page]
    assert {one.article.id for one in found} == {one.article.id for one in expected}
    for one, old in zip(found, expected, strict=True):
        assert one.article == old.article
        group = old.duplicate_group or old.article.text_digest
        assert [replace(passage, key=0) for passage in one.passages] == [
            replace(passage, duplicate_group=group) for passage in old.passages
        ]
        assert (one.duplicate_group, one.copies, one.sketch) == (group, old.copies, one.article.text.upper())
        assert one.added == old.added or not old.added
        assert np.allclose(one.vectors, old.vectors, atol=0.01)
        for own, before in zip(one.sentence_vectors, old.sentence_vectors, strict=True):
            assert np.allclose(own, before, atol=0.01)
    assert list(SourceStates(catalog).all()) == list(states)
    assert sorted(p.name for p in folder.iterdir() if p.name != "write.lock") == [POINTER, "store-1"]


def test_everything_is_taken_over_without_embedding(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.close()
    other_files(folder)
    (folder / "store-7").mkdir()
    seen: list[tuple[int, int]] = []
    total = sum(len(one.passages) for one in articles())
    assert convert(folder, "", never, str.upper, lambda *given: seen.append(given)) == total
    assert seen == [(total, total)]
    assert_converted(folder, articles())
    assert nearest_articles(Index(folder, MODEL), articles()[1].vectors[0], 1) == ["b"]
    with opened(folder) as writer:
        assert [entry.id for entry in writer.catalog.find_by_origin(["/y.txt"])] == ["a"]
        assert writer.states.get("/a.txt") == STATES[0]


def test_uncommitted_passages_are_left_out(folder: Path, client: Any) -> None:
    """Those of a new version that was interrupted, of an old one that was not deleted yet, and of no article."""
    passages, _ = old_pair(client, articles())
    put_passages(passages, varied("a", "The new version.", 4))
    put_passages(passages, varied("b", LONG, 5))
    put_passages(passages, varied("new", LONG, 6))
    client.close()
    other_files(folder)
    converted(folder)
    assert_converted(folder, articles())


def test_the_newest_pair_that_was_completed_is_taken(folder: Path, client: Any) -> None:
    old_pair(client, [varied("old", LONG, 7)])
    old_pair(client, articles(), "-1", generation=8)
    old_pair(client, [varied("begun", LONG, 8)], "-2", built=None, dimension=None)
    client.close()
    other_files(folder)
    converted(folder)
    assert_converted(folder, articles())


def test_more_articles_than_one_page(folder: Path, client: Any) -> None:
    many = [varied(f"n{n:03}", f"Text {n}.", n) for n in range(ARTICLES_AT_ONCE + 3)]
    old_pair(client, many)
    client.close()
    other_files(folder)
    assert converted(folder) == len(many)
    assert_converted(folder, many)


def test_an_article_that_lacks_passages_is_read_again(folder: Path, client: Any) -> None:
    """It cannot be shown whole, so it is left out, and the sources that it came from count as unread."""
    passages, _ = old_pair(client, articles())
    passages.delete(ids=[articles()[0].passages[1].id])
    client.close()
    other_files(folder)
    converted(folder)
    assert_converted(folder, articles()[1:], STATES[1:])


def test_passages_that_a_repair_had_taken_out_are_taken_over(folder: Path, client: Any) -> None:
    passages, _ = old_pair(client, articles())
    ids = [passage.id for passage in articles()[0].passages[:2]]
    rows = passages.get(ids=ids, include=["embeddings", "documents", "metadatas"])
    kept = {name: rows[name] for name in ("ids", "documents", "metadatas")}
    embeddings = [[float(number) for number in vector] for vector in rows["embeddings"]]
    (folder / "taken-out.json").write_text(json.dumps({**kept, "embeddings": embeddings}))
    passages.delete(ids=ids)
    client.close()
    other_files(folder)
    converted(folder)
    assert_converted(folder, articles())


def test_only_lost_vectors_are_embedded(folder: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from chromadb.api.models.Collection import Collection
    from chromadb.errors import InternalError

    old_pair(client, articles())
    client.close()
    other_files(folder)
    lost, real, asked = articles()[0].passages[1].id, Collection.get, list[str]()

    def get(self: Collection, *given: Any, **named: Any) -> Any:
        if lost in (named.get("ids") or ()) and "embeddings" in named["include"]:
            raise InternalError("Error finding id")
        return real(self, *given, **named)

    monkeypatch.setattr(Collection, "get", get)
    convert(folder, "", ones(asked), str.upper, lambda *_: None)
    assert asked == [MODEL, lost]
    catalog = Catalog(folder, store_in_use(folder) / CATALOG)
    [[one, *_]] = catalog.stored_articles(100)
    assert np.allclose(one.vectors[1], 0.5, atol=0.01)
    others = [n for n in range(len(one.passages)) if n != 1]
    assert np.allclose(one.vectors[others], articles()[0].vectors[others], atol=0.01)


def test_with_another_model_all_is_embedded(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.close()
    other_files(folder)
    asked: list[str] = []
    total = convert(folder, "other", ones(asked), str.upper, lambda *_: None)
    assert (asked[0], len(asked)) == ("other", total + 1)
    assert Index(folder, "other").counts() == (3, total)
    assert_in_step(folder)


@pytest.mark.slow
def test_it_may_be_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = tmp_path / "start"
    start.mkdir()
    with closing(open_client(start)) as client:
        old_pair(client, articles())
    other_files(start)
    steps = 0
    for folder, killed in killed_at_each_step(start, monkeypatch, converted):
        if not killed:
            break
        converted(folder)
        assert_in_step(folder)
        assert Index(folder, MODEL).counts()[0] == 3
        assert not (folder / "lexical").exists()
        assert len(list(folder.iterdir())) == 3
        steps += 1
    assert steps > 10, "each number of a step was tried"


@pytest.mark.parametrize("left", ["chroma.sqlite3", "lexical", "sources.sqlite3"])
def test_deleting_the_old_files_may_be_killed(folder: Path, client: Any, left: str) -> None:
    old_pair(client, articles())
    client.close()
    other_files(folder)
    before = folder.parent / "before"
    shutil.copytree(folder, before)
    converted(folder)
    (shutil.copytree if (before / left).is_dir() else shutil.copy)(before / left, folder / left)
    assert not has_old_format(folder)
    assert Index(folder, MODEL).counts()[0] == 3
    converted(folder)
    assert_converted(folder, articles())


def test_damaged_states_of_sources_are_forgotten(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.close()
    other_files(folder)
    (folder / "sources.sqlite3").write_bytes(b"no database" * 1000)
    converted(folder)
    assert_converted(folder, articles(), [])


def test_collections_of_others_are_kept(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.create_collection("theirs", embedding_function=None).add(ids=["1"], embeddings=[[1.0, 2.0]])
    client.close()
    other_files(folder)
    converted(folder)
    assert Index(folder, MODEL).counts()[0] == 3
    with closing(open_client(folder)) as again:
        assert [collection.name for collection in again.list_collections()] == ["theirs"]
        assert again.get_collection("theirs", embedding_function=None).count() == 1


def test_until_then_the_command_is_recommended(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.close()
    hint = rf"convert it: pullquote rebuild --index {folder}"
    with pytest.raises(IndexMismatch, match=hint):
        Index(folder, MODEL)
    with pytest.raises(IndexMismatch, match=hint), opened(folder):
        pass


def test_an_earlier_format_is_one_clear_line(folder: Path, client: Any) -> None:
    old_pair(client, articles(), format=2, built=None)
    client.close()
    with pytest.raises(IndexMismatch, match=r"format 2, which cannot be converted; ingest its articles again: .*"):
        converted(folder)
    assert (folder / "chroma.sqlite3").is_file()


def test_what_is_no_index_is_one_clear_line(tmp_path: Path, folder: Path, client: Any) -> None:
    with pytest.raises(IndexMissing, match="pullquote ingest"):
        converted(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    client.create_collection("theirs", embedding_function=None)
    client.close()
    with pytest.raises(StoreError, match="has no articles; make a new one"):
        converted(folder)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "chroma.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match=r"broken cannot be converted \(.*make a new one"):
        converted(broken)


def test_an_index_that_is_written_to_is_not_converted(folder: Path, client: Any) -> None:
    old_pair(client, articles())
    client.close()
    with locked(folder), pytest.raises(IndexLocked):
        converted(folder)
