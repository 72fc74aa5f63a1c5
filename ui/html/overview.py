"""Charts and the map of the overview as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ui.html.elements import escape, picture_html
from ui.services.overview import Bar, Map
from ui.wording import counted

EDGES = "left: clamp(4.5rem, {:.2%}, 100% - 4.5rem)"
"""Keeps a region's name within the map."""


def counts_html(by_time: Sequence[Bar], by_source: Sequence[Bar]) -> str:
    """The charts of articles over time and by source; empty if there are no articles."""
    return _bars_html("Over time", by_time, "pq-times") + _bars_html("By source", by_source, "pq-shares")


def _bars_html(heading: str, bars: Sequence[Bar], kind: str) -> str:
    if not bars:
        return ""
    most = max(bar.articles for bar in bars)
    drawn = "".join(
        picture_html(
            "find",
            f'<i style="--pq-size: {bar.articles / most:.4f}"></i><span dir="auto">{escape(bar.name)}</span>'
            f"<b>{bar.articles:,}</b>",
            f"{bar.name}: {counted(bar.articles, 'article')}",
            words=bar.words,
        )
        for bar in bars
    )
    ends = f'<p class="pq-ends"><span>{escape(bars[0].name)}</span><span>{escape(bars[-1].name)}</span></p>'
    shown = ends if kind == "pq-times" else ""
    return f'<section class="pq-plot"><h2>{heading}</h2><div class="{kind}">{drawn}</div>{shown}</section>'


def map_html(drawn: Map, articles: int) -> str:
    """The map of some or all of so many articles; empty if it holds none."""
    if not drawn.articles:
        return ""
    dots = "".join(
        picture_html(
            "read",
            "",
            place.name,
            place=f"left: {place.x:.2%}; top: {place.y:.2%}",
            article=place.article,
        )
        for place in drawn.articles
    )
    names = "".join(
        f'<span style="{EDGES.format(region.x)}; top: {region.y:.2%}">{escape(region.name)}</span>'
        for region in drawn.regions
    )
    some = f" {len(drawn.articles):,} of {articles:,}, evenly drawn." if len(drawn.articles) < articles else ""
    told = "Each dot is an article; those alike in meaning stand together. A click opens one, to be read and asked."
    return (
        f'<section class="pq-plot"><h2>What they are about</h2><p class="pq-hint">{told}{some}</p>'
        f'<div class="pq-map" aria-hidden="true">{dots}{names}</div></section>'
    )
