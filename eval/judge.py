"""What a language model thinks of answers, asked in the words of LlamaIndex's evaluators.

An opinion, not a measurement: models prefer answers like their own, and change from version to version. Its figures
are named `judged_…` and stand apart.
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
"""Of LlamaIndex's CorrectnessEvaluator."""
_NUMBER = re.compile(r"\W*(?:score\W+)?(\d+(?:\.\d+)?)\b", re.IGNORECASE)
_VERDICT = re.compile(r"\W*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)
"""Only at the start of a reply: "there is no doubt" is no verdict, and "from 1 to 5" no score."""


@dataclass(slots=True)
class Judge:
    """Asks a model about answers, one after the other, the questions about one answer at once; a context manager."""

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
        """From 0 to 1: faithful, relevant, and correct where there is a gold answer; none of what was not answered.

        What the model replies to without a verdict has no score. Raises ModelError if it does not answer.
        """
        if row.abstained:
            return {}
        said = MARKER.sub("", row.answer)
        asked = {
            "judged_faithful": self._faithful(said, _contexts(row)),
            "judged_relevant": self._relevant(pair.question, said),
        }
        if pair.answers:
            asked["judged_correct"] = self._correct(pair, said)
        with llm_errors(self.model.name):
            found = self._runner.run(_all_of(asked))
        return {name: score for name, score in found.items() if score is not None}

    async def _faithful(self, said: str, contexts: Sequence[str]) -> float | None:
        """FaithfulnessEvaluator's question in one call; it would build an index with the process-wide Settings."""
        from llama_index.core.evaluation.faithfulness import DEFAULT_EVAL_TEMPLATE

        context = "\n\n".join(contexts)
        reply = await self._client.llm.apredict(DEFAULT_EVAL_TEMPLATE, query_str=said, context_str=context)
        found = _VERDICT.match(reply)
        return float(found[1].lower() == "yes") if found else None

    async def _relevant(self, question: str, said: str) -> float | None:
        from llama_index.core.evaluation import AnswerRelevancyEvaluator

        evaluator = AnswerRelevancyEvaluator(self._client.llm)
        score = (await evaluator.aevaluate(question, said)).score
        return score if score is not None and 0 <= score <= 1 else None

    async def _correct(self, pair: QAPair, said: str) -> float | None:
        from llama_index.core.evaluation import CorrectnessEvaluator

        evaluator = CorrectnessEvaluator(self._client.llm, parser_function=first_score)
        score = (await evaluator.aevaluate(pair.question, said, reference=" / ".join(pair.answers))).score
        return None if score is None else (score - WORST_SCORE) / (BEST_SCORE - WORST_SCORE)


def first_score(reply: str) -> tuple[float | None, str]:
    """The number a reply starts with if it is a score, and the reply; LlamaIndex's own parser fails on one line."""
    found = _NUMBER.match(reply)
    score = float(found[1]) if found else None
    return (score if score is not None and WORST_SCORE <= score <= BEST_SCORE else None), reply


async def _all_of(asked: Mapping[str, Coroutine[Any, Any, float | None]]) -> dict[str, float | None]:
    tasks = [asyncio.ensure_future(one) for one in asked.values()]
    try:
        return dict(zip(asked, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)  # after the first that failed; left alone, the others would go on asking


def _contexts(row: Row) -> list[str]:
    """The passages that were cited."""
    quotes = [cited.quote.strip() for cited in row.citations]
    return [hit.text for hit in row.hits if any(quote in hit.text for quote in quotes)]
