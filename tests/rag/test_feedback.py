"""What readers made of answers: written by the chat, read by the labelling."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from eval.pairs.labelling import Draft, read_drafts
from rag.errors import ReadError
from rag.feedback import Rating, add_feedback, feedback_file, is_feedback, pair_fields, verdict
from rag.schema import Answer, Citation, Hit, Turn
from tests.eval.test_run import TEA, TEXT

ANSWER = Answer(
    "How is tea?", f"{TEXT} [1]", (Citation(1, TEA, TEXT, 0, len(TEXT)),), (Hit(TEA, 1.0),), grounded=True, confidence=1
)


def test_the_file_is_beside_the_index() -> None:
    assert feedback_file(Path("news/.pullquote")) == Path("news/.pullquote.feedback.jsonl")


def test_feedback_becomes_drafts(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    add_feedback(file, ANSWER, (Turn("What?", "Tea."),), Rating(liked=True))
    add_feedback(file, ANSWER, (), Rating(False, "It is cold by now."))
    liked, disliked = read_drafts(file)
    assert isinstance(liked, Draft)
    assert isinstance(disliked, Draft)
    assert (liked.verdict, disliked.verdict) == ("liked it", "disliked it because: It is cold by now.")
    assert (liked.pair.articles, liked.pair.evidence) == (("tea",), (TEXT,))
    assert (disliked.pair.articles, disliked.pair.evidence) == ((), ())
    assert liked.pair.history == (Turn("What?", "Tea."),)
    assert liked.said == disliked.said == f"{TEXT} [1]"
    assert liked.pair.id != disliked.pair.id
    assert [draft.pair for draft in read_drafts(file) if isinstance(draft, Draft)] == [liked.pair, disliked.pair]


def test_a_draft_has_the_day_of_its_answer(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    add_feedback(file, ANSWER, (), Rating(liked=True))
    [draft] = read_drafts(file)
    assert isinstance(draft, Draft)
    assert draft.pair.asked_on == date.today()
    entry = {"rating": "up", "question": "How?"}
    for fields, day in (
        ({"date": "2024-03-05T10:00:00Z"}, "2024-03-05"),
        ({"date": "2024-03-05T10:00:00Z", "asked_on": "2024-03-04"}, "2024-03-04"),
        ({"date": "yesterday"}, ""),
        ({"date": 7}, ""),
        ({}, ""),
    ):
        assert pair_fields({**entry, **fields})["asked_on"] == day


def test_the_last_rating_of_an_answer_counts(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    for rating in (
        Rating(True, id="a"),
        Rating(True, id="b"),
        Rating(False, "Too hot.", "a"),
        Rating(True),
    ):
        add_feedback(file, ANSWER, (), rating)
    found = [(draft.pair.id, draft.verdict) for draft in read_drafts(file) if isinstance(draft, Draft)]
    assert len(found) == 3, "one without an id stands for itself"
    assert found[:2] == [("b", "liked it"), ("a", "disliked it because: Too hot.")]


def test_an_unwritable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot write feedback"):
        add_feedback(tmp_path, ANSWER, (), Rating(liked=True))


def test_other_lines_are_not_feedback() -> None:
    assert not any(is_feedback(entry) for entry in (None, [], "rating", {"question": "How?"}))
    entry = json.loads('{"rating": "up", "question": "How?", "id": "7"}')
    assert is_feedback(entry)
    assert (pair_fields(entry)["id"], verdict(entry)) == ("7", "liked it")
