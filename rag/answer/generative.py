"""Hits → an answer in a language model's words, each sentence of which is held to the passages it cites."""

from __future__ import annotations

from collections import abc
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby

from rag.answer.extractive import ExtractiveGenerator
from rag.answer.reply_parser import ParsedSentence, ReplyParser, labels_for
from rag.answer.support import Checker, Ground
from rag.errors import ModelError, Stopped
from rag.language.facts import words_of
from rag.language.question import answering, asked
from rag.models import prompts
from rag.models.llm import LanguageModel, count_tokens
from rag.models.llm_errors import endless_reply
from rag.models.prompts import Prompt
from rag.schema import Draft, Hit, Passage, Statement

ANSWER_TOKENS = 800
"""What is kept free for the answer."""
TOKENS_MORE = 1.25
"""Models have tokenizers of their own; most need some more tokens than the one that is counted with."""
MOST_REPEATED = 3
LONGEST_WORD, LONGEST_MEANT = 40, 1_000
"""Characters of a word and of a sentence; what is longer is no sentence for a reader."""
MOST_UNKNOWN = 6
"""Words in a row that stand neither in the passages nor in the question: more are another language, or a code."""
REPLACED = "These are the articles’ own sentences instead."
UNSUPPORTED_ALL = f"Nothing that {{}} wrote is borne out by the articles. {REPLACED}"
CUT_SHORT = "This is as far as it came."
STOPPED = "Stopped; this is as far as it came."
STOPPED_EARLY = "Stopped before the first sentence was complete; ask again."
MOST_STATEMENTS = 40
"""Sentences of one reply that are checked; a model that writes more does not end."""
NOT_FOUND = "{} finds no answer in the passages; those listed are the nearest ones."
NOT_ALL = "{} adds that the passages do not answer all of it."
LEFT_OUT = "Left out: {} of it that had nothing to do with the articles."


@dataclass(frozen=True, slots=True)
class LanguageModelGenerator:
    """Has a language model write the answer; where that fails, `plain` answers in the articles' own sentences."""

    model: LanguageModel
    checker: Checker
    plain: ExtractiveGenerator
    sentences: int

    def generate(self, question: str, hits: Sequence[Hit]) -> abc.Generator[Draft, None, None]:
        """The answer as the model writes it: its sentences as they are checked, and what there is of the next one.

        Where Stopped is thrown into it, it tells what is finished by then, or raises that if it has no word.
        """
        passages = [hit.passage for hit in hits]
        marks = labels_for(len(passages), [question, *(passage.indexed_text for passage in passages)])
        request = self._fitting(question, list(zip(marks, passages, strict=True)))
        if not request:
            yield from self._instead(question, hits, f"No passage fits llm_context ({self.model.context}); raise it.")
            return
        draft = Draft(doing=f"{self.model.name} reads {len(request.marks)} passages …", written_by=self.model.name)
        yield draft
        transcript = Transcript(question, request, self.checker, self.checker.grounds(passages[: len(request.marks)]))
        broken: str = ""
        stopped: Stopped | None = None
        try:
            with closing(self.model.write(request.prompt)) as pieces:
                for piece in pieces:
                    transcript.add(piece)
                    if transcript.refused or transcript.repeats:
                        break
                    if transcript.length > MOST_STATEMENTS:
                        raise endless_reply(self.model.name)
                    draft = replace(draft, statements=tuple(transcript.statements), pending=transcript.pending)
                    yield draft
        except Stopped as stop:
            stopped = stop
        except ModelError as error:
            broken = str(error)
        if stopped or broken:
            transcript.cut()
        elif not transcript.repeats:
            transcript.end()
        yield from [self._stopped(transcript, stopped)] if stopped else self._ended(question, hits, transcript, broken)

    def _stopped(self, transcript: Transcript, stop: Stopped) -> Draft:
        draft = self._cut(transcript)
        if not (draft.statements or draft.pending):
            raise stop
        notes = [STOPPED if draft.statements else STOPPED_EARLY, transcript.note(self.model.name)]
        return replace(draft, notice=" ".join(filter(None, notes)))

    def _cut(self, transcript: Transcript) -> Draft:
        """What was finished, and of the next sentence what there is, which is not checked."""
        pending = f"{transcript.pending} …" if transcript.pending else ""
        return Draft(tuple(transcript.statements), pending=pending, written_by=self.model.name)

    def _ended(self, question: str, hits: Sequence[Hit], transcript: Transcript, broken: str) -> Iterator[Draft]:
        """What the model's answer comes to, now that it is at its end, or broken off."""
        name, statements = self.model.name, tuple(transcript.statements)
        if transcript.refused and not broken:
            yield Draft(unanswered=True, notice=NOT_FOUND.format(name), written_by=name)
        elif any(statement.quotes for statement in statements):
            notes = [f"{as_sentence(broken)} {CUT_SHORT}" if broken else "", transcript.note(name)]
            draft = self._cut(transcript) if broken else Draft(statements, written_by=name)
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
        """The articles' own sentences, after what was written so far."""
        for draft in self.plain.generate(question, hits):
            name = self.model.name if so_far else ""
            yield replace(draft, statements=(*so_far, *draft.statements), notice=notice, written_by=name)

    def _fitting(self, question: str, marked: Sequence[tuple[str, Passage]]) -> Request | None:
        """The prompt with as many passages, from the first on, as leave room for an answer."""
        room = self.model.context - ANSWER_TOKENS
        for number in range(len(marked), 0, -1):
            made = prompts.answer(question, marked[:number], self.sentences)
            if count_tokens(made.system + made.user) * TOKENS_MORE <= room:
                return Request(made, [mark for mark, _ in marked[:number]])
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked, and the marks of the passages in it."""

    prompt: Prompt
    marks: Sequence[str]


@dataclass(slots=True)
class Transcript:
    """What a model has written so far, checked sentence by sentence.

    `refused` is True once its first sentence says that the passages hold no answer, `repeats` once it goes round in
    circles, as small models do. What repeats the prompt, or is in no language of the articles, is left out.
    """

    question: str
    request: Request
    checker: Checker
    grounds: Sequence[Ground]
    statements: list[Statement] = field(default_factory=list)
    refused: bool = False
    _reading: ReplyParser = field(init=False)
    _known: Collection[str] = field(init=False)
    _again: int = 0
    _left_out: int = 0
    _not_all: bool = False

    def __post_init__(self) -> None:
        self._reading = ReplyParser(self.request.marks)
        self._known = frozenset(words_of(" ".join([self.question, *(g.passage.indexed_text for g in self.grounds)])))

    def add(self, piece: str) -> None:
        """Another piece of what it writes."""
        if piece:
            self._take(self._reading.add(piece))

    def end(self) -> None:
        """There is no more."""
        self._take(self._reading.end())

    def cut(self) -> None:
        """There is no more, and what is unfinished stays `pending`."""
        self._take(self._reading.cut())

    @property
    def length(self) -> int:
        """How many sentences were read."""
        return len(self.statements) + self._left_out + self._again

    @property
    def repeats(self) -> bool:
        return self._again >= MOST_REPEATED

    @property
    def pending(self) -> str:
        """What is there of the next sentence, unless it may become one that is not shown."""
        text = self._reading.pending
        refusing = prompts.NOT_ANSWERED.lower().startswith(text.lower())
        return "" if refusing or not self._is_meant(text) else text

    def note(self, name: str) -> str:
        """What a reader is to know of it besides."""
        counted = f"{self._left_out} sentence{'' if self._left_out == 1 else 's'}"
        notes = [NOT_ALL.format(name) if self._not_all else "", LEFT_OUT.format(counted) if self._left_out else ""]
        return " ".join(filter(None, notes))

    def _take(self, sentences: Sequence[ParsedSentence]) -> None:
        for written in sentences:
            if self.length > MOST_STATEMENTS:
                return
            if prompts.is_refusal(written.text):
                self.refused = self.refused or not self.statements
                self._not_all = True
            elif not self._is_meant(written.text):
                self._left_out += 1
            elif any(statement.text == written.text for statement in self.statements):
                self._again += 1
            else:
                self.statements.append(self._checked(written))

    def _checked(self, written: ParsedSentence) -> Statement:
        cited = {
            ground.passage.id
            for mark, ground in zip(self.request.marks, self.grounds, strict=True)
            if mark in written.marks
        }
        found = self.checker.check(written.text, self.grounds, cited)
        emphasis = answering(written.text, asked(self.question), self.question) if found.quotes else ()
        return Statement(written.text, found.quotes, emphasis, found.support)

    def _is_meant(self, text: str) -> bool:
        """Is it for the reader, and no part of the prompt, no code, and no gibberish?"""
        if len(text) > LONGEST_MEANT or any(len(word) > LONGEST_WORD for word in text.split()):
            return False
        if self.request.prompt.is_repeated_in(text):
            return False
        runs = groupby(words_of(text), key=self._known.__contains__)
        return all(known or len(list(run)) <= MOST_UNKNOWN for known, run in runs)


def as_sentence(error: str) -> str:
    """An error as a sentence of a notice."""
    return f"{error[:1].upper()}{error[1:].rstrip('.')}."
