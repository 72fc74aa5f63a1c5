"""What the commands share: options, and errors as lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.errors import PullquoteError
from ui.render import one_line, showable

CLEARED = "\r\033[K"
"""Empties the line a terminal is at."""
ROOM = 10
INTERRUPTED_STATUS = 130
"""The exit status of what Ctrl-C ended, by the shells' custom."""
IndexDir = Annotated[
    Path | None, typer.Option("--index", metavar="DIR", help="The index's folder; .pullquote if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ModelName = Annotated[
    str | None, typer.Option("--llm", metavar="NAME", help="Have this language model write the answers.")
]
ModelAddress = Annotated[
    str | None, typer.Option("--llm-url", metavar="URL", help="Where it is served: http://localhost:11434/v1.")
]


def complain(line: str) -> None:
    """A line on stderr; what could steer the terminal, out of a file's name or content, is shown as a sign."""
    typer.echo(f"pullquote: {one_line(line)}", err=True)


def print_json(value: Any) -> None:
    """A result as JSON, on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def byline(*parts: str) -> str:
    """What is known of an article, in a line."""
    return " — ".join(part for part in parts if part)


def same_index(index: Path | None) -> str:
    """The option that another command needs for the same index."""
    return f" --index {shlex.quote(str(index))}" if index else ""


def announce(url: str, known: str = "") -> None:
    """Where the page is, on stdout; `known` is the address that others know it by."""
    typer.echo(f"Pullquote is at {f'{known}, through {url}' if known else url}  (Ctrl-C ends it)")


@dataclass(slots=True)
class Teller:
    """Prints a text as it grows, in lines of a width; what it is doing before that is a line that goes away again."""

    width: int
    _told: str = ""
    _column: int = 0
    _doing: str = ""

    def tell(self, text: str, doing: str) -> None:
        """The text as far as it is there."""
        if doing != self._doing:
            typer.echo(f"{CLEARED}{showable(doing)}", nl=False, err=True)
            self._doing = doing
        if text.startswith(self._told):
            self._print(text[len(self._told) :])
            self._told = text

    def end(self, text: str) -> bool:
        """Print the rest; False if the text has become another one, and is to be printed anew."""
        self.tell(text, "")
        if self._told:
            typer.echo("")
        return bool(self._told) and text.startswith(self._told)

    def _print(self, text: str) -> None:
        """Lines are broken before a word of which a good part might not fit."""
        for character in showable(text):
            if character == " " and self._column > self.width - ROOM:
                typer.echo("")
                self._column = 0
            else:
                typer.echo(character, nl=False)
                self._column += 1


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
