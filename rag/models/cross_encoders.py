"""Cross-encoders: rerankers and entailment models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.errors import ModelError, cut
from rag.models.embedding import BATCH, model_path, not_loaded

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Reranker(Protocol):
    """Reads a question and a text together, and says how well they fit."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One a text, in order; more is better."""
        ...


class Entailment(Protocol):
    """Reads a text and a sentence together, and says whether the one follows from the other."""

    def entails(self, texts: Sequence[str], sentence: str) -> list[float]:
        """A probability for each text, in order."""
        ...


class CrossEncoderReranker:
    """A sentence-transformers CrossEncoder behind `Reranker`."""

    def __init__(self, model: CrossEncoder) -> None:
        self._model = model

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The model's own scores, one a text."""
        pairs = [(question, text) for text in texts]
        return [float(score) for score in self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False)]


def load_reranker(name: str) -> Reranker | None:
    """Build the reranker that a name means: none for none, a CrossEncoder's folder, or its name on the model hub.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such model, or it
    has more than one score for a text.
    """
    if not name:
        return None
    model = load_cross_encoder("reranker", name)
    if model.config.num_labels != 1:
        raise ModelError(f"the reranker {cut(name)!r} gives {model.config.num_labels} scores; use one that gives one")
    return CrossEncoderReranker(model)


class CrossEncoderEntailment:
    """A CrossEncoder behind `Entailment`: its probability of "entailment", or its only score as a probability."""

    def __init__(self, model: CrossEncoder, label: int) -> None:
        self._model = model
        self._label = label

    def entails(self, texts: Sequence[str], sentence: str) -> list[float]:
        """For each text: does the sentence follow from it?"""
        import torch

        pairs = [(text, sentence) for text in texts]
        scores = self._model.predict(
            pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=torch.nn.Identity(), convert_to_tensor=True
        )
        scores = scores.reshape(len(pairs), -1).float()
        likely = scores.softmax(dim=1)[:, self._label] if scores.shape[1] > 1 else scores.sigmoid()[:, 0]
        return [float(one) for one in likely]


def load_entailment(name: str) -> Entailment | None:
    """Build the model that agrees to written sentences: none for none, a CrossEncoder for entailment or for ranking.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such model, or it
    has several labels and none of them is "entailment".
    """
    if not name:
        return None
    model = load_cross_encoder("support model", name)
    labels = {str(label).lower(): int(number) for number, label in model.config.id2label.items()}
    if model.config.num_labels > 1 and "entailment" not in labels:
        raise ModelError(f"the support model {cut(name)!r} has no label 'entailment'; use one for entailment (NLI)")
    return CrossEncoderEntailment(model, labels.get("entailment", 0))


def load_cross_encoder(what: str, name: str) -> Any:
    path = model_path(name)
    from sentence_transformers import CrossEncoder

    try:
        return CrossEncoder(path, device="cpu", local_files_only=Path(path).is_dir())
    except (OSError, ValueError) as error:
        raise not_loaded(what, name, error, "use a CrossEncoder's name or folder, or none") from error
