"""A language model's scores of answers, asked for in the words of LlamaIndex's evaluators.

They are opinions, not measurements: models prefer answers like their own, and change from version to version. Their
figures are named `judged_…` and shown apart.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from eval.pairs.schema import QAPair
from eval.rows import Row
from rag.answer.citations import MARKER
from rag.models.llm import LanguageModel, LLMClient
from rag.models.llm_errors import llm_errors

WORST_SCORE, BEST_SCORE = 1, 5
"""The scale of LlamaIndex's CorrectnessEvaluator."""
_NUMBER = re.compile(r"\W*(?:score\W+)?(\d+(?:\.\d+)?)\b", re.IGNORECASE)
_VERDICT = re.compile(r"\W*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)
"""Matched at the start of a reply: "there is no doubt" is not a verdict, nor "from 1 to 5" a score."""


@dataclass(slots=True)
class Judge:
    """Scores answers in turn, with concurrent requests about each answer; a context manager."""

    model: LanguageModel
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _client: LLMClient = field(init=False)

    def __post_init__(self) -> None:
        self._client = self.model.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._client.aclose()

    def scores(self, pair: QAPair, row: Row) -> dict[str, float]:
        """Scores from 0 to 1: faithful, relevant, and correct if there is a gold answer; none without an answer.

        A reply without a verdict gives no score. Raises ModelError if the model does not answer.
        """
        if row.abstained:
            return {}
        answer = MARKER.sub("", row.answer)
        requests = {
            "judged_faithful": self._faithful(answer, _contexts(row)),
            "judged_relevant": self._relevant(pair.question, answer),
        }
        if pair.answers:
            requests["judged_correct"] = self._correct(pair, answer)
        with llm_errors(self.model.name):
            scores = self._runner.run(_gather(requests))
        return {name: score for name, score in scores.items() if score is not None}

    async def _faithful(self, answer: str, contexts: Sequence[str]) -> float | None:
        """The prompt of FaithfulnessEvaluator, which itself would build an index with the process-wide Settings."""
        from llama_index.core.evaluation.faithfulness import DEFAULT_EVAL_TEMPLATE

        context = "\n\n".join(contexts)
        reply = await self._client.llm.apredict(DEFAULT_EVAL_TEMPLATE, query_str=answer, context_str=context)
        verdict = _VERDICT.match(reply)
        return float(verdict[1].lower() == "yes") if verdict else None

    async def _relevant(self, question: str, answer: str) -> float | None:
        from llama_index.core.evaluation import AnswerRelevancyEvaluator

        evaluator = AnswerRelevancyEvaluator(self._client.llm)
        score = (await evaluator.aevaluate(question, answer)).score
        return score if score is not None and 0 <= score <= 1 else None

    async def _correct(self, pair: QAPair, answer: str) -> float | None:
        from llama_index.core.evaluation import CorrectnessEvaluator

        evaluator = CorrectnessEvaluator(self._client.llm, parser_function=first_score)
        score = (await evaluator.aevaluate(pair.question, answer, reference=" / ".join(pair.answers))).score
        return None if score is None else (score - WORST_SCORE) / (BEST_SCORE - WORST_SCORE)


def first_score(reply: str) -> tuple[float | None, str]:
    """The score a reply starts with, if it does, and the reply; LlamaIndex's parser fails on a single line."""
    number = _NUMBER.match(reply)
    score = float(number[1]) if number else None
    return (score if score is not None and WORST_SCORE <= score <= BEST_SCORE else None), reply


async def _gather(requests: Mapping[str, Coroutine[Any, Any, float | None]]) -> dict[str, float | None]:
    tasks = [asyncio.ensure_future(request) for request in requests.values()]
    try:
        return dict(zip(requests, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)  # after a failure, the other requests would go on


def _contexts(row: Row) -> list[str]:
    """The passages that were cited."""
    quotes = [cited.quote.strip() for cited in row.citations]
    return [hit.text for hit in row.hits if any(quote in hit.text for quote in quotes)]
