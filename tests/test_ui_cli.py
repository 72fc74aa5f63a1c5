"""The command: what it prints, where, and with which status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE
from typer.testing import CliRunner

from rag.chain import Chain
from ui.cli import app

QUESTION = "What did Iraq tell the Security Council?"


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", ["ingest", "ask", "chat", "articles", "remove"])
def test_every_command_is_explained(command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "--index" in out
    assert command in run("--help")[1]


def test_help_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys; sys.argv = ['pullquote', '--help']\n"
        "from ui.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'chromadb', 'gradio', 'sentence_transformers', 'llama_index'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["ask", "Who?", "--index", "none"], 1),
        (["articles", "--index", "none"], 1),
        (["remove", "x", "--index", "none"], 1),
        (["ask"], 2),
        (["ask", "Who?", "--colour"], 2),
        (["frobnicate"], 2),
    ],
)
def test_what_fails_says_so_on_stderr(arguments: list[str], status: int) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert "Traceback" not in err
    if status == 1:
        assert err.count("\n") == 1
        assert "pullquote ingest" in err


@pytest.mark.slow
class TestOverTheSample:
    """Over the sample corpus, as the README tells it."""

    def test_ask_in_json(self, sample_index: Path, sample_chain: Chain) -> None:
        status, out, err = run("ask", QUESTION, "--index", sample_index, "--json")
        answer = json.loads(out)
        assert (status, err) == (0, "")
        assert list(answer) == [
            "question", "text", "grounded", "confidence", "citations", "hits", "notice", "seconds",
        ]  # fmt: skip
        assert answer["grounded"] is True
        for citation in answer["citations"]:
            assert list(citation) == [
                "number", "article_id", "title", "source", "published", "url", "quote", "start", "end",
            ]  # fmt: skip
            article = sample_chain.index.article(citation["article_id"])
            assert article is not None
            assert article.text[citation["start"] : citation["end"]] == citation["quote"]
        assert all(list(hit) == ["article_id", "passage_id", "score", "text"] for hit in answer["hits"])

    def test_ask_in_words(self, sample_index: Path) -> None:
        status, out, _ = run("ask", QUESTION, "--index", sample_index)
        assert status == 0
        assert (
            "[1][2][3] Iraq turns to U.N. Security Council after Israeli letter — Harbour Wire, 24 November 2024" in out
        )

    def test_ask_what_is_not_there(self, sample_index: Path) -> None:
        status, out, _ = run("ask", "Who won the chess championship in Reykjavik?", "--index", sample_index)
        assert status == 0
        assert out.startswith("The articles do not answer this.")

    @pytest.mark.parametrize(
        ("question", "told"), [("  ", "empty"), ("why " * 2500, "10,000 characters|9,999 characters")]
    )
    def test_questions_that_are_none(self, sample_index: Path, question: str, told: str) -> None:
        import re

        status, out, err = run("ask", question, "--index", sample_index)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert re.search(told, err)

    def test_ingest_articles_and_remove(self, tmp_path: Path) -> None:
        status, out, _ = run("ingest", SAMPLE, tmp_path / "none", "--index", "x", "--json")
        report = json.loads(out)
        assert status == 0
        assert list(report) == ["added", "updated", "unchanged", "removed", "failed", "passages", "seconds"]
        assert report["failed"] == [{"source": str(tmp_path / "none"), "reason": "does not exist; check the path"}]
        listed = json.loads(run("articles", "--index", "x", "--json")[1])
        assert len(listed) == report["added"]
        assert list(listed[0]) == ["id", "title", "source", "published", "url", "passages"]
        assert run("remove", listed[0]["id"], "--index", "x")[:2] == (0, "1 removed\n")
        status, out, err = run("remove", listed[0]["id"], "--index", "x")
        assert (status, out) == (1, "0 removed\n")
        assert "pullquote articles" in err
        assert len(run("articles", "--index", "x")[1].splitlines()) == report["added"] - 1

    def test_nothing_to_ingest(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        status, out, err = run("ingest", tmp_path / "empty", "--index", "x")
        assert status == 1
        assert out.startswith("0 added")
        assert "holds no file" in err
