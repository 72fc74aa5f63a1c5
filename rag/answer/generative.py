"""Answers written by a language model, each sentence checked against the passages it cites."""

from __future__ import annotations

from collections import abc
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby

from rag.answer.extractive import ExtractiveGenerator
from rag.answer.reply_parser import ParsedSentence, ReplyParser, labels_for
from rag.answer.support import Checker, Premise
from rag.errors import ModelError, Stopped
from rag.language.facts import words_of
from rag.language.question import answering, asked
from rag.models import prompts
from rag.models.llm import LanguageModel, count_tokens
from rag.models.llm_errors import endless_reply
from rag.models.prompts import Prompt
from rag.schema import Draft, Hit, Passage, Statement

ANSWER_TOKENS = 800
"""Tokens of the context that are reserved for the answer."""
TOKEN_MARGIN = 1.25
"""Factor on the counted tokens: most models' own tokenizers need more than the one that is counted with."""
MOST_REPETITIONS = 3
"""A reply that repeats this many sentences is stuck in a loop, as happens to small models, and is stopped."""
MOST_STATEMENTS = 40
"""A reply of more sentences does not come to an end."""
LONGEST_WORD, LONGEST_SENTENCE = 40, 1_000
"""Characters; anything longer is not prose."""
MOST_UNKNOWN_WORDS = 6
"""A longer run of words found neither in the passages nor in the question is another language, or code."""
REPLACED = "These are the articles’ own sentences instead."
UNSUPPORTED_ALL = f"Nothing that {{}} wrote is supported by the articles. {REPLACED}"
CUT_SHORT = "The answer is incomplete."
STOPPED = "Stopped; the answer is incomplete."
STOPPED_EARLY = "Stopped before the first sentence was complete; ask again."
NOT_FOUND = "{} finds no answer in the passages; those listed are the nearest ones."
NOT_ALL = "{} adds that the passages do not answer all of it."
LEFT_OUT = "Left out: {} unrelated to the articles."


@dataclass(frozen=True, slots=True)
class LanguageModelGenerator:
    """Has a language model write the answer; where that fails, `plain` answers in the articles' own sentences."""

    model: LanguageModel
    checker: Checker
    plain: ExtractiveGenerator
    sentences: int

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The answer while the model writes it: the checked sentences, and the beginning of the next one.

        If Stopped is thrown into the generator, it yields the finished sentences; without any, it raises Stopped.
        """
        passages = [hit.passage for hit in hits]
        labels = labels_for(len(passages), [question, *(passage.indexed_text for passage in passages)])
        prompt, number = self._prompt(question, list(zip(labels, passages, strict=True)))
        if not prompt:
            yield from self._instead(question, hits, f"No passage fits llm_context ({self.model.context}); raise it.")
            return
        draft = Draft(doing=f"{self.model.name} reads {number} passages …", written_by=self.model.name)
        yield draft
        premises = self.checker.premises(passages[:number])
        reply = CheckedReply(question, prompt, labels[:number], premises, self.checker)
        broken: str = ""
        stopped: Stopped | None = None
        try:
            with closing(self.model.write(prompt)) as pieces:
                for piece in pieces:
                    reply.add(piece)
                    if reply.refused or reply.repeats:
                        break
                    if reply.length > MOST_STATEMENTS:
                        raise endless_reply(self.model.name)
                    draft = replace(draft, statements=tuple(reply.statements), pending=reply.pending)
                    yield draft
        except Stopped as stop:
            stopped = stop
        except ModelError as error:
            broken = str(error)
        if stopped or broken:
            reply.cut()
        elif not reply.repeats:
            reply.end()
        yield from [self._stopped(reply, stopped)] if stopped else self._final(question, hits, reply, broken)

    def _prompt(self, question: str, labelled: Sequence[tuple[str, Passage]]) -> tuple[Prompt | None, int]:
        """The prompt with as many of the first passages as leave room for an answer, and their number."""
        room = self.model.context - ANSWER_TOKENS
        for number in range(len(labelled), 0, -1):
            prompt = prompts.answer(question, labelled[:number], self.sentences)
            if count_tokens(prompt.system + prompt.user) * TOKEN_MARGIN <= room:
                return prompt, number
        return None, 0

    def _stopped(self, reply: CheckedReply, stop: Stopped) -> Draft:
        draft = self._incomplete(reply)
        if not (draft.statements or draft.pending):
            raise stop
        notes = [STOPPED if draft.statements else STOPPED_EARLY, reply.note(self.model.name)]
        return replace(draft, notice=" ".join(filter(None, notes)))

    def _incomplete(self, reply: CheckedReply) -> Draft:
        """The finished sentences, and the unchecked beginning of the next one."""
        pending = f"{reply.pending} …" if reply.pending else ""
        return Draft(tuple(reply.statements), pending=pending, written_by=self.model.name)

    def _final(self, question: str, hits: Sequence[Hit], reply: CheckedReply, broken: str) -> Iterator[Draft]:
        """The answer once the reply has ended, or has `broken` off for this reason."""
        name, statements = self.model.name, tuple(reply.statements)
        if reply.refused and not broken:
            yield Draft(unanswered=True, notice=NOT_FOUND.format(name), written_by=name)
        elif any(statement.quotes for statement in statements):
            notes = [f"{as_sentence(broken)} {CUT_SHORT}" if broken else "", reply.note(name)]
            draft = self._incomplete(reply) if broken else Draft(statements, written_by=name)
            yield replace(draft, notice=" ".join(filter(None, notes)))
        elif broken:
            yield from self._instead(question, hits, f"{as_sentence(broken)} {REPLACED}", statements)
        elif statements:
            yield from self._instead(question, hits, UNSUPPORTED_ALL.format(name))
        else:
            yield from self._instead(question, hits, f"{name} wrote no answer; ask again. {REPLACED}")

    def _instead(
        self, question: str, hits: Sequence[Hit], notice: str, so_far: tuple[Statement, ...] = ()
    ) -> Iterator[Draft]:
        """The articles' own sentences, after those written so far."""
        for draft in self.plain.generate(question, hits):
            name = self.model.name if so_far else ""
            yield replace(draft, statements=(*so_far, *draft.statements), notice=notice, written_by=name)


@dataclass(slots=True)
class CheckedReply:
    """A model's reply so far, checked sentence by sentence; `labels` are those of the premises in the prompt.

    `refused` is True once its first sentence says that the passages hold no answer. Repetitions, sentences copied from
    the prompt, and those in no language of the articles are left out.
    """

    question: str
    prompt: Prompt
    labels: Sequence[str]
    premises: Sequence[Premise]
    checker: Checker
    statements: list[Statement] = field(default_factory=list)
    refused: bool = False
    _parser: ReplyParser = field(init=False)
    _known: Collection[str] = field(init=False)
    _repetitions: int = 0
    _left_out: int = 0
    _not_all: bool = False

    def __post_init__(self) -> None:
        self._parser = ReplyParser(self.labels)
        self._known = frozenset(words_of(" ".join([self.question, *(p.passage.indexed_text for p in self.premises)])))

    def add(self, piece: str) -> None:
        """Read another piece of the reply."""
        if piece:
            self._check(self._parser.add(piece))

    def end(self) -> None:
        """Finish a complete reply."""
        self._check(self._parser.end())

    def cut(self) -> None:
        """Finish a reply that was cut off; an unfinished sentence stays `pending`."""
        self._check(self._parser.cut())

    @property
    def length(self) -> int:
        """The number of sentences read."""
        return len(self.statements) + self._left_out + self._repetitions

    @property
    def repeats(self) -> bool:
        """Whether the reply is stuck in a loop."""
        return self._repetitions >= MOST_REPETITIONS

    @property
    def pending(self) -> str:
        """The beginning of the next sentence, unless it may become one that is not shown."""
        text = self._parser.pending
        may_refuse = prompts.NOT_ANSWERED.lower().startswith(text.lower())
        return "" if may_refuse or not self._is_prose(text) else text

    def note(self, name: str) -> str:
        """What a reader should know of the reply of the model with this name; empty if nothing."""
        counted = f"{self._left_out} sentence{'' if self._left_out == 1 else 's'}"
        notes = [NOT_ALL.format(name) if self._not_all else "", LEFT_OUT.format(counted) if self._left_out else ""]
        return " ".join(filter(None, notes))

    def _check(self, sentences: Sequence[ParsedSentence]) -> None:
        for sentence in sentences:
            if self.length > MOST_STATEMENTS:
                return
            if prompts.is_refusal(sentence.text):
                self.refused = self.refused or not self.statements
                self._not_all = True
            elif not self._is_prose(sentence.text):
                self._left_out += 1
            elif any(statement.text == sentence.text for statement in self.statements):
                self._repetitions += 1
            else:
                self.statements.append(self._statement(sentence))

    def _statement(self, sentence: ParsedSentence) -> Statement:
        labelled = zip(self.labels, self.premises, strict=True)
        cited = {premise.passage.id for label, premise in labelled if label in sentence.labels}
        verdict = self.checker.check(sentence.text, self.premises, cited)
        emphasis = answering(sentence.text, asked(self.question), self.question) if verdict.quotes else ()
        return Statement(sentence.text, verdict.quotes, emphasis, verdict.support)

    def _is_prose(self, text: str) -> bool:
        """Whether a sentence is meant for the reader: not copied from the prompt, no code and no gibberish."""
        if len(text) > LONGEST_SENTENCE or any(len(word) > LONGEST_WORD for word in text.split()):
            return False
        if self.prompt.is_repeated_in(text):
            return False
        runs = groupby(words_of(text), key=self._known.__contains__)
        return all(known or len(list(run)) <= MOST_UNKNOWN_WORDS for known, run in runs)


def as_sentence(error: str) -> str:
    """An error message as a sentence of a notice."""
    return f"{error[:1].upper()}{error[1:].rstrip('.')}."
