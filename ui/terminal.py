"""What the commands share: options, and errors as lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.errors import PullquoteError
from ui.render import showable

INTERRUPTED_STATUS = 130
"""The exit status of what Ctrl-C ended, by the shells' custom."""
IndexDir = Annotated[
    Path | None, typer.Option("--index", metavar="DIR", help="The index's folder; .pullquote if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def complain(line: str) -> None:
    """A line on stderr; what could steer the terminal, out of a file's name or content, is shown as a sign."""
    typer.echo(f"pullquote: {' '.join(showable(line).split())}", err=True)


def print_json(value: Any) -> None:
    """A result as JSON, on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def byline(*parts: str) -> str:
    """What is known of an article, in a line."""
    return " — ".join(part for part in parts if part)


def same_index(index: Path | None) -> str:
    """The option that another command needs for the same index."""
    return f" --index {shlex.quote(str(index))}" if index else ""


def announce(url: str) -> None:
    """Where the page is, on stdout."""
    typer.echo(f"Pullquote is at {url}  (Ctrl-C ends it)")


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """What went wrong as one line that names the fix, and exit status 1; no more than a status after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_STATUS) from None
    except PullquoteError as error:
        complain(str(error))
        raise typer.Exit(1) from error
