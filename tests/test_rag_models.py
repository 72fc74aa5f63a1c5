"""The packaged model: that it is the published one, that nothing else is loaded in its place."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from llm_server import scripted

import rag.models
from rag.config import PACKAGED_MODEL
from rag.errors import ModelError
from rag.models import Embedder, Usage, load_embedder, load_llm

pytestmark = pytest.mark.slow


def test_vectors_have_length_1_and_mean_something(embedder: Embedder) -> None:
    vectors = embedder.embed(["A ship sank off the coast.", "The ferry went down at sea.", "Bread is dearer."])
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-2)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert embedder.embed([]).shape == (0, 384)


def test_a_changed_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rag.models, "PACKAGED_MODEL_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="SHA-256"):
        load_embedder(PACKAGED_MODEL)


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the embedding model"):
        load_embedder(str(tmp_path))


@pytest.mark.parametrize("url", ["", "localhost:11434", "file:///etc/passwd"])
def test_a_language_model_needs_an_address(url: str) -> None:
    with pytest.raises(ModelError, match="http://localhost:11434/v1"):
        load_llm("tiny", url)


def test_no_key_is_sent_but_its_own(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.1/")
    with scripted(lambda _: "Tea is hot.") as server, closing(load_llm("tiny", server.url)) as model:
        assert model.complete("How is tea?") == "Tea is hot."
        assert model.usage == Usage(1, 10, 2)
    assert (server.keys, server.prompts) == (["Bearer none"], ["How is tea?"])
    assert Usage(1, 10, 2) + Usage(1, 1, 1) == Usage(2, 11, 3)
