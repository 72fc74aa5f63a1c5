"""What a question asks for, and what a sentence offers."""

from __future__ import annotations

import pytest

from rag.question import Asked, asked, offers


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
def test_what_is_asked_for(question: str, kind: Asked) -> None:
    assert asked(question) is kind


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (Asked.DATE, "It closed on Tuesday.", "It closed after a storm."),
        (Asked.DATE, "It opened in 1987.", "It opened with 87 boats."),
        (Asked.NUMBER, "Nine ships wait.", "Ships wait."),
        (Asked.NAME, "The order came from Ada Moor.", "The order came from above."),
        (Asked.PLACE, "They will meet in Tolm.", "They will meet in secret."),
        (Asked.PLACE, "They will meet at Cape Dolm next week.", "They agreed in the Tolmish file."),
        (Asked.SPEECH, "She said it was too late.", "It was too late."),
        (Asked.SPEECH, "“It is too late.”", "It was too late."),
    ],
)
def test_what_a_sentence_offers(kind: Asked, yes: str, no: str) -> None:
    assert offers(yes, kind, "a question")
    assert not offers(no, kind, "a question")
    assert not offers(yes, Asked.ANYTHING, "a question")


def test_the_questions_own_names_are_no_answer() -> None:
    assert not offers("A storm hit the pier of Tolm.", Asked.NAME, "Who hit Tolm?")
    assert not offers("They met in Tolm.", Asked.PLACE, "Where in Tolm did they meet?")
