"""How sure a figure is, and whether two runs differ: intervals and paired tests, over SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES, PAIRED_RESAMPLES = 2000, 10_000
"""More where a p-value is to survive being adjusted for many figures."""
SEED = 1
BATCH_NUMBERS = 4_000_000
"""Numbers resampled at once, so that 100,000 questions fit into memory."""

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], float]
"""Of a table of shape (questions, columns); NaN where it is not defined."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % confidence interval and the number of questions it rests on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A over the questions that both have, with an interval and a p-value.

    `more` and `less` count the questions on which B is higher and lower; 0 for figures of all questions together.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    more: int
    less: int
    test: str


def mean(values: Floats) -> Interval | None:
    """The mean of scores, NaN left out; None of none.

    Scores of 0 and 1 get Wilson's interval (1927), since a bootstrap of twenty right answers has no width; all others
    the percentile bootstrap (Efron and Tibshirani 1993).
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    if np.isin(values, (0.0, 1.0)).all():
        found = stats.binomtest(int(values.sum()), len(values)).proportion_ci(CONFIDENCE, method="wilson")
        return Interval(float(values.mean()), float(found.low), float(found.high), len(values))
    return Interval(float(values.mean()), *_limits(_resampled_means(values)), len(values))


def of_table(statistic: Statistic, table: Floats) -> Interval | None:
    """A statistic of a table of shape (questions, columns), questions resampled whole; None where it is not defined."""
    value = statistic(table)
    if np.isnan(value):
        return None
    samples = np.array([statistic(table[drawn]) for drawn in _draws(len(table))])
    return Interval(value, *_limits(samples), len(table))


def paired(a: Floats, b: Floats) -> Difference | None:
    """Compare two runs question by question, leaving out those that one of them has no score for; None of none.

    0/1 scores: McNemar's exact test (1947), a binomial test of the questions on which the runs differ. Others: paired
    bootstrap of the mean difference (Efron and Tibshirani 1993; Koehn 2004), p from the share of resamples beyond 0.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    if not len(a):
        return None
    more, less = int((b > a).sum()), int((b < a).sum())
    binary = bool(np.isin(np.concatenate([a, b]), (0.0, 1.0)).all())
    samples = _resampled_means(b - a, PAIRED_RESAMPLES)
    if more == less == 0:
        p = 1.0
    elif binary:
        p = float(stats.binomtest(more, more + less).pvalue)
    else:
        p = _beyond_zero(samples)
    test = "McNemar" if binary else "paired bootstrap"
    means = float(a.mean()), float(b.mean()), float((b - a).mean())
    return Difference(*means, *_limits(samples), p, len(a), more, less, test)


def paired_tables(statistic: Statistic, a: Floats, b: Floats) -> Difference | None:
    """Compare a statistic of two tables whose rows are the same questions, by paired bootstrap; None if undefined."""
    values = statistic(a), statistic(b)
    if np.isnan(values).any():
        return None
    samples = np.array([statistic(b[drawn]) - statistic(a[drawn]) for drawn in _draws(len(a))])
    samples = samples[~np.isnan(samples)]
    p = 1.0 if np.array_equal(a, b, equal_nan=True) else _beyond_zero(samples)
    return Difference(*values, values[1] - values[0], *_limits(samples), p, len(a), 0, 0, "paired bootstrap")


def adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values held to a false discovery rate (Benjamini and Hochberg 1995), since many metrics are looked at."""
    return [float(p) for p in stats.false_discovery_control(p_values)] if p_values else []


def mean_of(values: Floats) -> float:
    """The mean; NaN of none."""
    return float(values.mean()) if len(values) else float("nan")


def f1(predicted: Floats, true: Floats) -> float:
    """Harmonic mean of precision and recall; NaN if there is nothing to find and nothing was predicted."""
    total = predicted.sum() + true.sum()
    return float(2 * (predicted * true).sum() / total) if total else float("nan")


def auc(confidence: Floats, positive: Floats) -> float:
    """Chance that a positive has a higher confidence than a negative, a tie counting half; NaN without both.

    Computed from ranks (Mann and Whitney 1947).
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(confidence)
    return float((ranks[positive == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(confidence: Floats, right: Floats) -> float:
    """Expected calibration error over ten bands of confidence (Naeini et al. 2015); NaN of none."""
    if not len(confidence):
        return float("nan")
    bands = calibration_curve(confidence, right)
    return sum(n * abs(said - found) for said, found, n in bands) / len(confidence)


def calibration_curve(confidence: Floats, right: Floats) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, how many) of each tenth of the scale that holds any."""
    band = np.minimum((confidence * 10).astype(int), 9)
    groups = [band == b for b in range(10) if (band == b).any()]
    return [(float(confidence[g].mean()), float(right[g].mean()), int(g.sum())) for g in groups]


def risk_coverage(confidence: Floats, right: Floats, asked: int, points: int = 200) -> list[tuple[float, float]]:
    """(share of all questions answered, share of those wrong) as ever less sure answers are let through.

    El-Yaniv and Wiener, On the foundations of noise-free selective classification (2010). At most `points` points.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(1 - right[order])
    at = np.unique(np.linspace(1, len(order), min(points, len(order))).round().astype(int)) if len(order) else ()
    return [(float(count / asked), float(wrong[count - 1] / count)) for count in at]


def percentiles(seconds: Floats) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)} if len(seconds) else {}


def _draws(n: int) -> Iterator[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(SEED)
    return (generator.integers(0, n, n) for _ in range(RESAMPLES))


def _beyond_zero(samples: Floats) -> float:
    """Twice the smaller share of differences on one side of 0; never 0, since the resamples are finite."""
    return float(min(1.0, 2 * (min((samples <= 0).sum(), (samples >= 0).sum()) + 1) / (len(samples) + 1)))


def _limits(samples: Floats) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(samples, (tail, 1 - tail))
    return float(low), float(high)


def _resampled_means(values: Floats, resamples: int = RESAMPLES) -> Floats:
    generator, n = np.random.default_rng(SEED), len(values)
    batch = max(1, BATCH_NUMBERS // n)
    drawn = (values[generator.integers(0, n, (min(batch, resamples - d), n))] for d in range(0, resamples, batch))
    return np.concatenate([sample.mean(axis=1) for sample in drawn])
