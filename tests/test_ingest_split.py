"""Passages: whole sentences, exact offsets, even sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.split import LEAST_WORDS, MOST_WORDS, sentences_of, split
from rag.schema import Article
from rag.segment import sentence_ends

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
def test_a_sentence_goes_on_behind_an_abbreviation(sentence: str) -> None:
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
