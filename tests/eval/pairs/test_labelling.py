"""Drafts, and the decisions on them."""

from __future__ import annotations

import json
import resource
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.pairs.labelling import Draft, Labels, check, read_drafts
from eval.pairs.reading import find_quote, read_pairs
from eval.pairs.schema import QAPair
from rag.errors import ReadError
from rag.schema import Article, Failure, Turn

PAIR = QAPair("1", "How is tea?", ("hot",), ("tea",), ("Tea is hot.",), answerable=True)


@dataclass
class Shelf:
    """Stands for the index: one article."""

    def article(self, article_id: str) -> Article | None:
        return Article("tea", "Tea", "Tea is  hot.\n\nIce is cold.") if article_id == "tea" else None


def drafts(path: Path, *entries: Any) -> list[Draft | Failure]:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), "utf-8")
    return list(read_drafts(path))


def test_a_second_draft_of_an_id_is_told(tmp_path: Path) -> None:
    fields = {"id": "1", "question": "How is tea?", "answers": ["hot"]}
    [_, second] = drafts(tmp_path / "p.jsonl", fields, fields)
    assert isinstance(second, Failure)
    assert "id '1'" in second.reason


def test_pairs_are_drafts(tmp_path: Path) -> None:
    fields = {"id": "1", "question": "How is tea?", "answers": ["hot"], "articles": ["tea"]}
    [draft, broken] = drafts(tmp_path / "p.jsonl", fields, {"question": ""})
    assert isinstance(draft, Draft)
    assert (draft.pair.id, draft.pair.answers, draft.said) == ("1", ("hot",), "")
    assert isinstance(broken, Failure)
    assert broken.source == "p.jsonl, line 2"


def test_feedback_becomes_drafts(tmp_path: Path) -> None:
    cited = [{"article": "tea", "quote": "Tea is hot."}]
    liked = {"question": "How is tea?", "answer": "Tea is hot. [1]", "rating": "up", "citations": cited}
    turns = [{"question": "What is hot?", "answer": "Tea."}]
    disliked = {**liked, "rating": "down", "reason": "It is cold by now.", "history": turns}
    found = [draft for draft in drafts(tmp_path / "f.jsonl", liked, disliked) if isinstance(draft, Draft)]
    assert [draft.verdict for draft in found] == ["liked it", "disliked it because: It is cold by now."]
    assert [draft.pair.evidence for draft in found] == [("Tea is hot.",), ()]
    assert [draft.pair.articles for draft in found] == [("tea",), ()]
    assert all(draft.pair.answerable and draft.said == "Tea is hot. [1]" for draft in found)
    assert found[1].pair.history == (Turn("What is hot?", "Tea."),)


@pytest.mark.parametrize(
    "broken",
    [
        {"rating": "down"},
        {"rating": "up", "question": "How?", "citations": 3},
        {"rating": "up", "question": "How?", "citations": ["x"]},
        {"rating": "up", "question": "How?", "citations": [{"article": 3, "quote": "x"}]},
        {"rating": "down", "question": "How?", "history": "x"},
    ],
)
def test_broken_feedback_is_told(tmp_path: Path, broken: Any) -> None:
    [found] = drafts(tmp_path / "f.jsonl", broken)
    assert isinstance(found, Failure)
    assert found.source == "f.jsonl, line 1"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"articles": ("ice",)}, ["The article 'ice' is not in the index.", "not in the article"]),
        ({"articles": ()}, ["Name the article"]),
        ({"evidence": ("Tea is warm.",)}, ["This is not in the article, word for word: Tea is warm."]),
        ({"evidence": ()}, ["Copy the sentence"]),
        ({"answers": ()}, ["Write an answer"]),
        ({"question": " "}, ["The question is empty."]),
        ({"question": "x" * 2001}, ["more than 2,000 characters"]),
        ({"answerable": False, "answers": (), "articles": (), "evidence": ()}, []),
    ],
)
def test_what_is_to_be_mended(change: dict[str, Any], told: list[str]) -> None:
    found = check(replace(PAIR, **change), cast("Any", Shelf())).problems
    assert len(found) == len(told)
    assert all(expected in problem for expected, problem in zip(told, found, strict=True))


def test_evidence_gets_the_letters_of_the_article() -> None:
    found = check(replace(PAIR, evidence=("Tea is hot.", "hot. Ice")), cast("Any", Shelf()))
    assert found.problems == ()
    assert found.pair.evidence == ("Tea is  hot.", "hot.\n\nIce")


@given(st.text("ab.* \n", max_size=40), st.text("ab.* \n", max_size=8))
def test_a_quote_is_found_where_its_words_are(text: str, quote: str) -> None:
    span = find_quote(text, quote)
    if span:
        assert text[slice(*span)].split() == quote.split()
    else:
        assert not quote.split() or quote.strip() not in text


def test_decisions_are_on_disk_and_stay(tmp_path: Path) -> None:
    labels = Labels.beside(tmp_path / "p.jsonl")
    labels.add(PAIR, accept=True)
    labels.add(replace(PAIR, id="2"), accept=False)
    assert list(read_pairs(tmp_path / "p.labelled.jsonl")) == [replace(PAIR, origin="p.labelled.jsonl, line 1")]
    with (tmp_path / "p.labelled.jsonl").open("ab") as file:
        file.write(b'{"id": "3", "ques')  # killed while it wrote
    again = Labels.beside(tmp_path / "p.jsonl")
    assert again.decided == {"1", "2"}
    again.add(replace(PAIR, id="3"), accept=True)
    assert (again.counts[again.accepted], again.counts[again.rejected]) == (2, 1)
    assert [found.id for found in read_pairs(again.accepted) if isinstance(found, QAPair)] == ["1", "3"]


def test_the_last_decision_can_be_taken_back(tmp_path: Path) -> None:
    labels = Labels.beside(tmp_path / "p.jsonl")
    labels.add(PAIR, accept=True)
    labels.add(replace(PAIR, id="2"), accept=True)
    assert labels.undo() == replace(PAIR, id="2")
    assert labels.decided == {"1"}
    assert [found.id for found in read_pairs(labels.accepted) if isinstance(found, QAPair)] == ["1"]
    assert (labels.undo(), labels.undo()) == (PAIR, None)
    assert labels.accepted.read_bytes() == b""


def test_a_decision_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    labels = Labels.beside(tmp_path / "p.jsonl")
    labels.add(PAIR, accept=True)
    before = labels.accepted.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(ReadError, match="free some disk space"):
            labels.add(replace(PAIR, id="2"), accept=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert labels.accepted.read_bytes() == before
    assert labels.decided == {"1"}


def test_what_was_changed_meanwhile_is_not_cut(tmp_path: Path) -> None:
    labels = Labels.beside(tmp_path / "p.jsonl")
    labels.add(PAIR, accept=True)
    with labels.accepted.open("ab") as file:
        file.write(b'{"id": "9", "question": "Who?"}\n')
    before = labels.accepted.read_bytes()
    with pytest.raises(ReadError, match="has changed since"):
        labels.undo()
    assert labels.accepted.read_bytes() == before
    labels.accepted.unlink()
    with pytest.raises(ReadError, match="cannot write"):
        labels.undo()


def test_a_last_line_without_its_end_is_kept(tmp_path: Path) -> None:
    (tmp_path / "p.labelled.jsonl").write_bytes(b'{"id": "1", "question": "Who?"}\n\n{"id": "2", "question": "How?"}')
    labels = Labels.beside(tmp_path / "p.jsonl")
    assert labels.decided == {"1", "2"}
    assert labels.accepted.read_bytes().endswith(b'How?"}\n')


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "p.rejected.jsonl").write_bytes(b"my shopping list")
    with pytest.raises(ReadError, match="line that is not a pair"):
        Labels.beside(tmp_path / "p.jsonl")
    assert (tmp_path / "p.rejected.jsonl").read_bytes() == b"my shopping list"


def test_one_process_at_a_time_decides(tmp_path: Path) -> None:
    with Labels.beside(tmp_path / "p.jsonl").locked():
        other = Labels.beside(tmp_path / "p.jsonl")
        with pytest.raises(ReadError, match="in use"), other.locked():
            pass


def test_decisions_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "p.labelled.jsonl").write_text("nothing\n")
    with pytest.raises(ReadError, match="line that is not a pair"):
        Labels.beside(tmp_path / "p.jsonl")
    (tmp_path / "q.labelled.jsonl").mkdir()
    with pytest.raises(ReadError, match="cannot write decisions"):
        Labels.beside(tmp_path / "q.jsonl")
