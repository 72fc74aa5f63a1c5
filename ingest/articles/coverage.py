"""Did all of a source get into its articles? Signs that it holds several documents, or that most of it was dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from ingest.content.blocks import SENTENCE_END
from ingest.content.types import Read, Unpublished
from ingest.content.values import parse_date
from rag.schema import Article, Notice

SEVERAL_DATED = 3
"""So many headlines with a day below them are several articles; fewer can be parts of one."""
HEADLINE_WORDS = range(3, 26)
STORY_WORDS = 12
LONGEST_DAY = 60
"""Characters of a line that says nothing but a day."""
PROSE_WORDS = 25
"""Words of a paragraph that is a story's; a teaser or a notice on cookies has fewer."""
DROPPED_WORDS = 150
"""A notice is given when more than this many words of such paragraphs are missing."""
RUN = 6
"""Words by which a paragraph is found again."""

_NOUN = r"(?:documents?|dokumente?n?|articles?|artikel|items?|records?|results?|stor(?:y|ies))"
_NUMBERED = re.compile(
    rf"^[^\w\n]{{0,200}}(?:{_NOUN} (\d{{1,6}}) (?:of|von|de|sur|van|di) \d{{1,6}}"
    rf"|(\d{{1,6}}) (?:of|von|de|sur|van|di) \d{{1,6}} {_NOUN})[^\w\n]{{0,80}}$",
    re.IGNORECASE | re.MULTILINE,
)
"""Nexis and ProQuest number what they export: "2 of 3 DOCUMENTS"."""
_MARKS = (
    # Factiva's number of a document, and its count of words.
    re.compile(r"^[ \t]*Document (?=\w*\d{4})[A-Za-z]\w{11,40}[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*\d[\d,.]{0,8} (?:words|Wörter|mots|palabras|woorden|parole|palavras)[ \t]*$", re.MULTILINE),
    # Nexis
    re.compile(r"^[ \t]*End of Document[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*(?:LENGTH|Length): {0,3}\d{1,7} {0,3}[^\W\d]{2,20}[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*(?:LOAD-DATE|Load-Date): ", re.MULTILINE),
    # ProQuest, NewsBank, Europresse and catalogues
    re.compile(
        r"^[ \t]*(?:ProQuest document ID|Record [Nn]umber|Accession [Nn]umber|Article ID|Doc ID): ", re.MULTILINE
    ),
    # Mails that were pasted one after the other
    re.compile(
        r"^(?:From|Von|De): .{1,200}\n(?:[A-Z][\w -]{1,20}: .{0,500}\n){0,5}(?:Subject|Betreff|Objet|Asunto): ",
        re.MULTILINE,
    ),
)
_TITLES = re.compile(r"^[ \t]*(?:title|headline|titel|titre|schlagzeile): *\S", re.IGNORECASE | re.MULTILINE)
_DAYS = re.compile(r"^[ \t]*(?:date|published|publication date|datum|pubdate): *\S", re.IGNORECASE | re.MULTILINE)
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{2}|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{5}|\w[\w'’-]*")
"""Of a script that sets no spaces between words, as many letters as a word has."""


def with_notices(name: str, items: Read, text: str = "") -> Read:
    """What was read of a text, and a notice if it seems to hold more documents than articles were made of it.

    Without the text itself, those of its articles are looked at.
    """
    made, left_out, documents = 0, 0, count_documents(text)
    for item in items:
        if isinstance(item, Article):
            made += 1
            documents += 0 if text else max(1, count_documents(item.text))
        left_out += isinstance(item, Unpublished)
        yield item
    if documents > made + left_out and made:
        yield several_documents_notice(name, documents, made)


def several_documents_notice(name: str, documents: int, made: int = 1) -> Notice:
    """The notice for a source that seems to hold more documents than articles were made of it."""
    of_these = "one article was" if made == 1 else f"{made:,} articles were"
    return Notice(name, f"seems to hold {documents:,} documents, but {of_these} made of it; save each as its own file")


def count_words(text: str) -> int:
    """How many words a text has, in any script."""
    return len(WORD.findall(text))


def count_documents(text: str) -> int:
    """How many documents a text seems to hold, by the marks that databases and mail programs set between them."""
    numbers = {first or second for first, second in _NUMBERED.findall(text)}
    marks = (sum(1 for _ in pattern.finditer(text)) for pattern in _MARKS)
    labelled = min(len(_TITLES.findall(text)), len(_DAYS.findall(text)))
    dated = _dated(text)
    return max(len(numbers), *marks, labelled, dated if dated >= SEVERAL_DATED else 0)


def _dated(text: str) -> int:
    """Headlines with a day in the line below them, and a story below that."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return sum(
        len(line) <= LONGEST_DAY
        and bool(_YEAR.search(line))
        and _is_headline(before)
        and any(len(later.split()) >= STORY_WORDS for later in lines[i + 2 : i + 5])
        and parse_date(line) is not None
        for i, (before, line) in enumerate(pairwise(lines))
    )


def _is_headline(line: str) -> bool:
    return len(line.split()) in HEADLINE_WORDS and not SENTENCE_END.search(line)


WordRuns = frozenset[tuple[str, ...]]


def word_runs(text: str) -> WordRuns:
    """All runs of a few words in a text, by which its paragraphs are found again, however it is cut into lines."""
    words = WORD.findall(text)
    return frozenset(zip(*(words[start:] for start in range(RUN)), strict=False))


def missing_paragraphs(paragraphs: Iterable[str], runs: WordRuns) -> list[str]:
    """The paragraphs of prose that are not in a text, of which these are the runs of words."""
    return [text for text in paragraphs if SENTENCE_END.search(text) and _is_missing(WORD.findall(text), runs)]


def _is_missing(words: Sequence[str], runs: WordRuns) -> bool:
    middle = (len(words) - RUN) // 2
    return len(words) >= PROSE_WORDS and tuple(words[middle : middle + RUN]) not in runs


def dropped_text_notice(name: str, kept: int, lost: int) -> Iterator[Notice]:
    """A notice if more words of a source are missing from its article (`lost`) than are in it (`kept`)."""
    if lost > max(kept, DROPPED_WORDS):
        share = round(100 * lost / (lost + kept))
        what = "if it holds several articles, save each as its own file, else save its text as .txt"
        yield Notice(name, f"about {share} % of its text is not in its article; {what}")
