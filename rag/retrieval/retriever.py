"""Question → hits: dense and full text, fused by score, and sharpened by each passage's best sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rag.errors import IndexMissing
from rag.language.question import sub_questions
from rag.models.cross_encoders import Reranker
from rag.models.embedding import Embedder, Vectors
from rag.retrieval.scoring import QuestionProfile, fit, jaccard
from rag.schema import Filters, Hit, Passage, Query
from rag.store.fulltext import FullTextIndex
from rag.store.hints import ingest_command
from rag.store.index import Index, StoredPassage, retry_while_changing

SHARPENED = 40
"""Passages whose sentences are compared with the question, one by one."""
PASSAGE_WEIGHT, COVERAGE_WEIGHT = 0.2, 0.5
"""What a passage's fused score and its share of the question's words count beside its best sentence (weight 1);
chosen, as those in rag.retrieval.scoring, on parts of SQuAD 2.0, Natural Questions, CANARD and MultiHop-RAG."""
WORDS_OF_A_QUESTION = 8
"""A question with more words than this asks for more than one sentence can say."""
ALONE, FARTHER, FARTHER_NAMELESS = 0.4, 0.15, 0.1
"""Cosines: a question whose words lean on the conversation stands alone all the same if a passage elsewhere is so
near, and nearer by so much than any of the conversation's articles; one that only names nothing needs less. Measured
on CANARD and on SQuAD 2.0 after a conversation about something else."""
PREFERRED_WEIGHT = 1.0
"""What it counts for a passage that the conversation is about its article, times how much the question leans on it."""
SAID_WEIGHT, SAID = 0.3, 0.6
"""What is taken from a sentence of which this share of the words has been told already."""
RERANKED = 20
MOST_OF_ONE_ARTICLE = 0.5
"""Share of the hits that may come from one article, while others have any; unless the question is about it."""
SAME_PASSAGE = 0.8
"""Words in common, of all words of both, from which on two passages say the same (wire copy with small edits)."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A stored passage, its sentences' similarities, and the sum of its z-scores: similarity, BM25, best sentence."""

    stored: StoredPassage
    similarities: tuple[float, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds the passages that may answer a question."""

    index: Index
    embedder: Embedder
    candidates: int
    hits: int
    reranker: Reranker | None = None

    def retrieve(self, query: Query) -> list[Hit]:
        """At most `hits` hits, best first; none if the filters leave nothing. Scores compare within one question only.

        Raises IndexMissing when nothing is indexed, IndexChanging when the passages found are replaced again and again.
        """
        asked = [query.question, *sub_questions(query.question)]
        vectors = self.embedder.embed_questions(asked)
        if query.weight and self._stands_alone(query, vectors[0]):
            query = replace(query, weight=0.0, carried="", articles=())
        if query.weight >= 1 and query.carried:  # a question that leans is read after what it leans on
            [vectors[0]] = self.embedder.embed_questions([f"{query.carried}. {query.question}"])
        found = self._found(query, vectors[0])
        fulltext = self.index.fulltext
        whole = QuestionProfile.of(query.question, fulltext, query.carried, query.weight)
        needs = [whole, *(QuestionProfile.of(side, fulltext) for side in asked[1:])]
        sharpened = [_sharpened(each, query, needs, vectors[1:], fulltext) for each in found]
        ranked = sorted(sharpened, key=lambda hit: -hit.score)
        return self._spread(self._folded(self._reranked(query.question, ranked), fulltext), query, whole, fulltext)

    def _stands_alone(self, query: Query, vector: Vectors) -> bool:
        """Does a question that may lean on the conversation find far more elsewhere than in what that was about?"""
        anywhere = self.index.closest(vector, query.filters)
        there = self.index.closest(vector, query.filters.and_also(Filters(article_ids=query.articles)))
        least, farther = (ALONE, FARTHER) if query.weight >= 1 else (0.0, FARTHER_NAMELESS)
        return anywhere >= least and anywhere - there > farther

    @retry_while_changing
    def _found(self, query: Query, vector: Vectors) -> list[Found]:
        """The passages whose sentences are looked at, with the score they have so far."""
        near = self.index.candidates(query, vector, self.candidates)
        if not near and not query.filters:
            raise IndexMissing(f"the index {self.index.folder} is empty; fill it: {ingest_command(self.index.folder)}")
        fused = standardized([c.similarity for c in near]) + standardized([c.bm25 for c in near])
        best = np.argsort(-fused, kind="stable")[: max(SHARPENED, self.hits)]
        scores = {near[i].passage_id: float(fused[i]) for i in best}
        stored = self.index.passages(list(scores))
        similar = [_similarities(s, vector) for s in stored]
        sentences = standardized([max((0.0, *similarities)) for similarities in similar])
        return [
            Found(s, similarities, scores[s.passage.id] + float(z))
            for s, similarities, z in zip(stored, similar, sentences, strict=True)
        ]

    def _reranked(self, question: str, hits: list[Hit]) -> list[Hit]:
        if not self.reranker or not hits:
            return hits
        first = hits[: max(RERANKED, self.hits)]
        scores = self.reranker.scores(question, [hit.passage.indexed_text for hit in first])
        scored = [replace(hit, score=score) for hit, score in zip(first, scores, strict=True)]
        return sorted(scored, key=lambda hit: -hit.score)

    def _folded(self, hits: Sequence[Hit], fulltext: FullTextIndex) -> list[Hit]:
        """Passages that say the same as a better one of another article become part of it."""
        kept: list[tuple[Hit, frozenset[str]]] = []
        for hit in hits:
            words = frozenset(fulltext.terms(hit.passage.text))
            for place, (other, of_other) in enumerate(kept):
                if other.passage.article_id != hit.passage.article_id and jaccard(words, of_other) >= SAME_PASSAGE:
                    kept[place] = (replace(other, duplicates=(*other.duplicates, hit.passage)), of_other)
                    break
            else:
                if len(kept) == 2 * self.hits:
                    break
                kept.append((hit, words))
        return [hit for hit, _ in kept]

    def _spread(self, hits: Sequence[Hit], query: Query, need: QuestionProfile, fulltext: FullTextIndex) -> list[Hit]:
        """The first hits, not too many of one article; those left out come last, should there be room."""
        most = max(1, int(self.hits * MOST_OF_ONE_ARTICLE))
        counts: dict[str, int] = {}
        within: list[Hit] = []
        beyond: list[Hit] = []
        for hit in hits:
            article = hit.passage.article_id
            counts[article] = counts.get(article, 0) + 1
            meant = (
                query.filters.article_ids
                or article in query.articles
                or need.rarity.keys() >= set(fulltext.terms(hit.passage.title) or [""])
            )
            (within if meant or counts[article] <= most else beyond).append(hit)
        return [*within, *beyond][: self.hits]


def _similarities(stored: StoredPassage, vector: Vectors) -> tuple[float, ...]:
    return tuple(map(float, stored.sentence_vectors @ vector))


def _sharpened(
    found: Found, query: Query, needs: Sequence[QuestionProfile], others: Vectors, fulltext: FullTextIndex
) -> Hit:
    """Score a passage by its best sentence, its words, and what it had; the longer the question, the more of that."""
    passage, whole = found.stored.passage, needs[0]
    similar = [found.similarities, *(_similarities(found.stored, side) for side in others)]
    fits = [fit(need, passage, similarities, fulltext) for need, similarities in zip(needs, similar, strict=True)]
    weight = PASSAGE_WEIGHT * max(1.0, len(whole.rarity) / WORDS_OF_A_QUESTION)
    words = frozenset(fulltext.terms(passage.indexed_text))
    score = weight * found.score + COVERAGE_WEIGHT * whole.share(words)
    if passage.article_id in query.articles:
        score += PREFERRED_WEIGHT * query.weight
    if query.said:
        fits[0] = tuple(f - SAID_WEIGHT * was for f, was in zip(fits[0], _said(passage, query, fulltext), strict=True))
    return Hit(passage, score + max(fits[0], default=0.0), similar[0], fits[0], sub_question_fits=tuple(fits[1:]))


def _said(passage: Passage, query: Query, fulltext: FullTextIndex) -> list[bool]:
    """Which of a passage's sentences the conversation has told already."""
    told = [frozenset(fulltext.terms(answer)) for answer in query.said]
    own = [frozenset(fulltext.terms(passage.slice(span))) for span in passage.sentences]
    return [any(len(words & of) >= SAID * len(words) for of in told if of) and bool(words) for words in own]


def standardized(scores: Sequence[float]) -> Scores:
    """Z-scores: mean 0, standard deviation 1; zeros where all are the same, or there are none."""
    values = np.asarray(scores, dtype=np.float64)
    deviation = values.std() if len(values) else 0.0
    return (values - values.mean()) / deviation if deviation > 1e-9 else np.zeros_like(values)
