"""Notices for a source that seems to hold several documents, or most of whose text is in no article."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from ingest.content.blocks import SENTENCE_END
from ingest.content.types import Read, Unpublished
from ingest.content.values import parse_date
from rag.schema import Article, Notice

SEVERAL_DATED = 3
"""From so many headlines with a date below them on, they are separate articles; fewer can be sections of one."""
HEADLINE_WORDS, STORY_WORDS = range(3, 26), 12
"""Words of a headline, and the fewest of a paragraph below it."""
LONGEST_DATE_LINE = 60
"""Characters of a line that holds only a date."""
PROSE_WORDS = 25
"""The fewest words of an article's paragraph; a teaser or a cookie notice has fewer."""
DROPPED_WORDS = 150
"""A notice is given if more than so many words of such paragraphs are missing."""
RUN = 6
"""Consecutive words by which a paragraph is recognized."""

_NOUN = r"(?:documents?|dokumente?n?|articles?|artikel|items?|records?|results?|stor(?:y|ies))"
_NUMBERED = re.compile(
    rf"^[^\w\n]{{0,200}}(?:{_NOUN} (\d{{1,6}}) (?:of|von|de|sur|van|di) \d{{1,6}}"
    rf"|(\d{{1,6}}) (?:of|von|de|sur|van|di) \d{{1,6}} {_NOUN})[^\w\n]{{0,80}}$",
    re.IGNORECASE | re.MULTILINE,
)
"""Nexis and ProQuest number the documents of an export: "2 of 3 DOCUMENTS"."""
_DOCUMENT_LINES = (
    # Factiva: the id of a document, and its word count
    re.compile(r"^[ \t]*Document (?=\w*\d{4})[A-Za-z]\w{11,40}[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*\d[\d,.]{0,8} (?:words|Wörter|mots|palabras|woorden|parole|palavras)[ \t]*$", re.MULTILINE),
    # Nexis
    re.compile(r"^[ \t]*End of Document[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*(?:LENGTH|Length): {0,3}\d{1,7} {0,3}[^\W\d]{2,20}[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*(?:LOAD-DATE|Load-Date): ", re.MULTILINE),
    # ProQuest, NewsBank, Europresse and library catalogues
    re.compile(
        r"^[ \t]*(?:ProQuest document ID|Record [Nn]umber|Accession [Nn]umber|Article ID|Doc ID): ", re.MULTILINE
    ),
    # Mails pasted one after the other
    re.compile(
        r"^(?:From|Von|De): .{1,200}\n(?:[A-Z][\w -]{1,20}: .{0,500}\n){0,5}(?:Subject|Betreff|Objet|Asunto): ",
        re.MULTILINE,
    ),
)
"""Lines that stand once in each document of an export."""
_TITLES = re.compile(r"^[ \t]*(?:title|headline|titel|titre|schlagzeile): *\S", re.IGNORECASE | re.MULTILINE)
_DATES = re.compile(r"^[ \t]*(?:date|published|publication date|datum|pubdate): *\S", re.IGNORECASE | re.MULTILINE)
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{2}|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{5}|\w[\w'’-]*")
"""A word; in scripts without spaces between words, a run of as many letters as a word has on average."""

WordRuns = frozenset[tuple[str, ...]]


def with_notices(name: str, items: Read, text: str = "") -> Read:
    """The items, then a notice if the text seems to hold more documents than articles were made of it.

    Without `text`, the texts of the articles are examined.
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
    articles = "one article was" if made == 1 else f"{made:,} articles were"
    return Notice(name, f"seems to hold {documents:,} documents, but {articles} made of it; save each as its own file")


def count_words(text: str) -> int:
    """The number of words of a text in any script."""
    return len(WORD.findall(text))


def count_documents(text: str) -> int:
    """The number of documents a text seems to hold, by the lines that databases and mail programs put in each."""
    numbers = {first or second for first, second in _NUMBERED.findall(text)}
    lines = (sum(1 for _ in pattern.finditer(text)) for pattern in _DOCUMENT_LINES)
    labelled = min(len(_TITLES.findall(text)), len(_DATES.findall(text)))
    dated = _dated_headlines(text)
    return max(len(numbers), *lines, labelled, dated if dated >= SEVERAL_DATED else 0)


def _dated_headlines(text: str) -> int:
    """The number of headlines with a date in the line below them and a paragraph below that."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return sum(
        len(line) <= LONGEST_DATE_LINE
        and bool(_YEAR.search(line))
        and _is_headline(before)
        and any(len(later.split()) >= STORY_WORDS for later in lines[i + 2 : i + 5])
        and parse_date(line) is not None
        for i, (before, line) in enumerate(pairwise(lines))
    )


def _is_headline(line: str) -> bool:
    return len(line.split()) in HEADLINE_WORDS and not SENTENCE_END.search(line)


def word_runs(text: str) -> WordRuns:
    """All runs of RUN words of a text; they identify its paragraphs however it is broken into lines."""
    words = WORD.findall(text)
    return frozenset(zip(*(words[start:] for start in range(RUN)), strict=False))


def missing_paragraphs(paragraphs: Iterable[str], runs: WordRuns) -> list[str]:
    """The paragraphs of prose that are not in the text with these word runs."""

    def is_missing(words: Sequence[str]) -> bool:
        middle = (len(words) - RUN) // 2
        return len(words) >= PROSE_WORDS and tuple(words[middle : middle + RUN]) not in runs

    return [text for text in paragraphs if SENTENCE_END.search(text) and is_missing(WORD.findall(text))]


def dropped_text_notice(name: str, kept: int, lost: int) -> Iterator[Notice]:
    """A notice if more words of a source are missing from its article (`lost`) than are in it (`kept`)."""
    if lost > max(kept, DROPPED_WORDS):
        share = round(100 * lost / (lost + kept))
        advice = "if it holds several articles, save each as its own file, else save its text as .txt"
        yield Notice(name, f"about {share} % of its text is not in its article; {advice}")
