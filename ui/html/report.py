"""A report → one page of HTML that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from eval import statistics
from eval.aggregates import ScoredQuestion, answered, judgeable, table_of
from eval.metrics import BY_NAME
from eval.pairs.schema import QAPair
from eval.report import HEADLINES, SECTIONS, counted, interval, number, warnings
from eval.rows import CitedQuote, RetrievedPassage, Row
from eval.run import Report
from eval.statistics import Floats, Interval
from rag.language.filters import described
from rag.schema import Failure, Span
from ui.html.elements import asset, escape, marked_html
from ui.html.plot import Point, bar_plot, range_plot, share_plot

TILES = ("right", "right_when_answered", "hit@1", "evidence@10", "citation_support", "answered", "abstain_recall")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Whatever stands in an article, the page loads nothing and runs nothing."""
CALIBRATION = (
    "Is an answer as sure as it is right? On the dashed line it is, below it is too sure, above not sure enough."
)
RISK = "How many answers would be wrong, were only the surest ones given? The dot is where it stops answering."
LATENCY_BINS = 24
RANKS = ("1", "2", "3", "4", "5", "6–10", "> 10", "not found")
NOWHERE = "–"

_WORD = re.compile(r"\w+")


def report_html(report: Report) -> str:
    """The whole page."""
    style = asset("report.css")
    made = report.setup
    subtitle = f"{counted(report)} · {made.get('date', '')} · {made.get('pairs', {}).get('name', 'pairs')}"
    body = (
        f'<h1>How good are the answers?</h1><p class="soft">{escape(subtitle)}</p>'
        f"{_warnings(report)}{_tiles(report)}<h2>At a glance</h2>{_plots(report)}"
        f"<h2>All figures</h2>{_figures(report.figures)}{_groups(report.groups)}{_seconds(report.seconds)}"
        f"{_worst(report.worst)}{_left_out(report)}<h2>Made with</h2>{_made(made)}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>Pullquote evaluation</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _warnings(report: Report) -> str:
    return "".join(f'<p class="warning" role="note">{escape(warning)}</p>' for warning in warnings(report))


def _tiles(report: Report) -> str:
    tiles = [_tile(name, report.figures[name]) for name in TILES if name in report.figures]
    p50, p95 = (report.seconds["in all"][p] for p in ("p50", "p95"))
    tiles.append(f'<div class="tile"><span>seconds to an answer</span><b>{p50:.2f}</b><span>p95 {p95:.2f}</span></div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, found: Interval) -> str:
    sure, what = f"{interval(found)}, n = {found.n:,}", BY_NAME[name].what
    below = f"<span>{escape(sure)}</span><span>{escape(what)}</span>"
    breakable = escape(name.replace("_", "_\N{ZERO WIDTH SPACE}"))
    return f'<div class="tile"><span>{breakable}</span><b>{number(found.value)}</b>{below}</div>'


def _plots(report: Report) -> str:
    table = table_of(report.scores)
    confidence, right = answered(table).T
    columns = report.scores.columns
    plots = []
    if len(confidence):
        plots.append(_figure(_calibration(confidence, right), CALIBRATION))
        plots.append(_figure(_risk(confidence, right, judgeable(table)), RISK))
    if ranks := _ranks(columns["mrr"]):
        shown = bar_plot(RANKS, ranks, "rank of the first gold article", "questions")
        plots.append(_figure(shown, "Where the article that holds the answer was found."))
    plots.append(_figure(_latency(columns["seconds"]), "How long an answer took, the slowest hundredth left out."))
    return f'<div class="plots">{"".join(plots)}</div>'


def _figure(plot: str, caption: str) -> str:
    return f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _calibration(confidence: Floats, right: Floats) -> str:
    points = [
        Point(
            said, found, f"confidence {said:.2f}: {found:.0%} of {n:,} answers right", 3 + 7 * (n / len(right)) ** 0.5
        )
        for said, found, n in statistics.calibration_curve(confidence, right)
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


def _figures(figures: Mapping[str, Interval]) -> str:
    rows = []
    for kind, heading in SECTIONS.items():
        of_kind = [name for name in figures if BY_NAME[name].kind == kind]
        if of_kind:
            rows.append(f'<tr><th colspan="6"><h3>{escape(heading)}</h3></th></tr>')
            rows += [_figure_row(name, figures[name]) for name in of_kind]
    head = "<tr><th>figure</th><th></th><th>95 % interval</th><th></th><th>questions</th><th>what it is</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _figure_row(name: str, found: Interval) -> str:
    share = range_plot(found.value, found.low, found.high) if found.high <= 1 else ""
    return (
        f'<tr><td><code>{escape(name)}</code></td><td class="figure">{number(found.value)}</td>'
        f"<td>{interval(found)}</td><td>{share}</td><td>{found.n:,}</td><td>{escape(BY_NAME[name].what)}</td></tr>"
    )


def _groups(groups: Mapping[str, Mapping[str, Interval]]) -> str:
    if not groups:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADLINES)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(_group_cell(group.get(h)) for h in HEADLINES)}</tr>"
        for name, group in groups.items()
    )
    return f'<h2>By kind of question</h2><div class="wide"><table><tr><th>kind</th>{head}</tr>{rows}</table></div>'


def _group_cell(found: Interval | None) -> str:
    return (
        f'<td>{number(found.value)} <span class="soft">n = {found.n:,}</span></td>' if found else f"<td>{NOWHERE}</td>"
    )


def _seconds(seconds: Mapping[str, Mapping[str, float]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(stage)}</td>{''.join(f'<td>{value:.3f}</td>' for value in found.values())}</tr>"
        for stage, found in seconds.items()
    )
    head = "<tr><th>seconds</th><th>p50</th><th>p95</th><th>p99</th></tr>"
    return f'<h2>Time</h2><div class="wide"><table>{head}{rows}</table></div>'


def _worst(worst: Sequence[ScoredQuestion]) -> str:
    if not worst:
        return ""
    cases = "".join(_case(judged) for judged in worst)
    note = f"The {len(worst)} that went wrong most: answers that were sure and wrong, then answers that were not given."
    return f'<h2>Worst questions</h2><p class="soft">{note}</p>{cases}'


def _case(judged: ScoredQuestion) -> str:
    pair, row = judged.pair, judged.row
    hits = "".join(_hit(rank, hit, pair) for rank, hit in enumerate(row.hits, 1))
    said = _with_gold(row.answer, pair) if row.answer else "It did not answer."
    facts = [
        ("Answer", said),
        *(("Quote", f"[{n}] {_with_gold(c.quote, pair)}") for n, c in _unsaid(row)),
        ("Gold answer", escape("; ".join(pair.answers)) or ("none given" if pair.answerable else "there is none")),
        ("Gold evidence", "<br>".join(map(escape, pair.evidence)) or NOWHERE),
        ("Gold articles", "<br>".join(map(escape, pair.articles)) or NOWHERE),
        *(("Asked on", str(day)) for day in (pair.asked_on,) if day),
        *(
            ("Filter", f'{escape(described(read.filters))} <span class="soft">{escape(read.words)}</span>')
            for read in row.filters
        ),
        *(("Notice", escape(notice)) for notice in (row.notice,) if notice),
        *(("Earlier in the conversation", escape(f"{t.question} — {t.answer}")) for t in pair.history),
    ]
    told = "".join(f'<dt>{name}</dt><dd dir="auto">{value}</dd>' for name, value in facts)
    asked = f'<b dir="auto">{escape(pair.question)}</b><span class="why">{escape(_why(judged))}</span>'
    return (
        f"<details><summary>{asked}</summary>"
        f'<div class="case"><p class="soft">{escape(pair.id)}</p><dl>{told}</dl>'
        f"<h3>Passages found, the gold marked</h3>{hits}</div></details>"
    )


def _unsaid(row: Row) -> list[tuple[int, CitedQuote]]:
    """Quotes that the answer does not say itself, with their numbers."""
    said = " ".join(row.answer.split())
    return [(n, cited) for n, cited in enumerate(row.citations, 1) if " ".join(cited.quote.split()) not in said]


def _why(judged: ScoredQuestion) -> str:
    sure = f"confidence {judged.row.confidence:.2f}"
    if judged.row.abstained:
        rank = judged.scores.get("mrr", 0.0)
        found = f", though a gold article was found at rank {round(1 / rank)}" if rank else ""
        return f"Not answered{found} ({sure})"
    if not judged.pair.answerable:
        return f"Answered, though the articles do not hold the answer ({sure})"
    return f"Answered without the gold answer ({sure})"


def _hit(rank: int, hit: RetrievedPassage, pair: QAPair) -> str:
    gold = " gold" if hit.article in pair.articles else ""
    named = f'<div class="soft">{rank} · {escape(hit.article)} · {hit.score:.2f}</div>'
    return f'<div class="hit{gold}" dir="auto">{named}{_with_gold(hit.text, pair)}</div>'


def _with_gold(text: str, pair: QAPair) -> str:
    return marked_html(text, gold_spans(text, (*pair.evidence, *pair.answers)))


def gold_spans(text: str, golds: Iterable[str]) -> list[Span]:
    """Where gold evidence or answers stand in a text, whatever the case and whatever is between the words."""
    spans: list[Span] = []
    for gold in golds:
        words = [re.escape(word) for word in _WORD.findall(gold)]
        if words:
            pattern = r"(?<!\w)" + r"\W+".join(words) + r"(?!\w)"
            spans += [found.span() for found in re.finditer(pattern, text, re.IGNORECASE)]
    return spans


def _left_out(report: Report) -> str:
    if not report.excluded:
        return ""
    told = "".join(f"<li>{_failure(failure)}</li>" for failure in report.failures)
    more = report.excluded - len(report.failures)
    rest = f"<li>… and {more:,} more</li>" if more else ""
    return f"<h2>Left out</h2><p>Pairs that were not asked: {report.excluded:,}</p><ul>{told}{rest}</ul>"


def _failure(failure: Failure) -> str:
    return escape(f"{failure.source}: {failure.reason}")


def _made(made: Mapping[str, Any]) -> str:
    return "".join(
        f'<p class="made"><b>{escape(name)}</b> {escape(value if isinstance(value, str) else json.dumps(value))}</p>'
        for name, value in made.items()
    )
