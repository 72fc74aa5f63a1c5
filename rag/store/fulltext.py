"""The full-text side of the index; the only file that imports tantivy.

Its folder is derived data: lost or out of step, it is built again from Chroma. A stamp file beside tantivy's
own files tells which generation of the index it holds.
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

STAMP = "generation"
HEAP_BYTES = 64_000_000
ANALYZER = "english"
MOST_SOURCES = 10_000


def analyzer() -> tantivy.TextAnalyzer:
    """Lower case, accents folded, function words out, English stems."""
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
    """A panic of tantivy's, which damaged files cause, as a ValueError; its class is none that can be named."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"damaged files: {str(error).splitlines()[0]}") from error


class FullTextIndex:
    """Passages by their words: BM25, and how rare a word is. In a folder, or in memory when there is none."""

    def __init__(self, folder: Path | None = None, *, create: bool = False) -> None:
        """Raises ValueError for a folder that holds no index of this version, unless it is to be made."""
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

    @property
    def count(self) -> int:
        """How many passages it holds."""
        return int(self._searcher.num_docs)

    @staticmethod
    def stamp(folder: Path) -> int:
        """The generation a folder holds; -1 where there is none that can be trusted."""
        try:
            return int((folder / STAMP).read_text("ascii"))
        except (OSError, ValueError):
            return -1

    @staticmethod
    def mark(folder: Path) -> tuple[int, int] | None:
        """What changes whenever the stamp is written, and costs little to look at; None where there is no stamp."""
        try:
            return FullTextIndex.stamp(folder), (folder / STAMP).stat().st_mtime_ns
        except OSError:
            return None

    @staticmethod
    def write_stamp(folder: Path, generation: int) -> None:
        """Say which generation a folder holds, or is about to hold."""
        new = folder / f"{STAMP}.new"
        new.write_text(str(generation), "ascii")
        new.replace(folder / STAMP)  # whoever looks sees the old one or the new one

    @staticmethod
    def delete(folder: Path) -> None:
        """Remove a folder, so that it can be built anew."""
        shutil.rmtree(folder, ignore_errors=True)

    def replace(self, article_ids: Iterable[str], passages: Iterable[Passage]) -> None:
        """Drop all passages of these articles, add these, and make it visible and durable, in one commit."""
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
            writer.wait_merging_threads()  # lets go of tantivy's lock; what was not committed is dropped
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(
        self, question: str, limit: int, filters: Filters = NO_FILTERS, carried: str = "", weight: float = 0.0
    ) -> list[tuple[str, float]]:
        """Passage ids with their BM25 scores, best first; passages that share no word are not among them.

        The words of `carried` count as the question's do, times `weight`.
        """
        weights = {**dict.fromkeys(self.terms(carried), weight), **dict.fromkeys(self.terms(question), 1.0)}
        should = [(tantivy.Occur.Should, self._having(term, of)) for term, of in weights.items() if of]
        if not should:
            return []
        query = tantivy.Query.boolean_query(should)
        allowed = self._allowed(filters)
        if allowed:
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), *allowed])
        searcher = self._searcher
        try:
            with _panics():
                found = searcher.search(query, limit, count=False).hits
                return [(str(searcher.doc(address).get_first("id")), float(score)) for score, address in found]
        except ValueError as error:
            raise StoreError(
                f"the full text in {self._folder} is damaged ({error}); delete that folder, it is built again by itself"
            ) from error

    def _having(self, term: str, weight: float) -> tantivy.Query:
        return tantivy.Query.boost_query(tantivy.Query.term_query(self._schema, "text", term, "freq"), weight)

    def _allowed(self, filters: Filters) -> list[tuple[tantivy.Occur, tantivy.Query]]:
        """What a passage must meet, without a share in its score."""
        first, last = filters.published_after, filters.published_before
        queries = []
        if first or last:
            days = (date_number(first or date.min), date_number(last or date.max))
            queries.append(tantivy.Query.range_query(self._schema, "published", tantivy.FieldType.Integer, *days))
        if filters.sources:
            queries.append(tantivy.Query.term_set_query(self._schema, "source", list(filters.sources)))
        if filters.article_ids:
            queries.append(tantivy.Query.term_set_query(self._schema, "article_id", list(filters.article_ids)))
        return [(tantivy.Occur.Must, tantivy.Query.const_score_query(query, 0.0)) for query in queries]

    def ids(self) -> set[str]:
        """The ids of all its passages. Raises ValueError if its files are damaged."""
        with _panics():
            found = self._searcher.search(tantivy.Query.all_query(), max(1, self.count), count=False).hits
            return {str(self._searcher.doc(address).get_first("id")) for _, address in found}

    def sources(self) -> list[str]:
        """The sources of its passages, the most frequent first."""
        counts = self._aggregated({"terms": {"field": "source", "size": MOST_SOURCES}})["buckets"]
        return [str(bucket["key"]) for bucket in counts if bucket["key"]]

    def published(self) -> tuple[date, date] | None:
        """The first and the last day of publication; None if no passage has one."""
        dated = tantivy.Query.range_query(
            self._schema, "published", tantivy.FieldType.Integer, date_number(date.min), date_number(date.max)
        )
        first, last = (self._aggregated({of: {"field": "published"}}, dated)["value"] for of in ("min", "max"))
        return (number_date(int(first)), number_date(int(last))) if first else None

    def _aggregated(self, what: dict[str, Any], over: tantivy.Query | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._searcher.aggregate(over or tantivy.Query.all_query(), {"found": what})["found"]
        return found

    def terms(self, text: str) -> list[str]:
        """The stems a text is searched by, each once, in order."""
        return list(dict.fromkeys(self._analyzer.analyze(text)))

    def knows(self, terms: Iterable[str]) -> bool:
        """Does any passage have any of these terms?"""
        return any(self._searcher.doc_freq("text", term) for term in terms)

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """How much each term tells, as BM25's inverse document frequency.

        ln(1 + (N - n + .5) / (n + .5)), Robertson and Zaragoza, The Probabilistic Relevance Framework (2009).
        """
        total = self._searcher.num_docs
        counts = {term: self._searcher.doc_freq("text", term) for term in terms}
        return {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) if n <= total else 0.0 for term, n in counts.items()}


def date_number(day: date | None) -> int:
    """20240131, so that ranges filter; 0 for none."""
    return day.year * 10000 + day.month * 100 + day.day if day else 0


def number_date(number: int) -> date:
    """The day of a `date_number` that is not 0."""
    return date(number // 10000, number // 100 % 100, number % 100)
