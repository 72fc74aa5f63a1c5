"""Near duplicates."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ingest.articles.near_duplicates import SAME_ARTICLE, near_duplicate_groups, resemblance, sketch
from rag.store.catalog.rows import Sketched, bands_of

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
    sketches = [sketch(text) for text in (STORY, EDITED, OTHER, "")]
    known = [[Sketched("of x", sketch(EDITED)), Sketched("of y", sketch(OTHER))], [], [], []]
    own = ["a", "b", "c", "d"]
    assert near_duplicate_groups(sketches, own, [[], [], [], []]) == ["a", "a", "c", "d"]
    assert near_duplicate_groups(sketches, own, known) == ["of x", "of x", "c", "d"]


def test_similar_texts_share_a_band_and_others_do_not() -> None:
    assert set(bands_of(sketch(STORY))) & set(bands_of(sketch(EDITED)))
    assert not set(bands_of(sketch(STORY))) & set(bands_of(sketch(OTHER)))
    assert bands_of("") == bands_of("no sketch") == []


def test_texts_at_the_threshold_are_compared_with_each_other() -> None:
    drawn = random.Random(1)
    shared = 0
    for _ in range(200):
        words = [f"w{drawn.randrange(10**6)}" for _ in range(200)]
        other = [*words[:150], *(f"v{drawn.randrange(10**6)}" for _ in range(50))]  # a resemblance of .6
        shared += bool(set(bands_of(sketch(" ".join(words)))) & set(bands_of(sketch(" ".join(other)))))
    assert shared >= 195
