"""The benchmark of a page that many ask at once: its table, and that all of them are really answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.bench.page import PageCost, markdown
from tests.support.parrot import Parrot
from tests.ui.cli.test_main import run
from tests.ui.server.test_app import _no_open_loops, served  # noqa: F401
from ui.page.app import build_app


def test_the_table() -> None:
    lines = markdown(PageCost(20, 400, 1, 0.05, 0.9, 1.4, 1.8, 21.04)).splitlines()
    assert lines[0] == "| 20 users, 400 questions in 21.0 s, 1 failed | seconds |"
    assert lines[-1] == "| all users at once, longest | 1.800 |"


@pytest.mark.slow
def test_everybody_is_answered(tmp_path: Path) -> None:
    pairs, parrot = tmp_path / "pairs.jsonl", Parrot()
    pairs.write_text('{"question": "What is hot?", "answers": ["tea"]}\n{"question": "boom", "answerable": false}\n')
    with served(build_app(parrot)) as url:  # type: ignore[arg-type]
        command = ("eval", "bench-page", pairs, "--url", url, "--users", "3", "--each", "4", "--json")
        status, out, _ = run(*command)
        cost = json.loads(out)
        assert (status, cost["asked"], cost["failed"]) == (1, 12, 6), "every second question is too loud"
        assert len(parrot.asked) == 4 + 12
        assert 0 < cost["median"] <= cost["p95"] <= cost["longest"]
        pairs.write_text('{"question": "What is hot?", "answers": ["tea"]}\n')
        assert json.loads(run(*command)[1])["failed"] == 0


def test_what_is_no_page_is_told(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"question": "What is hot?", "answers": ["tea"]}\n')
    for url, fix in (("file:///etc/passwd", "give one such as"), ("http://127.0.0.1:9", "start one: pullquote chat")):
        status, _, error = run("eval", "bench-page", pairs, "--url", url)
        assert status == 1
        assert fix in error
    pairs.write_text("")
    assert "give other pairs" in run("eval", "bench-page", pairs)[2]
