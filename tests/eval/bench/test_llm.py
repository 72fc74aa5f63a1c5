"""The benchmark of a language model's stream: its table, and that everything in it is really run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.bench.llm import StreamCost, markdown
from tests.ui.cli.test_main import run


def test_the_table() -> None:
    cost = StreamCost(1000, 0.5, 3.0, 0.002, 0.1)
    assert cost.added == pytest.approx(2.5)
    assert markdown(cost).splitlines()[2:] == [
        "| all tokens after the first | 0.50 s | 3.00 s, 2.50 ms/token more |",
        "| from the request to the first token | 0.002 s | 0.100 s |",
    ]


@pytest.mark.slow
def test_it_streams_what_it_is_told_to(sample_index: Path) -> None:
    question = "What did Iraq tell the Security Council?"
    status, out, _ = run("eval", "bench-llm", question, "--index", sample_index, "--tokens", "40", "--json")
    cost = json.loads(out)
    assert (status, cost["tokens"]) == (0, 40)
    assert cost["told"] > 0
    assert cost["bare_first"] > 0
