"""Conversations that are kept: read back as they were, found, and nothing else read as one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import HistoryError
from rag.schema import Copy, Filters, Hit, ReadFilter, Sentence, Stage
from tests.conftest import ROOT
from tests.ui.html.test_answer import Tree, answer, cited, passage, texts
from ui.export.markdown import json_export, markdown
from ui.html.answer import messages, sources_html
from ui.html.history import history_html
from ui.schema import Exchange, SavedConversation
from ui.services.history import (
    LONGEST_KEPT,
    MOST_KEPT,
    ServerHistory,
    entries_in,
    entry_found,
    entry_of,
    found_in,
    from_text,
    holds,
    renamed,
    shortened,
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
        lambda text: text.replace('"format":2', '"format":3'),
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
def test_any_harm_to_its_letters_is_told_or_shown(data: st.DataObject) -> None:
    text = to_text(kept(Exchange("A?", TOLD, done=True)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))) + text[end:]
    entry = entry_of(text)
    history_html([entry] if entry else [])
    entry_found(text, "one a?")
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


def test_what_is_read_may_be_far_more_than_what_is_kept() -> None:
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
    monkeypatch.setattr("ui.services.history.LONGEST_KEPT", 100_000)
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
    entry = entry_found(text, " ".join(words).swapcase() if said.isascii() else " ".join(words))
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


def test_a_browsers_list_is_what_can_be_read_of_it() -> None:
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


def test_the_list_shows_what_it_was_told() -> None:
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


class TestOnTheServer:
    """Each user's conversations are files of their own."""

    def test_they_are_kept_found_and_forgotten(self, tmp_path: Path) -> None:
        histories = ServerHistory.beside(tmp_path / "index")
        texts = [
            to_text(kept(Exchange(f"What of “{word}”?"), conversation=f"conversation-{word}", minutes=n))
            for n, word in enumerate(("tea", "ice"))
        ]
        for text in texts:
            histories.put("ann", text)
        again = ServerHistory.beside(tmp_path / "index")
        assert [e.id for e in again.entries("ann")] == ["conversation-ice", "conversation-tea"], "the latest first"
        assert histories.entries("bob") == []
        assert [e.id for e in histories.entries("ann", "of TEA")] == ["conversation-tea"]
        assert [e.snippet for e in histories.entries("ann", "ice")] == ["What of “ice”?"]
        assert histories.entries("ann", "exchanges") == [], "which stands in every file"
        assert histories.get("ann", "conversation-tea") == texts[0]
        with pytest.raises(HistoryError, match="no longer kept"):
            histories.get("bob", "conversation-tea")
        histories.delete("bob", "conversation-tea")
        histories.delete("ann", "conversation-ice")
        assert [e.id for e in histories.entries("ann")] == ["conversation-tea"]

    @pytest.mark.parametrize("name", ["../../x12345678", "", "a/b/c/d/e/f", "\0" * 10, "CON", "x" * 200, "ü" * 12])
    def test_no_name_chooses_a_path(self, tmp_path: Path, name: str) -> None:
        histories = ServerHistory.beside(tmp_path / "index")
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
        ServerHistory.beside(tmp_path / "index").put("ann", to_text(kept()))
        [file] = tmp_path.rglob("*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for folder in (file.parent, file.parent.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_the_oldest_make_room_and_broken_files_are_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ui.services.history.MOST_KEPT", 3)
        assert MOST_KEPT > 3
        histories = ServerHistory.beside(tmp_path / "index")
        for n in range(5):
            histories.put("ann", to_text(kept(conversation=f"conversation-{n}", minutes=n)))
            [file] = tmp_path.rglob(f"*-{n}.json")
            os.utime(file, (n, n))
        assert [e.id for e in histories.entries("ann")] == ["conversation-4", "conversation-3", "conversation-2"]
        file.write_bytes(b"\xff\xfe")
        assert [e.id for e in histories.entries("ann")] == ["conversation-3", "conversation-2"]

    def test_no_two_users_share_a_folder(self, tmp_path: Path) -> None:
        histories = ServerHistory.beside(tmp_path / "index")
        names = ["?", "\ud800", "\ud801", "\ufffd", "ann", "Ann", "ann ", "a\u0301nn", "\u00e1nn"]
        for n, name in enumerate(names):
            histories.put(name, to_text(kept(conversation=f"conversation-{n}")))
        assert [[e.id for e in histories.entries(name)] for name in names] == [
            [f"conversation-{n}"] for n in range(len(names))
        ]

    def test_what_goes_while_it_is_listed_takes_nothing_along(self, tmp_path: Path) -> None:
        histories = ServerHistory.beside(tmp_path / "index")
        histories.put("ann", to_text(kept()))
        [file] = tmp_path.rglob("*.json")
        file.with_name("conversation-0.json").symlink_to("gone")  # listed, and not there when it is looked at
        assert [e.id for e in histories.entries("ann")] == ["conversation-1"]

    def test_what_can_never_be_read_again_is_not_kept(self, tmp_path: Path) -> None:
        histories, text = ServerHistory.beside(tmp_path / "index"), to_text(kept())
        histories.put("ann", text)
        with pytest.raises(HistoryError):
            histories.put("ann", text + " " * LONGEST_KEPT)
        assert histories.get("ann", "conversation-1") == text

    def test_what_is_deleted_is_gone_with_what_was_half_written_of_it(self, tmp_path: Path) -> None:
        histories = ServerHistory.beside(tmp_path / "index")
        for n in (1, 2):
            histories.put("ann", to_text(kept(conversation=f"conversation-{n}")))
            [file] = tmp_path.rglob(f"*-{n}.json")
            file.with_suffix(".x.draft").write_text("half")
        histories.delete("ann", "conversation-1")
        assert {path.name for path in tmp_path.rglob("*-?.*")} == {"conversation-2.json", "conversation-2.x.draft"}

    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        """Both write the same conversation over and over, and it is always read whole."""
        text = tmp_path / "text"
        text.write_text(to_text(kept(Exchange("A?" * 10_000), conversation="conversation-1")), "utf-8")
        code = (
            "import sys; from pathlib import Path; from ui.services.history import ServerHistory\n"
            "histories, text = ServerHistory.beside(Path(sys.argv[1])), Path(sys.argv[2]).read_text('utf-8')\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "for _ in range(200): histories.put('ann', text)\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "index"), str(text)]
        root = ROOT
        histories, whole = ServerHistory.beside(tmp_path / "index"), text.read_text("utf-8")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running = [subprocess.Popen(command, cwd=root, **pipes) for _ in range(2)]
        assert [process.stdout.readline() for process in running] == ["ready\n"] * 2  # type: ignore[union-attr]
        for process in running:
            process.stdin.close()  # type: ignore[union-attr]
        while any(process.poll() is None for process in running):
            for entry in histories.entries("ann"):
                assert histories.get("ann", entry.id) == whole
        for process in running:
            process.stdout.close()  # type: ignore[union-attr]
        assert [process.returncode for process in running] == [0, 0]
        assert [path.name for path in tmp_path.rglob("conversation-1.*")] == ["conversation-1.json"]

    def test_several_at_once(self, tmp_path: Path) -> None:
        histories, barrier = ServerHistory.beside(tmp_path / "index"), threading.Barrier(8)
        others = (histories, ServerHistory.beside(tmp_path / "index"))

        def write(n: int) -> None:
            barrier.wait()
            others[n // 4].put(
                "ann", to_text(kept(Exchange("A?" * 1000), conversation=f"conversation-{n % 2}", minutes=n))
            )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        for entry in histories.entries("ann"):
            assert from_text(histories.get("ann", entry.id)).id == entry.id
        assert len(histories.entries("ann")) == 2
        assert not list(tmp_path.rglob("*.draft"))

    def test_a_disk_that_is_full_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "index.conversations").write_text("a file in its place")
        with pytest.raises(HistoryError, match="cannot keep the conversation"):
            ServerHistory.beside(tmp_path / "index").put("ann", to_text(kept()))


def test_words_are_looked_for_as_they_are_kept() -> None:
    text = to_text(kept(Exchange('He said "no\\yes" to Zoë.')))
    assert holds(text, ['"no\\yes"', "zoë"])
    assert not holds(text, ["zoe"])
