"""The packaged model: that it is the published one, that nothing else is loaded in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rag.models
from rag.config import PACKAGED_MODEL
from rag.errors import ModelError
from rag.models import Embedder, load_embedder

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
