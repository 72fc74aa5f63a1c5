"""Fixtures shared by all tests: real parts, made once where that is safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from rag.chain import Chain
from rag.config import PACKAGED_MODEL, Config
from rag.models.embedding import Embedder, load_embedder

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "eval" / "data" / "articles"

# A deadline for each example would measure how busy the machine is.
settings.register_profile("pullquote", deadline=None)
settings.load_profile("pullquote")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="DIR", help="write what the session's browser sees here")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test does by default touches this checkout's files or the developer's settings."""
    import os

    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PULLQUOTE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The packaged model, loaded once."""
    return load_embedder(PACKAGED_MODEL)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Default settings, with an index of this test's own."""
    return Config(index=tmp_path / "index")


@pytest.fixture(scope="session")
def sample_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the sample corpus; tests only read it."""
    from ingest import ingest

    folder = tmp_path_factory.mktemp("sample") / "index"
    report = ingest([SAMPLE], Config(index=folder))
    assert not report.failed
    return folder


@pytest.fixture(scope="session")
def sample_chain(sample_index: Path) -> Chain:
    """The chain over the sample corpus, as a user gets it."""
    return Chain.from_config(Config(index=sample_index))


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex's process-wide Settings reach for a vendor's models; whoever looks at them here fails."""
    from llama_index.core import Settings  # noqa: TID251 - to see that nobody else does

    def refused(_: object) -> None:
        raise AssertionError("LlamaIndex's Settings were used; pass models explicitly")

    for name in (
        "llm",
        "embed_model",
        "callback_manager",
        "tokenizer",
        "node_parser",
        "prompt_helper",
        "transformations",
    ):
        monkeypatch.setattr(type(Settings), name, property(refused))
