"""Ingest: collect what changed, split, embed and store it, remove what vanished, report."""

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
from ingest.sources.collector import Collected, Collector, Seen
from ingest.sources.known import IndexedSources, KnownSources
from ingest.sources.opener import Opener
from ingest.sources.sites import Sites
from ingest.updater import Model, Updater
from rag.config import Config
from rag.schema import Article, Failure, IngestReport, Notice
from rag.store.index import Index
from rag.store.writer import open_for_writing

BATCH_CHARACTERS, BATCH_ITEMS = 4_000_000, 256
"""The most articles that are compared with the index at once."""
BATCH_SECONDS = 2.0
"""After which a batch is stored however small it is: pages arrive slowly."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The progress of an ingest: its report so far, without failures; its current source; the share read (0–1)."""

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

    New and changed articles are embedded and stored; an article is removed if its source was read to its end without
    it, or its file vanished from a folder given here, unless the options keep it; all others stay. Entries that their
    source marks as drafts, private or deleted are read only if the options include drafts. The report's `failed` has
    what could not be read, its `notices` what was left out. `progress` is called after every batch; `model` can be
    passed to the next run; the options' limits are those of `config`. Raises IndexLocked, IndexMismatch, ModelError or
    StoreError.
    """
    options = replace(options, limits=Limits(config.source_seconds, config.source_megabytes * MEGABYTE))
    with ExitStack() as stack:
        writer = stack.enter_context(open_for_writing(config.index, config.embedding_model, SPLITTER))
        opener = stack.enter_context(Opener(options))
        sites = stack.enter_context(Sites(options, opener.read_content, private=config.allow_private_addresses))
        pool = stack.enter_context(ThreadPoolExecutor(1, "writer"))
        known = KnownSources(IndexedSources(writer.catalog), writer.states, options)
        collector = Collector(opener, sites, known, options, Seen())
        updater = Updater(writer, model or Model(config.embedding_model), collector.seen, pool)
        return _Run(collector, updater, progress).run([str(source) for source in sources])


@dataclass(slots=True)
class _Run:
    """One ingest, from its first source to its report."""

    collector: Collector
    updater: Updater
    progress: Progress | None
    started: float = field(default_factory=time.perf_counter)

    def run(self, places: Sequence[str]) -> IngestReport:
        self._store(self.collector.collect(places))
        if not self.collector.options.keep:
            self.updater.remove_vanished()
        if self.updater.to_reread:
            self._reread(self.updater.to_reread)
        return self._report(self.collector.seen.failed, self.collector.seen.all_notices())

    def _store(self, collected: Iterator[Collected]) -> None:
        for batch in _batches(collected):
            for _ in self.updater.store(batch):
                self._show_progress()
        self.updater.wait()
        self._show_progress()

    def _reread(self, origins: set[str]) -> None:
        """Read these sources again; each article in them has been counted once, as unchanged or as a copy."""
        seen, tally = self.collector.seen, self.updater.tally
        unchanged, copies, added = seen.unchanged + tally["unchanged"], tally["duplicates"], tally["added"]
        self._store(self.collector.collect_again(origins))
        more = tally["added"] - added
        seen.unchanged, tally["unchanged"] = 0, max(0, unchanged - more)
        tally["duplicates"] = max(0, copies - max(0, more - unchanged))

    def _show_progress(self) -> None:
        if self.progress:
            seen = self.collector.seen
            share = (seen.done + self.collector.opener.position) / max(1, seen.bytes)
            self.progress(Standing(self._report(), seen.source, min(1.0, share)))

    def _report(self, failed: Sequence[Failure] = (), notices: tuple[Notice, ...] = ()) -> IngestReport:
        counts: Counter[str] = self.updater.tally + Counter(unchanged=self.collector.seen.unchanged)
        others, seconds = tuple(self.collector.seen.others.most_common()), time.perf_counter() - self.started
        return IngestReport(**counts, failed=tuple(failed), seconds=seconds, others=others, notices=notices)


def remove(article_ids: Sequence[str], config: Config) -> list[str]:
    """Remove articles from the index; returns the ids that are not in it. Raises as `ingest` does."""
    Index(config.index, config.embedding_model)  # raises IndexMissing, where opening for writing would make an index
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        known = writer.entries(article_ids)
        # The states of their sources no longer say what the index has of them.
        writer.states.drop([origin for entry in known.values() for origin in entry.origins])
        writer.remove(list(known))
    return [article_id for article_id in dict.fromkeys(article_ids) if article_id not in known]


def _batches(collected: Iterable[Collected]) -> Iterator[list[Collected]]:
    batch: list[Collected] = []
    characters, started = 0, time.monotonic()
    for item in collected:
        batch.append(item)
        characters += len(item.text) if isinstance(item, Article) else 0
        slow = time.monotonic() - started > BATCH_SECONDS
        if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_ITEMS or slow:
            yield batch
            batch, characters, started = [], 0, time.monotonic()
    if batch:
        yield batch
