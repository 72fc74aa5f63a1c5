"""Articles that readers add on the page, as files, pasted texts or addresses, and articles that they remove.

Files are kept beside the index under safe names, so that they can be read again.
"""

from __future__ import annotations

import filecmp
import json
import queue
import re
import shutil
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingest.content.types import MEGABYTE, Options
from ingest.pipeline import Progress, Standing, ingest, remove
from ingest.sources.files import is_url
from ingest.updater import Model
from rag.config import Config
from rag.errors import PullquoteError, ReadError, cut
from rag.schema import IngestReport
from rag.store.index import Index
from ui.services import scope
from ui.services.errors import unexpected
from ui.wording import counted

MOST_FILES = 2000
"""Files in one addition."""
MOST_GIGABYTES = 4
"""All files that were added on the page, together."""
LONGEST_NAME = 120
"""Bytes; most file systems take 255."""
NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names of devices on Windows."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A pasted text and its metadata; all but the text may be empty."""

    text: str
    title: str = ""
    source: str = ""
    date: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one file or address. Other programs rely on the names of the fields."""

    name: str
    told: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """The result of an addition: the report of the ingest, and the result for each file or address."""

    report: IngestReport
    outcomes: tuple[Outcome, ...]


ByOrigin = dict[str, tuple[int, int]]
"""How many articles were read from each origin, and how many duplicates of other articles."""
NOTHING = (0, 0)
Steps = Generator[Standing | Added, None, None]


@dataclass(frozen=True, slots=True)
class Uploads:
    """Adds articles to an index and removes them, one addition or removal at a time; a second one waits.

    `index` and `model` are the ones that answer questions, so that the model is loaded once.
    """

    config: Config
    index: Index
    model: Model
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """The folder of the files, beside the index's folder, so that it survives a rebuild."""
        return self.config.index.with_name(f"{self.config.index.name}.articles")

    def files(self, uploads: Sequence[Path], *, taken: bool = False) -> Steps:
        """Add uploaded files, archives and folders. Raises ReadError for too many.

        With `taken`, the uploads are deleted once they are copied or refused.
        """
        if len(uploads) > MOST_FILES:
            _delete(uploads if taken else ())
            raise ReadError(
                f"these are {len(uploads):,} files; add at most {MOST_FILES:,} at once, or run pullquote ingest"
            )

        def add(progress: Progress) -> Added:
            stored, refused = self._store_all(uploads)
            _delete(uploads if taken else ())
            report = self._ingest(_origins(stored), progress)
            return Added(report, (*refused, *self._outcomes(stored, report)))

        yield from self._in_turn(add)

    def text(self, pasted: Pasted) -> Steps:
        """Add a pasted text. Raises QuestionError for an invalid date, ReadError if there is no text."""
        if not pasted.text.strip():
            raise ReadError("there is no text; paste it into the box")
        day = scope.day(pasted.date)
        fields = {"title": pasted.title, "text": pasted.text, "source": pasted.source, "url": pasted.url}
        record = {name: value.strip() for name, value in fields.items() if value.strip()}
        record |= {"date": day.isoformat()} if day else {}

        def add(progress: Progress) -> Added:
            file = self._free(safe_name(f"{pasted.title.strip() or ' '.join(pasted.text.split())[:60]}.json"))
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(record, ensure_ascii=True), "utf-8")
            stored = {file: pasted.title or "The text"}
            report = self._ingest(_origins(stored), progress)
            return Added(report, tuple(self._outcomes(stored, report)))

        yield from self._in_turn(add)

    def urls(self, lines: str) -> Steps:
        """Add pages, feeds and sitemaps by their addresses, one a line. Raises ReadError for an invalid address."""
        places = list(dict.fromkeys(lines.split()))
        invalid = [place for place in places if not is_url(place)]
        if invalid or not places:
            problem = f"{cut(invalid[0])!r} is no address" if invalid else "there is no address"
            raise ReadError(f"{problem}; give one that begins with https://, or several, one a line")

        def add(progress: Progress) -> Added:
            report = self._ingest(places, progress)
            return Added(report, tuple(_failures(report)))

        yield from self._in_turn(add)

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove articles, and files added on the page that hold no other article; returns the number of articles.

        Raises IndexLocked, IndexMissing or StoreError.
        """
        with self._turn:
            known = self.index.entries(article_ids)
            gone = len(known) - len(remove(list(known), self.config))
            files = {Path(origin) for entry in known.values() for origin in entry.origins}
            self._delete_unused(files, self._by_origin(files))
            return gone

    def _in_turn(self, add: Callable[[Progress], Added]) -> Steps:
        """Run an addition when its turn comes, in a thread that runs to its end even if the page is closed.

        The thread holds the turn, so that a closed page neither keeps it nor releases it early. Raises UnexpectedError
        for any unexpected error.
        """
        steps: queue.SimpleQueue[Standing | Added | PullquoteError] = queue.SimpleQueue()

        def run() -> None:
            try:
                with unexpected("the articles could not be added"), self._turn:
                    steps.put(add(steps.put))
            except PullquoteError as error:
                steps.put(error)

        threading.Thread(target=run, name="upload", daemon=True).start()
        while isinstance(step := steps.get(), Standing):
            yield step
        if isinstance(step, PullquoteError):
            raise step
        yield step

    def _ingest(self, places: Sequence[str], progress: Progress) -> IngestReport:
        return ingest(places, self.config, progress, Options(keep=True), self.model)

    def _store_all(self, uploads: Sequence[Path]) -> tuple[dict[Path, str], list[Outcome]]:
        """Copy uploads into the folder: the original name of each copy, and results for those that are refused."""
        stored: dict[Path, str] = {}
        refused: list[Outcome] = []
        sizes = (file.stat().st_size for file in self.folder.iterdir()) if self.folder.exists() else ()
        room = MOST_GIGABYTES * 1000 * MEGABYTE - sum(sizes)
        for upload in uploads:
            try:
                file, size = self._store(upload, room)
            except (OSError, ReadError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                refused.append(Outcome(upload.name, f"was not taken: {reason}", failed=True))
            else:
                stored[file] = upload.name
                room -= size
        return stored, refused

    def _store(self, upload: Path, room: int) -> tuple[Path, int]:
        """The copy of an upload in the folder and the bytes it adds; 0 if the same file is there already."""
        size, limit = upload.stat().st_size, self.config.source_megabytes * MEGABYTE
        if size > limit:
            raise ReadError(f"it is larger than {self.config.source_megabytes} MB; split it, or raise source_megabytes")
        if size > room:
            raise ReadError(f"more than {MOST_GIGABYTES} GB were added on this page; run pullquote ingest for more")
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._free(safe_name(upload.name), upload)
        if file.exists():
            return file, 0
        shutil.copyfile(upload, file)
        return file, size

    def _free(self, name: str, same: Path | None = None) -> Path:
        """A path of this name, with a number if a different file has it already."""
        stem, dot, ending = name.rpartition(".")
        number, file = 1, self.folder / name
        while file.is_symlink() or (file.exists() and not (same and filecmp.cmp(same, file, shallow=False))):
            number += 1
            file = self.folder / (f"{stem}-{number}{dot}{ending}" if dot else f"{name}-{number}")
        return file

    def _outcomes(self, stored: dict[Path, str], report: IngestReport) -> list[Outcome]:
        """The result for each file; files that hold no article are deleted."""
        by_origin = self._by_origin(stored)
        outcomes = []
        for file, name in stored.items():
            own, copied = by_origin.get(str(file.resolve()), NOTHING)
            reasons = [failure.reason for failure in report.failed if file.name in failure.source]
            notices = [notice.reason for notice in report.notices if file.name in notice.source]
            if own:
                result = counted(own, "article")
            else:
                result = "is in the index already, word for word" if copied else "holds no article"
            outcomes.append(Outcome(name, "; ".join([result, *reasons[:3], *notices[:3]]), failed=bool(reasons)))
        self._delete_unused(set(stored), by_origin)
        return outcomes

    def _by_origin(self, files: Iterable[Path]) -> ByOrigin:
        return self.index.listing.by_origin(_origins(files))

    def _delete_unused(self, files: set[Path], by_origin: ByOrigin) -> None:
        """Delete the files that are in the folder and that no article or duplicate comes from."""
        home = self.folder.resolve()
        for file in files:
            origin = file.resolve()
            if origin.parent == home and str(origin) not in by_origin:
                origin.unlink(missing_ok=True)


def _delete(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _origins(stored: Iterable[Path]) -> list[str]:
    return [str(file.resolve()) for file in stored]


def _failures(report: IngestReport) -> Iterator[Outcome]:
    yield from (Outcome(failure.source, failure.reason, failed=True) for failure in report.failed)
    yield from (Outcome(notice.source, notice.reason) for notice in report.notices)


def safe_name(name: str) -> str:
    """A file name without a path, control characters, or names that are special on any system."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    clean = " ".join(NOT_IN_NAMES.sub(" ", last).split())
    stem, dot, ending = clean.rpartition(".")
    if not dot or not ending.isalnum() or len(ending) > 10:
        stem, ending = clean, ""
    room = LONGEST_NAME - len(ending.encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore").strip(". ") or "article"
    whole = f"{stem}.{ending}" if ending else stem
    return f"_{whole}" if RESERVED.match(whole) else whole
