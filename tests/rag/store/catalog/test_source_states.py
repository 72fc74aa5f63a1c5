"""The states of sources: rows of the catalogue, one for each source that was read to its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.store.catalog.source_states import SourceState
from rag.store.writer import IndexWriter, open_for_writing

PIER = SourceState("/bay/pier.md", "pier.md", "1", '2;{"title": "headline"}', articles=1)
FEED = SourceState("https://bay.example/feed", "feed", "etag", pages=("https://bay.example/1", ""))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IndexWriter]:
    with open_for_writing(tmp_path / "index", "model", "splitter") as writer:
        yield writer


def test_states_are_found_by_origin_and_by_name(writer: IndexWriter) -> None:
    writer.states.put([FEED, PIER])
    assert writer.states.get(PIER.origin) == writer.states.named("pier.md") == PIER
    assert writer.states.get("/bay/bus.md") is None
    assert list(writer.states.all()) == [PIER, FEED]
    assert PIER.fields == {"title": "headline"}
    assert FEED.fields == {}


def test_a_later_state_takes_the_place_of_an_earlier_one(writer: IndexWriter) -> None:
    later = SourceState(PIER.origin, "pier.md", "2")
    writer.states.put([PIER])
    writer.states.put([later, FEED])
    assert list(writer.states.all()) == [later, FEED]
    writer.states.drop([later.origin, "/unknown"])
    assert (list(writer.states.all()), writer.states.get(later.origin)) == ([FEED], None)


def test_states_below_a_folder(writer: IndexWriter) -> None:
    others = [SourceState(origin, origin, "1") for origin in ("/bay", "/bay2/a.md", "/bay/in/b.md", "/a")]
    writer.states.put([PIER, *others])
    assert sorted(state.origin for state in writer.states.below("/bay")) == ["/bay", "/bay/in/b.md", "/bay/pier.md"]


def test_states_survive_the_writer(tmp_path: Path) -> None:
    for expected in ([], [PIER]):
        with open_for_writing(tmp_path / "other", "model", "splitter") as writer:
            assert list(writer.states.all()) == expected
            writer.states.put([PIER])
