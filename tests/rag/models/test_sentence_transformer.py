"""Models that sentence-transformers loads: late pooling only where a model averages its tokens; PyTorch's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rag.models.sentence_transformer
from rag.config import PACKAGED_MODEL
from rag.models.embedding import load_embedder
from rag.models.model_files import model_path
from rag.models.sentence_transformer import BATCH, SentenceTransformerEmbedder, load_sentence_transformer

pytestmark = pytest.mark.slow


TEXTS = ["A ship sank off the coast. Nobody was hurt.", "The ferry went down at sea.", "Bread is dearer."]


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    """The packaged model in PyTorch."""
    return load_sentence_transformer(PACKAGED_MODEL)


def test_a_text_has_the_same_vectors_in_a_batch_and_alone(embedder: SentenceTransformerEmbedder) -> None:
    import torch

    texts = [f"{TEXTS[n % 3]} {'More of it. ' * (n * 7 % 40)}" for n in range(3 * BATCH + 1)]
    spans = [[(0, len(TEXTS[n % 3]))] for n in range(len(texts))]
    threads = torch.get_num_threads()
    vectors, parts = embedder.embed_texts(texts, spans)
    assert torch.get_num_threads() == threads
    for n in range(0, len(texts), 5):
        [alone], [[part]] = embedder.embed_texts([texts[n]], [spans[n]])
        assert vectors[n] @ alone > 0.999
        assert parts[n][0] @ part > 0.999
    assert np.max(vectors[0] @ vectors[1:].T) < 0.99, "or any row would do"


@dataclass
class Watched:
    """The packaged model, and PyTorch's number of threads during each part of the work."""

    embedder: SentenceTransformerEmbedder
    for_questions: list[int] = field(default_factory=list)
    for_texts: list[int] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


THREADS = 3


@pytest.fixture
def watched(embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """As on a machine of three cores; the question "wait" blocks in the model until it is released."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    model = embedder._model
    watched = Watched(SentenceTransformerEmbedder(model))
    encode, read, batches = (
        model.encode_query,
        SentenceTransformerEmbedder._embed_batch,
        rag.models.sentence_transformer._batches,
    )

    def encode_query(questions: list[str], **named: object) -> object:
        watched.for_questions.append(torch.get_num_threads())
        if questions == ["wait"]:
            watched.begun.set()
            assert watched.released.wait(60)
        return encode(questions, **named)

    def read_batch(self: SentenceTransformerEmbedder, *given: Any) -> Any:
        watched.for_texts.append(torch.get_num_threads())
        return read(self, *given)

    def batched(lengths: list[int], workers: int) -> list[list[int]]:
        watched.workers.append(workers)
        return batches(lengths, workers)

    monkeypatch.setattr(model, "encode_query", encode_query)
    monkeypatch.setattr(SentenceTransformerEmbedder, "_embed_batch", read_batch)
    monkeypatch.setattr(rag.models.sentence_transformer, "_batches", batched)
    yield watched
    torch.set_num_threads(threads)


def in_a_new_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def test_a_running_question_does_not_slow_an_ingest(watched: Watched) -> None:
    import torch

    with ThreadPoolExecutor(1) as thread:
        question = thread.submit(watched.embedder.embed_questions, ["wait"])
        assert watched.begun.wait(60)
        assert in_a_new_thread(torch.get_num_threads) == THREADS
        in_a_new_thread(lambda: watched.embedder.embed_texts(TEXTS, [()] * 3))
        in_a_new_thread(lambda: watched.embedder.embed_questions(["What?"]))
        watched.released.set()
        question.result()
        assert thread.submit(torch.get_num_threads).result() == THREADS, "the asker's own number is as it was"
    assert (watched.for_questions, watched.for_texts, watched.workers) == ([1, 1], [1, 1, 1], [THREADS])
    assert (torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)) == (THREADS, THREADS)


def test_questions_during_an_ingest_do_not_change_the_number_of_threads(watched: Watched) -> None:
    import torch

    def ask(number: int) -> int:
        watched.embedder.embed_questions([f"What happened at number {number}?"])
        return torch.get_num_threads()

    with ThreadPoolExecutor(12) as askers, ThreadPoolExecutor(1) as writer:
        texts = [writer.submit(watched.embedder.embed_texts, TEXTS, [()] * 3) for _ in range(12)]
        assert set(askers.map(ask, range(60))) == {THREADS}
        for each in texts:
            each.result()
        assert writer.submit(torch.get_num_threads).result() == THREADS
    assert (set(watched.for_questions), set(watched.for_texts), set(watched.workers)) == ({1}, {1}, {THREADS})
    assert (torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)) == (THREADS, THREADS)


def test_a_model_with_a_layer_after_its_mean_embeds_sentences_separately(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    model = SentenceTransformer(model_path(PACKAGED_MODEL), device="cpu")
    model.append(Dense(384, 16))
    model.save(str(tmp_path / "dense"))
    embedder = load_embedder(str(tmp_path / "dense"))
    vectors, [parts] = embedder.embed_texts(TEXTS[:1], [[(0, 26)]])
    assert (vectors.shape, parts.shape) == ((1, 16), (1, 16))


def test_a_model_that_pools_otherwise_embeds_sentences_separately(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_path(PACKAGED_MODEL), device="cpu")
    list(model.children())[1].pooling_mode = "cls"
    model.save(str(tmp_path / "cls"))
    embedder = load_embedder(str(tmp_path / "cls"))
    _, [parts] = embedder.embed_texts(TEXTS[:1], [[(0, 26)]])
    [alone] = embedder.embed_texts([TEXTS[0][:26]], [()])[0]
    assert parts[0] @ alone == pytest.approx(1, abs=1e-2)
