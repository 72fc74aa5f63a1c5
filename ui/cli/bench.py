"""`pullquote eval bench…` and `suite`: measures speed, memory and quality beside a plain recipe."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

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
        list[Path] | None, typer.Argument(metavar="PATH...", help="Articles to generate the corpus from.")
    ] = None,
    passages: Annotated[list[int] | None, typer.Option(min=1, help="Size of a corpus; may be repeated.")] = None,
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
        list[Path] | None, typer.Argument(metavar="PATH...", help="Articles to generate the corpus from.")
    ] = None,
    articles: Annotated[int, typer.Option(min=4, help="Articles to encode and to ingest with the model.")] = 200,
    without_model: Annotated[int, typer.Option(min=4, help="Articles ingested without a model, for memory.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure an ingest beside the bare encoder, of an unchanged corpus, and its memory; prints a Markdown table."""
    from eval.bench import ingest as benchmark
    from eval.pairs.reading import SAMPLE_ARTICLES

    with errors_as_lines(), tempfile.TemporaryDirectory(prefix="pullquote-") as work:
        sizes = (articles, without_model)
        cost = benchmark.bench_ingest(paths or [SAMPLE_ARTICLES], sizes, Config.load(), Path(work), complain)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))


@bench_app.command()
def bench_store(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Articles to generate the corpus from.")
    ] = None,
    passages: Annotated[list[int] | None, typer.Option(min=50, help="Size of a corpus; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the store as the corpus grows, without a model; prints a Markdown table."""
    from eval.bench import store as benchmark
    from eval.pairs.reading import SAMPLE_ARTICLES

    with errors_as_lines(), tempfile.TemporaryDirectory(prefix="pullquote-") as work:
        sources, sizes = paths or [SAMPLE_ARTICLES], passages or [1_000, 10_000]
        costs = list(benchmark.bench_store(sources, sizes, Config.load(), Path(work), complain))
    say(json.dumps([asdict(cost) for cost in costs], indent=1) if as_json else benchmark.markdown(costs))


@bench_app.command()
def bench_llm(
    question: Annotated[str, typer.Argument(help="A question that the index can answer.")],
    index: IndexDir = None,
    tokens: Annotated[int, typer.Option(min=10, help="Length of the answer.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure what the chain adds to a language model's stream; prints a Markdown table."""
    from eval.bench import llm as benchmark
    from rag.chain import Chain

    with errors_as_lines():
        cost = benchmark.bench_llm(Chain.from_config(Config.load(index=index, llm="")), question, tokens)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))


@bench_app.command()
def bench_page(
    pairs: Annotated[Path, typer.Argument(help="Pairs whose questions are asked.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the page.")] = "http://127.0.0.1:7860/",
    users: Annotated[int, typer.Option(min=1, max=200, help="Users asking at once.")] = 20,
    each: Annotated[int, typer.Option(min=1, help="Questions per user.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Measure how long people wait for a running page that many use at once; prints a Markdown table."""
    from eval.bench import page as benchmark
    from eval.pairs.reading import read_pairs
    from eval.pairs.schema import QAPair

    with errors_as_lines():
        if not url.startswith(("http://", "https://")):
            raise AddressError(f"{cut(url)!r} is not the address of a page; give one such as http://127.0.0.1:7860/")
        questions = [pair.question for pair in read_pairs(pairs) if isinstance(pair, QAPair) and not pair.history]
        if not questions:
            raise ReadError(f"every question in {pairs} is a follow-up; give other pairs")
        cost = benchmark.bench_page(f"{url.rstrip('/')}/", questions, users, each)
    say(json.dumps(asdict(cost), indent=1) if as_json else benchmark.markdown(cost))
    if cost.failed:
        raise typer.Exit(1)


@bench_app.command()
def suite(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Sets: each with articles.jsonl and pairs.jsonl.")
    ],
    sample: Annotated[int | None, typer.Option(min=1, help="Ask a fixed sample of this size of each.")] = None,
    index_dir: Annotated[
        Path | None, typer.Option("--index-dir", metavar="DIR", help="Keep the indexes here for later runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure several sets beside LlamaIndex's plain recipe; prints Markdown tables."""
    from eval.bench import suite as benchmark

    kept = nullcontext(index_dir) if index_dir else tempfile.TemporaryDirectory(prefix="pullquote-")
    with errors_as_lines(), kept as work:
        sets = []
        for prepared in benchmark.prepare(folders, sample, Config.load(), Path(work), complain):
            print_failures(prepared.unread, len(prepared.unread))
            print_failures(prepared.survey.failures, prepared.survey.excluded)
            sets.append(prepared)
        with progress(benchmark.steps(sets)) as advance:
            measured = benchmark.measure(sets, sample, lambda: advance(1))
    say(json.dumps(asdict(measured), indent=1) if as_json else benchmark.markdown(measured))
