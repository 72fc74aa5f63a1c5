"""Hostile formats are read in a process of its own: a hang, a crash or a bomb costs one source, not the run.

The other process gets the bytes of a source and gives articles back, as JSON over pipes: what it sends is data, never
code, and is checked. It is started without keys in its environment, in an empty folder of its own.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar, cast

from ingest.content.blocks import Block
from ingest.content.types import Budget, Content, Item, Limits, Options, Read, Reader, Unpublished, read_bytes
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice, Span

T = TypeVar("T")

READERS = frozenset(
    {
        "ingest.readers.documents.reader:from_document",
        "ingest.readers.feeds:from_feed",
        "ingest.readers.text:from_markdown",
        "ingest.readers.html.page:from_html",
        "ingest.readers.mail:from_eml",
    }
)
"""The readers that may run there, as module:function."""
BLOCKS = "ingest.readers.html.text:html_blocks"
"""What takes the markup in records apart, of which many are sent at once."""
ROOT = str(Path(__file__).resolve().parents[2])
MEMORY = 4 << 30
"""Bytes that reading may take beside what the process has at its start, where the system can limit it."""
LARGEST_REPLY = 3
"""How many times as large as a source may be, what was read from it may be."""
STARTING = 60.0
"""Seconds that the process may take to start."""
LEAST = 0.1
"""Seconds that any request may take."""
WATCH = 0.1
"""Seconds from one look at the clock to the next."""
GRACE = 10
"""Seconds beyond its limit after which a process that nobody ends any more ends itself."""

_START = """
import sys
sys.path[:0] = [path for path in sys.argv[1:] if path not in sys.path]
from ingest.readers.sandbox import main
main()
"""
_LENGTHS = struct.Struct(">QQ")
_KEPT = frozenset(
    "PATH HOME USERPROFILE APPDATA LOCALAPPDATA SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC LANG LANGUAGE TZ "
    "LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH PYTHONHOME PYTHONPATH PYTHONUSERBASE "
    "PYTHONDONTWRITEBYTECODE".split()
)
"""The only variables that the process gets: any other can hold a key."""


class Sandbox:
    """Runs readers in one other process, which is started when it is needed, and again after it was killed.

    Not for several threads at once. `readers` are those that may run, `paths` where their modules lie.
    """

    def __init__(self, options: Options, readers: Collection[str] = READERS, paths: Iterable[str] = (ROOT,)) -> None:
        self._options = options
        self._readers = readers
        self._paths = tuple(paths)
        self._process: _Process | None = None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next read starts another."""
        if self._process:
            self._process.end()
            self._process = None

    def read(self, reader: str, content: Content, budget: Budget | None = None, options: Options | None = None) -> Read:
        """What a reader makes of a source, within what is left to the source that it is, or is in.

        Raises ReadError if it cannot be read, takes too long, or crashes its reader.
        """
        if reader not in self._readers:
            raise KeyError(reader)
        data = read_bytes(content, self._options)
        about = {"name": content.name, "origin": content.origin, "url": content.url, "metadata": dict(content.metadata)}
        told = {"reader": reader, "content": about, "options": _plain(options or self._options)}
        yield from self._asked(told, data, lambda items: [_item(item, content) for item in items], budget)

    def blocks(self, markup: Sequence[str], budget: Budget | None = None) -> list[list[Block]]:
        """The blocks of each of some texts with markup, as html_blocks gives them. Raises ReadError."""
        data = json.dumps(markup).encode()
        return self._asked({"reader": BLOCKS, "options": _plain(self._options)}, data, _blocks, budget)

    def _asked(self, told: Mapping[str, Any], data: bytes, parse: Callable[[Any], T], budget: Budget | None) -> T:
        if budget:
            budget.check()
        if self._process is None:
            self._process = _Process(self._paths)
        process, answered = self._process, False
        if not process.ready:
            # The first start is no fault of the source; those after a crash are.
            started = time.monotonic()
            process.start()
            if budget and not self._started:
                budget.seconds += time.monotonic() - started
            self._started = True
        limits = self._options.limits
        seconds = min(limits.seconds, max(budget.seconds_left(), LEAST)) if budget else limits.seconds
        try:
            found, problem = _parsed(
                process.ask(json.dumps(told).encode(), data, replace(limits, seconds=seconds)), parse
            )
            answered = True
        except ReadError:
            if budget:
                budget.check()
            raise
        finally:
            if not answered:
                self.close()
        if problem:
            raise ReadError(problem)
        return found


class _Process:
    """The other process, and the folder that it works in."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pullquote-", ignore_cleanup_errors=True)
        # Libraries unpack parts of themselves into the folder for temporary files, where others could put their own.
        own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._folder.name)
        kept = {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith("LC_")}
        self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
            [sys.executable, "-P", "-c", _START, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env={**kept, **own},
        )
        self._requests = cast("BinaryIO", self._popen.stdin)
        self._replies = cast("BinaryIO", self._popen.stdout)
        self.ready, self._late, self._deadline = False, False, math.inf
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def start(self) -> None:
        """Wait until it can be asked. Raises ReadError if that takes too long, or it ends."""
        self._within(STARTING, lambda: _frame(self._replies, 0))
        self.ready = True

    def ask(self, request: bytes, data: bytes, limits: Limits) -> bytes:
        """Its answer. Raises ReadError if none comes in time, or at all."""
        return self._within(limits.seconds, lambda: self._answer(request, data, LARGEST_REPLY * limits.bytes))

    def _answer(self, request: bytes, data: bytes, largest: int) -> bytes | None:
        self._requests.writelines((_LENGTHS.pack(len(request), len(data)), request, data))
        self._requests.flush()
        return _frame(self._replies, largest)

    def _within(self, seconds: float, answer: Callable[[], bytes | None]) -> bytes:
        reply = None
        self._deadline = time.monotonic() + seconds
        # The pipe breaks when the process ends.
        with suppress(OSError):
            reply = answer()
        with self._lock:
            self._deadline = math.inf
        if self._late:
            raise ReadError(f"took longer than {seconds:g} s; split it, or raise source_seconds")
        if reply is None:
            raise ReadError(_CRASHED)
        return reply

    def _watch(self) -> None:
        """One thread all along: to start one for each source would take longer than many a source."""
        while not self._ended.wait(WATCH):
            with self._lock:
                if time.monotonic() > self._deadline:
                    self._late = True
                    self._popen.kill()

    def end(self) -> None:
        self._ended.set()
        self._watcher.join()
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._requests, self._replies):
            with suppress(OSError):
                pipe.close()
        self._folder.cleanup()


_CRASHED = "made its reader crash; it may be broken: open it, and save it anew or in another format"


def _frame(stream: BinaryIO, largest: int) -> bytes | None:
    """The next message; None at the end, or if it is longer than may be."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    length = _LENGTHS.unpack(head)[0]
    body = stream.read(length) if length <= largest else b""
    return body if len(body) == length else None


def _parsed(reply: bytes, parse: Callable[[Any], T]) -> tuple[T, str]:
    """What an answer says that was read, and why nothing was. Raises ReadError if it is no answer."""
    try:
        answer = json.loads(reply)
        return parse(answer["items"]), str(answer["problem"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReadError(_CRASHED) from error


def _blocks(items: Any) -> list[list[Block]]:
    return [[_block(block) for block in blocks] for blocks in items]


def _block(data: Mapping[str, Any]) -> Block:
    lines = tuple(int(number) for number in data["unquotable_lines"])
    return Block(str(data["text"]), bool(data["unquotable"]), int(data["list_number"]), lines)


def _item(data: Mapping[str, Any], content: Content) -> Item:
    if data["type"] == Unpublished.__name__:
        return Unpublished(str(data["id"]))
    if data["type"] != Article.__name__:
        source, reason = str(data["source"]), str(data["reason"])
        return Notice(source, reason) if data["type"] == Notice.__name__ else Failure(source, reason)
    names = ("id", "title", "text", "source", "url", "author", "language")
    texts = {name: str(data[name]) for name in names}
    return Article(
        **texts,
        published=date.fromisoformat(data["published"]) if data["published"] else None,
        origin=content.origin,
        captions=_spans(data["captions"]),
        lists=_spans(data["lists"]),
        extra=tuple((str(key), str(value)) for key, value in data["extra"]),
    )


def _spans(pairs: Iterable[Sequence[Any]]) -> tuple[Span, ...]:
    return tuple((int(start), int(end)) for start, end in pairs)


def _plain(value: Any) -> Any:
    """Settings, and articles, as JSON has them."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return dict(value) if isinstance(value, Mapping) else value


def main() -> None:
    """What the other process does: one request after another, until nobody asks any more."""
    requests, replies = _taken(0, os.O_RDONLY, "rb"), _taken(1, os.O_WRONLY, "wb")
    # Ctrl-C is for the process that asks; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    _send(replies, b"")
    while head := requests.read(_LENGTHS.size):
        length, size = _LENGTHS.unpack(head)
        reply = _answer(json.loads(requests.read(length)), requests.read(size))
        # A surrogate would not be text; its place is kept, so that spans stay right.
        body = json.dumps(reply, ensure_ascii=False, default=date.isoformat).encode("utf-8", "replace")
        _send(replies, body)


def _send(stream: BinaryIO, body: bytes) -> None:
    stream.writelines((_LENGTHS.pack(len(body), 0), body))
    stream.flush()


def _taken(descriptor: int, mode: int, name: str) -> BinaryIO:
    """A standard stream for ourselves; whoever reads or prints meanwhile has none."""
    own = cast("BinaryIO", os.fdopen(os.dup(descriptor), name))
    nothing = os.open(os.devnull, mode)
    os.dup2(nothing, descriptor)
    os.close(nothing)
    return own


def _limit_memory() -> None:
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = used + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _answer(request: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    settings = request["options"]
    options = Options(**{**settings, "limits": Limits(**settings["limits"])})
    _end_after(options.limits.seconds + GRACE)
    try:
        return {"items": list(_read(request, data, options)), "problem": ""}
    except ReadError as error:
        return {"items": [], "problem": str(error) or "cannot be read"}
    finally:
        _end_after(0)


def _read(request: Mapping[str, Any], data: bytes, options: Options) -> Iterator[Any]:
    module, function = request["reader"].split(":")
    found: Any = getattr(importlib.import_module(module), function)
    if request["reader"] == BLOCKS:
        yield from ([_plain(block) for block in found(markup)] for markup in json.loads(data))
        return
    reader: Reader = found
    content = Content(open=lambda: io.BytesIO(data), size=len(data), **request["content"])
    yield from ({"type": type(item).__name__, **_plain(item)} for item in reader(content, options))


def _end_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
