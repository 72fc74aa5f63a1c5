"""Read, skip what is unchanged, split, embed, store, drop what vanished, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ingest.read import Source, find, read
from ingest.split import SPLITTER, split
from rag.config import Config
from rag.errors import ReadError
from rag.index import Index, IndexWriter, StoredArticle, open_for_writing
from rag.models import Embedder, load_embedder
from rag.schema import Article, ArticleEntry, Failure, IngestReport

BATCH = 32
"""Articles embedded and stored at once; what is stored is reported, and stays, whatever happens after."""

Progress = Callable[[IngestReport], None]


@dataclass(slots=True)
class _Run:
    """What one ingest has seen and done so far.

    `seen` are the ids with their files, `complete` the files that were read to their end, `folders` the paths that
    were listed without a failure.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    failed: list[Failure] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    started: float = field(default_factory=time.perf_counter)

    def report(self) -> IngestReport:
        return IngestReport(
            self.added,
            self.updated,
            self.unchanged,
            self.removed,
            tuple(self.failed),
            self.passages,
            time.perf_counter() - self.started,
        )


def ingest(sources: Sequence[Path | str], config: Config, progress: Progress | None = None) -> IngestReport:
    """Bring the index in step with these files and folders, making it if there is none.

    New and changed articles are embedded and stored; an article whose file was read to its end without it, or
    whose file vanished from a folder given here, is removed; everything else stays. What cannot be read is in
    the report's `failed`. `progress` is called after every batch. Raises IndexLocked, IndexMismatch, ModelError
    or StoreError.
    """
    run = _Run()
    paths = [Path(source) for source in sources]
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        embedder = _Lazy(config.embedding_model)
        for batch in _batches(_articles(paths, run), BATCH):
            _store(batch, writer, embedder, run)
            if progress:
                progress(run.report())
        run.removed += writer.remove([entry.id for entry in writer.articles() if _vanished(entry, run)])
    return run.report()


def remove(article_ids: Sequence[str], config: Config) -> list[str]:
    """Remove articles from the index; returns the ids that are not in it. Raises as `ingest` does."""
    Index(config.index, config.embedding_model)  # an index that does not exist must not be made here
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        known = writer.entries(article_ids)
        writer.remove(list(known))
    return [article_id for article_id in dict.fromkeys(article_ids) if article_id not in known]


def _articles(paths: Iterable[Path], run: _Run) -> Iterator[Article]:
    """All articles of all paths, each id once; what fails goes into the run's report."""
    for path in paths:
        whole = True
        for source in find(path):
            if isinstance(source, Failure):
                whole = False
                run.failed.append(source)
            elif source.origin not in run.complete:
                yield from _articles_of(source, run)
        if whole:
            run.folders.add(Path(os.path.realpath(path)))


def _articles_of(source: Source, run: _Run) -> Iterator[Article]:
    failures, articles = len(run.failed), 0
    try:
        for item in read(source):
            articles += 1
            if isinstance(item, Failure):
                run.failed.append(item)
            elif item.id in run.seen:
                run.failed.append(_id_taken(source.name, item.id, run.seen[item.id]))
            else:
                run.seen[item.id] = item.origin
                yield item
    except ReadError as error:
        run.failed.append(Failure(source.name, str(error)))
    if not articles and len(run.failed) == failures:
        run.failed.append(Failure(source.name, "holds no article; nothing of it was changed"))
    if len(run.failed) == failures:
        run.complete.add(source.origin)


def _id_taken(where: str, article_id: str, origin: str) -> Failure:
    reason = f"its id {article_id!r} is also that of an article of {origin}; give each its own"
    return Failure(where, f"{reason}, or ingest the folder above both")


def _store(batch: Sequence[Article], writer: IndexWriter, embedder: _Lazy, run: _Run) -> None:
    """Embed and store what is new or changed in a batch."""
    known = writer.entries([article.id for article in batch])
    changed = []
    for article in batch:
        entry = known.get(article.id)
        moved = entry and entry.origin != article.origin
        elsewhere = entry and moved and entry.origin not in run.complete and not _gone(entry.origin)
        if entry and entry.digest == article.digest and (elsewhere or not moved):
            run.unchanged += 1
        elif entry and elsewhere:
            run.failed.append(_id_taken(article.origin, article.id, entry.origin))
            del run.seen[article.id]
        else:
            changed.append(article)
    if changed:
        stored = list(_embedded(changed, embedder.load()))
        writer.put(stored)
        run.passages += sum(len(article.passages) for article in stored)
        run.updated += sum(article.id in known for article in changed)
        run.added += sum(article.id not in known for article in changed)


def _embedded(articles: Sequence[Article], embedder: Embedder) -> Iterator[StoredArticle]:
    """Split all articles and embed their passages in one go, so that batches are of texts of like length."""
    passages = [split(article) for article in articles]
    every = [passage for part in passages for passage in part]
    vectors, sentences = embedder.embed_texts([p.indexed_text for p in every], [p.indexed_sentences for p in every])
    first = 0
    for article, part in zip(articles, passages, strict=True):
        own = slice(first, first + len(part))
        yield StoredArticle(article, part, vectors[own], sentences[own])
        first += len(part)


def _vanished(entry: ArticleEntry, run: _Run) -> bool:
    """Was the article's file read to its end without it, or is the file gone from a folder that was listed whole?"""
    if entry.id in run.seen:
        return False
    listed = any(Path(entry.origin).is_relative_to(folder) for folder in run.folders)
    return entry.origin in run.complete or (listed and _gone(entry.origin))


def _gone(origin: str) -> bool:
    """Does the file certainly not exist? One that merely cannot be looked at counts as there."""
    try:
        Path(origin).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _batches(articles: Iterator[Article], size: int) -> Iterator[list[Article]]:
    while batch := list(islice(articles, size)):
        yield batch


@dataclass(slots=True)
class _Lazy:
    """The embedder, loaded when the first article needs it: a run with nothing to do must not pay for it."""

    name: str
    loaded: Embedder | None = None

    def load(self) -> Embedder:
        self.loaded = self.loaded or load_embedder(self.name)
        return self.loaded
