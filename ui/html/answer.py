"""Pure functions from answers to HTML and JSON. All escaping is here: no text of an article reaches the page raw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from rag.schema import (
    Answer,
    Citation,
    Filters,
    Passage,
    Sentence,
    Span,
)
from ui.export.text import SIGN, answer_text
from ui.html.article import duplicates_html, extra_html, head_html
from ui.html.elements import action_html, error_html, escape, hint_html, pieces_of, prose_html, trimmed
from ui.schema import Exchange
from ui.wording import NEAREST_SHOWN, confidence_words, counted, described_filters, one_line, short_date

KEPT_TURNS = 20
"""Turns whose sources stay in the page; older markers keep their hover text."""
LONGEST_TOOLTIP = 300
CLOSEST_DOTS = 0.16
"""Of a timeline's width; dots that are closer would be written over each other."""


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


def _only_html(filters: Iterable[Filters]) -> str:
    """A line that says which articles were asked, if not all."""
    told = ", ".join(filter(None, map(described_filters, filters)))
    return f'<p class="pq-only">Only articles {escape(told)}</p>' if told else ""


def chips(exchange: Exchange, turn: int) -> list[dict[str, str]]:
    """What a reader can take off a finished question: a label and a value for each filter that was read out of it.

    The chat shows a label as text, whatever is in it. The value holds the turn, so that a late click on an older
    answer's chip is none on a newer one's.
    """
    if not exchange.answer or not exchange.done:
        return []
    return [
        {"label": f"{one_line(described_filters(read.filters))} ×", "value": f"{turn} {read.words}"}
        for read in exchange.answer.read
    ]


def aim_html(title: str) -> str:
    """The chip for the one article that is asked, which a click takes off."""
    return f'<p class="pq-aim">{action_html("only", f"Only “{one_line(title)}” ×", article="")}</p>'


def question_html(question: str) -> str:
    """A question, as a heading of the conversation."""
    return f'<div class="pq-question" dir="auto">{escape(question.strip())}</div>'


def pending_html(doing: str = "") -> str:
    """What stands in for an answer until its first words are there."""
    live = " pq-live" if doing else ""  # what a language model does can be stopped
    return f'<div class="pq-pending{live}">{escape(doing or "Reading the articles …")}</div>'


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
    pieces = ((escape(piece), bold) for piece, bold in pieces_of(text, spans))
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
    more = duplicates_html(told.duplicates) + extra_html(told.extra) if told else ""
    read = action_html("read", "Read the article", article=article_id, turn=turn, number=told.number if told else 0)
    whole = f'<p class="pq-whole">{read}</p>'
    return f'<article class="pq-card">{head_html(passages[0])}{blocks}{more}{whole}</article>'


def _passage_html(passage: Passage, citations: Sequence[Citation], turn: int) -> str:
    """The passage's text, cut where a quote starts or ends, so that quotes may overlap."""
    text = passage.text
    first, last = trimmed(text)
    spans = [(c, *_inside(c, passage)) for c in citations]
    cuts = sorted({first, last, *(edge for _, start, end in spans for edge in (start, end))})
    parts = []
    for left, right in pairwise(cuts):
        numbers = "".join(_number_html(c.number, turn) for c, start, _ in spans if start == left)
        covering = [f"pq-c-{turn}-{c.number}" for c, start, end in spans if start <= left and right <= end]
        piece = prose_html(text[left:right])
        parts.append(f'{numbers}<mark class="{" ".join(covering)}">{piece}</mark>' if covering else piece)
    return "".join(parts)


def _inside(citation: Citation, passage: Passage) -> Span:
    """The quote's span in the passage's text, were it to reach beyond."""
    first, last = trimmed(passage.text)
    start, end = (min(max(edge - passage.start, first), last) for edge in (citation.start, citation.end))
    return start, end


def _number_html(number: int, turn: int) -> str:
    back = f'id="pq-q-{turn}-{number}" href="#pq-a-{turn}-{number}"'
    return f'<a class="pq-number" {back} title="Back to the answer">{number}</a>'
