"""The `pullquote` command. Results go to stdout; progress and errors, a line each, to stderr."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rag.config import Config
from rag.schema import Answer, Citation, Passage, Span, long_date
from ui import scope
from ui.eval_cli import eval_app
from ui.index_cli import index_app
from ui.render import answer_json, only_line, showable
from ui.terminal import AsJson, IndexDir, announce, byline, errors_as_lines, print_json

if TYPE_CHECKING:
    from rag.chain import Scope

WIDTH = 100
NEAREST_SHOWN = 3

app = typer.Typer(
    name="pullquote",
    help="Ask your own articles. Every sentence of the answer is an exact quote, with its source.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(index_app)
app.add_typer(eval_app, name="eval")


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
    today: Annotated[str, typer.Option(metavar="DATE", help="What “last week” counts from.")] = "",
    as_asked: Annotated[bool, typer.Option("--as-asked", help="Read no filters out of the question.")] = False,
    lift: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="Read no filter out of these words; may be repeated.")
    ] = None,
) -> None:
    """Answer a question with exact quotes from the articles.

    Dates are written as YYYY-MM-DD.
    """
    from rag.chain import ask as answer_to

    lifted = (*([question] if as_asked else []), *(lift or ()))
    with errors_as_lines():
        filters = scope.filters(after, before, _spelled(source, index), article or ())
        given = {"filters": filters, "lifted": lifted, "today": scope.day(today)}
        narrowed = cast("Scope", {name: value for name, value in given.items() if value})
        answer = answer_to(question, index, **narrowed)
    print_json(answer_json(answer)) if as_json else _print_answer(answer)


def _spelled(names: Sequence[str] | None, index: Path | None) -> list[str]:
    if not names:
        return []
    from rag.index import Index

    config = Config.load(index=index)
    return scope.spelled(names, Index(config.index, config.embedding_model).lexical.sources())


@app.command()
def chat(
    index: IndexDir = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 7860,
) -> None:
    """Open the chat page on this machine; Ctrl-C ends it."""
    from eval.pairs import sample_questions
    from rag.chain import Chain
    from ui.app import build_app
    from ui.server import serve

    with errors_as_lines():
        typer.echo("Loading the model and the index …", err=True)
        chain = Chain.from_config(Config.load(index=index))
        serve(lambda: build_app(chain, sample_questions(chain.index)), port=port, ready=announce)


def _print_answer(answer: Answer) -> None:
    typer.echo(_filled(answer.text, answer.emphasis))
    if answer.read:
        typer.echo()
    for read in answer.read:
        words = shlex.quote(" ".join(showable(read.words).split()))
        typer.echo(f"{only_line(read.filters)} (drop it: --lift {words})")
    by_article: dict[str, list[Citation]] = {}
    for citation in answer.citations:
        by_article.setdefault(citation.passage.article_id, []).append(citation)
    for citations in by_article.values():
        markers = "".join(f"[{citation.number}]" for citation in citations)
        _print_source(f"\n{markers} ", citations[0].passage)
        _print_more(citations, answer.text)
    if answer.notice:
        typer.echo(textwrap.fill(answer.notice, WIDTH))
    if not answer.grounded:
        for hit in answer.hits[:NEAREST_SHOWN]:
            _print_source("\n·  ", hit.passage)
            typer.echo(_indented(textwrap.shorten(hit.passage.text, 200, placeholder=" …")))


def _print_more(citations: Sequence[Citation], answer: str) -> None:
    """Where else the story of one article stands, and its quotes that are not in the answer."""
    if also := ", ".join(dict.fromkeys(copy.source or copy.title or copy.id for copy in citations[0].also)):
        typer.echo(_indented(f"The same story in {also}"))
    for citation in citations:
        if " ".join(citation.quote.split()) not in answer:
            typer.echo(_indented(f"[{citation.number}] “{citation.quote}”"))


def _filled(text: str, emphasis: Sequence[Span]) -> str:
    """The text in lines, with what is emphasised in bold, of which `typer.echo` tells terminals alone."""
    filled = textwrap.fill(text, WIDTH)
    inked = (at for at, character in enumerate(text) if not character.isspace())  # what no line break replaces
    bold = [not character.isspace() and _is_in(next(inked, -1), emphasis) for character in filled]
    runs = groupby(zip(filled, bold, strict=True), key=itemgetter(1))
    pieces = (("".join(character for character, _ in run), is_bold) for is_bold, run in runs)
    return "".join(typer.style(piece, bold=True) if is_bold else piece for piece, is_bold in pieces)


def _is_in(at: int, spans: Sequence[Span]) -> bool:
    return any(start <= at < end for start, end in spans)


def _print_source(mark: str, passage: Passage) -> None:
    details = ", ".join(filter(None, (passage.source, long_date(passage.published))))
    typer.echo(mark + byline(passage.title, details))
    if passage.url:
        typer.echo(f"    {passage.url}")


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
