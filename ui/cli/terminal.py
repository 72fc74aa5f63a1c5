"""What the commands share: options, and errors as lines."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.errors import PullquoteError, Stopped
from rag.schema import Failure
from ui.export.json import plain_json
from ui.wording import one_line, showable

CLEARED = "\r\033[K"
"""Empties the line a terminal is at."""
SHOWN_FAILURES = 10
ROOM = 10
LINE_EVERY, LINE_SECONDS = 100, 30.0
"""Questions, and seconds, after which a line of progress is written where stderr is no terminal."""
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


class App(typer.Typer):
    """A Typer app whose output never fails for the sake of a terminal's encoding."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the command line; characters that stdout or stderr cannot encode become question marks."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().__call__(*arguments, **named)


def say(text: str = "", *, err: bool = False) -> None:
    """Lines on stdout, or on stderr; what could steer the terminal, out of an article or a name, is shown as a sign."""
    typer.echo(showable(text), err=err)


def complain(line: str) -> None:
    """As `say`, one line on stderr."""
    say(f"pullquote: {one_line(line)}", err=True)


def print_json(value: Any, indent: int | None = 2) -> None:
    """A result as JSON, on stdout; what a terminal should not get is written as an escape."""
    text = plain_json(value, indent)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    typer.echo(text)


def byline(*parts: str) -> str:
    """What is known of an article, in a line."""
    return " — ".join(part for part in parts if part)


def same_index(index: Path | None) -> str:
    """The option that another command needs for the same index."""
    return f" --index {shlex.quote(str(index))}" if index else ""


def announce(url: str, known: str = "") -> None:
    """Where the page is, on stdout; `known` is the address that others know it by."""
    say(f"Pullquote is at {f'{known}, through {url}' if known else url}  (Ctrl-C ends it)")


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


@dataclass(slots=True)
class ProgressLines:
    """Progress as lines on stderr, for a file: one after every so many questions, and one where that takes long."""

    length: int
    done: int = 0
    _told: int = 0
    _at: float = field(default_factory=time.monotonic)

    def update(self, steps: int) -> None:
        """So many more are done."""
        self.done += steps
        due = self.done // LINE_EVERY > self._told // LINE_EVERY or time.monotonic() - self._at >= LINE_SECONDS
        if due and self.done > self._told:
            complain(f"asked {self.done:,} of {self.length:,}")
            self._told, self._at = self.done, time.monotonic()


@contextmanager
def progress(length: int) -> Iterator[Callable[[int], None]]:
    """The progress of asking: called with how many more are done. A bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield ProgressLines(length).update
        return
    with typer.progressbar(length=length, label="Asking", file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Was there a Ctrl-C? The first one is only remembered, so that what is under way can end by itself."""
    seen: list[int] = []

    def remember(number: int, _: object) -> None:
        seen.append(number)
        signal.signal(number, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """What went wrong as one line that names the fix, and exit status 1; no more than a status after Ctrl-C."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        raise typer.Exit(INTERRUPTED_STATUS) from None
    except PullquoteError as error:
        complain(str(error))
        raise typer.Exit(1) from error


def print_failures(failures: Sequence[Failure], count: int) -> None:
    """The first failures as lines on stderr, and how many more of `count` there are."""
    for failure in failures[:SHOWN_FAILURES]:
        complain(f"{failure.source}: {failure.reason}")
    if count > SHOWN_FAILURES:
        complain(f"… and {count - SHOWN_FAILURES:,} more")
