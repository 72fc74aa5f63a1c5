"""Pullquote beside LlamaIndex's plain recipe, over several sets in one run: `prepare` the sets, then `measure` them.

A set is a folder with articles.jsonl and pairs.jsonl. Both systems get the same articles and questions; the recipe has
no use for a conversation, and gets the question alone. Pullquote is asked each pair as `pullquote eval` asks it;
besides, each set is asked the others' questions, which it cannot answer, follow-ups are asked in other ways as well,
and first questions in the middle of a conversation about something else.
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
from eval.aggregates import Scores, answered, table_of
from eval.bench.scale import PULLQUOTE, RECIPE, require_recipe
from eval.pairs.reading import ArticleNames, Survey, asking_day, check_pairs, read_pairs, sampled, survey
from eval.pairs.schema import QAPair
from eval.report import cell
from eval.rows import Row
from eval.run import ScoreColumns, content_digest, figures, run_setup
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
"""How many questions a conversation has that is made of a set's own."""
POOL = 500
"""Conversations and questions kept to draw from, so that memory does not grow with the pairs."""

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
    """A set whose articles both systems have. Its pairs are read anew each time: memory does not hold them.

    `config` is that of its index, `recipe` the folder of the recipe's store. `unread` are the articles that could not
    be ingested. `first` counts the first questions, those that other sets are asked.
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
        found = check_pairs(sampled(read_pairs(self.file), self.survey.cut), self.names)
        return (pair for pair in found if isinstance(pair, QAPair))

    def first_questions(self) -> Iterator[QAPair]:
        """Those that have an answer, and need no conversation to be understood."""
        return (pair for pair in self.pairs() if _is_first(pair))


@dataclass(frozen=True, slots=True)
class SetReport:
    """How both systems did on a set. Figures have the names of eval.metrics; without gold for one, it is left out.

    `retrieval` is by system, `follow_ups` by way of asking and by system. `foreign` is the share of the other sets'
    questions that Pullquote leaves unanswered. `lost` is what an unrelated conversation costs first questions:
    each figure without one (b) minus that after one (a). `calibration` is of Pullquote's answers.
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
    """The sets' reports, and the size of the sample drawn of each; None for all pairs."""

    sample: int | None
    sets: Sequence[SetReport]


def prepare(
    folders: Sequence[Path], sample: int | None, config: Config, work: Path, tell: Callable[[str], object]
) -> Iterator[QASet]:
    """Bring both systems' stores in step with the articles of each folder, and look through its pairs.

    `work` keeps the stores, and may be that of an earlier run; `tell` is given a line before each step. Raises
    ConfigError if the recipe is not installed, ReadError if a folder is no set, is called as another one is, or has no
    pair that can be asked.
    """
    require_recipe()
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        missing = [file for file in (ARTICLES, PAIRS) if not (folder / file).is_file()]
        if missing:
            raise ReadError(f"{folder} has no {missing[0]}; give folders with {ARTICLES} and {PAIRS}")
        if names.count(name) > 1:
            raise ReadError(f"two of the folders are called {name!r}; give each a name of its own")
    for folder, name in zip(folders, names, strict=True):
        yield _prepared(folder, sample, replace(config, index=work.resolve() / name / "index"), tell)


def steps(sets: Sequence[QASet]) -> int:
    """How many questions `measure` asks; one that is asked in several ways counts once."""
    first = sum(each.first for each in sets)
    return sum(each.survey.pairs + first - each.first for each in sets)


def measure(sets: Sequence[QASet], sample: int | None, step: Callable[[], object]) -> Suite:
    """Ask each set its own questions and the others'; `step` is called after each. Raises StoreError or ModelError."""
    return Suite(sample, [_measured(each, [other for other in sets if other is not each], step) for each in sets])


def joined(pair: QAPair) -> str:
    """Its first question, its last turn and its question as one text: the least that a conversation can be used for.

    Of what would be too long for a question, the beginning is left out.
    """
    first, last = pair.history[0], pair.history[-1]
    parts = dict.fromkeys((first.question, last.question, last.answer, pair.question))
    return " ".join(parts)[-LONGEST_QUESTION:]


def unrelated(pair: QAPair, conversations: Sequence[Conversation], others: Sequence[QAPair]) -> Conversation:
    """One of the conversations; if there is none, one made of other pairs. The same for a pair each time."""
    chance = random.Random(f"{SEED} {pair.id}")
    if conversations:
        return chance.choice(conversations)
    others = [other for other in others if other.id != pair.id]
    told = chance.sample(others, min(TURNS, len(others)))
    return tuple(Turn(other.question, other.answers[0], other.articles) for other in told)


def pooled(curves: Iterable[Curve]) -> Curve:
    """The calibration of all answers together."""
    bands: defaultdict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for point in (point for curve in curves for point in curve):
        bands[_band(point[0])].append(point)
    return [_together(points) for _, points in sorted(bands.items())]


def markdown(suite: Suite) -> str:
    """The README's tables, a column for each set; what no set has gold for is left out."""
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


def _prepared(folder: Path, sample: int | None, config: Config, tell: Callable[[str], object]) -> QASet:
    home = config.index.parent
    home.mkdir(parents=True, exist_ok=True)
    tell(f"{home.name}: ingesting into {PULLQUOTE} …")
    # A copy: articles of a folder that was moved since would be taken for others that claim the same ids.
    report = ingest([shutil.copyfile(folder / ARTICLES, home / ARTICLES)], config)
    index = Index(config.index, config.embedding_model)
    names = ArticleNames.of(index.articles())
    found = survey(check_pairs(read_pairs(folder / PAIRS), names), sample)
    if not found.pairs:
        reason = f"{found.failures[0].source}: {found.failures[0].reason}" if found.failures else "there is none"
        raise ReadError(f"no pair of {folder} can be asked ({reason})")
    recipe = _filled(home, index, lambda: tell(f"{home.name}: ingesting into {RECIPE} …"))
    made = QASet(home.name, folder / PAIRS, config, recipe, names, found, report.failed)
    return replace(made, first=sum(1 for _ in made.first_questions()))


def _filled(home: Path, index: Index, tell: Callable[[], object]) -> Path:
    """The folder of the recipe's store of an index's articles; one that an earlier run made whole is left alone."""
    from eval.bench.baseline import CHUNK_OVERLAP, CHUNK_TOKENS, PlainRecipe

    parts = (content_digest(index.articles()), index.embedding_model, CHUNK_TOKENS, CHUNK_OVERLAP)
    made_of = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]
    note = home / "recipe.txt"  # written last, so that a store that was left halfway is not taken for a whole one
    of, _, name = note.read_text("utf-8").partition(" ") if note.is_file() else ("", "", "")
    if name and of == made_of and (home / name).is_dir():
        return home / name
    tell()
    for old in home.glob("recipe-*"):
        shutil.rmtree(old)
    # A new name each time: Chroma goes on writing to a store it has opened, whatever became of its folder.
    folder = Path(tempfile.mkdtemp(prefix="recipe-", dir=home))
    articles = (found for entry in index.articles() if (found := index.article(entry.id)))
    PlainRecipe(folder, index.embedding_model).ingest(articles)
    note.write_text(f"{made_of} {folder.name}", "utf-8")
    return folder


@dataclass(slots=True)
class _Desk:
    """Both systems over one set, and the scores so far, by way of asking and by system."""

    chain: Chain
    recipe: PlainRecipe
    tallies: defaultdict[tuple[str, str], ScoreColumns] = field(default_factory=lambda: defaultdict(ScoreColumns))

    def ask(self, pair: QAPair, other: Conversation) -> None:
        """Ask as the pair has it, and in the other ways there are; `other` is an unrelated conversation."""
        row = self._answered(pair, pair.question, pair.history)
        self.tallies[GIVEN, PULLQUOTE].add(pair, row)
        self._find(GIVEN, pair, pair.question)
        if pair.history and pair.evidence:
            self._follow_up(pair, row)
        elif _is_first(pair) and other:
            self.tallies[BEFORE, PULLQUOTE].add(pair, row)
            self.tallies[AFTER, PULLQUOTE].add(pair, self._answered(pair, pair.question, other))

    def _follow_up(self, pair: QAPair, row: Row) -> None:
        self.tallies[HISTORY, PULLQUOTE].add(pair, row)
        for way, question in ((ALONE, pair.question), (JOINED, joined(pair)), (REWRITTEN, pair.rewrite)):
            if question:
                self.tallies[way, PULLQUOTE].add(pair, self._answered(pair, question))
                self._find(way, pair, question)

    def _answered(self, pair: QAPair, question: str, history: Conversation = ()) -> Row:
        return Row.of(pair, self.chain.ask(question, history, **asking_day(pair)), self.chain.index, "")

    def _find(self, way: str, pair: QAPair, question: str) -> None:
        """The recipe only finds: an answer of its would be a language model's."""
        hits = tuple(self.recipe.retrieve(question))
        self.tallies[way, RECIPE].add(pair, Row(pair.id, question, "", True, 0.0, (), hits, 0.0))

    def means(self, way: str, names: Sequence[str]) -> dict[str, dict[str, Interval]]:
        """Figures by system, of those that were asked that way."""
        tallied = {system: self.tallies[way, system] for system in SYSTEMS if (way, system) in self.tallies}
        return {system: _means(tally.scores(), names) for system, tally in tallied.items()}

    def lost(self) -> dict[str, Difference]:
        """What the unrelated conversation cost, question by question."""
        if (AFTER, PULLQUOTE) not in self.tallies:
            return {}
        after, before = (self.tallies[way, PULLQUOTE].scores().columns for way in (AFTER, BEFORE))
        found = {name: statistics.paired(after[name], before[name]) for name in DISTURBED}
        return {name: difference for name, difference in found.items() if difference}


def _measured(this: QASet, others: Sequence[QASet], step: Callable[[], object]) -> SetReport:
    from eval.bench.baseline import PlainRecipe

    chain = Chain.from_config(this.config)
    desk = _Desk(chain, PlainRecipe(this.recipe, this.config.embedding_model))
    elsewhere = _some(pair for other in others for pair in other.pairs() if pair.history)
    conversations = [pair.history for pair in elsewhere]
    own = [] if conversations else _some(pair for pair in this.first_questions() if pair.answers)
    for pair in this.pairs():
        desk.ask(pair, unrelated(pair, conversations, own))
        step()
    foreign = []
    for pair in (pair for other in others for pair in other.first_questions()):
        foreign.append(not chain.ask(pair.question, **asking_day(pair)).grounded)
        step()
    return _report(this, desk, statistics.mean(np.array(foreign, dtype=float)))


def _report(this: QASet, desk: _Desk, foreign: Interval | None) -> SetReport:
    scores = desk.tallies[GIVEN, PULLQUOTE].scores()
    found = figures(scores)
    return SetReport(
        name=this.name,
        made=run_setup(desk.chain, desk.chain.index.articles()),
        asked=len(scores.ids),
        excluded=this.survey.excluded,
        retrieval=desk.means(GIVEN, RETRIEVAL),
        answers={name: found[name] for name in ANSWERS if name in found},
        foreign=foreign,
        follow_ups={way: by_system for way in WAYS if (by_system := desk.means(way, FOLLOW_UPS))},
        lost=desk.lost(),
        calibration=statistics.calibration_curve(*answered(table_of(scores)).T),
    )


def _some(pairs: Iterable[QAPair]) -> list[QAPair]:
    """POOL of them, drawn at random, the same ones each time."""
    chance = random.Random(SEED)
    return heapq.nsmallest(POOL, pairs, key=lambda _: chance.random())


def _means(scores: Scores, names: Sequence[str]) -> dict[str, Interval]:
    found = {name: statistics.mean(scores.columns[name]) for name in names}
    return {name: interval for name, interval in found.items() if interval}


def _band(said: float) -> int:
    """Which tenth of the scale a band's mean confidence lies in; the mean may be off by the last bit."""
    return min(int(round(said, 6) * 10), 9)


def _together(points: Sequence[tuple[float, float, int]]) -> tuple[float, float, int]:
    said, right, counts = np.array(points).T
    n = counts.sum()
    return float(said @ counts / n), float(right @ counts / n), int(n)


Line = tuple[Sequence[str], Sequence[str]]
"""A line of a table: its labels, and its cells."""


def _table(names: Sequence[str], labels: int, lines: Iterable[Line]) -> str:
    """Lines without a figure are left out, and a table without a line is empty."""
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
                found = [each.follow_ups.get(way, {}).get(system, {}).get(name) for each in sets]
                yield (name, way, system), [cell(interval) for interval in found]


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
        yield (f"{band / 10}–{(band + 1) / 10}",), [_said(column.get(band)) for column in columns]


def _said(point: tuple[float, float, int] | None) -> str:
    return f"{point[0]:.2f}: {point[1]:.2f} (n = {point[2]:,})" if point else NONE
