"""The nouns: what flows from an article to an answer. Frozen, slotted, and free of any import of ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

Span = tuple[int, int]
"""Start and end (exclusive) in characters of the article's text."""


@dataclass(frozen=True, slots=True)
class Article:
    """One article as it was read: `id` stays the same across edits, `digest` does not.

    `captions` are the spans of `text` that are no story (picture captions, credits); they are kept and found,
    but never quoted. `origin` names the file it was read from.
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

    @property
    def digest(self) -> str:
        """Hash of title, text and metadata: 32 hexadecimal digits."""
        fields = (self.title, self.text, self.source, self.url, self.author, str(self.published), str(self.captions))
        return hashlib.sha256("\x1f".join(fields).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ArticleEntry:
    """What the index knows of an article without reading its text."""

    id: str
    title: str
    source: str
    url: str
    author: str
    published: date | None
    origin: str
    digest: str
    passages: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of whole sentences: `article.text[start:end] == text`, and an article's passages join to its text.

    `sentences` are the spans (in the article's text) that may be quoted; `digest` is that of the article's
    version the passage belongs to.
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

    @property
    def indexed_text(self) -> str:
        """What is embedded and searched: title and date give the text its context; they are not part of a quote."""
        dated = f"{self.title} ({self.published:%d %B %Y})" if self.published else self.title
        return f"{dated}\n{self.text.strip()}"

    def slice(self, span: Span) -> str:
        """The passage's characters at a span of the article's text."""
        return self.text[span[0] - self.start : span[1] - self.start]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. Lists of hits are best-first.

    `sentence_scores` stands beside `passage.sentences`: cosine similarity of each to the question.
    """

    passage: Passage
    score: float
    sentence_scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Quote:
    """An exact span of one passage; `start` and `end` are offsets in the article's text."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.passage.slice((self.start, self.end))


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of an answer and the quotes it stands on."""

    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class Citation:
    """What `[number]` in an answer refers to: `article.text[start:end] == quote`."""

    number: int
    passage: Passage
    quote: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work on an answer, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Every `[n]` in `text` is one of `citations`, and every citation is of one of `hits`.

    `grounded` is False when the articles do not hold the answer; `hits` are then the nearest passages.
    `confidence` lies in 0–1; `notice` is a sentence for the reader, or empty; `seconds` is the time it took, and
    `stages` says what of it went where.
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


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of a conversation and the answer's text."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class QAPair:
    """A question with what a right answer is made of; `articles` are ids, `evidence` exact sentences of them.

    No `answers` for an answerable question: none were given, only what is to be found. `kind` is a label to group
    by; `origin` says where the pair was read.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    articles: tuple[str, ...]
    evidence: tuple[str, ...]
    answerable: bool
    history: tuple[Turn, ...] = ()
    kind: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source, or an article of it, that could not be ingested, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did. The counts are of articles (`passages`: of those added and updated)."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: tuple[Failure, ...] = ()
    passages: int = 0
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """Articles read, whether or not there was anything to do."""
        return self.added + self.updated + self.unchanged
