"""Is everything in the index that should be, and can it be found? And what can be mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest.articles.passages import SPLITTER
from ingest.sources.collector import IndexedSources
from ingest.sources.state import SourceStates, open_states
from ingest.updater import Model
from rag.config import Config
from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.schema import Passage
from rag.store.index import Index
from rag.store.rebuild import Embed
from rag.store.rebuild import rebuild as rebuild_index
from rag.store.writer import open_for_writing

LOOKED_AT, EQUAL = (20, 1000), 0.999
"""A passage is found if it is among so many nearest to its own vector, or if one of the same vector is: short passages
repeat. The search is approximate, and the more so among many alike, so those not found are looked for once more."""
TRIES = 3

Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Findings:
    """What is wrong with an index.

    `unfound` are passages that their own vector does not find, `orphans` passages of no article, `incomplete` articles
    of which passages are missing; `unsearchable` and `outdated` passages that the full text lacks, or has too many;
    `dimensions` are the lengths of vectors other than the index says, `unlinked` articles whose own vector is lost;
    `forgotten` sources of whose articles some are not there.
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
        """What is wrong, a line each; none if nothing is."""
        dimensions = ", ".join(map(str, sorted(self.dimensions)))
        told = (
            (len(self.unfound), "passages that their own vector does not find"),
            (len(self.orphans), "passages that belong to no article"),
            (len(self.incomplete), "articles of which passages are missing; ingest their sources again"),
            (self.unsearchable, "passages that the full text does not have"),
            (self.outdated, "passages in the full text that are no longer there"),
            (
                len(self.dimensions),
                f"lengths of vectors ({dimensions}) other than the index says",
            ),
            (self.unlinked, "articles whose own vector is lost"),
            (len(self.forgotten), "sources of whose articles some are not there; ingest them again"),
        )
        return [f"{count:,} {what}" for count, what in told if count]


def check(config: Config, progress: Progress) -> Findings:
    """What is wrong with the index; nothing is changed.

    `progress` is given passages looked at and all of them. Raises IndexMissing, IndexMismatch or StoreError, the last
    one also where the index was written to meanwhile.
    """
    index = Index(config.index, config.embedding_model)
    with open_states(config.index, read_only=True) as stamps:
        generation, findings = index.generation, _found(index, stamps, progress)
    if index.generation != generation:
        raise StoreError(f"the index {config.index} was written to meanwhile; run the command again")
    return findings


def repair(config: Config, findings: Findings, progress: Progress) -> Findings:
    """Mend what a check found, as far as it can be out of what is stored; returns what is wrong after that.

    What is left of an incomplete article is removed, so that the next ingest stores it whole. Raises IndexLocked, and
    as `check` does.
    """
    if findings.unfound or findings.unlinked or findings.dimensions:
        # Chroma cannot mend its own graph of vectors, so all of them are put into a new one.
        index = Index(config.index, config.embedding_model)
        rebuild_index(config.index, config.embedding_model, _reembedder(index, config), progress)
    for _ in range(TRIES if findings.unfound else 0):
        left = check(config, progress).unfound
        if not left:
            break
        with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
            writer.reinsert_passages(
                [passage.id for passage in left]
            )  # a graph can leave out a passage among many alike
    with (
        open_for_writing(config.index, config.embedding_model, SPLITTER) as writer,
        open_states(config.index) as stamps,
    ):
        if findings.orphans or findings.incomplete or findings.forgotten:
            # Another process may have been writing these, or have repaired them since; they must not be removed.
            findings = _found(writer, stamps, progress)
        if findings.orphans:
            writer.delete_passages(findings.orphans)
        incomplete = writer.entries(findings.incomplete)
        stamps.drop([*findings.forgotten, *(origin for entry in incomplete.values() for origin in entry.origins)])
        writer.remove(list(incomplete))
    return check(config, progress)


def _reembedder(index: Index, config: Config) -> Embed:
    """What gives passages the vectors that they have, and embeds those whose vector was lost."""
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
    """Embed everything anew with another model, from the stored text; returns the number of passages.

    Raises as rag.store.rebuild.rebuild does, and ModelError.
    """
    model = Model(embedding_model)
    model.load()
    return rebuild_index(config.index, embedding_model, model.embed, progress)


def _found(index: Index, stamps: SourceStates, progress: Progress) -> Findings:
    findings = Findings(*index.counts())
    entries = {entry.id: entry for entry in index.articles()}
    dimension, searchable = index.dimension, index.fulltext_ids()
    committed: set[str] = set()
    count: dict[str, int] = {}
    looked_at = 0
    for page in index.rows():
        digests = {p.id: entries[p.article_id].digest for _, p, _ in page if p and p.article_id in entries}
        live = [(p, v) for _, p, v in page if p and digests.get(p.id) == p.digest]
        kept = {passage.id for passage, _ in live}
        findings.orphans += [passage_id for passage_id, _, _ in page if passage_id not in kept]
        findings.dimensions |= {len(vector) for _, vector in live if vector is not None} - {dimension}
        findings.unfound += _unfound(index, live)
        committed |= kept
        for passage, _ in live:
            count[passage.article_id] = count.get(passage.article_id, 0) + 1
        looked_at += len(page)
        progress(looked_at, findings.passages)
    findings.incomplete = [e.id for e in entries.values() if count.get(e.id, 0) != e.passages]
    findings.unsearchable, findings.outdated = len(committed - searchable), len(searchable - committed)
    held = IndexedSources.of(entries.values()).counts
    findings.forgotten = [s.origin for s in stamps.all() if held.get(s.origin, 0) < s.articles]
    findings.unlinked = len(index.articles_without_vector())
    return findings


def _unfound(index: Index, rows: Sequence[tuple[Passage, Vectors | None]]) -> Iterator[Passage]:
    """Those of these passages that a search by their own vector does not find."""
    yield from (passage for passage, vector in rows if vector is None)
    left = [(passage, vector) for passage, vector in rows if vector is not None]
    for looked_at in LOOKED_AT:
        near = index.nearest(np.stack([vector for _, vector in left]), looked_at) if left else []
        left = [one for one, found in zip(left, near, strict=True) if not _is_found(one[0], found)]
    yield from (passage for passage, _ in left)


def _is_found(passage: Passage, near: Mapping[str, float]) -> bool:
    return passage.id in near or max(near.values(), default=0.0) >= EQUAL
