"""What a question asks for, and what a sentence offers."""

from __future__ import annotations

import pytest

from rag.language.question import (
    Asked,
    answering,
    asked,
    can_deny,
    denies,
    has_answer_type,
    named,
    says_not,
    starts_with_anaphor,
    sub_questions,
)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did the pier close?", Asked.DATE),
        ("In which year did it open?", Asked.DATE),
        ("How many ships wait?", Asked.NUMBER),
        ("What share of the hives was lost?", Asked.NUMBER),
        ("Who closed the pier?", Asked.NAME),
        ("Where will they meet?", Asked.PLACE),
        ("What did the harbor master tell the council?", Asked.SPEECH),
        ("According to Bay Times, is it open?", Asked.SPEECH),
        ("Why was the pier closed?", Asked.ANYTHING),
        ("", Asked.ANYTHING),
    ],
)
def test_expected_answer_types(question: str, kind: Asked) -> None:
    assert asked(question) is kind


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (Asked.DATE, "It closed on Tuesday.", "It closed after a storm."),
        (Asked.DATE, "It opened in 1987.", "It opened with 87 boats."),
        (Asked.NUMBER, "Nine ships wait.", "Ships wait."),
        (Asked.NAME, "The order came from Ada Moor.", "The order came from above."),
        (Asked.PLACE, "They will meet in Tolm.", "They will meet in secret."),
        (Asked.PLACE, "They will meet near Marchland.", "They will meet in March."),
        (Asked.PLACE, "They will meet at Cape Dolm next week.", "They agreed in the Tolmish file."),
        (Asked.SPEECH, "She said it was too late.", "It was too late."),
        (Asked.SPEECH, "“It is too late.”", "It was too late."),
    ],
)
def test_what_a_sentence_has_of_each_type(kind: Asked, yes: str, no: str) -> None:
    assert has_answer_type(yes, kind, "a question")
    assert not has_answer_type(no, kind, "a question")
    assert not has_answer_type(yes, Asked.ANYTHING, "a question")


def test_names_in_the_question_are_no_answer() -> None:
    assert not has_answer_type("A storm hit the pier of Tolm.", Asked.NAME, "Who hit Tolm?")
    assert not has_answer_type("They met in Tolm.", Asked.PLACE, "Where in Tolm did they meet?")


@pytest.mark.parametrize(
    ("question", "sentence", "said"),
    [
        ("When did the pier close?", "It closed on 5 March 2024 after a storm.", "5 March 2024"),
        ("When did the pier close?", "It closed on March 5, 2024, after a storm.", "March 5, 2024"),
        ("When did the pier close?", "It closed in 2024 after a storm.", "2024"),
        ("When did the pier close?", "It closed in March and again in May.", ""),
        ("When in March did it close?", "It closed in March.", ""),
        ("How many ships wait?", "Some 1,200 ships wait.", "1,200"),
        ("How much does it cost?", "It costs $3.5 million to mend.", "$3.5 million"),
        ("How many ships wait?", "Nine ships wait.", "Nine"),
        ("Who closed the pier?", "It was closed by Ada Moor on advice.", "Ada Moor"),
        ("Where will they meet?", "They will meet in Cape Dolm.", "Cape Dolm"),
        ("Why was it closed?", "It was closed in 2024.", ""),
        ("Who bought the clock in Times Square?", "It was bought by Time for the lobby.", "Time"),
        ("How many of the 1,200 boats sank?", "Only 200 sank.", "200"),
        ("How many of the 3.5 million votes counted?", "Only 3 million did.", "3 million"),
    ],
)
def test_the_answering_span(question: str, sentence: str, said: str) -> None:
    assert " ".join(sentence[start:end] for start, end in answering(sentence, asked(question), question)) == said


@pytest.mark.parametrize("question", ["Which ports are not open?", "Who never came?", "Why didn’t it open?"])
def test_negated_questions(question: str) -> None:
    assert denies(question)


@pytest.mark.parametrize(
    "question", ["Which ports are open?", "Who not only came, but stayed?", "Isn’t it open?", "did it not open"]
)
def test_questions_without_negation(question: str) -> None:
    assert not denies(question)


def test_explicit_and_implicit_denial() -> None:
    assert can_deny("It did not open.")
    assert can_deny("She refused to open it.")
    assert not can_deny("She opened it.")


def test_the_names_and_numbers_of_a_question() -> None:
    assert named("Did the Bay Council pay 1,200 crowns to Ada Moor-Lind in 1987?") == [
        "Bay", "Council", "1,200", "Ada", "Moor-Lind", "1987",
    ]  # fmt: skip
    assert named("NATO’s 10th report on “Dolm”?") == ["NATO", "10th", "Dolm"]
    assert named("Who paid?") == []


@pytest.mark.parametrize(
    "sentence",
    ["He said so.", "“They are late,” she said.", "It would close.", "This was too late.", "That letter came late."],
)
def test_sentences_that_begin_with_a_pronoun(sentence: str) -> None:
    assert starts_with_anaphor(sentence)


@pytest.mark.parametrize(
    "sentence", ["Ada Moor said so.", "Hers is a boat.", "Thistles grow there.", "Items are dear."]
)
def test_sentences_that_begin_without_a_pronoun(sentence: str) -> None:
    assert not starts_with_anaphor(sentence)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (
            "Did the port close on Monday before the bridge fell down?",
            ["Did the port close on Monday", "the bridge fell down"],
        ),
        (
            "Does the Bay Times report a storm, while the Dolm Post reports fair weather?",
            ["Does the Bay Times report a storm", "the Dolm Post reports fair weather"],
        ),
        ("Was the pier open before?", []),
        ("Who closed the pier?", []),
        ("", []),
    ],
)
def test_sub_questions(question: str, found: list[str]) -> None:
    assert sub_questions(question) == found


@pytest.mark.parametrize("text", ["No . Rower Seat", "No. 2 Ben Orr", "No . of entries: 14", "No. of entries"])
def test_no_before_a_number_is_not_a_negation(text: str) -> None:
    assert not says_not(text)
    assert not can_deny(text)


def test_no_is_a_negation() -> None:
    assert says_not("No pier closed.")
    assert says_not("They said no.")
