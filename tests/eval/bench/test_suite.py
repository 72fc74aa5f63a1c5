"""The suite: how it asks, what its tables say, and both systems over two small sets whose figures are known before."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from eval.bench import scale
from eval.bench.scale import PULLQUOTE, RECIPE
from eval.bench.suite import (
    ALONE,
    DISTURBED,
    HISTORY,
    JOINED,
    REWRITTEN,
    SYSTEMS,
    TURNS,
    WAYS,
    QASet,
    SetReport,
    Suite,
    joined,
    markdown,
    measure,
    pooled,
    prepare,
    steps,
    unrelated,
)
from eval.pairs.reading import ArticleNames, Survey, pair_json
from eval.pairs.schema import QAPair
from eval.statistics import Difference, Interval
from rag.chain import LONGEST_QUESTION
from rag.config import Config
from rag.errors import ConfigError, ReadError
from rag.schema import Turn

TOLM = {
    "pier": "The pier of Tolm is closed. A storm broke eleven of its piles on Tuesday night. "
    "The council wants to mend it for two million crowns.",
    "ferry": "The ferry to Skarn sails again. Captain Ottilie Brandt took it out on Friday with ninety passengers. "
    "Its engine had been in the yard since March.",
    "lighthouse": "The lighthouse of Tolm was painted red in 1931. Its keeper was Jonas Vell, who lived there alone. "
    "Vell left the tower in 1956 for a farm near Oskby.",
    "market": "The fish market moves to the old customs house. Its traders pay half the rent they paid before. "
    "Herring is sold there from five in the morning.",
    "wall": "The sea wall was raised by one metre. Granite for it came from the quarries of Hald. "
    "The work took fourteen months.",
}
BREAD = {
    "rye": "Rye bread needs a sour dough. The baker Mirela Costin feeds hers every evening with warm water. "
    "It rises for eighteen hours.",
    "honey": "Heather honey is as thick as jelly. Beekeepers loosen it with a roller of needles before they spin it. "
    "A hive gives nine kilos of it in a good year.",
    "plum": "Plum jam is cooked without sugar in Lower Vesna. The kettle is stirred for a whole night. "
    "Walnuts are put into it at the end.",
    "tea": "Smoked tea dries over pine wood. The factory in Ulan was founded by Pavel Orsk in 1888. "
    "Its leaves hang in baskets for two days.",
    "cheese": "The cheese of Brenn is washed with beer twice a week. It ripens in a salt mine. "
    "After ten weeks its rind is orange.",
}


def asked(name: str, question: str, answer: str, article: str, evidence: str, **given: Any) -> QAPair:
    return replace(QAPair(name, question, (answer,), (article,), (evidence,), answerable=True), **given)


KEEPER = asked(
    "t5",
    "When did he leave?",
    "1956",
    "lighthouse",
    "Vell left the tower in 1956 for a farm near Oskby.",
    history=(Turn("Who was the keeper of the lighthouse of Tolm?", "Its keeper was Jonas Vell."),),
    rewrite="When did Jonas Vell leave the tower of the lighthouse?",
)
TOLM_PAIRS = [
    asked(
        "t1",
        "Who took the ferry to Skarn out on Friday?",
        "Ottilie Brandt",
        "ferry",
        "Captain Ottilie Brandt took it out on Friday with ninety passengers.",
    ),
    asked(
        "t2",
        "Where did the granite for the sea wall come from?",
        "quarries of Hald",
        "wall",
        "Granite for it came from the quarries of Hald.",
    ),
    asked(
        "t3",
        "How many piles of the pier did the storm break?",
        "eleven",
        "pier",
        "A storm broke eleven of its piles on Tuesday night.",
    ),
    QAPair("t4", "Which orchestra played Mozart's operas in Vienna?", (), (), (), answerable=False),
    KEEPER,
]
BREAD_PAIRS = [
    asked(
        "b1",
        "Who founded the tea factory in Ulan?",
        "Pavel Orsk",
        "tea",
        "The factory in Ulan was founded by Pavel Orsk in 1888.",
    ),
    asked(
        "b2",
        "What is the cheese of Brenn washed with?",
        "beer",
        "cheese",
        "The cheese of Brenn is washed with beer twice a week.",
    ),
    asked(
        "b3",
        "Who is the baker that feeds her sour dough every evening?",
        "Mirela Costin",
        "rye",
        "The baker Mirela Costin feeds hers every evening with warm water.",
    ),
]


def folder(path: Path, articles: dict[str, str], pairs: list[QAPair]) -> Path:
    path.mkdir()
    entries = [{"id": name, "title": name.title(), "text": text} for name, text in articles.items()]
    for file, lines in (("articles.jsonl", entries), ("pairs.jsonl", map(pair_json, pairs))):
        (path / file).write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [folder(tmp_path / "tolm", TOLM, TOLM_PAIRS), folder(tmp_path / "bread", BREAD, BREAD_PAIRS)]


def test_a_conversation_is_joined_into_one_text() -> None:
    turns = (Turn("Who came?", "Ana."), Turn("Why?", "To sing."), Turn("Where?", "In Tolm."))
    pair = replace(KEEPER, history=turns, question="When?")
    assert joined(pair) == "Who came? Where? In Tolm. When?"
    assert joined(replace(pair, history=turns[:1])) == "Who came? Ana. When?", "a turn is said once"
    long = joined(replace(pair, history=(Turn("Who?", "Ana " * LONGEST_QUESTION),)))
    assert (len(long), long.endswith("Ana  When?")) == (LONGEST_QUESTION, True)


def test_an_unrelated_conversation_is_another_sets() -> None:
    talks = [(Turn(f"Who is {n}?", "Ana."),) for n in range(50)]
    drawn = [unrelated(replace(KEEPER, id=str(n)), talks, BREAD_PAIRS) for n in range(20)]
    assert set(drawn) < set(talks)
    assert len(set(drawn)) > 5
    assert drawn[3] == unrelated(replace(KEEPER, id="3"), talks, []), "the same each time"


def test_without_one_it_is_made_of_other_questions() -> None:
    for pair in BREAD_PAIRS:
        told = unrelated(pair, [], BREAD_PAIRS)
        assert {turn.question for turn in told} == {p.question for p in BREAD_PAIRS} - {pair.question}
        assert len(told) == TURNS
    assert unrelated(BREAD_PAIRS[0], [], BREAD_PAIRS[:2]) == (Turn(BREAD_PAIRS[1].question, "beer", ("cheese",)),)
    assert unrelated(BREAD_PAIRS[0], [], BREAD_PAIRS[:1]) == ()


def test_answers_of_all_sets_are_calibrated_together() -> None:
    assert pooled([[(0.52, 0.5, 2), (0.7, 1.0, 1)], [(0.58, 1.0, 4)], []]) == [
        (pytest.approx(0.56), pytest.approx(5 / 6), 6),
        (0.7, 1.0, 1),
    ]
    assert pooled([]) == []


def test_every_question_is_a_step() -> None:
    def of(name: str, pairs: int, first: int) -> QASet:
        return QASet(name, Path(), Config(), Path(), ArticleNames({}), Survey(pairs, 0, (), None), (), first)

    assert steps([of("a", 10, 7), of("b", 5, 5), of("c", 4, 0)]) == (10 + 5) + (5 + 7) + (4 + 12)


HALF = Interval(0.5, 0.25, 0.75, 1000)
FIRST = SetReport(
    name="a|b",
    made={},
    asked=1000,
    excluded=0,
    retrieval={PULLQUOTE: {"hit@1": HALF}, RECIPE: {"hit@1": replace(HALF, value=0.4)}},
    answers={"right": HALF},
    foreign=replace(HALF, value=1.0),
    follow_ups={},
    lost={"right": Difference(0.5, 0.52, 0.02, 0.01, 0.03, 0.5, 1000, 1, 0, 1, "McNemar")},
    calibration=[(0.55, 0.5, 20)],
)


def test_the_tables_have_a_column_for_each_set_and_no_empty_line() -> None:
    talk = {HISTORY: {PULLQUOTE: {"evidence@1": HALF}}}
    second = replace(FIRST, name="c", foreign=None, follow_ups=talk, lost={}, calibration=[(0.7, 1.0, 10)])
    told = markdown(Suite(None, [FIRST, second]))
    half = "0.500 (0.250–0.750, n = 1,000)"
    for line in (
        "|  |  | a/b | c |",
        f"| hit@1 | Pullquote | {half} | {half} |",
        f"| hit@1 | LlamaIndex's recipe | {half.replace('0.500', '0.400')} | {half.replace('0.500', '0.400')} |",
        f"| right | {half} | {half} |",
        f"| other sets' questions left unanswered | {half.replace('0.500', '1.000')} | – |",
        f"| evidence@1 | with its conversation | Pullquote | – | {half} |",
        "| right | 2.0 (1.0 to 3.0, n = 1,000) | – |",
        "| 0.5–0.6 | 0.55: 0.50 (n = 20) | – | 0.55: 0.50 (n = 20) |",
        "| 0.7–0.8 | – | 0.70: 1.00 (n = 10) | 0.70: 1.00 (n = 10) |",
    ):
        assert line in told.splitlines()
    assert "answer_in_100_words" not in told
    assert "follow-up" not in markdown(Suite(None, [FIRST])), "no set has any"


@pytest.mark.parametrize("missing", ["articles.jsonl", "pairs.jsonl"])
def test_a_folder_that_is_no_set_is_told_before_anything_is_ingested(folders: list[Path], missing: str) -> None:
    (folders[1] / missing).unlink()
    with pytest.raises(ReadError, match=f"has no {missing}"):
        next(prepare(folders, None, Config(), Path("work"), print))
    assert not Path("work").exists()


def test_two_sets_of_a_name_are_told_apart_by_nobody(folders: list[Path]) -> None:
    with pytest.raises(ReadError, match="two of the folders are called 'tolm'"):
        next(prepare([*folders, folders[0]], None, Config(), Path("work"), print))


def test_without_the_recipe_nothing_is_done(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'pullquote\[bench\]'"):
        next(prepare(folders, None, Config(), Path("work"), print))
    assert not Path("work").exists()


def value(found: Interval | None) -> tuple[float, int]:
    assert found
    return found.value, found.n


@pytest.mark.slow
def test_both_systems_are_measured_on_two_sets(folders: list[Path]) -> None:
    told: list[str] = []
    work, stepped = Path("work"), []
    sets = list(prepare(folders, None, Config(), work, told.append))
    suite = measure(sets, None, lambda: stepped.append(1))
    tolm, bread = suite.sets
    assert len(stepped) == steps(sets) == (5 + 3) + (3 + 3)
    assert (tolm.asked, bread.asked, tolm.made["index"]["articles"]) == (5, 3, 5)

    assert {name: value(found) for name, found in bread.retrieval[PULLQUOTE].items()} == dict.fromkeys(
        ("hit@1", "answer_in_100_words", "answer_in_250_words", "evidence@1", "evidence@5", "all_evidence@10"), (1, 3)
    )
    assert value(bread.retrieval[RECIPE]["hit@1"]) == (1, 3)
    assert value(bread.retrieval[RECIPE]["all_evidence@10"]) == (1, 3)
    assert [value(bread.answers[name]) for name in ("right", "answered", "quote_exact")] == [(1, 3)] * 3
    assert "abstain_recall" not in bread.answers, "all its questions have an answer"
    assert value(tolm.answers["abstain_recall"]) == (1, 1)
    assert (value(tolm.foreign), value(bread.foreign)) == ((1, 3), (1, 3)), "neither knows what the other is about"

    assert list(tolm.follow_ups) == list(WAYS)
    for way in (ALONE, JOINED, REWRITTEN):
        assert [value(tolm.follow_ups[way][system]["evidence@1"])[1] for system in SYSTEMS] == [1, 1]
    assert value(tolm.follow_ups[REWRITTEN][PULLQUOTE]["evidence@1"]) == (1, 1)
    assert value(tolm.follow_ups[REWRITTEN][RECIPE]["evidence@5"]) == (1, 1)
    assert list(tolm.follow_ups[HISTORY]) == [PULLQUOTE]
    assert bread.follow_ups == {}

    assert [(name, found.n, found.b) for name, found in bread.lost.items()] == [(name, 3, 1) for name in DISTURBED]
    assert sum(n for _, _, n in bread.calibration) == 3
    assert json.loads(json.dumps(asdict(suite)))["sets"][1]["foreign"]["n"] == 3
    assert markdown(suite).count("**") == 2 * 5
    assert told == [f"{s}: ingesting into {system} …" for s in ("tolm", "bread") for system in SYSTEMS]


@pytest.mark.slow
def test_stores_are_kept_until_the_articles_change(folders: list[Path]) -> None:
    def stores() -> tuple[list[str], list[str]]:
        told: list[str] = []
        list(prepare(folders[1:], 2, Config(), Path("work"), told.append))
        return told, [path.name for path in Path("work", "bread").glob("recipe-*")]

    ingested = [f"bread: ingesting into {system} …" for system in SYSTEMS]
    told, first = stores()
    assert told == ingested
    assert stores() == (ingested[:1], first), "what is there is not made again"
    with (folders[1] / "articles.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "oil", "title": "Oil", "text": "The olives of Maro are pressed cold."}) + "\n")
    told, second = stores()
    assert told == ingested
    assert (len(second), first == second) == (1, False)
    note = Path("work", "bread", "recipe.txt")
    note.write_text(note.read_text("utf-8").split()[0], "utf-8")
    assert stores()[0] == ingested, "a note that names no store is not taken for one"
    note.unlink()
    assert stores()[0] == ingested, "one that was left halfway is made again"
