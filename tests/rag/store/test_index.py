"""The store: real Chroma and tantivy, with vectors simple enough to check by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.articles.passages import split
from rag.errors import IndexChanging, IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.models.embedding import Vectors, normalized
from rag.schema import Article, Copy, Filters, Passage, Query
from rag.store.connection import FULLTEXT_FOLDER
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index
from rag.store.rebuild import rebuild
from rag.store.rows import StoredArticle
from rag.store.writer import IndexWriter, open_for_writing
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
SENTENCES = [f"Sentence {n} of the story has exactly ten words in it." for n in range(40)]


def stored(name: str, axis: int, text: str = "Short text.") -> StoredArticle:
    """An article whose passages all have the same unit vector."""
    article = Article(name, f"Title {name}", text, "Source", f"https://x.example/{name}", "Ada", date(2024, 1, 31))
    passages = split(article)
    unit = np.eye(4, dtype=np.float32)[axis]
    of_sentences = [np.tile(unit, (len(passage.sentences), 1)) for passage in passages]
    return StoredArticle(article, passages, np.tile(unit, (len(passages), 1)), of_sentences)


def axis(n: int) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[n]


def nearest(index: Index, vector: np.ndarray, limit: int) -> list[tuple[Passage, float]]:
    """The passages nearest in meaning, most similar first, as a question without a word finds them."""
    similar = {c.passage_id: c.similarity for c in index.candidates(Query(""), vector, limit)}
    try:
        found = index.passages(sorted(similar, key=lambda i: -similar[i]))
    except IndexChanging:
        return nearest(index, vector, limit)
    return [(f.passage, similar[f.passage.id]) for f in found]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IndexWriter]:
    with open_for_writing(tmp_path / "index", "model", "splitter") as writer:
        yield writer


def test_a_stored_article_is_found_and_complete(writer: IndexWriter) -> None:
    text = "\n\n".join(SENTENCES)
    a, b = stored("a", 0, text), stored("b", 1)
    writer.put([a, b])
    assert writer.counts() == (2, len(a.passages) + 1)
    near = nearest(writer, axis(0), 100)
    own = {replace(passage, duplicate_group=a.article.text_digest) for passage in a.passages}
    assert {passage for passage, _ in near[: len(a.passages)]} == own
    assert [round(similarity, 4) for _, similarity in near] == [1.0] * len(a.passages) + [0.0]
    read = writer.article("a")
    assert read is not None
    assert (read.text, read.title, read.published) == (text, "Title a", date(2024, 1, 31))
    assert writer.article("c") is None
    assert {entry.id: entry.passages for entry in writer.articles()} == {"a": len(a.passages), "b": 1}
    assert [i for i, _ in writer.fulltext.search("exactly ten", 100)]


def test_an_update_replaces_every_passage(writer: IndexWriter) -> None:
    writer.put([stored("a", 0, "\n\n".join(SENTENCES))])
    writer.put([stored("a", 1, "The new text is short.")])
    assert writer.counts() == (1, 1)
    assert nearest(writer, axis(0), 5)[0][1] == pytest.approx(0)
    assert writer.fulltext.search("exactly", 5) == []
    assert len(writer.fulltext.search("new", 5)) == 1


def test_an_article_keeps_the_time_it_was_first_indexed(writer: IndexWriter) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    writer.put([stored("a", 0)])
    first = writer.entries(["a"])["a"].added
    assert first
    assert before <= first <= datetime.now(UTC)
    time.sleep(1.1)  # times are kept by the second
    writer.put([stored("a", 0, "Another text."), stored("b", 0)])
    found = writer.entries(["a", "b"])
    assert found["a"].added == first
    assert found["b"].added
    assert found["b"].added > first


def test_related_articles_are_the_nearest_of_other_duplicate_groups(writer: IndexWriter) -> None:
    vectors = {
        "a": [1, 0, 0, 0],
        "copy": [1, 0, 0, 0],
        "near": [4, 3, 0, 0],
        "retold": [4, 3, 0, 0],
        "far": [0, 1, 0, 0],
    }
    stories = {"a": "one", "copy": "one", "near": "two", "retold": "two", "far": "three"}
    for name, vector in vectors.items():
        unit = normalized(np.array([vector], dtype=np.float32))
        writer.put([replace(stored(name, 0), vectors=unit, sentence_vectors=[unit], duplicate_group=stories[name])])
    assert [entry.duplicate_group for entry in writer.related("a", 5)] == ["two", "three"]
    assert [entry.duplicate_group for entry in writer.related("a", 1)] == ["two"]
    assert writer.related("nobody", 5) == []


def test_removal_leaves_nothing(writer: IndexWriter) -> None:
    writer.put([stored("a", 0), stored("b", 1)])
    assert writer.remove(["a", "unknown"]) == 1
    assert writer.counts() == (1, 1)
    assert [p.article_id for p, _ in nearest(writer, axis(0), 5)] == ["b"]
    assert [i for i, _ in writer.fulltext.search("title", 5)] == [stored("b", 1).passages[0].id]


def test_vectors_and_words_find_and_filters_come_before_ranking(writer: IndexWriter) -> None:
    a, b = stored("a", 0), stored("b", 1, "A zebra was seen.")
    writer.put([a, b])
    [first, second] = sorted(writer.candidates(Query("zebra"), axis(0), 1), key=lambda c: c.passage_id)
    assert (first.passage_id, first.similarity, first.bm25) == (a.passages[0].id, 1.0, 0.0)
    assert (second.passage_id, second.similarity) == (b.passages[0].id, 0.0)
    assert second.bm25 > 0
    only_b = Filters(article_ids=("b",))
    assert [c.passage_id for c in writer.candidates(Query("short", only_b), axis(0), 1)] == [b.passages[0].id]
    preferring = Query("", articles=("b",), weight=1.0)
    assert {c.passage_id for c in writer.candidates(preferring, axis(0), 1)} == {a.passages[0].id, b.passages[0].id}
    assert (writer.closest(axis(1), Filters()), writer.closest(axis(0), only_b)) == (1.0, 0.0)
    assert writer.closest(axis(0), Filters(sources=("nobody",))) == 0.0


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (Filters(), {"a", "b"}),
        (Filters(published_after=date(2024, 1, 31)), {"a", "b"}),
        (Filters(published_after=date(2024, 2, 1)), set()),
        (Filters(published_before=date(2024, 1, 31)), {"a", "b"}),
        (Filters(published_before=date(2024, 1, 30)), set()),
        (Filters(sources=("Source", "Other")), {"a", "b"}),
        (Filters(sources=("source",)), set()),
        (Filters(article_ids=("a",)), {"a"}),
        (Filters(date(2024, 1, 1), date(2024, 12, 31), ("Source",), ("b",)), {"b"}),
    ],
)
def test_filters_apply_to_vectors_and_words(writer: IndexWriter, filters: Filters, left: set[str]) -> None:
    undated = Article("c", "Title c", "Short text.")
    passages = split(undated)
    vectors = np.tile(axis(0), (1, 1))
    writer.put([stored("a", 0), stored("b", 1), StoredArticle(undated, passages, vectors, [vectors])])
    left = left if filters else {"a", "b", "c"}
    near = writer.candidates(Query("", filters), axis(0), 10)
    assert {c.passage_id.partition("#")[0] for c in near} == left
    assert {i.partition("#")[0] for i, _ in writer.fulltext.search("short", 10, filters)} == left


def test_sentence_vectors_are_stored_with_little_loss(writer: IndexWriter) -> None:
    a = stored("a", 0, " ".join(SENTENCES[:5]))
    vectors = normalized(np.random.default_rng(1).normal(size=(5, 384)).astype(np.float32))
    writer.put([StoredArticle(a.article, a.passages, np.tile(vectors[:1], (1, 1)), [vectors])])
    [found] = writer.passages([a.passages[0].id])
    assert (found.sentence_vectors * vectors).sum(axis=1) == pytest.approx(1, abs=2e-3)
    assert np.linalg.norm(found.sentence_vectors, axis=1) == pytest.approx(1, abs=1e-5)


class Killed(BaseException):
    """Simulates the end of the process."""


def kill_at(point: str, patch: pytest.MonkeyPatch) -> None:
    """Make the next write fail just before one of its steps."""
    from chromadb.api.models.Collection import Collection

    real = {name: getattr(Collection, name) for name in ("upsert", "delete", "modify")}

    def killed(*_: object, **__: object) -> None:
        raise Killed

    def killed_on(name: str, step: str) -> None:
        def call(self: Collection, *given: object, **named: object) -> object:
            if self.name == name:
                raise Killed
            return real[step](self, *given, **named)

        patch.setattr(Collection, step, call)

    collection, _, step = point.partition(".")
    if collection == "lexical":
        patch.setattr(FullTextIndex, step, killed)
    else:
        killed_on(collection, step)


def assert_whole(index: Index) -> None:
    """Every listed article has its text and is found by it, and nothing else is found."""
    listed = {entry.id for entry in index.articles()}
    for name in listed:
        article = index.article(name)
        assert article is not None
        assert article.text in ("The old text.", "A new text.", "Short text.")
    near = nearest(index, axis(0), 10)
    assert {passage.article_id for passage, _ in near} == listed
    assert len(near) == len(listed)


PUT = [
    "lexical.write_generation",
    "passages.upsert",
    "lexical.replace",
    "articles.upsert",
    "passages.delete",
    "articles.modify",
]
REMOVE = ["lexical.write_generation", "articles.delete", "lexical.replace", "passages.delete", "articles.modify"]


@pytest.mark.parametrize(("action", "point"), [("put", p) for p in PUT] + [("remove", p) for p in REMOVE])
def test_a_write_that_is_killed_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, point: str
) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0, "The old text."), stored("c", 0)])
        kill_at(point, monkeypatch)
        write = partial(writer.put, [stored("a", 0, "A new text."), stored("b", 0)])
        with pytest.raises(Killed):
            write() if action == "put" else writer.remove(["a"])
        monkeypatch.undo()
        with pytest.raises(StoreError, match="run the command again"):
            writer.put([stored("d", 0)])
    assert_whole(Index(folder, "model"))
    with open_for_writing(folder, "model", "splitter") as writer:
        assert_whole(writer)
        articles, passages = writer.counts()
        assert passages == articles, "nothing half-written is left"
        assert len(writer.fulltext.search("text", 10)) == articles
        writer.put([stored("a", 0, "The old text.")])
        assert_whole(writer)


def kill_before(request: int, patch: pytest.MonkeyPatch) -> None:
    """Make the next operation fail just before its request of this number, counted from 0."""
    from chromadb.api.models.Collection import Collection

    numbers = count()

    def killed_at(owner: type, step: str) -> None:
        real = getattr(owner, step)

        def call(*given: object, **named: object) -> object:
            if next(numbers) >= request:
                raise Killed
            return real(*given, **named)

        patch.setattr(owner, step, staticmethod(call) if step == "write_generation" else call)

    for step in ("upsert", "update", "delete", "modify"):
        killed_at(Collection, step)
    for step in ("replace", "write_generation"):
        killed_at(FullTextIndex, step)


OLD, NEW = (f"The {which} text. {'It goes on ' * 30}.\n\nIts end. {'It goes on ' * 30}." for which in ("old", "new"))


@pytest.mark.parametrize("action", ["put", "remove", "set_copies"])
def test_a_write_that_is_killed_between_any_two_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    from chromadb.api.client import Client

    monkeypatch.setattr(Client, "get_max_batch_size", lambda _: 1)
    folder, names, copy = tmp_path / "index", ("a", "b"), Copy("c", "/c", "", "", "")
    for request in count():
        with open_for_writing(folder, "model", "splitter") as writer, monkeypatch.context() as patch:
            writer.put([stored("a", 0, OLD), stored("b", 0)])
            kill_before(request, patch)
            try:
                if action == "put":
                    writer.put([stored("a", 0, NEW), stored("b", 0, "The end.")])
                elif action == "remove":
                    writer.remove(names)
                else:
                    writer.set_copies(dict.fromkeys(names, (copy,)))
                break
            except Killed:
                pass
        with open_for_writing(folder, "model", "splitter"):
            reader = Index(folder, "model")
            listed = {entry.id: entry for entry in reader.articles()}
            assert action == "remove" or listed.keys() == set(names)
            found = {name: article.text for name in listed if (article := reader.article(name))}
            assert set(found.values()) <= {OLD, NEW, "Short text.", "The end."}, "an article is half of one version"
            assert reader.counts()[1] == sum(entry.passages for entry in listed.values()) == reader.fulltext.count
            assert all(entry.copies in ((), (copy,)) for entry in listed.values())
    assert request > 4, "each number of a request was tried"


def test_readers_in_threads_while_articles_change(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored(f"a{n}", 0) for n in range(20)])
        readers = [Index(folder, "model") for _ in range(2)]
        with ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(lambda i=i: [nearest(i, axis(0), 30) for _ in range(25)]) for i in readers * 2]
            for n in range(10):
                writer.put([stored(f"a{n}", 0, f"Text number {n}.")])
                writer.remove([f"a{n + 10}"])
            for near in (near for answers in asked for near in answers.result()):
                assert len(near) <= 21
        for reader in readers:
            assert {p.article_id for p, _ in nearest(reader, axis(0), 30)} == {f"a{n}" for n in range(10)}


def test_a_reader_whose_collections_are_replaced_while_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0), stored("b", 1)])
    readings = {
        "query": lambda reader: [p.article_id for p, _ in nearest(reader, axis(1), 1)] == ["b"],
        "get": lambda reader: reader.article("a").text == "Short text.",
        "count": lambda reader: reader.counts() == (2, 2),
    }
    for step, read in readings.items():
        reader, real = Index(folder, "model"), getattr(Collection, step)

        def rebuilt_before(*given: object, step: str = step, real: Any = real, **named: object) -> object:
            """As another process does, between the reader's check of which pair is in use and its request."""
            monkeypatch.setattr(Collection, step, real)
            rebuild(folder, "model", unchanged, lambda *_: None)
            return real(*given, **named)

        monkeypatch.setattr(Collection, step, rebuilt_before)
        assert read(reader)


def unchanged(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
    """The vectors that these passages have."""
    vectors = np.stack([axis("ab".index(passage.article_id)) for passage in passages])
    return vectors, [np.tile(v, (len(p.sentences), 1)) for v, p in zip(vectors, passages, strict=True)]


def test_an_incomplete_article_is_not_returned(writer: IndexWriter, tmp_path: Path) -> None:
    from rag.store.vectors import client

    whole = stored("a", 0, "\n\n".join(SENTENCES))
    writer.put([whole, stored("b", 1)])
    reader, other = Index(tmp_path / "index", "model"), client(tmp_path / "index")
    other.get_collection("passages", embedding_function=None).delete(ids=[whole.passages[1].id])
    other.close()
    with pytest.raises(IndexChanging, match=r"try again in a moment, and .* repair it: pullquote check --fix --index"):
        reader.article("a")
    with pytest.raises(IndexChanging):
        reader.passages([passage.id for passage in whole.passages])
    assert reader.article("b") is not None


def test_reopening_leaves_no_files_open(tmp_path: Path) -> None:
    with open_for_writing(tmp_path / "index", "model", "splitter") as writer:
        writer.put([stored("a", 0)])
        reader = Index(tmp_path / "index", "model")
        open_files = Path("/proc/self/fd")
        before = len(list(open_files.iterdir())) if open_files.is_dir() else pytest.skip("no /proc here")
        for n in range(20):
            writer.put([stored(f"b{n}", 1)])
            assert reader.counts()[0] == n + 2
        assert len(list(open_files.iterdir())) < before + 20


def test_an_index_recreated_in_the_place_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0)])
    reader = Index(folder, "model")
    folder.rename(tmp_path / "old")
    with pytest.raises(IndexMissing):
        reader.counts()
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("b", 0)])
    assert [p.article_id for p, _ in nearest(reader, axis(0), 5)] == ["b"]


def test_a_second_reader_in_a_warm_process_sees_what_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0)])
        assert len(nearest(Index(folder, "model"), axis(0), 5)) == 1
        writer.put([stored("b", 0)])
        assert len(nearest(Index(folder, "model"), axis(0), 5)) == 2


def test_more_passages_than_one_batch_of_chroma(writer: IndexWriter) -> None:
    many = stored("a", 0, "\n\n".join(["word " * 130] * 6000))
    writer.put([many])
    assert writer.counts() == (1, len(many.passages))
    assert len(many.passages) > 5461


def test_a_reader_sees_what_another_process_writes(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0)])
    reader = Index(folder, "model")
    assert reader.counts() == (1, 1)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from tests.rag.store.test_index import stored\n"
        "from rag.store.writer import open_for_writing\n"
        "with open_for_writing(Path(sys.argv[3]), 'model', 'splitter') as writer: writer.put([stored('b', 1)])"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT), str(ROOT / "tests"), str(folder)], check=True)
    assert nearest(reader, axis(1), 1)[0][0].article_id == "b"
    assert len(reader.fulltext.search("title", 5)) == 2


def test_two_indexes_in_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    readers = []
    for name in ("one", "two"):
        with open_for_writing(tmp_path / name, "model", "splitter") as writer:
            writer.put([stored(name, 0)])
        readers.append(Index(tmp_path / name, "model"))
    assert [nearest(reader, axis(0), 1)[0][0].article_id for reader in readers] == ["one", "two"]


def test_only_one_writes_at_a_time(writer: IndexWriter, tmp_path: Path) -> None:
    with (
        pytest.raises(IndexLocked, match=f"process {os.getpid()} on .* since .* is writing"),
        open_for_writing(tmp_path / "index", "model", "splitter"),
    ):
        pass


def test_opening_a_missing_index_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="pullquote ingest"):
        Index(tmp_path / "none", "model")
    assert list(tmp_path.iterdir()) == []


def test_another_model_or_dimension_is_refused(writer: IndexWriter, tmp_path: Path) -> None:
    writer.put([stored("a", 0)])
    with pytest.raises(IndexMismatch, match="PULLQUOTE_EMBEDDING_MODEL=model"):
        Index(tmp_path / "index", "other")
    wrong = stored("b", 0)
    with pytest.raises(IndexMismatch, match="4 numbers"):
        writer.put(
            [StoredArticle(wrong.article, wrong.passages, np.ones((1, 3), dtype=np.float32), wrong.sentence_vectors)]
        )
    assert writer.counts() == (1, 1)


def test_an_index_cut_by_an_earlier_splitter_can_be_read_and_written(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "one") as writer:
        writer.put([stored("a", 0)])
    with open_for_writing(folder, "model", "two") as writer:
        writer.put([stored("b", 1)])
        assert writer._view.store.metadata["splitter"] == "two"
    assert Index(folder, "model").counts() == (2, 2)


@pytest.mark.parametrize("harm", ["lost", "stale", "broken", "empty"])
def test_the_full_text_is_built_again(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0), stored("b", 1)])
    if harm == "lost":
        FullTextIndex.delete(folder / FULLTEXT_FOLDER)
    elif harm == "empty":
        FullTextIndex.delete(folder / FULLTEXT_FOLDER)
        FullTextIndex(folder / FULLTEXT_FOLDER, create=True)
        FullTextIndex.write_generation(folder / FULLTEXT_FOLDER, 1)
    elif harm == "stale":
        (folder / FULLTEXT_FOLDER / "generation").write_text("0")
    else:
        (folder / FULLTEXT_FOLDER / "meta.json").write_text("{")
    before = sorted(path.name for path in folder.rglob("*"))
    assert len(Index(folder, "model").fulltext.search("title", 5)) == 2
    assert sorted(path.name for path in folder.rglob("*")) == before, "reading writes nothing"
    with open_for_writing(folder, "model", "splitter") as writer:
        assert len(writer.fulltext.search("title", 5)) == 2


def test_a_broken_database_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError):
        Index(folder, "model")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="--index"), open_for_writing(tmp_path / "file" / "index", "m", "s"):
        pass
