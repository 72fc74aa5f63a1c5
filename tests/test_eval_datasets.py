"""Public sets in their own formats, as published, and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import articles_of
from eval.pairs import read_pairs
from rag.errors import ReadError
from rag.schema import Failure, QAPair

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
    queries = [{"_id": "1", "text": "what is tea"}, {"_id": "2", "text": "not judged"}, {"_id": "3", "text": "ice"}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\nnot json\n", "utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td1\t2\n1\td2\t0\n3\td2\t1\n3\td3\t1\n")
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
        origin="dev.json, question s1",
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
    assert (first.answers, first.kind, first.id) == (("Yes",), "comparison_query", "1")
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
    first, second, third = read_pairs(beir)
    assert isinstance(first, QAPair)
    assert (first.id, first.question, first.articles, first.answers) == ("1", "what is tea", ("d1",), ())
    assert isinstance(second, QAPair)
    assert second.articles == ("d2", "d3")
    assert isinstance(third, Failure)
    assert third.source == "queries.jsonl, line 4"
    articles = articles_of(beir)
    assert articles
    assert list(articles) == [{"id": "d1", "title": "Tea", "text": "Hot."}]


def test_a_folder_without_judgements(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="qrels"):
        list(read_pairs(tmp_path))


def test_a_pairs_file_brings_no_articles(tmp_path: Path) -> None:
    assert articles_of(saved(tmp_path / "pairs.json", [{"question": "Who?"}])) is None
    assert articles_of(tmp_path / "pairs.jsonl") is None


@pytest.mark.parametrize("content", ["{", '{"data": [{"title": "x"}]}', '"text"', "[" * 100_000])
def test_broken_json_is_one_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content, "utf-8")
    with pytest.raises(ReadError):
        list(read_pairs(tmp_path / "x.json"))
