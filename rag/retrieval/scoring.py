"""Score how well each sentence of a passage fits a question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from rag.language.question import Asked, asked, has_answer_type
from rag.schema import Passage
from rag.store.derived.fulltext import FullTextIndex

SENTENCE_WEIGHT, TITLE_WEIGHT, CONTEXT_WEIGHT = 0.2, 0.3, 0.3
"""Weights of the question's words that are in the sentence, in it or its title, and in those or what precedes it."""
ANSWER_TYPE_BONUS = 0.3
"""Added if the sentence offers the kind of thing the question asks for. The similarity has weight 1; all weights were
chosen on parts of SQuAD 2.0, Natural Questions and CANARD."""

FEWEST_WORDS = 4
"""A shorter text is a heading or a fragment."""
_NO_PROSE = re.compile(
    r"(?:(?:(?:additional )?(?:reporting|writing|editing) )?by|photo(?:graph)?|image|picture|file photo|video|credit)"
    r"\s*[:|/©]|(?:by|(?:additional )?(?:reporting|writing|editing) by) (?:[A-Z][\w.’'-]*+,?+ ?+(?:and )?+){1,6}+$"
    r"|©|\(c\) \d{4}|copyright\b|all rights reserved|read more|advertisement\b|sign up (?:for|to)|subscribe\b",
    re.IGNORECASE,
)
"""Beginnings of bylines, credits and a page's own notices."""
_WORDS = re.compile(r"[^\W\d_]{2,}")


def is_prose(text: str) -> bool:
    """Whether a sentence may be quoted: not a fragment, a table row, a byline or a page's own notice."""
    if len(text.split()) < FEWEST_WORDS or _NO_PROSE.match(text.strip()):
        return False
    words = _WORDS.findall(text)
    capitalized = [word for word in words if word.istitle()]
    return len(words) > 1 and (not capitalized or any(word[0].islower() for word in words))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """The size of the intersection over that of the union; 1 for two empty sets."""
    return len(a & b) / len(a | b) if a | b else 1.0


@dataclass(frozen=True, slots=True)
class QuestionProfile:
    """What a question asks for: the kind of answer, and its terms with their weights (inverse document frequency)."""

    question: str
    kind: Asked
    rarity: Mapping[str, float]

    @classmethod
    def of(cls, question: str, fulltext: FullTextIndex, carried: str = "", weight: float = 0.0) -> Self:
        """The terms of `carried`, taken over from the conversation, count `weight` times as much as the question's."""
        added = {term: weight * rarity for term, rarity in fulltext.rarity(fulltext.terms(carried)).items() if weight}
        return cls(question, asked(question), {**added, **fulltext.rarity(fulltext.terms(question))})

    def coverage(self, terms: frozenset[str]) -> float:
        """The weighted share of the question's terms that are among `terms`; 0 for a question without terms."""
        total = sum(self.rarity.values())
        return sum(weight for term, weight in self.rarity.items() if term in terms) / total if total else 0.0


def sentence_fits(
    profile: QuestionProfile, passage: Passage, similarities: Sequence[float], fulltext: FullTextIndex
) -> tuple[float, ...]:
    """The score of each sentence of a passage.

    It is the sentence's similarity to the question, plus the coverage of the question's terms, weighted, by the
    sentence alone, by the sentence with the article's title, and by both with the sentence before it and a heading or
    an interviewer's question in between, plus a bonus if it offers the kind of thing asked for.
    """
    title = frozenset(fulltext.terms(passage.title))
    texts = [passage.slice(span) for span in passage.sentences]
    terms = [frozenset[str](), *(frozenset(fulltext.terms(text)) for text in texts)]
    ends = (passage.start, *(end for _, end in passage.sentences))
    between = (passage.slice((end, start)) for end, (start, _) in zip(ends, passage.sentences, strict=False))
    last_lines = (text.strip().rpartition("\n")[2] for text in between)
    headings = [frozenset(fulltext.terms(line)) if line else frozenset[str]() for line in last_lines]
    return tuple(
        similarity
        + SENTENCE_WEIGHT * profile.coverage(own)
        + TITLE_WEIGHT * profile.coverage(own | title)
        + CONTEXT_WEIGHT * profile.coverage(own | title | before | heading)
        + ANSWER_TYPE_BONUS * has_answer_type(text, profile.kind, profile.question)
        for text, similarity, heading, (before, own) in zip(texts, similarities, headings, pairwise(terms), strict=True)
    )
