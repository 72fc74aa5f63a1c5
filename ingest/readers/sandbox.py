"""Runs risky readers in a separate process, where a hang or a crash costs one source and not the run.

The process receives a source's bytes and returns articles as JSON over pipes: data, never code, and validated here. It
starts in an empty folder of its own, with no secrets in its environment. This module does not know which readers exist.
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

BLOCKS = "ingest.readers.html.text:html_blocks"
"""The function that parses the markup found in records, many texts in one request."""
ROOT = str(Path(__file__).resolve().parents[2])
MEMORY = 4 << 30
"""Bytes that reading may use on top of what the process has at its start, where the system can limit it."""
LARGEST_REPLY = 3
"""Limit of a reply's size, as a multiple of the largest source."""
START_TIMEOUT = 60.0
MIN_TIMEOUT = 0.1
"""Seconds that any request gets, however little its source has left."""
WATCH_INTERVAL = 0.1
GRACE = 10
"""Seconds past its limit after which the process ends itself, if its parent has not ended it."""

_START = """
import sys
sys.path[:0] = [path for path in sys.argv[1:] if path not in sys.path]
from ingest.readers.sandbox import main
main()
"""
_LENGTHS = struct.Struct(">QQ")
_KEPT_VARIABLES = frozenset(
    "PATH HOME USERPROFILE APPDATA LOCALAPPDATA SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC LANG LANGUAGE TZ "
    "LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH PYTHONHOME PYTHONPATH PYTHONUSERBASE "
    "PYTHONDONTWRITEBYTECODE".split()
)
"""The only environment variables that the process gets: any other may hold a secret."""


class Sandbox:
    """Runs readers in one other process, started on the first request and again after it was killed.

    Not thread-safe. `readers` are those that may run, as module:function, `paths` the folders of their modules.
    """

    def __init__(self, options: Options, readers: Collection[str], paths: Iterable[str] = (ROOT,)) -> None:
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
        """Ends the process; the next request starts another."""
        if self._process:
            self._process.end()
            self._process = None

    def read(self, reader: str, content: Content, budget: Budget | None = None, options: Options | None = None) -> Read:
        """The items that a reader makes of a source, within the time and size that `budget` leaves it.

        Raises ReadError if the source cannot be read, takes too long, or crashes the reader.
        """
        if reader not in self._readers:
            raise KeyError(reader)
        data = read_bytes(content, self._options)
        about = {"name": content.name, "origin": content.origin, "url": content.url, "metadata": dict(content.metadata)}
        request = {"reader": reader, "content": about, "options": _as_json(options or self._options)}
        yield from self._send(request, data, lambda items: [_item(item, content) for item in items], budget)

    def blocks(self, markup: Sequence[str], budget: Budget | None = None) -> list[list[Block]]:
        """The blocks of each text, as html_blocks returns them. Raises ReadError."""
        data = json.dumps(markup).encode()
        request = {"reader": BLOCKS, "options": _as_json(self._options)}
        return self._send(request, data, lambda texts: [list(map(_block, blocks)) for blocks in texts], budget)

    def _send(self, request: Mapping[str, Any], data: bytes, parse: Callable[[Any], T], budget: Budget | None) -> T:
        if budget:
            budget.check()
        if self._process is None:
            self._process = _Process(self._paths)
        process, answered = self._process, False
        if not process.ready:
            # The first start does not count against the source; a restart after its crash does.
            started = time.monotonic()
            process.start()
            if budget and not self._started:
                budget.seconds += time.monotonic() - started
            self._started = True
        limits = self._options.limits
        seconds = min(limits.seconds, max(budget.seconds_left(), MIN_TIMEOUT)) if budget else limits.seconds
        try:
            reply = process.ask(json.dumps(request).encode(), data, replace(limits, seconds=seconds))
            result, problem = _parsed(reply, parse)
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
        return result


class _Process:
    """The other process and its working folder."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pullquote-", ignore_cleanup_errors=True)
        # Libraries unpack code into the temporary folder, where other users could plant theirs.
        own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._folder.name)
        kept = {key: value for key, value in os.environ.items() if key in _KEPT_VARIABLES or key.startswith("LC_")}
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
        """Waits until it takes requests. Raises ReadError if that takes too long, or if it ends."""
        self._within(START_TIMEOUT, lambda: _receive(self._replies, 0))
        self.ready = True

    def ask(self, request: bytes, data: bytes, limits: Limits) -> bytes:
        """The reply to a request. Raises ReadError if none arrives in time, or at all."""
        return self._within(limits.seconds, lambda: self._reply(request, data, LARGEST_REPLY * limits.bytes))

    def _reply(self, request: bytes, data: bytes, largest: int) -> bytes | None:
        self._requests.writelines((_LENGTHS.pack(len(request), len(data)), request, data))
        self._requests.flush()
        return _receive(self._replies, largest)

    def _within(self, seconds: float, receive: Callable[[], bytes | None]) -> bytes:
        reply = None
        self._deadline = time.monotonic() + seconds
        # The pipe breaks when the process ends.
        with suppress(OSError):
            reply = receive()
        with self._lock:
            self._deadline = math.inf
        if self._late:
            raise ReadError(f"took longer than {seconds:g} s; split it, or raise source_seconds")
        if reply is None:
            raise ReadError(_CRASHED)
        return reply

    def _watch(self) -> None:
        """Kills the process past its deadline; one long-lived thread, since starting one per source is slower."""
        while not self._ended.wait(WATCH_INTERVAL):
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


_CRASHED = "crashed its reader and may be broken; open it, and save it again or in another format"


def _receive(stream: BinaryIO, largest: int) -> bytes | None:
    """The next message; None at the end of the stream, or if the message is too long."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    length = _LENGTHS.unpack(head)[0]
    body = stream.read(length) if length <= largest else b""
    return body if len(body) == length else None


def _parsed(reply: bytes, parse: Callable[[Any], T]) -> tuple[T, str]:
    """The items of a reply, and the reader's error message, if any. Raises ReadError if the reply is malformed."""
    try:
        message = json.loads(reply)
        return parse(message["items"]), str(message["problem"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReadError(_CRASHED) from error


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


def _as_json(value: Any) -> Any:
    """Dataclasses as dicts, nested ones included."""
    if is_dataclass(value):
        return {field.name: _as_json(getattr(value, field.name)) for field in fields(value)}
    return dict(value) if isinstance(value, Mapping) else value


def main() -> None:
    """Runs in the other process: handles one request after another until the pipe is closed."""
    requests, replies = _claimed(0, os.O_RDONLY, "rb"), _claimed(1, os.O_WRONLY, "wb")
    # Ctrl-C is for the parent process, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    _write(replies, b"")
    while head := requests.read(_LENGTHS.size):
        length, size = _LENGTHS.unpack(head)
        reply = _handle(json.loads(requests.read(length)), requests.read(size))
        # A lone surrogate cannot be encoded; it is replaced by one character, so that spans stay right.
        body = json.dumps(reply, ensure_ascii=False, default=date.isoformat).encode("utf-8", "replace")
        _write(replies, body)


def _write(stream: BinaryIO, body: bytes) -> None:
    stream.writelines((_LENGTHS.pack(len(body), 0), body))
    stream.flush()


def _claimed(descriptor: int, mode: int, name: str) -> BinaryIO:
    """A standard stream for this module alone; a library that reads or prints gets the null device."""
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


def _handle(request: Mapping[str, Any], data: bytes) -> dict[str, Any]:
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
    loaded: Any = getattr(importlib.import_module(module), function)
    if request["reader"] == BLOCKS:
        yield from ([_as_json(block) for block in loaded(markup)] for markup in json.loads(data))
        return
    reader: Reader = loaded
    content = Content(open=lambda: io.BytesIO(data), size=len(data), **request["content"])
    yield from ({"type": type(item).__name__, **_as_json(item)} for item in reader(content, options))


def _end_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
