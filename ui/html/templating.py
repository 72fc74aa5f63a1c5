"""The Jinja environment of `templates/`; the only place where text is escaped and markup is trusted.

Jinja's own escaping leaves alone what Markdown, LaTeX and Gradio's templates interpret, so every value goes through
`escape` before Jinja sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain, pairwise
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from rag.schema import long_date
from ui.wording import counted, link, short_date, showable

SPECIAL = re.compile(r"[^A-Za-z0-9 \u00a0-\U0010ffff]")
"""ASCII that could mean something to Markdown, HTML, a template or LaTeX: everything but letters, digits, space."""
PARAGRAPH_BREAK = re.compile(r"(\n[ \t\n]*\n)")


def escape(text: str) -> str:
    """Text for an element or a quoted attribute; it shows as it is, whatever renders it.

    Every ASCII character but letters, digits and space becomes a numeric reference, since the chat passes a message
    through Markdown before it is HTML. What cannot be shown (controls, lone surrogates) becomes U+FFFD.
    """
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", showable(text))


def trusted(markup: str) -> str:
    """Markup made by this package, which templates insert as it is."""
    return Markup(markup)  # noqa: S704


def asset(name: str) -> str:
    """A style sheet or script of `ui/html/assets`, as trusted markup."""
    return trusted(files("ui.html").joinpath("assets", name).read_text("utf-8"))


def render(template: str, macro: str, *values: Any) -> str:
    """The HTML of a macro in `templates/`, called with these values."""
    return str(getattr(_environment().get_template(template).module, macro)(*values))


def render_page(template: str, **values: Any) -> str:
    """The HTML of a whole template with these values."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        auto_reload=False,
        finalize=_finalized,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
    )
    # Without Jinja's filters no template can escape in another way, or not at all.
    environment.filters = {
        "date": long_date,
        "length": len,
        "percent": "{:.2%}".format,
        "share": "{:.4f}".format,
        "short_date": short_date,
        "sort": sorted,
        "thousands": "{:,}".format,
        "three_digits": "{:.3f}".format,
        "two_digits": "{:.2f}".format,
    }
    functions = (asset, counted, link, paragraphs, payload, showable)
    environment.globals = {function.__name__: function for function in functions}
    return environment


def _source(name: str) -> str:
    """A template in one line: the chat's Markdown would take an empty or indented line for the end of the HTML."""
    source = files("ui.html").joinpath("templates", name).read_text("utf-8")
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    # A line break beside a tag or an expression only lays the template out.
    joints = ("" if a[-1] in ">}" or b[0] in "<{" else " " for a, b in pairwise(lines))
    return "".join(chain.from_iterable(zip(lines, (*joints, ""), strict=True)))


def _finalized(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(escape(str(value)))  # noqa: S704


def paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is the empty line between two paragraphs."""
    for position, piece in enumerate(PARAGRAPH_BREAK.split(showable(text))):
        yield piece, position % 2 == 1


def payload(values: Mapping[str, object]) -> str:
    """What a button sends with its event, as `page.js` reads it."""
    return json.dumps({name: str(value) for name, value in values.items()})
