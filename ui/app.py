"""The chat page in Gradio. No retrieval logic and no escaping: what is shown comes from `ui.render`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.events import api

from eval.feedback import add_feedback, feedback_file
from rag.chain import Chain
from rag.errors import PullquoteError
from rag.schema import Turn
from ui import render
from ui.render import Exchange

CONCURRENT_ANSWERS = 4
"""Questions answered at once. More would only share the same cores; the rest wait their turn."""

Conversation = tuple[Exchange, ...]
Shown = tuple[list[dict[str, str]], str, Conversation]
"""What an event changes: the chat's messages, the panel, the conversation."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the page's events do, over one chain."""

    chain: Chain

    def reply(self, question: str, conversation: Conversation) -> Iterator[Shown]:
        """The page as the answer grows; an error the chain raises on purpose becomes a line of the conversation."""
        if not question.strip():
            return
        exchange = Exchange(question)
        yield show((*conversation, exchange))
        try:
            for answer in self.chain.stream(question):
                exchange = replace(exchange, answer=answer)
                yield show((*conversation, exchange))
        except PullquoteError as error:
            yield show((*conversation, Exchange(question, error=str(error))))

    def reply_to_box(self, question: str, conversation: Conversation) -> Iterator[tuple[Any, ...]]:
        """As `reply`; the box is emptied once, not again when the next question may be half written."""
        for step, shown in enumerate(self.reply(question, conversation)):
            yield (gr.skip() if step else "", *shown)

    def reply_to_example(self, conversation: Conversation, event: gr.SelectData) -> Iterator[Shown]:
        """As `reply`, for an example question that was clicked."""
        yield from self.reply(event.value["text"], conversation)

    def rate(self, conversation: Conversation, event: gr.LikeData) -> None:
        """Write down that a reader liked or disliked an answer; a rating taken back is no rating."""
        turn = int(event.index if isinstance(event.index, int) else event.index[0]) // 2
        answer = conversation[turn].answer if turn < len(conversation) else None
        if answer is None or not isinstance(event.liked, bool):
            return
        history = [Turn(e.question, e.answer.text) for e in conversation[:turn] if e.answer]
        try:
            add_feedback(feedback_file(self.chain.index.folder), answer, history, liked=event.liked)
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def ask(self, question: str) -> dict[str, Any]:
        """The answer to a question, with its citations, as `pullquote ask --json` prints it."""
        try:
            return render.answer_json(self.chain.ask(question))
        except PullquoteError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def empty(self) -> str:
        """What the chat shows before the first question, or why there is nothing to ask."""
        try:
            return render.empty_html(*self.chain.index.counts())
        except PullquoteError as error:
            return render.error_html(str(error))


def show(conversation: Conversation) -> Shown:
    """The page's parts for a conversation."""
    return render.messages(conversation), render.sources_html(conversation), conversation


def build_app(chain: Chain, examples: Sequence[str] = ()) -> gr.Blocks:
    """The chat page over a chain, with example questions to click; `ui.server` puts it on an address."""
    desk = Desk(chain)
    page = gr.Blocks(title="Pullquote", analytics_enabled=False, fill_width=True, fill_height=True)
    with page:
        conversation = gr.State(())
        with gr.Row(elem_id="pq-head"):
            gr.HTML(render.masthead_html(), elem_id="pq-masthead")
            again = gr.Button("New conversation", elem_id="pq-again", scale=0, min_width=0)
        with gr.Row(elem_id="pq-desk"):
            with gr.Column(elem_id="pq-talk", scale=5, min_width=0):
                chat = _chat(desk.empty(), examples)
                box = _box()
            with gr.Column(elem_id="pq-panel", scale=4, min_width=0):
                panel = gr.HTML(render.sources_html(()), elem_id="pq-sources")
        shown = [chat, panel, conversation]
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        limit: dict[str, Any] = {"concurrency_limit": CONCURRENT_ANSWERS, "concurrency_id": "answers"}
        # A question sent while an answer still comes in is asked next; by default it would be dropped.
        asked = box.submit(
            desk.reply_to_box, [box, conversation], [box, *shown], trigger_mode="always_last", **own, **limit
        )
        clicked = chat.example_select(desk.reply_to_example, [conversation], shown, **own, **limit)
        again.click(lambda: show(()), outputs=shown, cancels=[asked, clicked], **own)
        chat.like(desk.rate, conversation, **own)
        page.load(lambda: gr.update(placeholder=desk.empty()), outputs=chat, api_visibility="private")
        api(desk.ask, api_name="ask", **limit)
    return page


def _chat(placeholder: str, examples: Sequence[str]) -> gr.Chatbot:
    return gr.Chatbot(
        elem_id="pq-chat",
        show_label=False,
        container=False,
        layout="panel",
        height=None,
        scale=1,
        buttons=[],
        feedback_options=("Like", "Dislike"),
        latex_delimiters=[],
        placeholder=placeholder,
        examples=[{"text": example} for example in examples],
    )


def _box() -> gr.Textbox:
    return gr.Textbox(
        elem_id="pq-box",
        label="Your question",
        show_label=False,
        container=False,
        placeholder="Ask a question …",
        submit_btn="Ask",
        autofocus=True,
        lines=1,
        max_lines=4,
    )
