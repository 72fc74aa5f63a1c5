"""Conversations that are kept: read back as they were, found, and nothing else read as one."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ui_render import Tree, answer, cited, passage, texts

from rag.errors import HistoryError
from rag.schema import Copy, Filters, Hit, ReadFilter, Sentence, Stage
from ui.history import (
    LONGEST_KEPT,
    MOST_KEPT,
    Histories,
    Kept,
    entries_in,
    entry_of,
    from_text,
    history_html,
    holds,
    renamed,
    shortened,
    to_text,
)
from ui.render import Exchange, messages, sources_html

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
TOLD = replace(
    answer("One. [1]", cited(1, passage(), "One.")),
    read=(ReadFilter("in May", Filters(date(2024, 5, 1), date(2024, 5, 31))),),
    stages=(Stage("retrieve", 0.1),),
    sentences=(Sentence(0, 4, (1,), 0.9),),
    hits=(Hit(passage(), 1.0, (0.5,), (0.25,), (passage(),)),),
)


def kept(*exchanges: Exchange, conversation: str = "conversation-1", minutes: int = 0) -> Kept:
    return Kept(conversation, "A title", NOW, NOW + timedelta(minutes=minutes), exchanges)


def shown(exchanges: tuple[Exchange, ...]) -> tuple[Any, str]:
    return messages(exchanges), sources_html(exchanges)


def test_what_is_read_back_shows_the_same_page() -> None:
    nearest = tuple(Hit(passage(f"Text {n}.", id=f"{n}", article_id=f"{n}"), 1.0) for n in range(9))
    also = replace(
        TOLD.citations[0], also=(Copy("b", "", "Title", "Wire", "https://b.example/"),), extra=(("page", "4"),)
    )
    talk = (
        Exchange("A?", replace(TOLD, citations=(also,)), done=True, filters=Filters(sources=("Wire",)), lifted=("in",)),
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


def test_half_a_character_spoils_nothing() -> None:
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
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: text.replace('"conversation-1"', '"../../etc/passwd"'),
        lambda text: text.replace('"confidence":', '"confidence":NaN,"x":'),
        lambda text: text.replace('"confidence":', '"confidence":1e999,"x":'),
        lambda text: text.replace('"start":0', '"start":"0"'),
        lambda text: text.replace('"2024-11-04"', '"4 November"'),
        lambda text: text.replace("+00:00", "").replace("Z", ""),
        lambda text: text + " " * LONGEST_KEPT,
    ],
)
def test_what_is_no_conversation_is_told(harm: Any) -> None:
    text = to_text(kept(Exchange("A?", TOLD, done=True)))
    assert harm(text) != text
    with pytest.raises(HistoryError, match="delete it"):
        from_text(harm(text))


@given(st.data())
def test_a_conversation_that_was_tampered_with_is_shown_or_told(data: st.DataObject) -> None:
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


def test_titles_are_short_and_in_one_line() -> None:
    assert shortened(" What\nis   hot? ") == "What is hot?"
    assert len(shortened("why " * 100)) == 120
    text = renamed(to_text(kept(Exchange("A?", done=True))), " Tea\nand ice ")
    assert from_text(text).title == "Tea and ice"
    assert entry_of(text).title == "Tea and ice"  # type: ignore[union-attr]
    assert from_text(renamed(text, "  ")).title == "Tea and ice"


def test_a_browsers_list_is_what_can_be_read_of_it() -> None:
    first, second = (to_text(kept(conversation=f"conversation-{n}", minutes=n)) for n in (1, 2))
    found = entries_in([first.partition("\n")[0], "{}", None, 7, second, "\ud800", "[" * 9_000])
    assert [entry.id for entry in found] == ["conversation-2", "conversation-1"]
    assert entries_in({"a": first}) == entries_in(None) == []


def test_the_list_shows_what_it_was_told() -> None:
    entry = entry_of(to_text(replace(kept(Exchange("A?")), title="<img src=x onerror=alert(1)>")))
    assert entry
    tree = Tree(history_html([entry]))
    assert not tree.of("img")
    names = [e.attributes["name"] for e in tree.of("button")]
    assert names == ["reopen", "rename", "export", "export", "delete"]
    assert "1 question" in tree.elements[0].text
    assert "No conversation has these words" in history_html([], "x")


class TestOnTheServer:
    """Each user's conversations are files of their own."""

    def test_they_are_kept_found_and_forgotten(self, tmp_path: Path) -> None:
        histories = Histories.beside(tmp_path / "index")
        texts = [
            to_text(kept(Exchange(f"What of “{word}”?"), conversation=f"conversation-{word}", minutes=n))
            for n, word in enumerate(("tea", "ice"))
        ]
        for text in texts:
            histories.put("ann", text)
        again = Histories.beside(tmp_path / "index")
        assert [e.id for e in again.entries("ann")] == ["conversation-ice", "conversation-tea"], "the latest first"
        assert histories.entries("bob") == []
        assert [e.id for e in histories.entries("ann", "of TEA")] == ["conversation-tea"]
        assert histories.get("ann", "conversation-tea") == texts[0]
        with pytest.raises(HistoryError, match="no longer kept"):
            histories.get("bob", "conversation-tea")
        histories.delete("bob", "conversation-tea")
        histories.delete("ann", "conversation-ice")
        assert [e.id for e in histories.entries("ann")] == ["conversation-tea"]

    @pytest.mark.parametrize("name", ["../../x12345678", "", "a/b/c/d/e/f", "\0" * 10, "CON", "x" * 200, "ü" * 12])
    def test_no_name_chooses_a_path(self, tmp_path: Path, name: str) -> None:
        histories = Histories.beside(tmp_path / "index")
        histories.put(name, to_text(kept()))
        assert histories.get(name, "conversation-1")
        with pytest.raises(HistoryError):
            histories.put("ann", to_text(kept(conversation=name)))
        with pytest.raises(HistoryError):
            histories.get("ann", name)
        histories.delete("ann", name)
        written = [file.relative_to(tmp_path).parts for file in tmp_path.rglob("*.json")]
        assert [(parts[0], len(parts), parts[2]) for parts in written] == [
            ("index.conversations", 3, "conversation-1.json")
        ]

    def test_only_the_owner_may_read_the_files(self, tmp_path: Path) -> None:
        Histories.beside(tmp_path / "index").put("ann", to_text(kept()))
        [file] = tmp_path.rglob("*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_the_oldest_make_room_and_broken_files_are_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ui.history.MOST_KEPT", 3)
        assert MOST_KEPT > 3
        histories = Histories.beside(tmp_path / "index")
        for n in range(5):
            histories.put("ann", to_text(kept(conversation=f"conversation-{n}", minutes=n)))
            [file] = tmp_path.rglob(f"*-{n}.json")
            os.utime(file, (n, n))
        assert [e.id for e in histories.entries("ann")] == ["conversation-4", "conversation-3", "conversation-2"]
        file.write_bytes(b"\xff\xfe")
        assert [e.id for e in histories.entries("ann")] == ["conversation-3", "conversation-2"]

    def test_several_at_once(self, tmp_path: Path) -> None:
        histories, barrier = Histories.beside(tmp_path / "index"), threading.Barrier(8)

        def write(n: int) -> None:
            barrier.wait()
            histories.put("ann", to_text(kept(Exchange("A?" * 1000), conversation=f"conversation-{n % 2}", minutes=n)))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        for entry in histories.entries("ann"):
            assert from_text(histories.get("ann", entry.id)).id == entry.id
        assert len(histories.entries("ann")) == 2
        assert not list(tmp_path.rglob("*.draft"))

    def test_a_disk_that_is_full_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "index.conversations").write_text("a file in its place")
        with pytest.raises(HistoryError, match="cannot keep the conversation"):
            Histories.beside(tmp_path / "index").put("ann", to_text(kept()))


def test_words_are_looked_for_as_they_are_kept() -> None:
    text = to_text(kept(Exchange('He said "no\\yes" to Zoë.')))
    assert holds(text, ['"no\\yes"', "zoë"])
    assert not holds(text, ["zoe"])
