"""BERT computed by OpenVINO: its graph, built from the published weights without PyTorch and without a converted file.

The only file that imports openvino.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
"""The arrays of a BERT by their names in its safetensors file."""

ROUND_TO = 8
"""Batches are padded to multiples of so many tokens: OpenVINO prepares kernels for each shape that it meets."""
MASKED = -1e4
"""Added to the attention scores of padding, whose weight is then e to the power of that: zero."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a BERT that its weights do not tell."""

    layers: int
    heads: int
    epsilon: float


def read_weights(file: Path) -> Weights:
    """The weights of a safetensors file, mapped into memory: a length, a header in JSON, then the values."""
    data = np.memmap(file, dtype=np.uint8, mode="c")  # OpenVINO shares only arrays that could be written to
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    return {
        name: data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
        .view(np.float32)
        .reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


@cache
def _core() -> Any:
    """OpenVINO's runtime, one for the life of the process.

    Each gives its thread another stack for signals, and unmaps it when it ends, in any order and from any thread: with
    a second one, a Ctrl-C after both have ended is a segmentation fault.
    """
    return _import_openvino().Core()


class BertEncoder:
    """Token ids → vectors of tokens: up to `streams` batches at a time, each on one thread.

    Raises ImportError where OpenVINO is not installed, and RuntimeError where it cannot compute the model.
    """

    def __init__(self, weights: Weights, shape: Shape, streams: int) -> None:
        openvino = _import_openvino()
        core = _core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            # Half the time at a cosine of .9999 to fp32, where the processor computes bfloat16 natively.
            "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
            # A thread that is bound to a core waits for whatever else runs there.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(_Graph(openvino.opset13, weights, shape).model(openvino), "CPU", settings)
        self._words = weights["embeddings.word_embeddings.weight"]
        types = weights["embeddings.token_type_embeddings.weight"]
        self._positions = np.asarray(weights["embeddings.position_embeddings.weight"] + types[0])
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Shape (texts, longest text or more, dimension); rows beyond a text's length have no meaning."""
        length = -(-max(map(len, texts)) // ROUND_TO) * ROUND_TO
        ids = np.zeros((len(texts), length), dtype=np.int64)
        mask = np.full((len(texts), 1, 1, length), MASKED, dtype=np.float32)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, ..., : len(text)] = 0
        # Looked up here, so that the table of words, half of the weights, stays shared with the file's other readers.
        inputs = [self._words[ids] + self._positions[:length], mask]
        request = self._idle.get()
        try:
            request.infer(inputs, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        finally:
            self._idle.put(request)


@dataclass(frozen=True, slots=True)
class _Graph:
    """The graph from sums of embeddings to the vectors of tokens; `op` is a module of OpenVINO's operations."""

    op: Any
    weights: Weights
    shape: Shape

    def model(self, openvino: Any) -> Any:
        """The graph as a model: any number of texts of any length, and what is added to the attention to each token."""
        dimension = len(self.weights["embeddings.LayerNorm.bias"])
        embedded = self.op.parameter([-1, -1, dimension], np.float32)
        mask = self.op.parameter([-1, 1, 1, -1], np.float32)
        tokens = self._normed(embedded, "embeddings.LayerNorm")
        for number in range(self.shape.layers):
            layer = f"encoder.layer.{number}"
            attended = self._linear(self._attention(tokens, mask, layer), f"{layer}.attention.output.dense")
            tokens = self._normed(self.op.add(attended, tokens), f"{layer}.attention.output.LayerNorm")
            inner = self.op.gelu(self._linear(tokens, f"{layer}.intermediate.dense"), "erf")
            outer = self._linear(inner, f"{layer}.output.dense")
            tokens = self._normed(self.op.add(outer, tokens), f"{layer}.output.LayerNorm")
        return openvino.Model([tokens], [embedded, mask], "bert")

    def _attention(self, tokens: Any, mask: Any, layer: str) -> Any:
        swapped = self.op.constant([0, 2, 1, 3])

        def heads(name: str) -> Any:
            projected = self._linear(tokens, f"{layer}.attention.self.{name}")
            size = projected.get_output_partial_shape(0)[2].get_length() // self.shape.heads
            split = self.op.reshape(projected, self.op.constant([0, 0, self.shape.heads, size]), special_zero=True)
            return self.op.transpose(split, swapped)

        attended = self.op.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), mask)
        joined = self.op.constant([0, 0, -1])
        return self.op.reshape(self.op.transpose(attended, swapped), joined, special_zero=True)

    def _linear(self, tokens: Any, name: str) -> Any:
        product = self.op.matmul(tokens, self._constant(f"{name}.weight"), False, True)
        return self.op.add(product, self._constant(f"{name}.bias"))

    def _normed(self, tokens: Any, name: str) -> Any:
        last = self.op.constant([-1])
        normed = self.op.mvn(tokens, last, True, self.shape.epsilon, "inside_sqrt")
        return self.op.add(self.op.multiply(normed, self._constant(f"{name}.weight")), self._constant(f"{name}.bias"))

    def _constant(self, name: str) -> Any:
        return self.op.constant(self.weights[name], shared_memory=True)


def _import_openvino() -> Any:
    """OpenVINO without its converter, which sends a message to its makers whenever it is imported."""
    if loaded := sys.modules.get("openvino"):
        return loaded
    converter = "openvino.tools.ovc"
    sys.modules[converter] = None  # type: ignore[assignment]  # importing it fails then, as if it were not installed
    try:
        import openvino
    finally:
        del sys.modules[converter]
    return openvino
