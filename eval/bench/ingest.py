"""Measures an ingest beside the bare encoder in the same run, an unchanged corpus, and memory.

Machines differ and are shared: compare the share of the encoder's speed.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.bench.scale import SEED, NoisyEmbedder, in_a_process, peak_memory, read_all
from ingest.articles.passages import sentences_of, split
from ingest.pipeline import ingest
from ingest.updater import Model
from rag.config import Config
from rag.models.embedding import load_embedder
from rag.models.sentence_transformer import load_sentence_transformer
from rag.schema import Article, IngestReport

CHARACTERS = 8_000
"""Length of a generated article."""
DIMENSION = 384
WARM_UP = 64
"""Texts encoded before the time is taken."""
SLICES = 2
"""The encoder and the ingest take turns, so that other load affects both alike."""


@dataclass(frozen=True, slots=True)
class IngestCost:
    """Rates per second; `memory` is the growth to the peak in MiB, without a model."""

    articles: int
    passages: int
    encoded: float
    ingested: float
    memory_articles: int
    memory: float
    reread: float
    skipped: float

    @property
    def share(self) -> float:
        """The ingest's speed as a share of the bare encoder's."""
        return self.ingested / self.encoded


@dataclass(frozen=True, slots=True)
class _Task:
    config: Config
    corpus: Path
    articles: int


def bench_ingest(
    sources: Sequence[Path], sizes: tuple[int, int], config: Config, work: Path, log: Callable[[str], object]
) -> IngestCost:
    """Measure on generated corpora of these sizes: the first with the model, the second without.

    `work` is an empty folder; `log` gets a line before each step. Raises ReadError without an article.
    """
    articles = read_all(sources)
    tasks = []
    for number, size in enumerate(sizes):
        corpus = work / f"{number}.jsonl"
        with corpus.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record)}\n" for record in grown_records(articles, size))
        tasks.append(_Task(replace(config, index=work / f"{number}.index"), corpus, size))
    log(f"encoding and ingesting {sizes[0]:,} articles …")
    passages, encoded, ingested = in_a_process(_beside_the_encoder, tasks[0])
    log(f"ingesting {sizes[1]:,} articles without a model …")
    memory, reread, skipped = in_a_process(_without_a_model, tasks[1])
    return IngestCost(sizes[0], passages, encoded, ingested, sizes[1], memory, reread, skipped)


def grown_records(articles: Sequence[Article], count: int) -> Iterator[dict[str, str]]:
    """Records of 8 kB made of the articles' sentences, a word of each changed so that no two are equal."""
    drawn = random.Random(SEED)
    sentences = [article.text[s.start : s.end].split() for article in articles for s in sentences_of(article.text)]
    words = [word for sentence in sentences for word in sentence]
    for number in range(count):
        text = ""
        while len(text) < CHARACTERS:
            sentence = list(drawn.choice(sentences))
            sentence[drawn.randrange(len(sentence))] = drawn.choice(words)
            text += " ".join(sentence) + ("\n\n" if drawn.random() < 0.2 else " ")
        yield {"id": f"a{number}", "title": f"Article {number}", "text": text}


def markdown(cost: IngestCost) -> str:
    """The figures as a Markdown table."""
    encoder = f"bare encoder, sentence-transformers' `encode`, {cost.passages:,} passages"
    rows = {
        encoder: f"{cost.encoded:,.0f} passages/s",
        "whole ingest of the same": f"{cost.ingested:,.0f} passages/s, {cost.share:.0%} of the encoder's speed",
        f"{cost.memory_articles:,} articles of 8 kB: memory beside the model": f"{cost.memory:,.0f} MiB",
        "unchanged, read again from a JSON Lines file with a new time": f"{cost.reread:,.0f} articles/s",
        "unchanged, with the same size and time": f"{cost.skipped:,.0f} articles/s",
    }
    return "\n".join(["| ingest | |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows.items())])


def _beside_the_encoder(task: _Task) -> tuple[int, float, float]:
    """The number of passages, and passages per second of the encoder alone and of the whole ingest."""
    name = task.config.embedding_model
    encoder, model = load_sentence_transformer(name), Model(name, load_embedder(name))
    lines = task.corpus.read_text("utf-8").splitlines()
    texts = _texts(lines)
    encoder.encode(texts[:WARM_UP])
    encoding = ingesting = 0.0
    for part in range(SLICES):
        part_lines = lines[part::SLICES]
        part_texts = _texts(part_lines)
        started = time.perf_counter()
        encoder.encode(part_texts)
        encoding += time.perf_counter() - started
        corpus = task.corpus.with_name(f"part{part}.jsonl")
        corpus.write_text("\n".join(part_lines), "utf-8")
        report = ingest([corpus], task.config, model=model)
        ingesting += report.seconds
    return len(texts), len(texts) / encoding, len(texts) / ingesting


def _texts(lines: Sequence[str]) -> list[str]:
    articles = (Article(**json.loads(line)) for line in lines)
    return [passage.indexed_text for article in articles for passage in split(article)]


def _without_a_model(task: _Task) -> tuple[float, float, float]:
    """Growth of memory in MiB, and articles per second of an unchanged corpus, read again and skipped."""
    model, before = Model("random", NoisyEmbedder(np.eye(DIMENSION, dtype=np.float32))), peak_memory()
    config = replace(task.config, embedding_model="random")

    def run() -> IngestReport:
        return ingest([task.corpus], config, lambda _: None, model=model)

    run()
    memory = peak_memory() - before
    os.utime(task.corpus)
    reread, skipped = run(), run()
    return memory, reread.unchanged / reread.seconds, skipped.unchanged / skipped.seconds
