"""A copy of an index in one file, and an index from such a file.

The copy holds the catalogue only, as it was at one moment: SQLite copies it while others read and write. The indexes
derived from it are as large again and would have to stand still meanwhile; restoring builds them, without a model.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from pydantic import BaseModel

from rag.errors import IndexMismatch, IndexMissing, StoreError
from rag.store.catalog.reading import Catalog, sql_errors
from rag.store.files import CATALOG, FORMAT, new_store, other_format, store_in_use, use_store
from rag.store.hints import restore_command
from rag.store.lock import locked
from rag.store.writer import IndexWriter, finishing

MANIFEST = "pullquote-backup.json"
MOST_MANIFEST_BYTES = 100_000
BLOCK = 1 << 20


class _Manifest(BaseModel):
    """The first member of a backup: its format, and what the second one, the catalogue, must be."""

    format: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of articles and passages in a backup."""

    articles: int
    passages: int


def back_up(folder: Path, file: Path) -> Counts:
    """Copy an index to a file; an earlier file stays in its place until the copy is complete.

    Readers and a writer go on meanwhile. Raises IndexMissing, IndexMismatch or StoreError.
    """
    store = store_in_use(folder)
    problem, place = f"the backup {file} cannot be written", file.resolve().parent
    with _disk_errors(problem), TemporaryDirectory(dir=place, prefix=f".{file.name}-") as work:
        copy, packed = Path(work) / CATALOG, Path(work) / "packed"
        _copy(Catalog(folder, store / CATALOG), copy)
        state = Catalog(folder, copy).state()
        with copy.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        manifest = _Manifest(format=FORMAT, size=copy.stat().st_size, sha256=digest)
        _pack(packed, manifest.model_dump_json().encode(), copy)
        packed.replace(file)
    return Counts(state.articles, state.passages)


def _copy(catalog: Catalog, file: Path) -> None:
    with sql_errors(catalog.folder), catalog.reading() as connection, closing(sqlite3.connect(file)) as target:
        # In one step, which is one transaction: in several, a write in between would start it anew.
        connection.connection.driver_connection.backup(target, pages=-1)  # type: ignore[union-attr]


def _pack(file: Path, manifest: bytes, catalog: Path) -> None:
    with tarfile.open(file, "w") as archive:
        header = tarfile.TarInfo(MANIFEST)
        header.size = len(manifest)
        archive.addfile(header, io.BytesIO(manifest))
        archive.add(catalog, CATALOG)


def restore(folder: Path, file: Path, *, force: bool = False) -> Counts:
    """Make an index from a backup.

    An index that the folder has already is replaced with `force`, once the new one is complete. Raises IndexLocked, or
    StoreError for a folder that has an index, and for a file that is no backup or a damaged one.
    """
    if not force and _has_index(folder):
        raise StoreError(
            f"{folder} already has an index; replace it: {restore_command(folder)}, or give another --index"
        )
    with _unpacking(file) as (manifest, catalog), locked(folder):
        store = new_store(folder)
        try:
            with _disk_errors(f"the index {folder} cannot be written"):
                unpacked = store / f"{CATALOG}.new"
                _unpack(catalog, unpacked, manifest, file)
                unpacked.replace(store / CATALOG)
            counts = _complete(folder, store)
        except BaseException:
            shutil.rmtree(store, ignore_errors=True)
            raise
        use_store(folder, store)
    return counts


def _has_index(folder: Path) -> bool:
    try:
        store_in_use(folder)
    except IndexMissing:
        return False
    except IndexMismatch:
        return True
    return True


@contextmanager
def _unpacking(file: Path) -> Iterator[tuple[_Manifest, IO[bytes]]]:
    """The manifest and the catalogue of a backup. No name in it is used as a path."""
    with _disk_errors(f"the backup {file} cannot be read"):
        stream = file.open("rb")
    with stream:
        try:
            archive = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115 - closed with its stream
            manifest = _Manifest.model_validate_json(_member(archive, MANIFEST, MOST_MANIFEST_BYTES).read())
            catalog = _member(archive, CATALOG, manifest.size) if manifest.format == FORMAT else None
        except (tarfile.TarError, ValueError, EOFError, OSError) as error:
            raise _not_whole(file) from error
        if catalog is None:
            raise other_format(f"the backup {file}", manifest.format)
        yield manifest, catalog


def _member(archive: tarfile.TarFile, name: str, most_bytes: int) -> IO[bytes]:
    member = archive.next()
    content = archive.extractfile(member) if member and member.isreg() else None
    if member is None or content is None or member.name != name or member.size > most_bytes:
        raise ValueError(f"it has no {name}")
    return content


def _unpack(stream: IO[bytes], file: Path, manifest: _Manifest, backup: Path) -> None:
    digest, size = hashlib.sha256(), 0
    with file.open("xb") as target:
        while block := _read(stream, backup):
            digest.update(block)
            size += len(block)
            target.write(block)
    if (size, digest.hexdigest()) != (manifest.size, manifest.sha256):
        raise _not_whole(backup)


def _read(stream: IO[bytes], backup: Path) -> bytes:
    try:
        return stream.read(BLOCK)
    except (tarfile.TarError, EOFError) as error:
        raise _not_whole(backup) from error


def _complete(folder: Path, store: Path) -> Counts:
    """Build the derived indexes of a store that has only its catalogue."""
    state = Catalog(folder, store / CATALOG).state()
    with sql_errors(folder), finishing(IndexWriter(folder, store, state.embedding_model)):
        pass  # opening lets them catch up
    return Counts(state.articles, state.passages)


def _not_whole(file: Path) -> StoreError:
    return StoreError(f"{file} is no backup of Pullquote, or a damaged one; give another file")


@contextmanager
def _disk_errors(problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{problem} ({error.strerror or error}); check the path and that the disk is not full"
        ) from error
