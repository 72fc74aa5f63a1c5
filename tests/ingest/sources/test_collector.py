"""One stream per run: what a source yields when it is new, unchanged, changed, broken or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.articles.passages import SPLITTER, split
from ingest.content.types import Options
from ingest.sources.collector import Collected, Collector, Seen
from ingest.sources.known import IndexedSources, KnownSources
from ingest.sources.opener import Opener
from ingest.sources.sites import Sites
from rag.schema import Article
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.source_states import SourceState
from rag.store.writer import IndexWriter, open_for_writing
from tests.support.hashing import HashEmbedder

Run = Callable[..., tuple[list[Collected], Seen]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "bus.txt").write_text("A night bus will link the islands from May.")
    (folder / "pier.txt").write_text("The pier was closed on Tuesday after the storm.")
    return folder


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IndexWriter]:
    with open_for_writing(tmp_path / "index", "hash", SPLITTER) as writer:
        yield writer


@pytest.fixture
def run(writer: IndexWriter) -> Run:
    """Collect, and then store all articles and states, as a run does."""

    def ran(*places: Path) -> tuple[list[Collected], Seen]:
        options = Options()
        with Opener(options) as opener, Sites(options, opener.read_content, private=False) as sites:
            known = KnownSources(IndexedSources(writer.catalog), writer.states, options)
            collector = Collector(opener, sites, known, options, Seen())
            items = list(collector.collect([str(place) for place in places]))
        writer.put([stored(item) for item in items if isinstance(item, Article)])
        writer.states.put(item for item in items if isinstance(item, SourceState))
        return items, collector.seen

    return ran


def stored(article: Article) -> StoredArticle:
    passages = split(article)
    texts, spans = [p.indexed_text for p in passages], [p.indexed_sentences for p in passages]
    return StoredArticle(article, passages, *HashEmbedder().embed_texts(texts, spans))


def kinds(items: list[Collected]) -> list[tuple[str, str]]:
    return [(type(item).__name__, Path(item.origin).name) for item in items]


def test_a_state_follows_the_articles_of_its_source(folder: Path, run: Run) -> None:
    names = ("bus.txt", "pier.txt")
    assert kinds(run(folder)[0]) == [(kind, name) for name in names for kind in ("Article", "SourceState")]


def test_an_unchanged_source_is_counted_and_not_opened(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(folder)
    monkeypatch.setattr(Opener, "_read", lambda *_, **__: pytest.fail("was opened"))
    items, seen = run(folder)
    assert (items, seen.unchanged, len(seen.skipped)) == ([], 2, 2)


def test_a_changed_source_is_read_again(folder: Path, run: Run) -> None:
    run(folder)
    (folder / "bus.txt").write_text("A night bus links the islands since May.")
    assert kinds(run(folder)[0]) == [("Article", "bus.txt"), ("SourceState", "bus.txt")]


def test_a_source_with_another_number_of_articles_in_the_index_is_read_again(
    folder: Path, run: Run, writer: IndexWriter
) -> None:
    state = next(item for item in run(folder)[0] if isinstance(item, SourceState))
    writer.states.put([SourceState(state.origin, state.name, state.revision, state.options, articles=7)])
    assert kinds(run(folder)[0]) == [("Article", "bus.txt"), ("SourceState", "bus.txt")]


def test_a_source_that_is_read_in_part_has_no_state_and_is_not_complete(folder: Path, run: Run) -> None:
    half = folder / "half.jsonl"
    half.write_text('{"id": "1", "title": "Bees", "text": "Hive number 1 was lost."}\n{"id"')
    items, seen = run(half)
    assert kinds(items) == [("Article", "half.jsonl")]
    assert (len(seen.failed), seen.complete) == (1, set())
    assert seen.has("of an earlier run", str(half))


def test_a_file_that_vanished_from_its_folder_is_removed(folder: Path, run: Run) -> None:
    run(folder)
    (folder / "bus.txt").unlink()
    items, seen = run(folder)
    assert (items, seen.removed) == ([], {str(folder / "bus.txt")})
    assert not seen.has("bus.txt", str(folder / "bus.txt"))
    assert run(folder / "pier.txt")[1].removed == set(), "the folder was not listed"
