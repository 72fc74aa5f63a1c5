"""How well each sentence of a passage fits a question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from rag.language.question import Asked, asked, offers
from rag.schema import Passage
from rag.store.fulltext import FullTextIndex

WORDS_WEIGHT, TITLE_WEIGHT, CONTEXT_WEIGHT, ASKED_WEIGHT = 0.2, 0.3, 0.3, 0.3
"""What counts beside a sentence's similarity (weight 1); chosen on parts of SQuAD 2.0, Natural Questions and CANARD."""


SHORTEST = 4
"""Words; what is shorter is a heading or a fragment."""
_NO_PROSE = re.compile(
    r"(?:(?:(?:additional )?(?:reporting|writing|editing) )?by|photo(?:graph)?|image|picture|file photo|video|credit)"
    r"\s*[:|/©]|(?:by|(?:additional )?(?:reporting|writing|editing) by) (?:[A-Z][\w.’'-]*+,?+ ?+(?:and )?+){1,6}+$"
    r"|©|\(c\) \d{4}|copyright\b|all rights reserved|read more|advertisement\b|sign up (?:for|to)|subscribe\b",
    re.IGNORECASE,
)
"""How bylines, credits and a page's own notices begin."""
_WORDS = re.compile(r"[^\W\d_]{2,}")


def is_prose(text: str) -> bool:
    """May a sentence be quoted? Fragments, rows of tables, bylines and a page's own notices may not."""
    if len(text.split()) < SHORTEST or _NO_PROSE.match(text.strip()):
        return False
    words = _WORDS.findall(text)
    named = [word for word in words if word.istitle()]
    return len(words) > 1 and (not named or any(word[0].islower() for word in words))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """What two sets have in common, as a share of all they have; 1 for two empty ones."""
    return len(a & b) / len(a | b) if a | b else 1.0


@dataclass(frozen=True, slots=True)
class QuestionProfile:
    """What a question asks for: the kind of thing, and its words, each with how rare it is."""

    question: str
    kind: Asked
    rarity: Mapping[str, float]

    @classmethod
    def of(cls, question: str, fulltext: FullTextIndex, carried: str = "", weight: float = 0.0) -> Self:
        """The words of `carried` count as the question's do, times `weight`."""
        added = {term: weight * rarity for term, rarity in fulltext.rarity(fulltext.terms(carried)).items() if weight}
        return cls(question, asked(question), {**added, **fulltext.rarity(fulltext.terms(question))})

    def share(self, terms: frozenset[str]) -> float:
        """The share of the question's words that are among `terms`, each weighted by its rarity; 0 for no words."""
        total = sum(self.rarity.values())
        return sum(weight for term, weight in self.rarity.items() if term in terms) / total if total else 0.0


def fit(
    need: QuestionProfile, passage: Passage, similarities: Sequence[float], fulltext: FullTextIndex
) -> tuple[float, ...]:
    """A score for each sentence of a passage.

    It is the sentence's similarity to the question, plus the share of the question's words that it has by itself,
    that it has together with its article's title, and that it has together with what stands before it as well (the
    sentence before, and a heading or an interviewer's question in between), plus a bonus if it offers the kind of thing
    the question asks for.
    """
    title = frozenset(fulltext.terms(passage.title))
    texts = [passage.slice(span) for span in passage.sentences]
    terms = [frozenset[str](), *(frozenset(fulltext.terms(text)) for text in texts)]
    ends = (passage.start, *(end for _, end in passage.sentences))
    between = (passage.slice((end, start)) for end, (start, _) in zip(ends, passage.sentences, strict=False))
    nearest = (text.strip().rpartition("\n")[2] for text in between)
    headings = [frozenset(fulltext.terms(line)) if line else frozenset[str]() for line in nearest]
    return tuple(
        similarity
        + WORDS_WEIGHT * need.share(own)
        + TITLE_WEIGHT * need.share(own | title)
        + CONTEXT_WEIGHT * need.share(own | title | before | heading)
        + ASKED_WEIGHT * offers(text, need.kind, need.question)
        for text, similarity, heading, (before, own) in zip(texts, similarities, headings, pairwise(terms), strict=True)
    )
