"""Templates: whatever goes into one comes out as text, escaped in our way and in no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from jinja2 import TemplateAssertionError, UndefinedError, nodes

from rag.schema import Answer, Article, ArticleEntry, Copy, Turn
from tests.conftest import ROOT
from tests.ui.html.test_answer import answers, parsed, texts
from ui.html import answer as answer_page
from ui.html import article as article_page
from ui.html import elements
from ui.html.article_table import confirm_html, table_html
from ui.html.history import history_html
from ui.html.overview import counts_html, map_html
from ui.html.templating import _environment, _source, escape, render
from ui.schema import Exchange, HistoryEntry, Reading
from ui.services.article_list import Found, TableView
from ui.services.overview import Bar, Map, Place

NAMES = sorted(path.name for path in (ROOT / "ui" / "html" / "templates").iterdir())
NEVER_WRITTEN = set("\\`*_$|~^'{}")
"""Characters that Markdown, LaTeX or a template interprets; no template for the page writes one itself."""


@given(texts)
def test_every_way_into_a_template_escapes_in_our_way(text: str) -> None:
    source = (
        "{% macro same(x) %}{{ x }}{% endmacro %}{% macro around() %}{{ caller() }}{% endmacro %}"
        '<p title="{{ text }}">{{ text }}{{ same(text) }}{% call around() %}{{ text }}{% endcall %}'
        "{% for t in [text] %}{{ t }}{% endfor %}</p>"
    )
    escaped = escape(text)
    assert _environment().from_string(source).render(text=text) == f'<p title="{escaped}">{escaped * 4}</p>'


@pytest.mark.parametrize("name", NAMES)
def test_no_template_goes_around_the_escaping(name: str) -> None:
    """`~` joins markup and text with Jinja's own escaping, `{% autoescape %}` can turn it off."""
    tree = _environment().parse(_source(name))
    assert not [*tree.find_all((nodes.Concat, nodes.EvalContextModifier))]
    _environment().get_template(name)


@pytest.mark.parametrize("filtered", ["safe", "escape", "e", "join", "tojson"])
def test_filters_that_escape_in_another_way_are_unknown(filtered: str) -> None:
    with pytest.raises(TemplateAssertionError, match="No filter named"):
        _environment().from_string(f"{{{{ x|{filtered} }}}}")


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        _environment().from_string("{{ x }}").render()
    with pytest.raises(TypeError):
        render("elements.html", "hint", "a", "b")


@pytest.mark.parametrize("name", NAMES)
def test_a_template_says_what_it_is(name: str) -> None:
    assert re.match(r"\{#- [A-Z].*[.] -#\}\n", (ROOT / "ui" / "html" / "templates" / name).read_text("utf-8"))


def everything(text: str, answer: Answer) -> Iterator[str]:
    """What the functions of the page make of a text."""
    asked = Exchange(text, answer, done=True, next=(text,))
    for message in answer_page.messages([asked, Exchange(text, error=text or "x"), asked]):
        yield message["content"]
    yield answer_page.sources_html([asked])
    yield answer_page.aim_html(text)
    article = Article(text, text, text, text, author=text, extra=((text, text),))
    entry = ArticleEntry(text, text, text, "", text, None, "", "", 3)
    yield article_page.reading_html(Reading(article, (Copy(text, "", text, text, ""),), related=(entry,), notice=text))
    yield article_page.article_html(article, [(0, 3)])
    yield article_page.draft_html(text, text, [Turn(text, text)])
    yield article_page.missing_html(text)
    yield table_html(Found(1, 0, (entry,)), TableView(text))
    yield confirm_html([entry])
    yield history_html([HistoryEntry(text, text, datetime(2024, 5, 4, tzinfo=UTC), 2, text)])
    yield counts_html([Bar(text, text, 3)], [Bar(text, text, 3)])
    yield map_html(Map((Place(0.5, 0.5, text, text),), (Place(0.5, 0.5, text),)), 3)
    yield elements.masthead_html(text, [(text, text)])
    yield elements.status_html(text, text) + elements.heading_html(text) + elements.hint_html(text)
    yield elements.facts_html([(text, text)]) + elements.problems_html([text]) + elements.login_html(text)
    yield elements.writers_html([text, text])


@given(texts, answers())
def test_nothing_that_is_interpreted_reaches_the_page(text: str, answer: Answer) -> None:
    for html in everything(text, answer):
        assert not NEVER_WRITTEN & set(html)
        assert "\n" not in html, "Markdown would see a new block"
        assert not re.search(r"&(?!#\d+;)", html)


@given(texts)
def test_paragraphs_keep_every_character(text: str) -> None:
    shown = parsed(render("elements.html", "prose", text)).elements[0].text
    assert shown == "".join(piece for piece, _ in _environment().globals["paragraphs"](text))
