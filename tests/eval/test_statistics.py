"""Intervals and tests against figures from books, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from eval import statistics

NAN = float("nan")


def array(*values: float) -> statistics.Floats:
    return np.array(values, dtype=np.float64)


def test_a_share_has_wilsons_interval() -> None:
    found = statistics.mean(array(*[1] * 81, *[0] * 182))
    assert found
    assert (found.value, found.n) == (pytest.approx(81 / 263), 263)
    # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I: 81 of 263.
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_twenty_of_twenty_is_not_certain() -> None:
    found = statistics.mean(np.ones(20))
    assert found
    assert found.low == pytest.approx(0.8389, abs=1e-4)


def test_scores_between_get_a_bootstrap() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    found = statistics.mean(values)
    assert found
    error = values.std() / 20
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=error / 5)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=error / 5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(200):
        found = statistics.mean(generator.beta(2, 3, 60))
        held += bool(found and found.low <= 0.4 <= found.high)
    assert 180 <= held <= 199


def test_what_has_no_score_does_not_count() -> None:
    found = statistics.mean(array(1, NAN, 0, NAN))
    assert found
    assert (found.value, found.n) == (0.5, 2)
    assert statistics.mean(array(NAN)) is None


def test_scores_that_are_all_the_same_have_a_wide_interval_where_they_are_few() -> None:
    for n in (1, 3, 20):
        found = statistics.mean(np.full(n, 0.5))
        assert found
        assert found.high - found.low == pytest.approx(2 * (0.5 - found.low))
        assert found.low < 0.5 - 0.5 / np.sqrt(n) * 0.5
    sure = statistics.of_table(lambda rows: statistics.auc(*rows.T), np.array([[0.9, 1.0], [0.1, 0.0], [0.8, 1.0]]))
    assert sure
    assert sure.low < 0.5


def test_wilsons_interval_is_scipys() -> None:
    for right, n in ((0, 5), (5, 5), (3, 7), (500, 1000)):
        found = statistics.mean(array(*[1] * right, *[0] * (n - right)))
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert found
        assert (found.low, found.high) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))


def test_mcnemar() -> None:
    a = array(*[1] * 9, *[0] * 1, *[1] * 30)
    b = array(*[0] * 9, *[1] * 1, *[1] * 30)
    found = statistics.paired(a, b)
    assert found
    assert (found.test, found.more, found.less, found.n) == ("McNemar", 1, 9, 40)
    assert found.p == pytest.approx(2 * (1 + 10) / 2**10)
    assert found.difference == pytest.approx(-8 / 40)


def test_the_randomisation_test_finds_a_small_steady_difference_and_no_other() -> None:
    generator = np.random.default_rng(5)
    a = generator.uniform(0.2, 0.8, 300)
    steady = statistics.paired(a, a + generator.normal(0.02, 0.05, 300))
    assert steady
    assert (steady.test, steady.p < 0.01) == ("randomisation", True)
    assert steady.low > 0
    same = statistics.paired(a, a + generator.normal(0, 0.05, 300))
    assert same
    assert same.p > 0.05


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1 / 2), (5, 1 / 16), (13, 1e-3)])
def test_few_questions_show_little(n: int, p: float) -> None:
    """All differences have one sign, which happens in two of 2 ** n cases by chance."""
    found = statistics.paired(np.full(n, 0.25), np.linspace(0.5, 0.6, n))
    assert found
    assert found.p == pytest.approx(p, abs=1e-3)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_no_more_differences_are_shown_by_chance_than_should_be(n: int) -> None:
    generator = np.random.default_rng(9)
    samples = [generator.uniform(size=(2, n)) for _ in range(200)]
    means = [statistics.paired(a, b) for a, b in samples]
    tables = [
        statistics.paired_tables(lambda rows: float(rows.mean()), a[:, None], b[:, None]) for a, b in samples[:40]
    ]
    for found in (means, tables):
        assert np.mean([difference.p < 0.05 for difference in found if difference]) <= 0.09


def test_a_run_against_itself_differs_in_nothing() -> None:
    values = np.random.default_rng(6).uniform(size=50)
    for a in (values, (values > 0.5).astype(float)):
        found = statistics.paired(a, a)
        assert found
        assert (found.p, found.difference, found.more, found.less) == (1, 0, 0, 0)
    table = np.column_stack([values, values > 0.5]).astype(float)
    found = statistics.paired_tables(lambda rows: statistics.auc(*rows.T), table, table)
    assert found
    assert found.p == 1


def test_only_questions_that_both_have_a_score_for_are_compared() -> None:
    found = statistics.paired(array(1, NAN, 0), array(1, 1, NAN))
    assert found
    assert found.n == 1
    assert statistics.paired(array(NAN), array(1)) is None


def test_tables_are_compared_question_by_question() -> None:
    generator = np.random.default_rng(7)
    right = (generator.uniform(size=300) > 0.5).astype(float)
    good, bad = right + generator.normal(0, 0.5, 300), generator.uniform(size=300)
    found = statistics.paired_tables(
        lambda rows: statistics.auc(*rows.T), np.column_stack([good, right]), np.column_stack([bad, right])
    )
    assert found
    assert found.p < 0.01
    assert found.high < 0


def test_p_values_are_adjusted_for_their_number() -> None:
    assert statistics.adjusted([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.04, 0.04, 0.5])
    assert statistics.adjusted([]) == []


def test_figures_on_which_nothing_could_be_shown_do_not_count_among_the_many() -> None:
    few, many = statistics.paired(array(0, 0, 0), array(1, 1, 1)), statistics.paired(np.zeros(10), np.ones(10))
    assert few
    assert many
    assert (few.least_p, many.least_p) == (0.25, 2 / 2**10)
    assert statistics.tested({"few": few, "many": many}, 0.05) == {"many": pytest.approx(2 / 2**10)}


def test_auc_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(8)
    positive = (generator.uniform(size=200) > 0.3).astype(float)
    confidence = generator.uniform(size=200).round(1)  # many ties
    assert statistics.auc(confidence, positive) == pytest.approx(roc_auc_score(positive, confidence))
    assert np.isnan(statistics.auc(confidence, np.ones(200)))


def test_f1() -> None:
    # Two found of three, with one false alarm: precision 2/3, recall 2/3.
    assert statistics.f1(array(1, 1, 1, 0, 0), array(1, 1, 0, 1, 0)) == pytest.approx(2 / 3)
    assert np.isnan(statistics.f1(array(0), array(0)))


def test_calibration() -> None:
    confidence, right = array(0.95, 0.95, 0.95, 0.95, 0.15, 1.0), array(1, 1, 1, 0, 1, 1)
    curve = statistics.calibration_curve(confidence, right)
    assert curve == [(pytest.approx(0.15), 1.0, 1), (pytest.approx(0.96), 0.8, 5)]
    assert statistics.calibration_error(confidence, right) == pytest.approx(1 / 6 * 0.85 + 5 / 6 * 0.16)
    assert np.isnan(statistics.calibration_error(array(), array()))


def test_risk_and_coverage() -> None:
    curve = statistics.risk_coverage(array(0.5, 0.9, 0.7), array(0, 1, 0), asked=4)
    assert curve == [(0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(2 / 3))]
    assert statistics.risk_coverage(array(), array(), asked=4) == []
    assert len(statistics.risk_coverage(np.arange(1000.0), np.ones(1000), 1000, points=50)) == 50


def test_percentiles() -> None:
    assert statistics.percentiles(np.arange(101.0)) == {"p50": 50, "p95": 95, "p99": 99}
