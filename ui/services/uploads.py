"""What readers add to the index on the page: files, pasted texts, addresses; and what they remove.

Files are kept beside the index, under names of our making, so that they can be read again.
"""

from __future__ import annotations

import filecmp
import json
import queue
import re
import shutil
import threading
import unicodedata
from collections import Counter
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
"""Files that are added at once."""
MOST_GIGABYTES = 4
"""Of all that was ever added on the page."""
LONGEST_NAME = 120
"""Bytes; most file systems take 255."""
NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""What Windows takes for a device."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A text as a reader pasted it, and what is said of it; all but the text may be empty."""

    text: str
    title: str = ""
    source: str = ""
    date: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file or address."""

    name: str
    told: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """What an addition did, in all and one by one."""

    report: IngestReport
    outcomes: tuple[Outcome, ...]


Claimed = tuple[Counter[str], Counter[str]]
"""How many articles were read from each place, and how many copies of others stand there."""
Steps = Generator[Standing | Added, None, None]


@dataclass(frozen=True, slots=True)
class Uploads:
    """Adds articles to an index, and removes them. One addition or removal at a time; a second one waits.

    `index` and `model` are those that answer questions, so that the model is loaded once.
    """

    config: Config
    index: Index
    model: Model
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        """Where files are kept: beside the index's folder, so that they are still there when it is made anew."""
        return self.config.index.with_name(f"{self.config.index.name}.articles")

    def files(self, uploads: Sequence[Path], *, taken: bool = False) -> Steps:
        """Files, archives and whole folders, as they were uploaded. Raises ReadError for far too many.

        If they may be `taken`, nothing is left where they were.
        """
        if len(uploads) > MOST_FILES:
            _drop(uploads if taken else ())
            raise ReadError(
                f"these are {len(uploads):,} files; add at most {MOST_FILES:,} at once, or run pullquote ingest"
            )

        def add(tell: Progress) -> Added:
            kept, refused = self._kept(uploads)
            _drop(uploads if taken else ())
            report = self._ingest(_origins(kept), tell)
            return Added(report, (*refused, *self._outcomes(kept, report)))

        yield from self._in_turn(add)

    def text(self, pasted: Pasted) -> Steps:
        """A pasted text. Raises QuestionError for a date that is none, ReadError where there is no text."""
        if not pasted.text.strip():
            raise ReadError("there is no text; paste it into the box")
        day = scope.day(pasted.date)
        fields = {"title": pasted.title, "text": pasted.text, "source": pasted.source, "url": pasted.url}
        record = {name: value.strip() for name, value in fields.items() if value.strip()}
        record |= {"date": day.isoformat()} if day else {}

        def add(tell: Progress) -> Added:
            file = self._free(safe_name(f"{pasted.title.strip() or ' '.join(pasted.text.split())[:60]}.json"))
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(record, ensure_ascii=True), "utf-8")
            kept = {file: pasted.title or "The text"}
            report = self._ingest(_origins(kept), tell)
            return Added(report, tuple(self._outcomes(kept, report)))

        yield from self._in_turn(add)

    def urls(self, lines: str) -> Steps:
        """Pages, feeds and sitemaps by their addresses, a line each. Raises ReadError for what is none."""
        places = list(dict.fromkeys(lines.split()))
        odd = [place for place in places if not is_url(place)]
        if odd or not places:
            given = f"{cut(odd[0])!r} is no address" if odd else "there is no address"
            raise ReadError(f"{given}; give one that begins with https://, or several, a line each")

        def add(tell: Progress) -> Added:
            report = self._ingest(places, tell)
            return Added(report, tuple(_failures(report)))

        yield from self._in_turn(add)

    def remove(self, article_ids: Sequence[str]) -> int:
        """Remove articles, and files that were added on the page and are of no other article.

        Returns how many there were. Raises IndexLocked, IndexMissing or StoreError.
        """
        with self._turn:
            known = self.index.entries(article_ids)
            gone = len(known) - len(remove(list(known), self.config))
            files = {Path(origin) for entry in known.values() for origin in entry.origins}
            self._tidy(files, self._by_origin())
            return gone

    def _in_turn(self, add: Callable[[Progress], Added]) -> Steps:
        """An addition when its turn comes, in a thread that goes on to its end if nobody waits for it.

        The thread has the turn, not who waits: a page that is closed neither keeps it nor gives it away early. Raises
        UnexpectedError for what is not raised on purpose.
        """
        told: queue.SimpleQueue[Standing | Added | PullquoteError] = queue.SimpleQueue()

        def run() -> None:
            try:
                with unexpected("the articles could not be added"), self._turn:
                    told.put(add(told.put))
            except PullquoteError as error:
                told.put(error)

        threading.Thread(target=run, name="intake", daemon=True).start()
        while isinstance(step := told.get(), Standing):
            yield step
        if isinstance(step, PullquoteError):
            raise step
        yield step

    def _ingest(self, places: Sequence[str], tell: Progress) -> IngestReport:
        return ingest(places, self.config, tell, Options(keep=True), self.model)

    def _kept(self, uploads: Sequence[Path]) -> tuple[dict[Path, str], list[Outcome]]:
        """The files in which uploads are kept, by what those were called; and those that are not."""
        kept: dict[Path, str] = {}
        refused: list[Outcome] = []
        room = MOST_GIGABYTES * 1000 * MEGABYTE - self._size()
        for upload in uploads:
            try:
                file, size = self._keep(upload, room)
            except (OSError, ReadError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                refused.append(Outcome(upload.name, f"was not taken: {reason}", failed=True))
            else:
                kept[file] = upload.name
                room -= size
        return kept, refused

    def _size(self) -> int:
        """Bytes of all that is kept."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) if self.folder.exists() else 0

    def _keep(self, upload: Path, room: int) -> tuple[Path, int]:
        """A copy of an upload in the folder, and the bytes it takes; the one that is there, if it is the same."""
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
        """A file of this name, or of it with a number, that is not there yet, or is the same."""
        stem, dot, ending = name.rpartition(".")
        number, file = 1, self.folder / name
        while file.is_symlink() or (file.exists() and not (same and filecmp.cmp(same, file, shallow=False))):
            number += 1
            file = self.folder / (f"{stem}-{number}{dot}{ending}" if dot else f"{name}-{number}")
        return file

    def _outcomes(self, kept: dict[Path, str], report: IngestReport) -> list[Outcome]:
        """What became of each file; those of which there is no article are not kept."""
        own, copied = held = self._by_origin()
        outcomes = []
        for file, name in kept.items():
            origin = str(file.resolve())
            reasons = [failure.reason for failure in report.failed if file.name in failure.source]
            notices = [notice.reason for notice in report.notices if file.name in notice.source]
            if own[origin]:
                told = counted(own[origin], "article")
            else:
                told = "is in the index already, word for word" if copied[origin] else "holds no article"
            outcomes.append(Outcome(name, "; ".join([told, *reasons[:3], *notices[:3]]), failed=bool(reasons)))
        self._tidy(set(kept), held)
        return outcomes

    def _by_origin(self) -> Claimed:
        own, copied = Counter[str](), Counter[str]()
        for entry in self.index.articles():
            own[entry.origin] += 1
            copied.update(copy.origin for copy in entry.copies)
        return own, copied

    def _tidy(self, files: set[Path], held: Claimed) -> None:
        """Delete those of these files that lie in the folder and of which no article is left."""
        own, copied = held
        home = self.folder.resolve()
        for file in files:
            origin = file.resolve()
            if origin.parent == home and not own[str(origin)] and not copied[str(origin)]:
                origin.unlink(missing_ok=True)


def _drop(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _origins(kept: Iterable[Path]) -> list[str]:
    return [str(file.resolve()) for file in kept]


def _failures(report: IngestReport) -> Iterator[Outcome]:
    yield from (Outcome(failure.source, failure.reason, failed=True) for failure in report.failed)
    yield from (Outcome(notice.source, notice.reason) for notice in report.notices)


def safe_name(name: str) -> str:
    """A file's name without what could lead elsewhere or be taken for something else, on any system."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    clean = " ".join(NOT_IN_NAMES.sub(" ", last).split())
    stem, dot, ending = clean.rpartition(".")
    if not dot or not ending.isalnum() or len(ending) > 10:
        stem, ending = clean, ""
    room = LONGEST_NAME - len(ending.encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore").strip(". ") or "article"
    whole = f"{stem}.{ending}" if ending else stem
    return f"_{whole}" if RESERVED.match(whole) else whole
