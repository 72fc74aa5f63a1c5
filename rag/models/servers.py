"""Language models behind a server: finds them, checks their address, builds their clients.

Knows nothing of prompts and replies.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rag.errors import ModelError, cut
from rag.models.llm import LanguageModel, LLMClient, Usage, count_tokens

if TYPE_CHECKING:
    import ssl

    from llama_index.core.callbacks import CallbackManager


LLM_SECONDS, LLM_CONTEXT, LLM_RETRIES = 60.0, 8192, 3
LOCAL_LLMS = ("http://127.0.0.1:11434/v1", "http://127.0.0.1:8080/v1")
"""Where Ollama and llama.cpp's server listen by default."""
PROBE_SECONDS, MAX_PROBE_BYTES = 1.0, 10_000_000


def load_llm(
    name: str, url: str, key: str = "", context: int = LLM_CONTEXT, seconds: float = LLM_SECONDS
) -> LanguageModel:
    """A model behind a server that speaks OpenAI's protocol: Ollama, llama.cpp, vLLM, or a vendor's.

    `url` is the address of its API, such as http://localhost:11434/v1; `context` and `seconds` are as in
    LanguageModel. Connects to nothing until it is used; requests that fail temporarily are then retried.
    Raises ModelError if the library for it is not installed, or the address is invalid.
    """
    if not _is_http_url(url):
        raise ModelError(f"{cut(url)!r} is no address of a language model; give one such as http://localhost:11434/v1")
    try:
        from llama_index.llms import ollama, openai_like  # noqa: F401 - now, and not while a reader waits
        from openai.resources.chat import AsyncCompletions  # noqa: F401
    except ImportError:
        hint = "run: pip install 'pullquote[llm]'"
        raise ModelError(f"the library for language models is not installed; {hint}") from None
    key = key.strip()  # a key read from a file ends in a newline
    if not (key.isascii() and key.isprintable()):
        raise ModelError("the key in PULLQUOTE_API_KEY has characters that no key has; copy it again")
    count_tokens("")  # loads the tokenizer, which takes a while, too
    server = _Server(name, url.rstrip("/"), key or "none", context, seconds)
    return LanguageModel(name, server.client, context, seconds)


def local_llms() -> list[tuple[str, str]]:
    """The models at the default addresses of Ollama and llama.cpp on this machine: names, each with its URL."""
    found: list[tuple[str, str]] = []
    for url in LOCAL_LLMS:
        listing = _fetch_json(f"{url}/models")
        models = listing.get("data") if isinstance(listing, dict) else None
        names = (model.get("id") for model in models if isinstance(model, dict)) if isinstance(models, list) else ()
        found += [(name, url) for name in names if isinstance(name, str) and name and name.isprintable()]
    return found


def _fetch_json(url: str) -> Any:
    """The JSON that a server sends within the limits of a probe; None if it sends none."""
    import httpx

    try:
        options: dict[str, Any] = {"trust_env": not _is_loopback(url), "verify": url.startswith("https:")}
        with httpx.stream("GET", url, timeout=PROBE_SECONDS, **options) as response:
            return json.loads(_read_bounded(response.raise_for_status().iter_bytes()))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError):
        return None


def _read_bounded(pieces: Iterator[bytes]) -> bytes:
    """A body that is short and arrives soon; empty for any other. httpx limits each read, but not all together."""
    deadline, content = time.monotonic() + PROBE_SECONDS, b""
    for piece in pieces:
        content += piece
        if len(content) > MAX_PROBE_BYTES or time.monotonic() > deadline:
            return b""
    return content


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False


def _is_loopback(url: str) -> bool:
    """Whether an address is of this machine, so that no proxy must be used."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Loaded once: it takes longer than everything else about a client."""
    import httpx

    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class _Server:
    """Everything a client of a model's server is built from."""

    name: str
    url: str
    key: str = field(repr=False)
    context: int
    seconds: float

    def client(self, count: Callable[[Usage], None]) -> LLMClient:
        """A new client; for Ollama by its own protocol, since only that accepts the size of the context."""
        from rag.models.responses import UNCOMPRESSED, response_hooks

        ollama = self.url.startswith("http:") and self._is_ollama()
        options = {
            "verify": _certificates(),
            "trust_env": not _is_loopback(self.url),
            "event_hooks": response_hooks(self.name, events=not ollama),
            # Clients without a key would send OPENAI_API_KEY or OLLAMA_API_KEY, whatever the address is.
            "headers": {"authorization": f"Bearer {self.key}", **UNCOMPRESSED},
            "follow_redirects": True,
            "timeout": self.seconds,
        }
        return (self._ollama_client if ollama else self._openai_client)(_token_counter(count), options)

    @property
    def _root(self) -> str:
        return self.url.removesuffix("/v1")

    def _is_ollama(self) -> bool:
        version = _fetch_json(f"{self._root}/api/version")
        return isinstance(version, dict) and "version" in version

    def _openai_client(self, callbacks: CallbackManager, options: Mapping[str, Any]) -> LLMClient:
        import httpx
        from llama_index.llms.openai_like import OpenAILike
        from openai import AsyncOpenAI

        client = AsyncOpenAI(
            api_key=self.key,
            base_url=self.url,
            timeout=self.seconds,
            max_retries=LLM_RETRIES,
            http_client=httpx.AsyncClient(**options),
        )
        llm = OpenAILike(  # type: ignore[call-arg] # its base class takes clients
            model=self.name,
            api_base=self.url,
            api_key=self.key,
            context_window=self.context,
            is_chat_model=True,
            temperature=0.0,
            max_retries=0,  # its own retries would multiply with the client's, and log what the server says
            async_openai_client=client,
            callback_manager=callbacks,
        )
        return LLMClient(llm, client.close)

    def _ollama_client(self, callbacks: CallbackManager, options: Mapping[str, Any]) -> LLMClient:
        from llama_index.llms.ollama import Ollama
        from ollama import AsyncClient

        client = AsyncClient(self._root, **options)
        llm = Ollama(
            model=self.name,
            base_url=self._root,
            temperature=0.0,
            context_window=self.context,
            async_client=client,
            callback_manager=callbacks,
        )
        return LLMClient(llm, client.close, LLM_RETRIES)


def _token_counter(count: Callable[[Usage], None]) -> CallbackManager:
    """LlamaIndex's token counter, which passes each request's usage to `count`; by itself it keeps every prompt."""
    from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

    class Counter(TokenCountingHandler):
        def on_event_end(self, *arguments: Any, **named: Any) -> None:
            super().on_event_end(*arguments, **named)
            calls = len(self.llm_token_counts)
            count(Usage(calls, self.prompt_llm_token_count, self.completion_llm_token_count))
            self.reset_counts()

    return CallbackManager([Counter()])
