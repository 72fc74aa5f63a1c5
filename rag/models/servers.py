"""Language models behind a server: found, checked and built."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rag.errors import ModelError, cut
from rag.models.llm import LanguageModel, Session, Usage
from rag.models.responses import UNPACKED, guards

if TYPE_CHECKING:
    from llama_index.core.callbacks import CallbackManager


LLM_SECONDS, LLM_CONTEXT, LLM_RETRIES = 60.0, 8192, 3
LOCAL_LLMS = ("http://127.0.0.1:11434/v1", "http://127.0.0.1:8080/v1")
"""Where Ollama and llama.cpp's server listen if nobody tells them otherwise."""
PROBE_SECONDS, MOST_PROBED = 1.0, 10_000_000
WAITS = tuple(0.5 * 2**n for n in range(LLM_RETRIES))
"""As OpenAI's client waits; Ollama's has no retries."""


def load_llm(
    name: str, url: str, key: str = "", context: int = LLM_CONTEXT, seconds: float = LLM_SECONDS
) -> LanguageModel:
    """A model behind a server that speaks OpenAI's protocol: Ollama, llama.cpp, vLLM, or a vendor's.

    `url` is the address its API has, such as http://localhost:11434/v1; `context` and `seconds` are as in
    LanguageModel. Connects to nothing before it is asked; requests that fail for a while are then tried again.
    Raises ModelError if the library for it is not installed, or the address is none.
    """
    if not _is_address(url):
        raise ModelError(f"{cut(url)!r} is no address of a language model; give one such as http://localhost:11434/v1")
    try:
        from llama_index.llms import ollama, openai_like  # noqa: F401 - now, and not while a reader waits
        from openai.resources.chat import AsyncCompletions  # noqa: F401
    except ImportError:
        hint = "run: pip install 'pullquote[llm]'"
        raise ModelError(f"the library for language models is not installed; {hint}") from None
    key = key.strip()  # as a file ends, out of which it was read
    if not (key.isascii() and key.isprintable()):
        raise ModelError("the key in PULLQUOTE_API_KEY has letters that no key has; copy it again")
    tokens_of("")  # the tokenizer takes a while to load, too
    server = _Server(name, url.rstrip("/"), key or "none", context, seconds)
    return LanguageModel(name, server.session, context, seconds)


def local_llms() -> list[tuple[str, str]]:
    """The models that run on this machine, where Ollama and llama.cpp put them: names, each with its URL."""
    found: list[tuple[str, str]] = []
    for url in LOCAL_LLMS:
        listed = _fetched(f"{url}/models")
        models = listed.get("data") if isinstance(listed, dict) else None
        names = (model.get("id") for model in models if isinstance(model, dict)) if isinstance(models, list) else ()
        found += [(name, url) for name in names if isinstance(name, str) and name and name.isprintable()]
    return found


def _fetched(url: str) -> Any:
    """What a server on this machine, or one that was asked for, says in JSON; None if that is nothing."""
    import httpx

    try:
        options: dict[str, Any] = {"trust_env": not _is_here(url), "verify": url.startswith("https:")}
        with httpx.stream("GET", url, timeout=PROBE_SECONDS, **options) as response:
            return json.loads(_within_limits(response.raise_for_status().iter_bytes()))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError):
        return None


def _within_limits(pieces: Iterator[bytes]) -> bytes:
    """What arrives soon and is not much; nothing if it is more, since something else than such a server listens."""
    until, content = time.monotonic() + PROBE_SECONDS, b""
    for piece in pieces:
        content += piece
        if len(content) > MOST_PROBED or time.monotonic() > until:
            return b""
    return content


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False


def _is_here(url: str) -> bool:
    """Is it an address of this machine, to which no proxy leads?"""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True)
class _Server:
    """What a session with a model's server is made of."""

    name: str
    url: str
    key: str = field(repr=False)
    context: int
    seconds: float
    _known: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    def session(self, count: Callable[[Usage], None]) -> Session:
        """A new one; by Ollama's own protocol where it is Ollama's, which takes the size of the context only there."""
        options: dict[str, Any] = {"verify": self._certificates(), "trust_env": not _is_here(self.url)}
        own = self.url.startswith("http:") and self._is_ollama()
        options["event_hooks"] = guards(self.name, events=not own)
        return (self._of_ollama if own else self._like_openai)(_counting(count), options)

    def _certificates(self) -> ssl.SSLContext:
        """Read once: it takes longer than everything else about a client."""
        import httpx

        if not self._known:
            self._known.append(httpx.create_ssl_context())
        return self._known[0]

    @property
    def _root(self) -> str:
        return self.url.removesuffix("/v1")

    def _is_ollama(self) -> bool:
        told = _fetched(f"{self._root}/api/version")
        return isinstance(told, dict) and "version" in told

    def _like_openai(self, callbacks: CallbackManager, options: Mapping[str, Any]) -> Session:
        import httpx
        from llama_index.llms.openai_like import OpenAILike
        from openai import AsyncOpenAI

        client = AsyncOpenAI(
            api_key=self.key,  # left out, it would send OPENAI_API_KEY to whatever the address is
            base_url=self.url,
            timeout=self.seconds,
            max_retries=LLM_RETRIES,
            http_client=httpx.AsyncClient(timeout=self.seconds, follow_redirects=True, headers=UNPACKED, **options),
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
        return Session(llm, client.close)

    def _of_ollama(self, callbacks: CallbackManager, options: Mapping[str, Any]) -> Session:
        from llama_index.llms.ollama import Ollama
        from ollama import AsyncClient

        # Left out, it would send OLLAMA_API_KEY to whatever the address is.
        headers = {"authorization": f"Bearer {self.key}", **UNPACKED}
        client = AsyncClient(self._root, timeout=self.seconds, headers=headers, **options)
        llm = Ollama(
            model=self.name,
            base_url=self._root,
            temperature=0.0,
            context_window=self.context,
            async_client=client,
            callback_manager=callbacks,
        )
        return Session(llm, client.close, WAITS)


def _counting(count: Callable[[Usage], None]) -> CallbackManager:
    """LlamaIndex's counter of tokens, telling `count`; by itself it keeps every prompt."""
    from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

    class Counter(TokenCountingHandler):
        def on_event_end(self, *arguments: Any, **named: Any) -> None:
            super().on_event_end(*arguments, **named)
            calls = len(self.llm_token_counts)
            count(Usage(calls, self.prompt_llm_token_count, self.completion_llm_token_count))
            self.reset_counts()

    return CallbackManager([Counter()])


def tokens_of(text: str) -> int:
    """About how many tokens a text has, by a tokenizer that comes with LlamaIndex; models have their own."""
    from llama_index.core.utils import get_tokenizer

    return len(get_tokenizer()(text))
