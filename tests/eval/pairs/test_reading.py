"""Pairs files: what is read, and what is told of what cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.pairs.datasets import parse_json_lines
from eval.pairs.reading import (
    ArticleNames,
    check_pairs,
    pair_json,
    parse_pair,
    read_pairs,
    sample_pairs,
    sampled,
    survey,
)
from eval.pairs.schema import QAPair
from rag.errors import ReadError
from rag.language.text import visible
from rag.schema import ArticleEntry, Copy, Failure, Turn

PAIR = QAPair("p1", "Who?", ("Ana",), ("a",), ("It was Ana.",), answerable=True)


def written(path: Path, lines: Iterable[Any]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def read(path: Path) -> list[QAPair | Failure]:
    return list(read_pairs(path))


def entry(article_id: str, title: str = "", url: str = "") -> ArticleEntry:
    return ArticleEntry(article_id, title, "", url, "", None, "", "", 1)


texts = st.text(min_size=1).map(lambda text: visible(f"x{text}".encode("utf-8", "replace").decode()).strip())


turns = st.lists(st.builds(Turn, texts, texts), max_size=2)


@given(st.lists(texts, max_size=3, unique=True), st.booleans(), turns, st.just("") | texts)
def test_a_pair_comes_back_as_it_was_written(
    answers: list[str], answerable: bool, history: list[Turn], rewrite: str
) -> None:
    pair = replace(PAIR, answers=tuple(answers) if answerable else (), answerable=answerable, history=tuple(history))
    pair = replace(pair, rewrite=rewrite)
    line = json.dumps(pair_json(pair))
    assert [parse_pair(*entry) for entry in parse_json_lines("f", [line.encode()])] == [
        replace(pair, origin="f, line 1")
    ]


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        "\ufeff" + json.dumps({"id": 7, "question": " Who? ", "answers": "Ana", "articles": ["a"], "kind": "fact"}),
        "",
        {"question": "Who not?", "answerable": False},
        {"question": "Where is it?", "articles": ["a"], "history": [{"question": "Who?", "answer": "Ana"}]},
    ]
    first, second, third = read(written(tmp_path / "p.jsonl", lines))
    assert first == QAPair("7", "Who?", ("Ana",), ("a",), (), True, kind="fact", origin="p.jsonl, line 1")
    assert isinstance(second, QAPair)
    assert (second.answerable, second.answers) == (False, ())
    assert isinstance(third, QAPair)
    assert (third.answers, third.history) == ((), (Turn("Who?", "Ana"),))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "question"),
        ({"question": 3}, "question"),
        ({"question": " ", "answers": ["x"]}, "empty"),
        ({"question": "x" * 3000, "answers": ["x"]}, "3,000 characters"),
        ({"question": "Who?", "answers": []}, "empty answer"),
        ({"question": "Who?", "answers": ["Ana", " "]}, "empty answer"),
        ({"question": "Who?", "answers": [3]}, "answers is neither"),
        ({"question": "Who?"}, "to measure by"),
        ({"question": "Who?", "answers": ["x"], "answerable": "perhaps"}, "answerable"),
        ({"question": "Who?", "answers": ["x"], "history": ["Hello"]}, "history"),
        ({"question": "Who?", "answers": ["x"], "rewrite": 3}, "rewrite is not a question"),
        ({"question": "Who?", "answers": ["x"], "rewrite": "x" * 3000}, "3,000 characters"),
        (b"\xff\xfe".decode("latin-1"), "is not JSON"),
    ],
)
def test_a_broken_line_is_told_by_its_number(tmp_path: Path, line: Any, told: str) -> None:
    first, broken, last = read(written(tmp_path / "p.jsonl", [pair_json(PAIR), line, pair_json(PAIR)]))
    assert isinstance(first, QAPair)
    assert isinstance(last, QAPair)
    assert isinstance(broken, Failure)
    assert broken.source == "p.jsonl, line 2"
    assert told in broken.reason


def test_a_pair_without_an_id_has_the_same_one_wherever_it_stands(tmp_path: Path) -> None:
    who, where = ({"question": question, "answers": ["x"]} for question in ("Who?", "Where?"))
    [first] = read(written(tmp_path / "a.jsonl", [who]))
    _, moved, follow_up = read(
        written(tmp_path / "b.jsonl", [where, who, {**who, "history": [{**where, "answer": ""}]}])
    )
    assert isinstance(first, QAPair)
    assert isinstance(moved, QAPair)
    assert isinstance(follow_up, QAPair)
    assert first.id == moved.id != follow_up.id


@pytest.mark.parametrize(
    ("row", "told"), [("c1,Who, then?,Ana,a", "more cells"), ('c1,Who?,"[Ana",a', "not a JSON list")]
)
def test_a_row_of_csv_that_is_not_what_it_seems(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "p.csv").write_text(f"id,question,answers,articles\n{row}\nc2,[Who]?,Ana,a\n", "utf-8")
    failure, second = read(tmp_path / "p.csv")
    assert isinstance(failure, Failure)
    assert told in failure.reason
    assert isinstance(second, QAPair)
    assert second.question == "[Who]?"


@pytest.mark.parametrize("content", [b'id,question\nc1,"Who?\nc2,What?\n', b"id,question\nc1,Z\xfcrich?\n"])
def test_csv_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(ReadError):
        read(tmp_path / "p.csv")


def test_csv(tmp_path: Path) -> None:
    content = (
        "\ufeffid,question,answers,articles,answerable\n"
        'c1,"Who, then?","[""Ana"", ""Ms. Reyl""]",a,true\n'
        'c2,"Two\nlines?",,,false\n'
        'c3,Which?,"[broken",a,\n'
        "c4,Where?,Tolm,a,\n"
    )
    (tmp_path / "p.csv").write_text(content, "utf-8")
    first, second, third, fourth = read(tmp_path / "p.csv")
    assert first == QAPair("c1", "Who, then?", ("Ana", "Ms. Reyl"), ("a",), (), True, origin="p.csv, line 2")
    assert isinstance(second, QAPair)
    assert not second.answerable
    assert isinstance(third, Failure)
    assert third.source == "p.csv, line 5"
    assert isinstance(fourth, QAPair)
    assert fourth.answers == ("Tolm",)


def test_a_json_file_may_hold_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "p.json", [pair_json(PAIR), pair_json(replace(PAIR, id="p2"))])
    assert [pair.id for pair in read(path) if isinstance(pair, QAPair)] == ["p1", "p2"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        read(tmp_path / "none.jsonl")


def test_an_article_may_be_named_by_id_url_or_title() -> None:
    entries = [entry("a", "Pier", "https://x.example/a"), entry("b", "Storm"), entry("c", "Storm"), entry("Pier")]
    names = ArticleNames.of(entries)

    def resolve(*articles: str) -> Any:
        found = names.resolve(replace(PAIR, articles=articles))
        return found.articles if isinstance(found, QAPair) else found.reason

    assert resolve("a", "https://x.example/a") == ("a",)
    assert resolve("Pier") == ("Pier",), "an id goes before a title"
    assert "'Storm' is not in the index" in resolve("b", "Storm"), "two have that title"
    assert resolve() == ()


def test_the_names_of_a_copy_are_names_of_the_article_that_holds_it() -> None:
    copy = Copy("wire/7", "wire.jsonl", "Storm at Tolm", "Wire", "https://wire.example/7")
    entries = [
        replace(entry("a", "Storm"), copies=(copy, Copy("b", "b.txt"), Copy("both", "c.txt"))),
        entry("b", "Bread"),
        replace(entry("d"), copies=(Copy("both", "d.txt"),), duplicate_group="a"),
    ]
    names = ArticleNames.of(entries)
    gold = ("wire/7", "https://wire.example/7", "Storm at Tolm", "a")
    found = names.resolve(replace(PAIR, articles=gold))
    assert isinstance(found, QAPair)
    assert found.articles == ("a",)
    assert names.ids["b"] == "b", "an article's own id goes before a copy's"
    assert names.ids["d"] == "d", "the same story in other words is another article"
    assert "both" not in names.ids, "two articles have a copy of that name"
    assert names.to_ids(("wire/7", "a", "elsewhere")) == ("a", "elsewhere")


def test_the_day_of_asking_is_read_and_written() -> None:
    for told in ("2024-03-05", "2024-03-05T23:30:00+00:00", " 2024-03-05 "):
        pair = parse_pair("f", {**pair_json(PAIR), "asked_on": told})
        assert isinstance(pair, QAPair)
        assert pair.asked_on == date(2024, 3, 5)
        assert pair_json(pair)["asked_on"] == "2024-03-05"
    assert "asked_on" not in pair_json(PAIR)
    for empty in ({}, {"asked_on": None}, {"asked_on": ""}):
        pair = parse_pair("f", {**pair_json(PAIR), **empty})
        assert isinstance(pair, QAPair)
        assert pair.asked_on is None
    for wrong in ("5 March", 3, ["2024-03-05"], "2024-13-05"):
        failure = parse_pair("f", {**pair_json(PAIR), "asked_on": wrong})
        assert isinstance(failure, Failure)
        assert "asked_on" in failure.reason


def test_the_same_question_of_another_day_is_another_pair() -> None:
    asked = [{"question": "Who left this week?", "answers": ["x"], **day} for day in ({}, {"asked_on": "2024-03-05"})]
    plain, dated = (parse_pair("f", fields) for fields in asked)
    assert isinstance(plain, QAPair)
    assert isinstance(dated, QAPair)
    assert plain.id != dated.id


def test_a_repeated_id_is_left_out() -> None:
    pairs = [PAIR, Failure("f", "broken"), replace(PAIR, question="Who else?", origin="f, line 3")]
    first, second, third = check_pairs(pairs, ArticleNames({"a": "a"}))
    assert first == PAIR
    assert second == pairs[1]
    assert isinstance(third, Failure)
    assert (third.source, "earlier pair" in third.reason) == ("f, line 3", True)


def test_a_sample_is_the_same_whatever_the_order() -> None:
    pairs: list[QAPair | Failure] = [replace(PAIR, id=str(n)) for n in range(300)]
    found = survey(iter([*pairs, Failure("f", "broken")]), 20)
    assert (found.pairs, found.excluded, len(found.failures)) == (20, 1, 1)
    forward = [p.id for p in sampled(iter(pairs), found.cut) if isinstance(p, QAPair)]
    backward = [p.id for p in sampled(iter(pairs[::-1]), found.cut) if isinstance(p, QAPair)]
    assert len(forward) == 20
    assert forward == backward[::-1]
    assert survey(iter(pairs), None).cut is None
    assert len(list(sampled(iter(pairs), None))) == 300
    assert survey(iter(pairs), 1000).pairs == 300


def test_the_sample_pairs_are_whole() -> None:
    pairs = sample_pairs()
    assert len({pair.id for pair in pairs}) == len(pairs) == 90
    assert {pair.kind for pair in pairs} >= {"fact", "date", "unanswerable", "follow-up"}
