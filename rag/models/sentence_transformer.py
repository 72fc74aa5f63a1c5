"""Embedding models that sentence-transformers loads, computed by PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.config import PACKAGED_MODEL
from rag.models.model_files import load_error, model_path
from rag.models.pooling import Vectors, fill_missing, normalized, part_vectors
from rag.models.torch_threads import register_thread, single_thread_pool
from rag.schema import Span

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


BATCH = 16


class SentenceTransformerEmbedder:
    """A sentence-transformers model behind `Embedder`."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model.eval()
        self._options: dict[str, Any] = {"batch_size": BATCH, "show_progress_bar": False}
        self._late_pooling = _supports_late_pooling(model)
        _, self._question_pool = single_thread_pool("questions")

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """Embed with the model's prompt for questions, if it has one.

        On one thread: for so short a text several save nothing, and wait for each other on a busy machine. Measured on
        two cores with another process at work: 10 ms with one thread, up to 970 ms with two.
        """
        register_thread()
        vectors = self._question_pool.submit(self._encode_questions, list(questions)).result()
        return np.asarray(vectors, dtype=np.float32)

    def _encode_questions(self, questions: list[str]) -> Any:
        return self._model.encode_query(questions, normalize_embeddings=True, **self._options)

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """Embed in one pass if the model averages its tokens: a part's vector is the mean of its own ("late pooling").

        With any other model, and beyond the model's maximum length, a part is embedded separately.
        """
        register_thread()
        if texts and self._late_pooling:
            vectors, rows = self._embed_with_parts(texts, parts)
        else:
            vectors = self._embed(texts)
            rows = [np.zeros((len(spans), vectors.shape[1]), dtype=np.float32) for spans in parts]
        fill_missing(texts, parts, rows, self._embed)
        return normalized(vectors), [normalized(each) for each in rows]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The model's own vectors of texts, without parts and normalization: a baseline for benchmarks."""
        return np.asarray(self._model.encode(list(texts), **self._options), dtype=np.float32)

    def _embed_with_parts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """Embed each text once; a part beyond the model's maximum length has a row of zeros.

        Each thread computes batches of its own. Threads that share an operation wait for the slowest of them, and
        beside a thread that writes this is a different one every time. Measured on two cores, with batches sorted by
        length in tokens: 8.4 ms per passage instead of 9.7.
        """
        features = self._model.preprocess(list(texts), processing_kwargs={"text": {"return_offsets_mapping": True}})
        embedded: dict[int, tuple[Vectors, Vectors]] = {}
        threads, pool = single_thread_pool("embedder")
        try:
            batches = _batches(features["attention_mask"].sum(dim=1).tolist(), threads)
            results = pool.map(lambda batch: self._embed_batch(features, batch, [parts[i] for i in batch]), batches)
            for batch, result in zip(batches, results, strict=True):
                embedded |= zip(batch, result, strict=True)
        finally:
            pool.shutdown(cancel_futures=True)
        vectors, rows = zip(*(embedded[i] for i in range(len(texts))), strict=True)
        return np.stack(vectors), list(rows)

    def _embed_batch(
        self, features: Mapping[str, Any], batch: Sequence[int], parts: Sequence[Sequence[Span]]
    ) -> list[tuple[Vectors, Vectors]]:
        """For each of these rows of the features, the vector of the text and those of its parts."""
        import torch

        used = features["attention_mask"][batch].bool().any(dim=0)
        inputs = {name: v[batch][:, used] if isinstance(v, torch.Tensor) else v for name, v in features.items()}
        offsets = inputs.pop("offset_mapping").numpy()
        with torch.inference_mode():
            outputs = self._model(inputs)
        tokens, vectors = (outputs[name].float().numpy() for name in ("token_embeddings", "sentence_embedding"))
        return [(vector, part_vectors(*row)) for vector, *row in zip(vectors, tokens, offsets, parts, strict=True)]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        # An empty batch makes an array without its second dimension.
        vectors = self._model.encode_document(list(texts) or [""], normalize_embeddings=True, **self._options)
        return np.asarray(vectors, dtype=np.float32)[: len(texts)]


def _batches(lengths: Sequence[int], threads: int) -> list[list[int]]:
    """Indexes of texts grouped by length in tokens, longest first, into at least as many batches as threads."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    size = min(BATCH, math.ceil(len(order) / threads))
    return [order[start : start + size] for start in range(0, len(order), size)]


def _supports_late_pooling(model: SentenceTransformer) -> bool:
    """Whether a text's vector is the mean of its tokens', and the tokens' places in the text are known."""
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules = list(model.children())
    means = [module.pooling_mode == "mean" for module in modules if isinstance(module, Pooling)]
    # Anything else after the mean, such as a dense layer, leads to another space than the tokens'.
    plain = all(isinstance(module, (Transformer, Pooling, Normalize)) for module in modules) and not model.truncate_dim
    prompted = model.default_prompt_name or model.prompts.get("document")
    return means == [True] and plain and not prompted and bool(getattr(model.tokenizer, "is_fast", False))


def load_sentence_transformer(name: str) -> SentenceTransformerEmbedder:
    """Load a model by its folder or its name on the model hub.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such
    model, or if the packaged one is not, bit by bit, the published one.
    """
    path = model_path(name)
    from sentence_transformers import SentenceTransformer

    local = Path(path).is_dir()
    try:
        model = SentenceTransformer(path, device="cpu", local_files_only=local, model_kwargs={"dtype": _fast_dtype()})
    except (OSError, ValueError) as error:
        raise load_error("embedding model", name, error, f"use {PACKAGED_MODEL!r}, or a model's folder") from error
    return SentenceTransformerEmbedder(model)


def _fast_dtype() -> torch.dtype:
    """bfloat16 where the processor computes it natively: half the time at a cosine of .9999 to fp32."""
    import torch

    return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
