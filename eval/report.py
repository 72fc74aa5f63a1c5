"""Reports as text and JSON, checked against bounds, compared with each other."""

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
"""Level of significance, for p-values adjusted for the number of metrics."""
SECTIONS = {
    "retrieval": "Retrieval",
    "answer": "Answers",
    "citation": "Citations",
    "abstention": "Knowing when not to",
    "judged": "Judged by a language model",
}
MAX_LISTED = 5
"""Examples listed of the differences between two runs."""
COMPARED_PARTS = {
    "pairs": "pairs",
    "settings": "settings",
    "judge": "judges",
    "today": "days of asking",
    "index": "indexes",
    "versions": "versions",
    "machine": "machines",
}
"""Parts of a report's setup that are compared → their names in messages."""
LONG_GOLD = 20
"""Words; hardly any answer contains a longer gold answer word for word."""
HEADLINES = ("hit@1", "recall@10", "right", "citation_support", "answered", "abstain_recall")


def warnings(report: Report) -> list[str]:
    """Reasons to distrust some figures of the report."""
    words = report.scores.columns["gold_words"]
    words = words[~np.isnan(words)]
    if not len(words) or np.median(words) <= LONG_GOLD:
        return []
    return [
        f"The gold answers are long (half of them have {np.median(words):.0f} words or more): right, contains and "
        "answer_in_…_words require them word for word, and say little here. Use f1, rouge_l and the evidence "
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
        tokens = f"{usage['prompt_tokens']:,} tokens read, {usage['completion_tokens']:,} written"
        lines += ["", f"Judged by {report.setup['judge']}: {usage['calls']:,} calls, {tokens}"]
    return "\n".join(lines[1:])


def _row(figure: Interval) -> str:
    return f"{number(figure.value):>7}  {interval(figure):<13}  {figure.n:>6}"


def _short(group: Mapping[str, Interval], name: str) -> str:
    figure = group.get(name)
    return f"{f'{number(figure.value)} (n={figure.n})' if figure else '–':>18}"


def number(value: float) -> str:
    """A figure as text: three decimals below 10, one above."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(figure: Interval) -> str:
    """The ends of a figure's interval as text."""
    return f"{number(figure.low)}–{number(figure.high)}"


def counted(report: Report) -> str:
    """The numbers of questions asked and excluded, in one line."""
    excluded = f", {report.excluded:,} excluded" if report.excluded else ""
    return f"{report.asked:,} asked{excluded}" + (f" ({report.stopped_by})" if report.interrupted else "")


def write_json(report: Report, file: TextIO) -> None:
    """Write the whole report: setup, figures, curves, and each question's scores; a missing score is null."""
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
    return {name: {key: round(part, 4) for key, part in asdict(f).items()} for name, f in figures.items()}


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A report read back from its JSON file."""

    name: str
    setup: Mapping[str, Any]
    figures: Mapping[str, Interval]
    scores: Scores

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ReadError for a file that is not a report of this format."""
        try:
            saved = json.loads(path.read_text("utf-8"))
            if saved["format"] != FORMAT:
                raise ReadError(f"{path} has format {saved['format']}, this version reads {FORMAT}; run it again")
            columns = dict(saved["questions"])
            ids = columns.pop("id")
            scores = Scores(ids, {name: np.array(values, dtype=np.float64) for name, values in columns.items()})
            if not all(isinstance(i, str) for i in ids) or {len(c) for c in scores.columns.values()} != {len(ids)}:
                raise ReadError(f"{path} is not a report (its columns differ in length); run it again")
            table_of(scores)
            figures = {name: Interval(**figure) for name, figure in saved["figures"].items()}
            return cls(one_line(display_name(path)).removesuffix(".json"), dict(saved["made"]), figures, scores)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(
                f"{path} is not a report ({error}); make one: pullquote eval PAIRS --json > FILE"
            ) from error


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric in two reports. `p` is adjusted for the number of metrics; None if there are too few questions."""

    name: str
    change: Difference
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether chance hardly makes such a difference, and some questions raise or lower the figure."""
        differs = self.change.difference != 0 and self.change.more + self.change.less > 0
        return differs and self.p is not None and self.p < LEVEL

    @property
    def verdict(self) -> str:
        """One of: better, worse, higher, lower, no difference shown."""
        if not self.significant:
            return "no difference shown"
        more, better = self.change.difference > 0, BY_NAME[self.name].higher
        if better is None:
            return "higher" if more else "lower"
        return "better" if more == better else "worse"


def compare(a: SavedReport, b: SavedReport) -> list[ComparedMetric]:
    """Each metric over the questions that both reports have a score for. Raises ReadError if they share none."""
    in_b = {question: position for position, question in enumerate(b.scores.ids)}
    shared = [(position, in_b[question]) for position, question in enumerate(a.scores.ids) if question in in_b]
    if not shared:
        raise ReadError(f"{a.name} and {b.name} have no question in common; compare runs over the same pairs")
    rows_a, rows_b = np.array(shared).T
    names = [m.name for m in METRICS if m.name in a.scores.columns and m.name in b.scores.columns]
    tables = table_of(a.scores)[rows_a], table_of(b.scores)[rows_b]
    compared = {n: statistics.paired(a.scores.columns[n][rows_a], b.scores.columns[n][rows_b]) for n in names}
    compared |= {name: _compared_aggregate(each, *tables) for name, each in AGGREGATES.items()}
    changes = {name: change for name, change in compared.items() if change}
    p_values = statistics.tested(changes, LEVEL)
    return [ComparedMetric(name, change, p_values.get(name)) for name, change in changes.items()]


def _compared_aggregate(aggregate: Aggregate, a: Floats, b: Floats) -> Difference | None:
    """The difference; n is the number of questions that the figure rests on in the run that has more of them."""
    difference = statistics.paired_tables(aggregate.of, a, b)
    if not difference:
        return None
    change = aggregate.each(b) - aggregate.each(a)
    n = max(len(aggregate.rows(a)), len(aggregate.rows(b)))
    return replace(difference, n=n, more=int((change > 0).sum()), less=int((change < 0).sum()))


def compared_table(a: SavedReport, b: SavedReport, compared: Sequence[ComparedMetric]) -> str:
    """Every metric in both reports with its difference and verdict; then a summary, and what else differs."""
    heads = f"{'':<24}{'A':>8}{'B':>8}{'B − A':>9}  {'95 % interval':<17}{'n':>7}{'wins':>6}{'losses':>8}{'p':>8}  "
    lines = [f"A: {a.name}", f"B: {b.name}", "", heads.rstrip()]
    lines += [_compared_row(row) for row in compared]
    shared = _shared(a, b)
    tested = sum(row.p is not None for row in compared)
    lines += ["", f"{_verdict(compared)} ({shared:,} questions in both; p adjusted for {tested} figures)"]
    only = len(a.scores.ids) + len(b.scores.ids) - 2 * shared
    lines += [f"{only:,} questions are in one report only, and were left out"] if only else []
    return "\n".join([*lines, *_pair_lines(_pairs_differing(a, b)), *_setup_lines(a.setup, b.setup)])


def compared_json(a: SavedReport, b: SavedReport, compared: Sequence[ComparedMetric]) -> dict[str, Any]:
    """The comparison for other programs; the differences are B minus A."""
    metrics = [
        {"name": row.name, **asdict(row.change), "p_adjusted": row.p, "verdict": row.verdict} for row in compared
    ]
    return {
        "a": {"name": a.name, "made": a.setup},
        "b": {"name": b.name, "made": b.setup},
        "shared": _shared(a, b),
        "pairs": {what: {"count": len(ids), "ids": ids[:MAX_LISTED]} for what, ids in _pairs_differing(a, b).items()},
        "differing": list(_setup_lines(a.setup, b.setup)),
        "verdict": _verdict(compared),
        "metrics": metrics,
    }


def _compared_row(row: ComparedMetric) -> str:
    f = row.change
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
    """Ids of the questions that only one report has, or that the two ask or measure differently."""
    in_a, in_b = set(a.scores.ids), set(b.scores.ids)
    return {
        "only in A": [question for question in a.scores.ids if question not in in_b],
        "only in B": [question for question in b.scores.ids if question not in in_a],
        "asked otherwise": _changed(a.scores, b.scores, "asked_digest"),
        "with other gold": _changed(a.scores, b.scores, "gold_digest"),
    }


def _changed(a: Scores, b: Scores, digest: str) -> list[str]:
    """Ids of shared questions whose digests differ; none if a report was made before there were digests."""
    if digest not in a.columns or digest not in b.columns:
        return []
    of_b = dict(zip(b.ids, b.columns[digest].tolist(), strict=True))
    return [q for q, own in zip(a.ids, a.columns[digest].tolist(), strict=True) if q in of_b and of_b[q] != own]


def _pair_lines(differing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for what, ids in differing.items():
        if ids:
            yield f"Pairs {what}: {len(ids):,} ({_listed([one_line(question) for question in ids])})"


def _setup_lines(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """The differences between two setups, a line for each part."""
    for part, name in COMPARED_PARTS.items():
        of_a, of_b = _flat(a.get(part)), _flat(b.get(part))
        changed = [path for path in dict.fromkeys((*of_a, *of_b)) if of_a.get(path) != of_b.get(path)]
        if changed:
            changes = [one_line(f"{path} {of_a.get(path, 'none')} → {of_b.get(path, 'none')}") for path in changed]
            yield f"The {name} differ: {_listed(changes)}"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:MAX_LISTED]) + (", …" if len(texts) > MAX_LISTED else "")


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested values by path, such as "retriever.hits"."""
    if not isinstance(value, Mapping):
        return {} if value is None else {name: value}
    parts = (_flat(nested, f"{name}.{key}" if name else str(key)) for key, nested in value.items())
    return {path: nested for part in parts for path, nested in part.items()}


def side_by_side(reports: Sequence[SavedReport], names: Sequence[str]) -> str:
    """A Markdown table with a line for each metric and a column for each report."""
    lines = [
        f"| | {' | '.join(report.name.replace('|', '/') for report in reports)} |",
        f"|---|{'---|' * len(reports)}",
    ]
    for name in names:
        cells = [cell(report.figures.get(name)) for report in reports]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(figure: Interval | None) -> str:
    """A figure in a Markdown table, with its interval and number of questions."""
    return f"{number(figure.value)} ({interval(figure)}, n = {figure.n:,})" if figure else "–"


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound on a figure: a minimum, or a maximum where lower is better."""

    name: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "recall@10=0.9". Raises ConfigError for an unknown name or a value that is not a number."""
        name, _, value = text.partition("=")
        if name not in BY_NAME:
            raise ConfigError(f"--fail-under {cut(text)}: no figure is called {cut(name)!r}; use {', '.join(BY_NAME)}")
        try:
            if not math.isfinite(float(value)):
                raise ValueError(value)
            return cls(name, float(value))
        except ValueError as error:
            raise ConfigError(f"--fail-under {cut(text)}: write it as {cut(name)}=0.9") from error

    def failure(self, report: Report) -> str:
        """Why the report fails the bound, or an empty string. A figure that was not measured fails."""
        figure = report.figures.get(self.name)
        if figure is None:
            return f"{self.name} was not measured: no question has the gold for it"
        lower_is_better = BY_NAME[self.name].higher is False
        if figure.value <= self.value if lower_is_better else figure.value >= self.value:
            return ""
        return f"{self.name} is {figure.value:.4f}, {'over' if lower_is_better else 'under'} {self.value}"
