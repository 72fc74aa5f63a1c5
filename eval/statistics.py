"""Confidence intervals of figures, and paired tests of two runs, over SciPy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES, PAIRED_RESAMPLES = 2000, 10_000
"""A p-value that is adjusted for many figures needs more resamples than an interval."""
MAX_NUMBERS = 40_000_000
"""Numbers resampled for one figure."""
EXACT = 12
"""Up to this many questions, all ways to swap two runs' scores are tried."""
TINY = 1e-12
SEED = 1
BATCH_NUMBERS = 4_000_000
"""Numbers resampled at once, so that 100,000 questions fit into memory."""

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Statistic = Callable[[Floats], float]
"""Computed from a table of shape (questions, columns); NaN if it is not defined."""
Curve = Sequence[tuple[float, float, int]]
"""(mean confidence, share right, number of answers) by bands of confidence."""


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

    `more` and `less` count the questions on which B is higher and lower; for a figure of all questions together, those
    that raise and lower it. `differing` counts the questions on which the two differ.
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
    differing: int
    test: str

    @property
    def least_p(self) -> float:
        """The smallest possible p-value: that of differences of one sign."""
        return min(1.0, 2.0 / 2.0 ** min(self.differing, 1000))


def mean(values: Floats) -> Interval | None:
    """The mean of scores, ignoring NaN; None without scores.

    Scores of 0 and 1 get Wilson's interval (1927), since a bootstrap of twenty right answers has no width; all others
    get the percentile bootstrap (Efron and Tibshirani 1993).
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    value = float(values.mean())
    if _binary(values):
        return Interval(value, *_wilson(value, len(values)), len(values))
    samples = _bootstrap(values, np.mean, RESAMPLES, vectorized=True)
    return Interval(value, *_spread(value, samples, len(values)), len(values))


def of_table(statistic: Statistic, table: Floats) -> Interval | None:
    """A statistic of a table of shape (questions, columns), resampled by question; None if it is not defined."""
    value = statistic(table)
    if np.isnan(value):
        return None
    samples = _bootstrap(np.arange(len(table)), lambda drawn: statistic(table[drawn]), RESAMPLES, vectorized=False)
    return Interval(value, *_spread(value, samples, len(table)), len(table))


def paired(a: Floats, b: Floats) -> Difference | None:
    """Compare two runs over the questions that both have a score for; None if there are none.

    The interval is from the paired bootstrap (Efron and Tibshirani 1993; Koehn 2004). The p-value of 0/1 scores is
    from McNemar's exact test (1947), a binomial test of the questions on which the runs differ; that of other scores
    from Fisher's randomisation test (1935; Smucker et al. 2007), the share of random swaps of A and B whose difference
    is as large. A bootstrap's p-value is too small for few questions.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    if not len(a):
        return None
    more, less = int((b > a).sum()), int((b < a).sum())
    binary = _binary(np.concatenate([a, b]))
    p = _mcnemar(more, less) if binary else _sign_flip_p(b - a)
    means = float(a.mean()), float(b.mean()), float((b - a).mean())
    limits = _limits(_bootstrap(b - a, np.mean, PAIRED_RESAMPLES, vectorized=True))
    test = "McNemar" if binary else "randomisation"
    return Difference(*means, *limits, p, len(a), more, less, more + less, test)


def paired_tables(statistic: Statistic, a: Floats, b: Floats) -> Difference | None:
    """Compare a statistic of two tables whose rows are the same questions, as `paired`; None if undefined."""
    values = statistic(a), statistic(b)
    if np.isnan(values).any():
        return None
    difference = values[1] - values[0]

    def resampled(drawn: Positions) -> float:
        return statistic(b[drawn]) - statistic(a[drawn])

    samples = _bootstrap(np.arange(len(a)), resampled, RESAMPLES, vectorized=False)
    p = _swapped_rows_p(statistic, a, b)
    differing = int(((a != b) & ~(np.isnan(a) & np.isnan(b))).any(axis=1).sum())
    return Difference(*values, difference, *_limits(samples), p, len(a), 0, 0, differing, "randomisation")


def adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to control the false discovery rate over many metrics (Benjamini and Hochberg 1995)."""
    return [float(p) for p in stats.false_discovery_control(p_values)] if p_values else []


def tested(differences: Mapping[str, Difference], level: float) -> dict[str, float]:
    """Adjusted p-values of the differences that could be significant at this level.

    Differences on so few questions that no p-value could be that small are left out, and do not count in the
    adjustment (Tarone 1990; Gilbert 2005).
    """
    testable = {name: difference.p for name, difference in differences.items() if difference.least_p < level}
    return dict(zip(testable, adjusted(list(testable.values())), strict=True))


def mean_of(values: Floats) -> float:
    """The mean; NaN without values."""
    return float(values.mean()) if len(values) else float("nan")


def f1(predicted: Floats, true: Floats) -> float:
    """Harmonic mean of precision and recall; NaN without positives and predictions."""
    total = predicted.sum() + true.sum()
    return float(2 * (predicted * true).sum() / total) if total else float("nan")


def auc(confidence: Floats, positive: Floats) -> float:
    """Probability that a positive has a higher confidence than a negative, ties counting half; NaN without both.

    Computed from ranks (Mann and Whitney 1947).
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(confidence)
    return float((ranks[positive == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(confidence: Floats, right: Floats) -> float:
    """Expected calibration error over ten bands of confidence (Naeini et al. 2015); NaN without answers."""
    if not len(confidence):
        return float("nan")
    bands = calibration_curve(confidence, right)
    return sum(n * abs(mean_confidence - accuracy) for mean_confidence, accuracy, n in bands) / len(confidence)


def calibration_curve(confidence: Floats, right: Floats) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, number of answers) of each tenth of the scale that has answers."""
    band = np.minimum((confidence * 10).astype(int), 9)
    groups = [band == b for b in range(10) if (band == b).any()]
    return [(float(confidence[g].mean()), float(right[g].mean()), int(g.sum())) for g in groups]


def risk_coverage(confidence: Floats, right: Floats, asked: int, points: int = 200) -> list[tuple[float, float]]:
    """(share of all questions answered, share of those answers wrong) as the threshold of confidence falls.

    El-Yaniv and Wiener, On the foundations of noise-free selective classification (2010). At most `points` points.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(1 - right[order])
    at = np.unique(np.linspace(1, len(order), min(points, len(order))).round().astype(int)) if len(order) else ()
    return [(float(count / asked), float(wrong[count - 1] / count)) for count in at]


def percentiles(seconds: Floats) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)} if len(seconds) else {}


def _binary(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _mcnemar(more: int, less: int) -> float:
    return float(stats.binomtest(more, more + less).pvalue) if more + less else 1.0


def _sign_flip_p(differences: Floats) -> float:
    def effect(signs: Floats, axis: int) -> Floats:  # noqa: ARG001 - SciPy asks for it; signs lie along the last one
        total: Floats = np.abs(signs @ differences)
        return total

    return _randomisation_p(len(differences), PAIRED_RESAMPLES, effect, vectorized=True)


def _swapped_rows_p(statistic: Statistic, a: Floats, b: Floats) -> float:
    def effect(signs: Floats) -> float:
        swapped = signs[:, None] < 0
        difference = statistic(np.where(swapped, a, b)) - statistic(np.where(swapped, b, a))
        return math.inf if math.isnan(difference) else abs(difference)  # undefined: no evidence of a difference

    return _randomisation_p(len(a), RESAMPLES, effect, vectorized=False)


def _randomisation_p(n: int, most: int, effect: Callable[..., Any], *, vectorized: bool) -> float:
    """Two-sided p-value of a difference: the share of random signs, -1 swapping a question's runs, that reach it.

    `effect` gives the absolute difference for n signs. All signs are tried for few questions, and drawn for many.
    """
    if n == 1:  # SciPy needs two; a single question shows nothing
        return 1.0
    signs, generator = np.ones(n), np.random.default_rng(SEED)
    options: dict[str, Any] = {"vectorized": vectorized, "alternative": "greater", "batch": _batch(n)}
    if n <= EXACT:
        exact = stats.permutation_test((signs,), effect, permutation_type="samples", n_resamples=2**n, **options)
        return float(exact.pvalue)
    options["n_resamples"] = _resamples(n, most)
    # With the samples of permutation_test, 100,000 questions take 60 times as long.
    drawn = stats.monte_carlo_test(signs, lambda size: generator.choice((-1.0, 1.0), size), effect, **options)
    return float(drawn.pvalue)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    centre, widest = (share + z * z / (2 * n)), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + side * widest) / (1 + z * z / n) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def _spread(value: float, samples: Floats, n: int) -> tuple[float, float]:
    """The resamples' interval; if they are all equal, Wilson's, since no score between 0 and 1 varies more."""
    low, high = _limits(samples)
    return _wilson(value, n) if high - low < TINY and 0 <= value <= 1 else (low, high)


def _limits(samples: Floats) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(samples, (tail, 1 - tail))
    return float(low), float(high)


def _resamples(n: int, most: int) -> int:
    """Fewer for many questions, whose figures vary less, so that a report does not take minutes."""
    return max(most // 10, min(most, MAX_NUMBERS // n))


def _batch(n: int) -> int:
    """Resamples held in memory at once."""
    return max(1, BATCH_NUMBERS // n)


def _bootstrap(sample: npt.NDArray[Any], statistic: Callable[..., Any], most: int, *, vectorized: bool) -> Floats:
    """The statistic of resamples drawn with replacement."""
    n = len(sample)
    if n == 1:  # SciPy needs two; a single question is the same in every resample
        return np.array([statistic(sample)])
    with warnings.catch_warnings():
        # A resample in which the statistic is not defined is NaN, and left out by `_limits`.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        options: dict[str, Any] = {"n_resamples": _resamples(n, most), "batch": _batch(n), "vectorized": vectorized}
        result = stats.bootstrap((sample,), statistic, method="percentile", rng=SEED, **options)
    samples: Floats = result.bootstrap_distribution
    return samples
