"""The full-text side of the index; the only file that imports tantivy.

Its folder is derived data: lost or out of step, it is built again from Chroma. A generation file beside tantivy's
own files says which generation of the index it holds. Knows nothing of vectors and of Chroma.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import tantivy

from rag.errors import StoreError
from rag.language.english import FUNCTION_WORDS
from rag.schema import NO_FILTERS, Filters, Passage

GENERATION_FILE = "generation"
FileState = tuple[int, int]
"""The generation in a generation file, and when it was written, in nanoseconds."""
HEAP_BYTES = 64_000_000
ANALYZER = "english"
MAX_SOURCES = 10_000


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
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("article_id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("source", tokenizer_name="raw", index_option="basic", fast=True)
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
                folder.mkdir(parents=True, exist_ok=True)
            elif not tantivy.Index.exists(str(folder)):
                raise ValueError("there is no index")
            with _panics():
                self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.register_tokenizer(ANALYZER, self._analyzer)
        with _panics():
            self._searcher = self._index.searcher()

    @classmethod
    def open_current(cls, folder: Path, generation: int, count: int | None) -> FullTextIndex | None:
        """The full text in a folder, if it holds this generation and this number of passages (None: any)."""
        if cls.read_generation(folder) != generation:
            return None
        try:
            fulltext = cls(folder)
        except ValueError:
            return None
        return fulltext if count in (None, fulltext.count) else None

    @classmethod
    def build(cls, folder: Path, generation: int, passages: Iterable[Passage]) -> None:
        """Replace whatever a folder holds by these passages."""
        cls.delete(folder)
        cls(folder, create=True).replace([], passages)
        cls.write_generation(folder, generation)

    @staticmethod
    def read_generation(folder: Path) -> int:
        """The generation a folder holds; -1 without a valid generation file."""
        try:
            return int((folder / GENERATION_FILE).read_text("ascii"))
        except (OSError, ValueError):
            return -1

    @staticmethod
    def file_state(folder: Path) -> FileState | None:
        """The state of the generation file, which changes with every write; None without one."""
        try:
            return FullTextIndex.read_generation(folder), (folder / GENERATION_FILE).stat().st_mtime_ns
        except OSError:
            return None

    @staticmethod
    def write_generation(folder: Path, generation: int) -> None:
        """Record which generation a folder holds, or is about to hold."""
        new = folder / f"{GENERATION_FILE}.new"
        new.write_text(str(generation), "ascii")
        new.replace(folder / GENERATION_FILE)  # atomic: readers see the old one or the new one

    @staticmethod
    def delete(folder: Path) -> None:
        """Delete a folder."""
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def count(self) -> int:
        """The number of passages."""
        return int(self._searcher.num_docs)

    def replace(self, article_ids: Iterable[str], passages: Iterable[Passage]) -> None:
        """Delete all passages of these articles and add these, visible and durable, in one commit."""
        writer = self._index.writer(HEAP_BYTES, 1)
        try:
            for article_id in article_ids:
                writer.delete_documents_by_term("article_id", article_id)
            for passage in passages:
                document = tantivy.Document(
                    id=passage.id, article_id=passage.article_id, source=passage.source, text=passage.indexed_text
                )
                document.add_integer("published", date_number(passage.published))
                writer.add_document(document)
            writer.commit()
        except ValueError as error:
            raise StoreError(f"the full text cannot be written ({error}); check that the disk is not full") from error
        finally:
            writer.wait_merging_threads()  # releases tantivy's lock; what was not committed is dropped
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(
        self, question: str, limit: int, filters: Filters = NO_FILTERS, carried: str = "", weight: float = 0.0
    ) -> list[tuple[str, float]]:
        """Passage ids with their BM25 scores, best first; passages that share no word are left out.

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
                return [(str(searcher.doc(address).get_first("id")), float(score)) for score, address in hits]
        except ValueError as error:
            raise StoreError(
                f"the full text in {self._folder} is damaged ({error}); delete that folder: it is rebuilt automatically"
            ) from error

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

    def ids(self) -> set[str]:
        """The ids of all passages. Raises ValueError if the files are damaged."""
        with _panics():
            hits = self._searcher.search(tantivy.Query.all_query(), max(1, self.count), count=False).hits
            return {str(self._searcher.doc(address).get_first("id")) for _, address in hits}

    def sources(self) -> list[str]:
        """The sources of its passages, most frequent first."""
        buckets = self._aggregate({"terms": {"field": "source", "size": MAX_SOURCES}})["buckets"]
        return [str(bucket["key"]) for bucket in buckets if bucket["key"]]

    def published(self) -> tuple[date, date] | None:
        """The first and the last day of publication; None if no passage has a date."""
        dated = self._published_between(None, None)
        first, last = (self._aggregate({bound: {"field": "published"}}, dated)["value"] for bound in ("min", "max"))
        return (number_date(int(first)), number_date(int(last))) if first else None

    def _aggregate(self, aggregation: dict[str, Any], query: tantivy.Query | None = None) -> dict[str, Any]:
        results = self._searcher.aggregate(query or tantivy.Query.all_query(), {"result": aggregation})
        result: dict[str, Any] = results["result"]
        return result

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


def date_number(day: date | None) -> int:
    """A day as a number that sorts and filters by range, such as 20240131; 0 for None."""
    return day.year * 10000 + day.month * 100 + day.day if day else 0


def number_date(number: int) -> date:
    """The day of a `date_number` other than 0."""
    return date(number // 10000, number // 100 % 100, number % 100)
