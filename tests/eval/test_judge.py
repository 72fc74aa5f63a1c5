"""A model's opinion of answers, asked of a real server whose words are scripted."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.judge import Judge, first_score
from eval.pairs.schema import QAPair
from eval.report import text_table
from eval.rows import CitedQuote, RetrievedPassage, Row
from eval.run import Report, evaluate
from rag.errors import ModelError, ReadError
from rag.models.llm import Usage
from rag.models.servers import LLM_RETRIES, load_llm
from tests.eval.test_run import PAIRS, Parrot
from tests.support.llm_server import Refused, Reply, Scripted, scripted

pytestmark = pytest.mark.usefixtures("no_settings")
PAIR = QAPair("1", "How is tea?", ("hot",), ("tea",), (), answerable=True)
ROW = Row(
    "1",
    "How is tea?",
    "Tea is hot. [1]",
    False,
    0.9,
    (CitedQuote("tea", "Tea is hot."),),
    (RetrievedPassage("ice", "Ice is cold."), RetrievedPassage("tea", "Tea is hot. Tea is wet.")),
    0.1,
)


def verdicts(prompt: str) -> str:
    if "supported by the context" in prompt:
        return "YES"
    return "Fine.\n[RESULT] 1" if "[RESULT]" in prompt else "4.0"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(verdicts) as found:
        yield found


def test_scores_are_what_the_model_says(server: Scripted) -> None:
    with Judge(load_llm("tiny", server.url)) as judge:
        assert judge.scores(PAIR, ROW) == {"judged_faithful": 1, "judged_relevant": 0.5, "judged_correct": 0.75}
        assert judge.model.usage == Usage(3, 30, 6)


def test_it_reads_what_was_cited_and_no_marker(server: Scripted) -> None:
    with Judge(load_llm("tiny", server.url)) as judge:
        judge.scores(PAIR, ROW)
    [faithful] = [prompt for prompt in server.prompts if "supported by the context" in prompt]
    assert "Tea is hot. Tea is wet." in faithful
    assert "Ice is cold." not in faithful
    assert "[1]" not in "".join(server.prompts)


def test_what_was_not_answered_is_not_judged(server: Scripted) -> None:
    with Judge(load_llm("tiny", server.url)) as judge:
        assert judge.scores(PAIR, replace(ROW, abstained=True, answer="")) == {}
        assert "judged_correct" not in judge.scores(replace(PAIR, answers=(), answerable=False), ROW)
    assert len(server.prompts) == 2


def test_a_reply_without_a_verdict_is_no_score() -> None:
    with scripted(lambda _: "I would rather not say.") as server, Judge(load_llm("tiny", server.url)) as judge:
        assert judge.scores(PAIR, ROW) == {}


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("4.0", 4),
        ("Score: 2\nWrong.", 2),
        ("**3**", 3),
        ("From 1 to 5 it is a 4", None),
        ("7", None),
        ("0", None),
        ("", None),
        ("five", None),
    ],
)
def test_scores_are_read(reply: str, score: float | None) -> None:
    assert first_score(reply) == (score, reply)


def judged(server: Scripted, rows: Path, *, resume: bool = False) -> Report:
    with Judge(load_llm("tiny", server.url)) as judge:
        return evaluate(Parrot(), PAIRS, rows, resume=resume, judge=judge)  # type: ignore[arg-type]


def test_its_figures_stand_apart_and_are_kept(server: Scripted, tmp_path: Path) -> None:
    report = judged(server, tmp_path / "rows.jsonl")
    assert (report.figures["judged_correct"].value, report.figures["judged_correct"].n) == (0.75, 2)
    assert report.figures["judged_faithful"].n == 3, "an unanswerable question was answered, too"
    told = text_table(report)
    assert told.index("Knowing when not to") < told.index("Judged by a language model") < told.index("judged_faithful")
    assert "Judged by tiny: 8 calls, 80 tokens read, 16 written" in told
    asked = len(server.prompts)
    again = judged(server, tmp_path / "rows.jsonl", resume=True)
    assert again.figures == report.figures
    assert len(server.prompts) == asked, "what was judged is not judged again"
    with pytest.raises(ReadError, match="other settings"):
        evaluate(Parrot(), PAIRS, tmp_path / "rows.jsonl", resume=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [401, 404, pytest.param(429, marks=pytest.mark.slow)])
def test_a_server_that_refuses_is_an_error_and_the_key_is_told_nobody(
    status: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with scripted(lambda _: status) as server, Judge(load_llm("tiny", server.url, "sesame")) as judge:
        with pytest.raises(ModelError, match=f"HTTP {status}") as caught:
            judge.scores(PAIR, ROW)
        told = "".join(traceback.format_exception(caught.value))
        assert "sesame" not in told + caplog.text + "".join(capfd.readouterr())
    assert server.keys[0] == "Bearer sesame"
    assert len(server.keys) <= 3 * (1 + LLM_RETRIES)


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b'{"error": {}}', b'{"choices": [', b"[]"])
def test_a_server_that_speaks_something_else(body: bytes) -> None:
    with (
        scripted(lambda _: body) as server,
        Judge(load_llm("tiny", server.url)) as judge,
        pytest.raises(ModelError, match="/v1"),
    ):
        judge.scores(PAIR, ROW)


def test_a_judge_that_fails_on_the_way_leaves_the_report_of_what_was_asked() -> None:
    def reply(prompt: str) -> Reply:
        return 404 if "0.8" in prompt else verdicts(prompt)

    with scripted(reply) as server, Judge(load_llm("tiny", server.url)) as judge:
        report = evaluate(Parrot(), PAIRS, judge=judge)  # type: ignore[arg-type]
    assert (report.asked, report.interrupted) == (1, True)
    assert "HTTP 404" in report.stopped_by


def test_after_a_refusal_nothing_more_is_asked() -> None:
    def reply(prompt: str) -> Reply:
        return (
            404 if "supported by the context" in prompt else Refused(429, "4")
        )  # to be tried again after four seconds

    with scripted(reply) as server, Judge(load_llm("tiny", server.url)) as judge:
        with pytest.raises(ModelError, match="HTTP 404"):
            judge.scores(PAIR, ROW)
        judge._runner.run(asyncio.sleep(2))  # what was on its way by then has arrived
        asked = len(server.prompts)
        judge._runner.run(asyncio.sleep(4))
        assert len(server.prompts) == asked


@pytest.mark.parametrize(("reply", "score"), [("YES.", 1), ("Answer: NO", 0), ("There is no doubt: YES", None)])
def test_verdicts_are_read(reply: str, score: float | None) -> None:
    with scripted(lambda _: reply) as server, Judge(load_llm("tiny", server.url)) as judge:
        assert judge.scores(PAIR, ROW).get("judged_faithful") == score


@pytest.mark.slow
def test_a_server_that_is_not_there() -> None:
    with scripted(verdicts) as server:
        pass
    with Judge(load_llm("tiny", server.url)) as judge, pytest.raises(ModelError, match="no language model answers"):
        judge.scores(PAIR, ROW)
