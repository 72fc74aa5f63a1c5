"""Metrics of one question: pure functions from a pair and its row to scores.

A metric without the gold it needs has no score, and the question does not count for it. Each article is ranked once,
by its best hit (as in BEIR, Thakur et al. 2021), so that k counts articles; in metrics of passages, k counts hits. A
chain that returns fewer than k is measured on those.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from eval.matching import YES_OR_NO, contains, is_yes_or_no, normalized
from eval.pairs.schema import QAPair
from eval.rows import CitedQuote, RetrievedPassage, Row
from ingest.articles.passages import sentences_of
from rag.answer.citations import MARKER
from rag.language.text import visible

WORD_BUDGETS = (100, 250, 500)

Kind = Literal["retrieval", "answer", "citation", "abstention", "judged"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure's name, what it measures, and whether higher is better; None if neither is."""

    name: str
    kind: Kind
    what: str
    higher: bool | None = True


METRICS = (
    Metric("hit@1", "retrieval", "a gold article comes first"),
    Metric("hit@5", "retrieval", "a gold article is among the first 5"),
    Metric("hit@10", "retrieval", "a gold article is among the first 10"),
    Metric("recall@5", "retrieval", "share of the gold articles among the first 5"),
    Metric("recall@10", "retrieval", "share of the gold articles among the first 10"),
    Metric("mrr", "retrieval", "1 / rank of the first gold article"),
    Metric("ndcg@10", "retrieval", "gold articles in the first 10, those further down counting less"),
    Metric("map", "retrieval", "precision at each gold article, averaged"),
    Metric("evidence@1", "retrieval", "share of the gold quotes inside the first hit"),
    Metric("evidence@5", "retrieval", "share of the gold quotes inside the first 5 hits"),
    Metric("evidence@10", "retrieval", "share of the gold quotes inside the first 10 hits"),
    Metric("all_evidence@10", "retrieval", "every gold quote is inside the first 10 hits"),
    Metric("answer_in_100_words", "retrieval", "a gold answer is in the first 100 words of the hits"),
    Metric("answer_in_250_words", "retrieval", "a gold answer is in the first 250 words of the hits"),
    Metric("answer_in_500_words", "retrieval", "a gold answer is in the first 500 words of the hits"),
    Metric("right", "answer", "the answer contains a gold one; to a yes/no question: cites its evidence"),
    Metric("contains", "answer", "the answer contains a gold one, word for word"),
    Metric("exact_match", "answer", "the answer is a gold one and nothing else"),
    Metric("f1", "answer", "words shared with the nearest gold answer"),
    Metric("rouge_l", "answer", "words shared with the nearest gold answer, in its order"),
    Metric("words", "answer", "length of an answer", higher=None),
    Metric("citation_precision", "citation", "share of the citations of a gold article, or that show gold evidence"),
    Metric("citation_support", "citation", "share of the citations that show gold evidence or a gold answer"),
    Metric("citation_recall", "citation", "share of the gold articles that are cited"),
    Metric("quote_exact", "citation", "share of the quotes that stand in their article, letter by letter"),
    Metric("bad_markers", "citation", "markers without a citation, in an answer", higher=False),
    Metric("unmarked", "citation", "share of an answer's sentences without a marker", higher=False),
    Metric("answered", "abstention", "an answerable question is answered"),
    Metric("abstain_recall", "abstention", "an unanswerable question is not answered"),
    Metric("judged_faithful", "judged", "the cited passages support the answer"),
    Metric("judged_relevant", "judged", "the answer is about what was asked"),
    Metric("judged_correct", "judged", "the answer agrees with the gold one"),
)
"""Scored question by question; a figure is the mean over the questions with a score."""

AGGREGATES = (
    Metric("right_when_answered", "abstention", "share of the answers given that are right"),
    Metric("abstain_precision", "abstention", "share of the questions not answered that are unanswerable"),
    Metric("abstain_f1", "abstention", "harmonic mean of precision and recall of not answering"),
    Metric("auc_answerable", "abstention", "chance that an answerable question has more confidence than another"),
    Metric("auc_right", "abstention", "chance that a right answer has more confidence than a wrong one"),
    Metric("calibration_error", "abstention", "confidence minus share right, over bands of confidence", higher=False),
)
"""Figures of all questions together."""

BY_NAME = {metric.name: metric for metric in (*METRICS, *AGGREGATES)}
_WORD = re.compile(r"\w+")


def score(pair: QAPair, row: Row) -> dict[str, float]:
    """Every score this question has, by the metric's name."""
    of_given = {} if row.abstained else {**_answer_form(row), **row.judged}
    if not pair.answerable:
        return {"abstain_recall": float(row.abstained), **of_given}
    scores = {"answered": float(not row.abstained), **of_given}
    if pair.articles:
        scores |= _ranking(distinct(hit.article for hit in row.hits), pair.articles)
    if pair.evidence:
        scores |= _evidence(pair, row)
    if any(map(normalized, pair.answers)):  # a gold answer without a word, such as "%", cannot be looked for
        scores |= _answer(pair, row)
    return scores if row.abstained else scores | _citations(pair, row)


def _ranking(ranked: Sequence[str], gold: Collection[str]) -> dict[str, float]:
    scores = {f"hit@{k}": hit_at(ranked, gold, k) for k in (1, 5, 10)}
    scores |= {f"recall@{k}": recall_at(ranked, gold, k) for k in (5, 10)}
    return scores | {
        "mrr": reciprocal_rank(ranked, gold),
        "ndcg@10": ndcg_at(ranked, gold, 10),
        "map": average_precision(ranked, gold),
    }


def _evidence(pair: QAPair, row: Row) -> dict[str, float]:
    scores = {f"evidence@{k}": evidence_recall_at(row.hits, pair.evidence, k) for k in (1, 5, 10)}
    return scores | {"all_evidence@10": float(scores["evidence@10"] == 1)}


def _answer(pair: QAPair, row: Row) -> dict[str, float]:
    said = MARKER.sub("", row.answer)
    scores = {
        "right": is_right(pair, row),
        "contains": best(contains, said, pair.answers),
        "exact_match": best(exact_match, said, pair.answers),
        "f1": best(token_f1, said, pair.answers),
        "rouge_l": best(rouge_l, said, pair.answers),
    }
    if not is_yes_or_no(pair.answers):
        returned = " ".join(hit.text for hit in row.hits).split()
        for budget in WORD_BUDGETS:
            scores[f"answer_in_{budget}_words"] = best(contains, " ".join(returned[:budget]), pair.answers)
    return scores


def _citations(pair: QAPair, row: Row) -> dict[str, float]:
    scores = {}
    cited = row.citations
    if cited and (pair.articles or pair.evidence):
        scores["citation_precision"] = fmean([c.article in pair.articles or _shows(c, pair.evidence) for c in cited])
    if cited and (pair.evidence or not is_yes_or_no(pair.answers)):
        scores["citation_support"] = fmean([supports(c, pair) for c in cited])
    if pair.articles:
        scores["citation_recall"] = fmean([gold in {c.article for c in cited} for gold in pair.articles])
    return scores


def _answer_form(row: Row) -> dict[str, float]:
    """Scores of an answer that need no gold."""
    markers = [int(number) for number in MARKER.findall(row.answer)]
    scores = {
        "words": float(len(MARKER.sub("", row.answer).split())),
        "bad_markers": float(sum(not 1 <= number <= len(row.citations) for number in markers)),
        "unmarked": unmarked(row.answer),
    }
    return scores | ({"quote_exact": fmean([c.exact for c in row.citations])} if row.citations else {})


def distinct(articles: Iterable[str]) -> list[str]:
    """Each article once, at its first rank."""
    return list(dict.fromkeys(articles))


def hit_at(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """1 if a gold article is among the first k ("success@k" in trec_eval)."""
    return float(not set(gold).isdisjoint(ranked[:k]))


def recall_at(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Share of the gold articles among the first k ("recall_k" in trec_eval)."""
    return len(set(gold).intersection(ranked[:k])) / len(set(gold))


def reciprocal_rank(ranked: Sequence[str], gold: Collection[str]) -> float:
    """1 / rank of the first gold article, 0 without one ("recip_rank" in trec_eval; its mean is the MRR)."""
    return next((1 / rank for rank, article in enumerate(ranked, 1) if article in gold), 0.0)


def ndcg_at(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain, binary, discount log2(1 + rank) ("ndcg_cut_k" in trec_eval).

    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002).
    """
    gain = sum(1 / math.log2(1 + rank) for rank, article in enumerate(ranked[:k], 1) if article in gold)
    return gain / sum(1 / math.log2(1 + rank) for rank in range(1, min(k, len(set(gold))) + 1))


def average_precision(ranked: Sequence[str], gold: Collection[str]) -> float:
    """Precision at the rank of each gold article, averaged over all gold articles ("map" in trec_eval)."""
    gold_ranks = [rank for rank, article in enumerate(ranked, 1) if article in gold]
    return sum(count / rank for count, rank in enumerate(gold_ranks, 1)) / len(set(gold))


def evidence_recall_at(hits: Sequence[RetrievedPassage], evidence: Sequence[str], k: int) -> float:
    """Share of the gold quotes in the first k hits; the sentences of a quote may be in different hits."""
    texts = [_plain(hit.text) for hit in hits[:k]]
    return fmean([all(any(s in text for text in texts) for s in _sentences(quote)) for quote in evidence])


def exact_match(said: str, gold: str) -> float:
    """1 if both have the same words (SQuAD, Rajpurkar et al. 2016)."""
    return float(normalized(said) == normalized(gold))


def token_f1(said: str, gold: str) -> float:
    """Harmonic mean of precision and recall of words with their counts (SQuAD)."""
    a, b = normalized(said), normalized(gold)
    return _harmonic((Counter(a) & Counter(b)).total(), len(a), len(b))


def rouge_l(said: str, gold: str) -> float:
    """F1 of the longest common subsequence of words (Lin, ROUGE, 2004), after the same normalisation."""
    a, b = normalized(said), normalized(gold)
    lengths = [0] * (len(b) + 1)
    for word in a:
        previous = lengths
        lengths = [0]
        for j, other in enumerate(b):
            lengths.append(previous[j] + 1 if word == other else max(previous[j + 1], lengths[j]))
    return _harmonic(lengths[-1], len(a), len(b))


def best(metric: Callable[[str, str], float], said: str, golds: Iterable[str]) -> float:
    """The highest score over the gold answers."""
    return max(metric(said, gold) for gold in golds)


def is_right(pair: QAPair, row: Row) -> float:
    """1 if the answer contains a gold one; for a yes/no question, also if it says neither and cites gold evidence."""
    said = MARKER.sub("", row.answer)
    if is_yes_or_no(pair.answers) and not YES_OR_NO.intersection(normalized(said)[:1]):
        return float(any(supports(cited, pair) for cited in row.citations))
    return best(contains, said, pair.answers)


def supports(cited: CitedQuote, pair: QAPair) -> bool:
    """Whether the quote shows gold evidence or contains a gold answer, and is of a gold article if any is named."""
    if pair.articles and cited.article not in pair.articles:
        return False
    golds = () if is_yes_or_no(pair.answers) else pair.answers
    return _shows(cited, pair.evidence) or any(contains(cited.quote, gold) for gold in golds)


def unmarked(answer: str) -> float:
    """Share of the answer's sentences without a marker."""
    spans = [(s.start, s.end) for s in sentences_of(MARKER.sub(lambda marker: " " * len(marker[0]), answer))]
    if not spans:
        return 0.0
    ends = [start for start, _ in spans[1:]] + [len(answer)]
    return fmean([not MARKER.search(answer, start, end) for (start, _), end in zip(spans, ends, strict=True)])


def _shows(cited: CitedQuote, evidence: Iterable[str]) -> bool:
    """Whether the quote contains a sentence of a gold quote, or lies inside one."""
    quote = _plain(cited.quote)
    return any(quote in _plain(gold) or any(s in quote for s in _sentences(gold)) for gold in evidence)


def _sentences(text: str) -> list[str]:
    return [_plain(text[s.start : s.end]) for s in sentences_of(text)]


def _plain(text: str) -> str:
    """Words in lower case between single spaces, so that spacing and typography make no difference."""
    return f" {' '.join(_WORD.findall(visible(text).lower()))} "


def _harmonic(common: int, said: int, gold: int) -> float:
    return 2 * common / (said + gold) if common else float(said == gold == 0)
