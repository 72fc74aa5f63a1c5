"""What the commands share: options, and errors as lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rag.errors import PullquoteError

IndexDir = Annotated[
    Path | None, typer.Option("--index", metavar="DIR", help="The index's folder; .pullquote if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def complain(line: str) -> None:
    """A line on stderr."""
    typer.echo(f"pullquote: {line}", err=True)


def announce(url: str) -> None:
    """Where the page is, on stdout."""
    typer.echo(f"Pullquote is at {url}  (Ctrl-C ends it)")


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """What went wrong as one line that names the fix, and exit status 1."""
    try:
        yield
    except PullquoteError as error:
        complain(" ".join(str(error).split()))
        raise typer.Exit(1) from error
