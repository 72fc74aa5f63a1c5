"""The files of an index: its folder, the store in use, and what each derived index holds.

An index's folder holds numbered stores, each with a catalogue and the indexes derived from it, and a file that names
the one in use. A rebuild fills a new store and then changes the name: readers see either store as a whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from rag.errors import IndexMismatch, IndexMissing
from rag.store.hints import convert_command, ingest_command

FORMAT = 4
"""Raised when the meaning of a row changes. Formats up to 3 kept articles in Chroma."""
POINTER = "pullquote-index.json"
"""Names the store in use."""
CATALOG, FULLTEXT, CHROMA, VECTORS = "catalog.sqlite3", "fulltext", "chroma", "vectors"
"""Of a store."""
STATE = "state.json"
OLD_DATABASE = "chroma.sqlite3"
"""In the folder of an index whose format is 3 or less, and in any Chroma store."""

log = logging.getLogger(__name__)


class _Pointer(BaseModel):
    format: int
    store: str


@dataclass(frozen=True, slots=True)
class DerivedState:
    """What a derived index holds: every write up to a generation, and the passages up to a key."""

    identity: str = ""
    generation: int = 0
    through: int = 0

    @classmethod
    def read(cls, folder: Path) -> DerivedState:
        """The state of the derived index in a folder; an empty one if there is none."""
        try:
            return cls(**json.loads((folder / STATE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, folder: Path) -> None:
        """Record this state, in one step."""
        _write(folder / STATE, json.dumps(asdict(self)))

    @staticmethod
    def forget(folder: Path) -> None:
        """Delete the state of a derived index, so that it counts as lost."""
        (folder / STATE).unlink(missing_ok=True)


def store_in_use(folder: Path) -> Path:
    """The store in use of an index. Raises IndexMissing, or IndexMismatch for one of another format."""
    try:
        pointer = _Pointer.model_validate_json((folder / POINTER).read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        if has_old_format(folder):
            raise IndexMismatch(
                f"the index {folder} has a format of an earlier version; convert it: {convert_command(folder)}"
            ) from error
        if stores := _stores(folder):
            log.warning("%s is lost or damaged; %s is used", folder / POINTER, stores[0])
            return stores[0]
        raise IndexMissing(f"there is no index at {folder}; make one: {ingest_command(folder)}") from error
    if pointer.format != FORMAT:
        raise other_format(f"the index {folder}", pointer.format)
    return folder / Path(pointer.store).name


def other_format(what: str, found: int) -> IndexMismatch:
    """The error for an index or a backup of another format."""
    return IndexMismatch(
        f"{what} has format {found}, but this version reads format {FORMAT}; use the version of Pullquote that wrote it"
    )


def _stores(folder: Path) -> list[Path]:
    """The stores that have a catalogue, first the oldest: a newer one may be incomplete."""
    stores = [file.parent for file in folder.glob(f"store-*/{CATALOG}") if file.parent.name[6:].isdecimal()]
    return sorted(stores, key=lambda store: int(store.name[6:]))


def has_old_format(folder: Path) -> bool:
    """Whether an index has a format of an earlier version, and has not been converted."""
    return (folder / OLD_DATABASE).is_file() and not (folder / POINTER).is_file()


def use_store(folder: Path, store: Path) -> None:
    """Make a store the one in use, in one step, and delete all others."""
    _write(folder / POINTER, _Pointer(format=FORMAT, store=store.name).model_dump_json())
    delete_other_stores(folder, store)


def announce(folder: Path, store: Path) -> None:
    """Let readers open a store again if it is in use."""
    if (folder / POINTER).is_file() and store_in_use(folder) == store:
        use_store(folder, store)


def delete_other_stores(folder: Path, store: Path) -> None:
    """Delete all stores but this one: an earlier one, or what an interrupted rebuild left."""
    for other in folder.glob("store-*"):
        if other != store:
            shutil.rmtree(other, ignore_errors=True)


def new_store(folder: Path) -> Path:
    """An empty folder for a new store."""
    numbers = [int(number) for path in folder.glob("store-*") if (number := path.name[6:]).isdecimal()]
    store = folder / f"store-{max(numbers, default=0) + 1}"
    store.mkdir(parents=True)
    return store


def _write(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())  # a power failure leaves the old content or the new one, too
    new.replace(file)  # readers see the old content or the new one
