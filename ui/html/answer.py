"""The conversation as HTML: questions, and answers whose markers lead to the quotes in the panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rag.schema import Answer, Citation, Filters
from ui.export.text import SIGN
from ui.html.elements import error_html, pieces_of
from ui.html.sources import sources_html
from ui.html.templating import render
from ui.schema import Exchange
from ui.wording import confidence_words, counted, described_filters, one_line

__all__ = ["aim_html", "answer_html", "chips", "empty_html", "messages", "question_html", "sources_html"]

LONGEST_TOOLTIP = 300


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an answer's text: a sentence with its marker, or the rest.

    `kind` is "unsupported", "unchecked" or empty; `indented` if a space precedes it that is not part of it, `spaced` if
    one separates it from its marker.
    """

    pieces: Sequence[tuple[str, bool]]
    citation: Citation | None = None
    kind: str = ""
    indented: bool = False
    spaced: bool = False

    @property
    def hint(self) -> str:
        """What the marker shows on hovering: the quote and the title of its article."""
        assert self.citation  # noqa: S101
        quote = " ".join(self.citation.quote.split())
        shortened = quote if len(quote) <= LONGEST_TOOLTIP else quote[:LONGEST_TOOLTIP] + "…"
        return f"“{shortened}” — {self.citation.passage.title}"


def messages(conversation: Sequence[Exchange]) -> list[dict[str, Any]]:
    """The conversation for the chat component: two messages a turn, the last one with its filter chips."""
    shown: list[dict[str, Any]] = []
    for turn, exchange in enumerate(conversation, start=1):
        last = turn == len(conversation)
        options = chips(exchange, turn) if last else []
        shown.append({"role": "user", "content": question_html(exchange.question)})
        actions = render("answer.html", "actions", exchange, turn, last) if exchange.done else ""
        reply = {"role": "assistant", "content": _reply_html(exchange, turn, bool(options)) + actions}
        shown.append(reply | ({"options": options} if options else {}))  # the chat leaves room for an empty list, too
    return shown


def _reply_html(exchange: Exchange, turn: int, with_chips: bool) -> str:
    if exchange.error:
        return error_html(exchange.error)
    answer = exchange.answer
    if not answer or answer.doing:
        return render("answer.html", "pending", answer.doing if answer else "")
    filters: list[Filters] = [exchange.filters, *([] if with_chips else [read.filters for read in answer.read])]
    described = ", ".join(filter(None, map(described_filters, filters)))
    return answer_html(answer, turn, done=exchange.done) + render("answer.html", "filtered", described)


def chips(exchange: Exchange, turn: int) -> list[dict[str, str]]:
    """A chip (label and value) for each filter that was read out of a finished question, to remove it.

    The chat shows a label as plain text. The value holds the turn, so that a late click on the chip of an older answer
    changes nothing in a newer one.
    """
    if not exchange.answer or not exchange.done:
        return []
    return [
        {"label": f"{one_line(described_filters(read.filters))} ×", "value": f"{turn} {read.words}"}
        for read in exchange.answer.read
    ]


def aim_html(title: str) -> str:
    """The chip for the one article that is asked; a click removes it."""
    return render("answer.html", "only_chip", f"Only “{one_line(title)}” ×")


def question_html(question: str) -> str:
    """A question as a heading of the conversation."""
    return render("answer.html", "question", question.strip())


def empty_html(articles: int, passages: int) -> str:
    """The chat before the first question."""
    return render("answer.html", "empty", articles, passages)


def answer_html(answer: Answer, turn: int, *, done: bool = True) -> str:
    """An answer with its markers as links to the quotes in the panel, and a line on how well it is supported.

    What a language model wrote after its last checked sentence, while it writes or when it was stopped, is shown as
    unchecked.
    """
    support = [*_support(answer)] if answer.grounded else []
    writing = bool(answer.written_by) and not done
    return render("answer.html", "answer", answer, turn, _segments(answer), support, writing)


def _segments(answer: Answer) -> Iterator[Segment]:
    citations = {str(citation.number): citation for citation in answer.citations}
    end = 0
    for sign in SIGN.finditer(answer.text):
        if not sign[1] or sign[1] in citations:
            sentence = answer.text[end : sign.start()]
            spaced = sentence.endswith(" ")
            sentence = sentence.removesuffix(" ")
            indented = sentence.startswith(" ")
            pieces = _emphasised(sentence[indented:], end + indented, answer)
            yield Segment(pieces, citations.get(sign[1] or ""), "" if sign[1] else "unsupported", indented, spaced)
            end = sign.end()
    if rest := answer.text[end:]:
        yield Segment(_emphasised(rest, end, answer), kind="unchecked" if answer.written_by else "")


def _emphasised(text: str, start: int, answer: Answer) -> list[tuple[str, bool]]:
    return pieces_of(text, [(first - start, last - start) for first, last in answer.emphasis])


def _support(answer: Answer) -> Iterator[str]:
    """How well an answer is supported, by what, and who wrote it, as far as each is known."""
    if answer.citations:
        articles = {citation.passage.article_id for citation in answer.citations}
        yield confidence_words(answer.confidence)
        yield f"{counted(len(answer.citations), 'quote')} from {counted(len(articles), 'article')}"
    if answer.written_by and answer.sentences:
        supported = sum(bool(sentence.citations) for sentence in answer.sentences) or "none"
        yield f"written by {answer.written_by}, {supported} of {counted(len(answer.sentences), 'sentence')} supported"
    elif answer.written_by:
        yield f"written by {answer.written_by}"
