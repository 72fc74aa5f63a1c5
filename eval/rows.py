"""What came of each question, one JSON line each: the file from which every figure can be worked out again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, Self

from eval.pairs.schema import QAPair
from rag.errors import ReadError
from rag.language.filters import described
from rag.schema import Answer, Filters, ReadFilter
from rag.store.index import Index

NO_ROW = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What goes wrong when a line is no row."""


@dataclass(frozen=True, slots=True)
class CitedQuote:
    """A citation: the article's id, the quote, and whether it stands in the article letter by letter where it says."""

    article: str
    quote: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """A hit: the passage's article and text."""

    article: str
    text: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One question and what came of it; `citations[n - 1]` is what the marker `[n]` in the answer refers to.

    `filters` are those read out of the question and held to, `notice` is what its reader was told beside the answer,
    `asked_on` the day that the pair was said to be asked on. `stages` are seconds by name; `judged` is what a language
    model thought of it, if one was asked; `run` tells which settings and index made it.
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
    judged: Mapping[str, float] = field(default_factory=dict)
    run: str = ""
    filters: tuple[ReadFilter, ...] = ()
    notice: str = ""
    asked_on: date | None = None

    @classmethod
    def of(cls, pair: QAPair, answer: Answer, index: Index, run: str) -> Self:
        """The row of an answer; its quotes are compared with the articles as the index holds them."""
        texts = {c.passage.article_id: "" for c in answer.citations}
        texts = {article_id: found.text for article_id in texts if (found := index.article(article_id))}
        return cls(
            id=pair.id,
            question=pair.question,
            answer=answer.text if answer.grounded else "",
            abstained=not answer.grounded,
            confidence=round(answer.confidence, 4),
            citations=tuple(
                CitedQuote(
                    c.passage.article_id, c.quote, texts.get(c.passage.article_id, "")[c.start : c.end] == c.quote
                )
                for c in answer.citations
            ),
            hits=tuple(
                RetrievedPassage(h.passage.article_id, h.passage.text.strip(), round(h.score, 4)) for h in answer.hits
            ),
            seconds=round(answer.seconds, 4),
            stages={stage.name: round(stage.seconds, 4) for stage in answer.stages},
            run=run,
            filters=answer.read,
            notice=answer.notice,
            asked_on=pair.asked_on,
        )

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """The row of a line. Raises one of NO_ROW for what is none."""
        fields = json.loads(line)
        return cls(
            id=str(fields["id"]),
            question=str(fields["question"]),
            answer=str(fields["answer"]),
            abstained=bool(fields["abstained"]),
            confidence=float(fields["confidence"]),
            citations=tuple(
                CitedQuote(str(c["article"]), str(c["quote"]), bool(c.get("exact", True))) for c in fields["citations"]
            ),
            hits=tuple(
                RetrievedPassage(str(h["article"]), str(h["text"]), float(h.get("score", 0.0))) for h in fields["hits"]
            ),
            seconds=float(fields["seconds"]),
            stages={str(name): float(seconds) for name, seconds in fields.get("stages", {}).items()},
            judged={str(name): float(score) for name, score in fields.get("judged", {}).items()},
            run=str(fields.get("run", "")),
            filters=tuple(map(_filter, fields.get("filters", ()))),
            notice=str(fields.get("notice", "")),
            asked_on=_day(fields.get("asked_on")),
        )

    def line(self) -> bytes:
        """The row as a line of JSON."""
        fields: dict[str, Any] = {
            "id": self.id,
            "question": self.question,
            "answer": self.answer,
            "abstained": self.abstained,
            "confidence": self.confidence,
            "citations": [{"article": c.article, "quote": c.quote, "exact": c.exact} for c in self.citations],
            "hits": [{"article": h.article, "text": h.text, "score": h.score} for h in self.hits],
            "seconds": self.seconds,
            "stages": self.stages,
            "filters": [_filter_json(read) for read in self.filters],
            "notice": self.notice,
            **({"asked_on": self.asked_on.isoformat()} if self.asked_on else {}),
            **({"judged": self.judged} if self.judged else {}),
            "run": self.run,
        }
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _filter_json(read: ReadFilter) -> dict[str, Any]:
    """As `pullquote ask --json` has it, with the spans of the question that say it."""
    after, before = read.filters.published_after, read.filters.published_before
    return {
        "words": read.words,
        "described": described(read.filters),
        "published_after": after.isoformat() if after else None,
        "published_before": before.isoformat() if before else None,
        "sources": list(read.filters.sources),
        "spans": [list(span) for span in read.spans],
    }


def _filter(fields: Mapping[str, Any]) -> ReadFilter:
    after, before = _day(fields["published_after"]), _day(fields["published_before"])
    spans = tuple((int(start), int(end)) for start, end in fields["spans"])
    return ReadFilter(str(fields["words"]), Filters(after, before, tuple(map(str, fields["sources"]))), spans)


def _day(told: str | None) -> date | None:
    return date.fromisoformat(told) if told else None


class RowsFile:
    """Rows on disk, in the order asked. A run that was stopped goes on after the last row that is whole and its own."""

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
                raise self._no_row()
        except ReadError:
            self._file.close()
            raise
        self._file.seek(0)
        if not self._resuming:
            self._file.truncate()

    def earlier(self, pair: QAPair) -> Row | None:
        """The row an earlier run made of this pair; from the first one that is missing on, everything is asked anew.

        Raises ReadError if the file was made with other settings or articles: what it holds is somebody's work.
        """
        if not self._resuming:
            return None
        start = self._file.tell()
        row = self._next()
        if row and row.run != self._run:
            hint = "give another --rows, or leave --resume away to write over it"
            raise ReadError(f"{self._path} was made with other settings or articles; {hint}")
        if row and (row.id, row.question, row.asked_on) == (pair.id, pair.question, pair.asked_on):
            return row
        self._file.seek(start)
        self.end()
        return None

    def end(self) -> None:
        """What an earlier run wrote after here is not part of this one."""
        if self._resuming:
            self._file.truncate()
            self._resuming = False

    def add(self, row: Row) -> None:
        """Write a row; it is on disk when this returns."""
        self._file.write(row.line())
        self._file.flush()

    def close(self) -> None:
        """Stopped again before the end of the earlier rows, it keeps those that follow."""
        self._file.close()

    def _next(self) -> Row | None:
        """The next row; None at the end, or for one that was cut off there."""
        line = self._file.readline()
        if not line.endswith(b"\n") and line.startswith(b'{"id"'[: len(line)]):
            return None
        try:
            return Row.parse(line)
        except NO_ROW as error:
            raise self._no_row() from error

    def _no_row(self) -> ReadError:
        return ReadError(f"{self._path} has a line that is no row of an evaluation; give another --rows")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file. Raises ReadError with the number of a broken line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Row.parse(line)
            except NO_ROW as error:
                raise ReadError(f"{path}, line {number} is no row ({error!r}); mend or delete it") from error
