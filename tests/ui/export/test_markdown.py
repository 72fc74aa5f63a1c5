"""Exports: the same words, every citation, and no text that Markdown takes for markup."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.schema import Filters, ReadFilter, Sentence
from tests.ui.html.test_answer import answer, cited, passage, texts
from ui.export.json import answer_json
from ui.export.markdown import answer_markdown, file_name, json_export, markdown
from ui.export.text import answer_text
from ui.schema import Exchange, SavedConversation
from ui.wording import link, showable

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
HARMLESS = {"text", "text_special", "softbreak", "em_open", "em_close", "strong_open", "strong_close"}


def kept(*exchanges: Exchange, title: str = "Title") -> SavedConversation:
    return SavedConversation("conversation-1", title, NOW, NOW, exchanges)


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def rendered(tokens: list[Token]) -> str:
    inline = (child.content for token in tokens for child in token.children or [])
    return " ".join("".join(inline).split())


@given(texts, texts, texts, texts)
def test_text_never_becomes_markup(question: str, said: str, title: str, source: str) -> None:
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


def paragraphs(text: str) -> list[str]:
    """What a reader sees of each paragraph and heading."""
    inline = [token for token in parsed(text) if token.type == "inline"]
    return [
        " ".join("".join(c.content or " " * (c.type == "softbreak") for c in t.children or []).split()) for t in inline
    ]


def line(text: str) -> str:
    return " ".join(showable(text).split())


@given(texts, texts, texts, texts)
def test_the_rendered_text_equals_the_original(question: str, said: str, title: str, source: str) -> None:
    of = passage(said, title=f"T{title}", source=f"S{source}", url="")
    told = replace(answer(f"A{said}", cited(1, of, said), confidence=0.9), notice=f"N{said}")
    text = markdown(kept(Exchange(f"Q{question}", told, done=True), title=f"C{title}"))
    assert paragraphs(text) == [
        line(f"C{title}"),
        "26 November 2026, 1 question",
        line(f"Q{question}"),
        line(f"A{said}"),
        "Well supported.",
        line(f"N{said}"),
        line(
            f"[1] “{line(said)}” — {line(f'T{title}')}, {line(f'S{source}')}, 4 November 2024 "
            f"(a, characters 0 to {len(said)})"
        ),
    ]


@given(st.one_of(texts, texts.map("https://example.com/{}".format), st.text().map("http://{}".format)))
def test_the_only_links_are_the_addresses_of_citations(url: str) -> None:
    of = passage("One.", title="<https://evil.example/> [t](https://evil.example/)", url=url)
    tokens = parsed(answer_markdown(answer("One. [1]", cited(1, of, "One."))))
    inline = [child for token in tokens for child in token.children or []]
    links = [child.attrs["href"] for child in inline if child.type == "link_open"]
    assert {child.type for child in inline} <= HARMLESS | {"link_open", "link_close"}
    assert len(links) == bool(link(url))
    assert all(str(href).lower().startswith(("http://", "https://")) for href in links)
    assert not any("evil" in str(href) for href in links)


def test_addresses_that_are_not_of_the_web_are_left_out() -> None:
    for url in ("javascript:alert(1)", "", "https:///x", "data:text/html,x"):
        of = passage("One.", url=url)
        shown = paragraphs(answer_markdown(answer("One. [1]", cited(1, of, "One."))))[-1]
        assert shown == "[1] “One.” — Port strike ends, Harbour Wire, 4 November 2024 (a, characters 0 to 4)"


def test_an_address_that_would_end_its_link_is_still_one_link() -> None:
    of = passage("One.", url="https://example.com/?a=<b>&c=*_`[d](e)\\f")
    text = answer_markdown(answer("One. [1]", cited(1, of, "One.")))
    assert "<https://example.com/?a=%3Cb%3E&c=*_`[d](e)\\f>" in text
    [opened] = [child for token in parsed(text) for child in token.children or [] if child.type == "link_open"]
    assert str(opened.attrs["href"]).startswith("https://example.com/?a=%3Cb%3E&c=")


def test_unsupported_and_unchecked_sentences_are_marked() -> None:
    told = replace(
        answer("One. [1] Nine. [unsupported] And the …", cited(1, passage(), "One."), confidence=0.7),
        sentences=(Sentence(0, 4, (1,), 0.9), Sentence(9, 14, (), 0.0)),
        written_by="A *small* model",
    )
    shown = paragraphs(answer_markdown(told))
    assert shown[0] == "One. [1] Nine. [unsupported] And the … [unchecked]"
    assert shown[1:3] == ["Partly supported.", "Written by A *small* model."]
    for text in ("One. [1]", "One. [1] …"):
        assert paragraphs(answer_markdown(replace(told, text=text)))[0] == text
    assert paragraphs(answer_markdown(replace(told, written_by="")))[0].endswith("And the …")


def test_an_answer_that_abstains() -> None:
    told = answer("The articles do not say.", grounded=False, notice="Only the nearest passages.")
    assert paragraphs(answer_markdown(told)) == ["The articles do not say.", "Only the nearest passages."]


def test_a_conversation_of_several_days() -> None:
    talk = replace(kept(Exchange("A?", error="broken", filters=Filters(sources=("Wire",)))), updated=NOW + timedelta(3))
    assert paragraphs(markdown(talk)) == [
        "Title",
        "26 November 2026 to 29 November 2026, 1 question",
        "A?",
        "Only articles from Wire.",
        "broken",
    ]


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
    chosen = Filters(date(2024, 5, 1), None, ("Wire",), ("a",))
    found = json.loads(
        json_export(kept(Exchange("A?", told, done=True, filters=chosen), Exchange("B\ud800?", error="no", done=True)))
    )
    assert found == {
        "format": 1,
        "title": "Title",
        "started": "2026-11-26T09:30:00+00:00",
        "updated": "2026-11-26T09:30:00+00:00",
        "exchanges": [
            {
                "question": "A?",
                "filters": {
                    "published_after": "2024-05-01",
                    "published_before": None,
                    "sources": ["Wire"],
                    "article_ids": ["a"],
                },
                "error": "",
                "answer": answer_json(told),
            },
            {"question": "B??", "filters": None, "error": "no", "answer": None},
        ],
    }
    assert found["exchanges"][0]["answer"]["citations"][0]["quote"] == "One."


def test_an_answer_to_paste() -> None:
    told = answer("One. [1]", cited(1, passage(), "One."))
    place = "Port strike ends, Harbour Wire, 4 November 2024, https://example.com/a"
    assert answer_text(told) == f"One. [1]\n\n[1] “One.” — {place}"
    hostile = passage(title="A\nB", url="javascript:alert(1)")
    assert "javascript" not in answer_text(answer("One. [1]", cited(1, hostile, "One.")))


def test_names_of_downloads_are_valid_on_every_system() -> None:
    assert file_name(kept(title="What did Zoë & Co. say?/..\\"), "md") == "what-did-zoe-co-say-2026-11-26.md"
    assert file_name(kept(title="戦争"), "json") == "conversation-2026-11-26.json"
    assert len(file_name(kept(title="x" * 500), "md")) < 80
