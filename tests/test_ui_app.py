"""The page's events over a chain that a reader computes in the head, and its endpoint as other programs meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from test_ui_server import _no_open_loops, served  # noqa: F401

from eval.feedback import feedback_file
from rag.errors import IndexMissing, QuestionError
from rag.schema import Answer, Citation, Hit, Passage
from ui import app as ui_app
from ui.app import Desk, build_app
from ui.render import Exchange

TEXT = "Tea is hot. Ice is cold."
TEA = Passage("d-0", "d", "", 0, 0, len(TEXT), TEXT, ((0, 11), (12, 24)), "Drinks", "The Cup", "", "", None)


@dataclass
class Shelf:
    """Stands for the index: one article of one passage."""

    folder: Path = Path("index")

    def counts(self) -> tuple[int, int]:
        return 1, 1


@dataclass
class Parrot:
    """Stands for the chain: answers any question with both sentences of TEXT, one after the other."""

    index: Shelf = field(default_factory=Shelf)

    def stream(self, question: str) -> Iterator[Answer]:
        if "boom" in question:
            raise QuestionError("the question is too loud;\nask softly")
        tea, ice = Citation(1, TEA, "Tea is hot.", 0, 11), Citation(2, TEA, "Ice is cold.", 12, 24)
        hits = (Hit(TEA, 1.0),)
        yield Answer(question, "Tea is hot. [1]", (tea,), hits, grounded=True, confidence=0.9)
        yield Answer(question, "Tea is hot. [1] Ice is cold. [2]", (tea, ice), hits, grounded=True, confidence=0.9)

    def ask(self, question: str) -> Answer:
        return [*self.stream(question)][-1]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(build_app(Parrot())) as found:  # type: ignore[arg-type]
        yield found


def texts(shown: ui_app.Shown) -> list[str]:
    return [message["content"] for message in shown[0]]


def test_the_answer_grows_in_the_page() -> None:
    pages = list(Desk(Parrot()).reply("What is hot?", ()))  # type: ignore[arg-type]
    assert [len(texts(page)) for page in pages] == [2, 2, 2]
    assert "Reading" in texts(pages[0])[1]
    assert [texts(page)[1].count("pq-marker") for page in pages] == [0, 1, 2]
    assert [page[1].count("<mark") for page in pages] == [0, 1, 2]


def test_the_box_is_emptied_once() -> None:
    steps = list(Desk(Parrot()).reply_to_box("What is hot?", ()))  # type: ignore[arg-type]
    assert [step[0] for step in steps] == ["", gr.skip(), gr.skip()]


def test_a_conversation_keeps_its_turns() -> None:
    first = list(Desk(Parrot()).reply("A?", ()))[-1]  # type: ignore[arg-type]
    second = list(Desk(Parrot()).reply("B?", first[2]))[-1]  # type: ignore[arg-type]
    assert [exchange.question for exchange in second[2]] == ["A?", "B?"]
    assert 'href="#pq-q-1-1"' in texts(second)[1]
    assert 'href="#pq-q-2-1"' in texts(second)[3]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_changes_nothing(question: str) -> None:
    assert list(Desk(Parrot()).reply(question, (Exchange("A?"),))) == []  # type: ignore[arg-type]


def test_an_error_is_one_line_of_the_conversation() -> None:
    desk = Desk(Parrot())  # type: ignore[arg-type]
    failed = list(desk.reply("boom", ()))[-1]
    assert "the question is too loud&#59; ask softly" in texts(failed)[1]
    assert [e.error for e in failed[2]] == ["the question is too loud;\nask softly"]
    assert "pq-marker" in texts(list(desk.reply("And now?", failed[2]))[-1])[3]


def test_a_missing_index_is_told_before_the_first_question() -> None:
    class Bare(Shelf):
        def counts(self) -> tuple[int, int]:
            raise IndexMissing("no index; run: pullquote ingest")

    assert "no index" in Desk(Parrot(Bare())).empty()  # type: ignore[arg-type]
    assert "1 article (1 passage)" in Desk(Parrot()).empty()  # type: ignore[arg-type]


def rated(folder: Path, conversation: tuple[Exchange, ...], **data: Any) -> list[dict[str, Any]]:
    Desk(Parrot(Shelf(folder))).rate(conversation, gr.LikeData(None, {"value": "", **data}))  # type: ignore[arg-type]
    file = feedback_file(folder)
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_a_rating_is_written_down_with_what_was_rated(tmp_path: Path) -> None:
    first = list(Desk(Parrot()).reply("A?", ()))[-1]  # type: ignore[arg-type]
    talk = list(Desk(Parrot()).reply("B?", first[2]))[-1][2]  # type: ignore[arg-type]
    [entry] = rated(tmp_path / "index", talk, index=3, liked=False)
    assert (entry["question"], entry["rating"]) == ("B?", "down")
    assert [turn["question"] for turn in entry["history"]] == ["A?"]
    assert [cited["quote"] for cited in entry["citations"]] == ["Tea is hot.", "Ice is cold."]
    assert len(rated(tmp_path / "index", talk, index=1, liked=True)) == 2


def test_what_is_no_rating_is_not_written_down(tmp_path: Path) -> None:
    talk = list(Desk(Parrot()).reply("A?", ()))[-1][2]  # type: ignore[arg-type]
    assert rated(tmp_path / "index", talk, index=1, liked="") == [], "a thumb taken back"
    assert rated(tmp_path / "index", talk, index=7, liked=True) == [], "no such answer"
    assert rated(tmp_path / "index", (Exchange("A?", error="boom"),), index=1, liked=True) == []


def test_a_rating_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    talk = list(Desk(Parrot()).reply("A?", ()))[-1][2]  # type: ignore[arg-type]
    with pytest.raises(gr.Error, match="cannot write feedback"):
        rated(tmp_path / "nowhere" / "index", talk, index=1, liked=True)


def test_the_page_has_its_title_examples_and_one_public_endpoint() -> None:
    page = build_app(Parrot(), ["What is hot?"])  # type: ignore[arg-type]
    config = page.get_config_file()
    assert config["title"] == "Pullquote"
    assert page.analytics_enabled is False
    [chat] = [c for c in config["components"] if c["type"] == "chatbot"]
    assert [example["text"] for example in chat["props"]["examples"]] == ["What is hot?"]
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert public == ["ask"]
    assert {
        d["api_name"]: fn.concurrency_limit for d, fn in zip(config["dependencies"], page.fns.values(), strict=True)
    }["ask"] == ui_app.CONCURRENT_ANSWERS


@pytest.mark.slow
def test_other_programs_can_ask(url: str) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"trust_env": False})
    found = client.predict("What is hot?", api_name="/ask")
    assert found["text"] == "Tea is hot. [1] Ice is cold. [2]"
    assert [c["quote"] for c in found["citations"]] == ["Tea is hot.", "Ice is cold."]
    with pytest.raises(Exception, match="too loud"):
        client.predict("boom", api_name="/ask")
