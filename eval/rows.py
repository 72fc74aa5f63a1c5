"""Rows: the outcome of each question as a line of JSON, from which every figure can be computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self

from pydantic import BeforeValidator, TypeAdapter

from eval.pairs.schema import QAPair
from rag.errors import ReadError
from rag.language.filters import described
from rag.schema import Answer, Filters, ReadFilter
from rag.store.index import Index

INVALID_ROW = (ValueError, KeyError, TypeError)
"""Raised by `Row.parse` for a line that is not a row."""


def _filters_from_json(filters: Any) -> tuple[ReadFilter, ...]:
    return tuple(
        ReadFilter(
            str(f["words"]),
            Filters(_date(f["published_after"]), _date(f["published_before"]), tuple(map(str, f["sources"]))),
            tuple((int(start), int(end)) for start, end in f["spans"]),
        )
        for f in filters
    )


def _date(iso: str | None) -> date | None:
    return date.fromisoformat(iso) if iso else None


def _filter_json(read: ReadFilter) -> dict[str, Any]:
    """As in the JSON of `pullquote ask`, with the spans of the question."""
    filters = read.filters
    return {
        "words": read.words,
        "described": described(filters),
        "published_after": filters.published_after,
        "published_before": filters.published_before,
        "sources": filters.sources,
        "spans": read.spans,
    }


@dataclass(frozen=True, slots=True)
class CitedQuote:
    """A citation; `exact` if the quote stands in the article character by character at its offsets."""

    article: str
    quote: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """A hit: its article's id, its text and its score."""

    article: str
    text: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A question and its outcome; `citations[n - 1]` belongs to the marker `[n]` in the answer.

    `stages` are seconds by name. `filters` were read out of the question and applied; `notice` was shown beside the
    answer; `asked_on` is the pair's own day of asking. `judged` are a language model's scores, if one was asked. `run`
    identifies the settings and the index.
    """

    id: str
    question: str
    answer: str
    abstained: bool
    confidence: float
    citations: tuple[CitedQuote, ...]
    hits: tuple[RetrievedPassage, ...]
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    filters: Annotated[tuple[ReadFilter, ...], BeforeValidator(_filters_from_json)] = ()
    notice: str = ""
    asked_on: date | None = None
    judged: Mapping[str, float] = field(default_factory=dict)
    run: str = ""

    @classmethod
    def of(cls, pair: QAPair, answer: Answer, index: Index, run: str) -> Self:
        """The row of an answer; its quotes are compared with the articles in the index."""
        cited = {c.passage.article_id for c in answer.citations}
        texts = {article_id: article.text for article_id in cited if (article := index.article(article_id))}
        citations = ((c, c.passage.article_id) for c in answer.citations)
        passages = ((hit.passage, hit.score) for hit in answer.hits)
        return cls(
            id=pair.id,
            question=pair.question,
            answer=answer.text if answer.grounded else "",
            abstained=not answer.grounded,
            confidence=round(answer.confidence, 4),
            citations=tuple(CitedQuote(a, c.quote, texts.get(a, "")[c.start : c.end] == c.quote) for c, a in citations),
            hits=tuple(RetrievedPassage(p.article_id, p.text.strip(), round(score, 4)) for p, score in passages),
            seconds=round(answer.seconds, 4),
            stages={stage.name: round(stage.seconds, 4) for stage in answer.stages},
            filters=answer.read,
            notice=answer.notice,
            asked_on=pair.asked_on,
            run=run,
        )

    @classmethod
    def parse(cls, line: bytes) -> Row:
        """The row of a line. Raises one of INVALID_ROW."""
        return _ROW.validate_json(line)

    def line(self) -> bytes:
        """The row as a line of JSON."""
        fields = asdict(self) | {"filters": [_filter_json(read) for read in self.filters]}
        for name in ("asked_on", "judged"):
            if not fields[name]:
                del fields[name]
        return json.dumps(fields, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


_ROW = TypeAdapter(Row)


class RowsFile:
    """Rows on disk, in the order asked. A resumed run continues after the last complete row of the same run."""

    def __init__(self, path: Path, run: str, *, resume: bool) -> None:
        """Raises ReadError if the file cannot be written, or holds anything but rows."""
        self._path, self._run = path, run
        self._resuming = resume and path.exists()
        try:
            self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise ReadError(f"cannot write rows to {path} ({error.strerror}); give another --rows") from error
        try:
            if self._next() is None and self._file.tell():
                raise self._invalid()
        except ReadError:
            self._file.close()
            raise
        self._file.seek(0)
        if not self._resuming:
            self._file.truncate()

    def earlier(self, pair: QAPair) -> Row | None:
        """The row an earlier run wrote for this pair; after the first missing one, every pair is asked again.

        Raises ReadError, and keeps the rows, if the file was made with other settings or articles.
        """
        if not self._resuming:
            return None
        start = self._file.tell()
        row = self._next()
        if row and row.run != self._run:
            hint = "give another --rows, or omit --resume to overwrite it"
            raise ReadError(f"{self._path} was made with other settings or articles; {hint}")
        if row and (row.id, row.question, row.asked_on) == (pair.id, pair.question, pair.asked_on):
            return row
        self._file.seek(start)
        self.end()
        return None

    def end(self) -> None:
        """Drop the rows of an earlier run that follow."""
        if self._resuming:
            self._file.truncate()
            self._resuming = False

    def add(self, row: Row) -> None:
        """Write a row; it is on disk when this returns."""
        self._file.write(row.line())
        self._file.flush()

    def close(self) -> None:
        """Close the file; rows of an earlier run that were not reached are kept."""
        self._file.close()

    def _next(self) -> Row | None:
        """The next row; None at the end, or for a last row that was cut off."""
        line = self._file.readline()
        if not line.endswith(b"\n") and line.startswith(b'{"id"'[: len(line)]):
            return None
        try:
            return Row.parse(line)
        except INVALID_ROW as error:
            raise self._invalid() from error

    def _invalid(self) -> ReadError:
        return ReadError(f"{self._path} has a line that is not a row of an evaluation; give another --rows")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file. Raises ReadError with the number of an invalid line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Row.parse(line)
            except INVALID_ROW as error:
                raise ReadError(f"{path}, line {number} is not a row; repair or delete it") from error
