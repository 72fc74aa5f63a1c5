"""Embedding models: texts, and parts of texts, to vectors.

Knows nothing of articles, passages and the index.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from rag.config import PACKAGED_MODEL, threads
from rag.models.model_files import packaged_folder
from rag.models.pooling import Vectors, normalized
from rag.schema import Span

__all__ = ["Embedder", "Vectors", "load_embedder", "normalized"]

log = logging.getLogger(__name__)


class Embedder(Protocol):
    """Turns texts into vectors; the only thing the rest of the code knows of an embedding model."""

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """One row per question, in order."""
        ...

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """One row per text, and for each text one row per part, a span of its characters; all in order."""
        ...


def load_embedder(name: str) -> Embedder:
    """Load an embedding model: the packaged MiniLM, a model's folder, or a name on the model hub.

    The packaged one is computed by OpenVINO, or by PyTorch where OpenVINO is not installed or gives other vectors.
    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such
    model, or if the packaged one is not, bit by bit, the published one.
    """
    if name == PACKAGED_MODEL:
        folder = packaged_folder()
        try:
            from rag.models.minilm import PackagedEmbedder

            return PackagedEmbedder(folder, threads())
        except (ImportError, RuntimeError) as error:
            log.warning("the packaged model runs in PyTorch, which takes longer (%s)", str(error).splitlines()[0])
    from rag.models.sentence_transformer import load_sentence_transformer

    return load_sentence_transformer(name)
