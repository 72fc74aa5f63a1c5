"""Questions that may be asked next, or first: about names that stand in the articles, and that the articles answer.

They are made for English articles; of those in another language none are suggested.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from rag.chain import Chain
from rag.errors import IndexChanging
from rag.language.english import NO_SUBJECTS
from rag.language.facts import lower_words, name_spans, words_of
from rag.schema import Answer, Article, Citation, Filters
from rag.store.index import Index

EVERYTHING = Filters()
MOST_SUGGESTED = 3
MOST_TRIED = 8
"""Questions that are asked to find out whether they are answered; each takes a few hundredths of a second."""
MOST_READ = 120
"""Articles of the index that are read for their names."""
MOST_CITED = 3
LONGEST_READ = 50_000
"""Characters of an article."""
LEAST_CONFIDENCE = 0.4
LONGEST_NAME = 50
_SAYS = "said|says|told|warned|announced|argued|added|explained|promised|insisted|claimed"
_AFTER = re.compile(
    rf"\W*$|[’']s\b|\s*[.,;:!?)”\"]|\s+(?:{_SAYS}|is|are|was|were|be|has|have|had|will|would|can|could|may|must|and|or|but|to|on"
    r"|in|at|of|for|from|with|by|as|after|before|since|until|when|where|who|which|that|did|does|do|not)\b"
)
"""What follows a name that stands by itself; another word is what a name such as "Israeli" goes with."""
_SPEAKS = re.compile(rf"\s+(?:{_SAYS})\b")
_BELONGS = re.compile(r"\b(?:of|in|from|for|at|near)\s+$")
_BEGINS = re.compile(r"(?:[.!?:“\"]['’”\"]?+\s*+|\n['’”\"]?+\s{0,20})$")
_JOINS = re.compile(r"\n|\b(?:of|and)\b|&")
"""What stands between two names that are found as one, or that need an article before them."""
_SHARE_ALONE, _SHARE_SPEAKING = 0.6, 0.2


@dataclass(slots=True)
class _Seen:
    """How a name stands in texts.

    A word that only ever begins sentences, and is never `inside` one, may be any; so may the first one of a name.
    """

    spellings: Counter[str] = field(default_factory=Counter)
    articles: set[str] = field(default_factory=set)
    times: int = 0
    alone: int = 0
    inside: int = 0
    speaking: int = 0

    @property
    def question(self) -> str:
        """What may be asked about it."""
        name = self.spellings.most_common(1)[0][0]
        speaks = self.speaking >= _SHARE_SPEAKING * self.times
        return f"What did {name} say?" if speaks else f"What is said about {name}?"

    @property
    def stands_alone(self) -> bool:
        """Is it more than what goes with a noun?"""
        return self.alone >= _SHARE_ALONE * self.times

    def take_in(self, other: _Seen) -> None:
        """Count what is said of it by a shorter name."""
        self.articles |= other.articles
        self.times += other.times
        self.alone += other.alone
        self.inside += other.inside
        self.speaking += other.speaking


def follow_ups(
    chain: Chain, answer: Answer, asked: Sequence[str] = (), filters: Filters = EVERYTHING
) -> tuple[str, ...]:
    """Questions out of the articles that an answer cites, about what was not spoken of yet.

    `asked` are the conversation's questions. Each is one that the chain answers out of the articles that `filters` let
    through, with something that was not quoted.
    """
    if not answer.grounded:
        return ()
    ids = list(dict.fromkeys(citation.passage.article_id for citation in answer.citations))[:MOST_CITED]
    spoken = frozenset(words_of(" ".join([*asked, answer.question, answer.text])))
    seen = _names(_read(chain.index, ids))
    names = sorted(
        (name for name in seen if not spoken & set(name)),
        key=lambda name: (-seen[name].times, name),
    )
    quoted = {citation.quote for citation in answer.citations}
    ask = partial(chain.without_llm().ask, filters=filters)
    return _answered(ask, [(name, seen[name].question) for name in names], quoted)


def openers(chain: Chain, most: int = MOST_SUGGESTED) -> tuple[str, ...]:
    """Questions about the most frequent subjects of the index, each answered out of another article."""
    ids = sorted(entry.id for entry in chain.index.articles())
    seen = _names(_read(chain.index, ids[:: max(1, len(ids) // MOST_READ)][:MOST_READ]))
    names = sorted(seen, key=lambda name: (-len(seen[name].articles), -seen[name].times, name))
    candidates = [(name, seen[name].question) for name in names]
    return _answered(chain.without_llm().ask, candidates, set(), most, of_others=True)


def _read(index: Index, article_ids: Iterable[str]) -> Iterator[Article]:
    for article_id in article_ids:
        try:
            article = index.article(article_id)
        except IndexChanging:  # questions about the others are suggested all the same
            continue
        if article and article.language.casefold()[:2] in {"", "en"}:
            yield article


def _names(articles: Iterable[Article]) -> dict[tuple[str, ...], _Seen]:
    """The names of articles that can be asked about, by their words."""
    seen: dict[tuple[str, ...], _Seen] = defaultdict(_Seen)
    for article in articles:
        text = article.text[:LONGEST_READ]
        for start, end in name_spans(text, lower_words(text)):
            name = text[start:end]
            key = tuple(words_of(name))
            if _can_be_asked(name, key):
                before, rest = text[max(0, start - 8) : start], text[end : end + 40]
                one = seen[key]
                one.spellings[" ".join(name.split())] += 1
                one.articles.add(article.id)
                one.times += 1
                one.inside += start > 0 and _BEGINS.search(before) is None
                one.alone += _AFTER.match(rest) is not None
                one.speaking += _SPEAKS.match(rest) is not None and not _BELONGS.search(before)
    _join(seen)
    return {name: one for name, one in seen.items() if one.inside and (len(name) > 1 or one.stands_alone)}


def _join(seen: dict[tuple[str, ...], _Seen]) -> None:
    """Count what is another name with a word before it, "Using Orla Fennimore", for that, if that is as frequent.

    Then count names of one word, such as "Fennimore", for the longer one that ends with it and is the most frequent.
    """
    for name in sorted((name for name in seen if len(name) > 2), key=len, reverse=True):
        if name[1:] in seen and seen[name[1:]].times >= seen[name].times:
            seen[name[1:]].take_in(seen.pop(name))
    longer: dict[str, tuple[str, ...]] = {}
    for name in sorted((name for name in seen if len(name) > 1), key=lambda name: seen[name].times):
        longer[name[-1]] = name
    for name in [name for name in seen if len(name) == 1 and name[0] in longer]:
        seen[longer[name[0]]].take_in(seen.pop(name))


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
    of_others: bool = False,
) -> tuple[str, ...]:
    """Those of the questions that are answered by a sentence about the name, which says something new."""
    found, known = list[str](), set[str]()
    for name, question in islice(candidates, MOST_TRIED):
        if len(found) == most:
            break
        answer = ask(question)
        new = [c for c in answer.citations if c.quote not in quoted and name[-1] in words_of(c.quote)]
        if of_others:
            new = [citation for citation in new if citation.passage.article_id not in known]
        if answer.grounded and answer.confidence >= LEAST_CONFIDENCE and new and not _is_part(name, found):
            found.append(question)
            quoted |= {citation.quote for citation in new}
            known |= _articles(answer.citations)
    return tuple(found)


def _articles(citations: Iterable[Citation]) -> set[str]:
    return {citation.passage.article_id for citation in citations}


def _is_part(name: Sequence[str], questions: Iterable[str]) -> bool:
    """Is a word of the name asked about already? "Fennimore" is, beside "Judge Orla Fennimore"."""
    return bool(set(name) & set(words_of(" ".join(questions))))
