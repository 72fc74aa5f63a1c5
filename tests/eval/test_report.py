"""What a report says, as text and as JSON, what it fails, and what it says beside another."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from eval.aggregates import AGGREGATED, Scores
from eval.report import (
    HEADLINES,
    Bound,
    ComparedMetric,
    SavedReport,
    compare,
    compared_json,
    compared_table,
    counted,
    side_by_side,
    text_table,
    warnings,
    write_json,
)
from eval.run import Report
from eval.statistics import Difference
from rag.errors import ConfigError, ReadError
from rag.schema import Failure
from tests.eval.test_run import PAIRS, UNANSWERABLE, pair, run, saved


@pytest.fixture(scope="module")
def report() -> Report:
    return run([*PAIRS, Failure("p, line 9", "is not JSON")])


def test_the_table_tells_each_figure_with_its_interval_and_its_number(report: Report) -> None:
    lines = text_table(report).splitlines()
    [right] = [line for line in lines if line.startswith("  right ")]
    assert right.split()[:4] == ["right", "0.333", "0.061–0.792", "3"]
    assert lines[0].startswith("Retrieval")
    assert any(line.split()[:2] == ["in", "all"] for line in lines)
    assert counted(report) == "5 asked, 1 excluded"
    assert counted(replace(report, stopped_by="stopped before the end")).endswith("(stopped before the end)")


def test_the_json_holds_all_that_a_run_is_repeated_with(report: Report) -> None:
    file = io.StringIO()
    write_json(report, file)
    found = json.loads(file.getvalue(), parse_constant=pytest.fail)
    assert found["made"]["versions"]["chromadb"]
    assert found["made"]["index"] == {"articles": 2, "passages": 2, "content": report.setup["index"]["content"]}
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
        SavedReport.load(tmp_path / "a.json")


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
    assert (right.change.more, right.change.less, right.change.n, right.verdict) == (0, 12, 30, "worse")
    assert compared["hit@1"].verdict == "no difference shown"
    told = compared_table(a, b, list(compared.values()))
    assert "B is worse in" in told
    assert "11 questions are in one report only" in told


def scored(name: str, confidences: Sequence[float], **changed: Sequence[float]) -> SavedReport:
    """A report over answerable questions that were all answered rightly, with this confidence."""
    n = len(confidences)
    columns = dict(zip(AGGREGATED, (np.ones(n), np.zeros(n), np.array(confidences), np.ones(n)), strict=True))
    columns |= {metric: np.array(values, dtype=float) for metric, values in changed.items()}
    return SavedReport(name, {}, {}, Scores([str(i) for i in range(n)], columns))


def test_a_figure_of_all_questions_is_worse_on_questions_that_are_counted() -> None:
    a, b = scored("a", [0.9 + i / 1000 for i in range(40)]), scored("b", [0.6 + i / 1000 for i in range(40)])
    compared = compare(a, b)
    [error] = [row for row in compared if row.name == "calibration_error"]
    assert (error.verdict, error.change.more, error.change.less) == ("worse", 40, 0)
    [line] = [line for line in compared_table(a, b, compared).splitlines() if line.startswith("  calibration_error")]
    assert line.split()[-4:-2] == ["0", "40"], "wins and losses"
    for row in compared:
        assert row.verdict == "no difference shown" or row.change.more + row.change.less


def test_nothing_won_and_nothing_lost_is_no_difference() -> None:
    for difference in (0.0, 0.2):
        found = Difference(0.5, 0.5 + difference, difference, 0.1, 0.3, 0.001, 40, 0, 0, 40, "randomisation")
        assert ComparedMetric("auc_right", found, 0.001).verdict == "no difference shown"
    won = Difference(0.5, 0.7, 0.2, 0.1, 0.3, 0.001, 40, 9, 1, 40, "randomisation")
    assert ComparedMetric("auc_right", won, 0.001).verdict == "better"
    assert (
        ComparedMetric("auc_right", won, 0.2).verdict
        == ComparedMetric("auc_right", won, None).verdict
        == "no difference shown"
    )


def test_what_differs_between_two_runs_is_named(tmp_path: Path) -> None:
    many = [pair(str(n), 0.9) for n in range(9)]
    other = [
        replace(many[0], answers=("cold",)),
        replace(many[1], evidence=("Tea is hot.",)),
        replace(many[2], asked_on=date(2024, 3, 5)),
        *many[3:8],
        pair("new", 0.9),
    ]
    a, b = saved(run(many), tmp_path / "a.json"), saved(run(other), tmp_path / "b.json")
    settings = {**b.setup["settings"], "min_confidence": 0.3, "retriever": {"hits": 12}}
    b = replace(b, setup={**b.setup, "settings": settings, "today": "2024-06-01"})
    compared = compare(a, b)
    told = compared_table(a, b, compared).splitlines()
    assert "Pairs only in A: 1 (8)" in told
    assert "Pairs only in B: 1 (new)" in told
    assert "Pairs asked otherwise: 1 (2)" in told
    assert "Pairs with other gold: 2 (0, 1)" in told
    assert "The settings differ: min_confidence none → 0.3, retriever.hits none → 12" in told
    assert "The days of asking differ: none → 2024-06-01" in told
    found = compared_json(a, b, compared)
    assert found["pairs"]["with other gold"] == {"count": 2, "ids": ["0", "1"]}
    old = replace(a, scores=Scores(a.scores.ids, {n: c for n, c in a.scores.columns.items() if "digest" not in n}))
    assert "other gold" not in compared_table(old, b, compared), "a report of an earlier version does not say"


def test_long_gold_answers_are_warned_of(report: Report) -> None:
    long = [pair(str(n), 0.9, "tea is " + "very " * 30 + "hot") for n in range(3)]
    told = run([*long, pair("4", 0.9), pair("5", 0.9, **UNANSWERABLE)])
    assert "half of them have 33 words or more" in text_table(told).splitlines()[0]
    file = io.StringIO()
    write_json(told, file)
    assert json.loads(file.getvalue())["warnings"] == warnings(told)
    assert warnings(report) == []
    assert text_table(report).startswith("Retrieval")


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
