"""Settings: one frozen object, passed to whatever needs it. The only reader of TOML and of the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rag.errors import ConfigError, cut

PACKAGED_MODEL = "packaged/all-MiniLM-L6-v2"
CONFIG_FILE = "pullquote.toml"
ENVIRONMENT_PREFIX = "PULLQUOTE_"
API_KEY = "PULLQUOTE_API_KEY"
"""The key of a language model's server: not a setting, so that no file and no report contains it."""
_COUNTS = ("candidates", "hits", "sentences", "llm_seconds", "source_seconds", "source_megabytes")
_LIMITS = {**dict.fromkeys(_COUNTS, (1, 10_000)), "llm_context": (1024, 10_000_000), "min_confidence": (0, 1)}


@dataclass(frozen=True, slots=True)
class Config:
    """All settings with their defaults.

    index: folder of the index.
    embedding_model: the packaged MiniLM, or any sentence-transformers model by hub name or folder.
    reranker: a sentence-transformers CrossEncoder that reranks the best passages; none if empty.
    candidates: passages taken from each retriever (dense, full text) before fusion.
    hits: most passages that an answer may quote.
    sentences: most sentences in an answer.
    min_confidence: threshold (0–1) below which the answer is that the articles do not say.
    llm: name of the language model that writes the answers; empty for extractive answers.
    llm_base_url: its OpenAI-compatible server; the default is Ollama's.
    llm_context: its context window, in tokens.
    llm_seconds: timeout without output, after which the answer is extractive.
    support_model: a CrossEncoder, for entailment or for ranking, that has to accept each sentence; none if empty.
    source_seconds: timeout for parsing one file or fetching one URL.
    source_megabytes: size limit of a file, a page, or a file unpacked from an archive.
    allow_private_addresses: whether URLs may lead to this machine and its local network.
    """

    index: Path = Path(".pullquote")
    embedding_model: str = PACKAGED_MODEL
    reranker: str = ""
    candidates: int = 100
    hits: int = 10
    sentences: int = 3
    min_confidence: float = 0.24
    llm: str = ""
    llm_base_url: str = "http://localhost:11434/v1"
    llm_context: int = 8192
    llm_seconds: float = 60.0
    support_model: str = ""
    source_seconds: float = 60.0
    source_megabytes: int = 200
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)}; set it between {least} and {most}")
        if not str(self.index).strip("."):
            raise ConfigError("index is the current folder; set it to a folder of its own")
        if not self.embedding_model:
            raise ConfigError(f"embedding_model is empty; set it to {PACKAGED_MODEL!r} or to a model's name or folder")

    @classmethod
    def load(cls, file: Path | None = None, environment: Mapping[str, str] = os.environ, **given: Any) -> Self:
        """Defaults, then `pullquote.toml` (of this folder, or `file`), then PULLQUOTE_… variables, then `given`.

        None in `given` means not given. Raises ConfigError for an unknown key, a value of the wrong type or out of
        range, and a file that is missing or not TOML.
        """
        settings = cls()._with(_from_toml(file), "setting {}")
        settings = settings._with(_from_environment(environment), "variable PULLQUOTE_{}", str.upper)
        return settings._with({name: value for name, value in given.items() if value is not None}, "argument {}")

    def _with(self, values: Mapping[str, Any], called: str, spelled: Callable[[str], str] = str) -> Self:
        types = {field.name: type(field.default) for field in fields(self)}
        unknown = sorted(set(values) - set(types))
        if unknown:
            raise ConfigError(f"unknown {called.format(cut(spelled(unknown[0])))}; known are: {', '.join(types)}")
        typed = {name: _convert(called.format(spelled(name)), value, types[name]) for name, value in values.items()}
        return replace(self, **typed)


def _convert(name: str, value: Any, kind: type) -> Any:
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        lossy = kind is int and isinstance(value, float)
        if lossy or isinstance(value, bool) or not isinstance(value, (str, int, float, Path)):
            raise TypeError
        return kind(value)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        expected = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "text")
        raise ConfigError(f"{name} is {cut(repr(value))}; give it as {expected}") from error


def _from_toml(file: Path | None) -> dict[str, Any]:
    path = file or Path(CONFIG_FILE)
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path} ({error}); repair or move the file") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != API_KEY
    }


def api_key(environment: Mapping[str, str] = os.environ) -> str:
    """The key of a language model's server, from the environment; empty if there is none."""
    return environment.get(API_KEY, "")


def threads(environment: Mapping[str, str] = os.environ) -> int:
    """On how many threads to compute: OMP_NUM_THREADS, as numerical libraries do, or the cores this process may use."""
    given = environment.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
