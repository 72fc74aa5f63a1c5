"""The command: what it prints, where, and with which status."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rag.chain import Chain
from rag.errors import Stopped
from rag.schema import Answer, Filters, ReadFilter
from tests.conftest import ROOT, SAMPLE
from tests.support.llm_server import scripted
from ui.cli.main import WIDTH, _print_stream, _wrapped, app
from ui.cli.terminal import PACKAGES

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


def test_the_version_is_printed() -> None:
    assert run("--version") == (0, f"pullquote {version('pullquote')}\n", "")


def test_the_log_goes_to_stderr_on_request(caplog: pytest.LogCaptureFixture) -> None:
    handlers = {name: [*logging.getLogger(name).handlers] for name in PACKAGES}
    try:
        assert run("--verbose", "sources")[0] == 0
        logging.getLogger("rag.store.index").info("reopened")
        assert [record.message for record in caplog.records] == ["reopened"]
    finally:
        for name, before in handlers.items():
            logging.getLogger(name).handlers, logging.getLogger(name).level = before, logging.NOTSET


def test_a_shell_can_complete_the_commands() -> None:
    code = "import sys; sys.argv = ['pullquote']; from ui.cli.main import app; app(prog_name='pullquote')"
    words = {"_PULLQUOTE_COMPLETE": "complete_bash", "COMP_WORDS": "pullquote re", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | words)
    assert done.stdout.split() == ["remove", "rebuild", "restore"]


def test_help_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys; sys.argv = ['pullquote', '--help']\n"
        "from ui.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'chromadb', 'gradio', 'openvino', 'llama_index', 'pydantic', 'asyncio', 'rag.chain'}\n"
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


EVERYTHING = """
import sys
from ui.cli.main import app
for line in sys.stdin.buffer.read().decode().splitlines():
    sys.argv = ["pullquote", *line.split("|")]
    try:
        app()
    except SystemExit as end:
        print(sys.argv[1], end.code or 0)
"""
OLD = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", **OLD}],
    ids=["ascii", "Windows", "C"],
)
def test_no_encoding_of_a_terminal_ends_in_a_traceback(
    environment: dict[str, str], sample_index: Path, tmp_path: Path
) -> None:
    lines = [
        "--help", "ask|--help", "eval|--help", "sources", "sources|--json", f"articles|--index|{sample_index}",
        f"articles|--json|--index|{sample_index}", "articles|--index|nichts für dich \u202e\x1b[31m",
        "remove|日本|--index|none", "ask|Wer?\u202e|--after|日本", f"ingest|日本.txt|--index|{tmp_path}", "frobnicate",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING],
        input="\n".join(lines).encode(),
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert b"Traceback" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\narticles 0") == 2
    assert b"\xe2\x80\xae" not in done.stdout + done.stderr
    assert b"\x1b[31m" not in done.stdout + done.stderr


def test_ctrl_c_ends_an_answer_with_what_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    told = Answer("How is tea?", "Tea is", (), (), grounded=True, confidence=1.0, written_by="tiny")

    def answers() -> Iterator[Any]:
        yield told
        os.kill(os.getpid(), signal.SIGINT)
        try:
            yield told
        except Stopped:
            yield replace(told, text="Tea is hot. Ice …", notice="Stopped; this is as far as it came.")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(typer.Exit) as ended:
        _print_stream(answers())  # type: ignore[arg-type]
    assert ended.value.exit_code == 130
    assert capsys.readouterr().out == "Tea is hot. Ice …\nStopped; this is as far as it came.\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_pipe_that_is_closed_ends_no_command_in_a_traceback() -> None:
    code = "import sys; sys.argv = ['pullquote', 'sources', '--json']; from ui.cli.main import app; app()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(60) in {0, 1}
    process.stderr.close()


MARCH = Filters(date(2024, 3, 1), date(2024, 3, 31))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the chain was asked, by a chain that answers nothing but a date."""
    calls: list[dict[str, Any]] = []
    text = "The ministry said at last that the harbour, which a strike had closed, opens again on 4 November 2024."

    class Parrot:
        def stream(self, question: str, **scope: Any) -> Iterator[Answer]:
            calls.append(scope)
            read = (ReadFilter("in March's\n1\x1b[31m week", MARCH),) if "March" in question else ()
            bold = ((text.index("4 Nov"), 500),)
            yield Answer(question, text, (), (), grounded=True, confidence=1.0, emphasis=bold, read=read)

    monkeypatch.setattr("rag.chain.Chain.from_config", lambda _: Parrot())
    return calls


def test_what_narrows_a_question(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.cli.main._source_names", lambda names, index: [name.title() for name in names or ()])
    run("ask", "Who?")
    run("ask", "Who?", "--after", "2024-03-01", "--before", "2024-03-31", "--source", "the age", "--source", "x")
    run("ask", "Who?", "--article", "a", "--article", "b", "--today", "2024-04-02")
    run("ask", "Who?", "--as-asked", "--lift", "in May", "--lift", "The Age")
    assert asked == [
        {},
        {"filters": Filters(date(2024, 3, 1), date(2024, 3, 31), ("The Age", "X"))},
        {"filters": Filters(article_ids=("a", "b")), "today": date(2024, 4, 2)},
        {"lifted": ("Who?", "in May", "The Age")},
    ]


def test_the_models_of_this_machine_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: "", models=["qwen2.5:7b", "a b"]) as server:
        monkeypatch.setattr("rag.models.servers.LOCAL_LLMS", (server.url,))
        assert run("models") == (
            0,
            f"--llm qwen2.5:7b --llm-url {server.url}\n--llm 'a b' --llm-url {server.url}\n",
            "",
        )
    status, out, err = run("models")
    assert (status, out) == (1, "")
    assert "no language model runs here" in err


@pytest.mark.parametrize("option", ["--after", "--before", "--today"])
def test_a_date_that_is_none_is_one_line(asked: list[dict[str, Any]], option: str) -> None:
    status, out, err = run("ask", "Who?", option, "31/3/2024")
    assert (status, out, asked) == (1, "", [])
    assert err == "pullquote: '31/3/2024' is no date; write it as YYYY-MM-DD, such as 2024-03-31\n"


@pytest.mark.usefixtures("asked")
def test_a_filter_that_was_read_is_told_with_how_to_drop_it() -> None:
    out = run("ask", "What was in March?")[1]
    told = "Only articles published in March 2024 (drop it: --lift 'in March'\"'\"'s 1\ufffd[31m week')\n"
    assert out.endswith(f"2024.\n\n{told}")
    assert "Only articles" not in run("ask", "Who?")[1]


@pytest.mark.usefixtures("asked")
def test_what_was_asked_for_is_bold_in_a_terminal_alone() -> None:
    plain = run("ask", "Who?")[1]
    assert "\x1b" not in plain
    coloured = CliRunner().invoke(app, ["ask", "Who?"], color=True).stdout
    assert coloured.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain
    assert re.findall(r"\x1b\[1m(.*?)\x1b\[0m", coloured) == ["4", "November", "2024."]


@given(st.text("ab \t\n\u2003\x85-", max_size=300), st.lists(st.tuples(st.integers(-3, 300), st.integers(-3, 300))))
def test_bold_moves_no_line_break(text: str, spans: list[tuple[int, int]]) -> None:
    filled = _wrapped(text, spans)
    assert re.sub(r"\x1b\[\d+m", "", filled) == "\n".join(textwrap.fill(line, WIDTH) for line in text.split("\n"))
    bold = "".join(re.findall(r"\x1b\[1m(.*?)\x1b\[0m", filled))
    wanted = (c for at, c in enumerate(text) if any(start <= at < end for start, end in spans))
    assert bold == "".join(c for c in wanted if not c.isspace())


@pytest.mark.slow
class TestOverTheSample:
    """Over the sample corpus, as the README tells it."""

    def test_ask_in_json(self, sample_index: Path, sample_chain: Chain) -> None:
        status, out, err = run("ask", QUESTION, "--index", sample_index, "--json")
        answer = json.loads(out)
        assert (status, err) == (0, "")
        assert list(answer) == [
            "question", "text", "grounded", "confidence", "citations", "hits", "notice", "seconds", "emphasis",
            "filters", "sentences", "written_by", "searched",
        ]  # fmt: skip
        assert answer["grounded"] is True
        for citation in answer["citations"]:
            assert list(citation) == [
                "number", "article_id", "title", "source", "published", "url", "quote", "start", "end", "also", "extra",
            ]  # fmt: skip
            article = sample_chain.index.article(citation["article_id"])
            assert article is not None
            assert article.text[citation["start"] : citation["end"]] == citation["quote"]
        assert all(list(hit) == ["article_id", "passage_id", "score", "text"] for hit in answer["hits"])

    def test_ask_in_json_of_a_language_model(self, sample_index: Path) -> None:
        letter = "Iraq has answered Israeli threats with an official letter to the U.N. Security Council."

        def reply(prompt: str) -> str:
            return f"{letter} [{re.findall(r'^mark: .(.*).$', prompt, re.MULTILINE)[0]}] The moon is made of cheese."

        with scripted(reply) as server:
            model = ["--llm", "tiny", "--llm-url", server.url]
            status, out, err = run("ask", QUESTION, "--index", sample_index, *model, "--json")
            words = run("ask", QUESTION, "--index", sample_index, *model)[1]
        written, plain = json.loads(out), json.loads(run("ask", QUESTION, "--index", sample_index, "--json")[1])
        assert (status, err, list(written)) == (0, "", list(plain))
        [first, second] = written["sentences"]
        assert (first["text"], first["citations"], first["support"] > 0.6) == (letter, [1], True)
        assert second == {"text": "The moon is made of cheese.", "citations": [], "support": 0.0}
        assert "[1] “BAGHDAD — Iraq has answered" in words
        assert "cheese. [unsupported]" in words

    def test_a_terminal_shows_the_words_of_a_model_as_they_come(self, sample_index: Path) -> None:
        proceed = threading.Event()

        def reply(prompt: str) -> Iterator[str]:
            yield "Iraq has answered "
            assert proceed.wait(60)
            yield "Israeli threats with an official letter to the U.N. Security Council."

        leader, follower = pty.openpty()
        with scripted(reply) as server:
            options = ["--index", str(sample_index), "--llm", "tiny", "--llm-url", server.url]
            command = [sys.executable, "-c", "from ui.cli.main import app; app()", "ask", QUESTION, *options]
            with subprocess.Popen(command, stdout=follower, stderr=follower, cwd=ROOT) as process:
                told = ""
                while "Iraq has answered" not in told:
                    told += os.read(leader, 1000).decode()
                assert "threats" not in told
                assert "tiny reads 10 passages" in told
                proceed.set()
                while "harbour-wire.example" not in told:
                    told += os.read(leader, 1000).decode()
                process.wait(60)
        os.close(leader)
        os.close(follower)
        assert told.count("Iraq has answered Israeli threats with an official") == 1 + told.count("“BAGHDAD")
        assert "Security Council. [1]" in told

    def test_ask_in_words(self, sample_index: Path) -> None:
        status, out, _ = run("ask", QUESTION, "--index", sample_index)
        assert status == 0
        assert "[1][2] Iraq turns to U.N. Security Council after Israeli letter — Harbour Wire, 24 November 2024" in out

    def test_a_source_that_is_none(self, sample_index: Path) -> None:
        status, out, err = run("ask", QUESTION, "--index", sample_index, "--source", "Harbor Wire")
        assert (status, out) == (1, "")
        assert err == "pullquote: no article has the source 'Harbor Wire'; there is 'Harbour Wire'\n"

    def test_ask_what_is_not_there(self, sample_index: Path) -> None:
        status, out, _ = run("ask", "Who won the chess championship in Reykjavik?", "--index", sample_index)
        assert status == 0
        assert out.startswith("The articles do not answer this.")

    @pytest.mark.parametrize(
        ("question", "told"), [("  ", "empty"), ("why " * 2500, "10,000 characters|9,999 characters")]
    )
    def test_questions_that_are_none(self, sample_index: Path, question: str, told: str) -> None:
        status, out, err = run("ask", question, "--index", sample_index)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert re.search(told, err)

    def test_ingest_articles_and_remove(self, tmp_path: Path) -> None:
        status, out, _ = run("ingest", SAMPLE, tmp_path / "none", "--index", "x", "--json")
        report = json.loads(out)
        assert status == 0
        assert list(report) == [
            "added", "updated", "unchanged", "moved", "duplicates", "removed", "failed", "passages", "seconds",
            "others", "notices",
        ]  # fmt: skip
        assert report["failed"] == [{"source": str(tmp_path / "none"), "reason": "does not exist; check the path"}]
        listed = json.loads(run("articles", "--index", "x", "--json")[1])
        assert len(listed) == report["added"]
        assert list(listed[0]) == [
            "id", "title", "source", "published", "url", "author", "language", "extra", "origin", "copies", "passages",
        ]  # fmt: skip
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
