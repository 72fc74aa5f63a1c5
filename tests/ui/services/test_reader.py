"""Articles read beside the conversation, out of a real index."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from rag.chain import Chain
from rag.schema import Article, Citation, Passage
from tests.ui.html.test_answer import parsed
from ui.page.reader import GONE, opened_html
from ui.schema import Exchange
from ui.services.reader import CHANGED, Reader, _span

pytestmark = pytest.mark.slow
QUESTION = "What did Iraq tell the Security Council?"


@pytest.fixture(scope="module")
def conversation(sample_chain: Chain) -> tuple[Exchange, ...]:
    answer = sample_chain.ask(QUESTION)
    assert answer.citations
    return (Exchange("boom", error="no", done=True), Exchange(QUESTION, answer, done=True))


def test_a_marker_opens_its_article_at_its_quote(sample_chain: Chain, conversation: tuple[Exchange, ...]) -> None:
    answer = conversation[1].answer
    assert answer
    for citation in answer.citations:
        tree = parsed(opened_html(partial(Reader(sample_chain.index).cited, conversation, 2, citation.number)))
        assert [e.text for e in tree.of("mark", "pq-at")] == [citation.quote]
        assert tree.of("mark", "pq-at")[0].attributes["id"] == "pq-span"
        assert tree.of("h2")[0].text == citation.passage.title
        article = sample_chain.index.article(citation.passage.article_id)
        assert article
        assert article.text.strip()[-40:] in tree.of("div", "pq-body")[0].text
        related = [e.text for e in tree.of("button")][2:]
        assert related
        assert citation.passage.title not in related


@pytest.mark.parametrize(("turn", "number"), [(0, 1), (1, 1), (2, 99), (3, 1), (-1, 1)])
def test_what_no_marker_names_is_told(
    sample_chain: Chain, conversation: tuple[Exchange, ...], turn: int, number: int
) -> None:
    assert (
        GONE
        in parsed(opened_html(lambda: Reader(sample_chain.index).cited(conversation, turn, number))).elements[0].text
    )


def test_a_quote_that_moved_is_found_where_it_was_nearest() -> None:
    text = "It rains. The pier is shut. Nobody knows why. It rains. Bread is dear."
    passage = Passage("a-0", "a", "", 0, 0, len(text), text, (), "", "", "", "", None)
    moved = Citation(1, passage, "It rains.", 44, 53)
    assert _span(Article("a", "", text), moved) == (46, 55)
    assert _span(Article("a", "", "Bread is dear."), moved) is None


def test_an_article_that_changed_or_went_is_told(sample_chain: Chain, conversation: tuple[Exchange, ...]) -> None:
    answer = conversation[1].answer
    assert answer
    first = answer.citations[0]
    reader = Reader(sample_chain.index)
    for changed, told, marks in (
        (replace(first, quote="Words that it never said."), CHANGED, 0),
        (replace(first, start=first.start + 3, end=first.end + 3), "", 1),
        (replace(first, passage=replace(first.passage, article_id="gone")), GONE, 0),
    ):
        talk = (Exchange(QUESTION, replace(answer, citations=(changed,)), done=True),)
        tree = parsed(opened_html(partial(reader.cited, talk, 1, first.number)))
        assert told in tree.elements[0].text
        assert len(tree.of("mark", "pq-at")) == marks
    assert GONE in parsed(opened_html(lambda: reader.article("../../etc/passwd"))).elements[0].text
    assert "pq-body" in opened_html(lambda: reader.article(first.passage.article_id))
