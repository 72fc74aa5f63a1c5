"""A report → one page of HTML that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import numpy as np

from eval import statistics
from eval.aggregates import ScoredQuestion, answered, judgeable, table_of
from eval.metrics import BY_NAME
from eval.pairs.schema import QAPair
from eval.report import HEADLINES, SECTIONS, counted, interval, number, warnings
from eval.rows import Row
from eval.run import Report
from eval.statistics import Floats
from rag.language.filters import described
from rag.schema import Span
from ui.html.elements import pieces_of
from ui.html.plot import Point, bar_plot, range_plot, share_plot
from ui.html.templating import render_page

TILES = ("right", "right_when_answered", "hit@1", "evidence@10", "citation_support", "answered", "abstain_recall")
CALIBRATION = (
    "Confidence against correctness: on the dashed line they agree; below it answers are overconfident, above it "
    "underconfident."
)
RISK = "Share of wrong answers if only the most confident ones were given. The dot is where it stops answering."
RANKS_FOUND = "Rank at which the article that holds the answer was found."
LATENCY = "Time to an answer, without the slowest hundredth."
LATENCY_BINS = 24
RANKS = ("1", "2", "3", "4", "5", "6–10", "> 10", "not found")

_WORD = re.compile(r"\w+")


def report_html(report: Report) -> str:
    """The whole page."""
    made = report.setup
    return render_page(
        "report.html",
        report=report,
        subtitle=f"{counted(report)} · {made.get('date', '')} · {made.get('pairs', {}).get('name', 'pairs')}",
        warnings=warnings(report),
        tiles=[(name, report.figures[name]) for name in TILES if name in report.figures],
        plots=_plots(report),
        sections=[
            (heading, [n for n in report.figures if BY_NAME[n].kind == kind]) for kind, heading in SECTIONS.items()
        ],
        made=[(name, value if isinstance(value, str) else json.dumps(value)) for name, value in made.items()],
        metrics=BY_NAME,
        headlines=HEADLINES,
        **{f.__name__.lstrip("_"): f for f in (_breakable, _gold, _gold_answer, _other_quotes, _reason)},
        **{f.__name__: f for f in (described, interval, number, range_plot)},
    )


def _breakable(name: str) -> str:
    """The name of a metric, which may break into lines at its underscores."""
    return name.replace("_", "_\N{ZERO WIDTH SPACE}")


def _plots(report: Report) -> Iterator[tuple[str, str]]:
    """Each plot, with its caption."""
    table = table_of(report.scores)
    confidence, right = answered(table).T
    columns = report.scores.columns
    if len(confidence):
        yield _calibration(confidence, right), CALIBRATION
        yield _risk(confidence, right, judgeable(table)), RISK
    if ranks := _ranks(columns["mrr"]):
        yield bar_plot(RANKS, ranks, "rank of the first gold article", "questions"), RANKS_FOUND
    yield _latency(columns["seconds"]), LATENCY


def _calibration(confidence: Floats, right: Floats) -> str:
    points = [
        Point(
            mean, share, f"confidence {mean:.2f}: {share:.0%} of {n:,} answers right", 3 + 7 * (n / len(right)) ** 0.5
        )
        for mean, share, n in statistics.calibration_curve(confidence, right)
    ]
    return share_plot(points, "confidence", "answers that are right", diagonal=True)


def _risk(confidence: Floats, right: Floats, asked: int) -> str:
    curve = statistics.risk_coverage(confidence, right, asked)
    points = [Point(covered, wrong, f"{covered:.0%} answered: {wrong:.0%} wrong") for covered, wrong in curve]
    ends = [Point(p.x, p.y, p.hint, 4) for p in points[-1:]]
    return share_plot([*points[:-1], *ends], "questions answered", "answers that are wrong")


def _ranks(reciprocal: Floats) -> list[float]:
    known = reciprocal[~np.isnan(reciprocal)]
    if not len(known):
        return []
    ranks = np.where(known > 0, np.round(1 / np.maximum(known, 1e-9)), np.inf)
    edges = (1, 2, 3, 4, 5, 6, 11, 1e9, np.inf)
    return [float(share) for share in np.histogram(ranks, bins=edges)[0] / len(known)]


def _latency(seconds: Floats) -> str:
    usual = seconds[seconds <= np.percentile(seconds, 99)]
    counts, edges = np.histogram(usual, bins=LATENCY_BINS)
    labels = [f"{edge:.2f}" for edge in edges[:-1]]
    return bar_plot(labels, [float(share) for share in counts / len(usual)], "seconds", "questions", " s")


def _other_quotes(row: Row) -> list[tuple[int, str]]:
    """Cited quotes that the answer does not contain, with their numbers."""
    answer = " ".join(row.answer.split())
    return [(n, cited.quote) for n, cited in enumerate(row.citations, 1) if " ".join(cited.quote.split()) not in answer]


def _gold_answer(pair: QAPair) -> str:
    return "; ".join(pair.answers) or ("none given" if pair.answerable else "there is none")


def _reason(judged: ScoredQuestion) -> str:
    """Why the result counts as wrong."""
    confidence = f"confidence {judged.row.confidence:.2f}"
    if judged.row.abstained:
        rank = judged.scores.get("mrr", 0.0)
        found = f", though a gold article was found at rank {round(1 / rank)}" if rank else ""
        return f"Not answered{found} ({confidence})"
    if not judged.pair.answerable:
        return f"Answered, though the articles do not hold the answer ({confidence})"
    return f"Answered without the gold answer ({confidence})"


def _gold(text: str, pair: QAPair) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it is gold evidence or a gold answer."""
    return pieces_of(text, gold_spans(text, (*pair.evidence, *pair.answers)))


def gold_spans(text: str, golds: Iterable[str]) -> list[Span]:
    """Where gold evidence or answers stand in a text, whatever the case and whatever is between the words."""
    spans: list[Span] = []
    for gold in golds:
        words = [re.escape(word) for word in _WORD.findall(gold)]
        if words:
            pattern = r"(?<!\w)" + r"\W+".join(words) + r"(?!\w)"
            spans += [found.span() for found in re.finditer(pattern, text, re.IGNORECASE)]
    return spans
