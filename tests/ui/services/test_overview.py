"""The index at a glance: what is counted, where articles come to stand, and that a picture leads to its articles."""

from __future__ import annotations

import html
import json
import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import ingest
from ingest.updater import Model
from rag.config import Config
from rag.schema import ArticleEntry
from rag.store.index import Index
from tests.support.hashing import HashEmbedder
from tests.ui.html.test_answer import Tree
from tests.ui.services.test_article_list import ENTRIES, Listed, entry
from ui.html.overview import counts_html, map_html
from ui.services.article_list import ArticleList, TableView
from ui.services.overview import MOST_BARS, Overview, by_source, map_of, over_time


def dated(day: date | None, source: str = "The Age") -> ArticleEntry:
    return ArticleEntry("a", "A", source, "", "", day, "", "", 1)


def test_days_months_and_years_are_counted() -> None:
    may = [dated(date(2024, 5, day)) for day in (3, 3, 6)]
    assert [(bar.name, bar.articles) for bar in over_time([*may, dated(None)])] == [
        ("3 May 2024", 2),
        ("4 May 2024", 0),
        ("5 May 2024", 0),
        ("6 May 2024", 1),
    ]
    months = over_time([*may, dated(date(2023, 12, 31))])
    assert [bar.words for bar in months] == [f"date:{m}" for m in ("2023-12", *(f"2024-0{n}" for n in range(1, 6)))]
    years = over_time([*may, dated(date(1999, 1, 1))])
    assert (years[0].name, years[-1].name, years[-1].articles) == ("1999", "2024", 3)
    assert over_time([dated(None)]) == []


@settings(max_examples=200)
@given(
    st.lists(st.dates(), min_size=1, max_size=20) | st.lists(st.dates(date(2024, 1, 1), date(2025, 1, 1)), min_size=1)
)
def test_each_dated_article_is_counted_once(days: list[date]) -> None:
    bars = over_time(map(dated, days))
    assert len(bars) <= MOST_BARS
    assert len({bar.words for bar in bars}) == len(bars)
    if max(days) - min(days) < timedelta(365 * MOST_BARS):
        assert sum(bar.articles for bar in bars) == len(days)
    article_list = ArticleList(Listed(*map(dated, days)))  # type: ignore[arg-type]
    for bar in bars[:5]:
        assert len(article_list.matching(TableView(bar.words))) == bar.articles


@pytest.mark.parametrize("source", ["The Age", 'The "Age" of Tin', "Übersee & Söhne", "a:b", '"'])
def test_a_bar_finds_the_articles_of_its_source(source: str) -> None:
    entries = (*ENTRIES, dated(None, source), dated(None, source), dated(None, ""))
    [bar] = [bar for bar in by_source(entries) if bar.name == source]
    found = ArticleList(Listed(*entries)).matching(TableView(bar.words))  # type: ignore[arg-type]
    assert sum(one.source == source for one in found) == bar.articles


SUBJECTS = ("goalkeeper striker penalty league", "interest inflation bank bond", "senate ballot vote candidate")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Articles about three things, their vectors made of their words."""
    folder = tmp_path_factory.mktemp("overview")
    for number in range(45):
        words = SUBJECTS[number % 3].split()
        turned = " ".join(words[number % 4 :] + words[: number % 4])
        (folder / f"{number:02}.json").write_text(
            json.dumps({"title": f"{words[0].title()} {number}", "text": f"{turned} {turned}. So it goes {number}."})
        )
    config = Config(index=folder / "index")
    ingest([folder], config, model=Model(config.embedding_model, HashEmbedder()))
    return Index(config.index, config.embedding_model)


@pytest.mark.slow
def test_articles_that_are_alike_stand_together(index: Index) -> None:
    entries = tuple(index.articles())
    drawn = map_of(index, entries)
    assert len(drawn.articles) == 45
    assert all(0 <= share <= 1 for place in drawn.articles for share in (place.x, place.y))
    alike = 0
    for place in drawn.articles:
        others = sorted(drawn.articles, key=lambda o: (o.x - place.x) ** 2 + (o.y - place.y) ** 2)[1:6]
        alike += sum(other.name.split()[0] == place.name.split()[0] for other in others)
    assert alike > 0.9 * 5 * 45
    assert {region.name for region in drawn.regions} == {"Goalkeeper", "Interest", "Senate"}
    assert map_of(index, entries) == drawn, "it does not move while nothing changes"
    assert map_of(index, entries[:3]).articles == (), "too few for a map"


@pytest.mark.slow
def test_the_pictures_lead_to_their_articles(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    overview = Overview(index, ArticleList(index))
    tree = Tree(map_html(*overview.map()))
    buttons = [element for element in tree.elements if element.tag == "button"]
    assert {json.loads(button.attributes["value"])["article"] for button in buttons} == {
        one.id for one in index.articles()
    }
    monkeypatch.setattr("ui.services.overview.map_of", None)
    assert Tree(map_html(*overview.map())).elements == tree.elements, "kept while nothing is written"
    assert "Over time" not in counts_html(*overview.counts()), "no article has a date"


def test_what_articles_say_is_no_markup() -> None:
    hostile = '"><script>x</script>'
    overview: Any = Overview(Listed(), ArticleList(Listed(entry("a", hostile, day=3), entry("b", hostile, day=4))))  # type: ignore[arg-type]
    drawn = counts_html(*overview.counts())
    assert "<script" not in drawn
    [found] = [json.loads(html.unescape(v))["words"] for v in re.findall(r'value="([^"]*source[^"]*)"', drawn)]
    assert found.startswith('source:"')
