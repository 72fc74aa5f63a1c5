"""Replies parsed as they arrive: citation labels wherever they stand, and neither markup nor reasoning in the text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.reply_parser import LONGEST_SENTENCE, ParsedSentence, ReplyParser, labels_for
from rag.models.reasoning import without_reasoning

LABELS = ["bb1", "bb2", "bb3"]


def read(*pieces: str) -> list[ParsedSentence]:
    reading = ReplyParser(LABELS)
    return [*(written for piece in pieces for written in reading.add(piece)), *reading.end()]


def said(*pieces: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(written.text, written.labels) for written in read(*pieces)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The pier closed. [bb1] It was old.", [("The pier closed.", ("bb1",)), ("It was old.", ())]),
        ("The pier closed [bb1]. It was old [bb2].", [("The pier closed.", ("bb1",)), ("It was old.", ("bb2",))]),
        ("The pier closed.[bb1][bb2]It was old.", [("The pier closed.", ("bb1", "bb2")), ("It was old.", ())]),
        ("The pier closed. [bb1, bb3]", [("The pier closed.", ("bb1", "bb3"))]),
        ("The pier closed. [bb1] [bb1]", [("The pier closed.", ("bb1",))]),
        ("The pier closed (bb1).", [("The pier closed.", ("bb1",))]),
        ("The pier closed 【bb2†source】.", [("The pier closed.", ("bb2",))]),
        ("The pier closed [BB2].", [("The pier closed.", ("bb2",))]),
        ("The pier closed bb3.", [("The pier closed.", ("bb3",))]),
        ("The pier closed _bb3_.", [("The pier closed.", ("bb3",))]),
        ("The pier closed __bb3__.", [("The pier closed.", ("bb3",))]),
        ("[bb1] The pier closed. It was old.", [("The pier closed.", ("bb1",)), ("It was old.", ())]),
        ("The pier closed.\n[bb2] It was old.", [("The pier closed.", ()), ("It was old.", ("bb2",))]),
        ("The pier closed.\n[bb2]", [("The pier closed.", ("bb2",))]),
        ("On Nov. 8 Mr. Moor of the U.S. Navy came. [bb1]", [("On Nov. 8 Mr. Moor of the U.S. Navy came.", ("bb1",))]),
        ("- The pier closed [bb1]\n- It was old", [("The pier closed", ("bb1",)), ("It was old", ())]),
        ("1. **The pier** closed.\n2. It was *old*.", [("The pier closed.", ()), ("It was old.", ())]),
        ("", []),
        (" [bb1] ", []),
    ],
)
def test_labels_belong_to_their_sentence(text: str, sentences: list[tuple[str, tuple[str, ...]]]) -> None:
    assert said(text) == sentences
    assert said(*text) == sentences, "whatever it is cut into"


@pytest.mark.parametrize(
    "label",
    ["[bb4]", "[bb99]", "[1]", "[2, 3]", "[^1]", "[passage 2]", "[Source: 1]", "【3】", "[a1]", "bb17", "[bb4, 1]"],
)
def test_unknown_labels_are_removed_and_none_is_guessed(label: str) -> None:
    assert said(f"The pier closed. {label} It was old.") == [("The pier closed.", ()), ("It was old.", ())]


def test_other_brackets_stay() -> None:
    assert said("He said that it [the pier] was “old [sic]”.") == [("He said that it [the pier] was “old [sic]”.", ())]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("See ![a pixel](http://evil.example/p.png) here.", "See here."),
        ("See [this](http://evil.example/) here.", "See this here."),
        ("See <a href='http://evil.example/'>this</a><img src=x onerror=alert(1)> here.", "See this here."),
        ("See <!-- hidden words --> here.", "See here."),
        ("See this<script>alert(1)", "See thisalert(1)"),
        ("See ![a pixel](http://evil.exam", "See"),
        ("See <img src=x onerror=", "See"),
        ("See \u202ethis\u2066 \u200bhe\x1b[31mre\x00.", "See this he[31mre."),
        ("<think>No [bb1] way.\n\nHm.</think>\n\nSee here.", "See here."),
        ("<think>No way.", ""),
        ("# See here", "See here"),
        ("Take 5 < 6 and 7 > 6.", "Take 5 < 6 and 7 > 6."),
        ("It is 2 * 3 * 4, or snake_case_name.", "It is 2 * 3 * 4, or snake_case_name."),
    ],
)
def test_markup_and_reasoning_are_dropped(text: str, plain: str) -> None:
    assert " ".join(written.text for written in read(text)) == plain
    assert " ".join(written.text for written in read(*text)) == plain


PIECES = st.lists(
    st.sampled_from(
        [
            "The pier closed.",
            " It is old",
            "[bb1]",
            "[bb",
            "2]",
            " [9]",
            "\n",
            "\n- ",
            "**",
            "bb3",
            "b",
            "<b>",
            "<",
            "](",
            "[x]",
            "(http://e.example)",
            "!",
            " Mr. Moor",
            ". ",
            "Nov. 8",
            "<think>",
            "</think>",
            "(",
            ")",
            "1. ",
            "“Yes.” ",
        ]
    ),
    max_size=14,
)


@given(PIECES, st.lists(st.integers(0, 120), max_size=8))
def test_it_does_not_matter_how_a_reply_is_cut(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [text[a:b] for a, b in pairwise(edges)]
    letters = "".join("".join(text for text, _ in said(*parts)).split())
    assert letters == "".join("".join(text for text, _ in said(text)).split())
    assert "[bb1]" not in letters


@given(PIECES)
def test_what_is_pending_has_no_label_in_it(pieces: list[str]) -> None:
    reading = ReplyParser(LABELS)
    for piece in pieces if "[bb" not in pieces else ():  # parts of a label around something else are only words
        reading.add(piece)
        assert not re.search(r"\bbb\d\b|\[9|<b>|\*\*", reading.pending)


def test_a_pending_sentence_only_grows() -> None:
    reading, before = ReplyParser(LABELS), ""
    for character in "The U.S. Navy closed the old pier in Tolm.":
        assert reading.add(character) == []
        assert reading.pending.startswith(before)
        before = reading.pending
    assert before == "The U.S. Navy closed the old pier in Tolm."


@given(st.lists(st.text(alphabet="bcd 123", max_size=30), max_size=5), st.integers(1, 12))
def test_labels_stand_in_none_of_the_texts(texts: Iterable[str], number: int) -> None:
    labels = labels_for(number, list(texts))
    assert len(set(labels)) == number
    assert not any(label in text.split() for label in labels for text in texts)


def seconds(text: str, step: int) -> float:
    """The lesser of two times that it takes to read a text in pieces, showing what is pending after each."""

    def once() -> float:
        reading, began = ReplyParser(LABELS), time.process_time()
        for start in range(0, len(text), step):
            reading.add(text[start : start + step])
            assert len(reading.pending) <= LONGEST_SENTENCE + 1_000
        reading.end()
        return time.process_time() - began

    return min(once() for _ in range(2))


@pytest.mark.parametrize("step", [5, 10**9])
@pytest.mark.parametrize(
    "run",
    ["![[", "[", "<", "<a", "<!--", "\n", "\n[bb1]", " ", "*", "a*", "[a](b)", "(", "bb1 ", ".", "x", "It is. ", "!["],
)
def test_time_grows_with_the_length_of_a_reply_alone(run: str, step: int) -> None:
    size = 2_000 // len(run)
    short, long = seconds(run * size, step), seconds(run * size * 4, step)
    assert long < 9 * short + 0.05, "4 times as long for 4 times the text, not 16 times"


@given(st.lists(st.sampled_from([*"![]()<>-/a 1b\n*_~`#.【】", "bb1", "<!--", "-->", "[](", "x](y)"]), max_size=60))
def test_any_signs_are_read_to_the_end(signs: list[str]) -> None:
    """The same words, however the reply is cut, and no label among them but one that its markup hides."""
    text = "".join(signs)
    in_pieces, whole = (" ".join(written for written, _ in said(*pieces)) for pieces in (text, [text]))
    assert re.findall(r"[^\W_]", in_pieces) == re.findall(r"[^\W_]", whole)
    assert "bb1" not in re.findall(r"\w+", in_pieces) or "bb1" in re.findall(r"\w+", re.sub("[*_~`]", "", text))


def test_a_sentence_that_does_not_end_is_cut() -> None:
    words = "word " * 10_000
    assert max(len(text) for text, _ in said(words)) <= LONGEST_SENTENCE + 1_000
    assert "".join("".join(text for text, _ in said(words)).split()) == "word" * 10_000


@pytest.mark.parametrize(
    ("text", "sentences", "pending"),
    [
        ("The pier closed. [bb1] It was", ["The pier closed."], "It was"),
        ("The pier closed. It was old. [bb2]", ["The pier closed.", "It was old."], ""),
        ("The pier closed. It was old.", ["The pier closed.", "It was old."], ""),
        ("The pier closed. It met Mr.", ["The pier closed."], "It met Mr."),
        ("The pier", [], "The pier"),
        ("“It is old.” [bb", ["“It is old.”"], ""),
        ("", [], ""),
    ],
)
def test_a_reply_that_is_cut_off_keeps_its_finished_sentences(text: str, sentences: list[str], pending: str) -> None:
    reading = ReplyParser(LABELS)
    told = [*reading.add(text), *reading.cut()]
    assert [written.text for written in told] == sentences
    assert reading.pending == pending


def test_reasoning_is_no_part_of_a_reply() -> None:
    assert without_reasoning("<think>Hm.") == ""
    assert without_reasoning("<thinking>Hm.</thinking>\nYes.") == "Yes."
    assert without_reasoning("I <think> so.") == "I <think> so."
