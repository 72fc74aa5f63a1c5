"""The full-text side: words, stems, rarity, and the generation file of its folder."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest

from rag.schema import Passage
from rag.store.fulltext import GENERATION_FILE, FullTextIndex


def passage(name: str, text: str, published: date | None = None) -> Passage:
    return Passage(f"{name}#0", name, "d", 0, 0, len(text), text, (), "A title", "", "", "", published)


@pytest.fixture
def index(tmp_path: Path) -> FullTextIndex:
    index = FullTextIndex(tmp_path / "lexical", create=True)
    texts = {
        "pier": "The pier was closed by a storm.",
        "bus": "Night buses link the U.S. islands.",
        "bee": "Bees died.",
    }
    index.replace([], [passage(name, text) for name, text in texts.items()])
    FullTextIndex.write_generation(tmp_path / "lexical", 1)
    return index


def found(index: FullTextIndex, question: str) -> list[str]:
    return [passage_id for passage_id, _ in index.search(question, 10)]


def test_words_are_found_by_their_stems(index: FullTextIndex) -> None:
    assert found(index, "Who closes piers in STORMS?") == ["pier#0"]
    assert found(index, "an island") == ["bus#0"]


def test_title_and_date_are_searched(tmp_path: Path) -> None:
    index = FullTextIndex()
    index.replace([], [passage("a", "Text.", date(2024, 3, 5)), passage("b", "Text.")])
    assert found(index, "March 2024") == ["a#0"]
    assert len(found(index, "title")) == 2


@pytest.mark.parametrize(
    "question", ["", "what did they say?", '!!! ((( " AND OR', "\0", "zeppelin", "+-&&||{}[]^~*?:\\/"]
)
def test_questions_without_a_known_word_find_nothing(index: FullTextIndex, question: str) -> None:
    assert found(index, question) == []


def test_a_country_is_no_pronoun(index: FullTextIndex) -> None:
    assert index.terms("What did the US do for us?") == ["us"]


def test_replacing_an_article_replaces_its_passages(index: FullTextIndex) -> None:
    index.replace(["pier"], [passage("pier", "The pier is open again.")])
    assert found(index, "storm") == []
    assert found(index, "open pier") == ["pier#0"]
    index.replace(["pier"], [])
    assert found(index, "pier") == []


def test_what_was_written_is_there_after_opening_again(index: FullTextIndex, tmp_path: Path) -> None:
    assert found(FullTextIndex(tmp_path / "lexical"), "storm") == ["pier#0"]
    assert FullTextIndex.read_generation(tmp_path / "lexical") == 1


def test_a_folder_without_a_valid_generation_file_is_not_used(index: FullTextIndex, tmp_path: Path) -> None:
    (tmp_path / "lexical" / GENERATION_FILE).write_text("x")
    assert FullTextIndex.read_generation(tmp_path / "lexical") == FullTextIndex.read_generation(tmp_path / "none") == -1


def test_rare_words_weigh_more(index: FullTextIndex) -> None:
    rarity = index.rarity(["titl", "pier", "zeppelin"])
    assert rarity["titl"] == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert rarity["pier"] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert rarity["zeppelin"] == pytest.approx(math.log(1 + 3.5 / 0.5))
