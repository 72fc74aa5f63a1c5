"""Ask a chain the questions of pairs, and work out how it did: `evaluate(chain, pairs)`."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import platform
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval import statistics
from eval.judge import Judge
from eval.metrics import METRICS, score
from eval.pairs import ArticleNames, check_pairs
from eval.rows import Row, RowsFile
from eval.statistics import Floats, Interval, Statistic
from rag.chain import Chain
from rag.errors import ReadError
from rag.schema import ArticleEntry, Failure, QAPair

LIBRARIES = ("pullquote", "chromadb", "llama-index-core", "sentence-transformers", "tantivy", "torch", "numpy", "scipy")
FACTS = ("answerable", "abstained", "confidence", "seconds", "follow_up")
"""What is kept of each question beside its scores."""
AGGREGATED = ("answerable", "abstained", "confidence", "right")
COLUMNS = (*FACTS, *(metric.name for metric in METRICS))
WORST = 30
FAILURES_KEPT = 50


@dataclass(frozen=True, slots=True)
class Judged:
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

    def where(self, mask: npt.NDArray[np.bool_]) -> Scores:
        """Those questions only."""
        ids = [question for question, kept in zip(self.ids, mask, strict=True) if kept]
        return Scores(ids, {name: column[mask] for name, column in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Report:
    """How a chain did. `figures` are over all questions, `groups` over those of a kind.

    `excluded` pairs were not asked; `failures` tells of the first of them. `seconds` are percentiles by stage.
    `worst` are the questions that went wrong, the surest first. `made` is what a run can be repeated with.
    """

    made: Mapping[str, Any]
    asked: int
    excluded: int
    failures: Sequence[Failure]
    interrupted: bool
    figures: Mapping[str, Interval]
    groups: Mapping[str, Mapping[str, Interval]]
    seconds: Mapping[str, Mapping[str, float]]
    scores: Scores
    worst: Sequence[Judged]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: pairs asked and excluded so far."""

    asked: int
    excluded: int


def evaluate(  # noqa: PLR0913 - what a run depends on; all but the first two have a default
    chain: Chain,
    pairs: Iterable[QAPair | Failure],
    rows: Path | None = None,
    *,
    resume: bool = False,
    judge: Judge | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Ask every question and report; `rows` gets a line for each, from which `resume` goes on.

    Pairs that are broken, repeat an id or name an article that is not indexed are left out and counted. Ctrl-C ends the
    asking: the report is of what was asked until then. Memory holds some 400 bytes a question, whatever it is answered
    with. A question with a history is asked as it stands, since the chain does not read the conversation.
    A judge adds its opinion of each answer. Raises ReadError if no pair can be asked, ModelError if the judge fails.
    """
    entries = list(chain.index.articles())
    made = made_with(chain, entries) | ({"judge": judge.model.name} if judge else {})
    collected = _Collected()
    run = hashlib.sha256(json.dumps(made, sort_keys=True, default=str).encode()).hexdigest()[:12]
    file = RowsFile(rows, run, resume=resume) if rows else None
    with closing(file) if file else nullcontext():
        try:
            for pair in check_pairs(pairs, ArticleNames.of(entries)):
                if isinstance(pair, QAPair):
                    collected.add(pair, _row(chain, pair, file, run, judge))
                else:
                    collected.fail(pair)
                if progress:
                    progress(Progress(len(collected.ids), collected.excluded))
        except KeyboardInterrupt:
            collected.interrupted = True
    if judge:
        made["judge_usage"] = asdict(judge.usage)
    return collected.report({**made, "run": run, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"})


def made_with(chain: Chain, entries: Iterable[ArticleEntry]) -> dict[str, Any]:
    """What answers depend on: versions, the chain's parts with their settings, and what is in the index."""
    articles, passages = chain.index.counts()
    content = "\n".join(sorted(f"{entry.digest} {entry.id}" for entry in entries))
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "settings": {"embedding_model": chain.index.embedding_model, **_settings(chain)},
        "index": {
            "articles": articles,
            "passages": passages,
            "content": hashlib.sha256(content.encode()).hexdigest()[:16],
        },
    }


def _settings(part: Any) -> dict[str, Any]:
    """A dataclass's plain values by field, those of its parts below them; anything else is left out."""
    found: dict[str, Any] = {"name": type(part).__name__}
    for name, value in ((f.name, getattr(part, f.name)) for f in fields(part)):
        if isinstance(value, (str, int, float)):
            found[name] = value
        elif is_dataclass(value):
            found[name] = _settings(value)
    return found


def _row(chain: Chain, pair: QAPair, file: RowsFile | None, run: str, judge: Judge | None) -> Row:
    row = file.earlier(pair) if file else None
    if row is None:
        row = Row.of(pair, chain.ask(pair.question), chain.index, run)
        if judge:
            row = replace(row, judged=judge.scores(pair, row))
        if file:
            file.add(row)
    return row


@dataclass(slots=True)
class _Collected:
    """What a run has gathered so far."""

    ids: list[str] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=lambda: {n: array("d") for n in COLUMNS})
    stages: dict[str, array[float]] = field(default_factory=dict)
    kinds: dict[str, array[int]] = field(default_factory=dict)
    excluded: int = 0
    failures: list[Failure] = field(default_factory=list)
    worst: list[tuple[float, int, Judged]] = field(default_factory=list)
    interrupted: bool = False

    def add(self, pair: QAPair, row: Row) -> None:
        scores = score(pair, row)
        facts = (pair.answerable, row.abstained, row.confidence, row.seconds, bool(pair.history))
        known = {**scores, **dict(zip(FACTS, map(float, facts), strict=True))}
        for name, column in self.columns.items():
            column.append(known.get(name, float("nan")))
        for stage, seconds in row.stages.items():
            self.stages.setdefault(stage, array("d")).append(seconds)
        if pair.kind:
            self.kinds.setdefault(pair.kind, array("L")).append(len(self.ids))
        self._keep_if_bad(Judged(pair, row, scores))
        self.ids.append(pair.id)

    def fail(self, failure: Failure) -> None:
        self.excluded += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def report(self, made: Mapping[str, Any]) -> Report:
        if not self.ids:
            reason = f"{self.failures[0].source}: {self.failures[0].reason}" if self.failures else "there is none"
            raise ReadError(f"no pair could be asked ({reason})")
        scores = Scores(self.ids, {name: np.frombuffer(column) for name, column in self.columns.items()})
        timed = {"in all": scores.columns["seconds"], **{n: np.frombuffer(s) for n, s in self.stages.items()}}
        return Report(
            made=made,
            asked=len(self.ids),
            excluded=self.excluded,
            failures=self.failures,
            interrupted=self.interrupted,
            figures=figures(scores),
            groups={name: means(group) for name, group in self._groups(scores).items()},
            seconds={name: statistics.percentiles(seconds) for name, seconds in timed.items()},
            scores=scores,
            worst=[judged for _, _, judged in sorted(self.worst, key=lambda kept: kept[:2], reverse=True)],
        )

    def _keep_if_bad(self, judged: Judged) -> None:
        if judged.badness:
            kept = (judged.badness, -len(self.ids), judged)
            (heapq.heappush if len(self.worst) < WORST else heapq.heappushpop)(self.worst, kept)

    def _groups(self, scores: Scores) -> dict[str, Scores]:
        """Follow-ups apart from the rest, and each kind; none that holds all or nothing."""
        follow_up = scores.columns["follow_up"] == 1
        masks = {"first questions": ~follow_up, "follow-ups": follow_up}
        for kind, positions in sorted(self.kinds.items()):
            masks[kind] = np.isin(np.arange(len(self.ids)), np.frombuffer(positions, dtype=np.uint64))
        return {name: scores.where(mask) for name, mask in masks.items() if 0 < mask.sum() < len(mask)}


def figures(scores: Scores) -> dict[str, Interval]:
    """Every figure that these questions have gold for, with its interval, in the order of the table."""
    table = table_of(scores)
    found = {name: statistics.of_table(a.statistic, a.rows(table)) for name, a in AGGREGATES.items()}
    return means(scores) | {name: interval for name, interval in found.items() if interval}


def means(scores: Scores) -> dict[str, Interval]:
    """The figures that are means of questions' scores."""
    found = {metric.name: statistics.mean(scores.columns[metric.name]) for metric in METRICS}
    return {name: interval for name, interval in found.items() if interval}


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


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How a figure of all questions together is computed: the rows it rests on, and a statistic of those."""

    rows: Callable[[Floats], Floats]
    statistic: Statistic

    def of(self, table: Floats) -> float:
        """The figure; NaN where it is not defined."""
        return self.statistic(self.rows(table))


AGGREGATES: Mapping[str, Aggregate] = {
    "right_when_answered": Aggregate(answered, lambda rows: statistics.mean_of(rows[:, 1])),
    "abstain_precision": Aggregate(
        lambda table: _refusals(table)[_refusals(table)[:, 0] == 1], lambda rows: statistics.mean_of(rows[:, 1])
    ),
    "abstain_f1": Aggregate(_refusals, lambda rows: statistics.f1(*rows.T)),
    "auc_answerable": Aggregate(lambda table: table[:, [2, 0]], lambda rows: statistics.auc(*rows.T)),
    "auc_right": Aggregate(answered, lambda rows: statistics.auc(*rows.T)),
    "calibration_error": Aggregate(answered, lambda rows: statistics.calibration_error(*rows.T)),
}
"""How each of metrics.AGGREGATES is computed."""
