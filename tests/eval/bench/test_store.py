"""The benchmark of the store: its table, and that everything in it is really run."""

from __future__ import annotations

import json

import pytest

from eval.bench.store import StoreCost, markdown
from tests.conftest import SAMPLE
from tests.ui.cli.test_main import run


def test_the_table() -> None:
    small = StoreCost(1000, 2000.0, 4500.0, 0.02, {"plain": 0.01}, 0.015, 0.1, 0.05, 300.0)
    large = StoreCost(10_000, 1000.0, 4500.0, 0.04, {"plain": 0.012}, 0.02, 0.1, 0.05, 600.0)
    assert markdown([small, large]).splitlines()[:5] == [
        "| passages | 1,000 | 10,000 | ratio |",
        "|---|---|---|---|",
        "| ingest without the model, passages per CPU second | 2,000 | 1,000 | 0.50 |",
        "| disk, bytes a passage | 4,500 | 4,500 | 1.00 |",
        "| question, plain, CPU ms | 10.0 | 12.0 | 1.20 |",
    ]


@pytest.mark.slow
def test_everything_is_measured() -> None:
    status, out, err = run("eval", "bench-store", SAMPLE, "--passages", "60", "--passages", "120", "--json")
    assert status == 0
    assert "120 passages …" in err
    small, large = json.loads(out)
    assert small["passages"] < large["passages"]
    for cost in (small, large):
        assert min(cost["rate"], cost["disk"], cost["opened"], cost["after_write"], cost["added"]) > 0
        assert len(cost["questions"]) == 5
        assert all(seconds > 0 for seconds in cost["questions"].values())
