"""Pure functions from answers to HTML and JSON. All escaping is here: no text of an article reaches the page raw."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from secrets import token_urlsafe
from typing import Any

from rag.cite import MARKER, UNSUPPORTED
from rag.schema import (
    Answer,
    Article,
    ArticleEntry,
    Citation,
    Copy,
    Filters,
    Hit,
    Passage,
    ReadFilter,
    Sentence,
    Span,
    Turn,
    long_date,
)
from rag.text import visible

NEAREST_SHOWN = 3
KEPT_TURNS = 20
"""Turns whose sources stay in the page; older markers keep their hover text."""
LONGEST_TOOLTIP = 300
CLOSEST_DOTS = 0.16
"""Of a timeline's width; dots that are closer would be written over each other."""
LONGEST_READ = 100_000
"""Characters of an article that are shown at once."""
CONFIDENCE_WORDS = ((0.85, "Well supported"), (0.65, "Partly supported"), (0.0, "Weakly supported"))
LINK = re.compile(r"https?://[^\s/?#\\]\S*", re.IGNORECASE | re.ASCII)
PLAIN = re.compile(r"[^A-Za-z0-9 \u00a0-\U0010ffff]")
"""ASCII that could mean something to Markdown, HTML, a template or LaTeX: everything but letters, digits, space."""

SIGN = re.compile(rf"{MARKER.pattern}|{re.escape(UNSUPPORTED)}")
"""What stands behind a sentence of an answer."""
OWN_SENTENCES = "The articles’ own sentences"
OWN_WORDS, CHECKED_WORDS = "Answers in your articles’ own words", "Answers held to your articles’ own words"
PARAGRAPHS = re.compile(r"&#10;(?: |&#9;|&#10;)*&#10;")
"""An empty line between paragraphs, once escaped."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question of the page's conversation and what came of it: an answer, an error, or nothing yet.

    `lifted` are words of the question that were not to be read as a filter, `filters` those that were chosen beside
    the box, `writer` what was chosen to write the answer, `lengths` the most sentences and passages where that was
    chosen; `done` is False for as long as the answer may grow. `next` are questions that may be asked next; `id` tells
    the answer from that to the same question asked again.
    """

    question: str
    answer: Answer | None = None
    error: str = ""
    lifted: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    done: bool = False
    writer: str = ""
    lengths: tuple[int, int] | None = None
    next: tuple[str, ...] = ()
    id: str = field(default_factory=partial(token_urlsafe, 9), compare=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """An article that is read, with what an answer quotes of it.

    `quotes` are the quotes' numbers and spans, `at` the one to be shown first; `turn` is that of the answer. `related`
    are articles on the same matters.
    """

    article: Article
    also: tuple[Copy, ...] = ()
    quotes: tuple[tuple[int, Span], ...] = ()
    at: int = 0
    turn: int = 0
    related: tuple[ArticleEntry, ...] = ()
    notice: str = ""


def escape(text: str) -> str:
    """Text for an element or a quoted attribute; it shows as it is, whatever renders it.

    Every ASCII character but letters, digits and space becomes a numeric reference, since the chat passes a message
    through Markdown before it is HTML. What cannot be shown (controls, lone surrogates) becomes U+FFFD.
    """
    return PLAIN.sub(lambda found: f"&#{ord(found[0])};", showable(text))


def showable(text: str) -> str:
    """The text with "\\n" as the only line break and U+FFFD for what no page or terminal can show.

    Invisible format characters are left out: U+202E would turn around what stands beside the text.
    """
    lines = visible(text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n\t" or _has_glyph(c) else "\ufffd" for c in lines)


def plain_json(value: Any, indent: int | None = 2) -> str:
    """JSON in which every character that a reader could not see is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace").decode()
    for unseen in {character for character in text if character != "\n" and not character.isprintable()}:
        text = text.replace(unseen, json.dumps(unseen)[1:-1])
    return text


def _has_glyph(character: str) -> bool:
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return not noncharacter and unicodedata.category(character) not in ("Cc", "Cs")


def link(url: str) -> str:
    """The address if it is one to follow (http or https), else an empty string."""
    return url if LINK.fullmatch(url) and url == showable(url) else ""


def messages(conversation: Sequence[Exchange]) -> list[dict[str, Any]]:
    """The conversation as the chat shows it: two messages a turn, the last one with its chips."""
    shown: list[dict[str, Any]] = []
    for turn, exchange in enumerate(conversation, start=1):
        last = turn == len(conversation)
        options = chips(exchange, turn) if last else []
        shown.append({"role": "user", "content": question_html(exchange.question)})
        content = _reply_html(exchange, turn, bool(options)) + _actions_html(exchange, turn, last=last)
        reply = {"role": "assistant", "content": content}
        shown.append(reply | ({"options": options} if options else {}))  # an empty list is room for chips, too
    return shown


def _reply_html(exchange: Exchange, turn: int, with_chips: bool) -> str:
    if exchange.error:
        return error_html(exchange.error)
    answer, done = exchange.answer, exchange.done
    if not answer or answer.doing:
        return pending_html(answer.doing if answer else "")
    read = [] if with_chips else [read.filters for read in answer.read]
    return answer_html(answer, turn, done=done) + _only_html([exchange.filters, *read])


def _actions_html(exchange: Exchange, turn: int, *, last: bool) -> str:
    """What can be done with a finished answer, and what may be asked after the last one."""
    if not exchange.done:
        return ""
    copied = [action_html("copy", "Copy", turn=turn)] if exchange.answer else []
    asked = [action_html("again", "Ask again"), action_html("edit", "Edit question")] if last else []
    suggested = "".join(f"<li>{action_html('ask', q, question=q)}</li>" for q in exchange.next) if last else ""
    more = f'<div class="pq-next"><p>Ask next</p><ul>{suggested}</ul></div>' if suggested else ""
    return f'<p class="pq-actions">{"".join([*copied, *asked])}</p>{more}'


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


def _only_html(filters: Iterable[Filters]) -> str:
    """A line that says which articles were asked, if not all."""
    told = ", ".join(filter(None, map(_described, filters)))
    return f'<p class="pq-only">Only articles {escape(told)}</p>' if told else ""


def chips(exchange: Exchange, turn: int) -> list[dict[str, str]]:
    """What a reader can take off a finished question: a label and a value for each filter that was read out of it.

    The chat shows a label as text, whatever is in it. The value holds the turn, so that a late click on an older
    answer's chip is none on a newer one's.
    """
    if not exchange.answer or not exchange.done:
        return []
    return [
        {"label": f"{one_line(_described(read.filters))} ×", "value": f"{turn} {read.words}"}
        for read in exchange.answer.read
    ]


def only_line(filters: Filters) -> str:
    """In a line which articles are asked: all, or those that a filter leaves. Plain text, for a label."""
    return f"Only articles {one_line(_described(filters))}" if filters else "All articles"


def aim_html(title: str) -> str:
    """The chip for the one article that is asked, which a click takes off."""
    return f'<p class="pq-aim">{action_html("only", f"Only “{one_line(title)}” ×", article="")}</p>'


def one_line(text: str) -> str:
    """The text as it can be shown in a line."""
    return " ".join(showable(text).split())


def _described(filters: Filters) -> str:
    from rag.filters import described  # reads dates as well, which takes a while to load

    return described(filters)


def question_html(question: str) -> str:
    """A question, as a heading of the conversation."""
    return f'<div class="pq-question" dir="auto">{escape(question.strip())}</div>'


def pending_html(doing: str = "") -> str:
    """What stands in for an answer until its first words are there."""
    live = " pq-live" if doing else ""  # what a language model does can be stopped
    return f'<div class="pq-pending{live}">{escape(doing or "Reading the articles …")}</div>'


def error_html(error: str) -> str:
    """An error as one line."""
    return f'<div class="pq-error" role="alert">{escape(" ".join(error.split()))}</div>'


def answer_html(answer: Answer, turn: int, *, done: bool = True) -> str:
    """An answer with its markers as links to the quotes in the panel, and a line on how well it is supported.

    What comes behind the last checked sentence of a language model, as long as it is not `done` or when it was stopped,
    is shown as unchecked.
    """
    citations = {str(citation.number): citation for citation in answer.citations}
    parts, end = [], 0
    for sign in SIGN.finditer(answer.text):
        if not sign[1] or sign[1] in citations:
            sentence = answer.text[end : sign.start()]
            gap = "&#160;" if sentence.endswith(" ") else ""  # no line starts with a marker
            said = _emphasised_html(sentence.removesuffix(" "), end, answer.emphasis)
            parts.append(" " * said.startswith(" "))
            said = said.removeprefix(" ")
            parts += [said, _marker_html(citations[sign[1]], turn, gap)] if sign[1] else [_unsupported_html(said, gap)]
            end = sign.end()
    rest = _emphasised_html(answer.text[end:], end, answer.emphasis)
    if rest and answer.written_by:
        rest = f'<span class="pq-unchecked">{rest}</span>'
    kind = "pq-answer" if answer.grounded else "pq-answer pq-unanswered"
    footing = _footing_html(answer) if done or not answer.written_by else _writing_html(answer.written_by)
    return f'<div class="{kind}"><p class="pq-text" dir="auto">{"".join([*parts, rest])}</p>{footing}</div>'


def _unsupported_html(said: str, gap: str) -> str:
    tag = '<span class="pq-tag" title="No passage that was found bears this out">unsupported</span>'
    return f'<span class="pq-unsupported">{said}</span>{gap}{tag}'


def _writing_html(name: str) -> str:
    return f'<p class="pq-footing pq-live">{escape(name)} is writing; each sentence is checked when it ends.</p>'


def _emphasised_html(text: str, start: int, emphasis: Iterable[Span]) -> str:
    """A part of an answer's text, from `start` on, with what of it is emphasised in bold."""
    spans = [(first - start, last - start) for first, last in emphasis]
    pieces = ((escape(piece), bold) for piece, bold in _pieces(text, spans))
    return "".join(f"<b>{piece}</b>" if bold else piece for piece, bold in pieces)


def _marker_html(citation: Citation, turn: int, gap: str) -> str:
    number, quote = citation.number, " ".join(citation.quote.split())
    shortened = quote if len(quote) <= LONGEST_TOOLTIP else quote[:LONGEST_TOOLTIP] + "…"
    hint = escape(f"“{shortened}” — {citation.passage.title}")
    return (
        f'<sup><a class="pq-marker" id="pq-a-{turn}-{number}" href="#pq-q-{turn}-{number}" title="{hint}">'
        f"<i>{gap}[</i>{number}<i>]</i></a></sup>"
    )


def _footing_html(answer: Answer) -> str:
    notice = f'<p class="pq-notice">{escape(answer.notice)}</p>' if answer.notice else ""
    searched = _searched_html(answer.searched)
    if not answer.grounded:
        return f"{notice}{searched}"
    footing = " · ".join(_support_html(answer))
    return (f'<p class="pq-footing">{footing}</p>' if footing else "") + f"{notice}{searched}"


def _support_html(answer: Answer) -> Iterator[str]:
    """How well an answer is supported, by what, and who wrote it; of what there is none, nothing is said."""
    articles = {citation.passage.article_id for citation in answer.citations}
    if articles:
        yield f"<b>{confidence_words(answer.confidence)}</b>"
        yield f"{counted(len(answer.citations), 'quote')} from {counted(len(articles), 'article')}"
    if answer.written_by:
        yield escape(f"written by {answer.written_by}{_supported(answer.sentences)}")


def _supported(sentences: Sequence[Sentence]) -> str:
    if not sentences:
        return ""
    supported = sum(bool(sentence.citations) for sentence in sentences)
    return f", {supported or 'none'} of {counted(len(sentences), 'sentence')} supported"


def _searched_html(searched: Sequence[str]) -> str:
    """On demand: what was looked up instead of the question as it was asked."""
    if not searched:
        return ""
    questions = "".join(f'<li dir="auto">{escape(question)}</li>' for question in searched)
    return f'<details class="pq-searched"><summary>What was looked up</summary><ul>{questions}</ul></details>'


def writer_label(name: str, *, found: bool = False) -> str:
    """Who writes the answers, to choose from: a language model, by name, or nobody. Plain text."""
    where = ", found on this machine" if found else ""
    return f"{one_line(name)}{where}" if name else OWN_SENTENCES


def confidence_words(confidence: float) -> str:
    """A confidence (0–1) in words."""
    return next(words for least, words in CONFIDENCE_WORDS if confidence >= least or least == 0)


def counted(count: int, noun: str) -> str:
    """How many there are of a thing: no articles, 1 article, 2 articles."""
    return f"{f'{count:,}' if count else 'no'} {noun}{'' if count == 1 else 's'}"


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


def draft_html(said: str, verdict: str, history: Sequence[Turn]) -> str:
    """What a draft's question comes after, what the chat answered to it, and what its reader made of that."""
    turns = [("Earlier", f"{turn.question} — {turn.answer}") for turn in history]
    told = [*turns, ("The chat answered", said), ("Its reader", verdict)]
    return "".join(f'<p class="pq-note"><b>{name}</b> {escape(text)}</p>' for name, text in told if text)


def article_html(article: Article, spans: Iterable[Span]) -> str:
    """A whole article with spans of its text marked."""
    text = f'<blockquote class="pq-passage" dir="auto">{marked_html(article.text.strip(), spans)}</blockquote>'
    return f'<article class="pq-card">{_head_html(article)}{text}{_extra_html(article.extra)}</article>'


def empty_html(articles: int, passages: int) -> str:
    """What the chat shows before the first question."""
    held = f"{counted(articles, 'article')} ({counted(passages, 'passage')})"
    return (
        '<div class="pq-empty"><h2>Ask your articles.</h2>'
        f"<p>{held} to ask. Every sentence of an answer is an exact quote, or is held to one, "
        "and every number leads to the passage it stands in.</p></div>"
    )


def sources_html(conversation: Sequence[Exchange]) -> str:
    """The panel: a block for each answered turn, of which only the last is shown until a marker asks for another."""
    answered = [(t, e, e.answer) for t, e in enumerate(conversation, start=1) if e.answer and (e.done or e.answer.hits)]
    if not answered:
        hint = hint_html("The passages an answer quotes appear here.")
        return f'<section class="pq-turn"><h2>Sources</h2>{hint}</section>'
    last = answered[-1][0]
    return "".join(
        _turn_html(answer, turn, hidden=turn != last, done=exchange.done)
        for turn, exchange, answer in answered[-KEPT_TURNS:]
    )


def _turn_html(answer: Answer, turn: int, *, hidden: bool, done: bool) -> str:
    citations = answer.citations if answer.grounded else ()
    under_way = answer.doing or (answer.grounded and not answer.citations)
    heading = "Sources" if citations else "Passages that are read" if under_way else "Nearest passages"
    passages = [c.passage for c in citations] or [hit.passage for hit in answer.hits[:NEAREST_SHOWN]]
    cards = _timeline_html(citations) + "".join(_card_html(p, citations, turn) for p in _by_article(passages))
    # Only a finished answer can be copied, and the panel is drawn many times until then.
    copied = f'<pre id="pq-copy-{turn}" hidden>{escape(answer_text(answer))}</pre>' if done else ""
    return (
        f'<section class="pq-turn" id="pq-turn-{turn}"{" hidden" if hidden else ""}>'
        f'<h2>{heading}</h2><p class="pq-for" dir="auto">{escape(answer.question)}</p>{cards}{copied}</section>'
    )


def _timeline_html(citations: Sequence[Citation]) -> str:
    """Where the sources lie in time, if that is more than one day; those too close to be told apart share a dot."""
    dated = sorted((c.passage.published, c.number) for c in citations if c.passage.published)
    first, last = (dated[0][0], dated[-1][0]) if dated else (date.min, date.min)
    if first == last:
        return ""
    groups: list[tuple[float, date, list[int]]] = []
    for day, number in dated:
        at = (day - first) / (last - first)
        if groups and at - groups[-1][0] < CLOSEST_DOTS:
            groups[-1][2].append(number)
        else:
            groups.append((at, day, [number]))
    dots = "".join(
        f'<li style="left: {at:.2%}">{" ".join(f"[{n}]" for n in sorted(numbers))}'
        f"{f' <time>{short_date(day)}</time>' if at in {0, 1} else ''}</li>"
        for at, day, numbers in groups
    )
    return f'<ol class="pq-timeline" aria-label="The sources in time">{dots}</ol>'


def short_date(day: date | None) -> str:
    """A date as a table has room for: 7 Nov 2024; empty for none."""
    return f"{day.day} {day:%b} {day.year}" if day else ""


def _by_article(passages: Iterable[Passage]) -> list[list[Passage]]:
    """Articles in the order of their first passage; each one's passages once, in reading order."""
    groups: dict[str, dict[str, Passage]] = {}
    for passage in passages:
        groups.setdefault(passage.article_id, {})[passage.id] = passage
    return [sorted(group.values(), key=lambda p: p.start) for group in groups.values()]


def _card_html(passages: Sequence[Passage], citations: Sequence[Citation], turn: int) -> str:
    blocks = "".join(
        f'<blockquote class="pq-passage" dir="auto">'
        f"{_passage_html(passage, [c for c in citations if c.passage.id == passage.id], turn)}</blockquote>"
        for passage in passages
    )
    article_id = passages[0].article_id
    told = next((c for c in citations if c.passage.article_id == article_id), None)
    more = _also_html(told.also) + _extra_html(told.extra) if told else ""
    read = action_html("read", "Read the article", article=article_id, turn=turn, number=told.number if told else 0)
    whole = f'<p class="pq-whole">{read}</p>'
    return f'<article class="pq-card">{_head_html(passages[0])}{blocks}{more}{whole}</article>'


def reading_html(reading: Reading) -> str:
    """An article to read beside the conversation, with the quotes of an answer in it."""
    article = reading.article
    back = action_html("close", "Back to the sources" if reading.turn else "Close")
    only = action_html("only", "Ask this article only", article=article.id, title=article.title or article.id)
    notice = f'<p class="pq-notice">{escape(reading.notice)}</p>' if reading.notice else ""
    related = "".join(f"<li>{_related_html(entry)}</li>" for entry in reading.related)
    more = f'<section class="pq-related"><h3>Related articles</h3><ul>{related}</ul></section>' if related else ""
    return (
        f'<article class="pq-reading" aria-label="{escape(article.title or article.id)}">'
        f'<p class="pq-bar">{back}{only}</p>{_head_html(article, level=2)}{_also_html(reading.also)}'
        f"{_extra_html(article.extra)}{notice}"
        f'<div class="pq-body" dir="auto">{_read_text_html(reading)}</div>{more}</article>'
    )


def missing_html(why: str) -> str:
    """What is read in the place of an article that cannot be shown."""
    return (
        f'<article class="pq-reading"><p class="pq-bar">{action_html("close", "Close")}</p>{error_html(why)}</article>'
    )


def _related_html(entry: ArticleEntry) -> str:
    details = " · ".join(filter(None, (entry.source, long_date(entry.published))))
    told = f'<span class="pq-byline">{escape(details)}</span>' if details else ""
    return f"{action_html('read', entry.title or entry.id, article=entry.id)}{told}"


def _read_text_html(reading: Reading) -> str:
    """The article's text, or as much of a very long one as stands around the quote that is shown first."""
    text = reading.article.text
    spans = dict(reading.quotes)
    first, last = _window(text, spans.get(reading.at, (0, 0)))
    edges = {_edge(text, edge) for span in spans.values() for edge in span if first < edge < last}
    parts = []
    for left, right in pairwise(sorted({first, last, *edges})):
        over = [number for number, (start, end) in spans.items() if start <= left and right <= end]
        began = "".join(_read_number_html(n, reading.turn) for n in over if spans[n][0] == left)
        piece = _prose(text[left:right])
        kind = "pq-at" if reading.at in over else "pq-also"
        focus = ' id="pq-span" tabindex="-1"' if reading.at in over and spans[reading.at][0] == left else ""
        parts.append(f'{began}<mark class="{kind}"{focus}>{piece}</mark>' if over else piece)
    before, after = ("<p>[…]</p>" if cut else "" for cut in (text[:first].strip(), text[last:].strip()))
    return before + "".join(parts) + after


def _window(text: str, span: Span) -> Span:
    if len(text) <= LONGEST_READ:
        return _inked(text)
    start = max(0, min(span[0] - LONGEST_READ // 2, len(text) - LONGEST_READ))
    return start, start + LONGEST_READ


def _read_number_html(number: int, turn: int) -> str:
    return f'<a class="pq-number" href="#pq-a-{turn}-{number}" title="Back to the answer">{number}</a>'


def _also_html(also: Iterable[Copy]) -> str:
    """Where else the same story stands."""
    places = ", ".join(_titled_html(copy.source or copy.title or copy.id, copy.url) for copy in also)
    return f'<p class="pq-more"><b>The same story</b> in {places}</p>' if places else ""


def _extra_html(extra: Iterable[tuple[str, str]]) -> str:
    """What else an article's source says of it."""
    fields = " · ".join(f"<b>{escape(name)}</b> {escape(value)}" for name, value in extra)
    return f'<p class="pq-more">{fields}</p>' if fields else ""


def _titled_html(title: str, url: str) -> str:
    """A title, as a link where there is one to follow."""
    shown, url = escape(title) or "Untitled", link(url)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{shown}</a>' if url else shown


def _head_html(of: Passage | Article, level: int = 3) -> str:
    title = _titled_html(of.title, of.url)
    details = (of.source, long_date(of.published), of.author and f"by {of.author}")
    byline = " · ".join(f"<span>{escape(detail)}</span>" for detail in details if detail)
    return f'<h{level} dir="auto">{title}</h{level}><p class="pq-byline">{byline}</p>'


def _passage_html(passage: Passage, citations: Sequence[Citation], turn: int) -> str:
    """The passage's text, cut where a quote starts or ends, so that quotes may overlap."""
    text = passage.text
    first, last = _inked(text)
    spans = [(c, *_inside(c, passage)) for c in citations]
    cuts = sorted({first, last, *(edge for _, start, end in spans for edge in (start, end))})
    parts = []
    for left, right in pairwise(cuts):
        numbers = "".join(_number_html(c.number, turn) for c, start, _ in spans if start == left)
        covering = [f"pq-c-{turn}-{c.number}" for c, start, end in spans if start <= left and right <= end]
        piece = _prose(text[left:right])
        parts.append(f'{numbers}<mark class="{" ".join(covering)}">{piece}</mark>' if covering else piece)
    return "".join(parts)


def _inked(text: str) -> Span:
    """Where the text starts and ends without the white space around it."""
    first = len(text) - len(text.lstrip())
    return first, max(first, len(text.rstrip()))


def _inside(citation: Citation, passage: Passage) -> Span:
    """The quote's span in the passage's text, were it to reach beyond."""
    first, last = _inked(passage.text)
    start, end = (min(max(edge - passage.start, first), last) for edge in (citation.start, citation.end))
    return start, end


def _prose(text: str) -> str:
    return PARAGRAPHS.sub(r'<span class="pq-gap">\g<0></span>', escape(text))


def marked_html(text: str, spans: Iterable[Span]) -> str:
    """Text with spans of it marked; spans may overlap, and reach beyond the text."""
    pieces = ((_prose(piece), marked) for piece, marked in _pieces(text, spans))
    return "".join(f"<mark>{piece}</mark>" if marked else piece for piece, marked in pieces)


def _pieces(text: str, spans: Iterable[Span]) -> list[tuple[str, bool]]:
    """The text in pieces, and whether each is in one of the spans, which may be any."""
    inked = [(_edge(text, start), _edge(text, end)) for start, end in spans]
    cuts = sorted({0, len(text), *(edge for start, end in inked if start < end for edge in (start, end))})
    pieces = ((text[a:b], any(start <= a and b <= end for start, end in inked)) for a, b in pairwise(cuts))
    return [("".join(piece for piece, _ in run), within) for within, run in groupby(pieces, key=itemgetter(1))]


def _edge(text: str, at: int) -> int:
    """A place inside the text that does not part a line break of two characters."""
    inside = min(max(at, 0), len(text))
    return inside + (text[max(inside - 1, 0) : inside + 1] == "\r\n")


def _number_html(number: int, turn: int) -> str:
    back = f'id="pq-q-{turn}-{number}" href="#pq-a-{turn}-{number}"'
    return f'<a class="pq-number" {back} title="Back to the answer">{number}</a>'


def answer_text(answer: Answer) -> str:
    """An answer and its citations as plain text, to paste elsewhere."""
    cited = "\n".join(f"[{c.number}] “{one_line(c.quote)}” — {_addressed(c.passage)}" for c in answer.citations)
    return "\n\n".join(filter(None, (showable(answer.text), cited)))


def _addressed(passage: Passage) -> str:
    return ", ".join(filter(None, (place_line(passage), link(passage.url))))


def place_line(passage: Passage) -> str:
    """Where a passage stands, in a line: title, source, date."""
    told = (passage.title or passage.article_id, passage.source, long_date(passage.published))
    return ", ".join(one_line(part) for part in told if part)


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as the command line and the page's API give it; the keys are relied on by others."""
    return {
        "question": answer.question,
        "text": answer.text,
        "grounded": answer.grounded,
        "confidence": round(answer.confidence, 4),
        "citations": [_citation_json(citation) for citation in answer.citations],
        "hits": [_hit_json(hit) for hit in answer.hits],
        "notice": answer.notice,
        "seconds": round(answer.seconds, 4),
        "emphasis": [list(span) for span in answer.emphasis],
        "filters": [_read_json(read) for read in answer.read],
        "sentences": [_sentence_json(sentence, answer.text) for sentence in answer.sentences],
        "written_by": answer.written_by,
        "searched": list(answer.searched),
    }


def _sentence_json(sentence: Sentence, text: str) -> dict[str, Any]:
    return {
        "text": text[sentence.start : sentence.end],
        "citations": list(sentence.citations),
        "support": round(sentence.support, 4),
    }


def _read_json(read: ReadFilter) -> dict[str, Any]:
    return {"words": read.words, "described": _described(read.filters), **filters_json(read.filters)}


def filters_json(filters: Filters) -> dict[str, Any]:
    """Filters by their names."""
    after, before = filters.published_after, filters.published_before
    return {
        "published_after": after.isoformat() if after else None,
        "published_before": before.isoformat() if before else None,
        "sources": list(filters.sources),
        "article_ids": list(filters.article_ids),
    }


def _place_json(passage: Passage) -> dict[str, Any]:
    """What is said of the article that a passage stands in."""
    return {
        "title": passage.title,
        "source": passage.source,
        "published": passage.published.isoformat() if passage.published else None,
        "url": passage.url,
    }


def _citation_json(citation: Citation) -> dict[str, Any]:
    passage = citation.passage
    return {
        "number": citation.number,
        "article_id": passage.article_id,
        **_place_json(passage),
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "also": [{"article_id": c.id, "title": c.title, "source": c.source, "url": c.url} for c in citation.also],
        "extra": dict(citation.extra),
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "article_id": passage.article_id,
        "passage_id": passage.id,
        "score": round(hit.score, 4),
        "text": passage.text.strip(),
    }


def found_json(hit: Hit) -> dict[str, Any]:
    """A passage that was found, with its article."""
    passage = hit.passage
    return {
        **_hit_json(hit),
        **_place_json(passage),
    }


def article_json(entry: ArticleEntry) -> dict[str, Any]:
    """An article as `pullquote articles --json` lists it."""
    return {
        "id": entry.id,
        "title": entry.title,
        "source": entry.source,
        "published": entry.published.isoformat() if entry.published else None,
        "url": entry.url,
        "author": entry.author,
        "language": entry.language,
        "extra": dict(entry.extra),
        "origin": entry.origin,
        "copies": [asdict(copy) for copy in entry.copies],
        "passages": entry.passages,
    }
