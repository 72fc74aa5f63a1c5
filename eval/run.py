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
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from eval import statistics
from eval.aggregates import AGGREGATES, COLUMNS, FACTS, ScoredQuestion, Scores, table_of
from eval.judge import Judge
from eval.metrics import METRICS, score
from eval.pairs.reading import ArticleNames, asking_day, check_pairs
from eval.pairs.schema import QAPair
from eval.rows import Row, RowsFile
from eval.statistics import Interval, Positions
from rag.chain import Chain
from rag.errors import PullquoteError, ReadError
from rag.schema import ArticleEntry, Failure

LIBRARIES = ("pullquote", "chromadb", "llama-index-core", "sentence-transformers", "tantivy", "torch", "numpy", "scipy")
DIGEST_BITS = 48
"""So many a float holds exactly."""
WORST = 30
KINDS = 20
"""Groups by kind at the most: the largest ones, should each question have a kind of its own."""
FAILURES_KEPT = 50
INTERRUPTED = "stopped before the end"


@dataclass(frozen=True, slots=True)
class Report:
    """How a chain did. `figures` are over all questions, `groups` over those of a kind.

    `excluded` pairs were not asked; `failures` tells of the first of them. `seconds` are percentiles by stage.
    `stopped_by` says what ended the asking too early. `worst` are the questions that went wrong, the surest first.
    `made` is what a run can be repeated with.
    """

    setup: Mapping[str, Any]
    asked: int
    excluded: int
    failures: Sequence[Failure]
    stopped_by: str
    figures: Mapping[str, Interval]
    groups: Mapping[str, Mapping[str, Interval]]
    seconds: Mapping[str, Mapping[str, float]]
    scores: Scores
    worst: Sequence[ScoredQuestion]

    @property
    def interrupted(self) -> bool:
        """Were some pairs left that could have been asked?"""
        return bool(self.stopped_by)


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
    today: date | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Ask every question and report; `rows` gets a line for each, from which `resume` goes on.

    Pairs that are broken, repeat an id or name an article that is not indexed are excluded and counted. Ctrl-C, or an
    error of the judge, the index or the rows file, ends the run: the report covers what was asked until then. Memory:
    some 400 bytes a question. A pair's history and date are passed with its question; `today` (default: the day of
    the run) stands in for a missing date. A judge adds its opinion of each answer.
    Raises ReadError if no pair can be asked, or if `rows` to be resumed were made with other settings or articles.
    """
    entries = list(chain.index.articles())
    made = run_setup(chain, entries) | ({"judge": judge.model.name} if judge else {})
    made |= {"today": today.isoformat()} if today else {}
    collected = _Collected()
    run = _identity(made)
    file = RowsFile(rows, run, resume=resume) if rows else None
    with closing(file) if file else nullcontext():
        try:
            for pair in check_pairs(pairs, ArticleNames.of(entries)):
                if isinstance(pair, QAPair):
                    _take(pair, file, partial(_asked, chain, run, judge, today), collected)
                else:
                    collected.fail(pair)
                if progress:
                    progress(Progress(collected.asked, collected.excluded))
            if file:
                file.end()
        except (KeyboardInterrupt, PullquoteError) as error:
            collected.stopped_by = str(error) if isinstance(error, PullquoteError) else INTERRUPTED
            if not collected.asked:
                raise
    if judge:
        made["judge_usage"] = asdict(judge.model.usage)
    return collected.report({**made, "run": run, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"})


def _identity(made: Mapping[str, Any]) -> str:
    """What has to be the same for rows of two runs to stand in one file."""
    parts = {name: made.get(name) for name in ("settings", "index", "judge")} | {
        "pullquote": made["versions"]["pullquote"],
        **({"today": made["today"]} if "today" in made else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def run_setup(chain: Chain, entries: Iterable[ArticleEntry]) -> dict[str, Any]:
    """What answers depend on: versions, the chain's parts with their settings, and what is in the index."""
    articles, passages = chain.index.counts()
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "settings": {"embedding_model": chain.index.embedding_model, **_settings(chain)},
        "index": {
            "articles": articles,
            "passages": passages,
            "content": content_digest(entries),
        },
    }


def content_digest(entries: Iterable[ArticleEntry]) -> str:
    """The same for the same articles, whatever their order: 16 hexadecimal digits."""
    content = "\n".join(sorted(f"{entry.digest} {entry.id}" for entry in entries))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _settings(part: Any) -> dict[str, Any]:
    """A dataclass's plain values by field, those of its parts below them; of anything else, its class.

    What a dataclass keeps out of its own `repr`, it keeps out of reports.
    """
    found: dict[str, Any] = {"name": type(part).__name__}
    for name, value in ((f.name, getattr(part, f.name)) for f in fields(part) if f.repr):
        if isinstance(value, (str, int, float)):
            found[name] = value
        else:
            found[name] = _settings(value) if is_dataclass(value) else type(value).__name__
    return found


def _asked(chain: Chain, run: str, judge: Judge | None, today: date | None, pair: QAPair) -> Row:
    row = Row.of(pair, chain.ask(pair.question, pair.history, **asking_day(pair, today)), chain.index, run)
    return replace(row, judged=judge.scores(pair, row)) if judge else row


def _take(pair: QAPair, file: RowsFile | None, asked: Callable[[QAPair], Row], collected: _Collected) -> None:
    """Count a pair's row, which an earlier run may have made, and write it if it is new."""
    earlier = file.earlier(pair) if file else None
    row = earlier or asked(pair)
    collected.add(pair, row)
    if file and not earlier:
        file.add(row)  # last: whenever a run is stopped, its report has all that is on disk


@dataclass(slots=True)
class ScoreColumns:
    """Scores as questions come in, some 400 bytes each."""

    ids: list[str] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=lambda: {n: array("d") for n in COLUMNS})

    def add(self, pair: QAPair, row: Row) -> Mapping[str, float]:
        """Score a row; returns its scores."""
        scores = score(pair, row)
        told = (pair.answerable, row.abstained, row.confidence, row.seconds, bool(pair.history))
        facts = (*map(float, told), _gold_words(pair), *_digests(pair))
        known = {**scores, **dict(zip(FACTS, facts, strict=True))}
        for name, column in self.columns.items():
            column.append(known.get(name, float("nan")))
        self.ids.append(pair.id)
        return scores

    def scores(self) -> Scores:
        """Those so far; nothing can be added as long as they are in use."""
        asked = len(self.ids)  # an interrupt may have come between two columns
        return Scores(self.ids, {name: np.frombuffer(column)[:asked] for name, column in self.columns.items()})


def _gold_words(pair: QAPair) -> float:
    return float(min((len(answer.split()) for answer in pair.answers), default=float("nan")))


def _digests(pair: QAPair) -> tuple[float, float]:
    """Of what is asked, and of what the answer is measured by."""
    asked = (pair.question, [(turn.question, turn.answer) for turn in pair.history], str(pair.asked_on))
    gold = (pair.answerable, *(sorted(texts) for texts in (pair.answers, pair.articles, pair.evidence)))
    return _digest(asked), _digest(gold)


def _digest(parts: Any) -> float:
    return float(int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[: DIGEST_BITS // 8]))


@dataclass(slots=True)
class _Collected:
    """What a run has gathered so far."""

    tally: ScoreColumns = field(default_factory=ScoreColumns)
    stages: dict[str, array[float]] = field(default_factory=dict)
    kinds: dict[str, array[int]] = field(default_factory=dict)
    excluded: int = 0
    failures: list[Failure] = field(default_factory=list)
    worst: list[tuple[float, int, ScoredQuestion]] = field(default_factory=list)
    stopped_by: str = ""

    @property
    def asked(self) -> int:
        """How many questions there are scores of."""
        return len(self.tally.ids)

    def add(self, pair: QAPair, row: Row) -> None:
        scores = self.tally.add(pair, row)
        for stage, seconds in row.stages.items():
            self.stages.setdefault(stage, array("d")).append(seconds)
        if pair.kind:
            self.kinds.setdefault(pair.kind, array("L")).append(self.asked - 1)
        self._keep_if_bad(ScoredQuestion(pair, row, scores))

    def fail(self, failure: Failure) -> None:
        self.excluded += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def report(self, made: Mapping[str, Any]) -> Report:
        if not self.asked:
            reason = f"{self.failures[0].source}: {self.failures[0].reason}" if self.failures else "there is none"
            raise ReadError(f"no pair could be asked ({reason})")
        scores = self.tally.scores()
        timed = {"in all": scores.columns["seconds"], **{n: np.frombuffer(s) for n, s in self.stages.items()}}
        return Report(
            setup=made,
            asked=self.asked,
            excluded=self.excluded,
            failures=self.failures,
            stopped_by=self.stopped_by,
            figures=figures(scores),
            groups={name: figures(scores.at(positions)) for name, positions in self._groups(scores).items()},
            seconds={name: statistics.percentiles(seconds) for name, seconds in timed.items()},
            scores=scores,
            worst=[judged for _, _, judged in sorted(self.worst, key=lambda kept: kept[:2], reverse=True)],
        )

    def _keep_if_bad(self, judged: ScoredQuestion) -> None:
        if judged.badness:
            kept = (judged.badness, -self.asked, judged)
            (heapq.heappush if len(self.worst) < WORST else heapq.heappushpop)(self.worst, kept)

    def _groups(self, scores: Scores) -> dict[str, Positions]:
        """Follow-ups apart from the rest, and the largest kinds; none that holds all or nothing."""
        follow_up = scores.columns["follow_up"] == 1
        groups = {"first questions": np.flatnonzero(~follow_up), "follow-ups": np.flatnonzero(follow_up)}
        largest = sorted(self.kinds, key=lambda kind: -len(self.kinds[kind]))[:KINDS]
        for kind in sorted(largest):
            positions = np.frombuffer(self.kinds[kind], dtype=np.uint64).astype(np.int64)
            groups[kind] = positions
        return {name: positions for name, positions in groups.items() if 0 < len(positions) < self.asked}


def figures(scores: Scores) -> dict[str, Interval]:
    """Every figure that these questions have gold for, with its interval, in the order of the table."""
    table = table_of(scores)
    found = {metric.name: statistics.mean(scores.columns[metric.name]) for metric in METRICS}
    found |= {name: aggregate.interval(table) for name, aggregate in AGGREGATES.items()}
    return {name: interval for name, interval in found.items() if interval}
