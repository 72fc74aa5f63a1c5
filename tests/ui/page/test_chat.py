"""The chat view's event handlers: what they show of the conversation, and what they leave as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from rag.errors import IndexMissing
from rag.feedback import feedback_file
from tests.support.parrot import OneArticle, Parrot
from tests.ui.services.test_chat import Writer, ask, controller_of
from ui.page.chat import ChatHandlers, show
from ui.schema import Conversation
from ui.services.chat import ChatSession

UNCHANGED = (gr.skip(), gr.skip(), gr.skip())


def handlers_of(chain: Parrot | None = None) -> ChatHandlers:
    return ChatHandlers(controller_of(chain))


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


def submitted(question: str, conversation: Conversation = (), *options: Any) -> list[tuple[Any, ...]]:
    return list(handlers_of().submitted(question, conversation, ChatSession(), *options))


def test_the_answer_grows_in_the_page() -> None:
    steps = submitted("What is hot?")
    assert [len(texts(messages)) for _, messages, *_ in steps] == [2, 2, 2, 2]
    assert "Reading" in texts(steps[0][1])[1]
    assert [texts(messages)[1].count("pq-marker") for _, messages, *_ in steps] == [0, 1, 2, 2]
    assert [sources.count("<mark") for _, _, sources, _ in steps] == [0, 1, 2, 2]
    assert [conversation[0].done for *_, conversation in steps] == [False, False, False, True]


def test_the_box_is_emptied_once() -> None:
    assert [step[0] for step in submitted("What is hot?")] == ["", gr.skip(), gr.skip(), gr.skip()]


def test_a_conversation_keeps_its_turns() -> None:
    _, messages, _, conversation = submitted("B?", submitted("A?")[-1][-1])[-1]
    assert [exchange.question for exchange in conversation] == ["A?", "B?"]
    assert 'href="#pq-q-1-1"' in texts(messages)[1]
    assert 'href="#pq-q-2-1"' in texts(messages)[3]


def test_an_error_is_one_line_of_the_conversation() -> None:
    _, messages, _, failed = submitted("boom")[-1]
    assert "the question is too loud&#59; ask softly" in texts(messages)[1]
    assert "pq-marker" in texts(submitted("And now?", failed)[-1][1])[3]


def test_a_missing_index_is_reported_before_the_first_question() -> None:
    class Missing(OneArticle):
        def counts(self) -> tuple[int, int]:
            raise IndexMissing("no index; run: pullquote ingest")

        def sources(self) -> list[str]:
            raise IndexMissing("no index; run: pullquote ingest")

    broken = handlers_of(Parrot(Missing()))
    assert "no index" in broken.empty()
    assert next(broken.loaded())[1]["visible"] is False
    assert "1 article (1 passage)" in handlers_of().empty()
    [(_, sources)] = handlers_of().loaded()
    assert sources["choices"] == OneArticle().sources()


def rated(folder: Path, conversation: Conversation, **data: Any) -> bool:
    """Whether the box for a reason is shown after a rating."""
    event = gr.LikeData(None, {"value": "", **data})  # type: ignore[arg-type]
    shown: bool = handlers_of(Parrot(OneArticle(folder))).rated(conversation, ChatSession(), event)["visible"]
    return shown


def test_a_dislike_is_saved_and_its_reason_asked(tmp_path: Path) -> None:
    talk = ask(controller_of(), "A?")[-1]
    assert rated(tmp_path / "index", talk, index=1, liked=False)
    assert not rated(tmp_path / "index", talk, index=[1, 0], liked=True)
    assert len(feedback_file(tmp_path / "index").read_text("utf-8").splitlines()) == 2
    assert not rated(tmp_path / "index", talk, index=1, liked=""), "a thumb taken back"
    assert not rated(tmp_path / "index", talk, index=7, liked=False), "no such answer"
    assert len(feedback_file(tmp_path / "index").read_text("utf-8").splitlines()) == 2
    with pytest.raises(gr.Error, match="cannot write feedback"):
        rated(tmp_path / "nowhere" / "index", talk, index=1, liked=True)


def click(conversation: Conversation, chip: Any, session: ChatSession | None = None) -> list[Any]:
    event = gr.SelectData(None, {"index": 0, "value": chip})
    return list(handlers_of().chip_clicked(conversation, session or ChatSession(), event))


def test_a_chip_asks_again_without_its_words() -> None:
    first = ask(controller_of(), "A?")[-1]
    talk = ask(controller_of(), "What did The Cup say in March 2024?", first)[-1]
    steps = click(talk, "2 in March 2024")
    assert [len(conversation) for *_, conversation in steps] == [2, 2, 2, 2]
    messages, _, again = steps[-1]
    assert again[-1].lifted == ("in March 2024",)
    assert [option["value"] for option in messages[-1]["options"]] == ["2 The Cup"]


def test_a_chip_that_is_out_of_date_does_nothing() -> None:
    assert click((), "1 in March 2024") == []
    *_, growing, done = ask(controller_of(), "What was in March 2024?")
    assert click(growing, "1 in March 2024") == [], "it is still coming in"
    for value in ("2 in March 2024", "1 The Cup", "", None, ["1 in March 2024"], {}):
        assert click(done, value) == []
    followed = ask(controller_of(), "And in March 2024?", done)[-1]
    assert click(followed, "1 in March 2024") == [], "another question came"
    lifted = click(done, "1 in March 2024")[-1][2]
    assert click(lifted, "1 in March 2024") == [], "a second click"
    busy = ChatSession(owner=object())
    assert click(done, "1 in March 2024", busy) == [], "an answer is coming in"


def test_a_request_that_was_taken_over_leaves_the_page_as_it_is() -> None:
    handlers, session = handlers_of(), ChatSession()
    steps = handlers.submitted("A?", (), session)
    next(steps)
    assert handlers.new_clicked(session) == show(())
    assert list(steps) == [(gr.skip(), *UNCHANGED)]


def test_an_edited_question_goes_back_into_the_box() -> None:
    talk, session = ask(controller_of(), "B?", ask(controller_of(), "A?")[-1])[-1], ChatSession()
    assert handlers_of().edit_clicked(talk, session) == ("B?", *show(talk[:1]))
    assert handlers_of().edit_clicked((), session) == (gr.skip(), *UNCHANGED)


def test_chosen_filters_are_shown_and_an_invalid_one_keeps_the_question_in_the_box() -> None:
    _, messages, *_ = submitted("A?", (), ["The Cup"], "2024-03-01", " 2024-03-31 ")[-1]
    assert "Only articles published in March 2024&#44; from The Cup" in texts(messages)[1]
    [step] = submitted("A?", (), [], "31/3/2024", "")
    assert step[0] == gr.skip()
    assert "is no date&#59; write it as YYYY&#45;MM&#45;DD" in step[1][1]["content"]
    label, problem = handlers_of().filters_changed([], "31/3/2024", "")
    assert "is no date" in problem
    label, problem = handlers_of().filters_changed(["The Cup"], "2024-03-01", "")
    assert (label["label"], problem) == ("Only articles published since 1 March 2024, from The Cup", "")


def test_an_answer_that_is_being_written_can_be_stopped() -> None:
    handlers, session, pages = handlers_of(Writer()), ChatSession(), []
    for _, messages, *_ in handlers.submitted("A?", (), session):
        pages.append(texts(messages)[1])
        if len(pages) == 4:
            handlers.stop_clicked(session)
    assert ["pq-live" in page for page in pages] == [False, True, True, True, False]
