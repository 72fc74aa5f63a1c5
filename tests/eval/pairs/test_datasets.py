"""Public sets in their own formats, as published, and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.pairs.datasets import articles_of
from eval.pairs.reading import read_pairs
from eval.pairs.schema import QAPair
from rag.errors import ReadError
from rag.schema import Failure

CONTEXT = "Tolm lies on the Wend. Its pier was built in 1902 by Ana Reyl. It is long."
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Tolm_pier",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "s1",
                            "question": "Who built it?",
                            "answers": [{"text": "Ana Reyl", "answer_start": CONTEXT.index("Ana")}] * 2,
                        },
                        {"id": "s2", "question": "Who burnt it?", "answers": [], "is_impossible": True},
                    ],
                },
                {"context": "A second paragraph.", "qas": []},
            ],
        }
    ],
}
MULTIHOP = [
    {
        "query": "Do both say so?",
        "answer": "Yes",
        "question_type": "comparison_query",
        "evidence_list": [
            {"title": "One", "url": "https://one.example/1", "fact": "It rained."},
            {"title": "Two", "url": "", "fact": "It poured."},
        ],
    },
    {"query": "Who?", "answer": "Insufficient information.", "question_type": "null_query", "evidence_list": []},
    {"query": "Broken", "answer": "x"},
]


def saved(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    texts = {"1": "what is tea", "2": "not judged", "3": "ice"}
    queries = [*({"_id": query, "text": text} for query, text in texts.items()), {"_id": 4}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\nnot json\n\n", "utf-8")
    rows = ("query-id\tcorpus-id\tscore", "1\td1\t2", "1\td2\t0", "3\td2\t1", "3\td3\t1", "9\td3\t1")
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows))
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "Tea", "text": "Hot."}\n', "utf-8")
    return folder


def test_squad(tmp_path: Path) -> None:
    first, second = read_pairs(saved(tmp_path / "dev.json", SQUAD))
    assert first == QAPair(
        id="s1",
        question="Who built it?",
        answers=("Ana Reyl",),
        articles=("Tolm_pier",),
        evidence=("Its pier was built in 1902 by Ana Reyl.",),
        answerable=True,
        origin="dev.json, article 1, question 1",
    )
    assert isinstance(second, QAPair)
    assert not second.answerable
    assert second.answers == second.evidence == ()


def test_squad_brings_its_articles(tmp_path: Path) -> None:
    articles = articles_of(saved(tmp_path / "dev.json", SQUAD))
    assert articles
    assert list(articles) == [{"id": "Tolm_pier", "title": "Tolm pier", "text": f"{CONTEXT}\n\nA second paragraph."}]


def test_multihop(tmp_path: Path) -> None:
    first, second, third = read_pairs(saved(tmp_path / "MultiHopRAG.json", MULTIHOP))
    assert isinstance(first, QAPair)
    assert first.articles == ("https://one.example/1", "Two")
    assert first.evidence == ("It rained.", "It poured.")
    assert (first.answers, first.kind) == (("Yes",), "comparison_query")
    assert isinstance(second, QAPair)
    assert not second.answerable
    assert isinstance(third, Failure)
    assert (third.source, "MultiHop-RAG" in third.reason) == ("MultiHopRAG.json, entry 3", True)


def test_multihop_brings_its_articles(tmp_path: Path) -> None:
    entry = {"title": "One", "url": "u", "body": "Long.", "published_at": "2023-10-05T12:00:00+00:00", "source": "S"}
    articles = articles_of(saved(tmp_path / "corpus.json", [entry]))
    assert articles
    [article] = articles
    assert article["id"] == article["url"] == "u"
    assert (article["text"], article["date"]) == ("Long.", "2023-10-05T12:00:00+00:00")


def test_beir(beir: Path) -> None:
    first, second, third, fourth = read_pairs(beir)
    assert isinstance(first, QAPair)
    assert (first.id, first.question, first.articles, first.answers) == ("1", "what is tea", ("d1",), ())
    assert isinstance(second, QAPair)
    assert second.articles == ("d2", "d3")
    assert isinstance(third, Failure)
    assert third.source == "queries.jsonl, line 5"
    assert isinstance(fourth, Failure)
    assert fourth.reason.startswith("is judged, but missing from queries.jsonl")
    articles = articles_of(beir)
    assert articles
    assert list(articles) == [{"id": "d1", "title": "Tea", "text": "Hot."}]


def test_a_folder_without_judgements(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="qrels"):
        list(read_pairs(tmp_path))


def test_a_pairs_file_brings_no_articles(tmp_path: Path) -> None:
    assert articles_of(saved(tmp_path / "pairs.json", [{"question": "Who?"}])) is None
    assert articles_of(tmp_path / "pairs.jsonl") is None


@pytest.mark.parametrize("content", ["{", '"text"', "[" * 100_000])
def test_broken_json_is_one_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content, "utf-8")
    with pytest.raises(ReadError):
        list(read_pairs(tmp_path / "x.json"))


def test_odd_judgements_are_told_with_their_line(beir: Path) -> None:
    head, tail = ("\ufeffquery-id\tcorpus-id\tscore", "1\td1\t1.0"), ("3\td2\t²", "3", "", "4\td1\tnan", "3\td3\t1")
    rows = (*head, '1\t0\t"d2\t1', *tail)
    (beir / "qrels" / "test.tsv").write_text("\n".join(rows), "utf-8")
    found = list(read_pairs(beir))
    assert [item.source for item in found if isinstance(item, Failure)][:2] == ["test.tsv, line 4", "test.tsv, line 5"]
    assert [item.articles for item in found if isinstance(item, QAPair)] == [("d1", '"d2'), ("d3",)]


@pytest.mark.parametrize("start", ["zero", float("nan"), float("inf"), None])
def test_one_broken_question_of_squad_is_one_failure(tmp_path: Path, start: Any) -> None:
    broken = {"id": "s0", "question": "How?", "answers": [{"text": "x", "answer_start": start}]}
    paragraph = {"context": CONTEXT, "qas": [broken, 7, {"id": "s1"}, *SQUAD["data"][0]["paragraphs"][0]["qas"]]}  # type: ignore[index]
    data = [{"title": "x"}, 3, {"title": "Tolm", "paragraphs": [paragraph]}]
    found = list(read_pairs(saved(tmp_path / "dev.json", {"data": data})))
    assert [type(item) for item in found] == [Failure] * 5 + [QAPair] * 2
    assert found[2].source == "dev.json, article 3, question 1"  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [{"data": [{"title": "x"}]}, [{"body": "x"}, "y"], {"data": [3]}])
def test_a_set_whose_articles_are_none_is_one_error(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ReadError, match="format"):
        articles_of(saved(tmp_path / "x.json", content))


def test_a_set_that_is_not_utf8_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'[{"question": "Z\xfcrich?"}]')
    with pytest.raises(ReadError, match="UTF-8"):
        list(read_pairs(tmp_path / "x.json"))
    with pytest.raises(ReadError, match="UTF-8"):
        articles_of(tmp_path / "x.json")
