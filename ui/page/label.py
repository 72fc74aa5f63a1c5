"""The labelling page: one draft pair at a time beside its article; `eval.pairs.labelling` saves the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from eval.pairs.labelling import Draft, Labels, check
from eval.pairs.reading import ArticleNames, asking_day, find_quote
from eval.pairs.schema import QAPair
from rag.chain import Chain
from rag.errors import PullquoteError
from ui.html import article as article_page
from ui.html import elements

Shown = tuple[Any, ...]
"""New values of the components in `build_label_app`'s `shown`, in that order."""
QUOTE = """(evidence) => {
  const selected = getSelection().toString().replace(/\\s+/g, " ").trim();
  return [evidence.trim(), selected].filter(Boolean).join("\\n");
}"""
"""Adds the text selected on the page to the evidence."""


@dataclass(frozen=True, slots=True)
class Form:
    """A draft as the values of the form's fields; answers and quotes are one a line."""

    question: str
    answerable: bool
    answers: str
    articles: Sequence[str]
    evidence: str

    @classmethod
    def of(cls, pair: QAPair) -> Form:
        """The form of a pair."""
        answers, evidence = (_as_lines(texts) for texts in (pair.answers, pair.evidence))
        return cls(pair.question, pair.answerable, answers, pair.articles, evidence)

    def applied_to(self, pair: QAPair) -> QAPair:
        """The pair with the values of the form."""
        return replace(
            pair,
            question=self.question.strip(),
            answerable=self.answerable,
            answers=_lines(self.answers) if self.answerable else (),
            articles=tuple(dict.fromkeys(self.articles)),
            evidence=_lines(self.evidence),
        )


@dataclass(frozen=True, slots=True)
class LabelController:
    """The event handlers. `position` is the index of the draft shown; after the last one there is none.

    `names` are the names by which articles may be given in the form.
    """

    drafts: Sequence[Draft]
    labels: Labels
    chain: Chain
    names: ArticleNames = field(default_factory=lambda: ArticleNames({}))

    def accept(self, position: int, *fields: Any) -> Shown:
        """Save the pair of the form and show the next one; or show the problems to fix first."""
        return self._decide(position, Form(*fields), accept=True)

    def reject(self, position: int, *fields: Any) -> Shown:
        """Save the pair as rejected and show the next one."""
        return self._decide(position, Form(*fields), accept=False)

    def open(self, position: int = 0) -> Shown:
        """Show the first undecided draft from this position on, and then from the start."""
        order = [*range(position, len(self.drafts)), *range(position)]
        undecided = (p for p in order if self.drafts[p].pair.id not in self.labels.decided)
        position = next(undecided, len(self.drafts))
        return self._show(position) if position < len(self.drafts) else self._done()

    def skip(self, position: int) -> Shown:
        """Show the next draft and leave this one for later."""
        return self.open(position + 1)

    def undo(self, position: int) -> Shown:
        """Undo the last decision and show its pair as it was decided on."""
        try:
            pair = self.labels.undo()
        except PullquoteError as error:
            return self._show(position, None, (str(error),)) if position < len(self.drafts) else self._done()
        if pair is None:
            return self.open(position)
        [position] = [p for p, draft in enumerate(self.drafts) if draft.pair.id == pair.id]
        return self._show(position, Form.of(pair))

    def read(self, articles: Sequence[str], evidence: str) -> str:
        """The HTML of the named articles, with the evidence marked."""
        try:
            read = [self.chain.index.article(article_id) for article_id in self.names.to_ids(articles)]
        except PullquoteError as error:
            return elements.error_html(str(error))
        return "".join(
            article_page.article_html(
                article, [span for q in _lines(evidence) if (span := find_quote(article.text, q))]
            )
            for article in read
            if article
        ) or elements.hint_html("Name an article to read it here.")

    def _decide(self, position: int, form: Form, *, accept: bool) -> Shown:
        draft = self.drafts[position]
        if draft.pair.id in self.labels.decided:  # in another window, meanwhile
            return self.open(position)
        try:
            pair = form.applied_to(draft.pair)
            checked = check(replace(pair, articles=self.names.to_ids(pair.articles)), self.chain.index)
            if accept and checked.problems:
                return self._show(position, form, checked.problems)
            self.labels.add(checked.pair, accept=accept)
        except PullquoteError as error:
            return self._show(position, form, (str(error),))
        return self.open(position + 1)

    def _show(self, position: int, form: Form | None = None, problems: Sequence[str] = ()) -> Shown:
        draft = self.drafts[position]
        form = form or Form.of(draft.pair)
        return (
            position,
            gr.update(visible=True),
            self._status(position),
            article_page.draft_html(draft.said, draft.verdict, draft.pair.history),
            form.question,
            form.answerable,
            gr.update(value=form.answers, interactive=form.answerable),
            gr.update(value=list(form.articles), choices=self._choices(draft.pair, form)),
            form.evidence,
            elements.problems_html(problems),
            self.read(form.articles, form.evidence),
        )

    def _done(self) -> Shown:
        hint = elements.hint_html(f"Every pair is decided on. The accepted ones are in {self.labels.accepted}.")
        fields = ("", True, "", gr.update(value=[], choices=[]), "")
        return (len(self.drafts), gr.update(visible=False), self._status(None), "", *fields, "", hint)

    def _status(self, position: int | None) -> str:
        where = f"{position + 1:,} of {len(self.drafts):,}" if position is not None else "Done"
        accepted, rejected = (self.labels.counts[path] for path in (self.labels.accepted, self.labels.rejected))
        return elements.status_html(where, f"{accepted:,} accepted, {rejected:,} rejected")

    def _choices(self, pair: QAPair, form: Form) -> list[tuple[str, str]]:
        """The named articles and those that a chat would retrieve for the question, by title."""
        question = form.question.strip() or pair.question
        try:
            near = [hit.passage.article_id for hit in self.chain.retrieve(question, **asking_day(pair))]
            ids = list(dict.fromkeys((*form.articles, *near)))
            known = self.chain.index.entries(ids)
        except PullquoteError:  # the panel reports it
            return [(article_id, article_id) for article_id in form.articles]
        return [(known[i].title or i if i in known else i, i) for i in ids]


def build_label_app(controller: LabelController) -> gr.Blocks:
    """The page to label drafts on; `ui.server` serves it."""
    page = gr.Blocks(title="Pullquote: label pairs", analytics_enabled=False, fill_width=True, fill_height=True)
    with page:
        position = gr.State(0)
        with gr.Row(elem_id="pq-head"):
            gr.HTML(elements.masthead_html("Label pairs"), elem_id="pq-masthead")
            status = gr.HTML(elem_id="pq-status")
        with gr.Row(elem_id="pq-body"):
            with gr.Column(elem_id="pq-form", scale=4, min_width=0):
                with gr.Column() as form:
                    note = gr.HTML()
                    question = gr.Textbox(label="Question", lines=2, max_lines=6)
                    answerable = gr.Checkbox(label="The articles hold the answer")
                    answers = gr.Textbox(label="Right answers, one a line", lines=1, max_lines=8)
                    articles = gr.Dropdown(label="Articles that hold it", multiselect=True, allow_custom_value=True)
                    evidence = gr.Textbox(label="Evidence: their sentences, one a line", lines=3, max_lines=12)
                    quote = gr.Button("Add the selected text to the evidence", size="sm")
                    problems = gr.HTML()
                    with gr.Row(elem_id="pq-decide"):
                        accept = gr.Button("Accept", variant="primary", min_width=80)
                        reject = gr.Button("Reject", min_width=80)
                        skip = gr.Button("Later", min_width=80)
                undo = gr.Button("Undo the last decision", size="sm")
            with gr.Column(elem_id="pq-panel", scale=5, min_width=0):
                panel = gr.HTML(elem_id="pq-sources")
        fields = [question, answerable, answers, articles, evidence]
        shown = [position, form, status, note, *fields, problems, panel]
        # One decision at a time: no two may write to the same file.
        private: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": 1,
            "concurrency_id": "label",
        }
        page.load(controller.open, outputs=shown, **private)
        accept.click(controller.accept, [position, *fields], shown, **private)
        reject.click(controller.reject, [position, *fields], shown, **private)
        skip.click(controller.skip, position, shown, **private)
        undo.click(controller.undo, position, shown, **private)
        answerable.input(lambda holds: gr.update(interactive=holds), answerable, answers, **private)
        articles.input(controller.read, [articles, evidence], panel, **private)
        evidence.blur(controller.read, [articles, evidence], panel, **private)
        quote.click(None, evidence, evidence, js=QUOTE).then(controller.read, [articles, evidence], panel, **private)
    return page


def _as_lines(texts: Sequence[str]) -> str:
    return "\n".join(" ".join(text.split()) for text in texts)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (" ".join(line.split()) for line in text.splitlines()))))
