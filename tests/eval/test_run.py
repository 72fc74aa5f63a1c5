"""A whole evaluation: over a chain a reader computes in the head, and over the real one."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from eval.pairs.reading import sample_pairs
from eval.pairs.schema import QAPair
from eval.report import SavedReport, compare, write_json
from eval.rows import Row
from eval.run import MAX_KINDS, Progress, Report, _Collector, evaluate
from ingest import ingest
from rag.chain import Chain
from rag.config import Config
from rag.errors import ReadError
from rag.retrieval.retriever import Retriever
from rag.schema import Answer, Article, ArticleEntry, Citation, Failure, Hit, Passage, Query, Stage, Turn

TEXT = "Tea is hot."
TEA = Passage("tea-0", "tea", "", 0, 0, len(TEXT), TEXT, ((0, len(TEXT)),), "Tea", "", "", "", None)


@dataclass
class Shelf:
    """Stands for the index: two articles."""

    embedding_model: str = "none"

    def articles(self) -> Iterator[ArticleEntry]:
        for name in ("tea", "ice"):
            yield ArticleEntry(name, name.title(), "", "", "", None, "", "digest", 1)

    def article(self, article_id: str) -> Article | None:
        return Article(article_id, "", TEXT)

    def counts(self) -> tuple[int, int]:
        return 2, 2


@dataclass
class Parrot:
    """Stands for the chain: says "Tea is hot." as sure as the question's number, and nothing below 0.5."""

    index: Shelf = field(default_factory=Shelf)
    asked: list[str] = field(default_factory=list)
    stop_at: list[str] = field(default_factory=list)
    turns_told: list[int] = field(default_factory=list)
    days: list[date | None] = field(default_factory=list)

    def ask(self, question: str, history: Sequence[Turn] = (), today: date | None = None) -> Answer:
        if question in self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(question)
        self.days.append(today)
        self.turns_told.append(len(history))
        confidence = float(question.rsplit(maxsplit=1)[-1])
        hits, stages = (Hit(TEA, 1.0),), (Stage("retrieve", 0.01),)
        if confidence < 0.5:
            return Answer(question, "Nothing.", (), hits, False, confidence, seconds=0.01, stages=stages)
        cited = (Citation(1, TEA, TEXT, 0, len(TEXT)),)
        return Answer(question, f"{TEXT} [1]", cited, hits, True, confidence, seconds=0.01, stages=stages)


def pair(name: str, confidence: float, answer: str = "hot", **given: Any) -> QAPair:
    found = QAPair(name, f"How is it? {confidence}", (answer,), ("tea",), (), answerable=True, origin=f"p, line {name}")
    return replace(found, **given)


UNANSWERABLE: dict[str, Any] = {"answers": (), "articles": (), "answerable": False}
PAIRS = [
    pair("1", 0.9),
    pair("2", 0.8, "cold"),
    pair("3", 0.1),
    pair("4", 0.7, **UNANSWERABLE),
    pair("5", 0.2, **UNANSWERABLE),
]


def run(pairs: Any, chain: Any = None, rows: Path | None = None, *, resume: bool = False) -> Report:
    return evaluate(cast("Chain", chain or Parrot()), pairs, rows, resume=resume)


def test_every_figure_is_what_it_should_be() -> None:
    report = run(PAIRS)
    figure = {name: (round(found.value, 4), found.n) for name, found in report.figures.items()}
    assert figure["hit@1"] == figure["mrr"] == (1, 3)
    assert figure["right"] == (0.3333, 3)
    assert figure["answered"] == (0.6667, 3)
    assert figure["abstain_recall"] == (0.5, 2)
    assert figure["abstain_precision"] == (0.5, 2), "one of the two refusals was of an unanswerable question"
    assert figure["abstain_f1"] == (0.5, 5)
    assert figure["right_when_answered"] == (0.3333, 3)
    assert figure["auc_right"] == (1, 3)
    assert figure["auc_answerable"] == (round(4 / 6, 4), 5)
    assert figure["calibration_error"] == (round((0.1 + 0.8 + 0.7) / 3, 4), 3)
    assert figure["quote_exact"] == (1, 3)
    assert "evidence@1" not in figure, "no pair has evidence"
    assert report.seconds["retrieve"]["p50"] == pytest.approx(0.01)
    assert (report.asked, report.excluded, report.interrupted) == (5, 0, False)


def test_the_worst_come_first() -> None:
    assert [judged.pair.id for judged in run(PAIRS).worst] == ["2", "4", "3"]


def test_answerable_questions_alone_have_no_figures_of_refusal() -> None:
    figures = run(PAIRS[:3]).figures
    assert not {"abstain_recall", "abstain_precision", "abstain_f1", "auc_answerable"} & set(figures)


def test_pairs_that_cannot_be_asked_are_counted_and_told() -> None:
    unknown = pair("6", 0.9, articles=("coffee",))
    report = run([*PAIRS, Failure("p, line 9", "is not JSON"), PAIRS[0], unknown])
    assert (report.asked, report.excluded) == (5, 3)
    assert [failure.source for failure in report.failures] == ["p, line 9", "p, line 1", "p, line 6"]
    with pytest.raises(ReadError, match="is not JSON"):
        run([Failure("p, line 9", "is not JSON")])
    with pytest.raises(ReadError, match="there is none"):
        run([])


def test_a_question_is_asked_with_its_history() -> None:
    chain = Parrot()
    run([pair("1", 0.9), pair("2", 0.9, history=(Turn("What?", "Tea."),))], chain)
    assert chain.turns_told == [0, 1]


def test_a_question_is_asked_on_its_own_day(tmp_path: Path) -> None:
    day, other, chain, rows = date(2024, 3, 5), date(2024, 6, 1), Parrot(), tmp_path / "rows.jsonl"
    pairs = [pair("1", 0.9, asked_on=day), pair("2", 0.8)]
    report = evaluate(cast("Chain", chain), pairs, rows, today=other)
    run(pairs, chain)
    assert chain.days == [day, other, day, None]
    assert report.setup["today"] == "2024-06-01"
    with pytest.raises(ReadError, match="other settings"):
        run(pairs, chain, rows, resume=True)


def test_groups_are_apart_and_add_up() -> None:
    turn = (Turn("What?", "Tea."),)
    pairs = [pair("1", 0.9, kind="fact"), pair("2", 0.8, "cold", kind="fact"), pair("3", 0.9, history=turn)]
    groups = run(pairs).groups
    assert {name: group["right"].n for name, group in groups.items()} == {
        "first questions": 2,
        "follow-ups": 1,
        "fact": 2,
    }
    assert groups["follow-ups"]["right"].value == 1
    assert run(PAIRS).groups == {}


def test_interrupted_it_reports_and_goes_on_later(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    report = run(PAIRS, Parrot(stop_at=[PAIRS[3].question]), rows)
    assert (report.asked, report.stopped_by) == (3, "stopped before the end")
    chain = Parrot()
    whole = run(PAIRS, chain, rows, resume=True)
    assert chain.asked == [p.question for p in PAIRS[3:]]
    assert (whole.asked, whole.interrupted) == (5, False)
    assert whole.figures == run(PAIRS).figures


def test_rows_of_another_index_are_not_taken(tmp_path: Path) -> None:
    run(PAIRS, rows=tmp_path / "rows.jsonl")
    with pytest.raises(ReadError, match="other settings"):
        run(PAIRS, Parrot(index=Shelf(embedding_model="another")), tmp_path / "rows.jsonl", resume=True)


def test_stopped_before_the_first_answer_there_is_no_report() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(PAIRS, Parrot(stop_at=[PAIRS[0].question]))


def test_an_interrupt_between_two_columns_costs_no_more_than_a_row() -> None:
    collected = _Collector()
    for each in PAIRS:
        collected.add(each, Row(each.id, each.question, "", True, 0.1, (), (), 0.1, {"retrieve": 0.1}))
    for column in list(collected.scored.columns.values())[:4]:
        column.append(0.0)
    collected.stopped_by = "stopped"
    assert collected.report({}).asked == 5


def test_each_question_with_a_kind_of_its_own_makes_no_thousand_groups() -> None:
    assert len(run([pair(str(n), 0.9, kind=f"kind {n % 40}") for n in range(100)]).groups) == MAX_KINDS


def test_progress_is_told() -> None:
    told: list[Progress] = []
    evaluate(cast("Chain", Parrot()), [*PAIRS[:2], Failure("p", "broken")], progress=told.append)
    assert told == [Progress(1, 0), Progress(2, 0), Progress(2, 1)]


def test_memory_does_not_grow_with_what_is_asked_and_answered() -> None:
    def pairs() -> Iterator[QAPair]:
        for number in range(2000):
            yield pair(str(number), 0.9, history=(Turn("What?", f"{number} " + "tea is hot " * 500),))

    held: dict[int, int] = {}

    def measure(progress: Progress) -> None:
        if progress.asked in (500, 2000):
            held[progress.asked] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    evaluate(cast("Chain", Parrot()), pairs(), progress=measure)
    tracemalloc.stop()
    assert (held[2000] - held[500]) / 1500 < 1000, "bytes a question, of the 6,000 and more that each is made of"


@dataclass(frozen=True, slots=True)
class DenseOnly(Retriever):
    """The planted regression: a passage is as good as its vector is near, and so is a sentence."""

    def retrieve(self, query: Query) -> list[Hit]:
        [vector] = self.embedder.embed_questions([query.question])
        near = {c.key: c.similarity for c in self.index.candidates(Query(""), vector, self.hits)}
        hits = []
        for stored in self.index.passages(sorted(near, key=lambda i: -near[i])):
            similar = tuple(map(float, stored.sentence_vectors @ vector))
            hits.append(Hit(stored.passage, near[stored.passage.key], similar, similar))
        return hits


def saved(report: Report, path: Path) -> SavedReport:
    with path.open("w", encoding="utf-8") as file:
        write_json(report, file)
    return SavedReport.load(path)


STORM = (
    "A storm tore the roof off the fish hall of Tolm on Tuesday. Nobody was hurt, the harbor master said. Lea Orm, "
    "who sells herring there, lost two crates and her scales. The council meets on Friday to talk about the repair."
)


@pytest.mark.slow
def test_a_copy_counts_for_the_article_that_holds_it(tmp_path: Path) -> None:
    rows = [("a", STORM, "Bay"), ("b", f" {STORM}\n", "Wire")]
    articles = tmp_path / "articles.jsonl"
    fields = ({"id": i, "title": f"Storm, {s}", "text": text, "source": s} for i, text, s in rows)
    articles.write_text("".join(f"{json.dumps(each)}\n" for each in fields), "utf-8")
    config = Config(index=tmp_path / "index")
    assert ingest([articles], config).duplicates == 1
    chain = Chain.from_config(config)
    held, copied = {entry.id: entry for entry in chain.index.articles() if entry.copies}.popitem()
    [folded] = [copy.id for copy in copied.copies]
    assert {held, folded} == {"a", "b"}
    asked = pair(
        "1",
        0.9,
        "two crates",
        question="What did Lea Orm lose?",
        evidence=("Nobody was hurt, the harbor master said.",),
    )
    report = evaluate(chain, [replace(asked, articles=(folded,))])
    assert (report.asked, report.excluded) == (1, 0)
    for name in ("hit@1", "recall@5", "all_evidence@10"):
        assert report.figures[name].value == 1, name


@pytest.mark.slow
def test_a_planted_regression_is_found_and_the_same_run_twice_is_not(sample_chain: Chain, tmp_path: Path) -> None:
    pairs = sample_pairs()
    retriever = sample_chain.retriever
    worse = DenseOnly(retriever.index, retriever.embedder, retriever.candidates, retriever.hits)
    first = saved(evaluate(sample_chain, pairs), tmp_path / "a.json")
    again = saved(evaluate(sample_chain, pairs), tmp_path / "b.json")
    without = saved(evaluate(replace(sample_chain, retriever=worse), pairs), tmp_path / "c.json")
    assert {row.verdict for row in compare(first, again)} == {"no difference shown"}
    verdicts = {row.name: row.verdict for row in compare(first, without)}
    assert "worse" in (verdicts["ndcg@10"], verdicts["evidence@5"])
    assert "better" not in verdicts.values()
    assert first.setup["settings"]["retriever"]["name"] != without.setup["settings"]["retriever"]["name"]


@pytest.mark.slow
def test_the_figures_can_be_worked_out_again_from_the_rows(sample_chain: Chain, tmp_path: Path) -> None:
    pairs = sample_pairs()[:12]
    first = evaluate(sample_chain, pairs, tmp_path / "rows.jsonl")
    again = evaluate(sample_chain, pairs, tmp_path / "rows.jsonl", resume=True)
    assert first.figures == again.figures
    assert first.seconds == again.seconds, "nothing was asked again"
    assert np.array_equal(first.scores.columns["seconds"], again.scores.columns["seconds"])
    assert json.dumps(first.setup["index"]) == json.dumps(again.setup["index"])
