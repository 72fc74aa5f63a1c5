"""An index that keeps in step by itself: real files, the real watcher, the real store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import watch as watching
from ingest.watch import watch
from rag.config import Config
from rag.errors import ConfigError, IndexLocked
from rag.schema import IngestReport
from rag.store.index import Index
from rag.store.writer import open_for_writing
from tests.support.hashing import HashEmbedder

pytestmark = pytest.mark.slow
LONG = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An index inside the folder that is watched: what is written to it must not start another run."""
    return Config(index=tmp_path / "articles" / "index", embedding_model="hash")


@pytest.fixture
def reports(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[queue.Queue[IngestReport | IndexLocked]]:
    (tmp_path / "articles").mkdir(exist_ok=True)
    (tmp_path / "articles" / "pier.txt").write_text("The pier was closed on Tuesday after the storm.")
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    monkeypatch.setattr(watching, "GROUPED_MS", 100)
    outcomes: queue.Queue[IngestReport | IndexLocked] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=([tmp_path / "articles"], config, outcomes.put), kwargs={"stop": stop})
    thread.start()
    yield outcomes
    stop.set()
    thread.join(LONG)
    assert not thread.is_alive()


def counts(outcome: IngestReport | IndexLocked) -> tuple[int, int, int]:
    assert isinstance(outcome, IngestReport), outcome
    return outcome.added, outcome.updated, outcome.removed


def test_what_changes_is_ingested(
    tmp_path: Path, reports: queue.Queue[IngestReport | IndexLocked], config: Config
) -> None:
    folder = tmp_path / "articles"
    assert counts(reports.get(timeout=LONG)) == (1, 0, 0)
    (folder / "bus.txt").write_text("A night bus will link the islands from May.")
    assert counts(reports.get(timeout=LONG)) == (1, 0, 0)
    (folder / "pier.txt").write_text("The pier is open again since Friday noon, the harbour master said.")
    assert counts(reports.get(timeout=LONG)) == (0, 1, 0)
    (folder / "bus.txt").unlink()
    assert counts(reports.get(timeout=LONG)) == (0, 0, 1)
    assert reports.empty(), "writing to the index is no change of an article"
    assert {entry.id for entry in Index(config.index, "hash").articles()} == {"pier.txt"}


def test_it_waits_while_another_process_writes(
    tmp_path: Path, reports: queue.Queue[IngestReport | IndexLocked], config: Config
) -> None:
    assert counts(reports.get(timeout=LONG)) == (1, 0, 0)
    from ingest.articles.passages import SPLITTER

    with open_for_writing(config.index, "hash", SPLITTER):
        (tmp_path / "articles" / "bus.txt").write_text("A night bus will link the islands from May.")
        assert isinstance(reports.get(timeout=LONG), IndexLocked)
    (tmp_path / "articles" / "bees.txt").write_text("Every third hive was lost this winter.")
    assert counts(reports.get(timeout=LONG)) == (2, 0, 0)


@pytest.mark.parametrize("place", ["https://bay.example/feed", "nowhere"])
def test_what_cannot_be_watched(config: Config, place: str) -> None:
    with pytest.raises(ConfigError, match="cannot be watched"):
        watch([place], config, lambda _: None)
