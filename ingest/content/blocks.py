"""Blocks of a source joined into one text, with the spans that are not quoted and those of its lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rag.schema import Span

QUESTION_END = re.compile(r"[?？؟][\"'”’»›)\]」』]*$")
SENTENCE_END = re.compile(r"[.!?…:;。！？।؟][\"'”’»›)\]」』]*$")

PARAGRAPH_BREAK = "\n\n"
"""Separates the paragraphs of a text."""
LIST_INTRODUCERS = (":", "：")
"""Ends of a paragraph that introduces a list."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, item or row of a source.

    What is `unquotable` stays in the text but is never quoted; `unquotable_lines` are the numbers of such lines in a
    quotable block. `list_number` is the number of the list, table, block quote or code it belongs to, 0 for none; a
    colon before it introduces it.
    """

    text: str
    unquotable: bool = False
    list_number: int = 0
    unquotable_lines: tuple[int, ...] = ()

    def unquoted(self) -> Iterator[Span]:
        """The spans of its text that may not be quoted."""
        if self.unquotable:
            yield 0, len(self.text)
            return
        start = 0
        for number, line in enumerate(self.text.split("\n")) if self.unquotable_lines else ():
            if number in self.unquotable_lines:
                yield start, start + len(line)
            start += len(line) + 1


@dataclass(frozen=True, slots=True)
class JoinedText:
    """Blocks as one text; `captions` and `lists` are spans of it, as in Article."""

    text: str
    captions: tuple[Span, ...] = ()
    lists: tuple[Span, ...] = ()

    def up_to(self, text: str) -> JoinedText:
        """Cut to `text`, which is the beginning of this one."""
        captions, lists = (
            tuple((start, min(end, len(text))) for start, end in spans if start < len(text))
            for spans in (self.captions, self.lists)
        )
        return JoinedText(text, captions, lists)


def join_blocks(blocks: Iterable[Block]) -> JoinedText:
    """Join blocks; `captions` are the unquotable spans, `lists` the lists introduced by a colon."""
    texts, captions, lists = list[str](), list[Span](), list[Span]()
    offset, introduced, current = 0, False, 0
    for block in blocks:
        captions += ((start + offset, end + offset) for start, end in block.unquoted())
        end = offset + len(block.text)
        if block.list_number and block.list_number == current:
            lists[-1] = lists[-1][0], end
        elif block.list_number and introduced:
            lists.append((offset, end))
            current = block.list_number
        else:
            current = 0
        introduced = block.text.endswith(LIST_INTRODUCERS) and not block.unquotable
        texts.append(block.text)
        offset = end + len(PARAGRAPH_BREAK)
    return JoinedText(PARAGRAPH_BREAK.join(texts), tuple(captions), tuple(lists))
