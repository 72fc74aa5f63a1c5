"""Pairs made from a corpus."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.pairs.generation import BLANK, PROMPT_CHARACTERS, WRITTEN, cloze_pairs, clozes, written_pairs
from eval.pairs.reading import read_pairs
from eval.pairs.schema import QAPair
from rag.chain import Chain
from rag.models.prompts import Prompt
from rag.schema import Article, ArticleEntry, Failure
from tests.support.llm_server import scripted
from tests.ui.cli.test_main import run


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


@dataclass
class Shelf:
    """Stands for the index: articles by name, each with its text."""

    texts: dict[str, str]

    def articles(self) -> Iterator[ArticleEntry]:
        for name in self.texts:
            yield ArticleEntry(name, name, "", "", "", None, "", "digest", 1)

    def article(self, article_id: str) -> Article | None:
        return Article(article_id, article_id, self.texts[article_id])


def written(texts: dict[str, str], reply: str, count: int = 9) -> list[QAPair | Failure]:
    return list(written_pairs(cast("Any", Shelf(texts)), lambda _: reply, count))


GOOD = {"question": "How is tea?", "answer": "Hot", "evidence": "Tea is hot."}


def test_a_written_question_is_kept_with_its_evidence() -> None:
    [pair] = written({"tea": "Tea  is\nhot. Ice is cold."}, f"Sure: {json.dumps([GOOD])} Anything else?")
    assert isinstance(pair, QAPair)
    assert (pair.question, pair.answers, pair.articles) == ("How is tea?", ("Hot",), ("tea",))
    assert (pair.evidence, pair.kind) == (("Tea  is\nhot.",), WRITTEN)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("no", "not a JSON list"),
        ("[1, 2", "not a JSON list"),
        (json.dumps([1]), "not an object with a question"),
        (json.dumps([{**GOOD, "evidence": "Tea is warm."}]), "not in the article"),
        (json.dumps([{**GOOD, "evidence": ""}]), "not in the article"),
        (json.dumps([{**GOOD, "answer": "cold"}]), "does not contain its answer"),
        (json.dumps([{**GOOD, "answer": ""}]), "does not contain its answer"),
        (json.dumps([{**GOOD, "question": " "}]), "question is empty"),
    ],
)
def test_what_a_model_makes_up_is_told(reply: str, told: str) -> None:
    [failure] = written({"tea": "Tea is hot."}, reply)
    assert isinstance(failure, Failure)
    assert told in failure.reason


def test_no_more_are_written_than_were_asked_for() -> None:
    texts = dict.fromkeys("abcdef", "Tea is hot.")
    several = json.dumps([{**GOOD, "question": f"{n}?"} for n in range(5)])
    assert len(written(texts, several, 4)) == 4
    assert len(written(texts, several, 99)) == 18


def test_a_long_article_is_sent_in_part() -> None:
    prompts: list[Prompt] = []
    text = " ".join(f"Sentence {number} is here." for number in range(2000))
    list(written_pairs(cast("Any", Shelf({"long": text})), lambda prompt: prompts.append(prompt) or "[]", 1))
    [sent] = prompts
    part = sent.user.partition("<article>\nlong\n\n")[2].partition("\n</article>")[0]
    assert len(part) == PROMPT_CHARACTERS
    assert part in text
    assert part.startswith("Sentence ")


@pytest.mark.slow
def test_the_command_asks_a_model_for_questions(sample_index: Path) -> None:
    def reply(prompt: str) -> str:
        article = prompt.partition("<article>\n")[2].partition("\n</article>")[0]
        sentence = article.splitlines()[2].split(". ")[0]
        made_up = {"question": "Why?", "answer": "so", "evidence": "It is so."}
        return json.dumps([{"question": "What?", "answer": sentence.split()[-1], "evidence": sentence}, made_up])

    with scripted(reply) as server:
        options = ["--index", sample_index, "--count", "2", "--llm", "tiny", "--llm-url", server.url]
        status, out, err = run("eval", "make-pairs", *options)
    assert status == 0
    assert [json.loads(line)["kind"] for line in out.splitlines()] == [WRITTEN, WRITTEN]
    assert "question 2: its evidence is not in the article" in err
