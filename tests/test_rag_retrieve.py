"""Retrieval: fusion of the two sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import ingest
from rag.chain import Chain
from rag.config import Config
from rag.errors import IndexMissing
from rag.index import open_for_writing
from rag.models import Embedder
from rag.retrieve import Retriever, standardized


@given(st.lists(st.floats(-10, 10), min_size=1))
def test_z_scores_have_mean_0_and_deviation_1(scores: list[float]) -> None:
    z = standardized(scores)
    assert z.mean() == pytest.approx(0, abs=1e-6)
    assert z.std() == pytest.approx(1) or not z.any()
    assert (np.diff(z[np.argsort(scores)]) >= 0).all(), "the order is kept"


@pytest.mark.slow
def test_each_side_finds_what_the_other_misses(config: Config, tmp_path: Path) -> None:
    texts = {
        "code": "Form QX-4417 must be filled in by everyone who wants to keep a parrot at home.",
        "animal": "A big cat was seen on the road to the valley; hunters could not catch the lion.",
        "bus": "A night bus will link the islands from May.",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    ingest([tmp_path], config)
    chain = Chain.from_config(config)
    assert chain.retrieve("QX-4417")[0].passage.article_id == "code.txt"
    assert chain.retrieve("Which wild predator escaped its pursuers?")[0].passage.article_id == "animal.txt"
    hits = chain.retrieve("night bus")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(len(hit.sentence_scores) == len(hit.passage.sentences) for hit in hits)


@pytest.mark.slow
def test_an_empty_index_says_what_to_do(config: Config, embedder: Embedder) -> None:
    with open_for_writing(config.index, config.embedding_model, "splitter") as writer:
        retriever = Retriever(writer, embedder, candidates=10, hits=3)
        with pytest.raises(IndexMissing, match="pullquote ingest"):
            retriever.retrieve("anything?")
