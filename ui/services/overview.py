"""The overview of the index: articles over time, by source, and on a map by subject."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import log

import numpy as np

from rag.schema import long_date
from rag.store.catalog.listing import DAY, MONTH, YEAR
from rag.store.index import Index
from ui.services.refreshed import Refreshed

MOST_BARS = 120
DIVISORS = {10: DAY, 7: MONTH, 4: YEAR}
"""Of dates, by the length of the period's name."""
MOST_SOURCES = 12
MOST_PLACED = 1500
"""Articles on the map; t-SNE takes some seconds for this many."""
LEAST_PLACED = 5
PERPLEXITY = 30
"""t-SNE's neighbours of a point, by the advice of its authors (van der Maaten and Hinton, 2008): 5 to 50."""
ARTICLES_PER_REGION, MOST_REGIONS = 12, 9
WORDS_PER_REGION = 2
WORD = re.compile(r"[^\W\d_][\w’'-]{3,}")
MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Bar:
    """The number of articles of a period or a source, and the words that find them in the table."""

    name: str
    words: str
    articles: int


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the map, as fractions of its width and height."""

    x: float
    y: float
    name: str
    article: str = ""


@dataclass(frozen=True, slots=True)
class Map:
    """Articles by subject, similar ones close together; regions are named after words in their titles."""

    articles: tuple[Place, ...] = ()
    regions: tuple[Place, ...] = ()


@dataclass(slots=True)
class Overview:
    """Charts of an index; the map is drawn in the background. Safe to share between threads."""

    index: Index
    _map: Refreshed[Map] = field(init=False)

    def __post_init__(self) -> None:
        self._map = Refreshed(self.index, lambda: map_of(self.index), "the map could not be drawn")

    def counts(self) -> tuple[list[Bar], list[Bar]]:
        """Articles over time and by source. Raises IndexMissing, IndexMismatch or StoreError."""
        return over_time(self.index), by_source(self.index)

    def map(self) -> tuple[Map, int]:
        """The map as it was last drawn, and the number of all articles.

        Raises IndexMissing, IndexMismatch or StoreError, or UnexpectedError if the map cannot be drawn.
        """
        return self._map(), self.index.counts()[0]


def over_time(index: Index) -> list[Bar]:
    """Articles by day, month or year, whichever is the shortest with at most MOST_BARS bars."""
    published = index.published()
    if not published:
        return []
    periods = _periods(*published)
    counts = index.listing.by_period(DIVISORS[len(periods[0])])
    return [
        Bar(_period_name(period), f"date:{period}", counts.get(int(period.replace("-", "")), 0)) for period in periods
    ]


def _periods(first: date, last: date) -> list[str]:
    """The periods from the first to the last day, as the beginning of a date: 2024-11-24, 2024-11 or 2024."""
    days = (last - first).days + 1
    months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
    if days <= MOST_BARS:
        return [str(first + timedelta(n)) for n in range(days)]
    if len(months) <= MOST_BARS:
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in months]
    return [f"{year:04}" for year in range(first.year, last.year + 1)][-MOST_BARS:]


def _period_name(period: str) -> str:
    if len(period) == 4:
        return period
    whole = long_date(date.fromisoformat(period if len(period) == 10 else f"{period}-01"))
    return whole if len(period) == 10 else whole.split(" ", 1)[1]


def by_source(index: Index) -> list[Bar]:
    """The number of articles of the largest sources."""
    largest = index.listing.by_source(MOST_SOURCES)
    return [Bar(source, f"source:{_quoted(source)}", count) for source, count in largest]


def _quoted(name: str) -> str:
    """The name in quotes, as a term of the table's search; its longest part without quotes if it has any."""
    part = max(name.split('"'), key=len)
    return f'"{part}"' if part else name


def map_of(index: Index) -> Map:
    """The articles' vectors projected onto a plane by t-SNE; evenly sampled if there are many."""
    sampled = index.listing.sample(MOST_PLACED)
    vectors = index.article_vectors([entry.id for entry in sampled])
    placed = [entry for entry in sampled if entry.id in vectors]
    if len(placed) < LEAST_PLACED:
        return Map()
    from sklearn.cluster import KMeans
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(placed) - 1) / 3)
    layout = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0)
    plane = layout.fit_transform(np.stack([vectors[entry.id] for entry in placed]))
    low, high = plane.min(axis=0), plane.max(axis=0)
    plane = MARGIN + (1 - 2 * MARGIN) * (plane - low) / np.maximum(high - low, 1e-9)
    places = tuple(
        Place(float(x), float(y), entry.title or entry.id, entry.id)
        for (x, y), entry in zip(plane, placed, strict=True)
    )
    regions = min(MOST_REGIONS, len(placed) // ARTICLES_PER_REGION)
    labels = KMeans(regions, random_state=0, n_init=3).fit_predict(plane) if regions > 1 else []
    return Map(places, _regions(places, [int(label) for label in labels]))


def _regions(places: Sequence[Place], labels: Sequence[int]) -> tuple[Place, ...]:
    """A name in the middle of each region: the words that are most frequent in its titles compared to all (tf-idf)."""
    words = [{word.casefold(): word for word in WORD.findall(place.name)} for place in places]
    everywhere = Counter(key for title in words for key in title)
    members: dict[int, list[int]] = defaultdict(list)
    for number, label in enumerate(labels):
        members[label].append(number)
    named = []
    for numbers in members.values():
        here = Counter(key for number in numbers for key in words[number])
        ranked = sorted(here, key=lambda key: (-here[key] * log(len(places) / everywhere[key]), key))
        spelled = {key: word for number in numbers for key, word in words[number].items()}
        name = ", ".join(spelled[key] for key in ranked[:WORDS_PER_REGION] if here[key] > 1)
        x, y = (sum(getattr(places[n], axis) for n in numbers) / len(numbers) for axis in ("x", "y"))
        if name:
            named.append(Place(x, y, name))
    return tuple(named)
