"""The packaged model in OpenVINO: the vectors of sentence-transformers, without its libraries and without a message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from rag.config import PACKAGED_MODEL
from rag.models.embedding import Embedder
from rag.models.minilm import BATCH_TOKENS, MAX_TOKENS, PackagedEmbedder
from rag.models.model_files import model_path, packaged_folder
from rag.models.sentence_transformer import SentenceTransformerEmbedder
from rag.schema import Span
from tests.conftest import ROOT, SAMPLE

pytestmark = pytest.mark.slow

QUESTIONS = ["Which ferry sank off Norway in May?", "Wer hat das gesagt?", "", "  ", "naïve café \U0001f600 日本"]


@pytest.fixture(scope="module")
def packaged() -> PackagedEmbedder:
    return PackagedEmbedder(packaged_folder(), threads=2)


@pytest.fixture(scope="module")
def published() -> SentenceTransformerEmbedder:
    """The packaged model in PyTorch, with its weights as they are published: fp32."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformerEmbedder(SentenceTransformer(model_path(PACKAGED_MODEL), device="cpu"))


@pytest.fixture(scope="module")
def passages() -> tuple[list[str], list[list[Span]]]:
    """Paragraphs of the sample articles, one of them too long for the model, and the halves of each."""
    texts = [
        text for file in sorted(SAMPLE.glob("*")) for text in file.read_text("utf-8").split("\n\n") if text.strip()
    ]
    texts = [*texts[:150], " ".join(texts)[: 20 * MAX_TOKENS], "x"]
    return texts, [[(0, len(text) // 2), (len(text) // 2, len(text))] for text in texts]


def cosines(these: Sequence[np.ndarray], those: Sequence[np.ndarray]) -> np.ndarray:
    a, b = np.vstack(these), np.vstack(those)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_vectors_are_those_of_sentence_transformers(
    packaged: PackagedEmbedder,
    published: SentenceTransformerEmbedder,
    passages: tuple[list[str], list[list[Span]]],
) -> None:
    texts, parts = passages
    vectors, rows = packaged.embed_texts(texts, parts)
    their_vectors, their_rows = published.embed_texts(texts, parts)
    assert cosines(vectors, their_vectors).min() > 0.9999
    both = [(a, b) for ours, theirs in zip(rows, their_rows, strict=True) for a, b in zip(ours, theirs, strict=True)]
    whole = [(a, b) for a, b in both if b.any()]
    assert len(whole) > len(texts)
    assert cosines(*zip(*whole, strict=True)).min() > 0.9998
    assert cosines(packaged.embed_questions(QUESTIONS), published.embed_questions(QUESTIONS)).min() > 0.9999


def test_what_is_recorded_is_what_is_published(published: SentenceTransformerEmbedder) -> None:
    recorded = json.loads(files("rag.models").joinpath("minilm_vectors.json").read_text("utf-8"))
    assert cosines(published.embed_questions([*recorded]), np.array([*recorded.values()])).min() > 0.99999


def test_a_text_has_the_same_vectors_in_a_batch_and_alone(
    packaged: PackagedEmbedder, passages: tuple[list[str], list[list[Span]]]
) -> None:
    texts, parts = passages
    vectors, rows = packaged.embed_texts(texts, parts)
    assert sum(map(len, texts)) > 20 * BATCH_TOKENS
    for n in range(0, len(texts), 9):
        alone, [alone_rows] = packaged.embed_texts(texts[n : n + 1], parts[n : n + 1])
        assert cosines(vectors[n : n + 1], alone).min() > 0.9999
        assert cosines(rows[n], alone_rows).min() > 0.9998
    assert np.max(vectors[0] @ vectors[1:].T) < 0.99, "or any row would do"


def test_questions_and_texts_at_the_same_time(
    packaged: PackagedEmbedder, passages: tuple[list[str], list[list[Span]]]
) -> None:
    texts, parts = passages
    expected, expected_questions = packaged.embed_texts(texts, parts)[0], packaged.embed_questions(QUESTIONS)
    with ThreadPoolExecutor(8) as callers:
        written = [callers.submit(packaged.embed_texts, texts, parts) for _ in range(2)]
        asked = [callers.submit(packaged.embed_questions, QUESTIONS) for _ in range(40)]
        for question in asked:
            assert cosines(question.result(), expected_questions).min() > 0.9999
        for text in written:
            assert cosines(text.result()[0], expected).min() > 0.9999


def test_nothing(embedder: Embedder) -> None:
    vectors, rows = embedder.embed_texts([], [])
    assert (vectors.shape, rows) == ((0, 384), [])
    assert embedder.embed_questions([]).shape == (0, 384)


SLOW_LIBRARIES = ("torch", "transformers", "sentence_transformers", "scipy", "sklearn", "pandas", "openvino_telemetry")
IN_A_NEW_PROCESS = f"""
import sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith(("socket.", "urllib.")) else None)
from rag.models.embedding import load_embedder
vectors, _ = load_embedder({PACKAGED_MODEL!r}).embed_texts(["Who sank?"] * 300, [()] * 300)
assert vectors.shape == (300, 384)
print(events, [name for name in {SLOW_LIBRARIES} if name in sys.modules])
"""


def test_no_slow_library_is_loaded_and_nothing_is_sent(tmp_path: Path) -> None:
    """A plain `import openvino` loads its converter, which sends a message unless a file in the home forbids it."""
    home = {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, env=home, check=False
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")
    assert list(tmp_path.iterdir()) == [], "no file that identifies the machine, and no cache"


def test_a_signal_after_models_have_ended() -> None:
    code = (
        "import gc, os, signal, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from rag.config import PACKAGED_MODEL\n"
        "from rag.models.embedding import load_embedder\n"
        "texts = ['Some words. ' * 40] * 40\n"
        "for _ in range(2): load_embedder(PACKAGED_MODEL).embed_texts(texts, [()] * 40)\n"
        "ThreadPoolExecutor(1).submit(load_embedder, PACKAGED_MODEL).result()\n"
        "gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 7
