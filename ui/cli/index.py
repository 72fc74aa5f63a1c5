"""The commands that fill and keep an index: ingest, sources, articles, remove, check, rebuild."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from rag.config import Config
from rag.errors import ConfigError, cut
from rag.schema import IngestReport
from ui.cli.terminal import (
    INTERRUPTED_STATUS,
    AsJson,
    IndexDir,
    byline,
    complain,
    errors_as_lines,
    print_json,
    same_index,
    say,
)
from ui.export.json import article_json
from ui.wording import counted, showable

if TYPE_CHECKING:
    from ingest.content.types import Options
    from ingest.pipeline import Standing
    from rag.errors import IndexLocked


MOST_FAILURES, MOST_ENDINGS = 100, 10
LEAST_SHARE = 0.01
"""Of all bytes; before so much is read, the time that is left is a guess."""

index_app = typer.Typer()


@index_app.command()
def ingest(
    places: Annotated[
        list[str], typer.Argument(metavar="PATH|URL...", help="Files, folders and URLs; see pullquote sources.")
    ],
    index: IndexDir = None,
    mapping: Annotated[
        str,
        typer.Option("--map", metavar="OURS=THEIRS,...", help="Fields of records: title=headline,date=meta.day."),
    ] = "",
    no_remove: Annotated[
        bool, typer.Option("--no-remove", help="Keep articles that vanished from their files.")
    ] = False,
    include_drafts: Annotated[
        bool, typer.Option("--include-drafts", help="Read drafts, private and deleted posts of exports too.")
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow links that lead out of the folder they are in.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C: ingest again whenever a file changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the index in step with files, folders and web pages of articles."""
    from ingest.pipeline import ingest as run

    with errors_as_lines():
        config = Config.load(index=index)
        options = replace(_options(mapping, no_remove), include_drafts=include_drafts, follow_links=follow_links)
        try:
            if watch:
                _watch(places, config, options, as_json)
                return
            report = run(places, config, _progress, options)
        except KeyboardInterrupt:
            _clear_line()
            complain("interrupted; what was stored stays, and the same command goes on from there")
            raise typer.Exit(INTERRUPTED_STATUS) from None
    _clear_line()
    _tell(report, as_json)
    if report.failed and not report.seen:
        raise typer.Exit(1)


def _options(mapping: str, keep: bool) -> Options:
    from ingest.articles.fields import NAMES
    from ingest.content.types import Options

    pairs = dict(pair.strip().partition("=")[::2] for pair in mapping.split(",") if pair.strip())
    for ours, theirs in pairs.items():
        if ours not in NAMES or not theirs:
            raise ConfigError(
                f"--map has {cut(f'{ours}={theirs}')!r}; write OURS=THEIRS, where OURS is of {', '.join(NAMES)}"
            )
    return Options(fields=pairs, keep=keep)


def _watch(places: list[str], config: Config, options: Options, as_json: bool) -> None:
    from ingest.watch import watch

    def told(outcome: IngestReport | IndexLocked) -> None:
        if isinstance(outcome, IngestReport):
            _tell(outcome, as_json)
        else:
            complain(str(outcome))

    complain(f"watching {', '.join(places)} (Ctrl-C ends it)")
    watch(places, config, told, options)


def _tell(report: IngestReport, as_json: bool) -> None:
    for told in (report.failed, report.notices):
        for item in told[:MOST_FAILURES]:
            complain(f"{item.source}: {item.reason}")
        if len(told) > MOST_FAILURES:
            complain(f"and {len(told) - MOST_FAILURES:,} more; --json lists all")
    if report.others:
        endings = ", ".join(
            f"{count:,} {suffix or 'without an ending'}" for suffix, count in report.others[:MOST_ENDINGS]
        )
        complain(f"passed over, of no kind that can be read: {endings}")
    print_json(asdict(report)) if as_json else say(_report_line(report))


@index_app.command()
def sources(as_json: AsJson = False) -> None:
    """List the kinds of sources that can be read, and what is read of each."""
    from ingest.readers.registry import KINDS, PLACES

    rows = [(kind.name, kind.suffixes, kind.what, kind.missing) for kind in KINDS]
    rows += [(name, suffixes, what, "") for name, suffixes, what in PLACES]
    if as_json:
        print_json([dict(zip(("kind", "suffixes", "read", "missing_extra"), row, strict=True)) for row in rows])
        return
    for name, suffixes, what, missing in rows:
        needs = f" (first: pip install 'pullquote[{missing}]')" if missing else ""
        say(f"{name:<16}  {' '.join(suffixes):<18}  {what}{needs}")


@index_app.command()
def articles(index: IndexDir = None, as_json: AsJson = False) -> None:
    """List the articles of the index, newest first."""
    from rag.store.index import Index

    with errors_as_lines():
        config = Config.load(index=index)
        opened = Index(config.index, config.embedding_model)
        entries = sorted(opened.articles(), key=lambda e: (str(e.published or ""), e.id), reverse=True)
    if as_json:
        print_json([article_json(entry) for entry in entries])
    else:
        for entry in entries:
            day = str(entry.published or "-")
            say(f"{day:<10}  {entry.id}  {byline(entry.title, entry.source)}")


@index_app.command()
def remove(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Articles' ids, as `pullquote articles` lists them.")
    ],
    index: IndexDir = None,
) -> None:
    """Remove articles from the index; their files stay as they are."""
    from ingest.pipeline import remove as run

    with errors_as_lines():
        unknown = run(ids, Config.load(index=index))
    for article_id in unknown:
        complain(f"no article {article_id!r}; list them: pullquote articles{same_index(index)}")
    say(f"{len(set(ids)) - len(unknown)} removed")
    if unknown:
        raise typer.Exit(1)


@index_app.command()
def check(
    index: IndexDir = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended out of what is stored.")] = False,
) -> None:
    """Look whether everything in the index is whole and can be found; exit status 1 if not."""
    from ingest.check import check as run
    from ingest.check import repair

    with errors_as_lines():
        config = Config.load(index=index)
        findings = run(config, _counted("looked at"))
        _clear_line()
        say("\n".join([*findings.lines, f"{findings.articles:,} articles, {findings.passages:,} passages"]))
        left = repair(config, findings, _counted("looked at")) if fix and findings.lines else findings
        _clear_line()
    if fix and findings.lines:
        say("\n".join(["mended", *(f"left: {line}" for line in left.lines)]))
    elif findings.lines:
        complain(f"mend what can be mended: pullquote check --fix{same_index(index)}")
    else:
        say("nothing wrong")
    if left.lines:
        raise typer.Exit(1)


@index_app.command()
def rebuild(
    embedding_model: Annotated[
        str, typer.Option(metavar="NAME", help="A sentence-transformers model: name or folder.")
    ],
    index: IndexDir = None,
) -> None:
    """Embed all passages anew with another model, from the text that is stored."""
    from ingest.check import rebuild as run

    with errors_as_lines():
        passages = run(Config.load(index=index), embedding_model, _counted("embedded"))
    _clear_line()
    say(f"{passages:,} passages embedded with {embedding_model}")
    complain(f"from now on set it: PULLQUOTE_EMBEDDING_MODEL={shlex.quote(embedding_model)}, or in pullquote.toml")


def _counted(what: str) -> Callable[[int, int], None]:
    return lambda done, total: _line(f"{done:,} of {total:,} passages {what}")


def _report_line(report: IngestReport) -> str:
    counts = ("added", "updated", "unchanged", "moved", "duplicates", "removed")
    rare = ("moved", "duplicates")
    told = [f"{getattr(report, count)} {count}" for count in counts if count not in rare or getattr(report, count)]
    told.append(f"{len(report.failed)} failed")
    told += [counted(len(report.notices), "notice")] if report.notices else []
    return f"{', '.join(told)}: {report.passages} passages in {report.seconds:.1f} s"


def _progress(standing: Standing) -> None:
    report, share = standing.report, standing.share
    rate = report.passages / max(report.seconds, 1e-9)
    left = f", {_duration(report.seconds / share - report.seconds)} left" if share > LEAST_SHARE else ""
    _line(f"{report.seen:,} articles, {report.passages:,} passages, {rate:.0f}/s{left}: {standing.source}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _line(text: str) -> None:
    """A line on the terminal that the next one replaces; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        typer.echo(f"\r\033[K{' '.join(showable(text).split())[:width]}", err=True, nl=False)


def _clear_line() -> None:
    if sys.stderr.isatty():
        typer.echo("\r\033[K", err=True, nl=False)
