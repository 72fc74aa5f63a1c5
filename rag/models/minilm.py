"""The packaged embedding model, all-MiniLM-L6-v2, computed by OpenVINO instead of PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from rag.models.openvino_bert import BertEncoder, Shape, read_weights
from rag.models.pooling import Vectors, batches, fill_missing, normalized, part_vectors
from rag.schema import Span

SHAPE = Shape(layers=6, heads=12, epsilon=1e-12)
MAX_TOKENS = 256
"""Of a text, with the two tokens that mark its ends; what follows is not read."""
BATCH_TOKENS = 1024
"""Of a batch, padded: larger ones are not faster, and keep a core for longer."""
SAME = 0.999
"""Least cosine between a vector and the recorded one; bfloat16 costs less than .0001."""


class PackagedEmbedder:
    """The packaged model behind `Embedder`.

    Raises ImportError where OpenVINO is not installed, and RuntimeError where it cannot compute the model or gives
    other vectors than those recorded beside this file.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._weights = read_weights(folder / "model.safetensors")
        self._threads = threads
        self._single = BertEncoder(self._weights, SHAPE, streams=1)
        self._compare_with_recorded()

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """As texts without parts: the model has no prompt for questions."""
        return self.embed_texts(questions, [()] * len(questions))[0]

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """Embed in one pass: a part's vector is the mean of its own tokens'.

        Beyond the model's maximum length a part is embedded separately.
        """
        pooled = self._pooled(self._tokenizer.encode_batch(list(texts)), parts)
        vectors = np.array([vector for vector, _ in pooled], dtype=np.float32).reshape(len(texts), self._dimension)
        rows = [rows for _, rows in pooled]
        fill_missing(texts, parts, rows, self.embed_questions)
        return normalized(vectors), [normalized(each) for each in rows]

    @property
    def _dimension(self) -> int:
        return len(self._weights["embeddings.LayerNorm.bias"])

    @cached_property
    def _parallel(self) -> tuple[BertEncoder, ThreadPoolExecutor]:
        """For many texts, made for the first of them: it takes as much memory and time to make as the other one."""
        return BertEncoder(self._weights, SHAPE, self._threads), ThreadPoolExecutor(self._threads, "embedder")

    def _pooled(self, encodings: Sequence[Encoding], parts: Sequence[Sequence[Span]]) -> list[tuple[Vectors, Vectors]]:
        """For each text its vector and those of its parts, not of length 1.

        Few tokens are computed on one thread: several save nothing, and wait for each other on a busy machine.
        """
        lengths = [len(encoding) for encoding in encodings]
        found: dict[int, tuple[Vectors, Vectors]] = {}
        if sum(lengths) <= BATCH_TOKENS:
            for batch in batches(lengths, BATCH_TOKENS, 1):
                found |= self._embed_batch(self._single, encodings, parts, batch)
        else:
            encoder, pool = self._parallel
            embed = partial(self._embed_batch, encoder, encodings, parts)
            for pooled in pool.map(embed, batches(lengths, BATCH_TOKENS, self._threads)):
                found |= pooled
        return [found[i] for i in range(len(encodings))]

    @staticmethod
    def _embed_batch(
        encoder: BertEncoder, encodings: Sequence[Encoding], parts: Sequence[Sequence[Span]], batch: Sequence[int]
    ) -> dict[int, tuple[Vectors, Vectors]]:
        pooled = {}
        for i, padded in zip(batch, encoder([encodings[i].ids for i in batch]), strict=True):
            tokens = padded[: len(encodings[i])]
            pooled[i] = (tokens.mean(axis=0), part_vectors(tokens, encodings[i].offsets, parts[i]))
        return pooled

    def _compare_with_recorded(self) -> None:
        recorded = json.loads(files("rag.models").joinpath("minilm_vectors.json").read_text("utf-8"))
        vectors = normalized(np.array([*recorded.values()], dtype=np.float32))
        cosine = float((self.embed_questions([*recorded]) * vectors).sum(axis=1).min())
        if not cosine >= SAME:  # nor if it is not a number
            raise RuntimeError(f"OpenVINO's vectors differ from the published model's: their cosine is {cosine:.3f}")
