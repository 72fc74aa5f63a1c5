"""Verify the index; --fix repairs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest.articles.passages import SPLITTER
from ingest.sources.known import IndexedSources
from ingest.sources.state import SourceStates, open_states
from ingest.updater import Model
from rag.config import Config
from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.convert import convert
from rag.store.files import has_old_format
from rag.store.index import Index
from rag.store.rebuild import Embed
from rag.store.rebuild import rebuild as rebuild_index
from rag.store.writer import open_for_writing

NEAREST, EQUAL = (20, 1000), 0.999
"""A passage is found if it, or another of an equal vector, is among so many nearest to its own vector: short passages
repeat. The search is approximate, most of all among many similar passages, hence the second, larger number."""
TRIES = 3

Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Findings:
    """The problems of an index.

    Passages: `unfound` are not found by their own vector, `orphans` belong to no article; `unsearchable` ones are
    missing from the full text, `outdated` ones are only there. Articles: `incomplete` ones lack passages, `unlinked`
    ones their own vector. `dimensions` are lengths of vectors other than the index's, `forgotten` are sources of which
    articles are missing.
    """

    articles: int = 0
    passages: int = 0
    unfound: list[Passage] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    unsearchable: int = 0
    outdated: int = 0
    dimensions: set[int] = field(default_factory=set)
    unlinked: int = 0
    forgotten: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What is wrong, one line each; none if nothing is."""
        dimensions = ", ".join(map(str, sorted(self.dimensions)))
        counts = (
            (len(self.unfound), "passages that are not found by their own vector"),
            (len(self.orphans), "passages that belong to no article"),
            (len(self.incomplete), "articles that lack passages; ingest their sources again"),
            (self.unsearchable, "passages that the full text does not have"),
            (self.outdated, "passages in the full text that no longer exist"),
            (len(self.dimensions), f"lengths of vectors ({dimensions}) other than the index's own"),
            (self.unlinked, "articles without their own vector"),
            (len(self.forgotten), "sources whose articles are not all in the index; ingest them again"),
        )
        return [f"{count:,} {problem}" for count, problem in counts if count]


def check(config: Config, progress: Progress) -> Findings:
    """Verify the index without changing it.

    `progress` is called with the number of passages checked and of all. Raises IndexMissing, IndexMismatch or
    StoreError, the last also if the index was written to meanwhile.
    """
    index = Index(config.index, config.embedding_model)
    with open_states(config.index, read_only=True) as states:
        generation, findings = index.generation, _findings(index, states, progress)
    if index.generation != generation:
        raise StoreError(f"the index {config.index} was written to meanwhile; run the command again")
    return findings


def repair(config: Config, findings: Findings, progress: Progress) -> Findings:
    """Repair what a check found, from the stored rows; return what is still wrong.

    The rest of an incomplete article is removed, so that the next ingest stores it whole. Raises IndexLocked, and as
    `check` does.
    """
    if findings.unfound or findings.unlinked or findings.dimensions:
        # Chroma cannot repair its graph of vectors, so all of them are put into a new one.
        index = Index(config.index, config.embedding_model)
        rebuild_index(config.index, config.embedding_model, _reembedder(index, config), progress)
    for _ in range(TRIES if findings.unfound else 0):
        left = check(config, progress).unfound
        if not left:
            break
        with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
            writer.reinsert_passages([passage.id for passage in left])  # a graph can miss one of many similar passages
    with (
        open_for_writing(config.index, config.embedding_model, SPLITTER) as writer,
        open_states(config.index) as states,
    ):
        if findings.orphans or findings.incomplete or findings.forgotten:
            # Another process may have been writing these, or have repaired them since: then they must stay.
            findings = _findings(writer, states, progress)
        if findings.orphans:
            writer.delete_passages(findings.orphans)
        incomplete = writer.entries(findings.incomplete)
        states.drop([*findings.forgotten, *(origin for entry in incomplete.values() for origin in entry.origins)])
        writer.remove(list(incomplete))
    return check(config, progress)


def _reembedder(index: Index, config: Config) -> Embed:
    """An embedder that returns the stored vectors, and embeds only passages whose vector was lost."""
    model = Model(config.embedding_model)

    def embed(passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
        found = index.passage_vectors([passage.id for passage in passages])
        lost = [passage for passage in passages if passage.id not in found]
        if lost:
            found |= dict(zip([p.id for p in lost], zip(*model.embed(lost), strict=True), strict=True))
        vectors, sentences = zip(*(found[passage.id] for passage in passages), strict=True)
        return np.stack(vectors), list(sentences)

    return embed


def rebuild(config: Config, embedding_model: str, progress: Progress) -> int:
    """Embed all stored passages with a model, and convert an index of an earlier format; returns their number.

    Without a model the index is only converted, and keeps its own. Raises as rag.store.rebuild.rebuild and
    rag.store.convert.convert do, and ModelError.
    """
    model = Model(embedding_model)
    if embedding_model:
        model.load()
    if has_old_format(config.index) or not embedding_model:
        return convert(config.index, embedding_model, lambda name: Model(name, model.loaded).embed, progress)
    return rebuild_index(config.index, embedding_model, model.embed, progress)


def _findings(index: Index, states: SourceStates, progress: Progress) -> Findings:
    findings = Findings(*index.counts())
    entries = {entry.id: entry for entry in index.articles()}
    dimension, searchable = index.dimension, index.fulltext_ids()
    committed: set[str] = set()
    counts = Counter[str]()
    checked = 0
    for page in index.rows():
        live = [
            (p, v) for _, p, v in page if p and p.article_id in entries and entries[p.article_id].digest == p.digest
        ]
        ids = {passage.id for passage, _ in live}
        findings.orphans += [passage_id for passage_id, _, _ in page if passage_id not in ids]
        findings.dimensions |= {len(vector) for _, vector in live if vector is not None} - {dimension}
        findings.unfound += _unfound(index, live)
        committed |= ids
        counts.update(passage.article_id for passage, _ in live)
        checked += len(page)
        progress(checked, findings.passages)
    findings.incomplete = [entry.id for entry in entries.values() if counts[entry.id] != entry.passages]
    findings.unsearchable, findings.outdated = len(committed - searchable), len(searchable - committed)
    indexed = IndexedSources.of(entries.values()).counts
    findings.forgotten = [state.origin for state in states.all() if indexed.get(state.origin, 0) < state.articles]
    findings.unlinked = len(index.articles_without_vector())
    return findings


def _unfound(index: Index, rows: Sequence[tuple[Passage, Vectors | None]]) -> Iterator[Passage]:
    """Those of these passages that a search by their own vector does not find."""
    yield from (passage for passage, vector in rows if vector is None)
    left = [(passage, vector) for passage, vector in rows if vector is not None]
    for count in NEAREST:
        near = index.nearest(np.stack([vector for _, vector in left]), count) if left else []
        left = [row for row, found in zip(left, near, strict=True) if not _is_found(row[0], found)]
    yield from (passage for passage, _ in left)


def _is_found(passage: Passage, near: Mapping[str, float]) -> bool:
    return passage.id in near or max(near.values(), default=0.0) >= EQUAL
