"""The `pullquote` command: results go to stdout; progress, errors and the log go to stderr."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rag.config import Config
from rag.errors import Stopped
from rag.schema import Answer, Citation, Passage, Span, long_date
from ui.cli.bench import bench_app
from ui.cli.chat import chat_app
from ui.cli.eval import eval_app
from ui.cli.index import index_app
from ui.cli.terminal import (
    INTERRUPTED_STATUS,
    AnswerPrinter,
    App,
    AsJson,
    IndexDir,
    ModelAddress,
    ModelName,
    byline,
    complain,
    errors_as_lines,
    interrupts,
    log_to_stderr,
    print_json,
    say,
)
from ui.export.json import answer_json
from ui.services import scope
from ui.wording import one_line, only_line, showable

if TYPE_CHECKING:
    from rag.chain import Scope


WIDTH = 100
"""Columns of an answer."""
NEAREST_SHOWN = 3

app = App(
    name="pullquote",
    help="Ask your own articles. Every sentence of the answer is an exact quote, with its source.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(index_app)
app.add_typer(chat_app)
eval_app.add_typer(bench_app)
app.add_typer(eval_app, name="eval")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"pullquote {version('pullquote')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log to stderr what is done.")] = False,
) -> None:
    """Options of every command, given before its name."""
    if verbose:
        log_to_stderr()


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    index: IndexDir = None,
    as_json: AsJson = False,
    after: Annotated[str, typer.Option(metavar="DATE", help="Only articles published on this day or later.")] = "",
    before: Annotated[str, typer.Option(metavar="DATE", help="Only articles published on this day or earlier.")] = "",
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only articles from this source; may be repeated.")
    ] = None,
    article: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this article; may be repeated.")] = None,
    today: Annotated[str, typer.Option(metavar="DATE", help="The day that “last week” is relative to.")] = "",
    as_asked: Annotated[bool, typer.Option("--as-asked", help="Read no filters from the question.")] = False,
    lift: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="Read no filter from these words; may be repeated.")
    ] = None,
    llm: ModelName = None,
    llm_url: ModelAddress = None,
) -> None:
    """Answer a question with exact quotes from the articles.

    Dates are written as YYYY-MM-DD.
    """
    from rag.chain import Chain, checked

    lifted = (*([question] if as_asked else []), *(lift or ()))
    with errors_as_lines():
        filters = scope.filters(after, before, _source_names(source, index), article or ())
        given = {"filters": filters, "lifted": lifted, "today": scope.day(today)}
        narrowed = cast("Scope", {name: value for name, value in given.items() if value})
        checked(question)  # an invalid question fails before the models are loaded
        chain = Chain.from_config(Config.load(index=index, llm=llm, llm_base_url=llm_url))
        if as_json:
            print_json(answer_json(chain.ask(question, **narrowed)))
        else:
            _print_stream(chain.stream(question, **narrowed))


def _print_stream(answers: Generator[Answer, None, None]) -> None:
    """Print an answer, on a terminal as it grows. After Ctrl-C it ends with the sentences that are finished."""
    printer = AnswerPrinter(WIDTH) if sys.stdout.isatty() else None
    answer: Answer | None = None
    with closing(answers), interrupts() as interrupted:
        for answer in answers:
            if interrupted():
                answer = answers.throw(Stopped())  # noqa: PLW2901 - the last one counts
                break
            if printer and answer.written_by:
                printer.update(answer.text, answer.doing)
    if answer:
        _print_answer(answer, text_printed=bool(printer and printer.end(answer.text)))
    if interrupted():
        raise typer.Exit(INTERRUPTED_STATUS)


def _source_names(names: Sequence[str] | None, index: Path | None) -> list[str]:
    """Names of sources as the index spells them."""
    if not names:
        return []
    from rag.store.index import Index

    config = Config.load(index=index)
    return scope.spelled(names, Index(config.index, config.embedding_model).sources())


@app.command()
def models() -> None:
    """List the language models that run on this machine, each with the options that select it."""
    from rag.models.servers import local_llms

    found = local_llms()
    for name, url in found:
        say(f"--llm {shlex.quote(name)} --llm-url {url}")
    if not found:
        complain("no language model runs here, neither Ollama's nor llama.cpp's; start one, or name another with --llm")
        raise typer.Exit(1)


def _print_answer(answer: Answer, *, text_printed: bool) -> None:
    """Print an answer and its sources; with `text_printed`, the sources only."""
    if not text_printed:
        typer.echo(_wrapped(answer.text, answer.emphasis))
    if answer.read:
        say()
    for read in answer.read:
        words = shlex.quote(one_line(read.words))
        say(f"{only_line(read.filters)} (drop it: --lift {words})")
    by_article: dict[str, list[Citation]] = {}
    for citation in answer.citations:
        by_article.setdefault(citation.passage.article_id, []).append(citation)
    for citations in by_article.values():
        labels = "".join(f"[{citation.number}]" for citation in citations)
        _print_source(f"\n{labels} ", citations[0].passage)
        _print_quotes(citations, answer.text)
    if answer.notice:
        say(textwrap.fill(answer.notice, WIDTH))
    if answer.searched:
        say(textwrap.fill(f"Looked up: {' — '.join(answer.searched)}", WIDTH))
    if not answer.grounded:
        for hit in answer.hits[:NEAREST_SHOWN]:
            _print_source("\n·  ", hit.passage)
            say(_indented(textwrap.shorten(hit.passage.text, 200, placeholder=" …")))


def _print_quotes(citations: Sequence[Citation], answer: str) -> None:
    """Print the duplicates of one article, and its quotes that the answer does not contain."""
    if duplicates := ", ".join(dict.fromkeys(copy.source or copy.title or copy.id for copy in citations[0].duplicates)):
        say(_indented(f"Also published in {duplicates}"))
    for citation in citations:
        if " ".join(citation.quote.split()) not in " ".join(answer.split()):
            say(_indented(f"[{citation.number}] “{citation.quote}”"))


def _wrapped(text: str, emphasis: Sequence[Span]) -> str:
    """The text in lines, with emphasis in bold; `typer.echo` removes the bold where stdout is no terminal."""
    filled = "\n".join(textwrap.fill(line, WIDTH) for line in text.split("\n"))
    places = (at for at, character in enumerate(text) if not character.isspace())  # wrapping changes white space only
    bold = [not character.isspace() and _is_in(next(places, -1), emphasis) for character in filled]
    runs = groupby(zip(filled, bold, strict=True), key=itemgetter(1))
    pieces = (("".join(character for character, _ in run), is_bold) for is_bold, run in runs)
    return "".join(
        typer.style(_printable(piece), bold=True) if is_bold else _printable(piece) for piece, is_bold in pieces
    )


def _printable(text: str) -> str:
    """The text without control characters, its line breaks kept."""
    return re.sub(r"\S+", lambda word: showable(word[0]), text)


def _is_in(at: int, spans: Sequence[Span]) -> bool:
    return any(start <= at < end for start, end in spans)


def _print_source(label: str, passage: Passage) -> None:
    details = ", ".join(filter(None, (passage.source, long_date(passage.published))))
    say(label + byline(passage.title, details))
    if passage.url:
        say(f"    {passage.url}")


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
