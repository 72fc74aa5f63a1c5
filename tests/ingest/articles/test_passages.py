"""Passages: whole sentences, exact offsets, even sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.articles.passages import LEAST_WORDS, MOST_WORDS, sentences_of, split
from rag.language.segment import sentence_ends
from rag.schema import Article

words = st.sampled_from(
    ["pier", "Storm", "U.N.", "Mr. Moor", "“No,”", "she said.", "Then?", "3.5", "日本。", "\n", "\n\n"]
)


def article(text: str, captions: tuple[tuple[int, int], ...] = ()) -> Article:
    return Article("a", "Title", text, captions=captions)


@given(st.one_of(st.text(max_size=500), st.lists(words, max_size=600).map(" ".join)))
def test_passages_join_to_the_article_and_offsets_are_exact(text: str) -> None:
    passages = split(article(text))
    assert "".join(passage.text for passage in passages) == (text if passages else "")
    for ordinal, passage in enumerate(passages):
        assert passage.ordinal == ordinal
        assert text[passage.start : passage.end] == passage.text
        for start, end in passage.sentences:
            assert passage.start <= start < end <= passage.end
            assert text[start:end] == text[start:end].strip()


def test_most_passages_have_100_to_130_words() -> None:
    sentences = [" ".join(["word"] * (8 + n * 7 % 25)) + f" {n}." for n in range(200)]
    passages = split(article("\n\n".join(" ".join(sentences[i : i + 3]) for i in range(0, 200, 3))))
    sizes = [len(passage.text.split()) for passage in passages]
    assert max(sizes) <= MOST_WORDS
    assert sum(size >= LEAST_WORDS for size in sizes) >= 0.95 * len(sizes)


def test_a_short_article_is_one_passage() -> None:
    assert len(split(article("One sentence. Another one."))) == 1


def test_a_sentence_longer_than_a_passage_is_cut() -> None:
    assert {len(passage.text.split()) for passage in split(article("word " * 300))} == {90, 30}


def test_text_without_spaces_is_cut() -> None:
    assert max(len(passage.text) for passage in split(article("x" * 50_000))) <= 24 * MOST_WORDS


def test_no_text_no_passages() -> None:
    assert split(article("")) == split(article(" \n ")) == []


def quotes(text: str, **spans: tuple[tuple[int, int], ...]) -> list[str]:
    found = Article("a", "Title", text, **spans)
    return [passage.slice(span) for passage in split(found) for span in passage.sentences]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Bring this:\n- bread\n- salt. Not much.\n\nThen go.",
            ["Bring this:\n- bread\n- salt. Not much.", "Then go."],
        ),
        ("It is so. Bring:\n\n• bread\n\n• salt\n\nGo.", ["It is so.", "Bring:\n\n• bread\n\n• salt", "Go."]),
        ("You need:\nbread\nsalt\n\nThen go.", ["You need:\nbread\nsalt", "Then go."]),
        ("She said:\n\nThen go.", ["She said:", "Then go."]),
        ("Bring: bread.\n- salt", ["Bring: bread.", "salt"]),
        ("1. Open it now.\n\n2. Wait. Then close it.", ["Open it now.", "Wait.", "Then close it."]),
        ("(a) One here\n(b) Two here\n\n– Three here", ["One here", "Two here", "Three here"]),
        ("i. One here\nii. Two here", ["One here", "Two here"]),
        ("A. Moor came first.\n\nHe left.", ["A. Moor came first.", "He left."]),
        ("3) Only one item", ["3) Only one item"]),
    ],
)
def test_markers_are_not_quoted_and_a_list_is_merged_with_its_introduction(text: str, expected: list[str]) -> None:
    assert quotes(text) == expected


def test_a_list_that_its_source_marks_is_quoted_with_its_colon() -> None:
    text = "You need:\n\nbread\n\nsalt\n\nThen go."
    assert quotes(text) == ["You need:", "bread", "salt", "Then go."]
    assert quotes(text, lists=((11, 22),)) == ["You need:\n\nbread\n\nsalt", "Then go."]
    assert quotes(text, lists=((11, 22),), captions=((18, 22),)) == ["You need:\n\nbread", "Then go."]
    assert quotes(text, lists=((11, 22),), captions=((0, 9),)) == ["bread", "salt", "Then go."]


def test_a_long_list_is_merged_as_far_as_it_fits() -> None:
    items = [f"item {n} has exactly six words" for n in range(40)]
    text = "You need all of these:\n\n" + "\n\n".join(f"- {item}" for item in items)
    [first, *others] = quotes(text)
    assert first.startswith("You need all of these:\n\n- item 0 has")
    assert MOST_WORDS - 7 < len(first.split()) <= MOST_WORDS
    assert first.count("item") + len(others) == 40
    assert others[-1] == items[-1]


listed = st.lists(
    st.sampled_from(["Bring:", "- bread", "1. Open it.", "2. Close it.", "(a) a", "Go now. Stop:", "word " * 50, ""]),
    max_size=40,
)


@given(listed.map("\n".join), st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)), max_size=3))
def test_lists_move_no_offset(text: str, marked: list[tuple[int, int]]) -> None:
    lists = tuple((start, start + length) for start, length in marked if start + length <= len(text))
    passages = split(Article("a", "Title", text, lists=tuple(sorted(lists)), captions=lists[:1]))
    assert "".join(passage.text for passage in passages) == (text if passages else "")
    spans = [(passage, span) for passage in passages for span in passage.sentences]
    assert [span for _, span in spans] == sorted(span for _, span in spans)
    assert all(end <= start for (_, (_, end)), (_, (start, _)) in pairwise(spans))
    for passage, (start, end) in spans:
        assert passage.start <= start < end <= passage.end
        assert passage.slice((start, end)) == text[start:end] == text[start:end].strip()
        assert len(text[start:end].split()) <= MOST_WORDS


def test_captions_are_in_a_passage_but_not_quotable() -> None:
    caption = "The pier. (Agency)"
    text = f"{caption}\n\nThe pier was closed. Nobody paid."
    [passage] = split(article(text, ((0, len(caption)),)))
    assert caption in passage.text
    assert [passage.slice(span) for span in passage.sentences] == ["The pier was closed.", "Nobody paid."]


def test_abbreviations_do_not_end_sentences() -> None:
    text = "Gov. Lee met Dr. Moor in the U.S. on Nov. 8 at 9 a.m. local time. “We agreed,” he said. They left."
    found = [text[s.start : s.end] for s in sentences_of(text)]
    assert found == [
        "Gov. Lee met Dr. Moor in the U.S. on Nov. 8 at 9 a.m. local time.",
        "“We agreed,” he said.",
        "They left.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "The plant consumes approx. 5 tons of coal.",
        "The plant consumes approx. twenty tons of coal.",
        "The cost, est. 5 million, rose.",
        "The price is 5 crowns incl. VAT and postage.",
        "The case of Moor vs. Lee was heard.",
        "The case of Moor v. Lee was heard.",
        "It is shown in Fig. 3 and on pp. 4–9 of vol. 2, ch. 5, no. 6.",
        "It was edited by the ed. of the paper.",
        "It weighs ca. 5 kg, cf. the table, at a temp. of 4 degrees, min. 3 and max. 5 of them.",
        "Lieut. Roe, Atty. Gen. Cox, Sgt. Lee, Gov. Cox and Sen. Ray came.",
        "The dept. closed in Jan. 2020, at 5 p.m. local time, says Acme Inc. in a letter.",
        "Pier No. 1 closed.",
    ],
)
def test_a_sentence_continues_after_an_abbreviation(sentence: str) -> None:
    text = f"{sentence} Nobody was hurt. {sentence}"
    assert [text[s.start : s.end] for s in sentences_of(text)] == [sentence, "Nobody was hurt.", sentence]


@pytest.mark.parametrize(
    "text",
    ["He works for Acme Inc. The firm is old.", "He left at 5 p.m. She stayed.", "Was it he? No. She did it."],
)
def test_an_abbreviation_may_end_a_sentence(text: str) -> None:
    assert len(list(sentences_of(text))) >= 2


@given(
    st.lists(
        st.sampled_from(["approx. ", "Sgt. ", "5 ", "Lee ", "p.m. ", "No. ", "x. ", "“A.” ", " ", "日本。"]),
        max_size=60,
    )
)
def test_sentences_cover_the_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    ends = sentence_ends(text)
    assert ends == sorted(set(ends))
    assert (ends or [0])[-1] == len(text)
    assert "".join("".join(text[s.start : s.end].split()) for s in sentences_of(text)) == "".join(text.split())


def test_a_paragraph_longer_than_the_segmenters_window() -> None:
    sentences = [f"This is sentence {n} of one very long line of text." for n in range(500)]
    text = " ".join(sentences)
    assert [text[s.start : s.end] for s in sentences_of(text)] == sentences


def test_ids_change_with_the_text_and_only_then() -> None:
    ids = [passage.id for passage in split(article("One. Two."))]
    assert ids == [passage.id for passage in split(article("One. Two."))]
    assert set(ids).isdisjoint(passage.id for passage in split(article("One. Three.")))
