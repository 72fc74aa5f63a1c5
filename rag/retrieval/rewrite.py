"""Query rewriting by a language model: a follow-up becomes self-contained, a comparison is split."""

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
from rag.store.derived.fulltext import FullTextIndex

TURNS = 4
"""The latest turns, which the prompt repeats."""
LONGEST, FEWEST_WORDS = 300, 3
"""The most characters and the fewest words of a question that a model may write."""
_LIST_MARKER = re.compile(
    r"^\s*(?:[-*•]|\(?\d{1,2}[.):]|(?:the )?(?:rewritten )?question(?: \d+)?\s*:)\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is retrieved: a query, and the parts of its question if the model split it.

    `doing` is the step in progress while the plan is not final; `failed` is why the model contributed nothing.
    """

    query: Query
    parts: tuple[str, ...] = ()
    doing: str = ""
    failed: str = ""


def plan_query(model: LanguageModel, query: Query, history: Sequence[Turn], fulltext: FullTextIndex) -> Iterator[Plan]:
    """Let a model rewrite and split a question, in at most two requests; the last plan yielded is the final one.

    A follow-up is rewritten to stand alone, and a comparison is split. Of what the model writes, only questions that
    share terms with the question or the conversation are used.
    """
    plan = Plan(query)
    lines: list[str] = []
    try:
        if query.weight:
            for lines in _lines(model, prompts.rewrite(query.question, history[-TURNS:])):  # noqa: B007 - the last one is used
                yield replace(plan, doing="Reading the conversation …")
            context = " ".join([query.question, *(f"{turn.question} {turn.answer}" for turn in history)])
            if rewritten := _on_topic(lines, context, fulltext)[:1]:
                plan = Plan(replace(query, question=rewritten[0], weight=0.0, carried="", articles=()))
        if compares(plan.query.question):
            for lines in _lines(model, prompts.split(plan.query.question, MOST_SUB_QUESTIONS)):  # noqa: B007 - the last one is used
                yield replace(plan, doing="Splitting the question …")
            parts = _on_topic(lines, plan.query.question, fulltext)[:MOST_SUB_QUESTIONS]
            plan = replace(plan, parts=tuple(parts) if len(parts) > 1 else ())
    except ModelError as error:
        plan = Plan(query, failed=str(error))
    yield plan


def _lines(model: LanguageModel, request: prompts.Prompt) -> Iterator[list[str]]:
    """The lines of a reply, after each piece of it; reasoning is left out."""
    text, reasoning = "", ReasoningFilter()
    yield []
    with closing(model.write(request)) as pieces:
        for piece in pieces:
            text += reasoning.add(piece)
            yield text.splitlines()
            if len(text) > MOST_SUB_QUESTIONS * 2 * LONGEST:
                return


def _on_topic(lines: Sequence[str], context: str, fulltext: FullTextIndex) -> list[str]:
    """The lines of a reply that are questions and share a term with the context."""
    known = set(fulltext.terms(context))
    stripped = (_LIST_MARKER.sub("", line).strip(" \t\"'“”*`") for line in lines)
    questions = (line for line in dict.fromkeys(stripped) if len(line) <= LONGEST and len(line.split()) >= FEWEST_WORDS)
    return [line for line in questions if line[0] not in "{[<" and known & set(fulltext.terms(line))]
