"""Suggested questions: about names in the articles, and answered by them. From English articles only."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rag.chain import Chain
from rag.language.english import NO_SUBJECTS, SAYS
from rag.language.facts import lower_words, name_spans, words_of
from rag.models.embedding import Vectors
from rag.retrieval.confidence import features_of
from rag.retrieval.scoring import QuestionProfile, is_prose
from rag.schema import Answer, Hit, Passage
from rag.store.catalog.rows import StoredPassage
from rag.store.index import Index

MOST_SUGGESTED = 3
MOST_TRIED = 12
"""Candidates of which the confidence in an answer is measured."""
MOST_READ = 120
"""Articles of the index whose names are read."""
LONGEST_READ = 50_000
"""Characters of an article whose names are read."""
LEAST_CONFIDENCE = 0.35
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


def follow_ups(chain: Chain, answer: Answer, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Questions about names that the answer's hits mention but the conversation (`asked`) does not.

    They are answered from a sentence about the name in one of these hits, if not from a better one. That is judged by
    the confidence in an answer from these hits alone: nothing is searched.
    """
    passages = _english(chain.index, [hit.passage for hit in answer.hits]) if answer.grounded else []
    mentioned = frozenset(words_of(" ".join([*asked, answer.question, answer.text])))
    counts = _names((passage.article_id, passage.text) for passage in passages)
    names = sorted((name for name in counts if not mentioned & set(name)), key=lambda name: (-counts[name].times, name))
    words = [frozenset(words_of(p.slice(span))) for p in passages for span in p.sentences if is_prose(p.slice(span))]
    tried = [name for name in names if any(each.issuperset(name) for each in words)][:MOST_TRIED]
    confidences = _confidences(chain, [(name[-1], counts[name].question) for name in tried], passages)
    found = list[str]()
    for name, confidence in zip(tried, confidences, strict=True):
        if len(found) < MOST_SUGGESTED and confidence >= LEAST_CONFIDENCE and not _is_part(name, found):
            found.append(counts[name].question)
    return tuple(found)


def _english(index: Index, passages: Sequence[Passage]) -> list[Passage]:
    entries = index.entries([passage.article_id for passage in passages])
    return [p for p in passages if p.article_id in entries and _is_english(entries[p.article_id].language)]


def _is_english(language: str) -> bool:
    return language.casefold()[:2] in {"", "en"}


def _confidences(chain: Chain, questions: Sequence[tuple[str, str]], passages: Sequence[Passage]) -> list[float]:
    """The confidence in an answer to each question from those of these passages that have its word.

    `questions` are pairs of a word and a question.
    """
    if not questions:
        return []
    fulltext, stored = chain.index.fulltext, chain.index.passages([passage.key for passage in passages])
    words = [frozenset(words_of(each.passage.text)) for each in stored]
    confidences = []
    vectors = chain.retriever.embedder.embed_questions([question for _, question in questions])
    for (word, question), vector in zip(questions, vectors, strict=True):
        hits = [_hit(each, vector) for each, own in zip(stored, words, strict=True) if word in own]
        features = features_of(
            QuestionProfile.of(question, fulltext), sorted(hits, key=lambda hit: -hit.score), fulltext
        )
        confidences.append(chain.confidence.of(features))
    return confidences


def _hit(stored: StoredPassage, vector: Vectors) -> Hit:
    similarities = tuple(map(float, stored.sentence_vectors @ vector))
    return Hit(stored.passage, max(similarities, default=0.0), similarities, similarities)


def openers(chain: Chain, most: int = MOST_SUGGESTED) -> tuple[str, ...]:
    """Questions about the most frequent names in a sample of the index, each answered from a different article."""
    sample = [entry.id for entry in chain.index.listing.sample(MOST_READ) if _is_english(entry.language)]
    articles = filter(None, map(chain.index.article, sample))
    counts = _names((article.id, article.text[:LONGEST_READ]) for article in articles)
    names = sorted(counts, key=lambda name: (-len(counts[name].articles), -counts[name].times, name))
    found, known = list[str](), set[str]()
    for name in names[:MOST_TRIED]:
        if len(found) == most:
            break
        answer = chain.without_llm().ask(counts[name].question)
        sure = answer.grounded and answer.confidence >= LEAST_CONFIDENCE and not _is_part(name, found)
        about = {c.passage.article_id for c in answer.citations if name[-1] in words_of(c.quote)}
        if sure and about - known:
            found.append(counts[name].question)
            known |= {citation.passage.article_id for citation in answer.citations}
    return tuple(found)


def _names(texts: Iterable[tuple[str, str]]) -> dict[tuple[str, ...], _NameCounts]:
    """The names that a question can be about, by their words, in texts after the ids of their articles."""
    counts: dict[tuple[str, ...], _NameCounts] = defaultdict(_NameCounts)
    for article_id, text in texts:
        for start, end in name_spans(text, lower_words(text)):
            name = text[start:end]
            key = tuple(words_of(name))
            if _can_be_asked(name, key):
                before, rest = text[max(0, start - 8) : start], text[end : end + 40]
                count = counts[key]
                count.spellings[" ".join(name.split())] += 1
                count.articles.add(article_id)
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


def _is_part(name: Sequence[str], questions: Iterable[str]) -> bool:
    """Whether a question has a word of the name: "Fennimore" of "Judge Orla Fennimore"."""
    return bool(set(name) & set(words_of(" ".join(questions))))
