"""The store: real Chroma and tantivy, with vectors a reader can compute in the head."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from ingest.split import split
from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.index import LEXICAL_FOLDER, Index, IndexWriter, StoredArticle, open_for_writing
from rag.lexical import LexicalIndex
from rag.schema import Article

pytestmark = pytest.mark.slow
SENTENCES = [f"Sentence {n} of the story has exactly ten words in it." for n in range(40)]


def stored(name: str, axis: int, text: str = "Short text.") -> StoredArticle:
    """An article whose passages all have the same unit vector."""
    article = Article(name, f"Title {name}", text, "Source", f"https://x.example/{name}", "Ada", date(2024, 1, 31))
    passages = split(article)
    return StoredArticle(article, passages, np.tile(np.eye(4, dtype=np.float32)[axis], (len(passages), 1)))


def axis(n: int) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[n]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IndexWriter]:
    with open_for_writing(tmp_path / "index", "model", "splitter") as writer:
        yield writer


def test_what_is_put_is_found_and_whole(writer: IndexWriter) -> None:
    text = "\n\n".join(SENTENCES)
    a, b = stored("a", 0, text), stored("b", 1)
    writer.put([a, b])
    assert writer.counts() == (2, len(a.passages) + 1)
    near = writer.nearest(axis(0), 100)
    assert [n.passage for n in near[: len(a.passages)]] == sorted(a.passages, key=lambda p: near_order(p, near))
    assert [round(n.similarity, 4) for n in near] == [1.0] * len(a.passages) + [0.0]
    read = writer.article("a")
    assert read is not None
    assert (read.text, read.title, read.published) == (text, "Title a", date(2024, 1, 31))
    assert writer.article("c") is None
    assert {entry.id: entry.passages for entry in writer.articles()} == {"a": len(a.passages), "b": 1}
    assert [i for i, _ in writer.lexical.search("exactly ten", 100)]


def near_order(passage: object, near: list) -> int:
    return [n.passage for n in near].index(passage)


def test_an_update_replaces_every_passage(writer: IndexWriter) -> None:
    writer.put([stored("a", 0, "\n\n".join(SENTENCES))])
    writer.put([stored("a", 1, "The new text is short.")])
    assert writer.counts() == (1, 1)
    assert writer.nearest(axis(0), 5)[0].similarity == pytest.approx(0)
    assert writer.lexical.search("exactly", 5) == []
    assert len(writer.lexical.search("new", 5)) == 1


def test_removal_leaves_nothing(writer: IndexWriter) -> None:
    writer.put([stored("a", 0), stored("b", 1)])
    assert writer.remove(["a", "unknown"]) == 1
    assert writer.counts() == (1, 1)
    assert [n.passage.article_id for n in writer.nearest(axis(0), 5)] == ["b"]
    assert [i for i, _ in writer.lexical.search("title", 5)] == [stored("b", 1).passages[0].id]


def test_similarity_of_named_passages(writer: IndexWriter) -> None:
    a, b = stored("a", 0), stored("b", 1)
    writer.put([a, b])
    near = writer.compare(axis(0), [b.passages[0].id, a.passages[0].id, "unknown"])
    assert {n.passage.article_id: n.similarity for n in near} == {"a": 1.0, "b": 0.0}
    assert writer.compare(axis(0), []) == []


def test_a_half_written_article_is_not_shown(writer: IndexWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.put([stored("a", 0, "The old text.")])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LexicalIndex, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.put([stored("a", 0, "A new text."), stored("b", 1)])
    monkeypatch.undo()
    assert [n.passage.text for n in writer.nearest(axis(0), 10)] == ["The old text."]
    writer.put([stored("a", 0, "A new text."), stored("b", 1)])
    assert writer.counts() == (2, 2)


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
        "from test_rag_index import stored\n"
        "from rag.index import open_for_writing\n"
        "with open_for_writing(Path(sys.argv[3]), 'model', 'splitter') as writer: writer.put([stored('b', 1)])"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT), str(ROOT / "tests"), str(folder)], check=True)
    assert reader.nearest(axis(1), 1)[0].passage.article_id == "b"
    assert len(reader.lexical.search("title", 5)) == 2


def test_two_indexes_in_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    readers = []
    for name in ("one", "two"):
        with open_for_writing(tmp_path / name, "model", "splitter") as writer:
            writer.put([stored(name, 0)])
        readers.append(Index(tmp_path / name, "model"))
    assert [reader.nearest(axis(0), 1)[0].passage.article_id for reader in readers] == ["one", "two"]


def test_only_one_writes_at_a_time(writer: IndexWriter, tmp_path: Path) -> None:
    with pytest.raises(IndexLocked, match="another process"), open_for_writing(tmp_path / "index", "model", "splitter"):
        pass


def test_opening_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="pullquote ingest"):
        Index(tmp_path / "none", "model")
    assert list(tmp_path.iterdir()) == []


def test_another_model_or_splitter_is_refused(writer: IndexWriter, tmp_path: Path) -> None:
    writer.put([stored("a", 0)])
    with pytest.raises(IndexMismatch, match="PULLQUOTE_EMBEDDING_MODEL=model"):
        Index(tmp_path / "index", "other")
    wrong = stored("b", 0)
    with pytest.raises(IndexMismatch, match="4 numbers"):
        writer.put([StoredArticle(wrong.article, wrong.passages, np.ones((1, 3), dtype=np.float32))])
    assert writer.counts() == (1, 1)


def test_another_splitter_is_refused(tmp_path: Path) -> None:
    for splitter in ("one", "one"):
        with open_for_writing(tmp_path / "index", "model", splitter):
            pass
    with pytest.raises(IndexMismatch, match="cut by one"), open_for_writing(tmp_path / "index", "model", "two"):
        pass


@pytest.mark.parametrize("harm", ["lost", "stale", "broken"])
def test_the_full_text_side_is_built_again(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "index"
    with open_for_writing(folder, "model", "splitter") as writer:
        writer.put([stored("a", 0), stored("b", 1)])
    if harm == "lost":
        LexicalIndex.delete(folder / LEXICAL_FOLDER)
    elif harm == "stale":
        (folder / LEXICAL_FOLDER / "generation").write_text("0")
    else:
        (folder / LEXICAL_FOLDER / "meta.json").write_text("{")
    before = sorted(path.name for path in folder.rglob("*"))
    assert len(Index(folder, "model").lexical.search("title", 5)) == 2
    assert sorted(path.name for path in folder.rglob("*")) == before, "reading writes nothing"
    with open_for_writing(folder, "model", "splitter") as writer:
        assert len(writer.lexical.search("title", 5)) == 2


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
