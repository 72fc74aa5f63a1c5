"""Settings: one frozen object, passed to what needs it. The only reader of TOML and of the environment."""

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
"""The key of a language model's server: no setting, so that it stands in no file and no report."""
MOST, MOST_CONTEXT = 10_000, 10_000_000


@dataclass(frozen=True, slots=True)
class Config:
    """All settings with their defaults.

    index: folder of the index.
    embedding_model: the packaged MiniLM, or any sentence-transformers model by hub name or folder.
    reranker: any sentence-transformers CrossEncoder, which orders the best passages anew; none if empty.
    candidates: passages taken from each side (dense, full text) before they are fused.
    hits: passages that an answer may be made of.
    sentences: most sentences in an answer.
    min_confidence: below this (0–1) the answer is that the articles do not say.
    llm: name of the language model that writes the answers; empty for answers in the articles' own sentences.
    llm_base_url: where it is served, by OpenAI's protocol; the default is Ollama's.
    llm_context: tokens that it reads and writes at once.
    llm_seconds: how long it may be silent before the answer is made without it.
    support_model: a CrossEncoder, for entailment or for ranking, that has to agree to each sentence; none if empty.
    source_seconds: how long one file may take to be taken apart, or one URL to be fetched.
    source_megabytes: how large a file may be that is read at once, or a page, or what an archive's file unpacks to.
    allow_private_addresses: whether URLs may lead to this machine and to its own network.
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
        for name in ("candidates", "hits", "sentences", "llm_seconds", "source_seconds", "source_megabytes"):
            if not 1 <= getattr(self, name) <= MOST:
                raise ConfigError(f"{name} is {getattr(self, name)}; set it between 1 and {MOST}")
        if not 1024 <= self.llm_context <= MOST_CONTEXT:
            raise ConfigError(f"llm_context is {self.llm_context}; set it between 1024 and {MOST_CONTEXT}")
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence is {self.min_confidence}; set it between 0 and 1")
        if not str(self.index).strip("."):
            raise ConfigError("index is the current folder; give it a folder of its own")
        if not self.embedding_model:
            raise ConfigError(f"embedding_model is empty; set it to {PACKAGED_MODEL!r} or to a model's name or folder")

    @classmethod
    def load(cls, file: Path | None = None, environment: Mapping[str, str] = os.environ, **given: Any) -> Self:
        """Defaults, then `pullquote.toml` (of this folder, or `file`), then PULLQUOTE_… variables, then `given`.

        Values of None in `given` count as not given. Raises ConfigError for an unknown key, a value of the
        wrong type, or a file that is missing or is not TOML.
        """
        settings = cls()._with(_from_toml(file), "setting {}")
        settings = settings._with(_from_environment(environment), "variable PULLQUOTE_{}", str.upper)
        return settings._with({name: value for name, value in given.items() if value is not None}, "argument {}")

    def _with(self, values: Mapping[str, Any], called: str, spelled: Callable[[str], str] = str) -> Self:
        types = {field.name: type(field.default) for field in fields(self)}
        unknown = sorted(set(values) - set(types))
        if unknown:
            raise ConfigError(f"unknown {called.format(cut(spelled(unknown[0])))}; known are: {', '.join(types)}")
        found = {name: _convert(called.format(spelled(name)), value, types[name]) for name, value in values.items()}
        return replace(self, **found)


def _convert(name: str, value: Any, kind: type) -> Any:
    if kind is bool:
        return _truth(name, value)
    lossy = kind is int and isinstance(value, float)
    if lossy or isinstance(value, bool) or not isinstance(value, (str, int, float, Path)):
        raise ConfigError(f"{name} is {cut(repr(value))}; give it as {kind.__name__}")
    try:
        return kind(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"{name} is {cut(repr(value))}; give it as {kind.__name__}") from error


def _truth(name: str, value: Any) -> bool:
    if str(value).lower() not in ("true", "false", "1", "0"):
        raise ConfigError(f"{name} is {cut(repr(value))}; give it as true or false")
    return str(value).lower() in ("true", "1")


def _from_toml(file: Path | None) -> dict[str, Any]:
    path = file or Path(CONFIG_FILE)
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path} ({error}); mend or move the file") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != API_KEY
    }


def api_key(environment: Mapping[str, str] = os.environ) -> str:
    """The key of a language model's server, from the environment; empty if there is none."""
    return environment.get(API_KEY, "")
