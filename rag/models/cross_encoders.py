"""Cross-encoders, which read two texts together: rerankers and entailment models.

Knows nothing of passages and of the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.errors import ModelError, cut
from rag.models.model_files import load_error, model_path

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


BATCH = 16


class Reranker(Protocol):
    """Scores how well texts answer a question, reading both together."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score per text, in order; higher is better."""
        ...


class Entailment(Protocol):
    """Estimates whether a sentence follows from a text, reading both together."""

    def entails(self, texts: Sequence[str], sentence: str) -> list[float]:
        """One probability per text, in order."""
        ...


class CrossEncoderReranker:
    """A sentence-transformers CrossEncoder behind `Reranker`."""

    def __init__(self, model: CrossEncoder) -> None:
        self._model = model

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The model's own scores, one per text."""
        pairs = [(question, text) for text in texts]
        return [float(score) for score in self._model.predict(pairs, batch_size=BATCH, show_progress_bar=False)]


class CrossEncoderEntailment:
    """A CrossEncoder behind `Entailment`: its probability of "entailment", or its only score as a probability."""

    def __init__(self, model: CrossEncoder, label: int) -> None:
        self._model = model
        self._label = label

    def entails(self, texts: Sequence[str], sentence: str) -> list[float]:
        """The probability, for each text, that the sentence follows from it."""
        import torch

        pairs = [(text, sentence) for text in texts]
        logits = self._model.predict(
            pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=torch.nn.Identity(), convert_to_tensor=True
        )
        logits = logits.reshape(len(pairs), -1).float()
        likely = logits.softmax(dim=1)[:, self._label] if logits.shape[1] > 1 else logits.sigmoid()[:, 0]
        return [float(probability) for probability in likely]


def load_reranker(name: str) -> Reranker | None:
    """Load a reranker by its folder or its name on the model hub; None for an empty name.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such model, or if
    it gives more than one score per text.
    """
    if not name:
        return None
    model = _load_cross_encoder("reranker", name)
    if model.config.num_labels != 1:
        raise ModelError(f"the reranker {cut(name)!r} gives {model.config.num_labels} scores; use one that gives one")
    return CrossEncoderReranker(model)


def load_entailment(name: str) -> Entailment | None:
    """Load a model that checks support, a CrossEncoder for entailment or for ranking; None for an empty name.

    Only a hub name that is not in the local cache uses the network. Raises ModelError if there is no such model, or if
    it has several labels and none of them is "entailment".
    """
    if not name:
        return None
    model = _load_cross_encoder("support model", name)
    labels = {str(label).lower(): int(number) for number, label in model.config.id2label.items()}
    if model.config.num_labels > 1 and "entailment" not in labels:
        raise ModelError(f"the support model {cut(name)!r} has no label 'entailment'; use one for entailment (NLI)")
    return CrossEncoderEntailment(model, labels.get("entailment", 0))


def _load_cross_encoder(kind: str, name: str) -> Any:
    path = model_path(name)
    from sentence_transformers import CrossEncoder

    try:
        return CrossEncoder(path, device="cpu", local_files_only=Path(path).is_dir())
    except (OSError, ValueError) as error:
        raise load_error(
            kind, name, error, "use a CrossEncoder's name or folder, or leave the setting empty"
        ) from error
