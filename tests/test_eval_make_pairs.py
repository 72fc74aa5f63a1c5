"""Pairs made from a corpus."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ui_cli import run

from eval.make_pairs import BLANK, cloze_pairs, clozes
from eval.pairs import read_pairs
from rag.chain import Chain
from rag.schema import Article, QAPair


def blanked(sentence: str) -> dict[str, str]:
    """Every fact that may be blanked in a sentence, found by trying many draws; answer → question."""
    pairs = [pair for seed in range(40) for pair in clozes(Article("a", "", sentence), seed)]
    return {pair.answers[0]: pair.question for pair in pairs}


@pytest.mark.parametrize(
    ("sentence", "answers"),
    [
        ("The port of Varnmouth was shut for 12 days in all.", {"Varnmouth", "12"}),
        ("The ferry was raised at 4:58 by a crew of forty men.", {"4:58"}),
        ("Prices there rose by 3.9 percent over the whole year.", {"3.9 percent"}),
        ("They paid $1,200,000 for it, which was far too much.", {"$1,200,000"}),
        ("It was the home of Sir Arthur Conan Doyle’s brother.", {"Sir Arthur Conan Doyle"}),
        ("They met at the House of Lords to talk about it all.", {"House of Lords"}),
        ("The Eagles lost the long game 24–21 and 1-5 in the end.", set()),
        ("It is open from 6am and until 9pm on all of those days.", set()),
        ("The minister, called Dr. Osolo, was not at home then.", set()),
        ("Paris is what people in Paris call that city of Paris.", set()),
        ("It was in Varnmouth.", set()),
        ("a caption in Varnmouth without an end, as captions are", set()),
        ("Nothing in here is a name or a number, as one can see.", set()),
    ],
)
def test_what_is_left_out(sentence: str, answers: set[str]) -> None:
    found = blanked(sentence)
    assert set(found) == answers
    for answer, question in found.items():
        assert question.replace(BLANK, answer) == sentence


def test_a_sentence_that_stands_twice_is_asked_once() -> None:
    sentence = "The port of Varnmouth was shut for 12 days in all."
    assert len(clozes(Article("a", "", f"{sentence}\n\n{sentence}"))) == 1


@given(st.text(alphabet="Ab1 .,\n-’$%:“”", max_size=300), st.integers(0, 9))
def test_the_blank_filled_in_is_always_a_sentence_of_the_article(text: str, seed: int) -> None:
    for pair in clozes(Article("a", "", text), seed):
        [evidence], [answer] = pair.evidence, pair.answers
        assert evidence in text
        assert answer
        assert pair.question.replace(BLANK, answer, 1) == evidence


@pytest.mark.slow
def test_articles_take_turns_and_a_seed_gives_the_same(sample_chain: Chain) -> None:
    index = sample_chain.index
    pairs = list(cloze_pairs(index, 54))
    assert len({pair.id for pair in pairs}) == 54
    assert set(Counter(pair.articles[0] for pair in pairs).values()) == {2}, "27 articles, two of each"
    assert pairs == list(cloze_pairs(index, 54))
    assert pairs[:20] == list(cloze_pairs(index, 20))
    assert [pair.id for pair in pairs] != [pair.id for pair in cloze_pairs(index, 54, seed=2)]
    every = list(cloze_pairs(index, 100_000))
    assert 200 < len(every) < 1000, "it ends when the articles have no more"
    for pair in every:
        article = index.article(pair.articles[0])
        assert article
        assert pair.evidence[0] in article.text


@pytest.mark.slow
def test_the_command_writes_what_eval_reads(sample_index: Path, tmp_path: Path) -> None:
    status, out, err = run("eval", "make-pairs", "--index", sample_index, "--count", "5")
    assert (status, err) == (0, "")
    pairs = tmp_path / "made.jsonl"
    pairs.write_text(out, "utf-8")
    assert {json.loads(line)["kind"] for line in out.splitlines()} == {"cloze"}
    assert all(isinstance(pair, QAPair) for pair in read_pairs(pairs))
    status, out, err = run("eval", pairs, "--index", sample_index)
    assert (status, err) == (0, "")
    assert out.rstrip().endswith("5 asked")
