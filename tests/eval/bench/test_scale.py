"""The benchmark: how its corpus grows, what its table says, and that both systems are really run."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from eval.bench.scale import PULLQUOTE, QUESTIONS, RECIPE, Cost, NoisyEmbedder, bench, grown, markdown, questions_about
from ingest.articles.passages import sentences_of
from rag.config import Config
from rag.errors import ReadError
from rag.schema import Article
from tests.conftest import SAMPLE
from tests.ui.cli.test_main import run

TWO = [Article("x", "Tea", "Tea is hot. Tea is brown."), Article("y", "Ice", "Ice is cold. Ice melts. Ice is clear.")]


def test_a_corpus_grows_out_of_its_own_sentences() -> None:
    articles = list(grown(TWO, 100))
    assert [article.text for article in articles[:2]] == [article.text for article in TWO]
    assert 100 <= sum(len(article.text.split()) for article in articles) < 110
    assert len({article.id for article in articles}) == len(articles)
    sentences = {a.text[s.start : s.end] for a in TWO for s in sentences_of(a.text)}
    assert {a.text[s.start : s.end] for a in articles for s in sentences_of(a.text)} == sentences
    assert articles == list(grown(TWO, 100)), "the same each time"


def test_a_large_corpus_is_taken_as_it_is() -> None:
    assert [article.text for article in grown(TWO, 4)] == [TWO[0].text]


def test_a_text_without_an_end_does_not_make_it_endless() -> None:
    assert sum(len(a.text.split()) for a in islice(grown([Article("x", "", "word")], 50), 60)) == 50


def test_questions_are_beginnings_of_sentences() -> None:
    questions = questions_about(TWO)
    assert len(questions) == QUESTIONS
    assert set(questions) <= {"Tea is hot.", "Tea is brown.", "Ice is cold.", "Ice melts.", "Ice is clear."}


def test_the_table_has_both_systems_and_their_ratio() -> None:
    recipe = Cost(RECIPE, 1000, 100_000, 50.0, 0.02, 0.03, 1000, 500, 8.0)
    ours = Cost(PULLQUOTE, 1000, 100_000, 20.0, 0.03, 0.09, 1100, 400, 4.0)
    assert markdown([recipe, ours]).splitlines()[2:] == [
        "| 1,000 | LlamaIndex's recipe | 2,000 | 20 | 30 | 1,000 | 500 | 8.0 |",
        "|  | Pullquote | 5,000 | 30 | 90 | 1,100 | 400 | 4.0 |",
        "| | ratio | 2.50 | 1.50 | 3.00 | 1.10 | 0.80 | 0.50 |",
    ]


def test_nothing_to_grow_from(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no article"):
        next(bench([tmp_path], [10], Config(), tmp_path, print))


@pytest.mark.slow
def test_both_systems_are_measured() -> None:
    status, out, err = run("eval", "bench", SAMPLE, "--passages", "40", "--json")
    assert status == 0
    assert "LlamaIndex's recipe: 40 passages …" in err
    recipe, ours = json.loads(out)
    assert (recipe["system"], ours["system"]) == (RECIPE, PULLQUOTE)
    assert recipe["words"] == ours["words"] > 40 * 60
    for found in (recipe, ours):
        assert 0 < found["question_p50"] <= found["question_p95"]
        assert 100 < found["ingest_memory"] < 10_000
        assert found["ingest_seconds"] > 0
        assert found["disk"] > 0.1


def test_vectors_are_near_real_ones() -> None:
    real = np.eye(8, 384, dtype=np.float32)
    vectors, sentences = NoisyEmbedder(real).embed_texts(["a"] * 200, [((0, 1), (1, 2))] * 200)
    cosines = (vectors @ real.T).max(axis=1)
    assert 0.75 < cosines.mean() < 0.88
    assert {own.shape for own in sentences} == {(2, 384)}
