"""Rows on disk: whole, in order, and gone on with after any stop."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.pairs.reading import sample_pairs
from eval.pairs.schema import QAPair
from eval.rows import CitedQuote, RetrievedPassage, Row, RowsFile, read_rows
from rag.chain import Chain
from rag.errors import ReadError
from rag.schema import Filters, ReadFilter

PAIRS = [QAPair(str(n), f"Question {n}?", ("x",), (), (), answerable=True) for n in range(5)]
CITED, FOUND = (CitedQuote("a", "A “quote”.", exact=False),), (RetrievedPassage("a", "A “quote”.\nMore.", 1.5),)


def row(pair: QAPair, run: str = "r") -> Row:
    return Row(pair.id, pair.question, "Yes. [1]", False, 0.5, CITED, FOUND, 0.25, {"retrieve": 0.2}, run=run)


def write(path: Path, pairs: list[QAPair], *, resume: bool = False, run: str = "r") -> list[str]:
    """Write rows as a run does; returns the ids that had to be asked."""
    asked = []
    with closing(RowsFile(path, run, resume=resume)) as file:
        for pair in pairs:
            if file.earlier(pair) is None:
                asked.append(pair.id)
                file.add(row(pair, run))
    return asked


@given(st.text(), st.text(), st.floats(0, 1))
def test_a_row_comes_back_as_it_was_written(question: str, quote: str, confidence: float) -> None:
    question, quote = (text.encode("utf-8", "replace").decode() for text in (question, quote))
    found = replace(row(PAIRS[0]), question=question, citations=(CitedQuote("a", quote),), confidence=confidence)
    line = found.line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Row.parse(line) == found


def test_filters_and_notices_come_back_as_they_were_written() -> None:
    week = Filters(date(2024, 6, 3), date(2024, 6, 9))
    read = (ReadFilter("last week", week, ((3, 12),)), ReadFilter("Wire", Filters(sources=("Wire",))))
    found = replace(row(PAIRS[0]), filters=read, notice="No article …", asked_on=date(2024, 6, 12))
    assert Row.parse(found.line()) == found
    first = json.loads(found.line())["filters"][0]
    assert (first["words"], first["described"]) == ("last week", "published 3–9 June 2024")
    old = {name: value for name, value in json.loads(found.line()).items() if name not in ("filters", "notice")}
    assert Row.parse(json.dumps(old).encode()).filters == (), "rows of earlier versions have none"


def test_a_pair_of_another_day_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    assert write(path, [*PAIRS[:3], replace(PAIRS[3], asked_on=date(2024, 6, 12))], resume=True) == ["3"]


def test_the_line_has_the_keys_that_others_rely_on() -> None:
    fields = json.loads(row(PAIRS[0]).line())
    assert {"id", "question", "answer", "abstained", "confidence", "citations", "hits", "seconds"} <= set(fields)
    assert {"article", "quote"} <= set(fields["citations"][0])
    assert {"article", "text", "score"} <= set(fields["hits"][0])


@pytest.mark.parametrize("kept", range(6))
def test_a_stopped_run_is_gone_on_with(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS[:kept])
    assert write(path, PAIRS, resume=True) == [pair.id for pair in PAIRS[kept:]]
    assert [found.id for found in read_rows(path)] == [pair.id for pair in PAIRS]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_half_written_row_is_asked_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    path.write_bytes(path.read_bytes()[:-cut])
    assert write(path, PAIRS, resume=True) == ["4"]
    assert [found.id for found in read_rows(path)] == [pair.id for pair in PAIRS]


def test_stopped_twice_it_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS[:4])
    assert write(path, PAIRS[:2], resume=True) == []
    assert write(path, PAIRS, resume=True) == ["4"]


def test_rows_of_other_settings_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    before = path.read_bytes()
    with pytest.raises(ReadError, match="other settings"):
        write(path, PAIRS, resume=True, run="other")
    assert path.read_bytes() == before


def test_from_another_question_on_all_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    changed = [*PAIRS[:2], replace(PAIRS[2], question="Another?"), *PAIRS[3:]]
    assert write(path, changed, resume=True) == ["2", "3", "4"]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        b'{"id": "1", "question": "Why?"}\n',
        b'{"id": "1", "question": "Why?"}',
        b"An article.\n",
        b"An article.",
        b"{}\n",
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes, resume: bool) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    with pytest.raises(ReadError, match="give another --rows"):
        write(path, PAIRS, resume=resume)
    assert path.read_bytes() == content


def test_at_its_end_a_run_drops_rows_that_are_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    with closing(RowsFile(path, "r", resume=True)) as file:
        assert file.earlier(PAIRS[0])
        file.end()
    assert [found.id for found in read_rows(path)] == ["0"]


def test_without_resume_all_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, PAIRS)
    assert len(write(path, PAIRS[:3])) == 3
    assert len(list(read_rows(path))) == 3


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="--rows"):
        RowsFile(tmp_path / "no" / "rows.jsonl", "r", resume=False)
    (tmp_path / "rows.jsonl").write_bytes(row(PAIRS[0]).line() + b"{}\n")
    with pytest.raises(ReadError, match="line 2"):
        list(read_rows(tmp_path / "rows.jsonl"))


@pytest.mark.slow
def test_a_row_of_a_real_answer(sample_chain: Chain) -> None:
    pair = sample_pairs()[0]
    answer = sample_chain.ask(pair.question)
    found = Row.of(pair, answer, sample_chain.index, "r")
    assert all(cited.exact for cited in found.citations)
    assert set(found.stages) == {"understand", "retrieve", "generate"}
    assert sum(found.stages.values()) == pytest.approx(found.seconds, abs=0.001)
    moved = replace(answer.citations[0], start=answer.citations[0].start + 1, end=answer.citations[0].end + 1)
    forged = replace(answer, citations=(moved, *answer.citations[1:]))
    assert [cited.exact for cited in Row.of(pair, forged, sample_chain.index, "r").citations][:2] == [False, True]
