"""Charts and the map of the overview as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ui.html.templating import render
from ui.services.overview import Bar, Map


def counts_html(by_time: Sequence[Bar], by_source: Sequence[Bar]) -> str:
    """The charts of articles over time and by source; empty if there are no articles."""
    charts = (("Over time", by_time, "times"), ("By source", by_source, "shares"))
    return "".join(
        render("overview.html", "bars", heading, bars, kind, max((bar.articles for bar in bars), default=0))
        for heading, bars, kind in charts
    )


def map_html(drawn: Map, articles: int) -> str:
    """The map of all articles, or of a sample of them; empty if it holds none."""
    if not drawn.articles:
        return ""
    count = len(drawn.articles)
    sample = f" {count:,} of {articles:,}, evenly drawn." if count < articles else ""
    return render("overview.html", "map", drawn.articles, drawn.regions, sample)
