"""An embedder without a model: a text's vector is the sum of its words', each drawn by the word's hash.

For tests of the store, where what counts is that every text finds itself, in processes that have to start quickly.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np

from rag.models.embedding import Vectors, normalized
from rag.schema import Span

DIMENSION = 64


@cache
def _of_word(word: str) -> Vectors:
    drawn = np.random.default_rng(zlib.crc32(word.encode()))
    return drawn.standard_normal(DIMENSION).astype(np.float32)


def _of_text(text: str) -> Vectors:
    return np.sum([_of_word(word) for word in text.lower().split() or [""]], axis=0)


class HashEmbedder:
    """Behind `Embedder`, as a model is."""

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        return normalized(np.stack([_of_text(question) for question in questions]))

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        sentences = [
            normalized(np.array([_of_text(text[a:b]) for a, b in spans], dtype=np.float32).reshape(-1, DIMENSION))
            for text, spans in zip(texts, parts, strict=True)
        ]
        return self.embed_questions(texts), sentences
