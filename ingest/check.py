"""Verify the index; --fix repairs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.articles.near_duplicates import sketch
from ingest.articles.passages import SPLITTER
from ingest.updater import Model
from rag.config import Config
from rag.store.catalog.reading import Catalog, check_built_with
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.salvage import DAMAGE, Salvage
from rag.store.catalog.source_states import SourceStates
from rag.store.convert import convert
from rag.store.files import CATALOG, announce, has_old_format, store_in_use
from rag.store.lock import locked
from rag.store.rebuild import ARTICLES_AT_ONCE, Contents, fill
from rag.store.rebuild import rebuild as rebuild_index
from rag.store.verify import Problems, discard_damaged, verify
from rag.store.writer import open_for_writing

NAMED = 20
"""Articles that are named in a line."""

Progress = Callable[[int, int], object]
"""Called with the number of steps done, and of all."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems of an index; `forgotten` are sources of which articles are missing."""

    store: Problems = field(default_factory=Problems)
    forgotten: tuple[str, ...] = ()

    @property
    def articles(self) -> int:
        """The number of articles that are whole."""
        return self.store.articles

    @property
    def passages(self) -> int:
        """The number of their passages."""
        return self.store.passages

    @property
    def lines(self) -> list[str]:
        """What is wrong, one line each; none if nothing is."""
        store, chroma = self.store, self.store.chroma
        counts = (
            (len(store.pages), f"problems in the file of the catalogue ({', '.join(store.pages[:1])[:200]})"),
            (len(store.damaged), f"articles that are damaged; ingest their sources again: {_named(store.damaged)}"),
            (store.lost, "articles of which nothing can be read; ingest all sources again"),
            (store.stray, "passages that belong to no article"),
            (store.vectors, "articles whose vectors are damaged"),
            (len(store.miscounted), f"counts that do not agree with the articles: {', '.join(store.miscounted)}"),
            (store.matrix, "vectors that are missing or wrong in the files of vectors"),
            (store.columns, "articles whose day or source is wrong in the file for filters"),
            (store.unsearchable, "passages that the full text does not have"),
            (store.outdated, "passages in the full text that no longer exist"),
            (bool(chroma.broken) * store.passages, f"passages that Chroma does not find: {chroma.broken}"),
            (chroma.missing, "passages whose vector in Chroma is missing or wrong"),
            (chroma.outdated, "vectors in Chroma of passages that no longer exist"),
            (chroma.unfound, "passages that are not found by their own vector"),
            (len(self.forgotten), "sources whose articles are not all in the index; ingest them again"),
        )
        return [f"{count:,} {problem}" for count, problem in counts if count]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def check(config: Config, progress: Progress) -> Findings:
    """Verify the index without changing it; nobody can write to it meanwhile.

    `progress` is called with the number of steps done and of all. Raises IndexMissing, IndexMismatch, IndexLocked or
    StoreError.
    """
    store = store_in_use(config.index)
    with _unchanged(config.index):
        _check_model(config, store)
        problems = verify(config.index, store, progress)
        return Findings(problems, tuple(_forgotten(Catalog(config.index, store / CATALOG))))


@contextmanager
def _unchanged(folder: Path) -> Iterator[None]:
    if os.access(folder, os.W_OK):
        with locked(folder):
            yield
    else:
        yield


def _check_model(config: Config, store: Path) -> None:
    """Raise IndexMismatch if the index was built with another model, as far as that can be read."""
    state = Salvage(config.index, store).state
    if state:
        check_built_with(state, config.embedding_model, config.index)


def _forgotten(catalog: Catalog) -> Iterator[str]:
    """The sources of which articles are missing; none if that cannot be read."""
    try:
        counts = {found.origin: found.articles for found in catalog.origins_below()}
        states = list(SourceStates(catalog).all())
    except DAMAGE:
        return
    yield from (state.origin for state in states if counts.get(state.origin, 0) < state.articles)


def repair(config: Config, findings: Findings, progress: Progress) -> Findings:
    """Repair what a check found, from what is whole of the catalogue; return what is still wrong.

    What is damaged of the catalogue itself is lost: the next ingest reads its sources again. Raises as `check` and
    `ingest` do.
    """
    store = store_in_use(config.index)
    with locked(config.index):
        if findings.store.is_catalog_damaged:
            _replace_catalog(config, store, progress)
        else:
            discard_damaged(store, findings.store)
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        writer.states.drop(list(_forgotten(writer.catalog)))
    announce(config.index, store_in_use(config.index))  # readers open again what they could not use
    return check(config, progress)


def _replace_catalog(config: Config, store: Path, progress: Progress) -> None:
    """Fill a new store with what is whole of this one; only passages whose vectors are lost are embedded."""
    salvage, model = Salvage(config.index, store), Model(config.embedding_model)
    splitter, passages = (salvage.state.splitter, salvage.state.passages) if salvage.state else (SPLITTER, 0)
    contents = Contents(config.embedding_model, splitter, passages, _whole(salvage, model), salvage.states() or [])
    fill(config.index, contents, lambda done, total: progress(done, max(done, total)))


def _whole(salvage: Salvage, model: Model) -> Iterator[list[StoredArticle]]:
    batch: list[StoredArticle] = []
    for article in salvage.articles():
        if article.stored and article.keys:
            batch.append(article.stored if article.has_vectors else _embedded(article.stored, model))
        if len(batch) == ARTICLES_AT_ONCE:
            yield batch
            batch = []
    yield batch


def _embedded(stored: StoredArticle, model: Model) -> StoredArticle:
    vectors, sentences = model.embed(stored.passages)
    return replace(stored, vectors=vectors, sentence_vectors=sentences)


def rebuild(config: Config, embedding_model: str, progress: Progress) -> int:
    """Embed all stored passages with a model, and convert an index of an earlier format; returns their number.

    Without a model the index is only converted, and keeps its own. Raises as rag.store.rebuild.rebuild and
    rag.store.convert.convert do, and ModelError.
    """
    model = Model(embedding_model)
    if embedding_model:
        model.load()
    if has_old_format(config.index) or not embedding_model:
        return convert(config.index, embedding_model, lambda name: Model(name, model.loaded).embed, sketch, progress)
    return rebuild_index(config.index, embedding_model, model.embed, progress)
