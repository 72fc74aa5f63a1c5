"""What a check finds wrong with an index, what it repairs, and an index rebuilt with another model."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest import ingest
from ingest.articles.passages import SPLITTER
from ingest.check import Findings, check, rebuild, repair
from ingest.sources.state import open_states
from ingest.updater import Model
from rag.config import PACKAGED_MODEL, Config
from rag.errors import IndexMismatch, IndexMissing, StoreError
from rag.models.embedding import Embedder
from rag.schema import Query
from rag.store.connection import FULLTEXT_FOLDER, collection_names
from rag.store.fulltext import FullTextIndex
from rag.store.index import Index
from rag.store.vectors import client as open_client
from rag.store.writer import open_for_writing
from tests.support.hashing import DIMENSION, HashEmbedder

pytestmark = pytest.mark.slow


def quiet(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus.jsonl"
    texts = (" ".join(f"Hive {n} of valley {k} was lost in winter {n * k}." for k in range(40)) for n in range(6))
    corpus.write_text(
        "\n".join(json.dumps({"id": f"a{n}", "title": f"Hives {n}", "text": t}) for n, t in enumerate(texts))
    )
    return corpus


@pytest.fixture
def config(tmp_path: Path, corpus: Path, embedder: Embedder) -> Config:
    config = Config(index=tmp_path / "index")
    ingest([corpus], config, model=Model(PACKAGED_MODEL, embedder))
    return config


def spoiled(config: Config, name: str):  # type: ignore[no-untyped-def]
    """A collection, as another program would open it."""
    client = open_client(config.index)
    return client, client.get_collection(name, embedding_function=None)


def test_a_whole_index_has_nothing_wrong(config: Config) -> None:
    findings = check(config, quiet)
    assert (findings.lines, findings.articles, findings.passages) == (
        [],
        6,
        Index(config.index, PACKAGED_MODEL).counts()[1],
    )


def test_a_missing_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        check(Config(index=tmp_path / "none"), quiet)
    assert not (tmp_path / "none").exists()


def test_passages_of_no_article_and_articles_without_passages(config: Config, corpus: Path, embedder: Embedder) -> None:
    client, passages = spoiled(config, "passages")
    found = passages.get(where={"article_id": "a2"}, include=["metadatas", "documents", "embeddings"])
    passages.delete(ids=found["ids"][:2])
    row = {**found["metadatas"][0], "article_id": "nobody"}
    passages.upsert(ids=["nobody#0"], embeddings=found["embeddings"][:1], documents=["x"], metadatas=[row])
    client.close()
    findings = check(config, quiet)
    assert (findings.orphans, findings.incomplete) == (["nobody#0"], ["a2"])
    assert (findings.outdated, findings.unsearchable) == (2, 0)
    repair(config, check(config, quiet), quiet)
    assert check(config, quiet).lines == []
    report = ingest([corpus], config, model=Model(PACKAGED_MODEL, embedder))
    assert (report.added, report.unchanged) == (1, 5)
    assert check(config, quiet).lines == []


def test_vectors_that_are_lost_are_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two programs leave them that write at once: the rows are there and counted, their vectors are not."""
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    config, corpus = Config(index=tmp_path / "index", embedding_model="hash"), tmp_path / "corpus.jsonl"
    drawn = random.Random(1)
    sentences = [f"The {' '.join(f'word{drawn.randrange(9000)}' for _ in range(12))} fell." for _ in range(13_000)]
    texts = (" ".join(sentences[:6500]), " ".join(sentences[6500:]))
    corpus.write_text("\n".join(json.dumps({"id": f"a{n}", "title": "Hives", "text": t}) for n, t in enumerate(texts)))
    passages = ingest([corpus], config).passages
    assert passages > 2000, "Chroma keeps its last thousand in a log, from which it would read them again"
    for folder in config.index.iterdir():
        if folder.is_dir() and folder.name != FULLTEXT_FOLDER:
            shutil.rmtree(folder)
    findings = check(config, quiet)
    assert findings.passages == passages
    assert len(findings.unfound) > 1000
    assert repair(config, findings, quiet).lines == []
    index, vector = (
        Index(config.index, "hash"),
        HashEmbedder().embed_questions([f"Hives\n{' '.join(sentences[70:76])}"]),
    )
    assert index.passages([index.candidates(Query("word1"), vector[0], 1)[0].passage_id])


@pytest.mark.parametrize(("step", "by"), [("upsert", "a writer"), ("modify", "a writer"), ("upsert", "a rebuild")])
def test_passages_that_are_linked_anew_survive_the_end_of_the_process(
    config: Config, monkeypatch: pytest.MonkeyPatch, step: str, by: str
) -> None:
    from chromadb.api.models.Collection import Collection

    before = Index(config.index, PACKAGED_MODEL)
    texts = {entry.id: before.article(entry.id) for entry in before.articles()}
    ids = [i for page in before.rows() for i, _, _ in page]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with open_for_writing(config.index, PACKAGED_MODEL, SPLITTER) as writer:
        monkeypatch.setattr(Collection, step, killed)
        with pytest.raises(KeyboardInterrupt):
            writer.reinsert_passages(ids)
        monkeypatch.undo()
    if by == "a rebuild":
        monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
        rebuild(config, "hash", quiet)
        config = replace(config, embedding_model="hash")
    else:
        with open_for_writing(config.index, PACKAGED_MODEL, SPLITTER):
            pass
    after = Index(config.index, config.embedding_model)
    assert {entry.id: after.article(entry.id) for entry in after.articles()} == texts
    assert check(config, quiet).lines == []
    assert not list(config.index.glob("taken-out*"))


def test_what_was_written_after_a_check_is_not_removed_by_a_repair(config: Config) -> None:
    """As another process does that had stored an article's passages while the check looked, and not yet its row."""
    with open_for_writing(config.index, PACKAGED_MODEL, SPLITTER) as writer:
        of_a2 = [i for page in writer.rows() for i, p, _ in page if p and p.article_id == "a2"]
    findings = Findings(orphans=of_a2, incomplete=["a3"], forgotten=[str(config.index.parent / "corpus.jsonl")])
    assert repair(config, findings, quiet).lines == []
    assert Index(config.index, PACKAGED_MODEL).counts()[0] == 6
    with open_states(config.index) as states:
        assert [*states.all()], "its source need not be read again"


def test_outdated_full_text_is_rebuilt(config: Config) -> None:
    folder = config.index / FULLTEXT_FOLDER
    FullTextIndex(folder).replace(["a1"], [])
    index = Index(config.index, PACKAGED_MODEL)
    of_a1 = [p.id for page in index.rows() for _, p, _ in page if p and p.article_id == "a1"]
    assert check(config, quiet).unsearchable == len(of_a1)
    found = {passage_id for passage_id, _ in index.fulltext.search("hive", 500)}
    assert found >= set(of_a1), "a reader builds for itself what it cannot use"
    repair(config, check(config, quiet), quiet)
    assert FullTextIndex(folder).ids() == {i for page in index.rows() for i, _, _ in page}


def test_sources_without_articles_are_read_again(config: Config, corpus: Path, embedder: Embedder) -> None:
    client, articles = spoiled(config, "articles")
    articles.delete(ids=[f"a{n}" for n in range(6)])
    client.close()
    assert [Path(origin).name for origin in check(config, quiet).forgotten] == ["corpus.jsonl"]
    repair(config, check(config, quiet), quiet)
    assert ingest([corpus], config, model=Model(PACKAGED_MODEL, embedder)).added == 6


def test_rebuilt_with_another_model_everything_is_there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Index(config.index, PACKAGED_MODEL)
    texts = {entry.id: before.article(entry.id) for entry in before.articles()}
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    assert rebuild(config, "hash", quiet) == before_count(config, "hash")
    after = Index(config.index, "hash")
    assert {entry.id: after.article(entry.id) for entry in after.articles()} == texts
    assert after.dimension == DIMENSION
    assert check(Config(index=config.index, embedding_model="hash"), quiet).lines == []
    near = after.candidates(Query("hive"), HashEmbedder().embed_questions(["Hive 3 of valley 7"])[0], 3)
    assert len(near) >= 3
    with pytest.raises(IndexMismatch, match="pullquote rebuild"):
        before.candidates(Query("hive"), np.zeros(384, dtype=np.float32), 3)
    client = open_client(config.index)
    assert {c.name for c in client.list_collections()} == set(collection_names(1)), "the old ones are gone"
    client.close()


def before_count(config: Config, model: str) -> int:
    return Index(config.index, model).counts()[1]


def test_a_rebuild_that_stops_half_way_changes_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(HashEmbedder):
        def embed_texts(self, texts, parts):  # type: ignore[no-untyped-def]
            raise StoreError("the power went out")

    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: Broken())
    with pytest.raises(StoreError, match="power"):
        rebuild(config, "hash", quiet)
    assert check(config, quiet).lines == []
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    rebuild(config, "hash", quiet)
    assert check(Config(index=config.index, embedding_model="hash"), quiet).lines == []


def test_damaged_full_text_is_found_and_rebuilt(config: Config) -> None:
    for file in (config.index / FULLTEXT_FOLDER).glob("*"):
        if file.suffix in (".store", ".term", ".idx"):
            file.write_bytes(b"junk\n")
    assert check(config, quiet).unsearchable > 0
    assert repair(config, check(config, quiet), quiet).lines == []
    assert Index(config.index, PACKAGED_MODEL).fulltext.search("hive", 5)


def test_rows_without_their_metadata(config: Config, corpus: Path, embedder: Embedder) -> None:
    with closing(sqlite3.connect(config.index / "chroma.sqlite3")) as database, database:
        [(row,)] = database.execute("SELECT id FROM embeddings WHERE embedding_id LIKE 'a2#%' LIMIT 1").fetchall()
        database.execute("DELETE FROM embedding_metadata WHERE id = ?", (row,))
    findings = check(config, quiet)
    assert (findings.incomplete, len(findings.orphans)) == (["a2"], 1)
    index = Index(config.index, PACKAGED_MODEL)
    every = [passage_id for page in index.rows() for passage_id, _, _ in page]
    assert len(index.passages(every)) == len(every) - 1, "a question is answered out of the others"
    assert repair(config, findings, quiet).lines == []
    assert ingest([corpus], config, model=Model(PACKAGED_MODEL, embedder)).added == 1
