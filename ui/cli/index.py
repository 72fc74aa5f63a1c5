"""The commands that fill and maintain an index: ingest, sources, articles, remove, check, rebuild, backup, restore."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
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
    print_table,
    same_index,
    say,
    status_bar,
)
from ui.export.json import article_json
from ui.wording import counted

if TYPE_CHECKING:
    from ingest.content.types import Options
    from ingest.pipeline import Standing
    from rag.errors import IndexLocked


MOST_FAILURES, MOST_ENDINGS = 100, 10

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
            with status_bar() as update:
                report = run(places, config, partial(_show_progress, update), options)
        except KeyboardInterrupt:
            complain("interrupted; stored articles are kept, and the same command continues from there")
            raise typer.Exit(INTERRUPTED_STATUS) from None
    _print_report(report, as_json)
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

    def report(outcome: IngestReport | IndexLocked) -> None:
        if isinstance(outcome, IngestReport):
            _print_report(outcome, as_json)
        else:
            complain(str(outcome))

    complain(f"watching {', '.join(places)} (Ctrl-C stops it)")
    watch(places, config, report, options)


def _print_report(report: IngestReport, as_json: bool) -> None:
    for items in (report.failed, report.notices):
        for item in items[:MOST_FAILURES]:
            complain(f"{item.source}: {item.reason}")
        if len(items) > MOST_FAILURES:
            complain(f"and {len(items) - MOST_FAILURES:,} more; --json lists all")
    if report.others:
        endings = ", ".join(
            f"{count:,} {suffix or 'without an extension'}" for suffix, count in report.others[:MOST_ENDINGS]
        )
        complain(f"skipped, not a supported format: {endings}")
    print_json(asdict(report)) if as_json else say(_report_line(report))


@index_app.command()
def sources(as_json: AsJson = False) -> None:
    """List the formats that can be read, and what is read of each."""
    from ingest.readers.registry import KINDS, PLACES

    rows = [(kind.name, kind.suffixes, kind.what, kind.missing) for kind in KINDS]
    rows += [(name, suffixes, what, "") for name, suffixes, what in PLACES]
    if as_json:
        print_json([dict(zip(("kind", "suffixes", "read", "missing_extra"), row, strict=True)) for row in rows])
        return
    needs = {missing: f" (first: pip install 'pullquote[{missing}]')" for *_, missing in rows if missing}
    cells = (
        (f"{name:<16}", f"{' '.join(ends):<18}", what + needs.get(missing, "")) for name, ends, what, missing in rows
    )
    print_table(("Format", "Extensions", "What is read"), cells)


@index_app.command()
def articles(
    index: IndexDir = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="List the first N only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the articles of the index, newest first."""
    from rag.store.catalog.listing import Order
    from rag.store.index import Index

    with errors_as_lines():
        config = Config.load(index=index)
        _, entries = Index(config.index, config.embedding_model).listing.page((), Order("date", down=True), limit)
    if as_json:
        print_json([article_json(entry) for entry in entries])
    else:
        rows = ((f"{entry.published or '-'!s:<10}", entry.id, byline(entry.title, entry.source)) for entry in entries)
        print_table(("Date", "Id", "Article"), rows)


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
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired from what is stored.")] = False,
) -> None:
    """Verify the index; exit status 1 if something is missing or cannot be found."""
    from ingest.check import check as run
    from ingest.check import repair

    with errors_as_lines():
        config = Config.load(index=index)
        with status_bar() as update:
            findings = run(config, _counter(update, "checked"))
        say("\n".join([*findings.lines, f"{findings.articles:,} articles, {findings.passages:,} passages"]))
        with status_bar() as update:
            left = repair(config, findings, _counter(update, "checked")) if fix and findings.lines else findings
    if fix and findings.lines:
        say("\n".join(["repaired", *(f"remaining: {line}" for line in left.lines)]))
    elif findings.lines:
        complain(f"repair it: pullquote check --fix{same_index(index)}")
    else:
        say("nothing wrong")
    if left.lines:
        raise typer.Exit(1)


@index_app.command()
def rebuild(
    embedding_model: Annotated[
        str,
        typer.Option(metavar="NAME", help="Embed all passages again with this model: name or folder."),
    ] = "",
    index: IndexDir = None,
) -> None:
    """Convert an index of an earlier version, or embed all passages again with another model, from the stored text."""
    from ingest.check import rebuild as run

    with errors_as_lines(), status_bar() as update:
        passages = run(Config.load(index=index), embedding_model, _counter(update, "stored"))
    if embedding_model:
        say(f"{passages:,} passages embedded with {embedding_model}")
        complain(f"set it from now on: PULLQUOTE_EMBEDDING_MODEL={shlex.quote(embedding_model)}, or in pullquote.toml")
    else:
        say(f"{passages:,} passages in the format of this version")


@index_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; an earlier one is replaced.")],
    index: IndexDir = None,
) -> None:
    """Copy the index to one file, also while it is read and written."""
    from rag.store.backup import back_up

    with errors_as_lines():
        counts = back_up(Config.load(index=index).index, file)
    say(f"{counts.articles:,} articles, {counts.passages:,} passages in {file}")


@index_app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that pullquote backup wrote.")],
    index: IndexDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the index that the folder has.")] = False,
) -> None:
    """Make an index from a backup."""
    from rag.store.backup import restore as run

    with errors_as_lines():
        config = Config.load(index=index)
        counts = run(config.index, file, force=force)
    say(f"{counts.articles:,} articles, {counts.passages:,} passages restored to {config.index}")


def _counter(update: Callable[[str, float], None], verb: str) -> Callable[[int, int], None]:
    return lambda done, total: update(f"{done:,} of {total:,} passages {verb}", done / max(total, 1))


def _report_line(report: IngestReport) -> str:
    counts = ("added", "updated", "unchanged", "moved", "duplicates", "removed")
    rare = ("moved", "duplicates")
    parts = [f"{getattr(report, count)} {count}" for count in counts if count not in rare or getattr(report, count)]
    parts.append(f"{len(report.failed)} failed")
    parts += [counted(len(report.notices), "notice")] if report.notices else []
    return f"{', '.join(parts)}: {report.passages} passages in {report.seconds:.1f} s"


def _show_progress(update: Callable[[str, float], None], standing: Standing) -> None:
    report = standing.report
    rate = report.passages / max(report.seconds, 1e-9)
    text = f"{report.seen:,} articles, {report.passages:,} passages, {rate:.0f}/s: {standing.source}"
    update(text, standing.share)
