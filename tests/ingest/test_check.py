"""What a check finds wrong with an index, what it repairs, and an index rebuilt with another model."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest import ingest
from ingest.articles.passages import SPLITTER
from ingest.check import Findings, check, rebuild, repair
from rag.config import Config
from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.schema import Query
from rag.store.catalog.reading import PAGE_BYTES
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.fulltext import FullTextIndex
from rag.store.files import CATALOG, CHROMA, FULLTEXT, POINTER, VECTORS, DerivedState, store_in_use
from rag.store.index import Index
from rag.store.verify import Problems
from rag.store.writer import open_for_writing
from tests.support.hashing import DIMENSION, HashEmbedder

pytestmark = pytest.mark.slow
ARTICLES = 12


def quiet(done: int, total: int) -> None:
    assert done <= total


def text(number: int) -> str:
    return " ".join(f"Hive {number}x{k} of valley {k} was lost in winter {number * k}." for k in range(40))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    corpus = tmp_path / "corpus.jsonl"
    records = (
        {"id": f"a{n}", "title": f"Hives {n}", "source": f"Paper {n % 3}", "text": text(n)} for n in range(ARTICLES)
    )
    corpus.write_text("\n".join(map(json.dumps, records)))
    return corpus


@pytest.fixture
def config(tmp_path: Path, corpus: Path) -> Config:
    config = Config(index=tmp_path / "index", embedding_model="hash")
    ingest([corpus], config)
    return config


def sql(config: Config, *statements: str) -> None:
    with closing(sqlite3.connect(store_in_use(config.index) / CATALOG)) as database, database:
        for statement in statements:
            database.execute(statement)


def texts(config: Config) -> dict[str, str]:
    index = Index(config.index, config.embedding_model)
    return {entry.id: article.text for entry in index.articles() if (article := index.article(entry.id))}


def chroma(config: Config) -> ChromaVectors:
    """Chroma's vectors, as another program would open them."""
    folder = store_in_use(config.index) / CHROMA
    opened = ChromaVectors.open(folder, DerivedState.read(folder).identity)
    assert opened
    return opened


def repaired(config: Config) -> Findings:
    """The findings of a check, after a repair left nothing of them."""
    found = check(config, quiet)
    assert found.lines
    assert repair(config, found, quiet).lines == []
    return found


def test_a_whole_index_has_nothing_wrong(config: Config) -> None:
    before = sorted(path for path in config.index.rglob("*") if path.is_file())
    findings = check(config, quiet)
    counts = Index(config.index, "hash").counts()
    assert (findings.lines, findings.articles, findings.passages) == ([], *counts)
    assert sorted(path for path in config.index.rglob("*") if path.is_file()) == before


def test_a_missing_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        check(Config(index=tmp_path / "none"), quiet)
    assert not (tmp_path / "none").exists()


def test_an_index_of_another_model_is_an_error(config: Config) -> None:
    with pytest.raises(IndexMismatch, match="was built with the embedding model hash"):
        check(replace(config, embedding_model="other"), quiet)


def test_an_index_that_is_written_to_is_not_checked(config: Config) -> None:
    with open_for_writing(config.index, "hash", SPLITTER), pytest.raises(IndexLocked, match=str(os.getpid())):
        check(config, quiet)


def test_a_text_that_is_not_as_it_was_written(config: Config, corpus: Path) -> None:
    sql(
        config, "UPDATE passages SET text = replace(text, 'was lost', 'was kept') WHERE ordinal = 1 AND article_key = 3"
    )
    index = Index(config.index, "hash")
    with pytest.raises(StoreError, match=r"a2 is damaged .* --fix"):
        index.article("a2")
    near = index.candidates(Query("valley 9"), HashEmbedder().embed_questions(["valley 9"])[0], 500)
    assert "was kept" not in "".join(each.passage.text for each in index.passages([c.key for c in near]))
    with pytest.raises(StoreError, match="--fix"):
        rebuild(config, "other", quiet)
    found = repaired(config)
    assert found.lines == ["1 articles that are damaged; ingest their sources again: a2"]
    assert len(texts(config)) == ARTICLES - 1
    report = ingest([corpus], config)
    assert (report.added, report.unchanged) == (1, ARTICLES - 1)
    assert texts(config) == {f"a{n}": text(n) for n in range(ARTICLES)}


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("DELETE FROM passages WHERE article_key = 3 AND ordinal = 1", "1 articles that are damaged"),
        ("DELETE FROM passages WHERE article_key = 3", "1 articles that are damaged"),
        ("DELETE FROM articles WHERE key = 3", "1 articles of which nothing can be read"),
        ("UPDATE articles SET title = 'Bees' WHERE key = 3", "1 articles that are damaged"),
        ("UPDATE articles SET copies = '[' WHERE key = 3", "1 articles that are damaged"),
        ("UPDATE articles SET added = 'soon' WHERE key = 3", "1 articles that are damaged"),
        ("UPDATE passages SET sentences = '[[0' WHERE article_key = 3", "1 articles that are damaged"),
        ("UPDATE passages SET text = x'ff' WHERE article_key = 3", "1 articles that are damaged"),
        ("UPDATE passages SET text = CAST(x'ff' AS TEXT) WHERE article_key = 3", "1 articles that are damaged"),
    ],
)
def test_a_row_that_is_lost_or_not_as_it_was_written(config: Config, corpus: Path, damage: str, line: str) -> None:
    sql(config, damage)
    assert repaired(config).lines[0].startswith(line)
    assert len(texts(config)) == ARTICLES - 1
    assert ingest([corpus], config).added == 1
    assert texts(config) == {f"a{n}": text(n) for n in range(ARTICLES)}


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("UPDATE state SET passages = passages + 1", "the numbers of articles and passages"),
        ("UPDATE state SET next_passage = 3", "the numbers of articles and passages"),
        ("DELETE FROM state", "the index's own row"),
        ("UPDATE facets SET articles = 3", "the numbers of articles of each source"),
        ("DELETE FROM places WHERE article_key = 4", "the places of articles"),
        ("UPDATE sources SET pages = '{'", "the states of sources"),
        (
            "INSERT INTO passages SELECT 900, 900, 0, 0, 1, 'x', '[]', vector, '', 0, 0 FROM passages LIMIT 1",
            "1 passages that belong to no article",
        ),
        ("UPDATE passages SET vector = x'00' WHERE article_key = 3", "1 articles whose vectors are damaged"),
        (
            "UPDATE passages SET vector = zeroblob(length(vector)) WHERE article_key = 3",
            "1 articles whose vectors are damaged",
        ),
        ("UPDATE passages SET sentence_vectors = NULL WHERE 0", ""),
    ],
)
def test_what_is_not_part_of_an_article_costs_none(config: Config, damage: str, line: str) -> None:
    before = Index(config.index, "hash")
    vectors = before.article_vectors([f"a{n}" for n in range(ARTICLES)])
    sql(config, damage)
    if not line:
        return
    assert any(line in found for found in repaired(config).lines)
    assert texts(config) == {f"a{n}": text(n) for n in range(ARTICLES)}
    after = Index(config.index, "hash").article_vectors(list(vectors))
    assert all(np.allclose(after[i], vectors[i], atol=0.02) for i in vectors)


def test_damaged_pages_of_the_catalogue(config: Config, corpus: Path) -> None:
    """Each page in turn: what is whole is kept, and the next ingest brings back the rest."""
    sql(config, "PRAGMA wal_checkpoint(TRUNCATE)")
    kept = config.index.with_name("kept")
    shutil.copytree(config.index, kept)
    pages = (store_in_use(config.index) / CATALOG).stat().st_size // PAGE_BYTES
    fewest = ARTICLES
    for page in range(1, pages, 3):
        shutil.rmtree(config.index)
        shutil.copytree(kept, config.index)
        with (store_in_use(config.index) / CATALOG).open("r+b") as file:
            file.seek(page * PAGE_BYTES)
            file.write(bytes(PAGE_BYTES))
        found = check(config, quiet)
        assert found.lines, page
        assert repair(config, found, quiet).lines == [], page
        fewest = min(fewest, len(texts(config)))
        report = ingest([corpus], config)
        assert report.failed == ()
        assert texts(config) == {f"a{n}": text(n) for n in range(ARTICLES)}, page
    assert fewest < ARTICLES


def test_vectors_that_chroma_lost(config: Config) -> None:
    """As two programs leave them that write at once."""
    opened = chroma(config)
    opened.delete(np.arange(3, 8))
    opened.upsert([9, 10], opened.vectors([9, 10])[9].reshape(1, -1).repeat(2, axis=0))
    opened.upsert([5000], opened.vectors([9])[9].reshape(1, -1))
    del opened
    found = repaired(config)
    assert (found.store.chroma.missing, found.store.chroma.outdated) == (6, 1)


@pytest.mark.parametrize("name", ["passages.i8", "articles.i8"])
def test_wrong_vectors_in_a_matrix(config: Config, name: str) -> None:
    file = store_in_use(config.index) / VECTORS / name
    row = 4 + DIMENSION
    data = bytearray(file.read_bytes())
    data[3 * row + 4 : 3 * row + 30] = os.urandom(26)
    file.write_bytes(data)
    assert repaired(config).lines == ["1 vectors that are missing or wrong in the files of vectors"]


@pytest.mark.parametrize("name", ["passages.i8", "articles.i8", "passages.columns"])
def test_files_of_vectors_that_are_lost_or_cut(config: Config, name: str) -> None:
    file = store_in_use(config.index) / VECTORS / name
    file.write_bytes(file.read_bytes()[:-50])
    assert len(repaired(config).lines) == 1
    file.unlink()
    assert len(repaired(config).lines) == 1


def test_a_wrong_day_for_filters(config: Config) -> None:
    file = store_in_use(config.index) / VECTORS / "passages.columns"
    data = bytearray(file.read_bytes())
    data[80:84] = b"abcd"
    file.write_bytes(data)
    assert repaired(config).lines == ["1 articles whose day or source is wrong in the file for filters"]


def test_outdated_full_text_is_rebuilt(config: Config) -> None:
    folder = store_in_use(config.index) / FULLTEXT
    fulltext = FullTextIndex(folder)
    fulltext.delete(["a1"])
    [passage] = Index(config.index, "hash").passages([1])
    fulltext.add([replace(passage.passage, key=7000), passage.passage])
    fulltext.commit()
    fulltext.close()
    found = repaired(config)
    assert found.store.unsearchable > 1
    assert found.store.outdated == 2
    fulltext = FullTextIndex(folder)
    assert fulltext.keys() == {
        p.key for page in Index(config.index, "hash")._store.catalog.passage_pages() for p in page
    }


@pytest.mark.parametrize("damage", [b"junk\n", b"", bytes(1000)])
def test_damaged_full_text_is_found_and_rebuilt(config: Config, damage: bytes) -> None:
    for file in (store_in_use(config.index) / FULLTEXT).glob("*"):
        if file.suffix in (".store", ".term", ".idx", ".fast"):
            file.write_bytes(damage)
    found = check(config, quiet)
    assert found.store.unsearchable > 0
    assert repair(config, found, quiet).lines == []
    assert Index(config.index, "hash").fulltext.search("hive", 5)


def test_an_older_catalogue_gets_other_derived_indexes(config: Config, corpus: Path) -> None:
    """What was written with the keys that it will use again must not be found by them."""
    sql(config, "PRAGMA wal_checkpoint(TRUNCATE)")
    older = (store_in_use(config.index) / CATALOG).read_bytes()
    with corpus.open("a") as file:
        file.write("\n" + json.dumps({"id": "b", "title": "Quartz", "text": text(50).replace("Hive", "Quartz")}))
    assert ingest([corpus], config).added == 1
    sql(config, "PRAGMA wal_checkpoint(TRUNCATE)")
    (store_in_use(config.index) / CATALOG).write_bytes(older)
    assert check(config, quiet).lines
    assert repair(config, check(config, quiet), quiet).lines == []
    assert not Index(config.index, "hash").fulltext.search("quartz", 5)


def test_what_was_written_after_a_check_is_not_removed_by_a_repair(config: Config) -> None:
    corpus = str(config.index.parent / "corpus.jsonl")
    findings = Findings(Problems(damaged=["a2"], matrix=1, unsearchable=1), forgotten=(corpus,))
    assert repair(config, findings, quiet).lines == []
    assert len(texts(config)) == ARTICLES
    with open_for_writing(config.index, "hash", SPLITTER) as writer:
        assert [*writer.states.all()], "its source need not be read again"


def test_sources_without_articles_are_read_again(config: Config, corpus: Path) -> None:
    with open_for_writing(config.index, "hash", SPLITTER) as writer:
        writer.remove([f"a{n}" for n in range(6)])
    assert [Path(origin).name for origin in check(config, quiet).forgotten] == ["corpus.jsonl"]
    repaired(config)
    assert ingest([corpus], config).added == 6


@pytest.mark.parametrize(
    "spoil",
    [lambda file: file.write_bytes(b"rubbish" * 1000), lambda file: file.unlink(), lambda file: os.truncate(file, 100)],
)
def test_a_catalogue_that_is_none_is_one_line(config: Config, spoil: Callable[[Path], object]) -> None:
    spoil(store_in_use(config.index) / CATALOG)
    for call in (lambda: check(config, quiet), lambda: repair(config, Findings(Problems(lost=1)), quiet)):
        with pytest.raises(StoreError) as caught:
            call()
        assert "make a new one: pullquote ingest PATH --index" in str(caught.value)


def test_rebuilt_with_another_model_everything_is_there(config: Config) -> None:
    before, open_before = texts(config), Index(config.index, "hash")
    _, passages = open_before.counts()
    assert rebuild(config, "other", quiet) == passages
    after = replace(config, embedding_model="other")
    assert texts(after) == before
    assert check(after, quiet).lines == []
    near = Index(config.index, "other").candidates(
        Query("hive"), HashEmbedder().embed_questions(["Hive 3 of valley 7"])[0], 3
    )
    assert len(near) >= 3
    with pytest.raises(IndexMismatch, match="pullquote rebuild"):
        open_before.counts()
    assert [path.name for path in config.index.glob("store-*")] == ["store-2"], "the old one is gone"


def test_a_rebuild_that_stops_half_way_changes_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(HashEmbedder):
        def embed_texts(self, texts, parts):  # type: ignore[no-untyped-def]
            raise StoreError("the power went out")

    pointer = (config.index / POINTER).read_bytes()
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: Broken())
    with pytest.raises(StoreError, match="power"):
        rebuild(config, "other", quiet)
    assert (config.index / POINTER).read_bytes() == pointer
    assert check(config, quiet).lines == []
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    rebuild(config, "other", quiet)
    assert check(replace(config, embedding_model="other"), quiet).lines == []
