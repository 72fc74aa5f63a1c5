"""`pullquote eval` as it is typed: what it prints, where, and with which status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.pairs.reading import pair_json, sample_pairs
from tests.conftest import ROOT, SAMPLE
from tests.eval.bench.test_suite import BREAD, BREAD_PAIRS, TOLM, TOLM_PAIRS, folder
from tests.eval.test_judge import verdicts
from tests.support.llm_server import scripted
from tests.ui.cli.test_main import run
from ui.cli.terminal import ProgressLines

PAIRS = ROOT / "eval" / "data" / "pairs.jsonl"


def few(path: Path, count: int = 6) -> Path:
    """A file of the first sample pairs."""
    path.write_text("".join(f"{json.dumps(pair_json(pair))}\n" for pair in sample_pairs()[:count]), "utf-8")
    return path


@pytest.mark.parametrize("command", ["run", "compare", "table", "make-pairs", "label", "bench", "suite"])
def test_every_command_is_explained(command: str) -> None:
    assert command in run("eval", "--help")[1]
    assert run("eval", command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pairs.jsonl", "--index", "none"], "there is no index"),
        (["pairs.jsonl", "--corpus", "none"], "could be ingested"),
        (["compare", "a.json", "b.json"], "a.json is not a report"),
        (["table", "a.json"], "a.json is not a report"),
        (["pairs.jsonl", "--html", "no/such/page.html"], "cannot write the page"),
        (["label", "none.jsonl"], "cannot read pairs from none.jsonl"),
        (["suite", "none"], "none has no articles.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], told: str) -> None:
    status, out, err = run("eval", *arguments)
    assert (status, out) == (1, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pairs.jsonl", "--resume"], "--rows"),
        (["pairs.jsonl", "--fail-under", "speed=3"], "no figure is called 'speed'"),
        (["pairs.jsonl", "--fail-under", "right=nan"], "write it as right=0.9"),
        (["pairs.jsonl", "--rows", "pairs.jsonl"], "different files"),
        (["table", "a.json", "--figures", "hit@1, speed"], "no figure is called 'speed'"),
        (["pairs.jsonl", "--judge", "tiny"], "--judge and --judge-url go together"),
        (["make-pairs", "--llm-url", "http://127.0.0.1/v1"], "--llm and --llm-url go together"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(arguments: list[str], told: str) -> None:
    status, out, err = run("eval", *arguments)
    assert (status, out) == (2, "")
    assert told in " ".join(err.split())


def test_what_a_file_is_called_cannot_steer_the_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in run("eval", "label", "a\x1b]0;pwn\x07.jsonl")[2]


@pytest.mark.slow
def test_pairs_are_measured(sample_index: Path, tmp_path: Path) -> None:
    rows, html = tmp_path / "rows.jsonl", tmp_path / "report.html"
    status, out, _ = run("eval", few(tmp_path / "p.jsonl"), "--index", sample_index, "--rows", rows, "--html", html)
    assert status == 0
    assert re.search(r"^  hit@1 +\d\.\d{3}  \d\.\d{3}–\d\.\d{3} +6 ", out, re.MULTILINE)
    assert out.rstrip().endswith("6 asked")
    assert len(rows.read_text("utf-8").splitlines()) == 6
    assert html.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_progress_is_lines_where_nobody_watches(
    sample_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.cli.terminal.LINE_EVERY", 2)
    status, out, err = run(
        "eval", few(tmp_path / "p.jsonl", 5), "--index", sample_index, "--today", "2024-06-12", "--json"
    )
    assert status == 0
    assert err.splitlines() == ["pullquote: asked 2 of 5", "pullquote: asked 4 of 5"]
    assert json.loads(out)["made"]["today"] == "2024-06-12"


def test_progress_is_told_after_a_while_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ProgressLines(1000)
    for steps in (1, 1, 0):
        lines.update(steps)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("ui.cli.terminal.LINE_SECONDS", 0.0)
    lines.update(0)
    lines.update(1)
    lines.update(0)
    assert capsys.readouterr().err.splitlines() == ["pullquote: asked 2 of 1,000", "pullquote: asked 3 of 1,000"]


def test_a_day_that_is_none_is_told(tmp_path: Path) -> None:
    status, _, err = run("eval", few(tmp_path / "p.jsonl", 1), "--today", "Friday")
    assert status == 1
    assert "'Friday' is no date" in err


@pytest.mark.slow
def test_json_is_compared_with_json(sample_index: Path, tmp_path: Path) -> None:
    pairs = few(tmp_path / "p.jsonl")
    for name in ("a.json", "b.json"):
        status, out, _ = run("eval", pairs, "--index", sample_index, "--sample", 4, "--json")
        assert status == 0
        assert json.loads(out)["made"]["pairs"] == {**json.loads(out)["made"]["pairs"], "name": "p.jsonl", "sample": 4}
        (tmp_path / name).write_text(out, "utf-8")
    status, out, _ = run("eval", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert status == 0
    assert "No difference shown (4 questions in both" in out
    status, out, _ = run("eval", "compare", tmp_path / "a.json", tmp_path / "b.json", "--json")
    assert json.loads(out)["shared"] == 4
    status, out, _ = run("eval", "table", tmp_path / "a.json", "--figures", "hit@1,right")
    assert len(out.splitlines()) == 4


@pytest.mark.slow
def test_a_corpus_is_ingested_for_the_occasion(tmp_path: Path) -> None:
    squad = tmp_path / "set.json"
    context = "The pier of Tolm was built in 1902 by Ana Reyl. It burnt down twice."
    question = {
        "id": "1",
        "question": "Who built the pier of Tolm?",
        "answers": [{"text": "Ana Reyl", "answer_start": 38}],
    }
    squad.write_text(json.dumps({"data": [{"title": "Tolm", "paragraphs": [{"context": context, "qas": [question]}]}]}))
    status, out, err = run("eval", "--corpus", squad, squad, "--json")
    assert status == 0, err
    figures = json.loads(out)["figures"]
    assert (figures["hit@1"]["value"], figures["right"]["value"], figures["evidence@1"]["value"]) == (1, 1, 1)
    assert not (tmp_path / ".pullquote").exists()


@pytest.mark.slow
def test_broken_pairs_are_told_and_counted_or_fatal(sample_index: Path, tmp_path: Path) -> None:
    pairs = few(tmp_path / "p.jsonl", 2)
    with pairs.open("a", encoding="utf-8") as file:
        file.write("not json\n")
        file.write(json.dumps({**pair_json(sample_pairs()[0]), "id": "x", "articles": ["nowhere"]}) + "\n")
        file.write(json.dumps(pair_json(sample_pairs()[0])) + "\n")
    status, out, err = run("eval", pairs, "--index", sample_index)
    assert status == 0
    assert out.rstrip().endswith("2 asked, 3 excluded")
    assert [f"p.jsonl, line {n}: " in err for n in (1, 2, 3, 4, 5)] == [False, False, True, True, True]
    status, out, err = run("eval", pairs, "--index", sample_index, "--strict")
    assert (status, out) == (1, "")
    assert "3 pairs cannot be asked" in err


@pytest.mark.slow
def test_a_figure_under_its_bound_fails(sample_index: Path, tmp_path: Path) -> None:
    pairs = few(tmp_path / "p.jsonl", 3)
    bounds = ["--fail-under", "quote_exact=1", "--fail-under", "exact_match=0.5"]
    status, out, err = run("eval", pairs, "--index", sample_index, *bounds)
    assert status == 1
    assert "3 asked" in out
    assert err.strip() == "pullquote: exact_match is 0.0000, under 0.5"
    assert run("eval", pairs, "--index", sample_index, *bounds[:2])[0] == 0


@pytest.mark.slow
def test_answers_are_judged_if_a_model_is_named(sample_index: Path, tmp_path: Path) -> None:
    with scripted(verdicts) as server:
        judge = ["--judge", "tiny", "--judge-url", server.url]
        status, out, _ = run("eval", few(tmp_path / "p.jsonl", 2), "--index", sample_index, *judge)
    assert status == 0
    assert re.search(r"^  judged_faithful +1\.000 ", out, re.MULTILINE)
    assert "Judged by tiny: 6 calls" in out


@pytest.mark.slow
def test_a_judge_that_fails_on_the_way_is_told_after_the_report(sample_index: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    with scripted(lambda prompt: asked.append(prompt) or verdicts(prompt) if len(asked) < 3 else 404) as server:
        judge = ["--judge", "tiny", "--judge-url", server.url]
        status, out, err = run("eval", few(tmp_path / "p.jsonl", 3), "--index", sample_index, *judge)
    assert status == 1
    assert "judged_faithful" in out
    assert "1 asked" in out
    assert "HTTP 404" in err


@pytest.mark.slow
def test_ctrl_c_reports_what_was_asked_and_resume_goes_on(sample_index: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    # Tests that run in the background are started deaf to interrupts, and hand that on.
    listening = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ui.cli.main import app; app()"
    )
    command = [sys.executable, "-c", listening, "eval", str(PAIRS), "--index", str(sample_index), "--rows", str(rows)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if rows.exists() and rows.read_bytes().count(b"\n") >= 3:
                break
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    asked = int(out.rstrip().splitlines()[-1].split()[0])
    assert out.rstrip().endswith("asked (stopped before the end)")
    assert 3 <= asked < 90
    assert "Traceback" not in err
    few_more = sample_pairs()[: asked + 2]
    pairs = tmp_path / "p.jsonl"
    pairs.write_text("".join(f"{json.dumps(pair_json(pair))}\n" for pair in few_more), "utf-8")
    before = rows.read_bytes()
    status, out, _ = run("eval", pairs, "--index", sample_index, "--rows", rows, "--resume")
    assert status == 0
    assert out.rstrip().endswith(f"{asked + 2} asked")
    assert rows.read_bytes().startswith(before), "what was there was not asked again"


@pytest.mark.slow
def test_several_sets_are_measured_together(tmp_path: Path) -> None:
    pairs = BREAD_PAIRS[:2]
    sets = [folder(tmp_path / "tolm", TOLM, TOLM_PAIRS), folder(tmp_path / "bread", BREAD, pairs)]
    with (sets[1] / "pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write("not json\n")
    status, out, err = run("eval", "suite", *sets, "--sample", 4, "--index-dir", tmp_path / "kept")
    assert status == 0
    assert re.search(
        r"^\| hit@1 \| LlamaIndex's recipe \| .* \| 1\.000 \(0\.342–1\.000, n = 2\) \|$", out, re.MULTILINE
    )
    assert "pairs.jsonl, line 3: is not JSON" in err
    assert (tmp_path / "kept" / "bread" / "recipe.txt").is_file()
    status, out, err = run("eval", "suite", sets[1], "--index-dir", tmp_path / "kept", "--json")
    assert (status, "recipe" in err) == (0, False), "it is not ingested again"
    [found] = json.loads(out)["sets"]
    assert (found["name"], found["asked"], found["excluded"], found["foreign"]) == ("bread", 2, 1, None)


def test_ctrl_c_ends_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eval.bench.suite.ingest", interrupted)
    status, out, _ = run("eval", "suite", folder(tmp_path / "tolm", TOLM, TOLM_PAIRS))
    assert (status, out) == (130, "")


def test_the_sample_articles_are_where_the_readme_says() -> None:
    assert SAMPLE.is_dir()
    assert PAIRS.is_file()
