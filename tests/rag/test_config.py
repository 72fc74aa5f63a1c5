"""Settings: defaults, file, environment, arguments; nothing unknown."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from rag.config import Config, api_key, threads
from rag.errors import ConfigError


def test_later_sources_take_precedence(tmp_path: Path) -> None:
    (tmp_path / "pullquote.toml").write_text('index = "toml"\nhits = 5\nsentences = 2\n')
    config = Config.load(environment={"PULLQUOTE_HITS": "6", "PULLQUOTE_INDEX": "env"}, index="given", candidates=None)
    assert config == Config(index=Path("given"), hits=6, sentences=2)


def test_defaults() -> None:
    assert Config.load(environment={}) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hist = 5", "unknown setting hist; known are: index, "),
        ("hits = 3.5", "setting hits is 3.5; give it as a whole number"),
        ("hits = true", "setting hits is True; give it as a whole number"),
        ("hits = []", "setting hits is []; give it as a whole number"),
        ("llm_seconds = 'long'", "setting llm_seconds is 'long'; give it as a number"),
        ("index = []", "setting index is []; give it as text"),
        ("allow_private_addresses = 'yes'", "setting allow_private_addresses is 'yes'; give it as true or false"),
        ("hits = 0", "hits is 0; set it between 1 and 10000"),
        ("min_confidence = 2", "min_confidence is 2.0; set it between 0 and 1"),
        ("index = 1 = 2", "cannot read settings from "),
    ],
)
def test_an_invalid_file_is_reported(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        Config.load(file, environment={})


def test_invalid_variables_and_arguments_are_reported() -> None:
    with pytest.raises(ConfigError, match="unknown variable PULLQUOTE_HIST"):
        Config.load(environment={"PULLQUOTE_HIST": "1"})
    with pytest.raises(ConfigError, match="variable PULLQUOTE_HITS is 'many'"):
        Config.load(environment={"PULLQUOTE_HITS": "many"})
    with pytest.raises(ConfigError, match="unknown argument colour"):
        Config.load(environment={}, colour="red")
    with pytest.raises(ConfigError, match="embedding_model is empty"):
        Config.load(environment={"PULLQUOTE_EMBEDDING_MODEL": ""})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read settings"):
        Config.load(tmp_path / "none.toml", environment={})


def test_the_key_is_not_a_setting() -> None:
    environment = {"PULLQUOTE_API_KEY": "sesame"}
    assert "sesame" not in repr(Config.load(environment=environment))
    assert (api_key(environment), api_key({})) == ("sesame", "")


@pytest.mark.parametrize(
    "given",
    [
        {"llm_context": 1023},
        {"llm_context": 10**7 + 1},
        {"llm_seconds": 0.9},
        {"llm_seconds": 10_001},
        {"llm_seconds": float("nan")},
        {"llm_seconds": float("inf")},
    ],
)
def test_limits_of_a_language_model(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(given))} is .*; set it between"):
        Config.load(environment={}, **given)


def test_settings_of_a_language_model() -> None:
    names = {"LLM": "tiny", "LLM_BASE_URL": "http://a/v1", "LLM_CONTEXT": "1024", "LLM_SECONDS": "1"}
    config = Config.load(environment={f"PULLQUOTE_{name}": value for name, value in names.items()})
    assert config == Config(llm="tiny", llm_base_url="http://a/v1", llm_context=1024, llm_seconds=1.0)
    with pytest.raises(ConfigError, match="PULLQUOTE_LLM_CONTEXT is '8k'"):
        Config.load(environment={"PULLQUOTE_LLM_CONTEXT": "8k"})
    with pytest.raises(ConfigError, match=r"llm_context is 2048\.5"):
        Config.load(environment={}, llm_context=2048.5)


def test_threads_are_those_that_numerical_libraries_take_or_the_cores() -> None:
    assert threads({"OMP_NUM_THREADS": "3"}) == 3
    cores = threads({})
    assert 1 <= cores <= (os.cpu_count() or 1)
    assert [threads({"OMP_NUM_THREADS": invalid}) for invalid in ("", "0", "-1", "4,2", "all")] == [cores] * 5
