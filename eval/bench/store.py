"""Measures the store as the corpus grows, without a model: its vectors are those of real passages plus noise.

All times are CPU time, since machines are shared; each size is measured in processes of its own. Machines differ:
compare the ratios to the first size.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from eval.bench.scale import (
    SEED,
    WORDS_OF_A_PASSAGE,
    NoisyEmbedder,
    grown,
    in_a_process,
    peak_memory,
    questions_about,
    read_all,
)
from ingest.articles.passages import split
from ingest.pipeline import ingest
from ingest.updater import Model
from rag.config import Config
from rag.models.embedding import load_embedder
from rag.retrieval.retriever import Retriever
from rag.schema import Article, Filters, Query
from rag.store.derived.dense import GRAPH_PASSAGES
from rag.store.index import Index

SOURCES, FIRST_DAY, DAYS = 30, date(2015, 1, 1), 3650
"""The first source has a third of the articles; they are published evenly over ten years."""
FIRST_SOURCE_SHARE = 1 / 3
WARM_UP = 3
HISTORY = 3
"""Articles that a follow-up prefers."""


@dataclass(frozen=True, slots=True)
class StoreCost:
    """CPU seconds, MiB, and bytes per passage, for an index of so many passages.

    `questions` are the medians of several kinds; `opened` is the first question of a process, with its opening;
    `after_write` the one after another process has added an article, which takes `added`.
    """

    passages: int
    rate: float
    disk: float
    opened: float
    questions: dict[str, float]
    after_write: float
    added: float
    skipped: float
    memory: float


@dataclass(frozen=True, slots=True)
class _Task:
    config: Config
    corpus: Path
    vectors: Path
    questions: tuple[str, ...] = ()


def bench_store(
    sources: Sequence[Path], passages: Sequence[int], config: Config, work: Path, log: Callable[[str], object]
) -> Iterator[StoreCost]:
    """Measure indexes of about so many passages, generated from these articles.

    `work` is an empty folder; `log` gets a line before each step. Raises ReadError without an article.
    """
    articles = read_all(sources)
    vectors = work / "vectors.npy"
    parts = [passage for article in articles for passage in split(article)]
    texts = [passage.indexed_text for passage in parts]
    np.save(vectors, load_embedder(config.embedding_model).embed_texts(texts, [()] * len(texts))[0])
    for size in passages:
        log(f"{size:,} passages …")
        corpus = work / f"{size}.jsonl"
        write_corpus(corpus, grown(articles, size * WORDS_OF_A_PASSAGE))
        own = replace(config, index=work / f"{size}.index")
        task = _Task(own, corpus, vectors, tuple(questions_about(articles)))
        count, rate, skipped = in_a_process(_ingest, task)
        files = [file.stat().st_size for file in own.index.rglob("*") if file.is_file()]
        opened, questions, after_write, added, memory = in_a_process(_ask, task)
        yield StoreCost(count, rate, sum(files) / count, opened, questions, after_write, added, skipped, memory)


def write_corpus(corpus: Path, articles: Iterator[Article]) -> None:
    """Write articles with sources and dates as JSON Lines."""
    drawn = random.Random(SEED)
    with corpus.open("w", encoding="utf-8") as file:
        for article in articles:
            first = drawn.random() < FIRST_SOURCE_SHARE
            record = {
                "id": article.id,
                "title": article.title,
                "text": article.text,
                "source": f"Source {0 if first else drawn.randrange(1, SOURCES)}",
                "published": str(FIRST_DAY + timedelta(drawn.randrange(DAYS))),
            }
            file.write(f"{json.dumps(record)}\n")


def _ingest(task: _Task) -> tuple[int, float, float]:
    """The number of passages, those ingested per CPU second without the model, and an unchanged ingest's seconds."""
    embedder = NoisyEmbedder(np.load(task.vectors))
    model = Model(task.config.embedding_model, embedder)
    started = time.process_time()
    report = ingest([task.corpus], task.config, model=model)
    seconds = time.process_time() - started - embedder.seconds
    started = time.process_time()
    ingest([task.corpus], task.config, model=model)
    return report.passages, report.passages / seconds, time.process_time() - started


def _ask(task: _Task) -> tuple[float, dict[str, float], float, float, float]:
    """`opened`, `questions`, `after_write`, `added` and `memory` of a StoreCost."""
    embedder = NoisyEmbedder(np.load(task.vectors))
    started = time.process_time()
    index = Index(task.config.index, task.config.embedding_model)
    retriever = Retriever(index, embedder, task.config.candidates, task.config.hits)
    retriever.retrieve(Query(task.questions[0]))
    opened = time.process_time() - started
    if index.counts()[1] >= GRAPH_PASSAGES:
        index.open_vectors(wait=True)  # or the time of opening, in the background, counts as that of the questions
    questions = {name: _median(retriever, query, task.questions) for name, query in _kinds(index).items()}
    memory = peak_memory()
    added = in_a_process(_add, task)
    started = time.process_time()
    retriever.retrieve(Query(task.questions[0]))
    return opened, questions, time.process_time() - started, added, memory


def _kinds(index: Index) -> dict[str, Query]:
    """A query of each kind, without its question."""
    month = Filters(date(2019, 5, 1), date(2019, 5, 31))
    articles = tuple(entry.id for entry, _ in zip(index.articles(), range(HISTORY), strict=False))
    return {
        "plain": Query(""),
        "a month": Query("", month),
        "half of all days": Query("", Filters(FIRST_DAY + timedelta(DAYS // 2))),
        "a source with a third of the articles": Query("", Filters(sources=("Source 0",))),
        "a follow-up": Query("", weight=1.0, carried="the council", articles=articles),
    }


def _median(retriever: Retriever, query: Query, questions: Sequence[str]) -> float:
    times = []
    for question in (*questions[:WARM_UP], *questions):
        started = time.process_time()
        retriever.retrieve(replace(query, question=question))
        times.append(time.process_time() - started)
    return float(np.median(times[WARM_UP:]))


def _add(task: _Task) -> float:
    """CPU seconds of adding one article."""
    file = task.corpus.with_suffix(".txt")
    file.write_text("One more\n\nThe council met on Tuesday, and nobody was surprised by what it decided.", "utf-8")
    model = Model(task.config.embedding_model, NoisyEmbedder(np.load(task.vectors)))
    started = time.process_time()
    ingest([file], task.config, model=model)
    return time.process_time() - started


def markdown(costs: Sequence[StoreCost]) -> str:
    """A Markdown table with a column for each size, and one with the ratio of the last to the first."""
    kinds = list(costs[0].questions)
    rows: list[tuple[str, Callable[[StoreCost], float], int]] = [
        ("ingest without the model, passages per CPU second", lambda cost: cost.rate, 0),
        ("disk, bytes a passage", lambda cost: cost.disk, 0),
        *((f"question, {kind}, CPU ms", lambda cost, kind=kind: cost.questions[kind] * 1000, 1) for kind in kinds),
        ("question after another process's write, CPU ms", lambda cost: cost.after_write * 1000, 1),
        ("opening and first question, CPU ms", lambda cost: cost.opened * 1000, 0),
        ("adding one article, CPU s", lambda cost: cost.added, 2),
        ("ingest of the unchanged corpus, CPU s", lambda cost: cost.skipped, 2),
        ("peak memory after the questions, MiB", lambda cost: cost.memory, 0),
    ]
    lines = [
        f"| passages | {' | '.join(f'{cost.passages:,}' for cost in costs)} | ratio |",
        "|---" * (len(costs) + 2) + "|",
    ]
    for name, value, digits in rows:
        values = [value(cost) for cost in costs]
        ratio = f"{values[-1] / values[0]:.2f}" if values[0] else ""
        lines.append(f"| {name} | {' | '.join(f'{v:,.{digits}f}' for v in values)} | {ratio} |")
    return "\n".join(lines)
