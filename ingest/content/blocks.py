"""What readers find in a source, a block at a time → one text, and which spans of it are quoted how."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rag.schema import Span

QUESTION_END = re.compile(r"[?？؟][\"'”’»›)\]」』]*$")
SENTENCE_END = re.compile(r"[.!?…:;。！？।؟][\"'”’»›)\]」』]*$")

BETWEEN = "\n\n"
"""What stands between two paragraphs of a text."""
ANNOUNCES = (":", "：")
"""How a paragraph ends that a list follows."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, item or row of a source.

    What is `marked` stays in the text but is never quoted; `marked_lines` are the numbers of such lines in a block that
    is otherwise quoted. `listed` is the number of the list, table, block quote or code that it belongs to, 0 for none:
    what a colon before it announces.
    """

    text: str
    marked: bool = False
    listed: int = 0
    marked_lines: tuple[int, ...] = ()

    def unquoted(self) -> Iterator[Span]:
        """The spans of its text that are not quoted."""
        if self.marked:
            yield 0, len(self.text)
            return
        start, marked = 0, set(self.marked_lines)
        for number, line in enumerate(self.text.split("\n")) if marked else ():
            if number in marked:
                yield start, start + len(line)
            start += len(line) + 1


@dataclass(frozen=True, slots=True)
class Joined:
    """Blocks as one text; `captions` and `lists` are spans of it, as in Article."""

    text: str
    captions: tuple[Span, ...] = ()
    lists: tuple[Span, ...] = ()

    def up_to(self, text: str) -> Joined:
        """The part of it that is this text, which it begins with."""
        captions, lists = (
            tuple((start, min(end, len(text))) for start, end in spans if start < len(text))
            for spans in (self.captions, self.lists)
        )
        return Joined(text, captions, lists)


def joined(blocks: Iterable[Block]) -> Joined:
    """Blocks as one text, with the spans in it of what is not quoted and of the lists that a colon announces."""
    texts, captions, lists = list[str](), list[Span](), list[Span]()
    offset, announced, current = 0, False, 0
    for block in blocks:
        captions += ((start + offset, end + offset) for start, end in block.unquoted())
        end = offset + len(block.text)
        if block.listed and block.listed == current:
            lists[-1] = lists[-1][0], end
        elif block.listed and announced:
            lists.append((offset, end))
            current = block.listed
        else:
            current = 0
        announced = block.text.endswith(ANNOUNCES) and not block.marked
        texts.append(block.text)
        offset = end + len(BETWEEN)
    return Joined(BETWEEN.join(texts), tuple(captions), tuple(lists))
