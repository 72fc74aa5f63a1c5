"""Retrieve hits for a question: dense and full-text search, fused and rescored by each passage's best sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rag.errors import IndexMissing
from rag.language.question import sub_questions
from rag.models.cross_encoders import Reranker
from rag.models.embedding import Embedder, Vectors
from rag.retrieval.scoring import QuestionProfile, jaccard, sentence_fits
from rag.schema import Filters, Hit, Passage, Query
from rag.store.catalog.rows import StoredPassage
from rag.store.derived.fulltext import FullTextIndex
from rag.store.hints import ingest_command
from rag.store.index import Index

RESCORED, RERANKED = 40, 20
"""So many of the best candidates are scored sentence by sentence, and so many of those by the reranker, if any."""
PASSAGE_WEIGHT, COVERAGE_WEIGHT = 0.2, 0.5
"""Weights of a passage's first-stage score and of its coverage of the question's terms; its best sentence has weight 1.
Chosen, like those in rag.retrieval.scoring, on parts of SQuAD 2.0, Natural Questions, CANARD and MultiHop-RAG."""
TERMS_OF_A_QUESTION = 8
"""A question with more terms asks for more than one sentence can say: its passages' scores count for more."""
INDEPENDENT_COSINE, INDEPENDENT_MARGIN, NAMELESS_MARGIN = 0.4, 0.15, 0.1
"""A question that seems to depend on the conversation is treated as independent if its best passage has at least this
cosine, and exceeds the best one of the conversation's articles by this margin; one that merely names nothing needs only
the smaller margin. Measured on CANARD, and on SQuAD 2.0 after a conversation about something else."""
CONVERSATION_WEIGHT = 1.0
"""Added to passages of the conversation's articles, times how much the question depends on it."""
REPEATED_SHARE, REPETITION_PENALTY = 0.6, 0.3
"""Share of a sentence's terms in an earlier answer from which on it repeats that, and what is subtracted then."""
MOST_OF_ONE_ARTICLE = 0.5
"""Share of the hits that may come from one article while others have any, unless the question is about it."""
SAME_PASSAGE = 0.8
"""Jaccard similarity from which on passages of different articles are duplicates (wire copy with small edits)."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored passage, its sentences' cosines to the question, and its score: z of cosine, BM25 and best sentence."""

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
        """At most `hits` hits, best first; none if the filters exclude all. Scores compare within one question only.

        Raises IndexMissing when nothing is indexed.
        """
        questions = [query.question, *sub_questions(query.question)]
        vectors = self.embedder.embed_questions(questions)
        if query.weight and self._is_independent(query, vectors[0]):
            query = replace(query, weight=0.0, carried="", articles=())
        if query.weight >= 1 and query.carried:
            [vectors[0]] = self.embedder.embed_questions([f"{query.carried}. {query.question}"])
        candidates = self._candidates(query, vectors[0])
        fulltext = self.index.fulltext
        whole = QuestionProfile.of(query.question, fulltext, query.carried, query.weight)
        profiles = [whole, *(QuestionProfile.of(part, fulltext) for part in questions[1:])]
        rescored = [_rescored(each, query, profiles, vectors[1:], fulltext) for each in candidates]
        ranked = self._reranked(query.question, sorted(rescored, key=lambda hit: -hit.score))
        return self._diversified(self._without_duplicates(ranked, fulltext), query, whole, fulltext)

    def _is_independent(self, query: Query, vector: Vectors) -> bool:
        """Whether far better passages are found elsewhere than in the articles of the conversation."""
        anywhere = self.index.closest(vector, query.filters)
        there = self.index.closest(vector, query.filters.and_also(Filters(article_ids=query.articles)))
        least, margin = (INDEPENDENT_COSINE, INDEPENDENT_MARGIN) if query.weight >= 1 else (0.0, NAMELESS_MARGIN)
        return anywhere >= least and anywhere - there > margin

    def _candidates(self, query: Query, vector: Vectors) -> list[Candidate]:
        """The best passages of the first stage."""
        near = self.index.candidates(query, vector, self.candidates)
        if not near and not query.filters:
            raise IndexMissing(f"the index {self.index.folder} is empty; fill it: {ingest_command(self.index.folder)}")
        fused = z_scores([c.similarity for c in near]) + z_scores([c.bm25 for c in near])
        best = np.argsort(-fused, kind="stable")[: max(RESCORED, self.hits)]
        scores = {near[i].key: float(fused[i]) for i in best}
        stored = self.index.passages(list(scores))
        similarities = [_cosines(each, vector) for each in stored]
        best_sentences = z_scores([max((0.0, *cosines)) for cosines in similarities])
        return [
            Candidate(each, cosines, scores[each.passage.key] + float(z))
            for each, cosines, z in zip(stored, similarities, best_sentences, strict=True)
        ]

    def _reranked(self, question: str, hits: list[Hit]) -> list[Hit]:
        if not self.reranker or not hits:
            return hits
        first = hits[: max(RERANKED, self.hits)]
        scores = self.reranker.scores(question, [hit.passage.indexed_text for hit in first])
        scored = [replace(hit, score=score) for hit, score in zip(first, scores, strict=True)]
        return sorted(scored, key=lambda hit: -hit.score)

    def _without_duplicates(self, hits: Sequence[Hit], fulltext: FullTextIndex) -> list[Hit]:
        """Passages that duplicate a better one of another article become its `duplicates`."""
        kept: list[tuple[Hit, frozenset[str]]] = []
        for hit in hits:
            terms = frozenset(fulltext.terms(hit.passage.text))
            for place, (better, better_terms) in enumerate(kept):
                is_other = better.passage.article_id != hit.passage.article_id
                if is_other and jaccard(terms, better_terms) >= SAME_PASSAGE:
                    kept[place] = (replace(better, duplicates=(*better.duplicates, hit.passage)), better_terms)
                    break
            else:
                if len(kept) == 2 * self.hits:
                    break
                kept.append((hit, terms))
        return [hit for hit, _ in kept]

    def _diversified(
        self, hits: Sequence[Hit], query: Query, profile: QuestionProfile, fulltext: FullTextIndex
    ) -> list[Hit]:
        """The first hits, not too many of one article; the surplus comes last, if there is room."""
        most = max(1, int(self.hits * MOST_OF_ONE_ARTICLE))
        counts: dict[str, int] = {}
        within: list[Hit] = []
        surplus: list[Hit] = []
        for hit in hits:
            article = hit.passage.article_id
            counts[article] = counts.get(article, 0) + 1
            is_asked_about = (
                query.filters.article_ids
                or article in query.articles
                or profile.rarity.keys() >= set(fulltext.terms(hit.passage.title) or [""])
            )
            (within if is_asked_about or counts[article] <= most else surplus).append(hit)
        return [*within, *surplus][: self.hits]


def _cosines(stored: StoredPassage, vector: Vectors) -> tuple[float, ...]:
    return tuple(map(float, stored.sentence_vectors @ vector))


def _rescored(
    candidate: Candidate, query: Query, profiles: Sequence[QuestionProfile], others: Vectors, fulltext: FullTextIndex
) -> Hit:
    """Score a passage by its best sentence, its terms, and its first-stage score, which counts more for long questions.

    `profiles` are those of the question and of its sub-questions, `others` the vectors of the sub-questions.
    """
    passage, whole = candidate.stored.passage, profiles[0]
    cosines = [candidate.similarities, *(_cosines(candidate.stored, vector) for vector in others)]
    fits = [sentence_fits(p, passage, each, fulltext) for p, each in zip(profiles, cosines, strict=True)]
    weight = PASSAGE_WEIGHT * max(1.0, len(whole.rarity) / TERMS_OF_A_QUESTION)
    score = weight * candidate.score
    score += COVERAGE_WEIGHT * whole.coverage(frozenset(fulltext.terms(passage.indexed_text)))
    if passage.article_id in query.articles:
        score += CONVERSATION_WEIGHT * query.weight
    if query.said:
        repeats = _repeats(passage, query, fulltext)
        fits[0] = tuple(fit - REPETITION_PENALTY * repeated for fit, repeated in zip(fits[0], repeats, strict=True))
    return Hit(passage, score + max(fits[0], default=0.0), cosines[0], fits[0], sub_question_fits=tuple(fits[1:]))


def _repeats(passage: Passage, query: Query, fulltext: FullTextIndex) -> list[bool]:
    """For each sentence of a passage, whether an earlier answer of the conversation has said it."""
    answers = [frozenset(fulltext.terms(answer)) for answer in query.said]
    sentences = [frozenset(fulltext.terms(passage.slice(span))) for span in passage.sentences]
    return [
        any(len(terms & answer) >= REPEATED_SHARE * len(terms) for answer in answers if answer) and bool(terms)
        for terms in sentences
    ]


def z_scores(scores: Sequence[float]) -> Scores:
    """Standardize scores to mean 0 and standard deviation 1; zeros if all are equal."""
    values = np.asarray(scores, dtype=np.float64)
    deviation = values.std() if len(values) else 0.0
    return (values - values.mean()) / deviation if deviation > 1e-9 else np.zeros_like(values)
