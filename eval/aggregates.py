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
"""What is kept of each question beside its scores: `gold_words` is the length of its shortest gold answer, the digests
are numbers that tell whether two runs asked the same, and measured by the same."""
AGGREGATED = ("answerable", "abstained", "confidence", "right")
COLUMNS = (*FACTS, *(metric.name for metric in METRICS))


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """A question, what came of it, and how it was scored."""

    pair: QAPair
    row: Row
    scores: Mapping[str, float]

    @property
    def badness(self) -> float:
        """How sure a wrong answer was (1–2), or how wrong a refusal was (0–1); 0 for what went well."""
        if not self.row.abstained:
            wrong = not self.pair.answerable or self.scores.get("right", 1.0) < 1
            return 1 + self.row.confidence if wrong else 0.0
        return 1 - self.row.confidence if self.pair.answerable else 0.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Question by question: ids, and a column of numbers for each metric and fact, NaN where there is none."""

    ids: Sequence[str]
    columns: Mapping[str, Floats]

    def at(self, positions: Positions) -> Scores:
        """Those questions only."""
        return Scores([self.ids[p] for p in positions], {name: c[positions] for name, c in self.columns.items()})


def table_of(scores: Scores) -> Floats:
    """What AGGREGATES are computed from: shape (questions, 4), the columns AGGREGATED."""
    return np.column_stack([scores.columns[name] for name in AGGREGATED])


def answered(table: Floats) -> Floats:
    """Confidence, and 1 if right, of each answer given whose rightness is known; to an unanswerable one it is wrong."""
    answerable, abstained, confidence, right = table.T
    given: Floats = np.column_stack([confidence, np.where(answerable == 1, right, 0.0)])
    known: Floats = given[(abstained == 0) & ~np.isnan(given[:, 1])]
    return known


def _refusals(table: Floats) -> Floats:
    """Refused, and unanswerable, of all questions; of none where all are answerable, and nothing is to be refused."""
    found = np.column_stack([table[:, 1], 1 - table[:, 0]])
    return found if found[:, 1].any() else found[:0]


def _refused(refusals: Floats) -> Floats:
    """Of each refusal, 1 if it was of an unanswerable question."""
    unanswerable: Floats = refusals[refusals[:, 0] == 1, 1]
    return unanswerable


def judgeable(table: Floats) -> int:
    """How many questions a curve over answers can be about: all but those whose answers nobody can call right."""
    return int((~np.isnan(table[:, 3]) | (table[:, 0] == 0)).sum())


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How a figure of all questions together is computed: the rows it rests on, and a statistic of those.

    Rows of a single number, 0 or 1, are averaged. `each` says how much a question adds to the figure, by which two runs
    are compared question by question; NaN where the figure does not rest on it.
    """

    rows: Callable[[Floats], Floats]
    each: Callable[[Floats], Floats]
    statistic: Statistic = statistics.mean_of

    def of(self, table: Floats) -> float:
        """The figure; NaN where it is not defined."""
        return self.statistic(self.rows(table))

    def interval(self, table: Floats) -> Interval | None:
        """The figure with its interval; None where it is not defined."""
        rows = self.rows(table)
        return statistics.mean(rows) if rows.ndim == 1 else statistics.of_table(self.statistic, rows)


def _signed(given: Floats, right: Floats, size: Floats | float = 1.0) -> Floats:
    """The size, negative where it is not right; 0 where nothing was given, NaN where nobody can call it right."""
    return np.where(given == 1, np.where(np.isnan(right), np.nan, np.where(right == 1, size, -size)), 0.0)


def is_right_of(table: Floats) -> Floats:
    """1 where an answer would be right; an answer to an unanswerable question is not."""
    return np.where(table[:, 0] == 1, table[:, 3], 0.0)


def _each_answer(table: Floats, size: Floats | float = 1.0) -> Floats:
    return _signed(1 - table[:, 1], is_right_of(table), size)


def _each_refusal(table: Floats) -> Floats:
    return _signed(table[:, 1], 1 - table[:, 0])


def _each_error(table: Floats) -> Floats:
    return np.where(table[:, 1] == 0, np.abs(table[:, 2] - is_right_of(table)), np.nan)


AGGREGATES: Mapping[str, Aggregate] = {
    "right_when_answered": Aggregate(lambda table: answered(table)[:, 1], _each_answer),
    "abstain_precision": Aggregate(lambda table: _refused(_refusals(table)), _each_refusal),
    "abstain_f1": Aggregate(_refusals, _each_refusal, lambda rows: statistics.f1(*rows.T)),
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
