"""A question as it is looked up, in a language model's words: without its conversation, and in several parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from rag.errors import ModelError
from rag.language.question import MOST_SUB_QUESTIONS, compares
from rag.models import prompts
from rag.models.llm import LanguageModel
from rag.models.reasoning import ReasoningFilter
from rag.schema import Query, Turn
from rag.store.fulltext import FullTextIndex

TURNS = 4
"""Turns that are told again, the latest ones."""
LONGEST, FEWEST_WORDS = 300, 3
"""Characters, and words, of a question that a model writes."""
_NUMBERED = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):]|(?:the )?(?:rewritten )?question(?: \d+)?\s*:)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is looked up: a query, and the parts of its question, if it has some.

    `doing` is what is being done as long as it is not known; `failed` says why the model had no part in it.
    """

    query: Query
    parts: tuple[str, ...] = ()
    doing: str = ""
    failed: str = ""


def plan_query(model: LanguageModel, query: Query, history: Sequence[Turn], fulltext: FullTextIndex) -> Iterator[Plan]:
    """How a model would look a question up, in at most two requests; the last plan is the one.

    A question that leans on its conversation is written anew, and one that compares is taken apart. What the model
    writes counts only as far as its words are those of the question or the conversation.
    """
    plan = Plan(query)
    lines: list[str] = []
    try:
        if query.weight:
            for lines in _lines(model, prompts.rewrite(query.question, history[-TURNS:])):  # noqa: B007 - the last counts
                yield replace(plan, doing="Reading the conversation …")
            said = " ".join([query.question, *(f"{turn.question} {turn.answer}" for turn in history)])
            if fitting := _fitting(lines, said, fulltext)[:1]:
                plan = Plan(replace(query, question=fitting[0], weight=0.0, carried="", articles=()))
        if compares(plan.query.question):
            for lines in _lines(model, prompts.split(plan.query.question, MOST_SUB_QUESTIONS)):  # noqa: B007 - the last counts
                yield replace(plan, doing="Taking the question apart …")
            parts = _fitting(lines, plan.query.question, fulltext)[:MOST_SUB_QUESTIONS]
            plan = replace(plan, parts=tuple(parts) if len(parts) > 1 else ())
    except ModelError as error:
        plan = Plan(query, failed=str(error))
    yield plan


def _lines(model: LanguageModel, request: prompts.Prompt) -> Iterator[list[str]]:
    """The lines of a reply as far as it is there."""
    text, spoken = "", ReasoningFilter()
    yield []
    with closing(model.write(request)) as pieces:
        for piece in pieces:
            text += spoken.add(piece)
            yield text.splitlines()
            if len(text) > MOST_SUB_QUESTIONS * 2 * LONGEST:
                return


def _fitting(lines: Sequence[str], said: str, fulltext: FullTextIndex) -> list[str]:
    """The questions among a reply's lines that are about what was said."""
    known = set(fulltext.terms(said))
    found = (_NUMBERED.sub("", line).strip(" \t\"'“”*`") for line in lines)
    whole = (line for line in dict.fromkeys(found) if len(line) <= LONGEST and len(line.split()) >= FEWEST_WORDS)
    return [line for line in whole if line[0] not in "{[<" and known & set(fulltext.terms(line))]
