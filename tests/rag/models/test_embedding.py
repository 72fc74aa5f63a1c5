"""Embedders, and the packaged model, which must be the published one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError
from rag.models.embedding import Embedder, load_embedder
from rag.models.model_files import PACKAGED_SHA256
from rag.models.openvino_bert import Shape
from rag.models.sentence_transformer import SentenceTransformerEmbedder

pytestmark = pytest.mark.slow


TEXTS = ["A ship sank off the coast. Nobody was hurt.", "The ferry went down at sea.", "Bread is dearer."]


def test_vectors_have_length_1_and_reflect_meaning(embedder: Embedder) -> None:
    vectors, _ = embedder.embed_texts(TEXTS, [()] * 3)
    [question] = embedder.embed_questions(["Which boat was lost?"])
    assert (vectors.shape, question.shape) == ((3, 384), (384,))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-2)
    assert min(vectors[:2] @ question) > vectors[2] @ question + 0.2
    assert embedder.embed_texts([], [])[0].shape == (0, 384)


def test_a_sentence_is_the_mean_of_its_own_tokens_in_their_context(embedder: Embedder) -> None:
    spans = [(0, 26), (27, len(TEXTS[0]))]
    vectors, parts = embedder.embed_texts(TEXTS[:1], [spans])
    assert parts[0].shape == (2, 384)
    assert np.linalg.norm(parts[0], axis=1) == pytest.approx(1, abs=1e-3)
    [_, alone] = embedder.embed_texts([TEXTS[0][slice(*span)] for span in spans], [()] * 2)[0]
    assert 0.5 < parts[0][1] @ alone < 0.999, "the same words, read after those before them"
    assert parts[0].mean(axis=0) @ vectors[0] > 0.8


def test_a_part_beyond_the_maximum_length_is_embedded_separately(embedder: Embedder) -> None:
    text = f"{'word ' * 400}The ferry went down at sea."
    _, [[vector]] = embedder.embed_texts([text], [[(2000, len(text))]])
    [alone] = embedder.embed_texts([text[2000:]], [()])[0]
    assert vector @ alone == pytest.approx(1, abs=1e-2)


def test_where_openvino_is_missing_pytorch_computes_the_packaged_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert isinstance(load_embedder(PACKAGED_MODEL), SentenceTransformerEmbedder)
    [record] = caplog.records
    assert record.getMessage().startswith("the packaged model runs in PyTorch, which takes longer (")


def test_where_openvino_gives_other_vectors_pytorch_computes_the_packaged_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rag.models.minilm.SHAPE", Shape(layers=5, heads=12, epsilon=1e-12))
    assert isinstance(load_embedder(PACKAGED_MODEL), SentenceTransformerEmbedder)
    assert "vectors differ" in caplog.text


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_changed_model_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED_SHA256, name, "0" * 64)
    with pytest.raises(ModelError, match=f"not the published one .{name} differs.; run: pip"):
        load_embedder(PACKAGED_MODEL)


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the embedding model"):
        load_embedder(str(tmp_path))
