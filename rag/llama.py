"""The chain as a LlamaIndex retriever and query engine.

from llama_index.core.query_engine import RouterQueryEngine
engine = PullquoteQueryEngine(Chain.from_config(Config.load()))
"""

from __future__ import annotations

import asyncio

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag.chain import Chain
from rag.schema import Hit


class PullquoteRetriever(BaseRetriever):
    """Question → nodes, best first, with title, source, date and URL of their article."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(callback_manager=CallbackManager([]))
        self._chain = chain

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [_node(hit) for hit in self._chain.retrieve(query_bundle.query_str)]


class PullquoteQueryEngine(BaseQueryEngine):
    """Question → response; `metadata["answer"]` is the `Answer` with its citations."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(callback_manager=CallbackManager([]))
        self._chain = chain

    def _query(self, query_bundle: QueryBundle) -> Response:
        answer = self._chain.ask(query_bundle.query_str)
        nodes = [_node(hit) for hit in answer.hits]
        return Response(response=answer.text, source_nodes=nodes, metadata={"answer": answer})

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        return await asyncio.to_thread(self._query, query_bundle)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def _node(hit: Hit) -> NodeWithScore:
    passage = hit.passage
    metadata = {
        "article_id": passage.article_id,
        "title": passage.title,
        "source": passage.source,
        "url": passage.url,
        "published": passage.published.isoformat() if passage.published else "",
    }
    node = TextNode(
        id_=passage.id,
        text=passage.text,
        metadata=metadata,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
    )
    return NodeWithScore(node=node, score=hit.score)
