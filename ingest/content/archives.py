"""Members of .zip and .gz files, unpacked within limits in memory or in unnamed temporary files.

The sizes that an archive declares are not trusted: the bytes that come out are counted as they are read. What a member
contains, and whether a member is itself an archive, is left to the caller.
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

from ingest.content.types import MEGABYTE, Budget, Content, Options
from ingest.content.values import one_line
from rag.errors import ReadError
from rag.schema import Failure

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


GZIP_START, ZIP_STARTS = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes; a zip without members begins with the second of its two."""
MOST_MEMBERS = 100_000
LONGEST_DIRECTORY = 32 * MEGABYTE
"""Bytes of a zip's central directory, which is read into memory as a whole."""
HIGHEST_RATIO, RATIO_FROM = 200, 10 * MEGABYTE
"""Compression ratio above which a member is a zip bomb, and the unpacked bytes from which on the ratio is checked. Text
packs to a twentieth of its size at best, a bomb to a thousandth."""
IN_MEMORY = 16 * MEGABYTE
"""Unpacked bytes of a member that is read back and forth; a larger one is kept in a temporary file."""
CHUNK, BUFFER = 1 << 20, 1 << 16
GUNZIP_STEP = 65_536
"""Bytes that `gunzip` unpacks at once."""

UNPACKING_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    # Encrypted, or an unknown compression method.
    RuntimeError,
    # Fields and names that contradict each other, offsets beyond what a file can have.
    ValueError,
    OverflowError,
    struct.error,
)
"""What zipfile and gzip raise for broken data."""

_TOO_MANY = f"holds more than {MOST_MEMBERS:,} files; unpack it yourself and give the folder"
_DRIVE = re.compile(r"[A-Za-z]:")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED, _UTF_8 = 0x1, 0x800
"""Bits of a member's flags."""
_DIRECTORY_ENTRY = b"PK\x01\x02"
"""First bytes of each entry of the central directory."""
_CURRENT_FOLDER = re.compile(r"/(?:\.?/)+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORD_DOCUMENT = re.compile(r"word/document\d*\.xml")
_GZIP_WINDOW = zlib.MAX_WBITS | 16


def members(content: Content, options: Options, budget: Budget | None = None) -> Iterator[Content | Failure]:
    """Each member of an archive as a content of its own, or why it is not read; the format is known by the first bytes.

    A member of a zip is named "dump.zip/folder/file.txt"; the one in a .gz like the unpacked file, "dump.jsonl". Read
    each before asking for the next: they are closed with the archive. Hidden files are skipped. Archives in the archive
    are not opened. Raises ReadError if nothing can be unpacked; reading a member raises it too.
    """
    budget = budget or Budget.for_source(options.limits, content.size)
    start = content.start(4)
    if start.startswith(GZIP_START):
        yield _gzip_member(content, budget)
    elif start.startswith(ZIP_STARTS):
        yield from _zip_members(content, options, budget)
    else:
        raise ReadError("is no archive of a known kind; give a .zip, a .gz, or the folder itself")


def gunzip(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack a stream of gzip data in pieces of at most GUNZIP_STEP bytes, so that a bomb never fills the memory.

    Raises ReadError if the data is broken or cut off.
    """
    unpack, begun, ended = zlib.decompressobj(_GZIP_WINDOW), False, False
    try:
        for part in parts:
            data, full = part, False
            while data or full:
                if ended and not begun:
                    # Another member, or the padding that some servers add.
                    data = data.lstrip(b"\0")
                    if not GZIP_START.startswith(data[:2]):
                        return
                piece = unpack.decompress(data, GUNZIP_STEP)
                yield piece
                data, full, begun = unpack.unconsumed_tail, len(piece) == GUNZIP_STEP, begun or bool(data)
                if unpack.eof:
                    data, full, begun, ended = unpack.unused_data, False, False, True
                    unpack = zlib.decompressobj(_GZIP_WINDOW)
    except zlib.error as error:
        raise ReadError("is broken gzip data; try again later") from error
    if begun:
        raise ReadError("was cut off in transfer; try again later")


def zip_kind(file: BinaryIO) -> str:
    """The document format that a zip is: "docx", "epub", or "" for a plain archive or no zip at all."""
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
    """Open a zip. Raises ReadError if its central directory cannot be read or is too long."""
    try:
        limited = _DirectoryLimit(file)
        archive = zipfile.ZipFile(cast("IO[bytes]", limited))
        limited.opening = False
    except UNPACKING_ERRORS as error:
        raise ReadError(f"is a broken archive ({_reason(error)}); create or download it again") from error
    with archive:
        if len(archive.filelist) > MOST_MEMBERS:
            raise ReadError(_TOO_MANY)
        yield archive


class _DirectoryLimit:
    """The file as zipfile reads it while opening: the central directory may be no longer than allowed.

    Every read is checked, since zipfile decides by the data itself where the directory is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if not self.opening:
            return self._file.read(size)
        data = self._file.read(min(size, LONGEST_DIRECTORY + 1) if size >= 0 else LONGEST_DIRECTORY + 1)
        if len(data) > LONGEST_DIRECTORY or data.count(_DIRECTORY_ENTRY) > MOST_MEMBERS:
            raise ReadError(_TOO_MANY)
        return data


class Parts:
    """The parts of a document that is a zip, by name; at most `limit` bytes of them are read in all."""

    def __init__(self, archive: zipfile.ZipFile, limit: int) -> None:
        self._archive = archive
        self._left = limit
        self._limit = limit

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        """Raises ReadError if the part is missing, broken or too large."""
        if name not in self:
            raise ReadError(f"is broken ({one_line(name)} is missing in it); create or download it again")
        try:
            with self._archive.open(name) as file:
                data = file.read(self._left + 1)
        except UNPACKING_ERRORS as error:
            raise ReadError(f"is broken ({_reason(error)}); create or download it again") from error
        self._left -= len(data)
        if self._left < 0:
            raise ReadError(f"unpacks to more than {self._limit:,} bytes; split it, or raise source_megabytes")
        return data


def _gzip_member(content: Content, budget: Budget) -> Content:
    name = content.name[:-3] if content.name.lower().endswith(".gz") else content.name

    def opened() -> BinaryIO:
        packed = content.open()
        meter = _Meter(budget, budget.total_bytes, packed.tell)
        return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=packed), meter, packed.close), BUFFER)

    return replace(content, name=name, open=opened)


def _zip_members(content: Content, options: Options, budget: Budget) -> Iterator[Content | Failure]:
    with content.open() as file, zip_file(file) as archive:
        seen: set[str] = set()
        for info in archive.infolist():
            name = _path_of(info)
            if name.endswith("/") or _is_hidden(name):
                continue
            shown = f"{content.name}/{one_line(_UNPRINTABLE.sub(' ', name)) or '?'}"
            if problem := _problem(name, info, seen):
                yield Failure(shown, problem)
                continue
            seen.add(name)
            meter = _Meter(budget, options.limits.bytes, partial(getattr, info, "compress_size"))
            yield replace(content, name=shown, open=partial(_open_member, archive, info, meter), size=info.file_size)
            budget.check_bytes()


def _path_of(info: zipfile.ZipInfo) -> str:
    """A member's path with "/" between its parts; UTF-8 is recognized where the flag for it is missing."""
    name = info.orig_filename
    if not info.flag_bits & _UTF_8:
        with suppress(ValueError):
            name = name.encode("cp437").decode("utf-8")
    return _CURRENT_FOLDER.sub("/", name.replace("\\", "/")).removeprefix("./")


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any((part.startswith(".") and part.strip(".")) or part == "__MACOSX" for part in parts)


def _problem(name: str, info: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why a member is not read; empty if it can be."""
    mode = info.external_attr >> 16
    problem = ""
    if not name or _UNPRINTABLE.search(name):
        problem = "has a name with control characters, or none; rename it and pack it again"
    elif name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        problem = "has a path that leads out of the archive; unpack it yourself and give the folder"
    elif mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        problem = "is a link, not a file; pack what it leads to"
    elif name in seen:
        problem = "is in the archive twice, and the first was read; pack it again"
    elif info.flag_bits & _ENCRYPTED:
        problem = "is encrypted; unpack it yourself and give the folder"
    elif info.compress_type not in _METHODS:
        problem = f"uses an unknown compression (method {info.compress_type}); unpack it yourself and give the folder"
    return problem


def _reason(error: BaseException) -> str:
    return one_line(str(error))[:200] or type(error).__name__


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: _Meter) -> BinaryIO:
    with _unpacking():
        return io.BufferedReader(_Unpacked(archive.open(info), meter), BUFFER)


@contextmanager
def _unpacking() -> Iterator[None]:
    """Turn what zipfile and gzip raise into ReadError."""
    try:
        yield
    except UNPACKING_ERRORS as error:
        raise ReadError(f"cannot be unpacked ({_reason(error)}); unpack it yourself, or download it again") from error


@dataclass(slots=True)
class _Meter:
    """Counts how far a member was read, once however often it is opened.

    `limit` is the most bytes it may unpack to, `packed` tells from how many bytes it has been unpacked so far.
    """

    budget: Budget
    limit: int
    packed: Callable[[], int]
    furthest: int = 0

    def check(self, position: int) -> None:
        """Raises ReadError if the member, or its archive, unpacks to more than allowed, or takes too long."""
        if position <= self.furthest:
            return
        self.budget.bytes -= position - self.furthest
        self.furthest = position
        self.budget.check()
        self.budget.check_bytes()
        is_bomb = position > RATIO_FROM and position > HIGHEST_RATIO * max(self.packed(), 1)
        if position > self.limit or is_bomb:
            allowed = RATIO_FROM if is_bomb else self.limit
            raise ReadError(f"unpacks to more than {allowed:,} bytes; unpack it yourself and give the folder")


class _Unpacked(io.RawIOBase):
    """A metered stream of unpacked bytes; the first seek backwards keeps a copy, so that nothing is unpacked twice."""

    def __init__(
        self, stream: IO[bytes] | gzip.GzipFile, meter: _Meter, also_close: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._stream = stream
        self._meter = meter
        self._also_close = also_close
        self._position = 0
        self._copy: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._copy.read(len(view)) if self._copy else self._unpack(len(view))
        view[: len(data)] = data
        return len(data)

    def _unpack(self, size: int) -> bytes:
        with _unpacking():
            data = self._stream.read(size)
        self._position += len(data)
        self._meter.check(self._position)
        return data

    def tell(self) -> int:
        return self._copy.tell() if self._copy else self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self._copy is None:
            stays = offset == (self._position if whence == io.SEEK_SET else 0)
            if stays and whence != io.SEEK_END:
                return self._position
            self._copy = self._copied()
        return self._copy.seek(offset, whence)

    def _copied(self) -> IO[bytes]:
        """All of the stream, unpacked from its start, at the present position."""
        position = self._position
        copy: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed with the stream
        try:
            self._stream.seek(0)
            self._position = 0
            while data := self._unpack(CHUNK):
                copy.write(data)
            copy.seek(position)
        except BaseException:
            copy.close()
            raise
        return copy

    def close(self) -> None:
        if not self.closed:
            if self._copy:
                self._copy.close()
            self._stream.close()
            self._also_close()
        super().close()
