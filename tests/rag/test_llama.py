"""The chain as LlamaIndex objects."""

from __future__ import annotations

import asyncio

import pytest

from rag.chain import Chain
from rag.schema import Answer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]

QUESTION = "What did Iraq tell the Security Council?"


def test_a_retriever(sample_chain: Chain) -> None:
    from rag.llama import PullquoteRetriever

    nodes = PullquoteRetriever(sample_chain).retrieve(QUESTION)
    assert [node.node.node_id for node in nodes] == [hit.passage.id for hit in sample_chain.retrieve(QUESTION)]
    assert nodes[0].node.metadata["title"]
    assert nodes[0].score


def test_a_query_engine(sample_chain: Chain) -> None:
    from rag.llama import PullquoteQueryEngine

    engine = PullquoteQueryEngine(sample_chain)
    for response in (engine.query(QUESTION), asyncio.run(engine.aquery(QUESTION))):
        answer = response.metadata["answer"]
        assert isinstance(answer, Answer)
        assert str(response) == answer.text
        assert len(response.source_nodes) == len(answer.hits)
