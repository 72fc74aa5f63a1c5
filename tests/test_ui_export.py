"""What leaves the page: the same words, with every citation, and nothing that Markdown takes for more than text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import given
from markdown_it import MarkdownIt
from markdown_it.token import Token
from test_ui_render import answer, cited, passage, texts

from rag.schema import Filters, ReadFilter
from ui.export import file_name, json_export, markdown
from ui.history import Kept
from ui.render import Exchange, answer_text

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
HARMLESS = {"text", "text_special", "softbreak", "em_open", "em_close", "strong_open", "strong_close"}


def kept(*exchanges: Exchange, title: str = "Title") -> Kept:
    return Kept("conversation-1", title, NOW, NOW, exchanges)


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def rendered(tokens: list[Token]) -> str:
    inline = (child.content for token in tokens for child in token.children or [])
    return " ".join("".join(inline).split())


@given(texts, texts, texts, texts)
def test_no_text_is_more_than_text(question: str, said: str, title: str, source: str) -> None:
    of = passage(said, title=title, source=source, url="javascript:alert(1)")
    told = replace(answer(said, cited(1, of, said)), notice=said)
    tokens = parsed(markdown(kept(Exchange(question, told, done=True), title=title)))
    assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} <= {
        *("heading", "paragraph", "inline", "blockquote")
    }
    for token in tokens:
        assert {child.type for child in token.children or []} <= HARMLESS
    ink = "".join(rendered(tokens).split())
    for text in (question, said, title, source):
        shown = "".join(c for c in text if c.isalnum())
        assert shown in "".join(c for c in ink if c.isalnum())


def test_a_conversation_in_markdown() -> None:
    read = (ReadFilter("in May", Filters(date(2024, 5, 1), date(2024, 5, 31))),)
    told = replace(answer("One. [1]", cited(1, passage(), "One.")), read=read, confidence=0.9)
    text = markdown(kept(Exchange("Why 1.5?", told, done=True), Exchange("B?", error="broken", done=True)))
    words = rendered(parsed(text))
    assert words.startswith("Title")
    for part in (
        "26 November 2026, 2 questions",
        "Why 1.5?",
        "One. [1]",
        "Well supported.",
        "Only articles published in May 2024.",
        "[1] “One.”",
        "Port strike ends, Harbour Wire, 4 November 2024, https://example.com/a",
        "(a, characters 0 to 4)",
        "broken",
    ):
        assert "".join(part.split()) in "".join(words.split()), part


def test_a_conversation_in_json() -> None:
    told = answer("One. [1]", cited(1, passage(), "One."))
    found = json.loads(json_export(kept(Exchange("A?", told, done=True), Exchange("B\ud800?", error="no", done=True))))
    assert (found["title"], found["started"]) == ("Title", "2026-11-26T09:30:00+00:00")
    assert found["exchanges"][0]["answer"]["citations"][0]["quote"] == "One."
    assert found["exchanges"][1] == {"question": "B??", "error": "no", "answer": None}


def test_an_answer_to_paste() -> None:
    told = answer("One. [1]", cited(1, passage(), "One."))
    place = "Port strike ends, Harbour Wire, 4 November 2024, https://example.com/a"
    assert answer_text(told) == f"One. [1]\n\n[1] “One.” — {place}"
    hostile = passage(title="A\nB", url="javascript:alert(1)")
    assert "javascript" not in answer_text(answer("One. [1]", cited(1, hostile, "One.")))


def test_downloads_have_names_that_any_system_takes() -> None:
    assert file_name(kept(title="What did Zoë & Co. say?/..\\"), "md") == "what-did-zoe-co-say-2026-11-26.md"
    assert file_name(kept(title="戦争"), "json") == "conversation-2026-11-26.json"
    assert len(file_name(kept(title="x" * 500), "md")) < 80
