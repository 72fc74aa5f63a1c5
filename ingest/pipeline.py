"""Gather, pass over what is unchanged, split, embed, store, drop what vanished, report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.articles.passages import SPLITTER
from ingest.content.types import MEGABYTE, Limits, Options
from ingest.sources.collector import Collected, Collector, IndexedSources, Seen
from ingest.sources.opener import Opener
from ingest.sources.sites import Sites
from ingest.sources.state import open_states
from ingest.updater import Model, Updater
from rag.config import Config
from rag.schema import Article, Failure, IngestReport, Notice
from rag.store.index import Index
from rag.store.writer import open_for_writing

BATCH_CHARACTERS, BATCH_ITEMS = 4_000_000, 256
"""Articles that are compared with the index at once, at most."""
BATCH_SECONDS = 2.0
"""After which what was gathered is stored, however little: pages come slowly."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an ingest stands: what is done, without what failed; the source it reads; how much it has read (0–1)."""

    report: IngestReport
    source: str
    share: float


DEFAULTS = Options()
Progress = Callable[[Standing], None]


def ingest(
    sources: Sequence[Path | str],
    config: Config,
    progress: Progress | None = None,
    options: Options = DEFAULTS,
    model: Model | None = None,
) -> IngestReport:
    """Bring the index in step with these files, folders and URLs, making it if there is none.

    New and changed articles are embedded and stored; an article whose source was read to its end without it, or
    whose file vanished from a folder given here, is removed, unless the options keep it; everything else stays. Entries
    that their source marks as drafts, private or deleted are read only if the options include drafts. What cannot be
    read is in the report's `failed`, what was left out in its `notices`. `progress` is called after every batch;
    `model` is one to use again in the next run; the options' limits are those of `config`. Raises IndexLocked,
    IndexMismatch, ModelError or StoreError.
    """
    limits = Limits(config.source_seconds, config.source_megabytes * MEGABYTE)
    options = replace(options, limits=limits)
    with ExitStack() as stack:
        writer = stack.enter_context(open_for_writing(config.index, config.embedding_model, SPLITTER))
        stamps = stack.enter_context(open_states(config.index))
        opener = stack.enter_context(Opener(options))
        private = config.allow_private_addresses
        sites = stack.enter_context(Sites(options, opener.read_content, private=private))
        pool = stack.enter_context(ThreadPoolExecutor(1, "writer"))
        gatherer = Collector(opener, sites, stamps, options, IndexedSources.of(writer.articles()), Seen())
        store = Updater(writer, stamps, model or Model(config.embedding_model), gatherer.seen, pool)
        return _Run(gatherer, store, progress).of([str(source) for source in sources])


@dataclass(slots=True)
class _Run:
    """One ingest, from its first source to its report."""

    gatherer: Collector
    store: Updater
    progress: Progress | None
    started: float = field(default_factory=time.perf_counter)

    def of(self, places: Sequence[str]) -> IngestReport:
        self._take(self.gatherer.places(places))
        if not self.gatherer.options.keep:
            self.store.sweep()
        if self.store.again:
            self._again(self.store.again)
        return self._report(self.gatherer.seen.failed, self.gatherer.seen.all_notices())

    def _take(self, gathered: Iterator[Collected]) -> None:
        for batch in _batches(gathered):
            for _ in self.store.take(batch):
                self._tell()
        self.store.settle()
        self._tell()

    def _again(self, origins: set[str]) -> None:
        """Read these sources again; each article in them has been counted once, as unchanged or as a copy."""
        seen, tally = self.gatherer.seen, self.store.tally
        unchanged, copies, added = seen.unchanged + tally["unchanged"], tally["duplicates"], tally["added"]
        seen.read_again(origins)
        self._take(self.gatherer.again(origins))
        more = tally["added"] - added
        seen.unchanged, tally["unchanged"] = 0, max(0, unchanged - more)
        tally["duplicates"] = max(0, copies - max(0, more - unchanged))

    def _tell(self) -> None:
        seen = self.gatherer.seen
        share = (seen.done + self.gatherer.opener.position) / max(1, seen.bytes)
        if self.progress:
            self.progress(Standing(self._report(), seen.source, min(1.0, share)))

    def _report(self, failed: Sequence[Failure] = (), notices: tuple[Notice, ...] = ()) -> IngestReport:
        counts: Counter[str] = self.store.tally + Counter(unchanged=self.gatherer.seen.unchanged)
        others, seconds = tuple(self.gatherer.seen.others.most_common()), time.perf_counter() - self.started
        return IngestReport(**counts, failed=tuple(failed), seconds=seconds, others=others, notices=notices)


def remove(article_ids: Sequence[str], config: Config) -> list[str]:
    """Remove articles from the index; returns the ids that are not in it. Raises as `ingest` does."""
    Index(config.index, config.embedding_model)  # an index that does not exist must not be made here
    with (
        open_for_writing(config.index, config.embedding_model, SPLITTER) as writer,
        open_states(config.index) as stamps,
    ):
        known = writer.entries(article_ids)
        # Their sources do not tell any longer what the index has of them.
        stamps.drop([origin for entry in known.values() for origin in entry.origins])
        writer.remove(list(known))
    return [article_id for article_id in dict.fromkeys(article_ids) if article_id not in known]


def _batches(gathered: Iterable[Collected]) -> Iterator[list[Collected]]:
    batch: list[Collected] = []
    characters, started = 0, time.monotonic()
    for item in gathered:
        batch.append(item)
        characters += len(item.text) if isinstance(item, Article) else 0
        slow = time.monotonic() - started > BATCH_SECONDS
        if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_ITEMS or slow:
            yield batch
            batch, characters, started = [], 0, time.monotonic()
    if batch:
        yield batch
