"""What a conversation of the page does, over a chain that a reader computes in the head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Unpack

import gradio as gr
import pytest

from rag.chain import Scope
from rag.errors import IndexMissing, QuestionError, Stopped
from rag.feedback import feedback_file
from rag.schema import Answer, Citation, Filters, Hit, Passage, ReadFilter, Turn
from tests.ui.server.test_app import _no_open_loops, served  # noqa: F401
from ui.page import chat
from ui.page.chat import ChatController, ChatSession, turns
from ui.schema import Exchange

TEXT = "Tea is hot. Ice is cold."
TEA = Passage("d-0", "d", "", 0, 0, len(TEXT), TEXT, ((0, 11), (12, 24)), "Drinks", "The Cup", "", "", None)
READABLE = (
    ReadFilter("in March 2024", Filters(date(2024, 3, 1), date(2024, 3, 31))),
    ReadFilter("The Cup", Filters(sources=("The Cup <b>&",))),
)


@dataclass
class Shelf:
    """Stands for the index: one article of one passage."""

    folder: Path = Path("index")

    def counts(self) -> tuple[int, int]:
        return 1, 1

    def article(self, article_id: str) -> None:
        """No article is found to suggest a question of."""

    @property
    def fulltext(self) -> Shelf:
        return self

    def sources(self) -> list[str]:
        return ["The Cup", "The Saucer, daily", "<img src=x onerror=window.hacked=1>"]


@dataclass
class Parrot:
    """Stands for the chain: answers any question with both sentences of TEXT, one after the other.

    It holds to the filters of READABLE whose words stand in the question, unless they are lifted, and keeps in
    `asked` what it was asked.
    """

    index: Shelf = field(default_factory=Shelf)
    model: None = None
    asked: list[tuple[str, tuple[Turn, ...], Scope]] = field(default_factory=list)

    def without_llm(self) -> Parrot:
        return self

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        self.asked.append((question, tuple(history), scope))
        if "boom" in question:
            raise QuestionError("the question is too loud;\nask softly")
        tea, ice = Citation(1, TEA, "Tea is hot.", 0, 11), Citation(2, TEA, "Ice is cold.", 12, 24)
        read = tuple(r for r in READABLE if r.words in question and r.words not in scope.get("lifted", ()))
        told = Answer(question, "Tea is hot. [1]", (tea,), (Hit(TEA, 1.0),), "unsure" not in question, 0.9, read=read)
        yield told
        yield replace(told, text="Tea is hot. [1] Ice is cold. [2]", citations=(tea, ice), emphasis=((7, 10),))

    def ask(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Answer:
        return [*self.stream(question, history, **scope)][-1]


def texts(shown: chat.Shown) -> list[str]:
    return [message["content"] for message in shown[0]]


def test_the_answer_grows_in_the_page() -> None:
    pages = list(ChatController(Parrot()).reply("What is hot?", ()))  # type: ignore[arg-type]
    assert [len(texts(page)) for page in pages] == [2, 2, 2, 2]
    assert "Reading" in texts(pages[0])[1]
    assert [texts(page)[1].count("pq-marker") for page in pages] == [0, 1, 2, 2]
    assert [page[1].count("<mark") for page in pages] == [0, 1, 2, 2]
    assert [page[2][0].done for page in pages] == [False, False, False, True]


def test_the_box_is_emptied_once() -> None:
    steps = list(ChatController(Parrot()).reply_to_box("What is hot?", (), ChatSession()))  # type: ignore[arg-type]
    assert [step[0] for step in steps] == ["", gr.skip(), gr.skip(), gr.skip()]


def test_a_conversation_keeps_its_turns() -> None:
    first = list(ChatController(Parrot()).reply("A?", ()))[-1]  # type: ignore[arg-type]
    second = list(ChatController(Parrot()).reply("B?", first[2]))[-1]  # type: ignore[arg-type]
    assert [exchange.question for exchange in second[2]] == ["A?", "B?"]
    assert 'href="#pq-q-1-1"' in texts(second)[1]
    assert 'href="#pq-q-2-1"' in texts(second)[3]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_changes_nothing(question: str) -> None:
    assert list(ChatController(Parrot()).reply(question, (Exchange("A?"),))) == []  # type: ignore[arg-type]


def test_an_error_is_one_line_of_the_conversation() -> None:
    controller = ChatController(Parrot())  # type: ignore[arg-type]
    failed = list(controller.reply("boom", ()))[-1]
    assert "the question is too loud&#59; ask softly" in texts(failed)[1]
    assert [e.error for e in failed[2]] == ["the question is too loud;\nask softly"]
    assert "pq-marker" in texts(list(controller.reply("And now?", failed[2]))[-1])[3]


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), MemoryError()])
def test_an_answer_that_fails_for_no_known_reason_is_told_and_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Parrot):
        def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
            yield next(super().stream(question, history, **scope))
            raise error

    session = ChatSession()
    failed = list(ChatController(Broken()).reply_to_box("What is hot?", (), session))[-1]  # type: ignore[arg-type]
    assert "something unexpected went wrong" in texts(failed[1:])[1]
    assert "secret" not in str(failed)
    assert failed[3][-1].done
    assert not session.busy
    [record] = caplog.records
    assert record.exc_info
    assert record.exc_info[1] is error


def test_a_missing_index_is_told_before_the_first_question() -> None:
    class Bare(Shelf):
        def counts(self) -> tuple[int, int]:
            raise IndexMissing("no index; run: pullquote ingest")

    assert "no index" in ChatController(Parrot(Bare())).empty()  # type: ignore[arg-type]
    assert "1 article (1 passage)" in ChatController(Parrot()).empty()  # type: ignore[arg-type]


def rated(folder: Path, conversation: tuple[Exchange, ...], **data: Any) -> list[dict[str, Any]]:
    ChatController(Parrot(Shelf(folder))).rate(conversation, ChatSession(), gr.LikeData(None, {"value": "", **data}))  # type: ignore[arg-type]
    file = feedback_file(folder)
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_a_rating_is_written_down_with_what_was_rated(tmp_path: Path) -> None:
    first = list(ChatController(Parrot()).reply("A?", ()))[-1]  # type: ignore[arg-type]
    talk = list(ChatController(Parrot()).reply("B?", first[2]))[-1][2]  # type: ignore[arg-type]
    [entry] = rated(tmp_path / "index", talk, index=3, liked=False)
    assert (entry["question"], entry["rating"]) == ("B?", "down")
    assert [turn["question"] for turn in entry["history"]] == ["A?"]
    assert [cited["quote"] for cited in entry["citations"]] == ["Tea is hot.", "Ice is cold."]
    assert len(rated(tmp_path / "index", talk, index=1, liked=True)) == 2


def test_what_is_no_rating_is_not_written_down(tmp_path: Path) -> None:
    talk = list(ChatController(Parrot()).reply("A?", ()))[-1][2]  # type: ignore[arg-type]
    assert rated(tmp_path / "index", talk, index=1, liked="") == [], "a thumb taken back"
    assert rated(tmp_path / "index", talk, index=7, liked=True) == [], "no such answer"
    assert rated(tmp_path / "index", (Exchange("A?", error="boom"),), index=1, liked=True) == []


def test_a_rating_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    talk = list(ChatController(Parrot()).reply("A?", ()))[-1][2]  # type: ignore[arg-type]
    with pytest.raises(gr.Error, match="cannot write feedback"):
        rated(tmp_path / "nowhere" / "index", talk, index=1, liked=True)


def click(
    controller: ChatController, conversation: chat.Conversation, chip: str, session: ChatSession | None = None
) -> list[chat.Shown]:
    return list(
        controller.reply_without(
            conversation, session or ChatSession(), gr.SelectData(None, {"index": 0, "value": chip})
        )
    )


def test_the_history_is_what_was_answered_and_cited() -> None:
    parrot = Parrot()
    controller, talk = ChatController(parrot), ()  # type: ignore[arg-type]
    for question in ("A?", "boom", "unsure?", "B?"):
        talk = list(controller.reply(question, talk))[-1][2]
    assert [history for _, history, _ in parrot.asked][2:] == [
        (Turn("A?", "Tea is hot. [1] Ice is cold. [2]", ("d",)),),
        (Turn("A?", "Tea is hot. [1] Ice is cold. [2]", ("d",)), Turn("unsure?", "Tea is hot. [1] Ice is cold. [2]")),
    ]


def test_a_chip_asks_again_without_its_words() -> None:
    parrot = Parrot()
    controller = ChatController(parrot)  # type: ignore[arg-type]
    talk = list(controller.reply("A?", ()))[-1][2]
    talk = list(controller.reply("What did The Cup say in March 2024?", talk, ["The Cup"], "2024-01-02"))[-1][2]
    pages = click(controller, talk, "2 in March 2024")
    assert [len(page[2]) for page in pages] == [2, 2, 2, 2], "replaced, not appended"
    talk = pages[-1][2]
    question, history, scope = parrot.asked[-1]
    assert (question, scope["lifted"]) == ("What did The Cup say in March 2024?", ("in March 2024",))
    assert [turn.question for turn in history] == ["A?"]
    assert scope["filters"] == Filters(date(2024, 1, 2), None, ("The Cup",)), "what was chosen still holds"
    assert [option["value"] for option in pages[-1][0][-1]["options"]] == ["2 The Cup"]
    talk = click(controller, talk, "2 The Cup")[-1][2]
    assert parrot.asked[-1][2]["lifted"] == ("in March 2024", "The Cup")
    list(controller.reply("And in March 2024?", talk))
    assert parrot.asked[-1][2] == {"filters": Filters(), "lifted": ()}, "a new question starts with nothing lifted"


def test_a_chip_that_is_out_of_date_does_nothing() -> None:
    controller = ChatController(Parrot())  # type: ignore[arg-type]
    assert click(controller, (), "1 in March 2024") == []
    *_, growing, done = (page[2] for page in controller.reply("What was in March 2024?", ()))
    assert click(controller, growing, "1 in March 2024") == [], "it is still coming in"
    for value in ("2 in March 2024", "1 The Cup", "", None, ["1 in March 2024"], {}):
        assert click(controller, done, value) == []  # type: ignore[arg-type]
    followed = list(controller.reply("And in March 2024?", done))[-1][2]
    assert click(controller, followed, "1 in March 2024") == [], "another question came"
    lifted = click(controller, done, "1 in March 2024")[-1][2]
    assert click(controller, lifted, "1 in March 2024") == [], "a second click"


def test_one_event_at_a_time_writes_into_the_page() -> None:
    controller, session = ChatController(Parrot()), ChatSession()  # type: ignore[arg-type]
    talk = list(controller.reply("What was in March 2024?", ()))[-1][2]
    event = gr.SelectData(None, {"index": 0, "value": "1 in March 2024"})
    retried = controller.reply_without(talk, session, event)
    halfway = next(retried)[2]
    assert click(controller, talk, "1 in March 2024", session) == [], "a chip waits for nobody"
    asked = controller.reply_to_box("A?", halfway, session)
    next(asked)
    assert list(retried) == [chat.NOTHING], "a question takes the floor"
    assert [e.question for e in list(asked)[-1][-1]] == ["What was in March 2024?", "A?"]
    assert session.holder is None
    asked = controller.reply_to_box("B?", (), session)
    next(asked)
    assert controller.start_anew(session)[2] == ()
    assert list(asked) == [(gr.skip(), *chat.NOTHING)], "nothing comes into a new conversation"


def test_nobody_waits_for_what_to_ask_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "follow_ups", lambda *_: ("And then?",))
    controller, session = ChatController(Parrot()), ChatSession()  # type: ignore[arg-type]
    assert list(controller.reply_to_click("A?", (), session))[-1][2][-1].next == ("And then?",)
    for click_it in (
        lambda talk: controller.ask_again(talk, session),
        lambda talk: controller.reply_to_click("B?", talk, session),
        lambda talk: iter([controller.take_back(talk, session)[1:]]),
    ):
        coming = controller.reply_to_click("A?", (), session)
        done = next(shown for shown in coming if shown[2][-1].done)[2]
        assert next(click_it(done)) != chat.NOTHING
        assert next(coming) == chat.NOTHING, "it comes too late"


def test_a_question_that_was_cut_off_says_so() -> None:
    controller = ChatController(Parrot())  # type: ignore[arg-type]
    half = list(controller.reply("A?", ()))[1]
    talk = list(controller.reply("B?", half[2]))[-1]
    assert "interrupted" in texts(talk)[1]
    assert [bool(exchange.answer) for exchange in talk[2]] == [False, True]


def test_filters_that_were_chosen_are_held_to() -> None:
    parrot = Parrot()
    talk = list(ChatController(parrot).reply("A?", (), ["The Cup"], "2024-03-01", " 2024-03-31 "))[-1]  # type: ignore[arg-type]
    assert parrot.asked[-1][2]["filters"] == Filters(date(2024, 3, 1), date(2024, 3, 31), ("The Cup",))
    assert "Only articles published in March 2024&#44; from The Cup" in texts(talk)[1]


def test_a_date_that_is_none_is_told_and_the_question_stays_in_the_box() -> None:
    parrot = Parrot()
    controller = ChatController(parrot)  # type: ignore[arg-type]
    [step] = controller.reply_to_box("A?", (), ChatSession(), [], "31/3/2024", "")
    assert step[0] == gr.skip()
    assert "is no date&#59; write it as YYYY&#45;MM&#45;DD" in step[1][1]["content"]
    assert parrot.asked == []
    label, problem = controller.chosen([], "31/3/2024", "")
    assert "is no date" in problem
    label, problem = controller.chosen(["The Cup"], "2024-03-01", "")
    assert (label["label"], problem) == ("Only articles published since 1 March 2024, from The Cup", "")


def test_the_sources_are_those_of_the_index() -> None:
    class Bare(Shelf):
        def sources(self) -> list[str]:
            raise IndexMissing("no index; run: pullquote ingest")

    assert ChatController(Parrot()).opened()[1]["choices"] == Shelf().sources()  # type: ignore[arg-type]
    assert ChatController(Parrot(Bare())).opened()[1]["visible"] is False  # type: ignore[arg-type]


@dataclass
class Writer(Parrot):
    """A chain whose model writes a word at a time and never comes to an end."""

    closed: int = 0

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        told = Answer(question, "", (), (), grounded=False, confidence=0.9, written_by="tiny", doing="tiny reads …")
        yield told
        try:
            for number in range(10_000):
                words = f"Tea is hot{' indeed' * number}"
                yield replace(told, text=words, grounded=True, doing="", seconds=float(number))
        finally:
            self.closed += 1


def stopped_at(number: int, writer: Writer) -> list[chat.Shown]:
    """The page as an answer grows that a reader stops at its state of this number."""
    session, controller = ChatSession(), ChatController(writer)  # type: ignore[arg-type]
    pages = []
    for page in controller.reply("A?", (), session=session):
        pages.append(page)
        if len(pages) == number:
            controller.stop(session)
    return pages


def test_an_answer_under_way_can_be_stopped_and_keeps_its_words() -> None:
    writer = Writer()
    pages = stopped_at(4, writer)
    assert ["pq-live" in texts(page)[1] for page in pages] == [False, True, True, True, False]
    last = pages[-1][2][0]
    assert last.answer is not None
    assert last.answer.text.startswith("Tea is hot")
    assert (last.answer.notice, last.done, writer.closed) == (chat.STOPPED, True, 1)
    assert turns(pages[-1][2])[0].answer.startswith("Tea is hot"), "nothing is lost"


def test_one_stopped_before_its_first_word_says_so() -> None:
    pages = stopped_at(1, Writer())
    assert pages[-1][2][0].error == chat.STOPPED_EARLY


@dataclass
class Finishing(Writer):
    """One that tells what is finished when it is stopped."""

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        told = Answer(question, "Tea is", (), (), grounded=True, confidence=0.9, written_by="tiny")
        try:
            while True:
                yield told
        except Stopped:
            yield replace(told, text="Tea is hot. [1] Ice …", citations=(Citation(1, TEA, "Tea is hot.", 0, 11),))


def test_one_that_is_stopped_shows_what_is_finished() -> None:
    pages = stopped_at(1, Finishing())
    last = pages[-1][2][0]
    assert last.answer
    assert (last.answer.text, last.done) == ("Tea is hot. [1] Ice …", True)
    assert "1 quote from 1 article" in texts(pages[-1])[1]


def test_a_new_conversation_ends_the_models_work() -> None:
    writer, session = Writer(), ChatSession()
    controller = ChatController(writer)  # type: ignore[arg-type]
    steps = controller.reply_to_box("A?", (), session)
    next(steps)
    next(steps)
    controller.start_anew(session)
    assert list(steps) == [(gr.skip(), *chat.NOTHING)]
    assert writer.closed == 1


def test_the_first_word_is_shown_at_once_and_the_rest_not_too_often() -> None:
    pages = [page for page, _ in zip(ChatController(Writer()).reply("A?", ()), range(5), strict=False)]  # type: ignore[arg-type]
    shown = [page[2][0].answer for page in pages if page[2][0].answer]
    assert [answer.text for answer in shown[:2]] == ["", "Tea is hot"]
    assert all(after.seconds - before.seconds > 1 for before, after in pairwise(shown[1:]))
