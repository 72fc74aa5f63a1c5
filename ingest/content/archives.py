"""What is in a .zip or a .gz, unpacked in memory or in nameless temporary files, and never more than is allowed.

The sizes that an archive declares are not believed: what comes out of it is counted as it is read.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from ingest.content.types import MEGABYTE, WHOLE_ARCHIVE, Budget, Content, Options
from ingest.content.values import one_line
from rag.errors import ReadError
from rag.schema import Failure

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


GZIP_START, ZIP_STARTS = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
"""A zip without members begins with the second of its marks."""
MOST_MEMBERS = 100_000
LONGEST_DIRECTORY = 32 * MEGABYTE
"""Bytes of a zip's list of members, which is read into memory whole."""
HIGHEST_RATIO, RATIO_FROM = 200, 10 * MEGABYTE
"""Text packs to a twentieth of its size at best; a bomb to a thousandth."""
IN_MEMORY = 16 * MEGABYTE
CHUNK, BUFFER = 1 << 20, 1 << 16

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    # Encrypted, or packed in a way that is unknown.
    RuntimeError,
    # Fields and names that contradict each other, positions beyond what a file can have.
    ValueError,
    OverflowError,
    struct.error,
)
"""What zipfile and gzip raise about data that is not what it says."""

_DRIVE = re.compile(r"[A-Za-z]:")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED, _UTF_8 = 0x1, 0x800
_MEMBER_MARK = b"PK\x01\x02"
"""What each entry of the list of members begins with."""
_HERE = re.compile(r"/(?:\.?/)+")
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORD_DOCUMENT = re.compile(r"word/document\d*\.xml")


def members(content: Content, options: Options, budget: Budget | None = None) -> Iterator[Content | Failure]:
    """What an archive holds, by its first bytes: each member as a content of its own, or why it is none.

    A member of a zip is named "dump.zip/folder/file.txt"; the one in a .gz as that file would be, "dump.jsonl". Read
    each before asking for the next: they are closed with the archive. What is hidden is passed over. Members that are
    archives are not looked into. Raises ReadError if nothing can be unpacked; reading a member raises it too.
    """
    source_budget = budget or Budget.for_source(options.limits, content.size)
    unpacking = _Budget(options.limits.bytes * WHOLE_ARCHIVE, source_budget)
    start = content.start(4)
    if start.startswith(GZIP_START):
        yield _gunzipped(content, unpacking)
    elif start.startswith(ZIP_STARTS):
        yield from _unzipped(content, options, unpacking)
    else:
        raise ReadError("is no archive of a known kind; give a .zip, a .gz, or the folder itself")


def zip_kind(file: BinaryIO) -> str:
    """What a zip is besides: "docx", "epub", or "" for a plain archive, or for what is no zip."""
    try:
        with zip_file(file) as archive:
            names = set(archive.namelist())
            if any(map(_WORD_DOCUMENT.fullmatch, names)):
                return "docx"
            if "mimetype" not in names:
                return ""
            kind = Parts(archive, 1000).read("mimetype")
    except ReadError:
        return ""
    return "epub" if kind.strip() == b"application/epub+zip" else ""


@contextmanager
def zip_file(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """A zip, opened. Raises ReadError if its list of members cannot be read, or is too long."""
    try:
        counting = _Counting(file)
        archive = zipfile.ZipFile(cast("IO[bytes]", counting))
        counting.opening = False
    except BROKEN as error:
        raise ReadError(f"is a broken archive ({_line(error)}); make it, or load it, again") from error
    with archive:
        if len(archive.filelist) > MOST_MEMBERS:
            raise ReadError(_TOO_MANY)
        yield archive


_TOO_MANY = f"holds more than {MOST_MEMBERS:,} files; unpack it yourself and give the folder"


class _Counting:
    """A zip as zipfile reads it while it opens it: it may not take in a longer list of members than is allowed.

    What zipfile takes for that list is what is counted, wherever it looks for it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if not self.opening:
            return self._file.read(size)
        data = self._file.read(min(size, LONGEST_DIRECTORY + 1) if size >= 0 else LONGEST_DIRECTORY + 1)
        if len(data) > LONGEST_DIRECTORY or data.count(_MEMBER_MARK) > MOST_MEMBERS:
            raise ReadError(_TOO_MANY)
        return data


class Parts:
    """The parts of a document that is a zip, by name; in all no more than `limit` bytes of them are read."""

    def __init__(self, archive: zipfile.ZipFile, limit: int) -> None:
        self._archive = archive
        self._left = limit
        self._limit = limit

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        """Raises ReadError if there is no such part, if it is broken, or too large."""
        if name not in self:
            raise ReadError(f"is broken ({one_line(name)} is missing in it); make it, or load it, again")
        try:
            with self._archive.open(name) as file:
                data = file.read(self._left + 1)
        except BROKEN as error:
            raise ReadError(f"is broken ({_line(error)}); make it, or load it, again") from error
        self._left -= len(data)
        if self._left < 0:
            raise ReadError(f"unpacks to more than {self._limit:,} bytes; split it, or raise source_megabytes")
        return data


def _gunzipped(content: Content, budget: _Budget) -> Content:
    name = content.name[:-3] if content.name.lower().endswith(".gz") else content.name

    def opened() -> BinaryIO:
        packed = content.open()
        meter = _Meter(budget, budget.limit, packed.tell)
        return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=packed), meter, packed.close), BUFFER)

    return replace(content, name=name, open=opened)


def _unzipped(content: Content, options: Options, budget: _Budget) -> Iterator[Content | Failure]:
    with content.open() as file, zip_file(file) as archive:
        seen: set[str] = set()
        for info in archive.infolist():
            name = _name(info)
            if name.endswith("/") or _is_hidden(name):
                continue
            where = f"{content.name}/{_shown(name)}"
            problem = _problem(name, info, seen)
            if problem:
                yield Failure(where, problem)
                continue
            seen.add(name)
            meter = _Meter(budget, options.limits.bytes, partial(_packed_size, info))
            yield replace(content, name=where, open=partial(_opened, archive, info, meter), size=info.file_size)
            if budget.allowance.bytes < 0:
                raise ReadError(budget.problem)


def _packed_size(info: zipfile.ZipInfo) -> int:
    return info.compress_size


def _name(info: zipfile.ZipInfo) -> str:
    """Its path, with "/" between its parts; UTF-8 that is not marked as such is read as UTF-8 all the same."""
    name = info.orig_filename
    if not info.flag_bits & _UTF_8:
        with suppress(ValueError):
            name = name.encode("cp437").decode("utf-8")
    return _HERE.sub("/", name.replace("\\", "/")).removeprefix("./")


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any((part.startswith(".") and part.strip(".")) or part == "__MACOSX" for part in parts)


def _problem(name: str, info: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why a member is not read; empty if it can be."""
    mode = info.external_attr >> 16
    problem = ""
    if not name or _UNSHOWN.search(name):
        problem = "has a name that is no text; rename it and pack it again"
    elif name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        problem = "has a path that leads out of the archive; unpack it yourself and give the folder"
    elif mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        problem = "is a link, not a file; pack what it leads to"
    elif name in seen:
        problem = "stands in the archive twice, the first was read; pack it again"
    elif info.flag_bits & _ENCRYPTED:
        problem = "is encrypted; unpack it yourself and give the folder"
    elif info.compress_type not in _PACKINGS:
        problem = f"is packed in a way that is unknown (method {info.compress_type}); unpack it yourself"
    return problem


def _shown(name: str) -> str:
    return one_line(_UNSHOWN.sub(" ", name)) or "?"


def _line(error: BaseException) -> str:
    return one_line(str(error))[:200] or type(error).__name__


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: _Meter) -> BinaryIO:
    try:
        stream = archive.open(info)
    except BROKEN as error:
        raise ReadError(f"cannot be unpacked ({_line(error)}); unpack it yourself, or load it again") from error
    return io.BufferedReader(_Unpacked(stream, meter), BUFFER)


@dataclass(frozen=True, slots=True)
class _Budget:
    """What a source may unpack to in all, in bytes, and what it still may."""

    limit: int
    allowance: Budget

    @property
    def problem(self) -> str:
        return f"unpacks to more than {self.limit:,} bytes in all; unpack it yourself and give the folder"


@dataclass(slots=True)
class _Meter:
    """How far a member was read, however often it is opened; `packed` says from how many bytes."""

    budget: _Budget
    limit: int
    packed: Callable[[], int]
    furthest: int = 0

    def check(self, position: int) -> None:
        """Raises ReadError if there is more to the member, or to the archive, than may be."""
        if position <= self.furthest:
            return
        self.budget.allowance.bytes -= position - self.furthest
        self.furthest = position
        self.budget.allowance.check()
        if self.budget.allowance.bytes < 0:
            raise ReadError(self.budget.problem)
        bomb = position > RATIO_FROM and position > HIGHEST_RATIO * max(self.packed(), 1)
        if position > self.limit or bomb:
            allowed = RATIO_FROM if bomb else self.limit
            raise ReadError(f"unpacks to more than {allowed:,} bytes; unpack it yourself and give the folder")


class _Unpacked(io.RawIOBase):
    """A stream of unpacked bytes, counted; kept, in memory or in a nameless file, once somebody turns back in it."""

    def __init__(
        self, stream: IO[bytes] | gzip.GzipFile, meter: _Meter, also_close: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._stream = stream
        self._meter = meter
        self._also_close = also_close
        self._position = 0
        self._kept: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._kept.read(len(view)) if self._kept else self._unpack(len(view))
        view[: len(data)] = data
        return len(data)

    def _unpack(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except BROKEN as error:
            raise ReadError(f"cannot be unpacked ({_line(error)}); unpack it yourself, or load it again") from error
        self._position += len(data)
        self._meter.check(self._position)
        return data

    def tell(self) -> int:
        return self._kept.tell() if self._kept else self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self._kept is None:
            here = offset == (self._position if whence == io.SEEK_SET else 0)
            if here and whence != io.SEEK_END:
                return self._position
            self._kept = self._keep()
        return self._kept.seek(offset, whence)

    def _keep(self) -> IO[bytes]:
        """All of it, from the start; the position is where it was."""
        position = self._position
        kept: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed with the stream
        try:
            self._stream.seek(0)
            self._position = 0
            while data := self._unpack(CHUNK):
                kept.write(data)
            kept.seek(position)
        except BaseException:
            kept.close()
            raise
        return kept

    def close(self) -> None:
        if not self.closed:
            if self._kept:
                self._kept.close()
            self._stream.close()
            self._also_close()
        super().close()


GUNZIP_STEP = 65_536
"""Bytes that are unpacked at once."""

_GZIP = zlib.MAX_WBITS | 16


def gunzip(parts: Iterable[bytes]) -> Iterator[bytes]:
    """What gzip packed, in pieces of at most GUNZIP_STEP bytes, however much a few bytes stand for.

    Raises ReadError if it is broken or cut off.
    """
    unpack, begun, ended = zlib.decompressobj(_GZIP), False, False
    try:
        for part in parts:
            data, full = part, False
            while data or full:
                if ended and not begun:
                    # Another member, or what some servers pad with.
                    data = data.lstrip(b"\0")
                    if not GZIP_START.startswith(data[:2]):
                        return
                piece = unpack.decompress(data, GUNZIP_STEP)
                yield piece
                data, full, begun = unpack.unconsumed_tail, len(piece) == GUNZIP_STEP, begun or bool(data)
                if unpack.eof:
                    data, full, begun, ended = unpack.unused_data, False, False, True
                    unpack = zlib.decompressobj(_GZIP)
    except zlib.error as error:
        raise ReadError("is packed in a broken way; try again later") from error
    if begun:
        raise ReadError("was cut off on its way; try again later")
