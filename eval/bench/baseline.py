"""LlamaIndex's plain recipe, to compare with: what its own tutorial builds, over the same weights and Chroma.

SentenceSplitter, HuggingFaceEmbedding, ChromaVectorStore and VectorStoreIndex as they come; only the chunks are as
small as MiniLM reads, and overlap as LlamaIndex's general setting has it. Needs the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.chroma import ChromaVectorStore

from eval.rows import RetrievedPassage
from rag.models.embedding import model_path
from rag.schema import Article

CHUNK_TOKENS, CHUNK_OVERLAP = 256, 20
"""More of a chunk all-MiniLM-L6-v2 would not read. The splitter's own overlap of 200 is meant for chunks of 1,024."""
TOP = 10


class PlainRecipe:
    """The recipe, with its store in a folder."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises ModelError if the packaged model is not as it should be."""
        own = CallbackManager([])  # each part would otherwise take that of the process-wide Settings
        self._splitter = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=CHUNK_OVERLAP, callback_manager=own)
        self._index = VectorStoreIndex.from_vector_store(
            ChromaVectorStore.from_params("recipe", persist_dir=str(folder)),
            HuggingFaceEmbedding(model_path(embedding_model), device="cpu", callback_manager=own),
            transformations=[self._splitter],
            callback_manager=own,
        )
        self._retriever = self._index.as_retriever(similarity_top_k=TOP)

    def ingest(self, articles: Iterable[Article]) -> int:
        """Split, embed and store articles, all at once as the tutorial does; returns the number of chunks."""
        documents = [Document(id_=a.id, text=a.text, metadata={"title": a.title}) for a in articles]
        chunks = self._splitter.get_nodes_from_documents(documents)
        self._index.insert_nodes(chunks)
        return len(chunks)

    def retrieve(self, question: str) -> list[RetrievedPassage]:
        """The nearest chunks, best first."""
        nodes = self._retriever.retrieve(question)
        return [
            RetrievedPassage(node.node.ref_doc_id or "", node.node.get_content(), node.score or 0.0) for node in nodes
        ]
