"""Which blocks of a page are marked as not to be quoted, and which form a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.content.blocks import join_blocks
from ingest.readers.html.text import html_blocks

SAID = "The ferry leaves the old harbour every morning at seven."
PROSE = f"<p>{SAID}</p>"


def unquoted(markup: str) -> list[str]:
    found = join_blocks(html_blocks(markup))
    return [found.text[start:end] for start, end in found.captions]


@pytest.mark.parametrize(
    ("markup", "marked"),
    [
        ("<h4>Fares and times</h4>", ["Fares and times"]),
        ('<div role="heading" aria-level="2">Fares and times</div>', ["Fares and times"]),
        ("<dl><dt>Is there a night boat?</dt><dd>There is none in winter.</dd></dl>", ["Is there a night boat?"]),
        ("<fieldset><legend>Choose a day</legend></fieldset>", ["Choose a day"]),
        ("<figure><figcaption>The boat at the pier</figcaption></figure>", ["The boat at the pier"]),
        ("<table><caption>All fares</caption><tr><td>Adult</td><td>3</td></tr></table>", ["All fares"]),
        ("<details><summary>Show the fares</summary><p>They are low.</p></details>", ["Show the fares"]),
        ("<p><label>Your name</label></p>", ["Your name"]),
        ("<p><label>Your name</label> is asked for at the gate.</p>", []),
        ("<p><time>5 March</time></p>", ["5 March"]),
        ("<p>It left on <time>5 March</time> at noon.</p>", []),
        ("<address>Quay 4, Kelm</address>", ["Quay 4, Kelm"]),
        ('<p><a rel="author" href="/a">Ada Moor</a></p>', ["Ada Moor"]),
        ('<p itemprop="author">Ada Moor</p>', ["Ada Moor"]),
    ],
)
def test_headings_and_labels(markup: str, marked: list[str]) -> None:
    assert unquoted(f"{PROSE}{markup}{PROSE}") == marked


@pytest.mark.parametrize(
    "opening",
    [
        "<nav>",
        "<menu>",
        "<aside>",
        "<footer>",
        '<div role="navigation">',
        '<div role="Search">',
        '<div role="banner">',
        '<div aria-label="Breadcrumbs">',
        '<div itemscope itemtype="https://schema.org/BreadcrumbList">',
    ],
)
def test_lists_of_links_are_marked(opening: str) -> None:
    tag = opening[1:].split(" ", maxsplit=1)[0].strip(">")
    inside = f"{opening}<p>Council and people and much more</p></{tag}>"
    assert unquoted(f"{PROSE}{inside}{PROSE}") == ["Council and people and much more"]


@pytest.mark.parametrize(
    ("markup", "marked"),
    [
        ('<p><a href="/b">Read the whole story of the boat</a></p>', ["Read the whole story of the boat"]),
        ('<p>» <a href="/b">Read the whole story</a>.</p>', ["» Read the whole story."]),
        ('<p>He said <a href="/b">no such thing</a>.</p>', []),
        ('<p><a name="b">It is only a place to link to.</a></p>', []),
        ('<div><a href="/a">Home</a> | <a href="/b">News</a></div>', ["Home | News"]),
        ('<ul><li><a href="/a">Pay a fine</a><li><a href="/b">Find a bin</a></ul>', ["Pay a fine", "Find a bin"]),
        ('<ul><li><a href="/a">The old pier</a><li>The new pier</ul>', []),
        ('<ul><li><p><a href="/a">The old pier</a></p><li>The new pier</ul>', []),
        ('<ul><li>Piers<ul><li><a href="/a">Old</a></ul></ul>', ["Old"]),
    ],
)
def test_links_alone(markup: str, marked: list[str]) -> None:
    assert unquoted(f"{PROSE}{markup}{PROSE}") == marked


@pytest.mark.parametrize(
    ("markup", "marked"),
    [
        ("<p><strong>What the boat costs</strong></p>", ["What the boat costs"]),
        ("<p><strong>What the boat</strong> costs</p>", []),
        ("<p><b>The boat is late.</b></p>", []),
        ("<p><b>You will need:</b></p>", []),
        ("<p><em>A boat of some sort</em></p>", []),
        ("<p><b>And why did you</b> <em>leave?</em></p>", ["And why did you leave?"]),
        ("<p><b>Why did you leave?</b><br>I had to.</p>", ["Why did you leave?"]),
        ("<p><b>Why did you leave?</b><br><br>I had to.</p>", ["Why did you leave?"]),
        ("<p>Why did I leave?</p>", []),
        ('<div class="interview-question">Why did you leave?</div>', ["Why did you leave?"]),
        ('<div class="question"><p>Why?</p><p>I had to go home.</p></div>', ["Why?"]),
        (
            '<div itemscope itemtype="https://schema.org/Question"><p itemprop="name">Leaving the boat</p>'
            '<div itemprop="acceptedAnswer"><p>By the gate.</p></div></div>',
            ["Leaving the boat"],
        ),
        ("<ul><li><b>Bread</b><li>Salt and butter</ul>", []),
    ],
)
def test_bold_lines_and_questions(markup: str, marked: list[str]) -> None:
    assert unquoted(f"{PROSE}{markup}{PROSE}") == marked


@pytest.mark.parametrize(
    ("markup", "marked"),
    [
        ("<tr><th>Day</th><th>Open</th></tr><tr><td>Monday</td><td>No</td></tr>", ["Day | Open"]),
        ("<thead><tr><td>Day</td><td>No .</td></tr></thead><tr><td>Monday</td><td>7</td></tr>", ["Day | No ."]),
        ("<tr><th>Monday</th><td>No</td></tr>", []),
        ('<tr><td role="columnheader">Day</td></tr><tr><td>Monday</td></tr>', ["Day"]),
        ("<row><cell role='head'>Day</cell></row><row><cell>Monday</cell></row>", ["Day"]),
    ],
)
def test_headers_of_tables(markup: str, marked: list[str]) -> None:
    table = f"<table>{markup}</table>" if "<tr" in markup else markup
    assert unquoted(f"{PROSE}{table}{PROSE}") == marked


def test_where_all_would_be_marked_only_headings_are() -> None:
    assert unquoted(f'<a href="/b"><h2>The boat</h2>{PROSE}</a>') == ["The boat"]
    assert unquoted(f"<aside>{PROSE}</aside>") == []


@pytest.mark.parametrize(
    ("markup", "lists"),
    [
        ("<p>Bring:</p><ul><li>Bread</li><li>Salt</li></ul><p>Go.</p>", ["Bread\n\nSalt"]),
        ("<p>Bring.</p><ul><li>Bread</li><li>Salt</li></ul><p>Go.</p>", []),
        ("<h2>Bring:</h2><ul><li>Bread</li></ul><p>Go.</p>", []),
        ("<p>Bring:</p><p>Go.</p>", []),
        ("<p>Run:</p><pre>boat --go</pre><p>Go.</p>", ["boat --go"]),
        ("<p>She said:</p><blockquote><p>Go.</p></blockquote><p>Go.</p>", ["Go."]),
        ("<p>Open:</p><table><tr><td>Monday<td>8<tr><td>Friday<td>9</table><p>Go.</p>", ["Monday | 8\n\nFriday | 9"]),
        ("<p>Bring:</p><ul><li>Bread</ul><table><tr><td>Monday<td>8</table>", ["Bread"]),
        ("<p>Bring:</p><ul><li>Bread</ul><ol><li>Salt</ol>", ["Bread"]),
        ("<div>Bring:<ul><li>Bread:<ul><li>Rye</ul></ul></div><p>Go.</p>", ["Bread:\n\nRye"]),
    ],
)
def test_lists_after_a_colon(markup: str, lists: list[str]) -> None:
    found = join_blocks(html_blocks(markup))
    assert [found.text[start:end] for start, end in found.lists] == lists


TAGS = "p b a em ul li dl dt dd h2 nav table tr th td pre br blockquote div".split()
pieces = st.sampled_from(
    [*(f"<{tag} href=x>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), "Bring:", "Why?", "bread"]
)


@given(st.lists(pieces, max_size=40).map(" ".join))
def test_spans_are_whole_lines_of_the_text(markup: str) -> None:
    found = join_blocks(html_blocks(markup))
    for spans in (found.captions, found.lists):
        assert list(spans) == sorted(spans)
        for start, end in spans:
            assert 0 <= start < end <= len(found.text)
            assert found.text[:start][-1:] in {"", "\n"}
            assert found.text[end:][:1] in {"", "\n"}
