"""Small HTML elements, and text cut into pieces where marks start and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rag.schema import Span
from ui.html.templating import render
from ui.wording import OWN_SENTENCES, OWN_WORDS

NO_WRITER = (
    f"{OWN_SENTENCES}; no language model is in use. Start one on this machine (Ollama, llama.cpp), or name one: "
    "pullquote chat --llm NAME --llm-url URL"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, with the numbers of the spans that cover it and of those that start with it."""

    text: str
    spans: Sequence[int]
    starts: Sequence[int]


def error_html(error: str) -> str:
    """An error in one line."""
    return render("elements.html", "error", error)


def masthead_html(motto: str = OWN_WORDS, views: Sequence[tuple[str, str]] = ()) -> str:
    """The title line of the page, and buttons for its views (key, name), of which the first is current."""
    return render("elements.html", "masthead", motto, views)


def status_html(place: str, counts: str) -> str:
    """Progress in a list: the place and the counts."""
    return render("elements.html", "status", place, counts)


def heading_html(text: str) -> str:
    """The heading of a section."""
    return render("elements.html", "heading", text)


def writers_html(names: Sequence[str]) -> str:
    """The language models to choose from, or how to start one."""
    return render("elements.html", "writers", names if any(names) else (), NO_WRITER)


def login_html(user: str) -> str:
    """The account that is logged in, with a button to log out."""
    return render("elements.html", "login", user)


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; empty values are left out."""
    return render("elements.html", "facts", facts)


def hint_html(hint: str) -> str:
    """A hint in place of content."""
    return render("elements.html", "hint", hint)


def problems_html(problems: Sequence[str]) -> str:
    """Problems for the user to fix, a line each; empty if there are none."""
    return render("elements.html", "problems", problems)


def trimmed(text: str) -> Span:
    """Where the text starts and ends without the white space around it."""
    first = len(text) - len(text.lstrip())
    return first, max(first, len(text.rstrip()))


def cut(text: str, spans: Mapping[int, Span], window: Span) -> Iterator[Piece]:
    """The text of the window, cut where a numbered span starts or ends; spans may overlap or reach beyond it."""
    first, last = window
    inside = {n: (_edge(text, start, window), _edge(text, end, window)) for n, (start, end) in spans.items()}
    inside = {n: (start, end) for n, (start, end) in inside.items() if start < end}
    for left, right in pairwise(sorted({first, last, *(edge for span in inside.values() for edge in span)})):
        covering = [n for n, (start, end) in inside.items() if start <= left and right <= end]
        yield Piece(text[left:right], covering, [n for n in covering if inside[n][0] == left])


def pieces_of(text: str, spans: Iterable[Span]) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it lies in one of the spans."""
    pieces = cut(text, dict(enumerate(spans)), (0, len(text)))
    return [("".join(p.text for p in run), inside) for inside, run in groupby(pieces, key=lambda p: bool(p.spans))]


def _edge(text: str, at: int, window: Span) -> int:
    """A place inside the window, moved behind a line break of two characters that it would part."""
    inside = min(max(at, window[0]), window[1])
    return min(inside + (text[max(inside - 1, 0) : inside + 1] == "\r\n"), window[1])
