"""Articles → the index: tells new, changed, moved ones and copies apart, embeds and writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.articles.near_duplicates import near_duplicate_groups, sketch
from ingest.articles.passages import split
from ingest.sources.collector import Collected, Seen
from ingest.sources.files import is_gone, is_url
from rag.models.embedding import Embedder, Vectors, load_embedder
from rag.schema import Article, ArticleEntry, Copy, Failure, Passage
from rag.store.catalog.rows import StoredArticle
from rag.store.catalog.source_states import SourceState
from rag.store.writer import IndexWriter

STEP_CHARACTERS = 150_000
"""Characters of the articles that are embedded, and then stored, at once: some 300 passages."""


@dataclass(slots=True)
class Model:
    """The embedder, loaded for the first article that needs it: a run with nothing to do must not pay for it."""

    name: str
    loaded: Embedder | None = None

    def load(self) -> Embedder:
        """Raises ModelError."""
        self.loaded = self.loaded or load_embedder(self.name)
        return self.loaded

    def embed(self, passages: Sequence[Passage]) -> tuple[Vectors, list[Vectors]]:
        """The vectors of passages, one row each, and those of their sentences. Raises ModelError."""
        return self.load().embed_texts([p.indexed_text for p in passages], [p.indexed_sentences for p in passages])


Tally = Counter[str]
"""Numbers of articles, and of passages embedded, by their names in IngestReport."""


@dataclass(frozen=True, slots=True)
class _Put:
    """An article to store, and the count it adds to; `before` is its present entry, under the same or another id."""

    article: Article
    counts: str
    before: ArticleEntry | None
    copies: tuple[Copy, ...]

    @property
    def entry(self) -> ArticleEntry:
        """The article's entry in the index once it is stored."""
        a = self.article
        known = (a.id, a.title, a.source, a.url, a.author, a.published, a.origin, a.digest, 0)
        return ArticleEntry(*known, text_digest=a.text_digest, copies=self.copies)


@dataclass(slots=True)
class _Changes:
    """What a batch changes: articles to store, ids to remove, new copies of articles that stay as they are."""

    puts: dict[str, _Put] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    copies: dict[str, tuple[Copy, ...]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def forget(self, article_id: str) -> None:
        """Drop what was decided about this article before."""
        self.puts.pop(article_id, None)
        self.copies.pop(article_id, None)
        self.removed = [other for other in self.removed if other != article_id]


@dataclass(frozen=True, slots=True)
class _Step:
    """What is written at once; `tally` and `states` are counted and stored once it is."""

    stored: Sequence[StoredArticle] = ()
    removed: Sequence[str] = ()
    copies: Mapping[str, tuple[Copy, ...]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    states: Sequence[SourceState] = ()


class _Known:
    """The entries that concern a batch's articles, as the index will have them once all decisions are written."""

    def __init__(self, entries: Iterable[ArticleEntry]) -> None:
        self.by_id: dict[str, ArticleEntry] = {}
        self.by_text: dict[str, ArticleEntry] = {}
        for entry in entries:
            self.set(entry)

    def set(self, entry: ArticleEntry) -> None:
        self.by_id[entry.id] = entry
        self.by_text[entry.text_digest] = entry

    def drop(self, article_id: str) -> None:
        entry = self.by_id.pop(article_id, None)
        if entry and self.by_text.get(entry.text_digest) == entry:
            del self.by_text[entry.text_digest]

    def apply(self, changes: _Changes) -> None:
        for put in changes.puts.values():
            self.drop(put.article.id)
            self.set(put.entry)
        for article_id in changes.removed:
            self.drop(article_id)
        for article_id, copies in changes.copies.items():
            if article_id in self.by_id:
                self.set(replace(self.by_id[article_id], copies=copies))


class Updater:
    """Brings an index in step with articles, a batch at a time; while a part is written, the next one is embedded.

    `tally` counts what is stored, and stays stored, whatever happens after. `to_reread` are sources with a copy of an
    article that is no longer there: they have to be read again.
    """

    def __init__(self, writer: IndexWriter, model: Model, seen: Seen, pool: ThreadPoolExecutor) -> None:
        self.tally = Tally()
        self.to_reread: set[str] = set()
        self._writer, self._model, self._seen, self._pool = writer, model, seen, pool
        self._changes = _Changes()
        self._written: Future[None] | None = None
        self._step = _Step()
        self._clashed: set[str] = set()
        self._copied: dict[tuple[str, str], str] = {}
        self._left: set[str] = set()

    def store(self, batch: Sequence[Collected]) -> Iterator[None]:
        """Store what is new or changed of a batch, step by step, and then the states that came with it.

        Raises as `wait` does.
        """
        self._changes = changes = self._decided([item for item in batch if isinstance(item, Article)])
        for puts in _parts(changes.puts.values()):
            self._begin(self._embedded(puts))
            yield
        states = [item for item in batch if isinstance(item, SourceState)]
        if changes.removed or changes.copies or states:
            self._begin(_Step((), changes.removed, changes.copies, changes.tally, states))
        else:
            self.wait()
            self.tally.update(changes.tally)
        yield

    def wait(self) -> None:
        """Wait until everything is written. Raises StoreError if it could not be."""
        if self._written:
            self._written.result()
        self._writer.states.put(state for state in self._step.states if state.origin not in self._clashed)
        self.tally.update(self._step.tally)
        self._written, self._step = None, _Step()

    def _begin(self, step: _Step) -> None:
        self.wait()
        self._step = step
        self._written = self._pool.submit(self._write, step)

    def remove_vanished(self) -> None:
        """Remove the articles and copies that are no longer in their sources, and the states of files that are gone."""
        vanished: list[ArticleEntry] = []
        copied: list[ArticleEntry] = []
        for entry in self._writer.catalog.find_by_origin(sorted(self._seen.touched)):
            if not self._seen.has(entry.id, entry.origin):
                vanished.append(entry)
                self._reread(entry.copies)
            elif entry.copies:
                copied.append(entry)
        self._changes = _Changes()
        left = self._left | self._seen.removed
        self._writer.states.drop(origin for origin in left if origin not in self._seen.complete and is_gone(origin))
        self.tally["removed"] += self._writer.remove([entry.id for entry in vanished])
        own = self._writer.entries([copy.id for entry in copied for copy in entry.copies])
        kept = {entry.id: tuple(c for c in entry.copies if self._is_kept(c, entry, own)) for entry in copied}
        self._writer.set_copies({entry.id: kept[entry.id] for entry in copied if kept[entry.id] != entry.copies})

    def _is_kept(self, copy: Copy, entry: ArticleEntry, own: Mapping[str, ArticleEntry]) -> bool:
        """Whether a copy is still in its source, and has become neither an article nor a copy of another article."""
        itself, original = own.get(copy.id), self._copied.get((copy.id, copy.origin), entry.id)
        is_own = itself is not None and itself.origin == copy.origin
        return self._seen.has(copy.id, copy.origin) and not is_own and original == entry.id

    def _reread(self, copies: Iterable[Copy]) -> None:
        # If this run is interrupted, the next one sees that their states do not agree with the index.
        self.to_reread |= {copy.origin for copy in copies if self._seen.has(copy.id, copy.origin)}

    def _decided(self, articles: Sequence[Article]) -> _Changes:
        entries = self._writer.entries([article.id for article in articles])
        changed = [a for a in articles if a.id not in entries or entries[a.id].digest != a.digest]
        twins = self._writer.find_by_text([article.text_digest for article in changed])
        known, changes = _Known([*entries.values(), *twins.values()]), _Changes()
        known.apply(self._changes)
        # Articles that stayed in their source go first, so that another one can take over their old text.
        for article in sorted(articles, key=lambda a: a.id not in entries or entries[a.id].origin != a.origin):
            self._decide(article, known, changes)
        return changes

    def _decide(self, article: Article, known: _Known, changes: _Changes) -> None:
        """Decide what to do with one article, and update `known` accordingly."""
        entry = known.by_id.get(article.id)
        if entry and (entry.digest, entry.origin) == (article.digest, article.origin):
            changes.tally["unchanged"] += 1
            return
        twin = known.by_text.get(article.text_digest)
        if entry and entry.origin != article.origin and self._exists(entry):
            if entry.text_digest == article.text_digest:
                self._add_copy(article, entry, known, changes)
            elif not _is_version(article, entry):
                self._clash(article, entry)
            elif _is_newer(article.origin, entry.origin):
                self._put(article, entry, known, changes)
            else:
                changes.tally["unchanged"] += 1
        elif twin and twin.id != article.id and self._exists(twin):
            if entry:
                changes.forget(entry.id)
                changes.removed.append(entry.id)
                known.drop(entry.id)
                self._reread(entry.copies)
            self._add_copy(article, twin, known, changes)
        else:
            self._put(article, entry or twin, known, changes)

    def _exists(self, entry: ArticleEntry) -> bool:
        return self._seen.has(entry.id, entry.origin) and not is_gone(entry.origin)

    def _add_copy(self, article: Article, entry: ArticleEntry, known: _Known, changes: _Changes) -> None:
        copy = Copy(article.id, article.origin, article.title, article.source, article.url)
        self._copied[(copy.id, copy.origin)] = entry.id
        if copy in entry.copies:
            changes.tally["unchanged"] += 1
            return
        changes.tally["duplicates"] += 1
        copies = (*_without(entry.copies, article), copy)
        if entry.id in changes.puts:
            changes.puts[entry.id] = replace(changes.puts[entry.id], copies=copies)
        else:
            changes.copies[entry.id] = copies
        known.set(replace(entry, copies=copies))

    def _clash(self, article: Article, entry: ArticleEntry) -> None:
        reason = f"its id {article.id!r} is also that of another article of {entry.origin}; give each its own"
        self._seen.failed.append(Failure(article.origin, reason))
        self._seen.articles.discard((article.id, article.origin))
        self._clashed.add(article.origin)

    def _put(self, article: Article, before: ArticleEntry | None, known: _Known, changes: _Changes) -> None:
        same = before is not None and before.text_digest == article.text_digest
        copies = before.copies if before and same else ()
        elsewhere = before is not None and before.origin != article.origin
        if elsewhere and before:
            self._left.add(before.origin)
        counts = "added" if before is None else "moved" if same and elsewhere else "updated"
        if before and not same:
            self._reread(before.copies)
        if before:
            known.drop(before.id)
            changes.forget(before.id)
            if before.id != article.id:
                changes.removed.append(before.id)
        changes.forget(article.id)
        put = _Put(article, counts, before, _without(copies, article))
        changes.puts[article.id] = put
        known.set(put.entry)

    def _embedded(self, puts: Sequence[_Put]) -> _Step:
        """Split all articles and embed their passages together, so that batches hold texts of similar length."""
        parts = [split(put.article) for put in puts]
        ready = {i: stored for i, put in enumerate(puts) if (stored := self._with_stored_vectors(put, parts[i]))}
        every = [passage for i, part in enumerate(parts) if i not in ready for passage in part]
        if every:
            vectors, sentences = self._model.embed(every)
        first = 0
        for i, (put, part) in enumerate(zip(puts, parts, strict=True)):
            if i not in ready:
                own = slice(first, first + len(part))
                ready[i] = StoredArticle(put.article, part, vectors[own], sentences[own])
                first += len(part)
        tally = Tally(put.counts for put in puts)
        tally["passages"] = len(every)
        return _Step([replace(ready[i], copies=put.copies) for i, put in enumerate(puts)], tally=tally)

    def _with_stored_vectors(self, put: _Put, passages: Sequence[Passage]) -> StoredArticle | None:
        """The article with the vectors that the index has of it, if nothing that is embedded changed."""
        article, before = put.article, put.before
        embedded = (article.text_digest, article.title, article.published)
        if before is None or embedded != (before.text_digest, before.title, before.published):
            return None
        self.wait()  # its vectors may be just being written
        if before.id not in self._writer.entries([before.id]):
            return None
        vectors, sentences, spans = self._writer.vectors(before.id)
        if spans != [passage.sentences for passage in passages]:
            return None
        return StoredArticle(article, passages, vectors, sentences, duplicate_group=before.duplicate_group)

    def _write(self, step: _Step) -> None:
        self._writer.put(self._grouped(step.stored))
        self._writer.remove(step.removed)
        self._writer.set_copies(step.copies)

    def _grouped(self, articles: Sequence[StoredArticle]) -> list[StoredArticle]:
        """The articles with their sketches and their groups of near-duplicates."""
        if not articles:
            return []
        sketches = [sketch(stored.article.text) for stored in articles]
        digests = [stored.article.text_digest for stored in articles]
        groups = near_duplicate_groups(sketches, digests, self._writer.similar(sketches))
        return [
            replace(stored, sketch=sketched, duplicate_group=stored.duplicate_group or group)
            for stored, sketched, group in zip(articles, sketches, groups, strict=True)
        ]


def _without(copies: Iterable[Copy], article: Article) -> tuple[Copy, ...]:
    """The copies other than the article itself."""
    return tuple(copy for copy in copies if (copy.id, copy.origin) != (article.id, article.origin))


def _is_version(article: Article, entry: ArticleEntry) -> bool:
    """Whether an article with this entry's id, from another source, is another version of it."""
    same_url = bool(article.url) and article.url == entry.url
    return same_url or article.title == entry.title


def _is_newer(origin: str, other: str) -> bool:
    """Whether a source takes precedence over another: a page over any file, a file over an older one."""
    if is_url(other) or is_url(origin):
        return not is_url(other)
    try:
        return Path(origin).stat().st_mtime_ns > Path(other).stat().st_mtime_ns
    except OSError:
        return False


def _parts(puts: Iterable[_Put]) -> Iterator[list[_Put]]:
    """The articles in parts of STEP_CHARACTERS, each to be embedded and written at once."""
    part, characters = list[_Put](), 0
    for put in puts:
        part.append(put)
        characters += len(put.article.text)
        if characters >= STEP_CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part
