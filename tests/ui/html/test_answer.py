"""Whatever an article says, the page shows it as text: what is parsed out of the HTML is what went in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.schema import Answer, Article, ArticleEntry, Citation, Copy, Filters, Hit, Passage, ReadFilter, Sentence
from ui import schema, wording
from ui.export import json as as_json
from ui.html import answer as answer_page
from ui.html import article as article_page
from ui.html import elements
from ui.html.templating import escape
from ui.schema import Exchange, Reading

OURS = {
    "div": {"class", "dir", "role"},
    "p": {"class", "dir"},
    "section": {"class", "id", "hidden"},
    "article": {"class", "aria-label"},
    "blockquote": {"class", "dir"},
    "h1": {"class"},
    "h2": {"dir"},
    "h3": {"dir"},
    "a": {"class", "id", "href", "title", "target", "rel"},
    "sup": set(),
    "i": set(),
    "b": set(),
    "span": {"class"},
    "mark": {"class", "id", "tabindex"},
    "button": {"type", "class", "dir", "name", "value"},
    "ul": set(),
    "ol": {"class", "aria-label"},
    "li": {"style"},
    "time": set(),
    "pre": {"id", "hidden"},
}
CLASS = re.compile(r"pq-[a-z]+(-\d+-\d+)?( pq-[a-z]+(-\d+-\d+)?)*")
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b onclick="x">',
    "' onload='x",
    "**bold** _it_ `code`",
    "# heading\n\n    indented\n- list",
    "[a](javascript:alert(1)) ![p](http://example.com/p.png)",
    "$x$ $$y$$ \\(z\\)",
    "{{ value }} ${value} `${1}`",
    "&lt;b&gt; &#60; &amp;amp;",
    "www.example.com a@example.com https://example.com/",
    "[1] [2] [99] [٣]",
    "<!-- x --> <![CDATA[ ]]>",
    "\r\n\x00\x1b\x85\ufffe\ud800\u202e\u00a0",
    "%%%LATEX_BLOCK_0%%%",
)
texts = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(HOSTILE)), max_size=5).map(" ".join)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    children: list[Element] = field(default_factory=list)


class Tree(HTMLParser):
    """Parses what is well-formed, and keeps every element in the order it starts; `elements[0]` is the root."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements = [Element("", {})]
        self.open = [self.elements[0]]
        self.feed(html)
        self.close()
        assert len(self.open) == 1, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    unknown_decl = handle_decl
    handle_pi = handle_decl

    def of(self, tag: str, kind: str = "") -> list[Element]:
        return [e for e in self.elements if e.tag == tag and kind in [*(e.attributes.get("class") or "").split(), ""]]


def parsed(html: str) -> Tree:
    """The tree, once it is known that every element, attribute and class in it is one of ours."""
    tree = Tree(html)
    for element in tree.elements[1:]:
        assert set(element.attributes) <= OURS[element.tag]
        assert CLASS.fullmatch(element.attributes.get("class") or "pq-none")
        href = element.attributes.get("href")
        assert href is None or re.match(r"#pq-[aq]-\d+-\d+$|https?://", href, re.IGNORECASE)
    return tree


def plain(text: str) -> str:
    """Text as a reader sees it: a no-break space looks like a space."""
    return wording.showable(text).replace("\u00a0", " ")


def inked(text: str) -> str:
    """Text without what leaves no trace at a passage's ends: white space, and the controls that count as such."""
    return re.sub(r"[\s\ufffd]", "", plain(text))


def passage(text: str = "One. Two. Three.", **changes: object) -> Passage:
    fields = {
        "id": "a-0",
        "article_id": "a",
        "digest": "",
        "ordinal": 0,
        "start": 0,
        "end": len(text),
        "text": text,
        "sentences": (),
        "title": "Port strike ends",
        "source": "Harbour Wire",
        "url": "https://example.com/a",
        "author": "Ayo Benbridge",
        "published": date(2024, 11, 4),
    }
    return Passage(**(fields | changes))  # type: ignore[arg-type]


def cited(number: int, of: Passage, quote: str) -> Citation:
    start = of.start + of.text.index(quote)
    return Citation(number, of, quote, start, start + len(quote))


def answer(text: str, *citations: Citation, grounded: bool = True, confidence: float = 0.9, **rest: object) -> Answer:
    hits = tuple(Hit(c.passage, 1.0) for c in citations)
    return Answer("Why?", text, citations, **({"hits": hits} | rest), grounded=grounded, confidence=confidence)  # type: ignore[arg-type]


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    body = draw(texts)
    names = {name: draw(texts) for name in ("title", "source", "url", "author")}
    of = passage(body, **names, start=draw(st.integers(0, 50)))
    edges = st.tuples(st.integers(0, len(body)), st.integers(0, len(body))).map(sorted)
    spans = draw(st.lists(edges, max_size=3))
    more = {"duplicates": (Copy("b", "/b", *(draw(texts) for _ in range(3))),), "extra": ((draw(texts), draw(texts)),)}
    citations = [Citation(n, of, body[a:b], of.start + a, of.start + b, **more) for n, (a, b) in enumerate(spans, 1)]  # type: ignore[arg-type]
    hits = (Hit(of, 1.0),)
    return Answer(draw(texts), draw(texts), tuple(citations), hits, draw(st.booleans()), 0.7, draw(texts))


@given(texts)
def test_escaped_text_means_nothing_to_markdown_templates_or_html(text: str) -> None:
    escaped = escape(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9 \u00a0-\U0010ffff]|&#\d+;)*", escaped)
    assert Tree(escaped).elements[0].text == wording.showable(text)
    escaped.encode("utf-8")


@given(answers())
def test_an_answer_shows_its_text_and_nothing_else(given_answer: Answer) -> None:
    tree = parsed(answer_page.answer_html(given_answer, 3))
    [text] = tree.of("p", "pq-text")
    assert plain(text.text) == plain(given_answer.text)
    assert [plain(e.text) for e in tree.of("p", "pq-notice")] == [plain(given_answer.notice)] * bool(
        given_answer.notice
    )


any_spans = st.lists(st.tuples(st.integers(-5, 80), st.integers(-5, 80)), max_size=5).map(tuple)


@given(answers(), any_spans)
def test_emphasis_changes_no_character(given_answer: Answer, spans: tuple[tuple[int, int], ...]) -> None:
    plainly = parsed(answer_page.answer_html(given_answer, 3)).elements[0].text
    assert parsed(answer_page.answer_html(replace(given_answer, emphasis=spans), 3)).elements[0].text == plainly


@given(st.lists(st.sampled_from("ab [1]é\r\n<&"), max_size=30).map("".join), any_spans)
def test_what_is_bold_is_what_is_emphasised(text: str, spans: tuple[tuple[int, int], ...]) -> None:
    tree = parsed(answer_page.answer_html(answer(text, emphasis=spans, grounded=False), 1))
    bold = "".join(e.text for e in tree.of("b"))
    wanted = "".join(c for at, c in enumerate(text) if any(start <= at < end for start, end in spans))
    assert re.sub(r"\s", "", bold) == re.sub(r"\s", "", wanted)
    assert tree.of("p", "pq-text")[0].text == wording.showable(text)


def test_emphasis_stops_at_a_marker() -> None:
    told = answer("On 4 May. [1] Later.", cited(1, passage(), "One."), emphasis=((3, 8), (6, 16), (15, 500), (9, 3)))
    tree = parsed(answer_page.answer_html(told, 1))
    assert [e.text for e in tree.of("b")][:-1] == ["4 May.", " Later."]
    assert tree.of("p", "pq-text")[0].text == "On 4 May.\u00a0[1] Later."


@given(answers())
def test_the_panel_shows_passages_and_titles_as_they_are(given_answer: Answer) -> None:
    tree = parsed(answer_page.sources_html([Exchange(given_answer.question, given_answer)]))
    of = given_answer.hits[0].passage
    assert [plain(e.text) for e in tree.of("h3")] == [plain(of.title) or "Untitled"]
    if not tree.of("a", "pq-number"):
        assert plain(tree.of("blockquote")[0].text) == plain(of.text.strip())


@given(answers())
def test_what_is_marked_is_what_is_quoted(given_answer: Answer) -> None:
    tree = parsed(answer_page.sources_html([Exchange("", given_answer)]))
    for citation in given_answer.citations if given_answer.grounded else ():
        marked = "".join(e.text for e in tree.of("mark", f"pq-c-1-{citation.number}"))
        assert inked(marked) == inked(citation.quote)


@given(texts, texts, texts, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4))
def test_an_article_to_read_shows_its_text_unchanged(
    title: str, text: str, article_id: str, spans: list[tuple[int, int]]
) -> None:
    text = wording.showable(text)
    article = Article(article_id, title, text, "The <Wire>", url="javascript:alert(1)", published=date(2024, 5, 4))
    inside = [(min(span), min(max(span), len(text))) for span in spans if min(span) < len(text)]
    quotes = tuple(enumerate(inside, start=1))
    tree = parsed(article_page.reading_html(Reading(article, quotes=quotes, at=1, turn=2)))
    [body] = tree.of("div", "pq-body")
    numbers = "".join(e.text for e in tree.of("a", "pq-number"))
    assert sorted(inked(body.text)) == sorted(inked(text) + numbers)
    for number, (start, end) in quotes[:1]:
        assert inked("".join(e.text for e in tree.of("mark", "pq-at"))) == inked(text[start:end]), number
    assert [e.attributes["name"] for e in tree.of("button")] == ["close", "only"]
    told = json.loads(tree.of("button")[1].attributes["value"] or "")
    assert told["article"] == article_id


def test_a_very_long_article_is_shown_around_its_quote() -> None:
    text = "".join(f"Sentence {n:06d}. " for n in range(20_000))
    at = text.index("Sentence 015000.")
    read = Reading(Article("a", "Long", text), quotes=((1, (at, at + 16)), (2, (0, 9))), at=1, turn=1)
    tree = parsed(article_page.reading_html(read))
    assert [e.text for e in tree.of("mark")] == ["Sentence 015000."]
    assert "Sentence 000000." not in tree.elements[0].text
    assert len(tree.elements[0].text) < article_page.LONGEST_READ + 1000


def test_related_articles_can_be_opened() -> None:
    entry = ArticleEntry("b&1", "Rates <fall>", "The Age", "", "", date(2024, 5, 4), "", "", 3)
    tree = parsed(
        article_page.reading_html(Reading(Article("a", "", "Text."), related=(entry,), notice="It has changed."))
    )
    [button] = tree.of("button")[2:]
    assert (button.text, json.loads(button.attributes["value"] or "")) == ("Rates <fall>", {"article": "b&1"})
    assert "It has changed." in tree.elements[0].text
    assert tree.of("span", "pq-byline")[0].text == "The Age · 4 May 2024"


def test_the_buttons_below_an_answer() -> None:
    told = Exchange("A?", answer("One. [1]", cited(1, passage(), "One.")), done=True, next=("What <else>?",))
    first, failed, last = (
        [(e.attributes["name"], e.text) for e in parsed(message["content"]).of("button")]
        for message in answer_page.messages([told, replace(told, answer=None, error="no"), told])[1::2]
    )
    assert first == [("copy", "Copy")]
    assert failed == []
    assert last == [("copy", "Copy"), ("again", "Ask again"), ("edit", "Edit question"), ("ask", "What <else>?")]
    [growing] = answer_page.messages([replace(told, done=False)])[1::2]
    assert not parsed(growing["content"]).of("button")


def test_the_views_of_the_page() -> None:
    html = elements.masthead_html("Motto", (("ask", "Ask"), ("articles", "Articles")))
    assert re.findall(r'data-view="(\w+)"( aria-current="page")?>(\w+)<', html) == [
        ("ask", ' aria-current="page"', "Ask"),
        ("articles", "", "Articles"),
    ]
    assert "<nav" not in elements.masthead_html("Motto")


@given(texts)
def test_questions_and_errors_are_text(text: str) -> None:
    [question] = parsed(answer_page.question_html(text)).of("div", "pq-question")
    assert question.text == wording.showable(text.strip())
    [error] = parsed(elements.error_html(text)).of("div", "pq-error")
    assert error.text == wording.showable(" ".join(text.split()))


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java\nscript:alert(1)",
        " https://example.com",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.com",
        "example.com",
        "https:",
        "https://",
        "https:///x",
        "https://a b",
        "https://a\n",
        "https://a\x00",
        "",
    ],
)
def test_only_web_addresses_are_links(url: str) -> None:
    assert wording.link(url) == ""
    tree = parsed(answer_page.sources_html([Exchange("", answer("One. [1]", cited(1, passage(url=url), "One.")))]))
    assert [e.attributes for e in tree.of("a") if "pq-number" not in (e.attributes.get("class") or "")] == []


@pytest.mark.parametrize(
    "url", ["https://example.com/a?b=c&d=%20#e", "HTTP://example.com", "https://[::1]/", "https://bücher.example/ü"]
)
def test_links_open_apart_and_keep_their_address(url: str) -> None:
    tree = parsed(answer_page.sources_html([Exchange("", answer("One. [1]", cited(1, passage(url=url), "One.")))]))
    assert tree.of("a")[0].attributes == {"href": url, "target": "_blank", "rel": "noopener noreferrer"}


def test_markers_lead_to_quotes_and_back() -> None:
    given_answer = answer(
        "One. [1] Two. [2] Not a marker: [3]", *(cited(i, passage(), q) for i, q in ((1, "One."), (2, "Two.")))
    )
    markers = parsed(answer_page.answer_html(given_answer, 7)).of("a", "pq-marker")
    numbers = parsed(answer_page.sources_html([*[Exchange("")] * 6, Exchange("Why?", given_answer)])).of(
        "a", "pq-number"
    )
    assert [m.text.replace("\u00a0", "") for m in markers] == ["[1]", "[2]"]
    assert [m.attributes["href"] for m in markers] == [f"#{n.attributes['id']}" for n in numbers]
    assert [n.attributes["href"] for n in numbers] == [f"#{m.attributes['id']}" for m in markers]
    assert markers[0].attributes["title"] == "“One.” — Port strike ends"


def test_one_card_an_article_one_block_a_passage() -> None:
    first, second = passage("One. Two."), passage("Three.", id="a-1", start=9, end=15)
    other = passage("Four.", id="b-0", article_id="b", title="Other")
    quotes = [cited(1, second, "Three."), cited(2, other, "Four."), cited(3, first, "One."), cited(4, first, "Two.")]
    tree = parsed(answer_page.sources_html([Exchange("", answer("", *quotes))]))
    assert [e.text for e in tree.of("h3")] == ["Port strike ends", "Other"]
    assert [e.text for e in tree.of("blockquote")] == ["3One. 4Two.", "1Three.", "2Four."]
    assert [e.text for e in tree.of("mark")] == ["One.", "Two.", "Three.", "Four."]
    assert tree.of("p", "pq-byline")[0].text == "Harbour Wire · 4 November 2024 · by Ayo Benbridge"


def test_overlapping_quotes_are_each_marked_whole() -> None:
    text = passage("abcdef")
    tree = parsed(answer_page.sources_html([Exchange("", answer("", cited(1, text, "abcd"), cited(2, text, "cdef")))]))
    marks = [(e.text, e.attributes["class"]) for e in tree.of("mark")]
    assert marks == [("ab", "pq-c-1-1"), ("cd", "pq-c-1-1 pq-c-1-2"), ("ef", "pq-c-1-2")]


def test_an_ungrounded_answer_shows_the_three_nearest_passages_unmarked() -> None:
    hits = tuple(Hit(passage(f"Text {n}.", id=f"{n}", article_id=f"{n}"), 1.0) for n in range(5))
    given_answer = answer("The articles do not answer this.", grounded=False, hits=hits, notice="Only the nearest.")
    panel = parsed(answer_page.sources_html([Exchange("Why?", given_answer)]))
    assert panel.of("h2")[0].text == "Nearest passages"
    assert [e.text for e in panel.of("blockquote")] == ["Text 0.", "Text 1.", "Text 2."]
    assert not panel.of("mark")
    told = parsed(answer_page.answer_html(given_answer, 1)).elements[0].text
    assert told == "The articles do not answer this.Only the nearest."


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, "Well supported"),
        (0.85, "Well supported"),
        (0.84, "Partly supported"),
        (0.64, "Weakly supported"),
        (0.0, "Weakly supported"),
        (-0.1, "Weakly supported"),
    ],
)
def test_confidence_is_shown_in_words(confidence: float, words: str) -> None:
    tree = parsed(answer_page.answer_html(answer("One. [1]", cited(1, passage(), "One."), confidence=confidence), 1))
    assert tree.of("p", "pq-footing")[0].text == f"{words} · 1 quote from 1 article"


@pytest.mark.parametrize(
    ("sentences", "footing"),
    [
        ((), ["written by tiny"]),
        ((Sentence(0, 4, (), 0.0),), ["written by tiny, none of 1 sentence supported"]),
        (
            (Sentence(0, 4, (1,), 1.0),),
            ["Well supported · 1 quote from 1 article · written by tiny, 1 of 1 sentence supported"],
        ),
    ],
)
def test_the_footing_leaves_out_what_is_unknown(sentences: tuple[Sentence, ...], footing: list[str]) -> None:
    citations = (cited(1, passage(), "One."),) if sentences and sentences[0].citations else ()
    told = answer("One. …", *citations, sentences=sentences, written_by="tiny")
    assert [e.text for e in parsed(answer_page.answer_html(told, 1)).of("p", "pq-footing")] == footing


def test_an_answer_without_quotes_has_no_footing() -> None:
    assert not parsed(answer_page.answer_html(answer("One. …"), 1)).of("p", "pq-footing")


def test_a_count_of_zero_is_a_word() -> None:
    assert [wording.counted(n, "article") for n in (0, 1, 1200)] == ["no articles", "1 article", "1,200 articles"]


UNSEEN = "\xad\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\U000e0041"


@pytest.mark.parametrize("face", [wording.showable, wording.one_line, lambda text: Tree(escape(text)).elements])
def test_invisible_characters_are_removed(face: Callable[[str], Any]) -> None:
    shown = face(f"<p>ab{UNSEEN}cd\x9b31m</p>" if face in {wording.showable, wording.one_line} else f"ab{UNSEEN}cd")
    assert not set(UNSEEN) & set(str(shown))
    assert "\x9b" not in str(shown)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_json_for_a_terminal_has_no_control_characters(text: str) -> None:
    told = as_json.plain_json({text: [text]})
    assert json.loads(told) == {text: [text]}
    assert told.replace("\n", "").isprintable()


@pytest.mark.parametrize("text", ["می\u200cخواهم", "👩\u200d🚒", "مرحبا بالعالم", "שלום"])
def test_other_scripts_are_shown_as_they_are(text: str) -> None:
    assert wording.showable(text) == text


def test_only_the_last_answers_sources_are_shown_and_old_ones_go() -> None:
    told = Exchange("Why?", answer("One. [1]", cited(1, passage(), "One.")))
    turns = parsed(answer_page.sources_html([told, Exchange("", error="no"), told, Exchange("")])).of("section")
    assert [(e.attributes["id"], "hidden" in e.attributes) for e in turns] == [
        ("pq-turn-1", True),
        ("pq-turn-3", False),
    ]
    turns = parsed(answer_page.sources_html([told] * 50)).of("section")
    assert [e.attributes["id"] for e in turns] == [f"pq-turn-{n}" for n in range(31, 51)]


def test_a_conversation_is_two_messages_a_turn() -> None:
    told = answer("One. [1]", cited(1, passage(), "One."))
    shown = answer_page.messages([Exchange("A?", told), Exchange("B?", error="broken\nstore"), Exchange("C?")])
    assert [m["role"] for m in shown] == ["user", "assistant"] * 3
    assert [parsed(m["content"]).elements[0].text for m in shown[2:]] == [
        "B?",
        "broken store",
        "C?",
        "Reading the articles …",
    ]


@pytest.mark.parametrize(
    ("counts", "words"), [((1, 1), "1 article (1 passage)"), ((1200, 34567), "1,200 articles (34,567 passages)")]
)
def test_the_empty_page_says_what_is_indexed(counts: tuple[int, int], words: str) -> None:
    assert words in parsed(answer_page.empty_html(*counts)).elements[0].text
    assert parsed(elements.masthead_html()).of("h1")[0].text == "Pullquote"
    assert "appear here" in parsed(answer_page.sources_html([])).elements[0].text


def test_the_json_of_an_answer() -> None:
    sentences = (Sentence(0, 4, (1,), 0.77777),)
    given_answer = answer(
        "One. [1]",
        cited(1, passage(), "One."),
        seconds=0.123456,
        sentences=sentences,
        written_by="tiny",
        searched=("Who?",),
    )
    assert as_json.answer_json(given_answer) == {
        "question": "Why?",
        "text": "One. [1]",
        "grounded": True,
        "confidence": 0.9,
        "citations": [
            {
                "number": 1,
                "article_id": "a",
                "title": "Port strike ends",
                "source": "Harbour Wire",
                "published": "2024-11-04",
                "url": "https://example.com/a",
                "quote": "One.",
                "start": 0,
                "end": 4,
                "also": [],
                "extra": {},
            }
        ],
        "hits": [{"article_id": "a", "passage_id": "a-0", "score": 1.0, "text": "One. Two. Three."}],
        "notice": "",
        "seconds": 0.1235,
        "emphasis": [],
        "filters": [],
        "sentences": [{"text": "One.", "citations": [1], "support": 0.7778}],
        "written_by": "tiny",
        "searched": ["Who?"],
    }


MARCH = ReadFilter("in March 2024", Filters(date(2024, 3, 1), date(2024, 3, 31)))
HOSTILE_FILTER = ReadFilter("the <b>\nAge", Filters(sources=("<img src=x\nonerror=alert(1)>\x1b",)))


def test_the_json_of_filters_and_emphasis() -> None:
    found = as_json.answer_json(answer("One.", emphasis=((0, 3),), read=(MARCH, HOSTILE_FILTER)))
    assert found["emphasis"] == [[0, 3]]
    assert found["filters"][0] == {
        "words": "in March 2024",
        "described": "published in March 2024",
        "published_after": "2024-03-01",
        "published_before": "2024-03-31",
        "sources": [],
        "article_ids": [],
    }
    assert found["filters"][1]["published_after"] is None
    assert found["filters"][1]["sources"] == list(HOSTILE_FILTER.filters.sources)


def test_only_the_last_finished_answer_has_chips() -> None:
    told = Exchange("Why?", answer("One.", read=(MARCH, HOSTILE_FILTER)), done=True)
    shown = answer_page.messages([told, told])
    assert ["options" in message for message in shown] == [False, False, False, True]
    assert shown[3]["options"] == [
        {"label": "published in March 2024 ×", "value": "2 in March 2024"},
        {"label": "from <img src=x onerror=alert(1)>\ufffd ×", "value": "2 the <b>\nAge"},
    ]
    for growing in (replace(told, done=False), Exchange("Why?"), Exchange("Why?", error="no", done=True)):
        assert "options" not in answer_page.messages([told, growing])[3]


def test_filters_without_chips_are_shown_in_words() -> None:
    chosen = Filters(published_after=date(2024, 1, 2))
    told = Exchange("Why?", answer("One.", read=(MARCH, HOSTILE_FILTER)), filters=chosen, done=True)
    older, last = (
        parsed(message["content"]).of("p", "pq-only") for message in answer_page.messages([told, told])[1::2]
    )
    assert [e.text for e in last] == ["Only articles published since 2 January 2024"]
    assert older[0].text.startswith("Only articles published since 2 January 2024, published in March 2024, from <img")
    everything = Exchange("Why?", answer("One."), done=True)
    assert not parsed(answer_page.messages([everything])[1]["content"]).of("p", "pq-only")


def test_the_filter_in_a_line() -> None:
    assert wording.only_line(Filters()) == "All articles"
    assert wording.only_line(HOSTILE_FILTER.filters) == "Only articles from <img src=x onerror=alert(1)>\ufffd"


def test_duplicates_and_extra_fields_of_a_source_are_shown() -> None:
    duplicates = (
        Copy("b", "/b", "Strike", "The Age", "https://age.example/b"),
        Copy("c", "/c", "Strike", "", "javascript:x"),
    )
    citation = replace(cited(1, passage(), "One."), duplicates=duplicates, extra=(("section", "<World>"),))
    shown = answer_page.sources_html([Exchange("Why?", answer("One. [1]", citation), done=True)])
    assert '<b>The same story</b> in <a href="https&#58;&#47;&#47;age&#46;example&#47;b"' in shown
    assert ">The Age</a>, Strike</p>" in shown
    assert "javascript" not in shown
    assert "<b>section</b> &#60;World&#62;" in shown
    assert as_json.answer_json(answer("One. [1]", citation))["citations"][0]["also"][0] == {
        "article_id": "b",
        "title": "Strike",
        "source": "The Age",
        "url": "https://age.example/b",
    }


def written(text: str, *sentences: Sentence, **more: Any) -> Answer:
    return answer(text, cited(1, passage(), "One."), sentences=sentences, written_by="<b>tiny", **more)


def test_unsupported_sentences_are_marked() -> None:
    text = "One. [1] Made up. [unsupported] So is this. [unsupported]"
    html = answer_page.answer_html(
        written(text, Sentence(0, 4, (1,), 0.9), Sentence(9, 17, (), 0), Sentence(32, 44, (), 0)), 1
    )
    assert re.findall(r'<span class="pq-unsupported">(.*?)</span>', html) == ["Made up&#46;", "So is this&#46;"]
    assert html.count(">unsupported</span>") == 2
    assert "written by &#60;b&#62;tiny&#44; 1 of 3 sentences supported" in html
    assert "pq-unchecked" not in html


def test_text_that_is_not_checked_yet_is_marked() -> None:
    html = answer_page.answer_html(written("One. [1] And then the", Sentence(0, 4, (1,), 0.9)), 1, done=False)
    assert '<span class="pq-unchecked"> And then the</span>' in html
    assert "pq-live" in html
    assert "sentences supported" not in html


def test_the_current_step_is_shown_until_there_is_an_answer() -> None:
    doing = Exchange("Why?", answer("", doing="<i>tiny reads 3 passages …"))
    [_, reply] = answer_page.messages([doing])
    assert "&#60;i&#62;tiny reads 3 passages …" in reply["content"]
    assert "pq-live" in reply["content"], "it can be stopped"
    assert "pq-live" not in answer_page.messages([Exchange("Why?")])[1]["content"]


def test_the_queries_are_shown_on_demand() -> None:
    html = answer_page.answer_html(answer("One. [1]", cited(1, passage(), "One."), searched=("<b>Who?", "When?")), 1)
    assert re.findall(r"<li[^>]*>(.*?)</li>", html) == ["&#60;b&#62;Who&#63;", "When&#63;"]
    assert "<details" in html
    assert "<details" not in answer_page.answer_html(answer("One. [1]", cited(1, passage(), "One.")), 1)


def test_writers_are_labelled_by_name() -> None:
    names = ["", "tiny\n\x1b", "qwen2.5:7b"]
    assert [wording.writer_label(name, found=name == "qwen2.5:7b") for name in names] == [
        wording.OWN_SENTENCES,
        "tiny \ufffd",
        "qwen2.5:7b, found on this machine",
    ]


def on(day: date | None, number: int) -> Citation:
    return cited(number, passage(id=f"a{number}-0", article_id=f"a{number}", published=day), "One.")


def test_sources_are_shown_on_a_timeline() -> None:
    first, last = date(2024, 1, 1), date(2024, 4, 10)
    found = parsed(
        answer_page.sources_html(
            [
                schema.Exchange(
                    "Why?",
                    answer("x", on(last, 1), on(first, 2), on(date(2024, 2, 20), 3), on(date(2024, 2, 21), 4)),
                    done=True,
                )
            ]
        )
    )
    dots = [(e.attributes["style"], e.text) for e in found.of("li") if "style" in e.attributes]
    assert dots == [
        ("left: 0.00%", "[2] 1 Jan 2024"),
        ("left: 50.00%", "[3] [4]"),
        ("left: 100.00%", "[1] 10 Apr 2024"),
    ]


@pytest.mark.parametrize("days", [(), (None,), (date(2024, 1, 1),) * 3, (date(2024, 1, 1), None)])
def test_no_timeline_for_a_single_day(days: tuple[date | None, ...]) -> None:
    found = answer("x", *(on(day, number) for number, day in enumerate(days, 1)))
    assert not parsed(answer_page.sources_html([schema.Exchange("Why?", found, done=True)])).of("ol")
