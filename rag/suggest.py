"""Suggested questions: about names in the articles, and answered by them. From English articles only."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from rag.chain import Chain
from rag.language.english import NO_SUBJECTS, SAYS
from rag.language.facts import lower_words, name_spans, words_of
from rag.schema import NO_FILTERS, Answer, Article, Filters
from rag.store.index import Index

MOST_SUGGESTED = 3
MOST_TRIED = 8
"""Candidates that are asked to see whether they are answered; each takes a few hundredths of a second."""
MOST_READ = 120
"""Articles of the index whose names are read."""
MOST_CITED = 3
LONGEST_READ = 50_000
"""Characters of an article whose names are read."""
LEAST_CONFIDENCE = 0.4
LONGEST_NAME = 50
_NOUN_ENDS = re.compile(
    rf"\W*$|[’']s\b|\s*[.,;:!?)”\"]|\s+(?:{SAYS}|is|are|was|were|be|has|have|had|will|would|can|could|may|must|and|or|but|to|on"
    r"|in|at|of|for|from|with|by|as|after|before|since|until|when|where|who|which|that|did|does|do|not)\b"
)
"""What follows a name used as a noun; before any other word it may be an adjective, such as "Israeli"."""
_SPEECH_FOLLOWS = re.compile(rf"\s+(?:{SAYS})\b")
_PREPOSITION_BEFORE = re.compile(r"\b(?:of|in|from|for|at|near)\s+$")
_SENTENCE_START = re.compile(r"(?:[.!?:“\"]['’”\"]?+\s*+|\n['’”\"]?+\s{0,20})$")
_JOINS = re.compile(r"\n|\b(?:of|and)\b|&")
"""What joins two names that were read as one, or a name that needs an article before it."""
_MIN_NOUN_SHARE, _MIN_SPEAKING_SHARE = 0.6, 0.2


@dataclass(slots=True)
class _NameCounts:
    """Occurrences of a name.

    nouns: those not before another word that it may qualify.
    inside: those inside a sentence; a word that only starts sentences may be no name.
    speaking: those before a verb of saying.
    """

    spellings: Counter[str] = field(default_factory=Counter)
    articles: set[str] = field(default_factory=set)
    times: int = 0
    nouns: int = 0
    inside: int = 0
    speaking: int = 0

    @property
    def question(self) -> str:
        """The question about the name."""
        name = self.spellings.most_common(1)[0][0]
        speaks = self.speaking >= _MIN_SPEAKING_SHARE * self.times
        return f"What did {name} say?" if speaks else f"What is said about {name}?"

    @property
    def is_noun(self) -> bool:
        """Whether it is mostly a noun, not an adjective."""
        return self.nouns >= _MIN_NOUN_SHARE * self.times

    def add(self, other: _NameCounts) -> None:
        """Add the counts of another form of the name, but not its spellings."""
        self.articles |= other.articles
        self.times += other.times
        self.nouns += other.nouns
        self.inside += other.inside
        self.speaking += other.speaking


def follow_ups(
    chain: Chain, answer: Answer, asked: Sequence[str] = (), filters: Filters = NO_FILTERS
) -> tuple[str, ...]:
    """Questions about names that the answer's articles mention but the conversation (`asked`) does not.

    The chain answers each of them, within `filters`, with a quote that the answer does not have.
    """
    if not answer.grounded:
        return ()
    ids = list(dict.fromkeys(citation.passage.article_id for citation in answer.citations))[:MOST_CITED]
    mentioned = frozenset(words_of(" ".join([*asked, answer.question, answer.text])))
    counts = _names(_read(chain.index, ids))
    names = sorted((name for name in counts if not mentioned & set(name)), key=lambda name: (-counts[name].times, name))
    quoted = {citation.quote for citation in answer.citations}
    ask = partial(chain.without_llm().ask, filters=filters)
    return _answered(ask, [(name, counts[name].question) for name in names], quoted)


def openers(chain: Chain, most: int = MOST_SUGGESTED) -> tuple[str, ...]:
    """Questions about the most frequent names in the index, each answered from a different article."""
    ids = sorted(entry.id for entry in chain.index.articles())
    counts = _names(_read(chain.index, ids[:: max(1, len(ids) // MOST_READ)][:MOST_READ]))
    names = sorted(counts, key=lambda name: (-len(counts[name].articles), -counts[name].times, name))
    candidates = [(name, counts[name].question) for name in names]
    return _answered(chain.without_llm().ask, candidates, set(), most, new_articles=True)


def _read(index: Index, article_ids: Iterable[str]) -> Iterator[Article]:
    for article_id in article_ids:
        article = index.article(article_id)
        if article and article.language.casefold()[:2] in {"", "en"}:
            yield article


def _names(articles: Iterable[Article]) -> dict[tuple[str, ...], _NameCounts]:
    """The names in articles that a question can be about, by their words."""
    counts: dict[tuple[str, ...], _NameCounts] = defaultdict(_NameCounts)
    for article in articles:
        text = article.text[:LONGEST_READ]
        for start, end in name_spans(text, lower_words(text)):
            name = text[start:end]
            key = tuple(words_of(name))
            if _can_be_asked(name, key):
                before, rest = text[max(0, start - 8) : start], text[end : end + 40]
                count = counts[key]
                count.spellings[" ".join(name.split())] += 1
                count.articles.add(article.id)
                count.times += 1
                count.inside += start > 0 and _SENTENCE_START.search(before) is None
                count.nouns += _NOUN_ENDS.match(rest) is not None
                count.speaking += _SPEECH_FOLLOWS.match(rest) is not None and not _PREPOSITION_BEFORE.search(before)
    _merge_forms(counts)
    return {name: count for name, count in counts.items() if count.inside and (len(name) > 1 or count.is_noun)}


def _merge_forms(counts: dict[tuple[str, ...], _NameCounts]) -> None:
    """Count "Using Orla Fennimore" as "Orla Fennimore" if this is as frequent, then "Fennimore" as the full name.

    Of several full names with the same last word, the most frequent one counts.
    """
    for name in sorted((name for name in counts if len(name) > 2), key=len, reverse=True):
        if name[1:] in counts and counts[name[1:]].times >= counts[name].times:
            counts[name[1:]].add(counts.pop(name))
    full_names = {name[-1]: name for name in sorted(counts, key=lambda name: counts[name].times) if len(name) > 1}
    for name in [name for name in counts if len(name) == 1 and name[0] in full_names]:
        counts[full_names[name[0]]].add(counts.pop(name))


def _can_be_asked(name: str, words: Sequence[str]) -> bool:
    return (
        3 <= len(name) <= LONGEST_NAME
        and not _JOINS.search(name)
        and not NO_SUBJECTS & set(words)
        and not (name.isupper() and len(words) > 1)
    )


def _answered(
    ask: Callable[[str], Answer],
    candidates: Iterable[tuple[tuple[str, ...], str]],
    quoted: set[str],
    most: int = MOST_SUGGESTED,
    *,
    new_articles: bool = False,
) -> tuple[str, ...]:
    """The questions that are answered with a new quote about the name; with `new_articles`, each from new articles."""
    found, known = list[str](), set[str]()
    for name, question in islice(candidates, MOST_TRIED):
        if len(found) == most:
            break
        answer = ask(question)
        new = [c for c in answer.citations if c.quote not in quoted and name[-1] in words_of(c.quote)]
        if new_articles:
            new = [citation for citation in new if citation.passage.article_id not in known]
        if answer.grounded and answer.confidence >= LEAST_CONFIDENCE and new and not _is_part(name, found):
            found.append(question)
            quoted |= {citation.quote for citation in new}
            known |= {citation.passage.article_id for citation in answer.citations}
    return tuple(found)


def _is_part(name: Sequence[str], questions: Iterable[str]) -> bool:
    """Whether a question has a word of the name: "Fennimore" of "Judge Orla Fennimore"."""
    return bool(set(name) & set(words_of(" ".join(questions))))
