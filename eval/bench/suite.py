"""Compares Pullquote with LlamaIndex's plain recipe over several sets: `prepare` the sets, then `measure` them.

A set is a folder with articles.jsonl and pairs.jsonl. Both systems get the same articles and questions; the recipe
cannot use a conversation, and gets the question alone. Pullquote is asked each pair as `pullquote eval` asks it. In
addition, each set is asked the others' questions, which it cannot answer; follow-ups are asked in other ways; and
first questions are asked in the middle of an unrelated conversation.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval import statistics
from eval.aggregates import answered, table_of
from eval.bench.scale import PULLQUOTE, RECIPE, require_recipe
from eval.pairs.reading import ArticleNames, Survey, asking_day, check_pairs, read_pairs, sampled, survey
from eval.pairs.schema import QAPair
from eval.report import cell
from eval.rows import Row
from eval.run import ScoreColumns, content_digest, figures, first_reason, run_setup
from eval.statistics import Curve, Difference, Interval
from ingest.pipeline import ingest
from rag.chain import LONGEST_QUESTION, Chain
from rag.config import Config
from rag.errors import ReadError
from rag.schema import Failure, Turn
from rag.store.index import Index

if TYPE_CHECKING:
    from eval.bench.baseline import PlainRecipe


ARTICLES, PAIRS = "articles.jsonl", "pairs.jsonl"
SYSTEMS = (PULLQUOTE, RECIPE)
SEED = 1
TURNS = 2
"""Turns of a conversation made of a set's own questions."""
POOL = 500
"""Conversations and questions kept to draw from; bounds memory."""

RETRIEVAL = ("hit@1", "answer_in_100_words", "answer_in_250_words", "evidence@1", "evidence@5", "all_evidence@10")
ANSWERS = ("right", "words", "quote_exact", "answered", "abstain_recall", "auc_answerable", "calibration_error")
FOLLOW_UPS = ("evidence@1", "evidence@5")
DISTURBED = ("hit@1", "answer_in_250_words", "right")

GIVEN = "as given"
ALONE, HISTORY = "as it stands", "with its conversation"
REWRITTEN, JOINED = "rewritten by a person", "after its first and last turn, as one text"
WAYS = (ALONE, HISTORY, JOINED, REWRITTEN)
BEFORE, AFTER = "without a conversation", "after an unrelated one"
NONE = "–"

Conversation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class QASet:
    """A set that both systems have ingested. Its pairs are read from the file each time, not kept in memory.

    `config` is that of its index, `recipe` the folder of the recipe's store. `unread` are the articles that could not
    be ingested. `first` is the number of its first questions, which the other sets are asked.
    """

    name: str
    file: Path
    config: Config
    recipe: Path
    names: ArticleNames
    survey: Survey
    unread: tuple[Failure, ...]
    first: int = 0

    def pairs(self) -> Iterator[QAPair]:
        """The pairs of the sample."""
        checked = check_pairs(sampled(read_pairs(self.file), self.survey.cut), self.names)
        return (pair for pair in checked if isinstance(pair, QAPair))

    def first_questions(self) -> Iterator[QAPair]:
        """The answerable pairs without a conversation."""
        return (pair for pair in self.pairs() if _is_first(pair))


@dataclass(frozen=True, slots=True)
class SetReport:
    """Both systems' figures on a set, by the names of eval.metrics; a figure without gold is omitted.

    `made` is the setup. `retrieval` is by system, `follow_ups` by way of asking and by system. `foreign` is the share
    of the other sets' questions that Pullquote leaves unanswered. `lost` is the cost of an unrelated conversation to
    first questions: each figure without one (b) minus that after one (a). `calibration` is of Pullquote's answers.
    """

    name: str
    made: Mapping[str, Any]
    asked: int
    excluded: int
    retrieval: Mapping[str, Mapping[str, Interval]]
    answers: Mapping[str, Interval]
    foreign: Interval | None
    follow_ups: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    lost: Mapping[str, Difference]
    calibration: Curve


@dataclass(frozen=True, slots=True)
class Suite:
    """The reports of the sets, and the size of each one's sample; None for all pairs."""

    sample: int | None
    sets: Sequence[SetReport]


def prepare(
    folders: Sequence[Path], sample: int | None, config: Config, work: Path, log: Callable[[str], object]
) -> Iterator[QASet]:
    """Update both systems' stores with the articles of each folder, and check its pairs.

    `work` keeps the stores, and may be that of an earlier run; `log` gets a line before each step. Raises ConfigError
    if the recipe is not installed, ReadError if a folder is not a set, has the name of another one, or has no pair
    that can be asked.
    """
    require_recipe()
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        missing = [file for file in (ARTICLES, PAIRS) if not (folder / file).is_file()]
        if missing:
            raise ReadError(f"{folder} has no {missing[0]}; give folders with {ARTICLES} and {PAIRS}")
        if names.count(name) > 1:
            raise ReadError(f"two of the folders are called {name!r}; give each a different name")
    for folder, name in zip(folders, names, strict=True):
        yield _prepared(folder, sample, replace(config, index=work.resolve() / name / "index"), log)


def steps(sets: Sequence[QASet]) -> int:
    """The number of questions `measure` asks, each counted once."""
    first = sum(each.first for each in sets)
    return sum(each.survey.pairs + first - each.first for each in sets)


def measure(sets: Sequence[QASet], sample: int | None, step: Callable[[], object]) -> Suite:
    """Ask each set its own questions and the others'; `step` is called after each. Raises StoreError or ModelError."""
    return Suite(sample, [_measured(each, [other for other in sets if other is not each], step) for each in sets])


def joined(pair: QAPair) -> str:
    """The first question, the last turn and the question as one text, the simplest use of a conversation.

    The beginning is cut off if the text is too long for a question.
    """
    first, last = pair.history[0], pair.history[-1]
    parts = dict.fromkeys((first.question, last.question, last.answer, pair.question))
    return " ".join(parts)[-LONGEST_QUESTION:]


def unrelated(pair: QAPair, conversations: Sequence[Conversation], others: Sequence[QAPair]) -> Conversation:
    """One of the conversations, or one made of other pairs if there are none; always the same for a pair."""
    chance = random.Random(f"{SEED} {pair.id}")
    if conversations:
        return chance.choice(conversations)
    others = [other for other in others if other.id != pair.id]
    turns = chance.sample(others, min(TURNS, len(others)))
    return tuple(Turn(other.question, other.answers[0], other.articles) for other in turns)


def pooled(curves: Iterable[Curve]) -> Curve:
    """The calibration of all answers together."""
    bands: defaultdict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for point in (point for curve in curves for point in curve):
        bands[_band(point[0])].append(point)
    return [_merge_points(points) for _, points in sorted(bands.items())]


def markdown(suite: Suite) -> str:
    """Markdown tables with a column for each set; figures that no set has gold for are omitted."""
    sets = suite.sets
    names = [each.name.replace("|", "/") for each in sets]
    tables = {
        f"Finding, beside {RECIPE}": _table(names, 2, _retrieval(sets)),
        "Answering": _table(names, 1, _answers(sets)),
        "Finding what a follow-up asks for": _table(names, 3, _follow_ups(sets)),
        "Points lost after a conversation about something else": _table(names, 1, _lost(sets)),
        "Confidence, and the share of answers that are right": _table([*names, "all"], 1, _calibration(sets)),
    }
    return "\n\n".join(f"**{heading}**\n\n{table}" for heading, table in tables.items() if table)


def _is_first(pair: QAPair) -> bool:
    return pair.answerable and not pair.history


def _prepared(folder: Path, sample: int | None, config: Config, log: Callable[[str], object]) -> QASet:
    home = config.index.parent
    home.mkdir(parents=True, exist_ok=True)
    log(f"{home.name}: ingesting into {PULLQUOTE} …")
    # A copy: if the folder moves, its articles would conflict with those indexed from the old place.
    report = ingest([shutil.copyfile(folder / ARTICLES, home / ARTICLES)], config)
    index = Index(config.index, config.embedding_model)
    names = ArticleNames.of(index.articles())
    surveyed = survey(check_pairs(read_pairs(folder / PAIRS), names), sample)
    if not surveyed.pairs:
        raise ReadError(f"no pair of {folder} can be asked ({first_reason(surveyed.failures)})")
    recipe = _recipe_store(home, index, lambda: log(f"{home.name}: ingesting into {RECIPE} …"))
    prepared = QASet(home.name, folder / PAIRS, config, recipe, names, surveyed, report.failed)
    return replace(prepared, first=sum(1 for _ in prepared.first_questions()))


def _recipe_store(home: Path, index: Index, log: Callable[[], object]) -> Path:
    """The folder of the recipe's store of an index's articles; a complete one of an earlier run is reused."""
    from eval.bench.baseline import CHUNK_OVERLAP, CHUNK_TOKENS, PlainRecipe

    parts = (content_digest(index.articles()), index.embedding_model, CHUNK_TOKENS, CHUNK_OVERLAP)
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]
    note = home / "recipe.txt"  # written last, so that an incomplete store is not reused
    stored, _, name = note.read_text("utf-8").partition(" ") if note.is_file() else ("", "", "")
    if name and stored == digest and (home / name).is_dir():
        return home / name
    log()
    for old in home.glob("recipe-*"):
        shutil.rmtree(old)
    # A new name each time: Chroma keeps writing to a store it has opened, even if its folder was deleted.
    folder = Path(tempfile.mkdtemp(prefix="recipe-", dir=home))
    articles = (article for entry in index.articles() if (article := index.article(entry.id)))
    PlainRecipe(folder, index.embedding_model).ingest(articles)
    note.write_text(f"{digest} {folder.name}", "utf-8")
    return folder


@dataclass(slots=True)
class _SetRun:
    """Asks both systems the questions of a set, and keeps their scores by way of asking and by system."""

    chain: Chain
    recipe: PlainRecipe
    scored: defaultdict[tuple[str, str], ScoreColumns] = field(default_factory=lambda: defaultdict(ScoreColumns))

    def ask(self, pair: QAPair, conversation: Conversation) -> None:
        """Ask a pair as given and in the other ways that fit it, such as after an unrelated conversation."""
        row = self._answer(pair, pair.question, pair.history)
        self.scored[GIVEN, PULLQUOTE].add(pair, row)
        self._retrieve(GIVEN, pair, pair.question)
        if pair.history and pair.evidence:
            self._ask_follow_up(pair, row)
        elif _is_first(pair) and conversation:
            self.scored[BEFORE, PULLQUOTE].add(pair, row)
            self.scored[AFTER, PULLQUOTE].add(pair, self._answer(pair, pair.question, conversation))

    def _ask_follow_up(self, pair: QAPair, row: Row) -> None:
        self.scored[HISTORY, PULLQUOTE].add(pair, row)
        for way, question in ((ALONE, pair.question), (JOINED, joined(pair)), (REWRITTEN, pair.rewrite)):
            if question:
                self.scored[way, PULLQUOTE].add(pair, self._answer(pair, question))
                self._retrieve(way, pair, question)

    def _answer(self, pair: QAPair, question: str, history: Conversation = ()) -> Row:
        return Row.of(pair, self.chain.ask(question, history, **asking_day(pair)), self.chain.index, "")

    def _retrieve(self, way: str, pair: QAPair, question: str) -> None:
        """The recipe is measured on retrieval only: its answers would need a language model."""
        hits = tuple(self.recipe.retrieve(question))
        self.scored[way, RECIPE].add(pair, Row(pair.id, question, "", True, 0.0, (), hits, 0.0))

    def means(self, way: str, names: Sequence[str]) -> dict[str, dict[str, Interval]]:
        """Figures by system for a way of asking."""
        columns = {s: self.scored[way, s].scores().columns for s in SYSTEMS if (way, s) in self.scored}
        return {
            system: {name: mean for name in names if (mean := statistics.mean(of_system[name]))}
            for system, of_system in columns.items()
        }

    def lost(self) -> dict[str, Difference]:
        """The cost of the unrelated conversation, question by question."""
        if (AFTER, PULLQUOTE) not in self.scored:
            return {}
        after, before = (self.scored[way, PULLQUOTE].scores().columns for way in (AFTER, BEFORE))
        return {name: loss for name in DISTURBED if (loss := statistics.paired(after[name], before[name]))}


def _measured(this: QASet, others: Sequence[QASet], step: Callable[[], object]) -> SetReport:
    from eval.bench.baseline import PlainRecipe

    chain = Chain.from_config(this.config)
    run = _SetRun(chain, PlainRecipe(this.recipe, this.config.embedding_model))
    elsewhere = _random_sample(pair for other in others for pair in other.pairs() if pair.history)
    conversations = [pair.history for pair in elsewhere]
    own = [] if conversations else _random_sample(pair for pair in this.first_questions() if pair.answers)
    for pair in this.pairs():
        run.ask(pair, unrelated(pair, conversations, own))
        step()
    foreign = []
    for pair in (pair for other in others for pair in other.first_questions()):
        foreign.append(not chain.ask(pair.question, **asking_day(pair)).grounded)
        step()
    scores = run.scored[GIVEN, PULLQUOTE].scores()
    all_figures = figures(scores)
    return SetReport(
        name=this.name,
        made=run_setup(chain, chain.index.articles()),
        asked=len(scores.ids),
        excluded=this.survey.excluded,
        retrieval=run.means(GIVEN, RETRIEVAL),
        answers={name: all_figures[name] for name in ANSWERS if name in all_figures},
        foreign=statistics.mean(np.array(foreign, dtype=float)),
        follow_ups={way: by_system for way in WAYS if (by_system := run.means(way, FOLLOW_UPS))},
        lost=run.lost(),
        calibration=statistics.calibration_curve(*answered(table_of(scores)).T),
    )


def _random_sample(pairs: Iterable[QAPair]) -> list[QAPair]:
    """A random sample of POOL pairs, always the same."""
    chance = random.Random(SEED)
    return heapq.nsmallest(POOL, pairs, key=lambda _: chance.random())


def _band(confidence: float) -> int:
    """The tenth of the scale of a band's mean confidence, which may be off by the last bit."""
    return min(int(round(confidence, 6) * 10), 9)


def _merge_points(points: Sequence[tuple[float, float, int]]) -> tuple[float, float, int]:
    confidence, right, counts = np.array(points).T
    n = counts.sum()
    return float(confidence @ counts / n), float(right @ counts / n), int(n)


Line = tuple[Sequence[str], Sequence[str]]
"""The labels and the cells of a line of a table."""


def _table(names: Sequence[str], labels: int, lines: Iterable[Line]) -> str:
    """A Markdown table without the lines that have no figure; empty if there are none."""
    kept = [[*heads, *cells] for heads, cells in lines if set(cells) != {NONE}]
    if not kept:
        return ""
    rows = [[""] * labels + list(names), ["---"] * (labels + len(names)), *kept]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _retrieval(sets: Sequence[SetReport]) -> Iterator[Line]:
    for name in RETRIEVAL:
        for system in SYSTEMS:
            yield (name, system), [cell(each.retrieval[system].get(name)) for each in sets]


def _answers(sets: Sequence[SetReport]) -> Iterator[Line]:
    for name in ANSWERS:
        yield (name,), [cell(each.answers.get(name)) for each in sets]
    yield ("other sets' questions left unanswered",), [cell(each.foreign) for each in sets]


def _follow_ups(sets: Sequence[SetReport]) -> Iterator[Line]:
    for name in FOLLOW_UPS:
        for way in WAYS:
            for system in SYSTEMS:
                intervals = [each.follow_ups.get(way, {}).get(system, {}).get(name) for each in sets]
                yield (name, way, system), [cell(interval) for interval in intervals]


def _lost(sets: Sequence[SetReport]) -> Iterator[Line]:
    for name in DISTURBED:
        yield (name,), [_points(each.lost.get(name)) for each in sets]


def _points(lost: Difference | None) -> str:
    if not lost:
        return NONE
    value, low, high = (f"{round(100 * share, 1) + 0.0:.1f}" for share in (lost.difference, lost.low, lost.high))
    return f"{value} ({low} to {high}, n = {lost.n:,})"


def _calibration(sets: Sequence[SetReport]) -> Iterator[Line]:
    curves = [each.calibration for each in sets]
    columns = [{_band(point[0]): point for point in curve} for curve in (*curves, pooled(curves))]
    for band in range(10):
        yield (f"{band / 10}–{(band + 1) / 10}",), [_calibration_cell(column.get(band)) for column in columns]


def _calibration_cell(point: tuple[float, float, int] | None) -> str:
    return f"{point[0]:.2f}: {point[1]:.2f} (n = {point[2]:,})" if point else NONE
