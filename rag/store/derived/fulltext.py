"""The full-text side of the index; the only file that imports tantivy.

Its folder is derived data: lost or out of step, it is built again from the catalogue. Knows nothing of vectors.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import tantivy

from rag.errors import StoreError
from rag.language.english import FUNCTION_WORDS
from rag.schema import NO_FILTERS, Filters, Passage
from rag.store.catalog.rows import date_number
from rag.store.hints import repair_hint

HEAP_BYTES = 64_000_000
ANALYZER = "english"


def analyzer() -> tantivy.TextAnalyzer:
    """Lower case, accents folded, function words removed, English stems."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(60))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.custom_stopword(FUNCTION_WORDS))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("key", indexed=True, fast=True)
    builder.add_text_field("article_id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("source", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("published", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


@contextmanager
def _panics() -> Iterator[None]:
    """Turn a panic of tantivy, caused by damaged files, into ValueError; its exception class cannot be imported."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"damaged files: {str(error).splitlines()[0]}") from error


def _delete_uncommitted(folder: Path | None) -> None:
    """Delete lists of deletions that a process wrote which was killed before it committed them.

    Tantivy gives a file the same name when the write is repeated, and then fails, since the file exists.
    """
    if folder is None:
        return
    try:
        segments = json.loads((folder / "meta.json").read_text("utf-8"))["segments"]
        committed = {
            f"{s['segment_id'].replace('-', '')}.{s['deletes']['opstamp']}.del" for s in segments if s["deletes"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return  # tantivy itself says what is wrong
    for file in folder.glob("*.del"):
        if file.name not in committed:
            file.unlink()


class FullTextIndex:
    """Passages by their words: BM25 scores, and how rare a word is. In a folder, or in memory without one."""

    def __init__(self, folder: Path | None = None, *, create: bool = False) -> None:
        """Raises ValueError for a folder without an index of this version, unless `create` is set."""
        self._folder = folder
        self._schema = _schema()
        self._analyzer = analyzer()
        if folder is None:
            self._index = tantivy.Index(self._schema)
        else:
            if create:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            elif not tantivy.Index.exists(str(folder)):
                raise ValueError("there is no index")
            with _panics():
                self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.register_tokenizer(ANALYZER, self._analyzer)
        self._writer: tantivy.IndexWriter | None = None
        self.reload()

    def reload(self) -> None:
        """Show what has been committed since. Raises ValueError if the files are damaged."""
        with _panics():
            self._index.reload()
            self._searcher = self._index.searcher()

    @property
    def count(self) -> int:
        """The number of passages."""
        return int(self._searcher.num_docs)

    def add(self, passages: Iterable[Passage]) -> None:
        """Add passages; they become visible and durable with the next commit."""
        with self._written() as writer:
            for passage in passages:
                document = tantivy.Document(
                    article_id=passage.article_id, source=passage.source, text=passage.indexed_text
                )
                document.add_integer("key", passage.key)
                document.add_integer("published", date_number(passage.published))
                writer.add_document(document)

    def delete(self, article_ids: Iterable[str]) -> None:
        """Delete the passages of these articles that were added before, with the next commit."""
        with self._written() as writer:
            for article_id in article_ids:
                writer.delete_documents_by_term("article_id", article_id)

    def commit(self) -> None:
        """Make all changes visible and durable."""
        if self._writer:
            with self._written() as writer:
                writer.commit()
            self.reload()

    def discard(self) -> None:
        """Release tantivy's lock, whatever state its files are in."""
        self._writer = None

    def close(self) -> None:
        """Release tantivy's lock; changes since the last commit are lost."""
        writer, self._writer = self._writer, None
        if writer:
            writer.wait_merging_threads()

    @contextmanager
    def _written(self) -> Iterator[tantivy.IndexWriter]:
        try:
            with _panics():
                if self._writer is None:
                    _delete_uncommitted(self._folder)
                    self._writer = self._index.writer(HEAP_BYTES, 1)
                yield self._writer
        except ValueError as error:
            raise StoreError(f"the full text cannot be written ({error}); check that the disk is not full") from error

    def search(
        self, question: str, limit: int, filters: Filters = NO_FILTERS, carried: str = "", weight: float = 0.0
    ) -> list[tuple[int, float]]:
        """The keys of passages with their BM25 scores, best first; passages that share no word are left out.

        The words of `carried` count like the question's, multiplied by `weight`.
        """
        weights = {**dict.fromkeys(self.terms(carried), weight), **dict.fromkeys(self.terms(question), 1.0)}
        clauses = [(tantivy.Occur.Should, self._term_query(term, boost)) for term, boost in weights.items() if boost]
        if not clauses:
            return []
        query = tantivy.Query.boolean_query(clauses)
        required = self._filter_clauses(filters)
        if required:
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), *required])
        searcher = self._searcher
        try:
            with _panics():
                hits = searcher.search(query, limit, count=False).hits
                keys = searcher.fast_field_values("key", [address for _, address in hits])
        except ValueError as error:
            raise StoreError(f"the full text in {self._folder} is damaged ({error}); {self._hint}") from error
        return [(int(key), float(score)) for key, (score, _) in zip(keys, hits, strict=True) if key is not None]

    @property
    def _hint(self) -> str:
        return repair_hint(self._folder.parent.parent) if self._folder else ""

    def _term_query(self, term: str, boost: float) -> tantivy.Query:
        return tantivy.Query.boost_query(tantivy.Query.term_query(self._schema, "text", term, "freq"), boost)

    def _published_between(self, first: date | None, last: date | None) -> tantivy.Query:
        """Passages with a date of publication in this range; None is no limit."""
        days = (date_number(first or date.min), date_number(last or date.max))
        return tantivy.Query.range_query(self._schema, "published", tantivy.FieldType.Integer, *days)

    def _filter_clauses(self, filters: Filters) -> list[tuple[tantivy.Occur, tantivy.Query]]:
        """What a passage must match, without affecting its score."""
        queries = []
        if filters.published_after or filters.published_before:
            queries.append(self._published_between(filters.published_after, filters.published_before))
        if filters.sources:
            queries.append(tantivy.Query.term_set_query(self._schema, "source", list(filters.sources)))
        if filters.article_ids:
            queries.append(tantivy.Query.term_set_query(self._schema, "article_id", list(filters.article_ids)))
        return [(tantivy.Occur.Must, tantivy.Query.const_score_query(query, 0.0)) for query in queries]

    def keys(self) -> set[int]:
        """The keys of all passages. Raises ValueError if the files are damaged."""
        with _panics():
            hits = self._searcher.search(tantivy.Query.all_query(), max(1, self.count), count=False).hits
            values = self._searcher.fast_field_values("key", [address for _, address in hits])
        return {int(value) for value in values if value is not None}

    def terms(self, text: str) -> list[str]:
        """The stems of a text's words, each once, in order."""
        return list(dict.fromkeys(self._analyzer.analyze(text)))

    def knows(self, terms: Iterable[str]) -> bool:
        """Whether any passage has any of these terms."""
        return any(self._searcher.doc_freq("text", term) for term in terms)

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """The inverse document frequency of each term, as in BM25.

        ln(1 + (N - n + .5) / (n + .5)), Robertson and Zaragoza, The Probabilistic Relevance Framework (2009).
        """
        total = self._searcher.num_docs
        counts = {term: self._searcher.doc_freq("text", term) for term in terms}
        return {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) if n <= total else 0.0 for term, n in counts.items()}
