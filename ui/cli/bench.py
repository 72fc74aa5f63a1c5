"""`pullquote eval bench…` and `suite`: speed and quality beside a plain recipe."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from eval.pairs.schema import QAPair
from rag.config import Config
from rag.errors import AddressError, ReadError, cut
from ui.cli.terminal import (
    AsJson,
    IndexDir,
    complain,
    errors_as_lines,
    print_failures,
    progress,
    say,
)

bench_app = typer.Typer()


@bench_app.command()
def bench(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Articles to grow the corpus from; the sample ones.")
    ] = None,
    passages: Annotated[list[int] | None, typer.Option(min=1, help="Size of a corpus; may be given again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure speed and memory as the corpus grows, beside LlamaIndex's plain recipe; prints a Markdown table."""
    from eval.bench import scale as benchmark
    from eval.pairs.reading import SAMPLE_ARTICLES

    with errors_as_lines(), tempfile.TemporaryDirectory(prefix="pullquote-") as work:
        sources, sizes = paths or [SAMPLE_ARTICLES], passages or [1000]
        costs = list(benchmark.bench(sources, sizes, Config.load(), Path(work), complain))
    say(json.dumps([asdict(cost) for cost in costs], indent=1) if as_json else benchmark.markdown(costs))


@bench_app.command()
def bench_ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Articles to grow the corpus from; the sample ones.")
    ] = None,
    articles: Annotated[int, typer.Option(min=4, help="Articles to encode, and to ingest with the model.")] = 200,
    without_model: Annotated[int, typer.Option(min=4, help="Articles to ingest without a model, for memory.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure an ingest beside the bare encoder, an unchanged one, and its memory; prints a Markdown table."""
    from eval.bench import ingest as benchmark
    from eval.pairs.reading import SAMPLE_ARTICLES

    with errors_as_lines(), tempfile.TemporaryDirectory(prefix="pullquote-") as work:
        sizes = (articles, without_model)
        cost = benchmark.bench_ingest(paths or [SAMPLE_ARTICLES], sizes, Config.load(), Path(work), complain)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))


@bench_app.command()
def bench_llm(
    question: Annotated[str, typer.Argument(help="What to ask; the index has to hold an answer.")],
    index: IndexDir = None,
    tokens: Annotated[int, typer.Option(min=10, help="Length of the answer.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure what a language model's stream costs on its way to a reader; prints a Markdown table."""
    from eval.bench import llm as benchmark
    from rag.chain import Chain

    with errors_as_lines():
        cost = benchmark.bench_llm(Chain.from_config(Config.load(index=index, llm="")), question, tokens)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))


@bench_app.command()
def bench_page(
    pairs: Annotated[Path, typer.Argument(help="Pairs, whose questions are asked.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Where the page is.")] = "http://127.0.0.1:7860/",
    users: Annotated[int, typer.Option(min=1, max=200, help="Who ask at once.")] = 20,
    each: Annotated[int, typer.Option(min=1, help="Questions of each.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Measure how long people wait for a running page that many ask at once; prints a Markdown table."""
    from eval.bench import page as benchmark
    from eval.pairs.reading import read_pairs

    with errors_as_lines():
        if not url.startswith(("http://", "https://")):
            raise AddressError(f"{cut(url)!r} is no address of a page; give one such as http://127.0.0.1:7860/")
        read = [pair for pair in read_pairs(pairs) if isinstance(pair, QAPair)]
        questions = [pair.question for pair in read if not pair.history]
        if not questions:
            raise ReadError(f"no question in {pairs} stands alone; give other pairs")
        cost = benchmark.bench_page(f"{url.rstrip('/')}/", questions, users, each)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))
    if cost.failed:
        raise typer.Exit(1)


@bench_app.command()
def suite(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Each with articles.jsonl and pairs.jsonl.")
    ],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many of each, the same ones each time.")
    ] = None,
    index_dir: Annotated[
        Path | None, typer.Option("--index-dir", metavar="DIR", help="Keep the indexes here for the next run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure several sets beside LlamaIndex's plain recipe; prints Markdown tables."""
    from eval.bench import suite as several

    with errors_as_lines(), _folder(index_dir) as work:
        sets = []
        for found in several.prepare(folders, sample, Config.load(), work, complain):
            print_failures(found.unread, len(found.unread))
            print_failures(found.survey.failures, found.survey.excluded)
            sets.append(found)
        with progress(several.steps(sets)) as advance:
            measured = several.measure(sets, sample, lambda: advance(1))
    say(json.dumps(asdict(measured), indent=1) if as_json else several.markdown(measured))


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """The folder to work in: the one given, or one that is gone afterwards."""
    if kept:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="pullquote-") as folder:
        yield Path(folder)
