"""The full-text side: words, stems, rarity and filters, and files that are damaged."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from rag.errors import StoreError
from rag.schema import Filters, Passage
from rag.store.derived.fulltext import FullTextIndex


def passage(key: int, name: str, text: str, published: date | None = None, source: str = "") -> Passage:
    return Passage(f"{name}#0", name, "d", 0, 0, len(text), text, (), "A title", source, "", "", published, "", key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index" / "store-1" / "fulltext"


@pytest.fixture
def index(folder: Path) -> FullTextIndex:
    index = FullTextIndex(folder, create=True)
    texts = ["The pier was closed by a storm.", "Night buses link the U.S. islands.", "Bees died."]
    index.add(
        passage(key, name, text) for key, (name, text) in enumerate(zip(("pier", "bus", "bee"), texts, strict=True), 1)
    )
    index.commit()
    return index


def found(index: FullTextIndex, question: str, filters: Filters = Filters()) -> list[int]:  # noqa: B008
    return [key for key, _ in index.search(question, 10, filters)]


def test_words_are_found_by_their_stems(index: FullTextIndex) -> None:
    assert found(index, "Who closes piers in STORMS?") == [1]
    assert found(index, "an island") == [2]
    assert (index.count, index.keys()) == (3, {1, 2, 3})


def test_title_and_date_are_searched() -> None:
    index = FullTextIndex()
    index.add([passage(1, "a", "Text.", date(2024, 3, 5)), passage(2, "b", "Text.")])
    index.commit()
    assert found(index, "March 2024") == [1]
    assert len(found(index, "title")) == 2


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (Filters(), [1, 2, 3]),
        (Filters(published_after=date(2024, 3, 5)), [1]),
        (Filters(published_before=date(2024, 3, 4)), [2]),
        (Filters(date(2024, 3, 1), date(2024, 3, 31), ("A",)), [1]),
        (Filters(sources=("A",)), [1, 3]),
        (Filters(sources=("a",)), []),
        (Filters(sources=("A", "B"), article_ids=("b", "c")), [2, 3]),
    ],
)
def test_filters(filters: Filters, keys: list[int]) -> None:
    index, text = FullTextIndex(), "Text."
    index.add([passage(1, "a", text, date(2024, 3, 5), "A"), passage(2, "b", text, date(2024, 3, 4), "B")])
    index.add([passage(3, "c", text, None, "A")])
    index.commit()
    assert sorted(found(index, "text", filters)) == keys


def test_carried_words_count_less(index: FullTextIndex) -> None:
    both = dict(index.search("pier", 10, carried="bees", weight=0.5))
    assert both[1] > both[3] > 0
    assert [key for key, _ in index.search("pier", 10, carried="bees", weight=0.0)] == [1]


@pytest.mark.parametrize(
    "question", ["", "what did they say?", '!!! ((( " AND OR', "\0", "zeppelin", "+-&&||{}[]^~*?:\\/"]
)
def test_questions_without_a_known_word_find_nothing(index: FullTextIndex, question: str) -> None:
    assert found(index, question) == []


def test_a_country_is_no_pronoun(index: FullTextIndex) -> None:
    assert index.terms("What did the US do for us?") == ["us"]


def test_replacing_an_article_replaces_its_passages(index: FullTextIndex) -> None:
    index.delete(["pier", "unknown"])
    index.add([passage(4, "pier", "The pier is open again.")])
    assert found(index, "pier") == [1], "until it is committed"
    index.commit()
    assert found(index, "storm") == []
    assert found(index, "open pier") == [4]
    index.delete(["pier"])
    index.commit()
    assert found(index, "pier") == []
    assert index.keys() == {2, 3}


def test_what_was_committed_is_there_after_opening_again(index: FullTextIndex, folder: Path) -> None:
    reader = FullTextIndex(folder)
    index.add([passage(4, "new", "A storm.")])
    index.commit()
    index.add([passage(5, "lost", "A storm.")])
    index.close()
    assert found(reader, "storm") == [1]
    reader.reload()
    assert sorted(found(reader, "storm")) == sorted(found(FullTextIndex(folder), "storm")) == [1, 4]


def test_only_one_writes_at_a_time(index: FullTextIndex, folder: Path) -> None:
    index.add([])
    with pytest.raises(StoreError, match="the full text cannot be written"):
        FullTextIndex(folder).delete(["a"])
    index.close()
    FullTextIndex(folder).delete(["a"])


def test_rare_words_weigh_more(index: FullTextIndex) -> None:
    rarity = index.rarity(["titl", "pier", "zeppelin"])
    assert rarity["titl"] == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert rarity["pier"] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert rarity["zeppelin"] == pytest.approx(math.log(1 + 3.5 / 0.5))
    assert index.knows(["zeppelin", "pier"])
    assert not index.knows(["zeppelin"])


def test_folders_without_an_index(folder: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        FullTextIndex(folder)
    assert not folder.exists(), "opening creates nothing"
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match="there is no index"):
        FullTextIndex(folder)


@pytest.mark.parametrize("harm", [b"", b"{", bytes(4096)])
def test_damaged_files_are_an_error_and_no_crash(index: FullTextIndex, folder: Path, harm: bytes) -> None:
    index.close()
    files = [path for path in folder.iterdir() if path.suffix in (".json", ".idx", ".term", ".store", ".fast", ".pos")]
    assert len(files) > 4
    for file in files:
        whole = file.read_bytes()
        file.unlink()
        file.write_bytes(harm)
        with suppress(ValueError, StoreError):
            opened = FullTextIndex(folder)
            found(opened, "storm")
            opened.keys()
        file.write_bytes(whole)
    assert found(FullTextIndex(folder), "storm") == [1]


def test_a_deletion_that_was_killed_before_its_commit_is_repeated(index: FullTextIndex, folder: Path) -> None:
    """Tantivy gives the file of the repeated deletion the same name."""
    index.close()
    before, after = folder.with_name("before"), folder.with_name("after")
    shutil.copytree(folder, before)
    again = FullTextIndex(folder)
    again.delete(["bee"])
    again.commit()
    again.close()
    folder.rename(after)
    before.rename(folder)
    left = list(after.glob("*.del"))
    assert left
    for file in left:
        shutil.copy(file, folder)
    repeated = FullTextIndex(folder)
    repeated.delete(["bee"])
    repeated.commit()
    assert repeated.keys() == {1, 2}
    repeated.delete(["bus"])
    repeated.commit()
    assert FullTextIndex(folder).keys() == {1}
