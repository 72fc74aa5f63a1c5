"""What the commands share: options, output, progress, errors as one line, and logging."""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.errors import PullquoteError, Stopped
from rag.schema import Failure
from ui.export.json import plain_json
from ui.wording import one_line, showable

if TYPE_CHECKING:
    from rich.console import Console

CLEAR_LINE = "\r\033[K"
"""ANSI escape sequence that clears the terminal's current line."""
SHOWN_FAILURES = 10
ROOM = 10
"""Columns at the end of a line in which no new word starts while an answer streams in."""
LINE_EVERY, LINE_SECONDS = 100, 30.0
"""Where stderr is no terminal, progress is one line after so many steps or seconds."""
INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C, by the shells' convention (128 + SIGINT)."""
PACKAGES = ("rag", "ingest", "eval", "ui")
IndexDir = Annotated[
    Path | None, typer.Option("--index", metavar="DIR", help="The index folder.  [default: .pullquote]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ModelName = Annotated[
    str | None, typer.Option("--llm", metavar="NAME", help="Let this language model write the answers.")
]
ModelAddress = Annotated[
    str | None, typer.Option("--llm-url", metavar="URL", help="Its server: http://localhost:11434/v1.")
]


class App(typer.Typer):
    """A Typer app whose output never fails because of the terminal's encoding."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the command line; characters that stdout or stderr cannot encode become question marks."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().__call__(*arguments, **named)


def log_to_stderr() -> None:
    """Write the log of our own packages, from INFO on, to stderr: what is not a result (`--verbose`)."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def say(text: str = "", *, err: bool = False) -> None:
    """Print lines on stdout, or on stderr; control characters, which could steer the terminal, are replaced."""
    typer.echo(showable(text), err=err)


def complain(line: str) -> None:
    """Print one line on stderr, as `say` does."""
    say(f"pullquote: {one_line(line)}", err=True)


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print a result as JSON on stdout; characters that the terminal cannot encode are escaped."""
    text = plain_json(value, indent)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    typer.echo(text)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal; elsewhere one line a row, its cells two spaces apart."""
    if not sys.stdout.isatty():
        for row in rows:
            say("  ".join(row))
        return
    from rich.table import Table

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(showable, row))
    _console(sys.stdout).print(table)


def _console(file: Any) -> Console:
    from rich.console import Console

    return Console(file=file, highlight=False, markup=False, emoji=False)


def byline(*parts: str) -> str:
    """The non-empty parts of an article's description, in one line."""
    return " — ".join(part for part in parts if part)


def same_index(index: Path | None) -> str:
    """The option that selects the same index in another command."""
    return f" --index {shlex.quote(str(index))}" if index else ""


def announce(url: str, known: str = "") -> None:
    """Print where the page is; `known` is its public address behind a proxy."""
    say(f"Pullquote is at {f'{known}, through {url}' if known else url}  (Ctrl-C stops it)")


@dataclass(slots=True)
class AnswerPrinter:
    """Prints a text as it grows, wrapped at `width`; before the first word, a status line that disappears again."""

    width: int
    _printed: str = ""
    _column: int = 0
    _status: str = ""

    def update(self, text: str, status: str) -> None:
        """Print what is new in `text`, the whole text so far."""
        if status != self._status:
            typer.echo(f"{CLEAR_LINE}{showable(status)}", nl=False, err=True)
            self._status = status
        if text.startswith(self._printed):
            self._print(text[len(self._printed) :])
            self._printed = text

    def end(self, text: str) -> bool:
        """Print the rest; False if `text` no longer begins with what was printed and has to be printed again."""
        self.update(text, "")
        if self._printed:
            typer.echo("")
        return bool(self._printed) and text.startswith(self._printed)

    def _print(self, text: str) -> None:
        for character in showable(text):
            if character == " " and self._column > self.width - ROOM:
                typer.echo("")
                self._column = 0
            else:
                typer.echo(character, nl=False)
                self._column += 1


@dataclass(slots=True)
class ProgressLines:
    """Progress as lines on stderr, for log files."""

    length: int
    done: int = 0
    _printed: int = 0
    _at: float = field(default_factory=time.monotonic)

    def update(self, steps: int) -> None:
        """Count so many steps more."""
        self.done += steps
        due = self.done // LINE_EVERY > self._printed // LINE_EVERY or time.monotonic() - self._at >= LINE_SECONDS
        if due and self.done > self._printed:
            complain(f"asked {self.done:,} of {self.length:,}")
            self._printed, self._at = self.done, time.monotonic()


@contextmanager
def progress(length: int) -> Iterator[Callable[[int], None]]:
    """Progress of `length` questions, called with the number of steps more: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield ProgressLines(length).update
        return
    with status_bar() as update:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            update(f"asked {done:,} of {length:,}", done / max(length, 1))

        yield advance


@contextmanager
def status_bar() -> Iterator[Callable[[str, float], None]]:
    """A line on a terminal with a text, a bar and the time left, called with the text and the share that is done.

    It disappears at the end; where stderr is no terminal, nothing is printed.
    """
    if not sys.stderr.isatty():
        yield lambda _text, _share: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (BarColumn(bar_width=20), TimeRemainingColumn(compact=True), text)
    with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda text, share: bar.update(task, description=" ".join(showable(text).split()), completed=share)


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed. The first one is only recorded, so that the work can end cleanly."""
    seen: list[int] = []

    def record(number: int, _: object) -> None:
        seen.append(number)
        signal.signal(number, before)

    before = signal.signal(signal.SIGINT, record)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn an error into one line on stderr and exit status 1; after Ctrl-C, only set the exit status."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        raise typer.Exit(INTERRUPTED_STATUS) from None
    except PullquoteError as error:
        complain(str(error))
        raise typer.Exit(1) from error


def print_failures(failures: Sequence[Failure], count: int) -> None:
    """Print the first failures on stderr, and how many more of `count` there are."""
    for failure in failures[:SHOWN_FAILURES]:
        complain(f"{failure.source}: {failure.reason}")
    if count > SHOWN_FAILURES:
        complain(f"… and {count - SHOWN_FAILURES:,} more")
