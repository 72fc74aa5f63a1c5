"""`pullquote eval`: how good the answers are, on people's own question-answer pairs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from eval.pairs.schema import QAPair
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
    typer.Option(metavar="URL", help="Its server: http://localhost:11434/v1; a key goes into PULLQUOTE_API_KEY."),
]
TABLE = (
    "hit@1,recall@10,ndcg@10,evidence@10,answer_in_100_words,answer_in_250_words,right,words,citation_support,"
    "quote_exact,answered,right_when_answered,abstain_recall,auc_answerable,calibration_error"
)


class _RunByDefault(TyperGroup):
    """`pullquote eval PAIRS` is `pullquote eval run PAIRS`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What is neither a command nor a request for help is the pairs, or an option about them."""
        named = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named or not args else ["run", *args])


eval_app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Measure answers on question-answer pairs: pullquote eval PAIRS [--index DIR].",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A language model and the address of its API."""

    name: str
    url: str

    @classmethod
    def of(cls, option: str, name: str | None, url: str | None) -> Server | None:
        """From the options --<option> and --<option>-url; None if neither is given."""
        if bool(name) != bool(url):
            raise typer.BadParameter(f"--{option} and --{option}-url go together: a model, and its server's address")
        return cls(name, url) if name and url else None

    def load(self) -> LanguageModel:
        """Connects to nothing yet."""
        from rag.models.servers import load_llm

        return load_llm(self.name, self.url, api_key())


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks to be measured, and how."""

    pairs: Path
    sample: int | None
    rows: Path | None
    resume: bool
    strict: bool
    judge: Server | None
    today: date | None


@eval_app.command()
def run(
    pairs: Annotated[
        Path,
        typer.Argument(metavar="PAIRS", help="A .jsonl or .csv file, SQuAD's or MultiHop-RAG's .json, a BEIR folder."),
    ],
    index: IndexDir = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Ingest these articles into a temporary index, and ask that."),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Ask only so many, the same ones each time.")] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a line of JSON for each question.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run that wrote --rows stopped.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one page.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Ask nothing if a pair is broken.")] = False,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="NAME=BOUND", help="Exit 1 if a figure is worse: recall@10=0.9.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Have a language model judge each answer as well.")
    ] = None,
    judge_url: ModelUrl = None,
    today: Annotated[
        str, typer.Option(metavar="DATE", help="What “last week” counts from in pairs without a day of their own.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Ask every question of PAIRS (`run` may be left out), and report how good the answers are."""
    bounds = _bounds(fail_under or ())
    _check_files(pairs, rows, html, resume=resume)
    with errors_as_lines():
        if html:
            _check_writable(html)
        judged = Server.of("judge", judge, judge_url)
        asked = Asked(pairs, sample, rows, resume, strict, judged, scope.day(today))
        with _config(index, corpus or []) as config:
            report = _measured(config, asked)
        _tell(report, as_json=as_json, html=html)
    _exit_if_failed(report, bounds)


def _bounds(texts: Sequence[str]) -> list[Bound]:
    from eval.report import Bound

    try:
        return [Bound.parse(text) for text in texts]
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def _check_files(pairs: Path, rows: Path | None, html: Path | None, *, resume: bool) -> None:
    if resume and not rows:
        raise typer.BadParameter("--resume needs the --rows file of the run to go on with; add --rows FILE")
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
    a: Annotated[Path, typer.Argument(metavar="A.json", help="What `pullquote eval … --json` printed before.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The same, after the change.")],
    as_json: AsJson = False,
) -> None:
    """Tell whether B is better or worse than A, or whether no difference is shown."""
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
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT.json...", help="What `--json` printed.")],
    figures: Annotated[str, typer.Option(help="Which figures, with commas between.")] = TABLE,
) -> None:
    """Print reports side by side, as a Markdown table."""
    from eval.metrics import BY_NAME
    from eval.report import SavedReport, side_by_side

    names = [name.strip() for name in figures.split(",")]
    if unknown := [name for name in names if name not in BY_NAME]:
        raise typer.BadParameter(f"no figure is called {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    with errors_as_lines():
        say(side_by_side([SavedReport.load(path) for path in reports], names))


@eval_app.command("make-pairs")
def make_pairs(
    index: IndexDir = None,
    count: Annotated[int, typer.Option(min=1, help="At most so many pairs.")] = 100,
    seed: Annotated[int, typer.Option(help="Another number, other pairs.")] = 1,
    llm: Annotated[str | None, typer.Option(metavar="MODEL", help="Have a language model write questions.")] = None,
    llm_url: ModelUrl = None,
) -> None:
    """Make pairs from the indexed articles, a line of JSON each: sentences with a number or a name left out."""
    from eval.pairs.generation import cloze_pairs, written_pairs
    from rag.store.index import Index

    with errors_as_lines():
        config, server = Config.load(index=index), Server.of("llm", llm, llm_url)
        opened = Index(config.index, config.embedding_model)
        if server:
            _print_pairs(written_pairs(opened, server.load().complete, count, seed))
        else:
            _print_pairs(cloze_pairs(opened, count, seed))


def _print_pairs(pairs: Iterable[QAPair | Failure]) -> None:
    from eval.pairs.reading import pair_json

    for pair in pairs:
        if isinstance(pair, Failure):
            print_failures([pair], 1)
        else:
            print_json(pair_json(pair), indent=None)


@eval_app.command()
def label(
    drafts: Annotated[
        Path, typer.Argument(metavar="DRAFTS", help="Pairs, as `eval` reads them, or the chat's feedback.jsonl.")
    ],
    index: IndexDir = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 7861,
) -> None:
    """Open a page to accept, correct or reject pairs one by one; what is accepted is written beside DRAFTS."""
    from eval.pairs.labelling import Draft, Labels, read_drafts
    from eval.pairs.reading import ArticleNames
    from rag.chain import Chain
    from ui.page.label import LabelController, build_label_app
    from ui.server.app import Service, Site, serve

    with errors_as_lines():
        found = list(read_drafts(drafts))
        failures = [failure for failure in found if isinstance(failure, Failure)]
        print_failures(failures, len(failures))
        if len(failures) == len(found):
            raise ReadError(f"no pair to decide on in {drafts}; make some: pullquote eval make-pairs > pairs.jsonl")
        say("Loading the model and the index …", err=True)
        chain = Chain.from_config(Config.load(index=index))
        names = ArticleNames.of(chain.index.articles())
        read = [draft.with_article_ids(names) for draft in found if isinstance(draft, Draft)]
        labels = Labels.beside(drafts)
        controller = LabelController(read, labels, chain, names)
        with labels.locked():
            serve(lambda: Site(build_label_app(controller)), Service(port=port), announce)


@contextmanager
def _config(index: Path | None, corpus: Sequence[Path]) -> Iterator[Config]:
    """Settings with the index to ask: the one given, or a temporary one of the corpus."""
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
    """The path, or a file made of the articles that a set in a format of its own brings along."""
    from eval.pairs.datasets import articles_of

    found = articles_of(path) if path.exists() else None
    if found is None:
        return path
    folder.mkdir()
    made = folder / f"{path.stem}.jsonl"
    with made.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(article)}\n" for article in found)
    return made


def _measured(config: Config, asked: Asked) -> Report:
    from eval.judge import Judge
    from eval.pairs.reading import ArticleNames, check_pairs, read_pairs, sampled, survey
    from eval.run import Progress, evaluate
    from rag.chain import Chain
    from rag.store.index import Index

    if asked.pairs.exists() and not (asked.pairs.is_file() or asked.pairs.is_dir()):
        raise ReadError(f"{asked.pairs} is no file that can be read twice; save the pairs to one")
    identity = _identity(asked.pairs, asked.sample)
    names = ArticleNames.of(Index(config.index, config.embedding_model).articles())
    found = survey(check_pairs(read_pairs(asked.pairs), names), asked.sample)
    print_failures(found.failures, found.excluded)
    if asked.strict and found.excluded:
        raise ReadError(f"{found.excluded:,} pairs cannot be asked; mend them, or leave --strict away to skip them")
    if found.excluded:
        complain(f"pairs left out: {found.excluded:,}; --strict makes that an error")
    chain = Chain.from_config(config)
    judge = Judge(asked.judge.load()) if asked.judge else None
    with (
        judge or nullcontext(),
        progress(found.pairs) as advance,
    ):
        asked_before = 0

        def show(now: Progress) -> None:
            nonlocal asked_before
            advance(now.asked - asked_before)
            asked_before = now.asked

        pairs = sampled(read_pairs(asked.pairs), found.cut)
        report = evaluate(chain, pairs, asked.rows, resume=asked.resume, judge=judge, today=asked.today, progress=show)
    return replace(report, setup={**report.setup, "pairs": identity})


def _identity(path: Path, sample: int | None) -> dict[str, Any]:
    """The pairs' name and content, so that a report says what it was measured on."""
    from eval.pairs.datasets import display_name

    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and os.access(file, os.R_OK):  # whether it can be read is told by who reads it
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return {"name": display_name(path), "content": digest.hexdigest()[:16], "sample": sample}


def _tell(report: Report, *, as_json: bool, html: Path | None) -> None:
    from eval.report import counted, text_table, write_json

    if html:
        from ui.html.report import report_html

        html.write_text(report_html(report), "utf-8")
    if as_json:
        write_json(report, sys.stdout)
    else:
        say(f"{text_table(report)}\n\n{counted(report)}")


def _check_writable(path: Path) -> None:
    """Better before an hour of asking than after it."""
    there = path.exists()
    try:
        with path.open("a"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise ReadError(f"cannot write the page to {path} ({error.strerror}); give another --html") from error
