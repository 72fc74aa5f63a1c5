"""The panel of sources as HTML: a card for each article that an answer quotes, with its quotes marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rag.schema import Answer, Citation, Passage
from ui.export.text import answer_text
from ui.html.elements import Piece, cut, trimmed
from ui.html.templating import render
from ui.schema import Exchange
from ui.wording import NEAREST_SHOWN

KEPT_TURNS = 20
"""Turns whose sources stay in the page; older markers keep their hover text."""
CLOSEST_DOTS = 0.16
"""Least distance of two dots on the timeline, as a share of its width; closer ones would be written over each other."""


@dataclass(frozen=True, slots=True)
class Card:
    """An article: its first passage, its passages cut at their quotes, and its first citation, if it is cited."""

    first: Passage
    passages: Sequence[Sequence[Piece]]
    citation: Citation | None


@dataclass(frozen=True, slots=True)
class Dot:
    """Citations on the timeline, at a share of its width."""

    share: float
    day: date
    numbers: list[int]


def sources_html(conversation: Sequence[Exchange]) -> str:
    """A block for each answered turn; all but the last are hidden until a marker asks for them."""
    answered = [(t, e, e.answer) for t, e in enumerate(conversation, start=1) if e.answer and (e.done or e.answer.hits)]
    if not answered:
        return render("sources.html", "no_sources")
    last = answered[-1][0]
    return "".join(
        _turn_html(answer, turn, hidden=turn != last, done=exchange.done)
        for turn, exchange, answer in answered[-KEPT_TURNS:]
    )


def _turn_html(answer: Answer, turn: int, *, hidden: bool, done: bool) -> str:
    citations = answer.citations if answer.grounded else ()
    under_way = answer.doing or (answer.grounded and not answer.citations)
    heading = "Sources" if citations else "Passages being read" if under_way else "Nearest passages"
    passages = [c.passage for c in citations] or [hit.passage for hit in answer.hits[:NEAREST_SHOWN]]
    # Only a finished answer can be copied, and the panel is drawn many times until then.
    copied = answer_text(answer) if done else None
    cards = _cards(passages, citations)
    return render("sources.html", "turn", answer, turn, hidden, heading, _timeline(citations), cards, copied)


def _timeline(citations: Sequence[Citation]) -> list[Dot]:
    """The sources in time; none if all are of one day. Those too close to be told apart share a dot."""
    dated = sorted((c.passage.published, c.number) for c in citations if c.passage.published)
    if not dated or dated[0][0] == dated[-1][0]:
        return []
    first, last = dated[0][0], dated[-1][0]
    dots: list[Dot] = []
    for day, number in dated:
        share = (day - first) / (last - first)
        if dots and share - dots[-1].share < CLOSEST_DOTS:
            dots[-1].numbers.append(number)
        else:
            dots.append(Dot(share, day, [number]))
    return dots


def _cards(passages: Iterable[Passage], citations: Sequence[Citation]) -> Iterator[Card]:
    """Articles in the order of their first passage, each with its passages once, in reading order."""
    articles: dict[str, dict[str, Passage]] = {}
    for passage in passages:
        articles.setdefault(passage.article_id, {})[passage.id] = passage
    for article_id, by_id in articles.items():
        ordered = sorted(by_id.values(), key=lambda passage: passage.start)
        citation = next((c for c in citations if c.passage.article_id == article_id), None)
        yield Card(ordered[0], [[*_pieces(passage, citations)] for passage in ordered], citation)


def _pieces(passage: Passage, citations: Iterable[Citation]) -> Iterator[Piece]:
    """The text of a passage, cut where its quotes start and end."""
    start = passage.start
    quotes = {c.number: (c.start - start, c.end - start) for c in citations if c.passage.id == passage.id}
    return cut(passage.text, quotes, trimmed(passage.text))
