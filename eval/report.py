"""A report as text and as JSON, what it fails, and what it says beside another one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from eval import statistics
from eval.aggregates import AGGREGATES, Aggregate, Scores, answered, judgeable, table_of
from eval.metrics import BY_NAME, METRICS
from eval.pairs.datasets import display_name
from eval.run import Report
from eval.statistics import Difference, Floats, Interval
from ingest.content.values import one_line
from rag.errors import ConfigError, ReadError, cut

FORMAT = 1
LEVEL = 0.05
"""A difference is shown if its p-value, adjusted for looking at many metrics, is below this."""
SECTIONS = {
    "retrieval": "Retrieval",
    "answer": "Answers",
    "citation": "Citations",
    "abstention": "Knowing when not to",
    "judged": "Judged by a language model",
}
MOST_NAMED = 5
"""Examples that are named of what differs between two runs."""
COMPARED_PARTS = {
    "pairs": "pairs",
    "settings": "settings",
    "judge": "judges",
    "today": "days of asking",
    "index": "indexes",
    "versions": "versions",
    "machine": "machines",
}
"""What a report was made with that is compared, by what it is called."""
LONG_GOLD = 20
"""Words of a gold answer from which on hardly any answer contains it word for word."""
HEADLINES = ("hit@1", "recall@10", "right", "citation_support", "answered", "abstain_recall")


def warnings(report: Report) -> list[str]:
    """What a reader of the figures has to know before trusting them."""
    words = report.scores.columns["gold_words"]
    words = words[~np.isnan(words)]
    if not len(words) or np.median(words) <= LONG_GOLD:
        return []
    return [
        f"The gold answers are long (half of them have {np.median(words):.0f} words or more): right, contains and "
        "answer_in_…_words ask for them word for word, and say little here. Look at f1, rouge_l and the evidence "
        "figures, give short answers, or add --judge."
    ]


def text_table(report: Report) -> str:
    """Warnings; every figure with its interval and the number of questions, by section; then groups and time."""
    lines = [line for warning in warnings(report) for line in ("", f"Warning: {warning}")]
    for kind, heading in SECTIONS.items():
        names = [name for name in report.figures if BY_NAME[name].kind == kind]
        if names:
            lines += ["", f"{heading:<28}{'':>3}  {'95 % interval':<13}  {'n':>6}"]
            lines += [f"  {name:<22}{_row(report.figures[name])}  {BY_NAME[name].what}" for name in names]
    if report.groups:
        lines += ["", f"{'By kind':<24}{''.join(f'{name:>18}' for name in HEADLINES)}"]
        lines += [
            f"  {name:<22}{''.join(_short(group, h) for h in HEADLINES)}" for name, group in report.groups.items()
        ]
    lines += ["", f"{'Seconds':<24}{'p50':>7}{'p95':>8}{'p99':>8}"]
    for stage, seconds in report.seconds.items():
        lines.append(f"  {stage:<22}{seconds['p50']:>7.3f}{seconds['p95']:>8.3f}{seconds['p99']:>8.3f}")
    if "judge" in report.setup:
        usage = report.setup["judge_usage"]
        told = (
            f"{usage['calls']:,} calls, {usage['prompt_tokens']:,} tokens read, {usage['completion_tokens']:,} written"
        )
        lines += ["", f"Judged by {report.setup['judge']}: {told}"]
    return "\n".join(lines[1:])


def _row(found: Interval) -> str:
    return f"{number(found.value):>7}  {interval(found):<13}  {found.n:>6}"


def _short(group: Mapping[str, Interval], name: str) -> str:
    found = group.get(name)
    return f"{f'{number(found.value)} (n={found.n})' if found else '–':>18}"


def number(value: float) -> str:
    """A figure in the table: three decimals below 10, one above."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(found: Interval) -> str:
    """Its ends, as in the table."""
    return f"{number(found.low)}–{number(found.high)}"


def counted(report: Report) -> str:
    """How many questions were asked and left out, in one line."""
    told = [f"{report.asked:,} asked"] + ([f"{report.excluded:,} left out"] if report.excluded else [])
    return ", ".join(told) + (f" ({report.stopped_by})" if report.interrupted else "")


def write_json(report: Report, file: TextIO) -> None:
    """Everything: what made it, figures, curves, and each question's scores; a missing score is null."""
    table = table_of(report.scores)
    confidence, right = answered(table).T
    head = {
        "format": FORMAT,
        "made": report.setup,
        "asked": report.asked,
        "excluded": report.excluded,
        "failures": [{"where": f.source, "reason": f.reason} for f in report.failures],
        "interrupted": report.interrupted,
        "stopped_by": report.stopped_by,
        "warnings": warnings(report),
        "figures": _figures_json(report.figures),
        "groups": {name: _figures_json(group) for name, group in report.groups.items()},
        "seconds": report.seconds,
        "calibration": statistics.calibration_curve(confidence, right),
        "risk_coverage": statistics.risk_coverage(confidence, right, judgeable(table)),
    }
    file.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2])
    # Column by column, so that 100,000 questions need no copy of all their scores.
    file.write(f',\n "questions": {{\n  "id": {json.dumps(report.scores.ids, ensure_ascii=False)}')
    for name, column in report.scores.columns.items():
        values = [None if math.isnan(value) else round(value, 4) for value in column.tolist()]
        file.write(f",\n  {json.dumps(name)}: {json.dumps(values)}")
    file.write("\n }\n}\n")


def _figures_json(figures: Mapping[str, Interval]) -> dict[str, Any]:
    return {
        name: {"value": round(f.value, 4), "low": round(f.low, 4), "high": round(f.high, 4), "n": f.n}
        for name, f in figures.items()
    }


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A report as its JSON file has it."""

    name: str
    setup: Mapping[str, Any]
    figures: Mapping[str, Interval]
    scores: Scores

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ReadError for a file that is no report of this version."""
        try:
            found = json.loads(path.read_text("utf-8"))
            if found["format"] != FORMAT:
                raise ReadError(f"{path} has format {found['format']}, this version reads {FORMAT}; run it again")
            columns = dict(found["questions"])
            ids = columns.pop("id")
            scores = Scores(ids, {name: np.array(values, dtype=np.float64) for name, values in columns.items()})
            if not all(isinstance(i, str) for i in ids) or {len(c) for c in scores.columns.values()} != {len(ids)}:
                raise ReadError(f"{path} is no report (its questions do not fit together); make it anew")
            table_of(scores)
            figures = {name: Interval(**figure) for name, figure in found["figures"].items()}
            return cls(one_line(display_name(path)).removesuffix(".json"), dict(found["made"]), figures, scores)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(f"{path} is no report ({error}); make one: pullquote eval PAIRS --json > FILE") from error


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric in two reports. `p` is adjusted for the number of metrics; None where nothing could be shown."""

    name: str
    found: Difference
    p: float | None

    @property
    def shown(self) -> bool:
        """Is the difference more than chance would make of the same two systems, on questions that can be named?"""
        differs = self.found.difference != 0 and self.found.more + self.found.less > 0
        return differs and self.p is not None and self.p < LEVEL

    @property
    def verdict(self) -> str:
        """What to make of it, in words."""
        if not self.shown:
            return "no difference shown"
        more, better = self.found.difference > 0, BY_NAME[self.name].higher
        if better is None:
            return "higher" if more else "lower"
        return "better" if more == better else "worse"


def compare(a: SavedReport, b: SavedReport) -> list[ComparedMetric]:
    """Each metric over the questions that both reports have a score for. Raises ReadError if they share none."""
    where = {question: position for position, question in enumerate(b.scores.ids)}
    shared = [(i, where[question]) for i, question in enumerate(a.scores.ids) if question in where]
    if not shared:
        raise ReadError(f"{a.name} and {b.name} have no question in common; compare runs over the same pairs")
    rows = np.array(shared)
    names = [m.name for m in METRICS if m.name in a.scores.columns and m.name in b.scores.columns]
    columns = {n: (a.scores.columns[n][rows[:, 0]], b.scores.columns[n][rows[:, 1]]) for n in names}
    tables = table_of(a.scores)[rows[:, 0]], table_of(b.scores)[rows[:, 1]]
    compared = {name: statistics.paired(*columns[name]) for name in names}
    compared |= {name: _compared_aggregate(each, *tables) for name, each in AGGREGATES.items()}
    found = {name: difference for name, difference in compared.items() if difference}
    p_values = statistics.tested(found, LEVEL)
    return [ComparedMetric(name, difference, p_values.get(name)) for name, difference in found.items()]


def _compared_aggregate(aggregate: Aggregate, a: Floats, b: Floats) -> Difference | None:
    """With the number of questions that the figure rests on in the run that has more of them."""
    found = statistics.paired_tables(aggregate.of, a, b)
    if not found:
        return None
    change = aggregate.each(b) - aggregate.each(a)
    n = max(len(aggregate.rows(a)), len(aggregate.rows(b)))
    return replace(found, n=n, more=int((change > 0).sum()), less=int((change < 0).sum()))


def compared_table(a: SavedReport, b: SavedReport, compared: Sequence[ComparedMetric]) -> str:
    """Every metric in both, the difference, and what to make of it; then the verdict, and what else differs."""
    heads = f"{'':<24}{'A':>8}{'B':>8}{'B − A':>9}  {'95 % interval':<17}{'n':>7}{'wins':>6}{'losses':>8}{'p':>8}  "
    lines = [f"A: {a.name}", f"B: {b.name}", "", heads.rstrip()]
    lines += [_compared_row(row) for row in compared]
    shared = _shared(a, b)
    tested = sum(row.p is not None for row in compared)
    lines += ["", f"{_verdict(compared)} ({shared:,} questions in both; p adjusted for {tested} figures)"]
    only = len(a.scores.ids) + len(b.scores.ids) - 2 * shared
    lines += [f"{only:,} questions are in one of the two only, and were left out"] if only else []
    return "\n".join([*lines, *_pairs_told(_pairs_differing(a, b)), *_differing(a.setup, b.setup)])


def compared_json(a: SavedReport, b: SavedReport, compared: Sequence[ComparedMetric]) -> dict[str, Any]:
    """The comparison for other programs; the differences are B minus A."""
    metrics = [{"name": row.name, **asdict(row.found), "p_adjusted": row.p, "verdict": row.verdict} for row in compared]
    return {
        "a": {"name": a.name, "made": a.setup},
        "b": {"name": b.name, "made": b.setup},
        "shared": _shared(a, b),
        "pairs": {what: {"count": len(ids), "ids": ids[:MOST_NAMED]} for what, ids in _pairs_differing(a, b).items()},
        "differing": list(_differing(a.setup, b.setup)),
        "verdict": _verdict(compared),
        "metrics": metrics,
    }


def _compared_row(row: ComparedMetric) -> str:
    f = row.found
    wins, losses = (f.less, f.more) if BY_NAME[row.name].higher is False else (f.more, f.less)
    ends, p = f"{f.low:+.3f} to {f.high:+.3f}", "–" if row.p is None else f"{row.p:.3f}"
    figures = f"{number(f.a):>8}{number(f.b):>8}{f.difference:>+9.3f}  {ends:<17}{f.n:>7}{wins:>6}{losses:>8}{p:>8}"
    return f"  {row.name:<22}{figures}  {row.verdict}"


def _verdict(compared: Sequence[ComparedMetric]) -> str:
    parts = []
    for verdict in ("better", "worse", "higher", "lower"):
        names = [row.name for row in compared if row.verdict == verdict]
        parts += [f"B is {verdict} in {', '.join(names)}"] if names else []
    return "; ".join(parts) or "No difference shown"


def _shared(a: SavedReport, b: SavedReport) -> int:
    return len(set(a.scores.ids) & set(b.scores.ids))


def _pairs_differing(a: SavedReport, b: SavedReport) -> dict[str, list[str]]:
    """The ids of the questions that only one has, and of those that both have but ask or measure in another way."""
    in_a, in_b = set(a.scores.ids), set(b.scores.ids)
    return {
        "only in A": [question for question in a.scores.ids if question not in in_b],
        "only in B": [question for question in b.scores.ids if question not in in_a],
        "asked otherwise": _changed(a.scores, b.scores, "asked_digest"),
        "with other gold": _changed(a.scores, b.scores, "gold_digest"),
    }


def _changed(a: Scores, b: Scores, digest: str) -> list[str]:
    """The ids of shared questions of another digest; none where a report is older than digests."""
    if digest not in a.columns or digest not in b.columns:
        return []
    of_b = dict(zip(b.ids, b.columns[digest].tolist(), strict=True))
    return [q for q, own in zip(a.ids, a.columns[digest].tolist(), strict=True) if q in of_b and of_b[q] != own]


def _pairs_told(differing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for what, ids in differing.items():
        if ids:
            named = ", ".join(map(one_line, ids[:MOST_NAMED]))
            yield f"Pairs {what}: {len(ids):,} ({named}{', …' if len(ids) > MOST_NAMED else ''})"


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """What the two runs were made with, where it is not the same, a line each."""
    for part, named in COMPARED_PARTS.items():
        of_a, of_b = _flat(a.get(part)), _flat(b.get(part))
        changed = [name for name in dict.fromkeys((*of_a, *of_b)) if of_a.get(name) != of_b.get(name)]
        if changed:
            told = [f"{name} {_told(of_a.get(name))} → {_told(of_b.get(name))}".strip() for name in changed]
            yield f"The {named} differ: {', '.join(told[:MOST_NAMED])}{', …' if len(told) > MOST_NAMED else ''}"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """What is inside by its path, such as "retriever.hits"."""
    if not isinstance(value, Mapping):
        return {} if value is None else {name: value}
    inside = (_flat(found, f"{name}.{key}" if name else str(key)) for key, found in value.items())
    return {path: found for part in inside for path, found in part.items()}


def _told(value: Any) -> str:
    return one_line(str(value)) if value is not None else "none"


def side_by_side(reports: Sequence[SavedReport], names: Sequence[str]) -> str:
    """A Markdown table: a line for each metric, a column for each report; value, interval and number of questions."""
    lines = [
        f"| | {' | '.join(report.name.replace('|', '/') for report in reports)} |",
        f"|---|{'---|' * len(reports)}",
    ]
    for name in names:
        cells = [cell(report.figures.get(name)) for report in reports]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(found: Interval | None) -> str:
    """A figure in a Markdown table, with all that it is to be read with."""
    return f"{number(found.value)} ({interval(found)}, n = {found.n:,})" if found else "–"


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure a report must reach; for those of which less is better, must not exceed."""

    name: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "recall@10=0.9". Raises ConfigError for an unknown name or what is no number."""
        name, _, value = text.partition("=")
        if name not in BY_NAME:
            raise ConfigError(
                f"--fail-under {cut(text)}: no figure is called {cut(name)!r}; there are: {', '.join(BY_NAME)}"
            )
        try:
            if not math.isfinite(float(value)):
                raise ValueError(value)
            return cls(name, float(value))
        except ValueError as error:
            raise ConfigError(f"--fail-under {cut(text)}: write it as {cut(name)}=0.9") from error

    def failure(self, report: Report) -> str:
        """Why the report fails it, or an empty string. What was not measured fails."""
        found = report.figures.get(self.name)
        if found is None:
            return f"{self.name} was not measured: no question has the gold for it"
        if BY_NAME[self.name].higher is False:
            return f"{self.name} is {found.value:.4f}, over {self.value}" if found.value > self.value else ""
        return f"{self.name} is {found.value:.4f}, under {self.value}" if found.value < self.value else ""
