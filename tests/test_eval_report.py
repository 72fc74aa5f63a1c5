"""What a report says, as text and as JSON, what it fails, and what it says beside another."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_eval_run import PAIRS, pair, run, saved

from eval.report import (
    HEADLINES,
    Bound,
    Saved,
    compare,
    compared_json,
    compared_table,
    counted,
    side_by_side,
    text_table,
    write_json,
)
from eval.run import Report
from rag.errors import ConfigError, ReadError
from rag.schema import Failure


@pytest.fixture(scope="module")
def report() -> Report:
    return run([*PAIRS, Failure("p, line 9", "is not JSON")])


def test_the_table_tells_each_figure_with_its_interval_and_its_number(report: Report) -> None:
    lines = text_table(report).splitlines()
    [right] = [line for line in lines if line.startswith("  right ")]
    assert right.split()[:4] == ["right", "0.333", "0.061–0.792", "3"]
    assert lines[0].startswith("Retrieval")
    assert any(line.split()[:2] == ["in", "all"] for line in lines)
    assert counted(report) == "5 asked, 1 left out"
    assert counted(replace(report, stopped_by="stopped before the end")).endswith("(stopped before the end)")


def test_the_json_holds_all_that_a_run_is_repeated_with(report: Report) -> None:
    file = io.StringIO()
    write_json(report, file)
    found = json.loads(file.getvalue(), parse_constant=pytest.fail)
    assert found["made"]["versions"]["chromadb"]
    assert found["made"]["index"] == {"articles": 2, "passages": 2, "content": report.made["index"]["content"]}
    assert found["made"]["settings"]["embedding_model"] == "none"
    assert found["figures"]["right"]["n"] == 3
    assert (found["asked"], found["excluded"]) == (5, 1)
    assert found["failures"] == [{"where": "p, line 9", "reason": "is not JSON"}]
    assert found["questions"]["id"] == ["1", "2", "3", "4", "5"]
    assert found["questions"]["right"] == [1, 0, 0, None, None]
    assert found["calibration"][0][2] == 1
    assert found["risk_coverage"][-1][0] == 3 / 5


def test_a_report_comes_back_as_it_was_saved(report: Report, tmp_path: Path) -> None:
    found = saved(report, tmp_path / "a.json")
    assert found.name == "a"
    assert list(found.scores.ids) == list(report.scores.ids)
    for name, column in report.scores.columns.items():
        assert np.allclose(found.scores.columns[name], column, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 0, "questions": {}}', '{"format": 1}'])
def test_what_is_no_report(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ReadError, match=r"a\.json"):
        Saved.load(tmp_path / "a.json")


def test_the_same_run_twice_shows_no_difference(report: Report, tmp_path: Path) -> None:
    a, b = saved(report, tmp_path / "a.json"), saved(report, tmp_path / "b.json")
    compared = compare(a, b)
    told = compared_table(a, b, compared)
    assert "No difference shown (5 questions in both" in told
    assert "differ" not in told.replace("No difference", "").replace("no difference", "")
    assert compared_json(a, b, compared)["verdict"] == "No difference shown"


def test_wins_and_losses_are_counted_question_by_question(tmp_path: Path) -> None:
    many = [pair(str(n), 0.9 - n / 1000) for n in range(40)]
    wrong = [replace(p, answers=("cold",)) if int(p.id) < 12 else p for p in many]
    a, b = saved(run(many), tmp_path / "a.json"), saved(run([*wrong[:30], pair("new", 0.9)]), tmp_path / "b.json")
    compared = {row.name: row for row in compare(a, b)}
    right = compared["right"]
    assert (right.found.more, right.found.less, right.found.n, right.verdict) == (0, 12, 30, "worse")
    assert compared["hit@1"].verdict == "no difference shown"
    told = compared_table(a, b, list(compared.values()))
    assert "B is worse in" in told
    assert "11 questions are in one of the two only" in told


def test_one_question_more_or_less_is_no_difference(tmp_path: Path) -> None:
    many = [pair(str(n), 0.9) for n in range(40)]
    a = saved(run(many), tmp_path / "a.json")
    b = saved(run([replace(many[0], answers=("cold",)), *many[1:]]), tmp_path / "b.json")
    assert {row.verdict for row in compare(a, b)} == {"no difference shown"}


def test_runs_over_other_pairs_cannot_be_compared(tmp_path: Path) -> None:
    a, b = saved(run([pair("1", 0.9)]), tmp_path / "a.json"), saved(run([pair("2", 0.9)]), tmp_path / "b.json")
    with pytest.raises(ReadError, match="no question in common"):
        compare(a, b)


def test_reports_side_by_side(report: Report, tmp_path: Path) -> None:
    a, b = saved(report, tmp_path / "a.json"), saved(run(PAIRS[:3]), tmp_path / "b.json")
    table = side_by_side([a, b], [*HEADLINES, "no such figure"])
    assert table.splitlines()[0] == "| | a | b |"
    assert "| right | 0.333 (0.061–0.792, n = 3) | 0.333 (0.061–0.792, n = 3) |" in table
    assert "| abstain_recall | 0.500 (0.095–0.905, n = 2) | – |" in table


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("right=0.3", ""),
        ("right=0.34", "right is 0.3333, under 0.34"),
        ("calibration_error=0.6", ""),
        ("calibration_error=0.1", "calibration_error is 0.5333, over 0.1"),
        ("evidence@10=0.1", "was not measured"),
    ],
)
def test_bounds(report: Report, bound: str, told: str) -> None:
    assert told in Bound.parse(bound).failure(report)
    assert bool(Bound.parse(bound).failure(report)) == bool(told)


@pytest.mark.parametrize("bound", ["recall", "recal@10=1", "right=high", "=1"])
def test_a_bound_that_means_nothing(bound: str) -> None:
    with pytest.raises(ConfigError, match="--fail-under"):
        Bound.parse(bound)


def test_a_reports_name_cannot_break_the_table(report: Report, tmp_path: Path) -> None:
    found = saved(report, tmp_path / "p|\x1b[31mred.json")
    assert side_by_side([found], ["right"]).splitlines()[0] == "| | p/[31mred |"
