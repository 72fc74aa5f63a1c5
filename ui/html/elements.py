"""Small HTML elements; the only place where text is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import groupby, pairwise
from operator import itemgetter

from rag.schema import (
    Span,
)
from ui.wording import OWN_SENTENCES, OWN_WORDS, showable

PLAIN = re.compile(r"[^A-Za-z0-9 \u00a0-\U0010ffff]")
"""ASCII that could mean something to Markdown, HTML, a template or LaTeX: everything but letters, digits, space."""
PARAGRAPHS = re.compile(r"&#10;(?: |&#9;|&#10;)*&#10;")
"""An empty line between paragraphs, once escaped."""


def escape(text: str) -> str:
    """Text for an element or a quoted attribute; it shows as it is, whatever renders it.

    Every ASCII character but letters, digits and space becomes a numeric reference, since the chat passes a message
    through Markdown before it is HTML. What cannot be shown (controls, lone surrogates) becomes U+FFFD.
    """
    return PLAIN.sub(lambda found: f"&#{ord(found[0])};", showable(text))


def action_html(event: str, label: str, **values: str | int) -> str:
    """A button that `page.js` hears: the event of the page it stands for, and what belongs to it.

    The chat lets a button keep its name and value, but none of the attributes that are made for data.
    """
    value = escape(json.dumps({name: str(value) for name, value in values.items()})) if values else ""
    told = f' value="{value}"' if value else ""
    return f'<button type="button" class="pq-do" dir="auto" name="{event}"{told}>{escape(label)}</button>'


def picture_html(event: str, inside: str, told: str, *, place: str = "", **values: str) -> str:
    """As `action_html`, for a part of a picture, which is `told` on hovering.

    With a place it is one of many dots, which are for the mouse alone; something else on the page has to lead there.
    """
    label = escape(told)
    at = f' style="{place}" tabindex="-1"' if place else f' aria-label="{label}"'
    value = escape(json.dumps(values))
    return f'<button type="button" class="pq-do" name="{event}" value="{value}" title="{label}"{at}>{inside}</button>'


def error_html(error: str) -> str:
    """An error as one line."""
    return f'<div class="pq-error" role="alert">{escape(" ".join(error.split()))}</div>'


def masthead_html(motto: str = OWN_WORDS, views: Sequence[tuple[str, str]] = ()) -> str:
    """The page's title line, with its views, each by its key and its name; the first one is shown."""
    current = ' aria-current="page"'
    tabs = "".join(
        f'<button type="button" data-view="{escape(key)}"{current * (key == views[0][0])}>{escape(name)}</button>'
        for key, name in views
    )
    nav = f'<nav class="pq-views" aria-label="Parts of the page">{tabs}</nav>' if views else ""
    return f'<h1 class="pq-name">Pullquote</h1><p class="pq-motto">{escape(motto)}</p>{nav}'


def status_html(where: str, counts: str) -> str:
    """How far a work on many things is."""
    return f'<p class="pq-status"><b>{escape(where)}</b> · {escape(counts)}</p>'


def heading_html(text: str) -> str:
    """The heading of a part of a view."""
    return f'<h2 class="pq-heading">{escape(text)}</h2>'


def writers_html(names: Sequence[str]) -> str:
    """Who can be chosen to write the answers, or how to have a language model do so."""
    if any(names):
        told = "".join(f'<li dir="auto">{escape(name)}</li>' for name in names)
        return f'<p class="pq-note">Chosen under the question’s box:</p><ul class="pq-list">{told}</ul>'
    how = "Start one on this machine (Ollama, llama.cpp), or name one: pullquote chat --llm NAME --llm-url URL"
    return f'<p class="pq-note">{OWN_SENTENCES}; no language model is in use. {escape(how)}</p>'


def login_html(user: str) -> str:
    """Who has logged in, and the way out."""
    way_out = '<form method="post" action="logout"><button>Log out</button></form>'
    return f'<div class="pq-login">Logged in as {escape(user)}. {way_out}</div>'


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """What is so, by name."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts if value)
    return f'<dl class="pq-facts">{rows}</dl>'


def hint_html(hint: str) -> str:
    """What the panel says when it has nothing to show."""
    return f'<p class="pq-hint">{escape(hint)}</p>'


def problems_html(problems: Sequence[str]) -> str:
    """What is to be mended, a line each; an empty string for nothing."""
    return "".join(f'<p class="pq-problem" role="alert">{escape(problem)}</p>' for problem in problems)


def trimmed(text: str) -> Span:
    """Where the text starts and ends without the white space around it."""
    first = len(text) - len(text.lstrip())
    return first, max(first, len(text.rstrip()))


def prose_html(text: str) -> str:
    return PARAGRAPHS.sub(r'<span class="pq-gap">\g<0></span>', escape(text))


def marked_html(text: str, spans: Iterable[Span]) -> str:
    """Text with spans of it marked; spans may overlap, and reach beyond the text."""
    pieces = ((prose_html(piece), marked) for piece, marked in pieces_of(text, spans))
    return "".join(f"<mark>{piece}</mark>" if marked else piece for piece, marked in pieces)


def pieces_of(text: str, spans: Iterable[Span]) -> list[tuple[str, bool]]:
    """The text in pieces, and whether each is in one of the spans, which may be any."""
    inked = [(edge_of(text, start), edge_of(text, end)) for start, end in spans]
    cuts = sorted({0, len(text), *(edge for start, end in inked if start < end for edge in (start, end))})
    pieces = ((text[a:b], any(start <= a and b <= end for start, end in inked)) for a, b in pairwise(cuts))
    return [("".join(piece for piece, _ in run), within) for within, run in groupby(pieces, key=itemgetter(1))]


def edge_of(text: str, at: int) -> int:
    """A place inside the text that does not part a line break of two characters."""
    inside = min(max(at, 0), len(text))
    return inside + (text[max(inside - 1, 0) : inside + 1] == "\r\n")


def asset(name: str) -> str:
    """The text of a style sheet or script in `ui/html/assets`."""
    return files("ui.html").joinpath("assets", name).read_text("utf-8")
