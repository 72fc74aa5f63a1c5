"""The index at a glance: what is counted, where articles come to stand, and that a picture leads to its articles."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import ingest
from ingest.updater import Model
from rag.config import Config
from rag.schema import ArticleEntry
from rag.store.index import Index
from rag.store.writer import open_for_writing
from tests.support.hashing import HashEmbedder
from tests.support.listed import MODEL, index_of
from tests.ui.html.test_answer import Tree
from tests.ui.services.test_article_list import ENTRIES, entry
from ui.html.overview import counts_html, map_html
from ui.services.article_list import ArticleList, TableView
from ui.services.overview import MOST_BARS, Overview, by_source, map_of, over_time


def dated(day: date | None, source: str = "The Age", number: int = 0) -> ArticleEntry:
    return ArticleEntry(f"a{number}", "A", source, "", "", day, "", "", 1)


@pytest.fixture(scope="module")
def index_of_days(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[date | None]], Index]:
    """Makes an index of articles of these days."""
    return lambda days: index_of(
        tmp_path_factory.mktemp("days"), [dated(day, number=number) for number, day in enumerate(days)]
    )


OfDays = Callable[[Sequence[date | None]], Index]


def test_days_months_and_years_are_counted(index_of_days: OfDays) -> None:
    may: list[date | None] = [date(2024, 5, day) for day in (3, 3, 6)]
    assert [(bar.name, bar.articles) for bar in over_time(index_of_days([*may, None]))] == [
        ("3 May 2024", 2),
        ("4 May 2024", 0),
        ("5 May 2024", 0),
        ("6 May 2024", 1),
    ]
    months = over_time(index_of_days([*may, date(2023, 12, 31)]))
    assert [bar.words for bar in months] == [f"date:{m}" for m in ("2023-12", *(f"2024-0{n}" for n in range(1, 6)))]
    years = over_time(index_of_days([*may, date(1999, 1, 1)]))
    assert (years[0].name, years[-1].name, years[-1].articles) == ("1999", "2024", 3)
    assert over_time(index_of_days([None])) == []


@pytest.mark.slow
@settings(max_examples=30)
@given(
    st.lists(st.dates(), min_size=1, max_size=20) | st.lists(st.dates(date(2024, 1, 1), date(2025, 1, 1)), min_size=1)
)
def test_each_dated_article_is_counted_once(index_of_days: OfDays, days: list[date]) -> None:
    index = index_of_days(days)
    bars = over_time(index)
    assert len(bars) <= MOST_BARS
    assert len({bar.words for bar in bars}) == len(bars)
    if max(days) - min(days) < timedelta(365 * MOST_BARS):
        assert sum(bar.articles for bar in bars) == len(days)
    for bar in bars[:5]:
        assert ArticleList(index).page(TableView(bar.words)).total == bar.articles


@pytest.mark.parametrize("source", ["The Age", 'The "Age" of Tin', "Übersee & Söhne", "a:b", '"'])
def test_a_bar_finds_the_articles_of_its_source(tmp_path: Path, source: str) -> None:
    index = index_of(tmp_path, [*ENTRIES, dated(None, source, 1), dated(None, source, 2), dated(None, "", 3)])
    [bar] = [bar for bar in by_source(index) if bar.name == source]
    found = ArticleList(index).page(TableView(bar.words)).entries
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
def test_articles_that_are_alike_stand_together(index: Index, tmp_path: Path) -> None:
    drawn = map_of(index)
    assert len(drawn.articles) == 45
    assert all(0 <= share <= 1 for place in drawn.articles for share in (place.x, place.y))
    alike = 0
    for place in drawn.articles:
        others = sorted(drawn.articles, key=lambda o: (o.x - place.x) ** 2 + (o.y - place.y) ** 2)[1:6]
        alike += sum(other.name.split()[0] == place.name.split()[0] for other in others)
    assert alike > 0.9 * 5 * 45
    assert {region.name for region in drawn.regions} == {"Goalkeeper", "Interest", "Senate"}
    assert map_of(index) == drawn, "it does not move while nothing changes"
    assert map_of(index_of(tmp_path, ENTRIES)).articles == (), "too few for a map"


@pytest.mark.slow
def test_the_pictures_lead_to_their_articles(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    overview = Overview(index)
    tree = Tree(map_html(*overview.map()))
    buttons = [element for element in tree.elements if element.tag == "button"]
    assert {json.loads(button.attributes["value"])["article"] for button in buttons} == {
        one.id for one in index.articles()
    }
    monkeypatch.setattr("ui.services.overview.map_of", None)
    assert Tree(map_html(*overview.map())).elements == tree.elements, "kept while nothing is written"
    assert "Over time" not in counts_html(*overview.counts()), "no article has a date"


def test_a_sample_is_spread_over_all_articles(tmp_path: Path) -> None:
    index = index_of(tmp_path, [dated(None, number=number) for number in range(100)])
    with open_for_writing(tmp_path, MODEL, "splitter") as writer:
        writer.remove([f"a{number}" for number in range(20, 60)])
        writer.finish()
    drawn = [int(one.id[1:]) for one in index.listing.sample(10)]
    assert drawn == sorted(drawn)
    assert 5 <= len(drawn) <= 10
    assert all(abs(a - b) <= 51 for a, b in pairwise([0, *drawn, 100]))
    assert len(index.listing.sample(60)) == 60, "all, since there are no more"
    assert index_of(tmp_path / "empty", []).listing.sample(10) == []


def test_what_articles_say_is_no_markup(tmp_path: Path) -> None:
    hostile = '"><script>x</script>'
    overview = Overview(index_of(tmp_path, [entry("a", hostile, day=3), entry("b", hostile, day=4)]))
    drawn = counts_html(*overview.counts())
    assert "<script" not in drawn
    [found] = [json.loads(html.unescape(v))["words"] for v in re.findall(r'value="([^"]*source[^"]*)"', drawn)]
    assert found.startswith('source:"')
