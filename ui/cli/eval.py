"""`pullquote eval`: measures the quality of answers on question-answer pairs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rag.config import Config, api_key
from rag.errors import ConfigError, ReadError
from rag.schema import Failure
from ui.cli.terminal import (
    INTERRUPTED_STATUS,
    AsJson,
    IndexDir,
    announce,
    complain,
    errors_as_lines,
    print_failures,
    print_json,
    progress,
    say,
)
from ui.services import scope

if TYPE_CHECKING:
    from eval.report import Bound
    from eval.run import Report
    from rag.models.llm import LanguageModel


ModelUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Its server, such as http://localhost:11434/v1; set a key in PULLQUOTE_API_KEY."),
]
TABLE = (
    "hit@1,recall@10,ndcg@10,evidence@10,answer_in_100_words,answer_in_250_words,right,words,citation_support,"
    "quote_exact,answered,right_when_answered,abstain_recall,auc_answerable,calibration_error"
)


class _RunByDefault(TyperGroup):
    """`pullquote eval PAIRS` is `pullquote eval run PAIRS`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `run` unless the first argument is a command or --help."""
        explicit = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if explicit else ["run", *args])


eval_app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Measure answers on question-answer pairs: pullquote eval PAIRS [--index DIR].",
)


def _language_model(option: str, name: str | None, url: str | None) -> LanguageModel | None:
    """The model of --<option> at --<option>-url, which need each other; None without them. Does not connect yet."""
    if bool(name) != bool(url):
        raise typer.BadParameter(f"--{option} and --{option}-url go together: a model and its server")
    from rag.models.servers import load_llm

    return load_llm(name, url, api_key()) if name and url else None


@eval_app.command()
def run(
    pairs: Annotated[
        Path,
        typer.Argument(metavar="PAIRS", help="A .jsonl or .csv file, SQuAD's or MultiHop-RAG's .json, a BEIR folder."),
    ],
    index: IndexDir = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Ingest these articles into a temporary index and ask it."),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Ask a fixed sample of this size.")] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a line of JSON per question.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that wrote --rows.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as an HTML page.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if a pair is invalid.")] = False,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="NAME=BOUND", help="Exit 1 if a figure is worse: recall@10=0.9.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Have a language model score each answer, too.")
    ] = None,
    judge_url: ModelUrl = None,
    today: Annotated[
        str, typer.Option(metavar="DATE", help="The day of asking, for pairs without one of their own.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Ask every question of PAIRS and report the quality of the answers; `run` may be omitted."""
    bounds = _bounds(fail_under or ())
    _check_files(pairs, rows, html, resume=resume)
    with errors_as_lines():
        if html:
            _check_writable(html)
        model, day = _language_model("judge", judge, judge_url), scope.day(today)
        with _config(index, corpus or []) as config:
            report = _evaluate(config, pairs, sample, model, strict=strict, rows=rows, resume=resume, today=day)
        _print_report(report, as_json=as_json, html=html)
    _exit_if_failed(report, bounds)


def _bounds(texts: Sequence[str]) -> list[Bound]:
    from eval.report import Bound

    try:
        return [Bound.parse(text) for text in texts]
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def _check_files(pairs: Path, rows: Path | None, html: Path | None, *, resume: bool) -> None:
    if resume and not rows:
        raise typer.BadParameter("--resume needs the --rows file of the run to continue; add --rows FILE")
    files = [path.resolve() for path in (pairs, rows, html) if path]
    if len(set(files)) < len(files):
        raise typer.BadParameter("PAIRS, --rows and --html have to be different files")


def _exit_if_failed(report: Report, bounds: Sequence[Bound]) -> None:
    from eval.run import INTERRUPTED

    failed = [failure for bound in bounds if (failure := bound.failure(report))]
    if report.interrupted and report.stopped_by != INTERRUPTED:
        failed.append(report.stopped_by)
    for failure in failed:
        complain(failure)
    if failed or report.interrupted:
        raise typer.Exit(1 if failed else INTERRUPTED_STATUS)


@eval_app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Output of `pullquote eval … --json` before the change.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The same after the change.")],
    as_json: AsJson = False,
) -> None:
    """Compare two reports: where B is better or worse than A, and where no difference is shown."""
    from eval.report import SavedReport, compared_json, compared_table
    from eval.report import compare as run_compare

    with errors_as_lines():
        first, second = SavedReport.load(a), SavedReport.load(b)
        compared = run_compare(first, second)
    if as_json:
        print_json(compared_json(first, second, compared), indent=1)
    else:
        say(compared_table(first, second, compared))


@eval_app.command()
def table(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT.json...", help="Outputs of `--json`.")],
    figures: Annotated[str, typer.Option(help="Figures, separated by commas.")] = TABLE,
) -> None:
    """Print reports side by side as a Markdown table."""
    from eval.metrics import BY_NAME
    from eval.report import SavedReport, side_by_side

    names = [name.strip() for name in figures.split(",")]
    if unknown := [name for name in names if name not in BY_NAME]:
        raise typer.BadParameter(f"no figure is called {unknown[0]!r}; use {', '.join(BY_NAME)}")
    with errors_as_lines():
        say(side_by_side([SavedReport.load(path) for path in reports], names))


@eval_app.command("make-pairs")
def make_pairs(
    index: IndexDir = None,
    count: Annotated[int, typer.Option(min=1, help="Maximum number of pairs.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the random choice.")] = 1,
    llm: Annotated[str | None, typer.Option(metavar="MODEL", help="Have a language model write the questions.")] = None,
    llm_url: ModelUrl = None,
) -> None:
    """Generate pairs from the indexed articles as lines of JSON: sentences with a number or a name blanked out."""
    from eval.pairs.generation import cloze_pairs, written_pairs
    from eval.pairs.reading import pair_json
    from rag.store.index import Index

    with errors_as_lines():
        config, model = Config.load(index=index), _language_model("llm", llm, llm_url)
        opened = Index(config.index, config.embedding_model)
        pairs = written_pairs(opened, model.complete, count, seed) if model else cloze_pairs(opened, count, seed)
        for pair in pairs:
            if isinstance(pair, Failure):
                print_failures([pair], 1)
            else:
                print_json(pair_json(pair), indent=None)


@eval_app.command()
def label(
    drafts: Annotated[
        Path, typer.Argument(metavar="DRAFTS", help="Pairs as `eval` reads them, or the chat's feedback.jsonl.")
    ],
    index: IndexDir = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 7861,
) -> None:
    """Open a page to accept, correct or reject pairs one by one; accepted pairs are written beside DRAFTS."""
    from eval.pairs.labelling import Draft, Labels, read_drafts
    from eval.pairs.reading import ArticleNames
    from rag.chain import Chain
    from ui.page.label import LabelController, build_label_app
    from ui.server.app import Service, Site, serve

    with errors_as_lines():
        entries = list(read_drafts(drafts))
        failures = [failure for failure in entries if isinstance(failure, Failure)]
        print_failures(failures, len(failures))
        if len(failures) == len(entries):
            raise ReadError(f"no pair to label in {drafts}; make some: pullquote eval make-pairs > pairs.jsonl")
        say("Loading the model and the index …", err=True)
        chain = Chain.from_config(Config.load(index=index))
        names = ArticleNames.of(chain.index.articles())
        pairs = [draft.with_article_ids(names) for draft in entries if isinstance(draft, Draft)]
        labels = Labels.beside(drafts)
        controller = LabelController(pairs, labels, chain, names)
        with labels.locked():
            serve(lambda: Site(build_label_app(controller)), Service(port=port), announce)


@contextmanager
def _config(index: Path | None, corpus: Sequence[Path]) -> Iterator[Config]:
    """Settings with the index to ask: the given one, or a temporary one of the corpus."""
    config = Config.load(index=index)
    if not corpus:
        yield config
        return
    from ingest.pipeline import ingest

    with tempfile.TemporaryDirectory(prefix="pullquote-") as folder:
        config = replace(config, index=Path(folder) / "index")
        say("Ingesting the corpus …", err=True)
        report = ingest([_as_articles(path, Path(folder) / str(n)) for n, path in enumerate(corpus)], config)
        print_failures(report.failed, len(report.failed))
        if not report.added:
            raise ReadError(f"no article of {corpus[0]} could be ingested; see above for why")
        yield config


def _as_articles(path: Path, folder: Path) -> Path:
    """The path, or a file of the articles contained in a public set."""
    from eval.pairs.datasets import articles_of

    articles = articles_of(path) if path.exists() else None
    if articles is None:
        return path
    folder.mkdir()
    converted = folder / f"{path.stem}.jsonl"
    with converted.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(article)}\n" for article in articles)
    return converted


def _evaluate(
    config: Config, path: Path, sample: int | None, model: LanguageModel | None, *, strict: bool, **options: Any
) -> Report:
    from eval.judge import Judge
    from eval.pairs.reading import ArticleNames, check_pairs, read_pairs, sampled, survey
    from eval.run import Progress, evaluate
    from rag.chain import Chain
    from rag.store.index import Index

    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ReadError(f"{path} cannot be read twice; save the pairs to a file")
    identity = _identity(path, sample)
    names = ArticleNames.of(Index(config.index, config.embedding_model).articles())
    surveyed = survey(check_pairs(read_pairs(path), names), sample)
    print_failures(surveyed.failures, surveyed.excluded)
    if strict and surveyed.excluded:
        raise ReadError(f"{surveyed.excluded:,} pairs cannot be asked; correct them, or omit --strict to skip them")
    if surveyed.excluded:
        complain(f"pairs excluded: {surveyed.excluded:,}; --strict makes that an error")
    chain = Chain.from_config(config)
    judge = Judge(model) if model else None
    with judge or nullcontext(), progress(surveyed.pairs) as advance:
        asked_before = 0

        def show(now: Progress) -> None:
            nonlocal asked_before
            advance(now.asked - asked_before)
            asked_before = now.asked

        pairs = sampled(read_pairs(path), surveyed.cut)
        report = evaluate(chain, pairs, judge=judge, progress=show, **options)
    return replace(report, setup={**report.setup, "pairs": identity})


def _identity(path: Path, sample: int | None) -> dict[str, Any]:
    """The name and a digest of the pairs, for the report."""
    from eval.pairs.datasets import display_name

    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and os.access(file, os.R_OK):  # unreadable files are reported by the reader
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return {"name": display_name(path), "content": digest.hexdigest()[:16], "sample": sample}


def _print_report(report: Report, *, as_json: bool, html: Path | None) -> None:
    from eval.report import counted, text_table, write_json

    if html:
        from ui.html.report import report_html

        html.write_text(report_html(report), "utf-8")
    if as_json:
        write_json(report, sys.stdout)
    else:
        say(f"{text_table(report)}\n\n{counted(report)}")


def _check_writable(path: Path) -> None:
    """Raises ReadError now rather than after an hour of asking."""
    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise ReadError(f"cannot write the page to {path} ({error.strerror}); give another --html") from error
