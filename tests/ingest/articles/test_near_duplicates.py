"""Near duplicates."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.articles.near_duplicates import SAME_ARTICLE, near_duplicate_groups, resemblance, sketch
from rag.store.catalog.rows import Neighbour

WORDS = [f"word{n}" for n in range(400)]
STORY = " ".join(WORDS)
EDITED = " ".join([*WORDS[:100], "another", *WORDS[101:380], "end"])
OTHER = " ".join(reversed(WORDS))


def test_resemblance_compares_shingles() -> None:
    assert resemblance(sketch(STORY), sketch(STORY.upper())) == 1
    assert resemblance(sketch(STORY), sketch(EDITED)) > 0.8
    assert resemblance(sketch(STORY), sketch(OTHER)) < 0.1
    assert resemblance(sketch(STORY), sketch(" ".join(WORDS[:200]))) < SAME_ARTICLE
    assert resemblance("", sketch(STORY)) == resemblance("", "") == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_a_sketch(a: str, b: str) -> None:
    assert 0 <= resemblance(sketch(a), sketch(b)) <= 1
    assert resemblance(sketch(a), sketch(a)) == (1 if a.split() else 0)


def test_an_article_joins_the_group_of_its_nearest_duplicate() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    sketches = [sketch(text) for text in (STORY, EDITED, OTHER, STORY)]
    near = [[Neighbour(0.99, "of x", sketch(EDITED))], [], [], []]
    own = ["a", "b", "c", "d"]
    # The last one has the words of the first, but a vector far from it: it is not even compared.
    assert near_duplicate_groups(vectors, sketches, own, [[], [], [], []]) == ["a", "a", "c", "d"]
    assert near_duplicate_groups(vectors, sketches, own, near) == ["of x", "of x", "c", "d"]
