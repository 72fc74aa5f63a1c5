"""Writing: an update replaces everything, and a kill at any point leaves the old version or the new one."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from rag.errors import IndexLocked, IndexMismatch, StoreError
from rag.models.embedding import normalized
from rag.schema import Copy
from rag.store.catalog.rows import Sketched, StoredArticle
from rag.store.catalog.source_states import SourceState
from rag.store.derived import sync
from rag.store.files import CHROMA, FULLTEXT, STATE, VECTORS, store_in_use
from rag.store.index import Index
from rag.store.writer import IndexWriter, open_for_writing
from tests.support.store import (
    LONG,
    MODEL,
    Killed,
    articles_with_words,
    assert_in_step,
    axis,
    killed_at_each_step,
    killed_before,
    nearest,
    nearest_articles,
    opened,
    stored,
    texts,
    write,
)


@pytest.fixture
def writer(folder: Path) -> Iterator[IndexWriter]:
    with opened(folder) as writer:
        yield writer


def test_an_update_replaces_every_passage(writer: IndexWriter, folder: Path) -> None:
    reader = Index(folder, MODEL)
    writer.put([stored("a", 0, LONG)])
    assert reader.counts()[1] > 3
    writer.put([stored("a", 1, "The new text is short.")])
    assert reader.counts() == (1, 1)
    assert [round(similarity, 4) for _, similarity in nearest(reader, axis(0), 5)] == [0.0]
    assert articles_with_words(writer, "exactly") == []
    assert articles_with_words(writer, "new") == ["a"]


def test_an_article_keeps_the_time_it_was_first_indexed(writer: IndexWriter) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    writer.put([stored("a", 0)])
    first = writer.entries(["a"])["a"].added
    assert first
    assert before <= first <= datetime.now(UTC)
    time.sleep(1.1)  # times are kept by the second
    writer.put([stored("a", 0, "Another text."), stored("b", 0), replace(stored("c", 0), added=before)])
    found = writer.entries(["a", "b", "c"])
    assert (found["a"].added, found["c"].added) == (first, before)
    assert found["b"].added
    assert found["b"].added > first


def test_removal_leaves_nothing(writer: IndexWriter, folder: Path) -> None:
    reader = Index(folder, MODEL)
    writer.put([stored("a", 0), stored("b", 1)])
    assert writer.remove(["a", "unknown"]) == 1
    assert reader.counts() == (1, 1)
    assert nearest_articles(reader, axis(0), 5) == ["b"]
    assert articles_with_words(writer, "title") == ["b"]
    assert reader.article("a") is None


def test_an_article_that_is_removed_may_come_back(folder: Path) -> None:
    write(folder, stored("a", 0), stored("b", 1))
    with opened(folder) as writer:
        writer.remove(["a"])
        writer.put([stored("a", 2, "It is back.")])
    assert_in_step(folder)
    assert nearest_articles(Index(folder, MODEL), axis(2), 1) == ["a"]


def test_copies_are_replaced(writer: IndexWriter) -> None:
    one, other = (Copy(f"{n}-copy", f"/copies/{n}", "", "Copier", "") for n in "12")
    writer.put([replace(stored("a", 0), copies=(one,)), stored("b", 0)])
    writer.set_copies({"a": (other,), "b": (one, other), "unknown": (one,)})
    found = writer.entries(["a", "b"])
    assert (found["a"].copies, found["b"].copies) == ((other,), (one, other))
    writer.set_copies({"a": (), "b": (other,)})
    assert [entry.id for entry in writer.catalog.find_by_origin(["/copies/1", "/copies/2"])] == ["b"]


def test_what_the_updater_asks_for(writer: IndexWriter) -> None:
    long, near = stored("a", 0, LONG, group="one"), stored("b", np.array([3.0, 4.0, 0, 0]), group="two")
    sketches = [base64.b64encode(bytes(64 * 4)).decode(), base64.b64encode(bytes(range(256))).decode()]
    writer.put([replace(long, sketch=sketches[0]), replace(near, sketch=sketches[1])])
    vectors, sentences, spans = writer.vectors("a")
    assert np.allclose(vectors, long.vectors, atol=1e-3)
    assert [len(own) for own in sentences] == [len(own) for own in spans]
    assert spans == [passage.sentences for passage in long.passages]
    digest = long.article.text_digest
    assert {d: e.id for d, e in writer.find_by_text([digest, "none"]).items()} == {digest: "a"}
    assert writer.similar([*sketches, ""]) == [[Sketched("one", sketches[0])], [Sketched("two", sketches[1])], []]
    writer.remove(["a"])
    assert writer.similar(sketches[:1]) == [[]]


def test_states_of_sources(writer: IndexWriter) -> None:
    states = [SourceState(f"/{n}", n, "1", 'x;{"title": "headline"}', 3, ("/p", "/q")) for n in "ab"]
    writer.states.put(states)
    writer.states.put([replace(states[0], revision="2")])
    assert writer.states.get("/a") == replace(states[0], revision="2") == writer.states.named("a")
    assert states[0].fields == {"title": "headline"}
    writer.states.drop(["/a", "/none"])
    assert list(writer.states.all()) == states[1:]


def test_only_one_writes_at_a_time(writer: IndexWriter, folder: Path) -> None:
    with pytest.raises(IndexLocked, match=f"process {os.getpid()} on .* since .* is writing"), opened(folder):
        pass


def test_another_model_or_dimension_is_refused(writer: IndexWriter, folder: Path) -> None:
    writer.put([stored("a", 0)])
    wrong = stored("b", 0)
    with pytest.raises(IndexMismatch, match="4 numbers"):
        writer.put(
            [StoredArticle(wrong.article, wrong.passages, np.ones((1, 3), dtype=np.float32), wrong.sentence_vectors)]
        )
    assert Index(folder, MODEL).counts() == (1, 1)


def test_an_index_of_another_model_is_not_written(folder: Path) -> None:
    write(folder, stored("a", 0))
    with pytest.raises(IndexMismatch, match="PULLQUOTE_EMBEDDING_MODEL=model"), open_for_writing(folder, "x", "s"):
        pass


def test_an_index_cut_by_an_earlier_splitter_can_be_read_and_written(folder: Path) -> None:
    with open_for_writing(folder, MODEL, "one") as writer:
        writer.put([stored("a", 0)])
    with open_for_writing(folder, MODEL, "two") as writer:
        writer.put([stored("b", 1)])
        assert writer.catalog.state().splitter == "two"
    assert Index(folder, MODEL).counts() == (2, 2)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="--index"), opened(tmp_path / "file" / "index"):
        pass


def test_a_batch_that_fails_leaves_what_was_there(writer: IndexWriter, folder: Path) -> None:
    writer.put([stored("a", 0)])
    with pytest.raises(StoreError, match="cannot be used"):
        writer.put([stored("a", 1, "New."), stored("b", 1), stored("b", 1)])
    assert texts(Index(folder, MODEL)) == {"a": "Short text."}
    writer.put([stored("c", 2)])
    assert nearest_articles(Index(folder, MODEL), axis(2), 1) == ["c"]


def test_more_passages_than_one_request_of_chroma_takes(folder: Path) -> None:
    many = stored("a", 0, "\n\n".join(["word " * 130] * 6000))
    assert len(many.passages) > 5461
    write(folder, many, stored("b", 1))
    assert_in_step(folder)
    with opened(folder) as writer:
        assert writer.remove(["a"]) == 1
    assert_in_step(folder)


@pytest.mark.parametrize("part", [FULLTEXT, CHROMA, VECTORS])
@pytest.mark.parametrize("harm", ["lost", "stale", "broken", "empty"])
def test_a_writer_repairs_what_is_derived(folder: Path, monkeypatch: pytest.MonkeyPatch, part: str, harm: str) -> None:
    monkeypatch.setattr(sync, "MOST_BEHIND", 0)
    write(folder, stored("a", 0), stored("b", 1, LONG), stored("c", 2))
    before = folder.parent / "before"
    shutil.copytree(folder, before)
    write(folder, stored("b", 3, "It is short now."), stored("d", 1))
    damage(folder, store_in_use(before) / part, part, harm)
    with opened(folder) as writer:
        writer.remove(["c"])
    assert_in_step(folder)
    assert nearest_articles(Index(folder, MODEL), axis(3), 1) == ["b"]


def damage(folder: Path, earlier: Path, part: str, harm: str) -> None:
    """Harm a derived index; it is stale if what it recorded last was lost with the power."""
    present = store_in_use(folder) / part
    if harm == "lost":
        shutil.rmtree(present)
    elif harm == "stale":
        for file in earlier.glob("*.i8") if part == VECTORS else [earlier / STATE]:
            shutil.copy(file, present)
    elif harm == "empty":
        for file in present.iterdir():
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    else:
        for name in ("meta.json", "state.json", "passages.i8"):
            if (present / name).is_file():
                (present / name).write_bytes(b"{")


Action = Callable[[Path], object]
OLD, NEW = (f"The {which} text. {'It goes on ' * 30}.\n\nIts end. {'It goes on ' * 30}." for which in ("old", "new"))
COPY = Copy("c", "/c", "", "", "")


def put_new(folder: Path) -> None:
    with opened(folder) as writer:
        writer.put([stored("a", 1, NEW), stored("n", 2, NEW)])
        writer.put([stored("b", 3, NEW)])


def remove_and_put(folder: Path) -> None:
    with opened(folder) as writer:
        writer.remove(["a", "c"])
        writer.put([stored("c", 2, NEW)])


def set_copies_and_states(folder: Path) -> None:
    with opened(folder) as writer:
        writer.set_copies({"a": (COPY,), "b": (COPY,)})
        writer.states.put([SourceState("/a", "a", "1")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "at_once"), [(put_new, 1), (put_new, 5000), (remove_and_put, 1), (set_copies_and_states, 5000)]
)
def test_a_write_that_is_killed_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Action, at_once: int
) -> None:
    """Whether the derived indexes are written with each batch, or at the end."""

    def settings() -> None:
        for name in ("COMMIT_PASSAGES", "CHROMA_BATCH"):
            monkeypatch.setattr(sync, name, at_once)
        monkeypatch.setattr(sync, "MOST_BEHIND", 0)

    settings()
    start = tmp_path / "index"
    write(start, stored("a", 0, OLD), stored("b", 0, OLD), stored("c", 0, OLD))
    steps = 0
    for folder, killed in killed_at_each_step(start, monkeypatch, action):
        if not killed:
            assert_in_step(folder)
            break
        settings()
        assert_whole(folder)
        with opened(folder):
            assert_whole(folder)
        assert_in_step(folder)
        assert_whole(folder)
        steps += 1
    assert steps > 8, "each number of a step was tried"


def assert_whole(folder: Path) -> None:
    """Each article is in its old version or the new one, found by the vector of this, and nothing else is found."""
    reader = Index(folder, MODEL)
    listed, read = {entry.id: entry for entry in reader.articles()}, texts(reader)
    assert set(read.values()) <= {OLD, NEW}
    assert listed.keys() <= {"a", "b", "c", "n"}
    assert all(entry.copies in ((), (COPY,)) for entry in listed.values())
    new = {"a": 1, "n": 2, "b": 3, "c": 2}
    for vector in range(4):
        found = nearest(reader, axis(vector), 100)
        near = {passage.article_id for passage, similarity in found if similarity > 0.9}
        assert near == {name for name, text in read.items() if (new[name] if text == NEW else 0) == vector}
        assert len(found) == sum(entry.passages for entry in listed.values()) == reader.counts()[1]


@pytest.mark.slow
def test_a_first_write_that_is_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in count():
        folder = tmp_path / f"index{step}"
        try:
            with killed_before(step, monkeypatch):
                write(folder, stored("a", 0, OLD))
            break
        except Killed:
            pass
        write(folder, stored("b", 1, OLD))
        assert_in_step(folder)
        assert nearest_articles(Index(folder, MODEL), axis(1), 1) == ["b"]
        assert len(list(folder.glob("store-*"))) == 1
    assert step > 5


def test_a_reader_that_opened_an_empty_index_sees_what_a_killed_write_committed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder):
        pass
    for step in count():
        copy = folder.parent / f"copy{step}"
        shutil.copytree(folder, copy)
        reader = Index(copy, MODEL)
        try:
            with killed_before(step, monkeypatch):
                write(copy, stored("a", 0))
            break
        except Killed:
            assert nearest_articles(reader, axis(0), 1) == [entry.id for entry in reader.articles()]
            assert list(reader.article_vectors(["a"])) == [entry.id for entry in reader.articles()]
    assert step > 5


def test_what_a_killed_update_of_chroma_wrote_is_removed_with_its_article(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.store.derived.chroma import ChromaVectors

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(sync, "MOST_BEHIND", 0)
    write(folder, stored("a", 0))
    with monkeypatch.context() as patch:
        patch.setattr(ChromaVectors, "record", killed)
        with pytest.raises(Killed):
            write(folder, stored("b", 1))
    with opened(folder) as writer:
        writer.remove(["b"])
    assert_in_step(folder)


def test_vectors_are_normalized(folder: Path) -> None:
    unit = normalized(np.array([[1.0, 2, 3, 4]], dtype=np.float32))
    write(folder, stored("a", unit))
    [(_, similarity)] = nearest(Index(folder, MODEL), unit[0], 1)
    assert similarity == pytest.approx(1, abs=0.01)
