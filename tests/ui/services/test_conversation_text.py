"""Conversations as text: read back as they were, searched, and refused if they are not valid."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import HistoryError
from rag.schema import Copy, Filters, Hit, ReadFilter, Sentence, Stage
from tests.ui.html.test_answer import Tree, answer, cited, passage, texts
from ui.export.markdown import json_export, markdown
from ui.html.answer import messages, sources_html
from ui.html.history import history_html
from ui.schema import Exchange, SavedConversation
from ui.services.conversation_text import (
    LONGEST_TEXT,
    entries_in,
    entry_of,
    from_text,
    renamed,
    search_text,
    searchable,
    shortened,
    snippet_of,
    to_text,
)

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
TOLD = replace(
    answer("One. [1]", cited(1, passage(), "One.")),
    read=(ReadFilter("in May", Filters(date(2024, 5, 1), date(2024, 5, 31))),),
    stages=(Stage("retrieve", 0.1),),
    sentences=(Sentence(0, 4, (1,), 0.9),),
    hits=(Hit(passage(), 1.0, (0.5,), (0.25,), (passage(),)),),
)


def kept(*exchanges: Exchange, conversation: str = "conversation-1", minutes: int = 0) -> SavedConversation:
    return SavedConversation(conversation, "A title", NOW, NOW + timedelta(minutes=minutes), exchanges)


def found_in(conversation: SavedConversation, words: str) -> str | None:
    return snippet_of(conversation.title, searchable(conversation), words)


def shown(exchanges: tuple[Exchange, ...]) -> tuple[Any, str]:
    return messages(exchanges), sources_html(exchanges)


def test_what_is_read_back_shows_the_same_page() -> None:
    nearest = tuple(Hit(passage(f"Text {n}.", id=f"{n}", article_id=f"{n}"), 1.0) for n in range(9))
    duplicates = replace(
        TOLD.citations[0], duplicates=(Copy("b", "", "Title", "Wire", "https://b.example/"),), extra=(("page", "4"),)
    )
    talk = (
        Exchange(
            "A?", replace(TOLD, citations=(duplicates,)), done=True, filters=Filters(sources=("Wire",)), lifted=("in",)
        ),
        Exchange("B?", error="broken", done=True),
        Exchange(
            "C?", answer("No.", grounded=False, hits=nearest, notice="Only the nearest."), done=True, next=("D?",)
        ),
    )
    text = to_text(kept(*talk))
    found = from_text(text)
    assert shown(found.exchanges) == shown(talk)
    assert (found.title, found.started, found.updated) == ("A title", NOW, NOW)
    assert [exchange.id for exchange in found.exchanges] == [exchange.id for exchange in talk]
    told = found.exchanges[0].answer
    assert told
    assert (told.hits, told.stages) == ((), ()), "what is not shown again is not kept"
    assert len(found.exchanges[2].answer.hits) == 3  # type: ignore[union-attr]


@given(texts, texts, texts)
def test_any_text_is_kept_as_it_can_be_shown(question: str, said: str, title: str) -> None:
    question, said, title = (text.encode("utf-8", "replace").decode() for text in (question, said, title))
    text = passage(said, title=title)
    talk = (Exchange(question, answer(said, cited(1, text, said)), done=True),)
    assert shown(from_text(to_text(kept(*talk))).exchanges) == shown(talk)


def test_a_lone_surrogate_is_replaced() -> None:
    assert from_text(to_text(kept(Exchange("A\ud800?")))).exchanges[0].question == "A??"


def test_an_answer_under_way_comes_back_as_far_as_it_was() -> None:
    [exchange] = from_text(to_text(kept(Exchange("A?", TOLD)))).exchanges
    assert exchange.done


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: "",
        lambda text: "{}\n{}",
        lambda text: text.partition("\n")[0],
        lambda text: text[:-1],
        lambda text: "\n" + "[" * 100_000,
        lambda text: text.replace('"format":2', '"format":3'),
        lambda text: text.replace('"conversation-1"', '"../../etc/passwd"'),
        lambda text: text.replace('"confidence":', '"confidence":NaN,"x":'),
        lambda text: text.replace('"confidence":', '"confidence":1e999,"x":'),
        lambda text: text.replace('"start":0', '"start":"0"'),
        lambda text: text.replace('"2024-11-04"', '"4 November"'),
        lambda text: text.replace("+00:00", "").replace("Z", ""),
        lambda text: text + " " * LONGEST_TEXT,
    ],
)
def test_an_invalid_text_is_refused(harm: Any) -> None:
    text = to_text(kept(Exchange("A?", TOLD, done=True)))
    assert harm(text) != text
    with pytest.raises(HistoryError, match="delete it"):
        from_text(harm(text))


@given(st.data())
def test_a_changed_value_is_refused_or_can_be_shown(data: st.DataObject) -> None:
    """Whatever takes the place of any value in it, it is refused, or can be shown."""
    whole = json.loads(to_text(kept(Exchange("A?", TOLD, done=True))).partition("\n")[2])
    place, last = whole, "exchanges"
    for _ in range(data.draw(st.integers(1, 8))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        last = data.draw(st.sampled_from(keys))
        if not isinstance(place[last], (dict, list)):
            break
        holder, place = place, place[last]
    else:
        place = holder
    if isinstance(place, dict) or (isinstance(last, int) and last < len(place)):
        place[last] = data.draw(st.sampled_from([None, -1, 10**30, "", "\ud800", [], {}, True, [[]], -0.5]))
    try:
        found = from_text(f"\n{json.dumps(whole)}")
    except HistoryError:
        return
    shown(found.exchanges)


PIECES = (
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "-1",
    "null",
    "[" * 500,
    "{}",
    '"',
    '"\\ud800"',
    "\ud800",
    "\0",
    "\n",
    ",",
)


@given(st.data())
def test_a_changed_text_is_refused_or_can_be_shown(data: st.DataObject) -> None:
    text = to_text(kept(Exchange("A?", TOLD, done=True)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))) + text[end:]
    entry = entry_of(text)
    history_html([entry] if entry else [])
    search_text(text, "one a?")
    try:
        found = from_text(text)
    except HistoryError:
        return
    shown(found.exchanges)
    json.loads(json_export(found), parse_constant=pytest.fail)
    assert markdown(found)
    assert from_text(to_text(found)) == found


def forged(change: Any) -> str:
    """A conversation whose JSON was changed by hand."""
    whole = json.loads(to_text(kept(Exchange("A?", TOLD, done=True, lengths=(3, 10)))).partition("\n")[2])
    change(whole["exchanges"][0], whole["exchanges"][0]["answer"])
    return f"\n{json.dumps(whole)}"


def nearest_of(told: dict[str, Any], score: float) -> list[dict[str, Any]]:
    return [{"passage": told["citations"][0]["passage"], "score": score}]


@pytest.mark.parametrize(
    "change",
    [
        lambda _, told: told["citations"][0].update(quote="Two!"),
        lambda _, told: told["citations"][0].update(start=1),
        lambda _, told: told["citations"][0].update(start=-16, end=-12),
        lambda _, told: told["citations"][0].update(end=99, quote=told["citations"][0]["passage"]["text"]),
        lambda _, told: (told["citations"][0].update(number=0), told["sentences"][0].update(citations=[0])),
        lambda _, told: told["citations"].append(told["citations"][0]),
        lambda _, told: told["sentences"][0].update(citations=[2]),
        lambda _, told: told["sentences"][0].update(end=9),
        lambda _, told: told["sentences"][0].update(start=4, end=2),
        lambda _, told: told.update(emphasis=[[-1, 2]]),
        lambda _, told: told.update(grounded=False, hits=nearest_of(told, float("nan"))),
        lambda asked, _: asked.update(lengths=[1_000_000, 10]),
        lambda asked, _: asked.update(lengths=[3, 0]),
        lambda asked, _: asked.update(question=7),
    ],
)
def test_no_forged_quote_number_or_length_is_read(change: Any) -> None:
    assert from_text(forged(lambda *_: None)).exchanges[0].lengths == (3, 10)
    with pytest.raises(HistoryError, match="delete it"):
        from_text(forged(change))


def test_a_conversation_of_an_earlier_format_is_read() -> None:
    duplicated = replace(
        TOLD, citations=(replace(TOLD.citations[0], duplicates=(Copy("b", "", "Title", "Wire", ""),)),)
    )
    now = to_text(kept(Exchange("A?", duplicated, done=True)))
    then = now.replace('"duplicates":', '"also":').replace('"sub_question_fits":', '"side_fits":')
    then = then.replace('"duplicate_group":', '"story":').replace('"format":2', '"format":1')
    assert then != now
    assert from_text(then) == from_text(now)


@pytest.mark.parametrize("at", ["2026-11-26T09:30:00", "2026-11-26T09:30:00+01:00", "0001-01-01T00:00:00+23:59"])
def test_times_are_in_utc(at: str) -> None:
    text = to_text(kept(Exchange("A?"))).replace("2026-11-26T09:30:00Z", at)
    assert at in text
    assert entry_of(text) is None
    with pytest.raises(HistoryError):
        from_text(text)


def test_what_is_read_is_cut_to_what_is_shown() -> None:
    """Nearest passages without end, and with more measurements than the page shows, are cut to those it shows."""
    hit = {"passage": 0, "score": 1.0, "fit": [0.5], "sub_question_fits": [[0.5]]}
    text = forged(
        lambda _, told: told.update(
            citations=[], sentences=[], grounded=False, hits=[{**hit, **nearest_of(told, 1.0)[0]} for _ in range(50)]
        )
    )
    answered = from_text(text).exchanges[0].answer
    assert answered
    assert answered.hits == (Hit(passage(), 1.0),) * 3


def test_a_very_long_conversation_is_kept_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = tuple(Exchange(f"Question {n}?", TOLD, done=True) for n in range(1200))
    text = to_text(kept(*talk))
    found = from_text(text).exchanges
    assert (len(found), found[-1].question) == (1000, "Question 1199?")
    monkeypatch.setattr("ui.services.conversation_text.LONGEST_TEXT", 100_000)
    text = to_text(kept(*talk))
    found = from_text(text).exchanges
    assert found[-1].question == "Question 1199?"
    assert 60_000 < len(text) <= 100_000
    assert entry_of(text).turns == len(found)  # type: ignore[union-attr]


def test_a_title_of_any_length_can_be_kept_again() -> None:
    text = to_text(kept(Exchange("A?"))).replace('"A title"', json.dumps("why " * 10_000))
    assert len(from_text(text).title) == 120
    again = to_text(from_text(text))
    assert len(entry_of(again).title) == 120  # type: ignore[union-attr]


def test_words_are_found_in_what_was_said_and_in_nothing_else() -> None:
    told = replace(
        answer(
            "Because. [1]", cited(1, passage("Long ago. The straße was closed on Friday."), "The straße was closed")
        ),
        notice="Nothing else.",
    )
    talk = kept(Exchange("Why is tea late?", told, done=True), Exchange("And ice?", error="broken", done=True))
    for words in ("tea", "LATE Why", "because", "Straße", "STRASSE closed", "harbour", "port strike", "ice tea title"):
        assert found_in(talk, words) is not None, words
    for word in ("exchanges", "question", "null", "confidence", "ago", "benbridge", "teas", "tea coffee"):
        assert found_in(talk, word) is None, word
    assert found_in(talk, "title") == "", "which stands above it"
    assert found_in(talk, "") == ""
    assert found_in(talk, "strasse closed") == "The straße was closed"
    assert found_in(replace(talk, title="Why is tea late?"), "tea") == ""


def test_a_snippet_is_a_line_of_whole_words_around_what_was_found() -> None:
    said = "İ " * 100 + "before\n" * 20 + "the needle " + "after " * 40
    snippet = found_in(kept(Exchange("A?", answer(said), done=True)), "NEEDLE")
    assert snippet
    assert snippet.startswith("…before before")
    assert "before the needle after" in snippet
    assert snippet.endswith("after…")
    assert len(snippet) < 170
    assert found_in(kept(Exchange("x" * 500)), "x") == "x" * 100 + "…"


@given(texts, st.data())
def test_every_word_that_is_shown_is_found(said: str, data: st.DataObject) -> None:
    said = said.encode("utf-8", "replace").decode()
    text = to_text(kept(Exchange("A?", answer(said), done=True)))
    words = data.draw(st.lists(st.sampled_from(said.split() or ["A?"]), max_size=3))
    entry = search_text(text, " ".join(words).swapcase() if said.isascii() else " ".join(words))
    assert entry
    assert entry.id == "conversation-1"
    Tree(history_html([entry]))


def test_titles_are_short_and_in_one_line() -> None:
    assert shortened(" What\nis   hot? ") == "What is hot?"
    assert len(shortened("why " * 100)) == 120
    text = renamed(to_text(kept(Exchange("A?", done=True))), " Tea\nand ice ")
    assert from_text(text).title == "Tea and ice"
    assert entry_of(text).title == "Tea and ice"  # type: ignore[union-attr]
    assert from_text(renamed(text, "  ")).title == "Tea and ice"


def test_invalid_texts_of_a_browser_are_skipped() -> None:
    first, second = (to_text(kept(conversation=f"conversation-{n}", minutes=n)) for n in (1, 2))
    found = entries_in([first.partition("\n")[0], "{}", None, 7, second, "\ud800", "[" * 9_000])
    assert [entry.id for entry in found] == ["conversation-2", "conversation-1"]
    assert entries_in({"a": first}) == entries_in(None) == []


def test_a_browsers_conversations_are_searched_as_those_of_the_server() -> None:
    tea, ice = (
        to_text(kept(Exchange(f"What of {w}, then?"), conversation=f"conversation-{w}")) for w in ("tea", "ice")
    )
    found = entries_in([tea, ice, f"{tea.partition(chr(10))[0]}\n{{}}tea"], "of TEA")
    assert [(entry.id, entry.snippet) for entry in found] == [("conversation-tea", "What of tea, then?")]
    assert entries_in([tea, ice], "question") == []
    assert len(entries_in([ice.partition("\n")[0]], "tea")) == 1, "the browser has looked for itself"


def test_no_snippet_is_kept_or_taken_from_elsewhere() -> None:
    text = to_text(kept(Exchange("A?")))
    assert "snippet" not in text
    told = entry_of(text.replace('"turns":1', '"turns":1,"snippet":"forged"'))
    assert told == entry_of(text)


def test_the_list_escapes_titles_and_snippets() -> None:
    entry = entry_of(to_text(replace(kept(Exchange("A?")), title="<img src=x onerror=alert(1)>")))
    assert entry
    tree = Tree(history_html([entry]))
    assert not tree.of("img")
    names = [e.attributes["name"] for e in tree.of("button")]
    assert names == ["reopen", "rename", "export", "export", "delete"]
    assert "1 question" in tree.elements[0].text
    assert not tree.of("p", "pq-snippet")
    [where] = Tree(history_html([replace(entry, snippet="<b>ice</b>")])).of("p", "pq-snippet")
    assert where.text == "<b>ice</b>"
    assert "No conversation has these words" in history_html([], "x")
