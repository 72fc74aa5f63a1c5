"""The data types, from article to answer: frozen, slotted dataclasses. Imports no other module of the project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

Span = tuple[int, int]
"""Start and end (exclusive), in characters of the article's text unless another text is named."""

Extra = tuple[tuple[str, str], ...]
"""Metadata of an article that has no field of its own: (name, value)."""
FEW_WORDS = 12
"""Texts with fewer words ("For subscribers only.") are copies only under the same title."""


def long_date(day: date | None) -> str:
    """A day such as "5 March 2024"; empty for None."""
    return f"{day.day} {day:%B} {day.year}" if day else ""


@dataclass(frozen=True, slots=True)
class Article:
    """An article as read from its source: an edit changes `digest` but not `id`.

    captions: spans that are searched but never quoted (headings, menus, picture captions, credits).
    lists: spans of list items, rows, block quotes or code after a paragraph that ends in a colon, quoted with it.
    origin: the file or URL it was read from.
    language: a code such as "en", or empty.
    """

    id: str
    title: str
    text: str
    source: str = ""
    url: str = ""
    author: str = ""
    published: date | None = None
    origin: str = ""
    captions: tuple[Span, ...] = ()
    language: str = ""
    extra: Extra = ()
    lists: tuple[Span, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of title, text and metadata: 32 hexadecimal digits."""
        fields = (self.title, self.text, self.source, self.url, self.author, str(self.published), str(self.captions))
        # Articles without a list keep the digest of versions that did not record lists.
        lists = (str(self.lists),) if self.lists else ()
        return _hashed("\x1f".join((*fields, self.language, str(self.extra), *lists)))

    @property
    def text_digest(self) -> str:
        """Hash of the words, without white space: the same for a copy under another id or title."""
        words = self.text.split()
        return _hashed(" ".join(words if len(words) >= FEW_WORDS else (self.title, *words)))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Copy:
    """An article with the same text, or a near duplicate, at another origin."""

    id: str
    origin: str
    title: str = ""
    source: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ArticleEntry:
    """An article's metadata in the index.

    copies: other origins of the same text.
    duplicate_group: shared by near duplicates.
    added: when it was first indexed, in UTC; None if indexed by a version that did not record it.
    """

    id: str
    title: str
    source: str
    url: str
    author: str
    published: date | None
    origin: str
    digest: str
    passages: int
    language: str = ""
    extra: Extra = ()
    text_digest: str = ""
    duplicate_group: str = ""
    copies: tuple[Copy, ...] = ()
    added: datetime | None = None

    @property
    def origins(self) -> tuple[str, ...]:
        """Its own origin and those of its copies."""
        return (self.origin, *(copy.origin for copy in self.copies))


def passage_id(article_id: str, digest: str, ordinal: int) -> str:
    """The id of a passage, which differs in each version of its article."""
    return f"{article_id}#{digest[:8]}-{ordinal}"


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive sentences: `article.text[start:end] == text`, and an article's passages join to its text.

    `digest` is the article's, `sentences` are the quotable spans, `key` is its row in the index, 0 before it is stored.
    """

    id: str
    article_id: str
    digest: str
    ordinal: int
    start: int
    end: int
    text: str
    sentences: tuple[Span, ...]
    title: str
    source: str
    url: str
    author: str
    published: date | None
    duplicate_group: str = ""
    key: int = 0

    @property
    def indexed_text(self) -> str:
        """The text that is embedded and searched: title and date as context, then the passage."""
        return f"{self._heading}\n{self.text.strip()}"

    @property
    def indexed_sentences(self) -> tuple[Span, ...]:
        """The spans of the sentences in `indexed_text`."""
        ahead = len(self._heading) + 1 - self.start - (len(self.text) - len(self.text.lstrip()))
        return tuple((start + ahead, end + ahead) for start, end in self.sentences)

    @property
    def _heading(self) -> str:
        return f"{self.title} ({self.published:%d %B %Y})" if self.published else self.title

    def slice(self, span: Span) -> str:
        """The text at a span of the article that lies in this passage."""
        return self.text[span[0] - self.start : span[1] - self.start]


NOTHING = "\0"
"""Source or id of no article, for filters that contradict each other."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on the articles that are searched; an empty field allows all.

    published_after, published_before: inclusive; they exclude articles without a date.
    sources: as spelled in the index.
    """

    published_after: date | None = None
    published_before: date | None = None
    sources: tuple[str, ...] = ()
    article_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != NO_FILTERS

    def and_also(self, others: Filters) -> Filters:
        """The intersection of two filters."""
        after = [day for day in (self.published_after, others.published_after) if day]
        before = [day for day in (self.published_before, others.published_before) if day]
        return Filters(
            max(after, default=None),
            min(before, default=None),
            _both(self.sources, others.sources),
            _both(self.article_ids, others.article_ids),
        )


NO_FILTERS = Filters()


def _both(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    # An empty tuple would allow all.
    return (tuple(x for x in a if x in b) or (NOTHING,)) if a and b else a or b


@dataclass(frozen=True, slots=True)
class ReadFilter:
    """A filter that a question expresses, and the words that express it, at `spans` of the question."""

    words: str
    filters: Filters
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A search query, and what the conversation adds to it with a `weight` of 0–1.

    carried: words from the conversation.
    articles: ids of preferred articles.
    said: earlier answers, which are not repeated.
    """

    question: str
    filters: Filters = NO_FILTERS
    weight: float = 0.0
    carried: str = ""
    articles: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage, with scores of each of `passage.sentences`. Lists of hits are best-first.

    similarities: cosine to the question.
    fit, sub_question_fits: overall score for the question, and for each sub-question.
    duplicates: near-duplicate passages of other articles.
    """

    passage: Passage
    score: float
    similarities: tuple[float, ...] = ()
    fit: tuple[float, ...] = ()
    duplicates: tuple[Passage, ...] = ()
    sub_question_fits: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Quote:
    """An exact span of a passage; `start` and `end` are offsets in the article's text."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.passage.slice((self.start, self.end))


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of an answer and the quotes that support it.

    emphasis: spans of `text` with the expected answer: the date, the number, the name.
    support: how well the quotes support it, 0–1; 0 without quotes.
    """

    text: str
    quotes: tuple[Quote, ...]
    emphasis: tuple[Span, ...] = ()
    support: float = 1.0


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer while it is generated.

    pending: the beginning of the next sentence, not yet checked.
    unanswered: True if the generator found no answer.
    """

    statements: tuple[Statement, ...] = ()
    pending: str = ""
    doing: str = ""
    notice: str = ""
    written_by: str = ""
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Citation:
    """The quote that `[number]` in an answer refers to: `article.text[start:end] == quote`.

    duplicates: copies and near duplicates of its article, which are no independent confirmation.
    """

    number: int
    passage: Passage
    quote: str
    start: int
    end: int
    duplicates: tuple[Copy, ...] = ()
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of an answer: its span in the text without markers, its citation numbers, and support (0–1)."""

    start: int
    end: int
    citations: tuple[int, ...]
    support: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of answering, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: every `[n]` in `text` is one of `citations`, and every citation quotes one of `hits`.

    grounded: False if the articles do not answer the question; `hits` are then the nearest passages.
    confidence: probability that the answer is right, 0–1.
    notice: a sentence for the reader, or empty.
    stages: the parts of `seconds`.
    emphasis: spans of `text` with the expected answer.
    read: filters that the question expresses and that were applied.
    sentences: those of `text`, in order; the unfinished one of a growing answer is not among them.
    written_by: the language model that wrote it, if any.
    searched: the queries, where they differ from the question.
    doing: the current step, until the text begins.
    """

    question: str
    text: str
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    grounded: bool
    confidence: float
    notice: str = ""
    seconds: float = 0.0
    stages: tuple[Stage, ...] = ()
    emphasis: tuple[Span, ...] = ()
    read: tuple[ReadFilter, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    written_by: str = ""
    searched: tuple[str, ...] = ()
    doing: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a conversation, its answer's text, and the ids of the cited articles."""

    question: str
    answer: str
    articles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A source or article that could not be ingested, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A part of an ingested source that is not in the index, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Counts of articles by outcome, and of the passages that were embedded.

    moved: the same article at another origin.
    duplicates: copies of an indexed article.
    others: files of unsupported types, counted by suffix.
    notices: parts of sources that are not in the index although nothing failed.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    duplicates: int = 0
    removed: int = 0
    failed: tuple[Failure, ...] = ()
    passages: int = 0
    seconds: float = 0.0
    others: tuple[tuple[str, int], ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def seen(self) -> int:
        """All articles that were read."""
        return self.added + self.updated + self.unchanged + self.moved + self.duplicates
