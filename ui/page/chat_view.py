"""The chat view: its components and events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import gradio as gr

from rag.schema import Filters
from ui import wording
from ui.html import answer as answer_page
from ui.page.chat import ChatController, ChatSession, Shown, examples_of
from ui.page.events import PRIVATE, text_of


def concurrency(controller: ChatController) -> dict[str, Any]:
    """How many questions are answered side by side, however they were asked; Gradio's default is one."""
    return {"concurrency_limit": controller.at_once, "concurrency_id": "answers"}


@dataclass(frozen=True, slots=True)
class ChatView:
    """The view in which questions are asked."""

    conversation: gr.State
    session: gr.State
    aimed: gr.State
    chat: gr.Chatbot
    stop: gr.Button
    why: gr.Textbox
    box: gr.Textbox
    only: _FilterGroup
    writer: gr.Dropdown

    @classmethod
    def built(cls, controller: ChatController) -> Self:
        """Where it is called."""
        conversation, session, aimed = gr.State(()), session_state(ChatSession), gr.State(())
        with gr.Column(elem_id="pq-talk", elem_classes="pq-view", min_width=0):
            chat = _chat(controller)
            stop = gr.Button("Stop", elem_id="pq-stop", size="sm", min_width=0)
            why = _why()
            box = _box()
            with gr.Row(elem_id="pq-choices"):
                only = _FilterGroup.built()
                writer = _writer(list(controller.writers))
        return cls(conversation, session, aimed, chat, stop, why, box, only, writer)

    def connect(
        self,
        controller: ChatController,
        bridge: gr.HTML,
        sources: gr.HTML,
        again: gr.Button,
        lengths: Sequence[gr.Slider],
    ) -> list[Any]:
        """Say what happens when its parts are used; returns the events that answer a question."""
        shown = [self.chat, sources, self.conversation]
        narrowed = [self.only.sources, self.only.after, self.only.before]
        talk, chosen = [self.conversation, self.session], [*narrowed, self.aimed, self.writer, *lengths]

        def example(event: gr.SelectData, *values: Any) -> Iterator[Shown]:
            text = event.value.get("text") if isinstance(event.value, dict) else event.value
            yield from controller.reply_to_click(str(text or ""), *values)

        def asked_for(event: gr.EventData, *values: Any) -> Iterator[Shown]:
            yield from controller.reply_to_click(text_of(event, "question"), *values)

        answering = {**PRIVATE, **concurrency(controller)}
        # A question sent while an answer still comes in is asked next; by default it would be dropped.
        asked = self.box.submit(
            controller.reply_to_box,
            [self.box, *talk, *chosen],
            [self.box, *shown],
            trigger_mode="always_last",
            **answering,
        )
        answers = [
            asked,
            self.chat.example_select(example, [*talk, *chosen], shown, **answering),
            bridge.ask(asked_for, [*talk, *chosen], shown, **answering),
            bridge.again(controller.ask_again, talk, shown, **answering),
            self.chat.option_select(controller.reply_without, talk, shown, **answering),
        ]
        bridge.edit(controller.take_back, talk, [self.box, *shown], **PRIVATE)
        self.stop.click(controller.stop, self.session, concurrency_limit=None, **PRIVATE)
        again.click(controller.start_anew, self.session, shown, cancels=answers, **PRIVATE)
        self.chat.like(controller.rate, talk, self.why, **PRIVATE)
        self.why.submit(controller.explain, [self.why, *talk], self.why, **PRIVATE)
        self.only.connect(controller, bridge, self.aimed, narrowed)
        return answers


@dataclass(frozen=True, slots=True)
class _FilterGroup:
    """The group of the page that says which articles are asked."""

    group: gr.Accordion
    sources: gr.Dropdown
    after: gr.Textbox
    before: gr.Textbox
    problems: gr.HTML
    aim: gr.HTML

    @classmethod
    def built(cls) -> Self:
        """Where it is called; closed."""
        day: dict[str, Any] = {"value": "", "placeholder": "YYYY-MM-DD", "max_lines": 1, "min_width": 120}
        with gr.Column(elem_id="pq-only", min_width=0):
            aim = gr.HTML(elem_id="pq-aim")
            with gr.Accordion(wording.only_line(Filters()), open=False, elem_id="pq-filters") as group:
                sources = gr.Dropdown([], value=[], multiselect=True, label="From", elem_id="pq-from")
                with gr.Row(elem_id="pq-dates"):
                    after = gr.Textbox(label="Published since", **day)
                    before = gr.Textbox(label="Published until", **day)
                problems = gr.HTML(elem_id="pq-problems")
        return cls(group, sources, after, before, problems, aim)

    def connect(self, controller: ChatController, bridge: gr.HTML, aimed: gr.State, narrowed: Sequence[Any]) -> None:
        """A filter counts once it is chosen, a date when it is written to its end."""
        ended = [event for box in (self.after, self.before) for event in (box.blur, box.submit)]
        gr.on([self.sources.change, *ended], controller.chosen, narrowed, [self.group, self.problems], **PRIVATE)

        def aim(event: gr.EventData) -> tuple[tuple[str, ...], str]:
            article = text_of(event, "article")
            return (article,) if article else (), answer_page.aim_html(text_of(event, "title")) if article else ""

        bridge.only(aim, None, [aimed, self.aim], **PRIVATE)


def session_state(make: Callable[[], object]) -> gr.State:
    """A state that is made for each session; a value would be copied, and each session would have the same ids.

    Given a callable in the usual way, Gradio would replace the state once more when the page has loaded, by when a
    conversation may have been reopened in it.
    """
    state = gr.State()
    state.value = partial(make)  # a class of data would be taken for a value
    return state


def _chat(controller: ChatController) -> gr.Chatbot:
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
        placeholder=controller.empty(),
        examples=examples_of(controller.examples()),
    )


def _writer(names: Sequence[str]) -> gr.Dropdown:
    """Who is to write the answers, if there is a choice."""
    return gr.Dropdown(
        list(names),
        value=names[0],
        label="Answers",
        elem_id="pq-writer",
        visible=len(names) > 1,
        filterable=False,
        min_width=240,
        scale=0,
    )


def _why() -> gr.Textbox:
    return gr.Textbox(
        elem_id="pq-why",
        label="What was wrong with it?",
        placeholder="Optional: a wrong figure, the wrong passage, not what was asked …",
        submit_btn="Send",
        visible=False,
        max_lines=3,
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
