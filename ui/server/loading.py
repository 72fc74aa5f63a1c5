"""A chain whose embedding model loads while the page is served; questions wait for it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Self, Unpack

from rag.chain import Chain, Scope, checked
from rag.config import Config
from rag.errors import PullquoteError
from rag.models.embedding import Embedder, Vectors, load_embedder
from rag.schema import Answer, Span, Turn
from rag.store.index import Index
from ui.services.errors import unexpected

LOADING = "Loading the model …"
UPDATE_SECONDS = 0.5
"""Between two states of an answer that waits; a question can be stopped at each."""


@dataclass(frozen=True, slots=True)
class LoadingEmbedder:
    """An embedder that may still be loading: its methods wait for it, and raise ModelError if it cannot be loaded."""

    loading: Future[Embedder]

    def embed_questions(self, questions: Sequence[str]) -> Vectors:
        """One row per question, in order."""
        return self.loading.result().embed_questions(questions)

    def embed_texts(self, texts: Sequence[str], parts: Sequence[Sequence[Span]]) -> tuple[Vectors, list[Vectors]]:
        """One row per text, and for each text one row per part."""
        return self.loading.result().embed_texts(texts, parts)


@dataclass(frozen=True)
class LoadingChain(Chain):
    """A chain whose answers say that the embedding model is loading until `load` has loaded it."""

    loading: Future[Embedder] = field(default_factory=Future)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Open the index; the embedding model is left to `load`.

        Raises IndexMissing, IndexMismatch, StoreError, or ModelError for another model.
        """
        index, loading = Index(config.index, config.embedding_model), Future[Embedder]()
        return cls.with_embedder(index, LoadingEmbedder(loading), config, loading=loading)

    def load(self) -> None:
        """Load the embedding model, once. Raises ModelError, which those that wait for it get as well."""
        try:
            with unexpected("the embedding model could not be loaded"):
                self.loading.set_result(load_embedder(self.index.embedding_model))
        except PullquoteError as error:
            self.loading.set_exception(error)
            raise

    @property
    def is_loading(self) -> bool:
        """Whether questions still have to wait."""
        return not self.loading.done()

    def stream(
        self, question: str, history: Sequence[Turn] = (), **scope: Unpack[Scope]
    ) -> Generator[Answer, None, None]:
        """The answer as it grows; while the model is loading, `doing` says so."""
        question = checked(question)
        while self.is_loading:
            yield Answer(question, "", (), (), grounded=False, confidence=0.0, doing=LOADING)
            wait([self.loading], UPDATE_SECONDS)
        yield from Chain.stream(self, question, history, **scope)
