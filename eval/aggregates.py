"""Figures of all questions together: coverage, precision, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval import statistics
from eval.metrics import METRICS
from eval.pairs.schema import QAPair
from eval.rows import Row
from eval.statistics import Floats, Interval, Positions, Statistic

FACTS = ("answerable", "abstained", "confidence", "seconds", "follow_up", "gold_words", "asked_digest", "gold_digest")
"""Kept of each question beside its scores: `gold_words` is the length of its shortest gold answer; the digests are
numbers that are equal if two runs asked the same question, and measured it by the same gold."""
AGGREGATED = ("answerable", "abstained", "confidence", "right")
COLUMNS = (*FACTS, *(metric.name for metric in METRICS))


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """A pair, its row and its scores."""

    pair: QAPair
    row: Row
    scores: Mapping[str, float]

    @property
    def badness(self) -> float:
        """1–2 for a wrong answer, rising with its confidence; 0–1 for an answerable question not answered; else 0."""
        if not self.row.abstained:
            wrong = not self.pair.answerable or self.scores.get("right", 1.0) < 1
            return 1 + self.row.confidence if wrong else 0.0
        return 1 - self.row.confidence if self.pair.answerable else 0.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Ids of questions, and a column of numbers for each metric and fact, NaN where a question has none."""

    ids: Sequence[str]
    columns: Mapping[str, Floats]

    def at(self, positions: Positions) -> Scores:
        """The scores of the questions at these positions."""
        return Scores([self.ids[p] for p in positions], {name: c[positions] for name, c in self.columns.items()})


def table_of(scores: Scores) -> Floats:
    """The table that AGGREGATES are computed from: shape (questions, 4), the columns AGGREGATED."""
    return np.column_stack([scores.columns[name] for name in AGGREGATED])


def answered(table: Floats) -> Floats:
    """Confidence, and 1 if right, of each answer that can be graded; to an unanswerable question it is wrong."""
    given: Floats = np.column_stack([table[:, 2], _answer_is_right(table)])
    gradable: Floats = given[(table[:, 1] == 0) & ~np.isnan(given[:, 1])]
    return gradable


def _abstentions(table: Floats) -> Floats:
    """Abstained, and unanswerable, of all questions; no rows if every question is answerable."""
    rows = np.column_stack([table[:, 1], 1 - table[:, 0]])
    return rows if rows[:, 1].any() else rows[:0]


def _unanswerable_abstained(table: Floats) -> Floats:
    """For each question not answered, 1 if it was unanswerable."""
    rows = _abstentions(table)
    unanswerable: Floats = rows[rows[:, 0] == 1, 1]
    return unanswerable


def judgeable(table: Floats) -> int:
    """The number of questions whose answers can be graded: with a gold answer, or unanswerable."""
    return int((~np.isnan(table[:, 3]) | (table[:, 0] == 0)).sum())


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How a figure of all questions together is computed: the rows it rests on, and a statistic of them.

    Rows of a single number, 0 or 1, are averaged. `each` is what a question adds to the figure, by which two runs are
    compared question by question; NaN where the figure does not rest on it.
    """

    rows: Callable[[Floats], Floats]
    each: Callable[[Floats], Floats]
    statistic: Statistic = statistics.mean_of

    def of(self, table: Floats) -> float:
        """The figure; NaN if it is not defined."""
        return self.statistic(self.rows(table))

    def interval(self, table: Floats) -> Interval | None:
        """The figure with its interval; None if it is not defined."""
        rows = self.rows(table)
        return statistics.mean(rows) if rows.ndim == 1 else statistics.of_table(self.statistic, rows)


def _signed(given: Floats, right: Floats, size: Floats | float = 1.0) -> Floats:
    """The size, negated where not right; 0 where nothing was given, NaN where it cannot be graded."""
    return np.where(given == 1, np.where(np.isnan(right), np.nan, np.where(right == 1, size, -size)), 0.0)


def _answer_is_right(table: Floats) -> Floats:
    """1 where an answer is right, NaN where it cannot be graded; to an unanswerable question it is wrong."""
    return np.where(table[:, 0] == 1, table[:, 3], 0.0)


def _each_answer(table: Floats, size: Floats | float = 1.0) -> Floats:
    return _signed(1 - table[:, 1], _answer_is_right(table), size)


def _each_abstention(table: Floats) -> Floats:
    return _signed(table[:, 1], 1 - table[:, 0])


def _each_error(table: Floats) -> Floats:
    return np.where(table[:, 1] == 0, np.abs(table[:, 2] - _answer_is_right(table)), np.nan)


AGGREGATES: Mapping[str, Aggregate] = {
    "right_when_answered": Aggregate(lambda table: answered(table)[:, 1], _each_answer),
    "abstain_precision": Aggregate(_unanswerable_abstained, _each_abstention),
    "abstain_f1": Aggregate(_abstentions, _each_abstention, lambda rows: statistics.f1(*rows.T)),
    "auc_answerable": Aggregate(
        lambda table: table[:, [2, 0]],
        lambda table: _signed(np.ones(len(table)), table[:, 0], table[:, 2]),
        lambda rows: statistics.auc(*rows.T),
    ),
    "auc_right": Aggregate(
        answered, lambda table: _each_answer(table, table[:, 2]), lambda rows: statistics.auc(*rows.T)
    ),
    "calibration_error": Aggregate(answered, _each_error, lambda rows: statistics.calibration_error(*rows.T)),
}
"""How each of metrics.AGGREGATES is computed."""
