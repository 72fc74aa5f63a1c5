"""Rerankers: any CrossEncoder with one score per text, and errors for other models."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError
from rag.models.cross_encoders import load_reranker
from rag.models.model_files import model_path

pytestmark = pytest.mark.slow

TEXTS = ["A ship sank off the coast. Nobody was hurt.", "The ferry went down at sea.", "Bread is dearer."]


def tiny_reranker(folder: Path, labels: int = 1) -> str:
    """A CrossEncoder of one small layer with random weights, and the packaged model's words."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(1)  # some weights say the same of every text
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = BertConfig(vocab_size=30522, num_labels=labels, initializer_range=1.0, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path(PACKAGED_MODEL)).save_pretrained(folder)
    return str(folder)


def test_any_cross_encoder_orders_passages(tmp_path: Path) -> None:
    reranker = load_reranker(tiny_reranker(tmp_path / "tiny"))
    assert reranker is not None
    scores = reranker.scores("Which boat was lost?", TEXTS)
    assert len(scores) == 3
    assert len(set(scores)) == 3
    assert reranker.scores("Which boat was lost?", TEXTS[::-1]) == pytest.approx(scores[::-1], abs=1e-4)


def test_no_reranker_and_invalid_ones(tmp_path: Path) -> None:
    assert load_reranker("") is None
    with pytest.raises(ModelError, match="gives 3 scores"):
        load_reranker(tiny_reranker(tmp_path / "three", labels=3))
    with pytest.raises(ModelError, match="cannot load the reranker"):
        load_reranker(str(tmp_path))
