"""Measures speed and memory as the corpus grows, beside LlamaIndex's plain recipe in the same run.

Every measurement has a process of its own, and so a peak memory of its own. Machines differ and are shared: compare
the ratios.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from eval.statistics import percentiles
from ingest.articles.passages import LEAST_WORDS, MOST_WORDS, sentences_of
from ingest.content.types import Options
from ingest.pipeline import ingest
from ingest.sources.files import Source, find
from ingest.sources.opener import Opener
from rag.chain import Chain
from rag.config import Config
from rag.errors import ConfigError, ReadError
from rag.models.embedding import Vectors, normalized
from rag.schema import Article, Span

WORDS_OF_A_PASSAGE = (LEAST_WORDS + MOST_WORDS) // 2
QUESTIONS, WARM_UP = 50, 5
QUESTION_WORDS = 10
SEED = 1
MEBIBYTE = 2**20
PULLQUOTE, RECIPE = "Pullquote", "LlamaIndex's recipe"

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one system for a corpus; times in seconds, peak memory and disk in MiB."""

    system: str
    passages: int
    words: int
    ingest_seconds: float
    question_p50: float
    question_p95: float
    ingest_memory: float
    question_memory: float
    disk: float

    @property
    def words_per_second(self) -> float:
        """Speed of ingestion, in words since the systems split text differently."""
        return self.words / self.ingest_seconds


COLUMNS: tuple[tuple[str, int, Callable[[Cost], float]], ...] = (
    ("ingest, words/s", 0, lambda cost: cost.words_per_second),
    ("question p50, ms", 0, lambda cost: cost.question_p50 * 1000),
    ("p95", 0, lambda cost: cost.question_p95 * 1000),
    ("memory to ingest, MiB", 0, lambda cost: cost.ingest_memory),
    ("to ask", 0, lambda cost: cost.question_memory),
    ("disk, MiB", 1, lambda cost: cost.disk),
)
"""Heading, decimals and value of each column of the table."""


@dataclass(frozen=True, slots=True)
class _Task:
    system: str
    config: Config
    warm_up: Path
    corpus: Path
    questions: tuple[str, ...]


NOISE = 0.7
"""Of a vector's length: a cosine of about .8 to the real one."""


@dataclass(slots=True)
class NoisyEmbedder:
    """Given vectors plus noise, drawn anew for each text. Replaces a model whose time and memory are not measured."""

    vectors: Vectors
    seconds: float = 0.0
    _drawn: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """One row per question."""
        return self._draw(len(questions))

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """One row per text, and one per part."""
        started = time.thread_time()
        vectors = self._draw(len(texts))
        sentences = [normalized(vectors[i] + self._draw(len(spans))) for i, spans in enumerate(parts)]
        self.seconds += time.thread_time() - started
        return vectors, sentences

    def _draw(self, count: int) -> Vectors:
        real = self.vectors[self._drawn.integers(0, len(self.vectors), count)]
        noise = self._drawn.standard_normal(real.shape).astype(np.float32)
        return normalized(real + NOISE * noise / np.sqrt(real.shape[1]))


def bench(
    sources: Sequence[Path], passages: Sequence[int], config: Config, work: Path, log: Callable[[str], object]
) -> Iterator[Cost]:
    """Measure both systems on corpora of about so many passages, generated from these articles.

    `work` is an empty folder; `log` gets a line before each step. Questions are timed until their hits are returned.
    Raises ReadError without an article, ConfigError if the recipe is not installed.
    """
    require_recipe()
    articles = read_all(sources)
    questions = tuple(questions_about(articles))
    _write(work / "warm-up.jsonl", articles[:1])
    for size in passages:
        words = _write(work / f"{size}.jsonl", grown(articles, size * WORDS_OF_A_PASSAGE))
        for system in (RECIPE, PULLQUOTE):
            log(f"{system}: {size:,} passages …")
            folder = work / f"{size}-{system}"
            own = replace(config, index=folder)
            task = _Task(system, own, work / "warm-up.jsonl", work / f"{size}.jsonl", questions)
            seconds, ingest_memory = in_a_process(_ingest, task)
            p50, p95, question_memory = in_a_process(_ask, task)
            disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / MEBIBYTE
            yield Cost(system, size, words, seconds, p50, p95, ingest_memory, question_memory, disk)


def require_recipe() -> None:
    """Raises ConfigError if the recipe is not installed."""
    if not all(find_spec(f"llama_index.{name}") for name in ("embeddings", "vector_stores")):
        raise ConfigError("LlamaIndex's recipe is not installed; run: pip install 'pullquote[bench]'")


def grown(articles: Sequence[Article], words: int) -> Iterator[Article]:
    """The articles, then articles made of their sentences at random, until there are so many words."""
    drawn = random.Random(SEED)
    by_article = [[article.text[s.start : s.end] for s in sentences_of(article.text)] for article in articles]
    sentences = [sentence for article_sentences in by_article for sentence in article_sentences]
    written = number = 0
    while written < words:
        if number < len(articles):
            text = articles[number].text
        else:
            text = " ".join(drawn.choices(sentences, k=len(drawn.choice(by_article))))
        written += len(text.split())
        yield Article(f"a{number}", articles[number % len(articles)].title, text)
        number += 1


def questions_about(articles: Sequence[Article]) -> list[str]:
    """The beginnings of random sentences, which take as long as questions."""
    drawn = random.Random(SEED)
    beginnings = []
    for article in drawn.choices(articles, k=QUESTIONS):
        sentence = drawn.choice(list(sentences_of(article.text)))
        beginnings.append(" ".join(article.text[sentence.start : sentence.end].split()[:QUESTION_WORDS]))
    return beginnings


def markdown(costs: Sequence[Cost]) -> str:
    """A Markdown table with a line for each system, and one for Pullquote divided by the recipe."""
    lines = [f"| passages | | {' | '.join(heading for heading, _, _ in COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for recipe, ours in zip(costs[::2], costs[1::2], strict=True):
        for cost, size in ((recipe, f"{recipe.passages:,}"), (ours, "")):
            cells = [f"{of(cost):,.{digits}f}" for _, digits, of in COLUMNS]
            lines.append(f"| {size} | {cost.system} | {' | '.join(cells)} |")
        ratios = [f"{of(ours) / of(recipe):.2f}" for _, _, of in COLUMNS]
        lines.append(f"| | ratio | {' | '.join(ratios)} |")
    return "\n".join(lines)


def read_all(sources: Sequence[Path]) -> list[Article]:
    """The articles of files and folders. Raises ReadError without an article."""
    articles = [article for path in sources for article in read_articles(path)]
    if not articles:
        raise ReadError(f"no article in {', '.join(map(str, sources))}; give files or folders of articles")
    return articles


def read_articles(path: Path) -> Iterator[Article]:
    """The articles of a file or a folder; those that cannot be read are skipped."""
    with Opener(Options()) as reader:
        for source in find(path):
            if isinstance(source, Source):
                yield from (item for item in reader.read(source) if isinstance(item, Article))


def _write(corpus: Path, articles: Iterable[Article]) -> int:
    """Write JSON Lines; returns the number of words."""
    words = 0
    with corpus.open("w", encoding="utf-8") as file:
        for article in articles:
            words += len(article.text.split())
            file.write(f"{json.dumps({'id': article.id, 'title': article.title, 'text': article.text})}\n")
    return words


def in_a_process(job: Callable[[S], T], task: S) -> T:
    """The result of a job that runs in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(job, task).result()


def _ingest(task: _Task) -> tuple[float, float]:
    """Seconds from opening the index to storing the last passage, with libraries imported before; and MiB."""
    warm_up = task.config.index.with_name(f"{task.config.index.name}-warm-up")
    _fill(task.system, task.warm_up, replace(task.config, index=warm_up))
    started = time.perf_counter()
    _fill(task.system, task.corpus, task.config)
    return time.perf_counter() - started, peak_memory()


def _ask(task: _Task) -> tuple[float, float, float]:
    """Median and 95th percentile of seconds; and MiB."""
    retrieve = _retriever(task.system, task.config)
    times = []
    for question in (*task.questions[:WARM_UP], *task.questions):
        started = time.perf_counter()
        retrieve(question)
        times.append(time.perf_counter() - started)
    seconds = percentiles(np.array(times[WARM_UP:]))
    return seconds["p50"], seconds["p95"], peak_memory()


def _fill(system: str, corpus: Path, config: Config) -> None:
    if system == PULLQUOTE:
        ingest([corpus], config)
        return
    from eval.bench.baseline import PlainRecipe

    PlainRecipe(config.index, config.embedding_model).ingest(read_articles(corpus))


def _retriever(system: str, config: Config) -> Callable[[str], object]:
    if system == PULLQUOTE:
        return Chain.from_config(config).retrieve
    from eval.bench.baseline import PlainRecipe

    return PlainRecipe(config.index, config.embedding_model).retrieve


def peak_memory() -> float:
    """Peak memory of this process in MiB. On Linux, ru_maxrss would include the parent's memory at the start."""
    status = Path("/proc/self/status")
    if status.exists():
        [peak] = [line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM")]
        return int(peak.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE
