"""The logic of a chat, over a chain that a reader computes in the head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Unpack, cast

import pytest

from rag.chain import Scope
from rag.errors import IndexMissing, ReadError, Stopped
from rag.feedback import feedback_file
from rag.schema import Answer, Citation, Filters, Turn
from tests.support.parrot import TEA, OneArticle, Parrot
from ui.schema import Conversation, Exchange
from ui.services import chat
from ui.services.chat import AskOptions, ChatController, ChatSession, Openers, turns

DEFAULTS = AskOptions()


def controller_of(chain: Parrot | None = None, **given: Any) -> ChatController:
    return ChatController(cast("Any", chain or Parrot()), **given)


def ask(
    controller: ChatController,
    question: str,
    conversation: Conversation = (),
    options: AskOptions = DEFAULTS,
) -> list[Conversation]:
    """The conversation as the answer grows, in a session of its own."""
    steps = list(controller.ask(question, conversation, ChatSession(), options))
    return [step for step in steps if step is not None]


def test_an_answer_grows_and_is_done_at_the_end() -> None:
    steps = [step[0] for step in ask(controller_of(), "What is hot?")]
    assert [len(step.answer.citations) if step.answer else 0 for step in steps] == [0, 1, 2, 2]
    assert [step.done for step in steps] == [False, False, False, True]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_changes_nothing(question: str) -> None:
    assert ask(controller_of(), question, (Exchange("A?"),)) == []


def test_an_expected_error_becomes_the_answers_error() -> None:
    failed = ask(controller_of(), "boom")[-1]
    assert [exchange.error for exchange in failed] == ["the question is too loud;\nask softly"]
    assert ask(controller_of(), "And now?", failed)[-1][1].answer


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), MemoryError()])
def test_an_unexpected_error_is_reported_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Parrot):
        def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
            yield next(super().stream(question, history, **scope))
            raise error

    session = ChatSession()
    [*_, failed] = controller_of(Broken()).ask("What is hot?", (), session)
    assert failed
    assert "something unexpected went wrong" in failed[-1].error
    assert "secret" not in str(failed)
    assert failed[-1].done
    assert not session.busy
    [record] = caplog.records
    assert record.exc_info
    assert record.exc_info[1] is error


def rated(folder: Path, conversation: Conversation, turn: int, *, liked: bool) -> list[dict[str, Any]]:
    controller_of(Parrot(OneArticle(folder))).rate(conversation, turn, ChatSession(), liked=liked)
    file = feedback_file(folder)
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_a_rating_is_saved_with_the_answer_and_its_history(tmp_path: Path) -> None:
    talk = ask(controller_of(), "B?", ask(controller_of(), "A?")[-1])[-1]
    [entry] = rated(tmp_path / "index", talk, 1, liked=False)
    assert (entry["question"], entry["rating"]) == ("B?", "down")
    assert [turn["question"] for turn in entry["history"]] == ["A?"]
    assert [cited["quote"] for cited in entry["citations"]] == ["Tea is hot.", "Ice is cold."]
    assert len(rated(tmp_path / "index", talk, 0, liked=True)) == 2


def test_only_an_answer_can_be_rated(tmp_path: Path) -> None:
    talk = ask(controller_of(), "A?")[-1]
    assert rated(tmp_path / "index", talk, 3, liked=True) == [], "no such answer"
    assert rated(tmp_path / "index", (Exchange("A?", error="boom"),), 0, liked=True) == []


def test_a_rating_that_cannot_be_saved_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot write feedback"):
        rated(tmp_path / "nowhere" / "index", ask(controller_of(), "A?")[-1], 0, liked=True)


def test_the_history_of_a_question_is_what_was_answered_and_cited() -> None:
    parrot, talk = Parrot(), cast("Conversation", ())
    for question in ("A?", "boom", "unsure?", "B?"):
        talk = ask(controller_of(parrot), question, talk)[-1]
    first = Turn("A?", "Tea is hot. [1] Ice is cold. [2]", ("d",))
    assert [history for _, history, _ in parrot.asked][2:] == [
        (first,),
        (first, Turn("unsure?", "Tea is hot. [1] Ice is cold. [2]")),
    ]


def test_a_question_is_asked_again_without_words_read_as_filters() -> None:
    parrot = Parrot()
    controller = controller_of(parrot)
    talk = ask(controller, "A?")[-1]
    talk = ask(controller, "What did The Cup say in March 2024?", talk, AskOptions(["The Cup"], "2024-01-02"))[-1]
    steps = [step for step in controller.ask_again(talk, ChatSession(), "in March 2024") if step]
    assert [len(step) for step in steps] == [2, 2, 2, 2], "replaced, not appended"
    question, history, scope = parrot.asked[-1]
    assert (question, scope["lifted"]) == ("What did The Cup say in March 2024?", ("in March 2024",))
    assert [turn.question for turn in history] == ["A?"]
    assert scope["filters"] == Filters(date(2024, 1, 2), None, ("The Cup",)), "what was chosen still holds"
    [*_, again] = controller.ask_again(steps[-1], ChatSession(), "The Cup")
    assert again
    assert parrot.asked[-1][2]["lifted"] == ("in March 2024", "The Cup")
    ask(controller, "And in March 2024?", again)
    assert parrot.asked[-1][2] == {"filters": Filters(), "lifted": ()}, "a new question starts with nothing lifted"


def test_only_one_request_at_a_time_changes_the_conversation() -> None:
    controller, session = controller_of(), ChatSession()
    talk = ask(controller, "What was in March 2024?")[-1]
    retried = controller.ask_again(talk, session, "in March 2024")
    halfway = next(retried)
    assert halfway
    assert list(controller.ask_again(talk, session)) == [], "asking again interrupts nothing"
    assert list(controller.ask("B?", talk, session, interrupt=False)) == []
    asked = controller.ask("A?", halfway, session)
    next(asked)
    assert list(retried) == [None], "a question takes over"
    [*_, answered] = asked
    assert [exchange.question for exchange in answered or ()] == ["What was in March 2024?", "A?"]
    assert session.owner is None
    asked = controller.ask("B?", (), session)
    next(asked)
    session.begin()
    assert list(asked) == [None], "nothing comes into a new conversation"


def test_suggestions_that_are_still_to_come_keep_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "follow_ups", lambda *_: ("And then?",))
    controller, session = controller_of(), ChatSession()
    [*_, last] = controller.ask("A?", (), session, interrupt=False)
    assert last
    assert last[-1].next == ("And then?",)
    for act in (
        lambda talk: list(controller.ask_again(talk, session)),
        lambda talk: list(controller.ask("B?", talk, session, interrupt=False)),
        lambda talk: controller.take_back(talk, session),
    ):
        coming = controller.ask("A?", (), session, interrupt=False)
        done = next(step for step in coming if step and step[-1].done)
        assert act(done)
        assert next(coming) is None, "it comes too late"


def test_a_question_that_was_interrupted_says_so() -> None:
    half = ask(controller_of(), "A?")[1]
    talk = ask(controller_of(), "B?", half)[-1]
    assert [exchange.error for exchange in talk] == [chat.INTERRUPTED, ""]
    assert [bool(exchange.answer) for exchange in talk] == [False, True]


def test_chosen_filters_are_applied() -> None:
    parrot = Parrot()
    ask(controller_of(parrot), "A?", (), AskOptions(["The Cup"], "2024-03-01", " 2024-03-31 ", ["d"]))
    assert parrot.asked[-1][2]["filters"] == Filters(date(2024, 3, 1), date(2024, 3, 31), ("The Cup",), ("d",))


def test_an_invalid_date_is_reported_and_nothing_is_asked() -> None:
    parrot = Parrot()
    [[exchange]] = ask(controller_of(parrot), "A?", (), AskOptions(after="31/3/2024"))
    assert "write it as YYYY-MM-DD" in exchange.error
    assert parrot.asked == []


def test_the_writer_is_the_chosen_one() -> None:
    plain, tiny = Parrot(), Parrot()
    controller = controller_of(plain, writers={"The articles": plain, "tiny": tiny})
    for question, writer in (("A?", "tiny"), ("B?", "The articles"), ("C?", "gone")):
        ask(controller, question, (), AskOptions(writer=writer))
    assert [[question for question, _, _ in chain.asked] for chain in (plain, tiny)] == [["B?", "C?"], ["A?"]]


def test_the_sources_are_those_of_the_index() -> None:
    class Missing(OneArticle):
        def sources(self) -> list[str]:
            raise IndexMissing("no index; run: pullquote ingest")

    assert controller_of().sources() == OneArticle().sources()
    assert controller_of(Parrot(Missing())).sources() == []


def test_openers_are_the_samples_if_there_are_any() -> None:
    @dataclass
    class Changing(OneArticle):
        generation: int = 1

    index = Changing()
    questions = Openers(cast("Any", Parrot(index)), lambda _: [f"Of generation {index.generation}?"])
    assert [questions(), questions()] == [["Of generation 1?"]] * 2
    index.generation, questions._questions._not_before = 2, 0.0
    assert questions() == ["Of generation 2?"]


@dataclass
class Writer(Parrot):
    """A chain whose model writes a word at a time and never comes to an end."""

    closed: int = 0

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        reading = Answer(question, "", (), (), grounded=False, confidence=0.9, written_by="tiny", doing="tiny reads …")
        yield reading
        try:
            for number in range(10_000):
                words = f"Tea is hot{' indeed' * number}"
                yield replace(reading, text=words, grounded=True, doing="", seconds=float(number))
        finally:
            self.closed += 1


def stopped_at(number: int, writer: Writer) -> list[Exchange]:
    """The exchange as an answer grows that is stopped at its state of this number."""
    session = ChatSession()
    states = []
    for step in controller_of(writer).ask("A?", (), session):
        assert step
        states.append(step[0])
        session.stopped = len(states) >= number
    return states


def test_an_answer_can_be_stopped_and_keeps_its_words() -> None:
    writer = Writer()
    states = stopped_at(4, writer)
    assert states[-1].answer is not None
    assert states[-1].answer.text.startswith("Tea is hot")
    assert (states[-1].answer.notice, states[-1].done, writer.closed) == (chat.STOPPED, True, 1)
    assert turns((states[-1],))[0].answer.startswith("Tea is hot"), "nothing is lost"


def test_an_answer_that_is_stopped_before_its_first_word_says_so() -> None:
    assert stopped_at(1, Writer())[-1].error == chat.STOPPED_EARLY


@dataclass
class Finishing(Writer):
    """A writer that returns its finished sentences when it is stopped."""

    def stream(self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]) -> Iterator[Answer]:
        begun = Answer(question, "Tea is", (), (), grounded=True, confidence=0.9, written_by="tiny")
        try:
            while True:
                yield begun
        except Stopped:
            yield replace(begun, text="Tea is hot. [1] Ice …", citations=(Citation(1, TEA, "Tea is hot.", 0, 11),))


def test_a_chain_may_finish_its_answer_when_it_is_stopped() -> None:
    last = stopped_at(1, Finishing())[-1]
    assert last.answer
    assert (last.answer.text, len(last.answer.citations), last.done) == ("Tea is hot. [1] Ice …", 1, True)


def test_a_new_conversation_ends_the_models_work() -> None:
    writer, session = Writer(), ChatSession()
    steps = controller_of(writer).ask("A?", (), session)
    next(steps)
    next(steps)
    session.begin()
    assert list(steps) == [None]
    assert writer.closed == 1


def test_the_first_word_is_shown_at_once_and_the_rest_not_too_often() -> None:
    steps = controller_of(Writer()).ask("A?", (), ChatSession())
    states = [step[0] for step, _ in zip(steps, range(5), strict=False) if step]
    shown = [state.answer for state in states if state.answer]
    assert [answer.text for answer in shown[:2]] == ["", "Tea is hot"]
    assert all(after.seconds - before.seconds > 1 for before, after in pairwise(shown[1:]))
