"""Ask a chain the questions of pairs and report its figures: `evaluate(chain, pairs)`."""

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

LIBRARIES = (
    "pullquote",
    "chromadb",
    "llama-index-core",
    "openvino",
    "sentence-transformers",
    "tantivy",
    "torch",
    "numpy",
    "scipy",
)
DIGEST_BITS = 48
"""A float holds that many exactly."""
MAX_WORST = 30
MAX_KINDS = 20
"""Only the largest kinds become groups, in case every question has a kind of its own."""
MAX_FAILURES = 50
INTERRUPTED = "stopped before the end"


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a run: `figures` over all questions, `groups` over those of each kind.

    `setup` is what is needed to repeat the run. `excluded` pairs were not asked; `failures` are the first of them.
    `stopped_by` is the reason for an early end. `seconds` are percentiles by stage. `worst` are the questions with a
    wrong outcome, the most confident first.
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
        """Whether the run ended before all pairs were asked."""
        return bool(self.stopped_by)


@dataclass(frozen=True, slots=True)
class Progress:
    """Pairs asked and excluded so far."""

    asked: int
    excluded: int


def evaluate(  # noqa: PLR0913 - all but the first two have a default
    chain: Chain,
    pairs: Iterable[QAPair | Failure],
    rows: Path | None = None,
    *,
    resume: bool = False,
    judge: Judge | None = None,
    today: date | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Ask every question and report; a line for each is written to `rows`, where `resume` continues an earlier run.

    Pairs that are invalid, repeat an id or name an article that is not indexed are excluded and counted. Ctrl-C, or an
    error of the judge, the index or the rows file, ends the run: the report covers the questions asked until then.
    Memory: about 400 bytes a question. A pair's history and date are passed with its question; `today` (default: the
    day of the run) replaces a missing date. A judge scores each answer as well.
    Raises ReadError if no pair can be asked, or if `rows` to be resumed were made with other settings or articles.
    """
    entries = list(chain.index.articles())
    options = ({"judge": judge.model.name} if judge else {}) | ({"today": today.isoformat()} if today else {})
    setup = run_setup(chain, entries) | options
    collected, run = _Collector(), _run_id(setup)
    file = RowsFile(rows, run, resume=resume) if rows else None
    with closing(file) if file else nullcontext():
        try:
            for pair in check_pairs(pairs, ArticleNames.of(entries)):
                if isinstance(pair, QAPair):
                    earlier = file.earlier(pair) if file else None
                    row = earlier or _ask(chain, run, judge, today, pair)
                    collected.add(pair, row)
                    if file and not earlier:
                        file.add(row)  # last: a stopped run's report has every row that is on disk
                else:
                    collected.exclude(pair)
                if progress:
                    progress(Progress(collected.asked, collected.excluded))
            if file:
                file.end()
        except (KeyboardInterrupt, PullquoteError) as error:
            collected.stopped_by = str(error) if isinstance(error, PullquoteError) else INTERRUPTED
            if not collected.asked:
                raise
    if judge:
        setup["judge_usage"] = asdict(judge.model.usage)
    return collected.report({**setup, "run": run, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"})


def _run_id(setup: Mapping[str, Any]) -> str:
    """A digest of what has to be equal for rows of two runs to share a file."""
    parts = {name: setup.get(name) for name in ("settings", "index", "judge")} | {
        "pullquote": setup["versions"]["pullquote"],
        **({"today": setup["today"]} if "today" in setup else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def run_setup(chain: Chain, entries: Iterable[ArticleEntry]) -> dict[str, Any]:
    """What answers depend on: versions, the chain's parts with their settings, and the index's content."""
    articles, passages = chain.index.counts()
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "settings": {"embedding_model": chain.index.embedding_model, **_settings(chain)},
        "index": {"articles": articles, "passages": passages, "content": content_digest(entries)},
    }


def content_digest(entries: Iterable[ArticleEntry]) -> str:
    """A digest of the articles, whatever their order: 16 hexadecimal digits."""
    content = "\n".join(sorted(f"{entry.digest} {entry.id}" for entry in entries))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _settings(part: Any) -> dict[str, Any]:
    """A dataclass's plain values by field, its dataclasses as nested settings, any other value as its class's name.

    Fields that are not in the dataclass's `repr`, such as keys, are left out.
    """
    settings: dict[str, Any] = {"name": type(part).__name__}
    for name, value in ((f.name, getattr(part, f.name)) for f in fields(part) if f.repr):
        if isinstance(value, (str, int, float)):
            settings[name] = value
        else:
            settings[name] = _settings(value) if is_dataclass(value) else type(value).__name__
    return settings


def _ask(chain: Chain, run: str, judge: Judge | None, today: date | None, pair: QAPair) -> Row:
    row = Row.of(pair, chain.ask(pair.question, pair.history, **asking_day(pair, today)), chain.index, run)
    return replace(row, judged=judge.scores(pair, row)) if judge else row


@dataclass(slots=True)
class ScoreColumns:
    """Growing columns of scores, about 400 bytes a question."""

    ids: list[str] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=lambda: {n: array("d") for n in COLUMNS})

    def add(self, pair: QAPair, row: Row) -> Mapping[str, float]:
        """Score a row; returns its scores."""
        scores = score(pair, row)
        of_row = (pair.answerable, row.abstained, row.confidence, row.seconds, bool(pair.history))
        facts = (*map(float, of_row), _gold_words(pair), *_digests(pair))
        values = {**scores, **dict(zip(FACTS, facts, strict=True))}
        for name, column in self.columns.items():
            column.append(values.get(name, float("nan")))
        self.ids.append(pair.id)
        return scores

    def scores(self) -> Scores:
        """A view of the columns; nothing can be added while it is in use."""
        asked = len(self.ids)  # an interrupt may have come between two columns
        return Scores(self.ids, {name: np.frombuffer(column)[:asked] for name, column in self.columns.items()})


def _gold_words(pair: QAPair) -> float:
    return float(min((len(answer.split()) for answer in pair.answers), default=float("nan")))


def _digests(pair: QAPair) -> tuple[float, float]:
    """Of the question as it is asked, and of the gold it is measured by."""
    asked = (pair.question, [(turn.question, turn.answer) for turn in pair.history], str(pair.asked_on))
    gold = (pair.answerable, *(sorted(texts) for texts in (pair.answers, pair.articles, pair.evidence)))
    return _digest(asked), _digest(gold)


def _digest(parts: Any) -> float:
    return float(int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[: DIGEST_BITS // 8]))


@dataclass(slots=True)
class _Collector:
    """Gathers the outcomes of a run into a report."""

    scored: ScoreColumns = field(default_factory=ScoreColumns)
    stages: dict[str, array[float]] = field(default_factory=dict)
    kinds: dict[str, array[int]] = field(default_factory=dict)
    excluded: int = 0
    failures: list[Failure] = field(default_factory=list)
    worst: list[tuple[float, int, ScoredQuestion]] = field(default_factory=list)
    stopped_by: str = ""

    @property
    def asked(self) -> int:
        """The number of questions with scores."""
        return len(self.scored.ids)

    def add(self, pair: QAPair, row: Row) -> None:
        scores = self.scored.add(pair, row)
        for stage, seconds in row.stages.items():
            self.stages.setdefault(stage, array("d")).append(seconds)
        if pair.kind:
            self.kinds.setdefault(pair.kind, array("L")).append(self.asked - 1)
        question = ScoredQuestion(pair, row, scores)
        if question.badness:
            entry = (question.badness, -self.asked, question)
            (heapq.heappush if len(self.worst) < MAX_WORST else heapq.heappushpop)(self.worst, entry)

    def exclude(self, failure: Failure) -> None:
        self.excluded += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(failure)

    def report(self, setup: Mapping[str, Any]) -> Report:
        if not self.asked:
            raise ReadError(f"no pair could be asked ({first_reason(self.failures)})")
        scores = self.scored.scores()
        timed = {"in all": scores.columns["seconds"], **{n: np.frombuffer(s) for n, s in self.stages.items()}}
        return Report(
            setup=setup,
            asked=self.asked,
            excluded=self.excluded,
            failures=self.failures,
            stopped_by=self.stopped_by,
            figures=figures(scores),
            groups={name: figures(scores.at(positions)) for name, positions in self._groups(scores).items()},
            seconds={name: statistics.percentiles(seconds) for name, seconds in timed.items()},
            scores=scores,
            worst=[question for _, _, question in sorted(self.worst, key=lambda entry: entry[:2], reverse=True)],
        )

    def _groups(self, scores: Scores) -> dict[str, Positions]:
        """Positions of first questions, of follow-ups and of the largest kinds; no group is empty or holds all."""
        follow_up = scores.columns["follow_up"] == 1
        groups = {"first questions": np.flatnonzero(~follow_up), "follow-ups": np.flatnonzero(follow_up)}
        largest = sorted(self.kinds, key=lambda kind: -len(self.kinds[kind]))[:MAX_KINDS]
        groups |= {kind: np.frombuffer(self.kinds[kind], dtype=np.uint64).astype(np.int64) for kind in sorted(largest)}
        return {name: positions for name, positions in groups.items() if 0 < len(positions) < self.asked}


def first_reason(failures: Sequence[Failure]) -> str:
    """Where and why the first pair failed."""
    return f"{failures[0].source}: {failures[0].reason}" if failures else "there is none"


def figures(scores: Scores) -> dict[str, Interval]:
    """Every figure that these questions have gold for, with its interval, in the order of the table."""
    table = table_of(scores)
    intervals = {metric.name: statistics.mean(scores.columns[metric.name]) for metric in METRICS}
    intervals |= {name: aggregate.interval(table) for name, aggregate in AGGREGATES.items()}
    return {name: interval for name, interval in intervals.items() if interval}
