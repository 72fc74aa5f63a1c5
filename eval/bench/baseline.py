"""LlamaIndex's plain recipe as a baseline: what its tutorial builds, over the same weights and Chroma.

SentenceSplitter, HuggingFaceEmbedding, ChromaVectorStore and VectorStoreIndex with their defaults, except that the
chunks are as small as MiniLM reads, with the overlap of LlamaIndex's general setting. Needs the extra `bench`.
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
from rag.models.model_files import model_path
from rag.schema import Article

CHUNK_TOKENS, CHUNK_OVERLAP = 256, 20
"""all-MiniLM-L6-v2 reads no more of a chunk. The splitter's default overlap of 200 is meant for chunks of 1,024."""
TOP = 10


class PlainRecipe:
    """The recipe, with its store in a folder."""

    def __init__(self, folder: Path, embedding_model: str) -> None:
        """Raises ModelError if the packaged model is damaged."""
        callbacks = CallbackManager([])  # the default would be that of the process-wide Settings
        self._splitter = SentenceSplitter(
            chunk_size=CHUNK_TOKENS, chunk_overlap=CHUNK_OVERLAP, callback_manager=callbacks
        )
        self._index = VectorStoreIndex.from_vector_store(
            ChromaVectorStore.from_params("recipe", persist_dir=str(folder)),
            HuggingFaceEmbedding(model_path(embedding_model), device="cpu", callback_manager=callbacks),
            transformations=[self._splitter],
            callback_manager=callbacks,
        )
        self._retriever = self._index.as_retriever(similarity_top_k=TOP)

    def ingest(self, articles: Iterable[Article]) -> int:
        """Split, embed and store articles in one call, as the tutorial does; returns the number of chunks."""
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
