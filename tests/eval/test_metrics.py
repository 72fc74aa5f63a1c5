"""Metrics, each worked out by hand, and the standard ones against trec_eval."""

from __future__ import annotations

import random

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from eval import matching, metrics
from eval.metrics import score
from eval.pairs.schema import QAPair
from eval.rows import CitedQuote, RetrievedPassage, Row

RANKED = ["a", "b", "c", "d"]


def pair(**given: object) -> QAPair:
    fields = {"answers": ("Paris",), "articles": ("a",), "evidence": (), "answerable": True, **given}
    return QAPair("q", "Which city?", **fields)  # type: ignore[arg-type]


def row(answer: str = "It is Paris. [1]", **given: object) -> Row:
    fields = {
        "abstained": not answer,
        "confidence": 0.8,
        "citations": (CitedQuote("a", "It is Paris."),) if answer else (),
        "hits": (RetrievedPassage("b", "Rome is old."), RetrievedPassage("a", "It is Paris. It rains.")),
        "seconds": 0.1,
        **given,
    }
    return Row("q", "Which city?", answer, **fields)  # type: ignore[arg-type]


def test_an_article_ranks_by_its_best_hit() -> None:
    assert metrics.distinct(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("gold", "k", "hit", "recall"), [("a", 1, 1, 1), ("bd", 1, 0, 0), ("bd", 2, 1, 0.5), ("x", 4, 0, 0)]
)
def test_hit_and_recall(gold: str, k: int, hit: float, recall: float) -> None:
    assert metrics.hit_at(RANKED, set(gold), k) == hit
    assert metrics.recall_at(RANKED, set(gold), k) == recall


def test_rank_metrics() -> None:
    assert metrics.reciprocal_rank(RANKED, {"b", "d"}) == 1 / 2
    assert metrics.reciprocal_rank(RANKED, {"x"}) == 0
    assert metrics.average_precision(RANKED, {"b", "d"}) == (1 / 2 + 2 / 4) / 2
    assert metrics.average_precision(RANKED, {"b", "x"}) == 1 / 2 / 2
    # Gains 1/log2(3) and 1/log2(5) of the possible 1 and 1/log2(3).
    assert metrics.ndcg_at(RANKED, {"b", "d"}, 4) == pytest.approx((0.63093 + 0.43068) / 1.63093, abs=1e-4)
    assert metrics.ndcg_at(RANKED, {"b", "d"}, 2) == pytest.approx(0.63093 / 1.63093, abs=1e-4)


def test_standard_metrics_are_those_of_trec_eval() -> None:
    generator = random.Random(5)
    documents = [f"d{n}" for n in range(30)]
    run, gold = {}, {}
    for query in map(str, range(60)):
        ranked = generator.sample(documents, generator.randint(1, 25))
        run[query] = {document: float(-rank) for rank, document in enumerate(ranked)}
        gold[query] = dict.fromkeys(generator.sample(documents, generator.randint(1, 6)), 1)
    measured = pytrec_eval.RelevanceEvaluator(gold, {"success", "recall", "recip_rank", "map", "ndcg_cut"}).evaluate(
        run
    )
    for query, found in measured.items():
        ranked = list(run[query])
        for k in (1, 5, 10):
            assert metrics.hit_at(ranked, gold[query], k) == found[f"success_{k}"]
        for k in (5, 10):
            assert metrics.recall_at(ranked, gold[query], k) == pytest.approx(found[f"recall_{k}"])
            assert metrics.ndcg_at(ranked, gold[query], k) == pytest.approx(found[f"ndcg_cut_{k}"])
        assert metrics.reciprocal_rank(ranked, gold[query]) == pytest.approx(found["recip_rank"])
        assert metrics.average_precision(ranked, gold[query]) == pytest.approx(found["map"])


def test_evidence_is_found_whatever_the_spacing_and_the_typography() -> None:
    hits = [
        RetrievedPassage("a", "He said: “It’s\n over.” Then he left."),
        RetrievedPassage("a", "Nobody knew why. The end."),
    ]
    assert metrics.evidence_recall_at(hits, ['He said: "It\'s over."'], 1) == 1
    assert metrics.evidence_recall_at(hits, ["Nobody knew why."], 1) == 0
    assert metrics.evidence_recall_at(hits, ["Nobody knew why.", "He came back."], 2) == 0.5
    assert metrics.evidence_recall_at(hits, ["Then he left. Nobody knew why."], 2) == 1, "spread over two hits"
    assert metrics.evidence_recall_at(hits, ["He left Nobody"], 2) == 0
    assert metrics.evidence_recall_at(hits, ["No\u00adbody knew\u200b why."], 2) == 1, (
        "of what nobody sees, articles have none"
    )


def test_squad_normalisation() -> None:
    assert matching.normalized("The U.S., a state!") == ["us", "state"]
    assert metrics.exact_match("the Eiffel Tower.", "Eiffel tower") == 1
    assert metrics.exact_match("Eiffel", "Eiffel tower") == 0


def test_token_f1_counts_repeated_words_once_each() -> None:
    # Said 4 words, gold 3, shared 2: precision 1/2, recall 2/3.
    assert metrics.token_f1("big red red house", "red red car") == pytest.approx(2 * 2 / 7)
    assert metrics.token_f1("cat", "dog") == 0
    assert metrics.token_f1("the", "a") == 1, "both are empty once normalised"


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    # police … gunman: Lin's own example, without its article.
    assert metrics.rouge_l("police killed gunman", "police kill gunman") == pytest.approx(2 / 3)
    assert metrics.rouge_l("gunman kill police", "police kill gunman") == pytest.approx(1 / 3)
    assert metrics.rouge_l("", "police") == 0


@pytest.mark.parametrize(
    ("said", "gold", "found"),
    [
        ("It is in Paris, they say.", "paris", 1),
        ("It is in Parisian style.", "Paris", 0),
        ("On March 4, 2024, it fell.", "4 March", 0),
        ("There is no way.", "no", 0),
        ("No, there is not.", "no", 1),
        ("They call it “Paris”—in French.", "Paris", 1),
        ("It is the minister’s house.", "minister's house", 1),
        ("He said so… Paris, that is.", "Paris", 1),
        ("Paris", "", 0),
        ("", "Paris", 0),
        ("He kicked a 24-yard goal.", "24", 1),
        ("He kicked a 24-yard goal.", "24 yard", 1),
        ("He kicked a goal of 24 yards.", "24-yard", 0),
        ("It came off Manning's pass.", "Manning", 1),
        ("It came off Manning’s pass.", "Manning's", 1),
        ("It came off Manning's pass.", "S", 0),
        ("They don’t know.", "T", 0),
        ("It is S-shaped.", "S", 1),
        ("They held a party.", "art", 0),
        ("From 2010–2014 it was shut.", "2010", 1),
        ("From 2010-2014 it was shut.", "2014", 1),
        ("Some 1,000 boats sank.", "1000", 1),
        ("Some 1,000 boats sank.", "1", 0),
        ("Some 1,000 boats sank.", "000", 0),
        ("It cost 3.5 million.", "3", 0),
        ("It cost 3.5 million.", "35", 0),
        ("It cost £5.", "5", 1),
        ("It came at 10:30 on 9/11.", "10", 0),
        ("A U.S.-led force landed.", "US", 1),
        ("The US force landed.", "U.S.", 1),
        ("Two F-16 jets landed.", "F16", 1),
        ("Write an e-mail and/or call.", "email", 1),
        ("Write an e-mail and/or call.", "or", 1),
        ("Beyonce and Röntgen came.", "Beyoncé", 1),
        ("Beyonce and Röntgen came.", "Rontgen", 1),
        ("It lies below sea level.", "A-level", 0),
        ("No-one knows.", "no", 0),
        ("The government fell.", "govern\u00adment", 1),
        ("Paris", "%", 0),
    ],
)
def test_contains(said: str, gold: str, found: float) -> None:
    assert matching.contains(said, gold) == found


PIECES = st.lists(
    st.sampled_from("24 yard - 's ’ , . 1,000 3.5 U.S. the a A-level Paris é ( “ ” no x".split()), max_size=5
)
GLUED = st.tuples(PIECES, st.sampled_from(["", " "])).map(lambda found: found[1].join(found[0])) | st.text(max_size=12)


@given(GLUED, GLUED, GLUED)
def test_what_stands_between_spaces_is_contained(before: str, gold: str, after: str) -> None:
    if matching.tokens(gold, "") not in ((), ("yes",), ("no",)):
        assert matching.contains(f"{before} {gold} {after}", gold) == 1


@given(st.text("bcdß7", min_size=1), st.sampled_from(["q{}", "{}q", "q{}q"]))
def test_a_part_of_a_word_is_not_contained(gold: str, word: str) -> None:
    assert matching.contains(f"It is {word.format(gold)}.", gold) == 0


def test_a_right_answer_scores() -> None:
    scores = score(pair(evidence=("It is Paris.",)), row())
    assert scores["right"] == scores["contains"] == scores["citation_precision"] == scores["citation_support"] == 1
    assert scores["f1"] == pytest.approx(2 * 1 / (3 + 1))
    assert (scores["hit@1"], scores["hit@5"], scores["mrr"]) == (0, 1, 0.5)
    assert (scores["evidence@1"], scores["evidence@5"], scores["all_evidence@10"]) == (0, 1, 1)
    assert (scores["words"], scores["unmarked"], scores["bad_markers"], scores["answered"]) == (3, 0, 0, 1)


def test_no_gold_no_score() -> None:
    assert "hit@1" not in score(pair(articles=()), row())
    assert "right" not in score(pair(answers=()), row())
    assert "evidence@1" not in score(pair(), row())
    unanswerable = score(pair(answerable=False, answers=(), articles=()), row(""))
    assert unanswerable == {"abstain_recall": 1}


def test_a_refusal_is_a_wrong_answer_but_no_wrong_citation() -> None:
    scores = score(pair(), row(""))
    assert scores["right"] == scores["answered"] == scores["f1"] == 0
    assert not {"citation_precision", "citation_recall", "words", "quote_exact"} & set(scores)


def test_a_gold_answer_without_a_word_is_none() -> None:
    assert "right" not in score(pair(answers=("%", "the")), row())


def test_yes_or_no_is_right_when_its_evidence_is_cited() -> None:
    asked = pair(answers=("no",), evidence=("It is Paris.",))
    assert score(asked, row("Yes. It is Paris. [1]"))["right"] == 0, "what it says counts for more"
    assert score(asked, row("No. It is Paris. [1]"))["right"] == 1
    assert score(asked, row())["right"] == 1
    assert score(asked, row())["contains"] == 0
    assert score(asked, row("It rains. [1]", citations=(CitedQuote("a", "It rains."),)))["right"] == 0
    assert "answer_in_100_words" not in score(asked, row())


def test_answer_within_the_first_words() -> None:
    long = RetrievedPassage("b", "word " * 99)
    scores = score(pair(), row(hits=(long, RetrievedPassage("a", "Paris is here."))))
    assert scores["answer_in_100_words"] == 1
    scores = score(pair(), row(hits=(long, RetrievedPassage("a", "In Paris it is."))))
    assert (scores["answer_in_100_words"], scores["answer_in_250_words"]) == (0, 1)


def test_citations_of_several_articles() -> None:
    cited = (
        CitedQuote("a", "It rains."),
        CitedQuote("x", "Paris, France."),
        CitedQuote("b", "It is Paris.", exact=False),
    )
    scores = score(pair(articles=("a", "b")), row("Rain. [1] France. [2] City. [3]", citations=cited))
    assert scores["citation_precision"] == pytest.approx(2 / 3)
    assert scores["citation_support"] == pytest.approx(1 / 3), "only the last is of a gold article and has the answer"
    assert scores["citation_recall"] == 1
    assert scores["quote_exact"] == pytest.approx(2 / 3)


def test_markers_out_of_range_and_sentences_without_one() -> None:
    scores = score(pair(), row("It is Paris. [1] It is old. It is big. [2][0]"))
    assert scores["bad_markers"] == 2
    assert scores["unmarked"] == pytest.approx(1 / 3)
    assert metrics.unmarked("") == 0


def test_every_metric_is_described_once() -> None:
    measured = score(pair(evidence=("It is Paris.",)), row()) | score(pair(answerable=False), row(""))
    assert set(measured) == {metric.name for metric in metrics.METRICS if metric.kind != "judged"}
    assert len(metrics.BY_NAME) == len(metrics.METRICS) + len(metrics.AGGREGATES)
