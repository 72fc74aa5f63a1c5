"""The benchmark of an ingest: its corpus, its table, and that everything in it is really run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.bench.ingest import CHARACTERS, IngestCost, bench_ingest, grown_records, markdown
from rag.config import Config
from rag.errors import ReadError
from rag.schema import Article
from tests.conftest import SAMPLE
from tests.ui.cli.test_main import run

TWO = [Article("x", "Tea", "Tea is hot. Tea is brown."), Article("y", "Ice", "Ice is cold. Ice melts. Ice is clear.")]


def test_no_two_articles_are_the_same() -> None:
    records = list(grown_records(TWO, 5))
    assert all(CHARACTERS <= len(record["text"]) < CHARACTERS + 50 for record in records)
    assert len({record["text"] for record in records}) == len({record["id"] for record in records}) == 5
    assert records == list(grown_records(TWO, 5)), "the same each time"


def test_the_table() -> None:
    cost = IngestCost(200, 3800, 100.0, 95.0, 20_000, 1100.0, 2500.0, 9000.0)
    assert markdown(cost).splitlines()[2:] == [
        "| bare encoder, sentence-transformers' `encode`, 3,800 passages | 100 passages/s |",
        "| whole ingest of the same | 95 passages/s, 95% of the encoder's speed |",
        "| 20,000 articles of 8 kB: memory beside the model | 1,100 MiB |",
        "| unchanged, read again from a JSON Lines file with a new time | 2,500 articles/s |",
        "| unchanged, with the same size and time | 9,000 articles/s |",
    ]


def test_nothing_to_grow_from(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no article"):
        bench_ingest([tmp_path], (4, 4), Config(), tmp_path, print)


@pytest.mark.slow
def test_everything_is_measured() -> None:
    status, out, err = run("eval", "bench-ingest", SAMPLE, "--articles", "4", "--without-model", "12", "--json")
    assert status == 0
    assert "ingesting 12 articles without a model …" in err
    cost = json.loads(out)
    assert (cost["articles"], cost["memory_articles"]) == (4, 12)
    assert cost["passages"] > 4 * 10
    assert 0 < cost["ingested"] < 2 * cost["encoded"]
    assert 0 <= cost["memory"] < 1_000
    assert cost["reread"] > 0
    assert cost["skipped"] > 0
