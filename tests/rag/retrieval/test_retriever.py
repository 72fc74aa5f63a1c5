"""Retrieval: fusion of dense and full-text search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import ingest
from rag.chain import Chain
from rag.config import Config
from rag.errors import IndexMissing
from rag.models.embedding import Embedder
from rag.retrieval.retriever import Retriever, z_scores
from rag.schema import Query
from rag.store.index import Index
from rag.store.writer import open_for_writing


@given(st.lists(st.floats(-10, 10), min_size=1))
def test_z_scores_have_mean_0_and_deviation_1(scores: list[float]) -> None:
    z = z_scores(scores)
    assert z.mean() == pytest.approx(0, abs=1e-6)
    assert z.std() == pytest.approx(1) or not z.any()
    assert (np.diff(z[np.argsort(scores)]) >= 0).all(), "the order is kept"


@pytest.mark.slow
def test_dense_and_full_text_search_complement_each_other(config: Config, tmp_path: Path) -> None:
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
    for hit in hits:
        assert len(hit.similarities) == len(hit.fit) == len(hit.passage.sentences)


WIRE = (
    "The night ferry ran aground off Cape Dolm on Sunday, and all 93 people on board were taken off by the coast guard."
)


def corpus(tmp_path: Path, config: Config, articles: dict[str, str]) -> Chain:
    for name, text in articles.items():
        (tmp_path / f"{name}.txt").write_text(text)
    ingest([tmp_path], config)
    return Chain.from_config(config)


@pytest.mark.slow
def test_near_duplicates_are_one_hit(config: Config, tmp_path: Path) -> None:
    chain = corpus(tmp_path, config, {"a": WIRE, "b": WIRE.replace("taken off", "saved"), "c": "Bees sleep at night."})
    hits = chain.retrieve("How many people were on the ferry that ran aground?")
    assert [hit.passage.article_id for hit in hits] in (["a.txt", "c.txt"], ["b.txt", "c.txt"])
    assert {hits[0].passage.article_id, *(p.article_id for p in hits[0].duplicates)} == {"a.txt", "b.txt"}


@pytest.mark.slow
def test_no_article_fills_the_hits_unless_the_question_is_about_it(config: Config, tmp_path: Path) -> None:
    paragraphs = [f"The mayor spoke of bridge number {n}. {'She had much to say of it. ' * 12}" for n in range(30)]
    articles = {"long": "Harbor notes\n\n" + "\n\n".join(paragraphs)}
    articles |= {f"s{n}": f"Bridge {n} day\n\nThe mayor of town {n} spoke of a bridge." for n in range(8)}
    chain = corpus(tmp_path, config, articles)
    counts = Counter(hit.passage.article_id for hit in chain.retrieve("Which bridge did the mayor speak of?"))
    assert counts["long.txt"] <= 5
    assert counts.total() == 10
    named = Counter(
        hit.passage.article_id for hit in chain.retrieve("In the harbor notes, what did the mayor speak of?")
    )
    assert named["long.txt"] > 5


@dataclass(frozen=True)
class Longest:
    """A reranker a reader can compute in the head."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]


@pytest.mark.slow
def test_a_reranker_has_the_last_word(sample_chain: Chain) -> None:
    reranked = replace(sample_chain.retriever, reranker=Longest(), hits=20)
    hits = reranked.retrieve(Query("What did Iraq tell the Security Council?"))
    lengths = [len(hit.passage.indexed_text) for hit in hits[:8]]
    assert lengths == sorted(lengths, reverse=True)
    assert hits[0].score == lengths[0]


@pytest.mark.slow
def test_each_sub_question_has_its_scores(sample_chain: Chain) -> None:
    hits = sample_chain.retrieve(
        "Did the Iraqi letter reach the council before the complaint about the airspace was made?"
    )
    assert {len(hit.sub_question_fits) for hit in hits} == {2}
    assert all(len(fits) == len(hit.passage.sentences) for hit in hits for fits in hit.sub_question_fits)


@pytest.mark.slow
def test_an_empty_index_says_what_to_do(config: Config, embedder: Embedder) -> None:
    with open_for_writing(config.index, config.embedding_model, "splitter"):
        pass
    retriever = Retriever(Index(config.index, config.embedding_model), embedder, candidates=10, hits=3)
    with pytest.raises(IndexMissing, match="pullquote ingest"):
        retriever.retrieve(Query("anything?"))
