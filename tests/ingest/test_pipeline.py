"""Ingest, end to end, with the real model and the real store."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest import ingest
from ingest.pipeline import Standing, remove
from rag.chain import Chain
from rag.config import Config
from rag.errors import IndexMismatch, IndexMissing
from rag.schema import IngestReport
from rag.store.index import Index
from tests.conftest import ROOT, SAMPLE

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "pier.txt").write_text(
        "Storm closes the pier\n\nThe pier of Ostrava Bay was closed on Tuesday after a storm."
    )
    (folder / "bus.md").write_text("# Night bus\n\nA night bus will link the islands from May.")
    lines = [{"id": f"bee-{n}", "title": f"Bees {n}", "text": f"Hive number {n} was lost."} for n in range(3)]
    (folder / "bees.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def counts(report: IngestReport) -> tuple[int, ...]:
    """Added, updated, unchanged, removed, failed; and moved and duplicates, if there are any."""
    rare = (report.moved, report.duplicates) if report.moved or report.duplicates else ()
    return report.added, report.updated, report.unchanged, report.removed, len(report.failed), *rare


def texts(config: Config) -> dict[str, str]:
    index = Index(config.index, config.embedding_model)
    found = [index.article(entry.id) for entry in index.articles()]
    return {article.id: article.text for article in found if article}


def test_a_second_run_embeds_nothing(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Standing] = []
    assert counts(ingest([folder], config, seen.append)) == (5, 0, 0, 0, 0)
    assert (seen[-1].report.passages, seen[-1].share) == (5, 1.0)

    def refused(_: str) -> None:
        raise AssertionError("the model was loaded though nothing changed")

    monkeypatch.setattr("ingest.updater.load_embedder", refused)
    report = ingest([folder], config)
    assert (counts(report), report.passages) == ((0, 0, 5, 0, 0), 0)


def test_changes_and_vanished_articles(folder: Path, config: Config) -> None:
    ingest([folder], config)
    (folder / "pier.txt").write_text(
        "Storm closes the pier\n\nThe pier of Ostrava Bay is open again since Friday noon."
    )
    (folder / "bus.md").unlink()
    (folder / "bees.jsonl").write_text('{"id": "bee-0", "title": "Bees 0", "text": "Hive number 0 was lost."}')
    assert counts(ingest([folder], config)) == (0, 1, 1, 3, 0)
    assert texts(config) == {
        "pier.txt": "The pier of Ostrava Bay is open again since Friday noon.",
        "bee-0": "Hive number 0 was lost.",
    }


def test_nothing_is_removed_for_a_file_that_could_not_be_read_whole(folder: Path, config: Config) -> None:
    ingest([folder], config)
    (folder / "bees.jsonl").write_text('{"id": "bee-0", "title": "Bees 0", "text": "Hive number 0 was lost."}\n{"id"')
    assert counts(ingest([folder], config)) == (0, 0, 3, 0, 1)
    assert "bee-2" in texts(config)


def test_what_was_not_asked_for_stays(folder: Path, config: Config) -> None:
    ingest([folder / "pier.txt"], config)
    assert counts(ingest([folder / "bus.md"], config)) == (1, 0, 0, 0, 0)
    assert set(texts(config)) == {"pier.txt", "bus.md"}


def test_one_id_in_two_files_is_not_overwritten(folder: Path, config: Config) -> None:
    (folder / "other.jsonl").write_text('{"id": "bee-0", "title": "Wasps", "text": "Wasps took over the hive."}')
    assert counts(ingest([folder], config)) == (5, 0, 0, 0, 1)
    assert counts(ingest([folder / "other.jsonl"], config)) == (0, 0, 0, 0, 1)
    assert texts(config)["bee-0"] == "Hive number 0 was lost."


def test_a_renamed_file_keeps_its_articles_even_if_another_takes_its_name(folder: Path, config: Config) -> None:
    record = {"source": "Bay Times", "title": "Wasps", "text": "Wasps took over the hive."}
    (folder / "a.jsonl").write_text(json.dumps({"id": "wasp", **record}))
    ingest([folder], config)
    (folder / "a.jsonl").rename(folder / "b.jsonl")
    assert counts(ingest([folder], config)) == (0, 0, 5, 0, 0, 1, 0)
    (folder / "a.jsonl").write_text(json.dumps({**record, "id": "hornet", "text": "Hornets took over the hive."}))
    assert counts(ingest([folder / "a.jsonl"], config)) == (1, 0, 0, 0, 0)
    assert {"wasp", "hornet"} <= set(texts(config))


@pytest.mark.parametrize(("old", "new"), [("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")])
def test_an_article_that_moves_to_another_file_arrives(config: Config, tmp_path: Path, old: str, new: str) -> None:
    folder = tmp_path / "wire"
    folder.mkdir()
    other = json.dumps({"id": "1", "title": "Pier", "text": "The pier is closed."})
    (folder / old).write_text(other + "\n" + json.dumps({"id": "2", "title": "Bus", "text": "The bus is late."}))
    (folder / new).write_text(json.dumps({"id": "3", "title": "Bees", "text": "The bees are gone."}))
    ingest([folder], config)
    (folder / old).write_text(other)
    with (folder / new).open("a") as file:
        file.write("\n" + json.dumps({"id": "2", "title": "Bus", "text": "The bus is on time."}))
    for _ in range(2):
        ingest([folder], config)
    assert texts(config) == {"1": "The pier is closed.", "2": "The bus is on time.", "3": "The bees are gone."}


def test_an_emptied_folder_or_file_removes_nothing(folder: Path, config: Config) -> None:
    ingest([folder], config)
    (folder / "bees.jsonl").write_text("")
    assert counts(ingest([folder], config)) == (0, 0, 2, 0, 1)
    for path in folder.iterdir():
        path.unlink()
    assert counts(ingest([folder], config)) == (0, 0, 0, 0, 1)
    assert len(texts(config)) == 5


@pytest.mark.parametrize("bad", ["none", "empty", "zero.txt", "binary.txt", "long.txt"])
def test_bad_input_leaves_the_index_as_it_was(folder: Path, config: Config, bad: str, tmp_path: Path) -> None:
    ingest([folder], config)
    before = texts(config)
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.txt").touch()
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "long.txt").write_text("word " * 10_000_000)
    report = ingest([tmp_path / bad], config)
    assert counts(report) == (0, 0, 0, 0, 1)
    assert texts(config) == before


def test_removing_by_id(folder: Path, config: Config) -> None:
    with pytest.raises(IndexMissing):
        remove(["x"], config)
    assert not config.index.exists()
    ingest([folder], config)
    assert remove(["bee-0", "no-such"], config) == ["no-such"]
    assert "bee-0" not in texts(config)


def test_another_embedding_model_changes_nothing(folder: Path, config: Config) -> None:
    ingest([folder], config)
    before = texts(config)
    other = Config(index=config.index, embedding_model="someone/other-model")
    for refused in (lambda: ingest([folder], other), lambda: Chain.from_config(other)):
        with pytest.raises(IndexMismatch, match="pullquote rebuild"):
            refused()
    assert texts(config) == before


def test_no_network_is_used(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    ingest([folder], config)
    assert Chain.from_config(config).ask("When was the pier closed?").grounded


def test_a_killed_ingest_goes_on_where_it_was(config: Config, tmp_path: Path) -> None:
    articles = tmp_path / "many.jsonl"
    every = [" ".join(f"Hive number {n}-{k} was lost in the winter." for k in range(80)) for n in range(200)]
    records = ({"id": f"n-{n}", "title": "Hives", "text": text} for n, text in enumerate(every))
    articles.write_text("\n".join(map(json.dumps, records)))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ingest import ingest; from rag.config import Config; from pathlib import Path\n"
        "def show(at): print(at.report.added, flush=True) if at.report.added else None\n"
        "ingest([sys.argv[2]], Config(index=Path(sys.argv[3])), show)"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(articles), str(config.index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        done = int(process.stdout.readline())
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    stored = texts(config)
    assert len(stored) >= done
    assert set(stored.values()) <= set(every)
    report = ingest([articles], config)
    assert report.unchanged == len(stored)
    assert texts(config) == {f"n-{n}": text for n, text in enumerate(every)}
    index = Index(config.index, config.embedding_model)
    assert index.counts()[1] == sum(entry.passages for entry in index.articles()), "nothing half-written is left"


def test_the_sample_corpus(config: Config) -> None:
    report = ingest([SAMPLE], config)
    assert not report.failed
    assert report.added >= 20
