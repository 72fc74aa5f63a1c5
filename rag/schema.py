"""The nouns: what flows from an article to an answer. Frozen, slotted, and free of any import of ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

Span = tuple[int, int]
"""Start and end (exclusive) in characters of a text: the article's, unless another one is named."""

FEW_WORDS = 12

Extra = tuple[tuple[str, str], ...]
"""What a source says of an article in fields of its own: (name, value)."""


def long_date(day: date | None) -> str:
    """A day as a reader writes it, "5 March 2024"; empty for none."""
    return f"{day.day} {day:%B} {day.year}" if day else ""


@dataclass(frozen=True, slots=True)
class Article:
    """One article as it was read: `id` stays the same across edits, `digest` does not.

    `captions` are the spans of `text` that are no story (headings, menus, picture captions, credits); they are kept and
    found, but never quoted. `lists` are the spans of what a paragraph that ends in a colon announces: the items, rows,
    block quote or code after it, which are quoted together with it. `origin` is the file it was read from, or the URL.
    `language` is a code such as "en", or empty; `extra` are its source's other fields, as (name, value).
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
        # Articles without a list keep the digest that they had before lists were known.
        lists = (str(self.lists),) if self.lists else ()
        return _hashed("\x1f".join((*fields, self.language, str(self.extra), *lists)))

    @property
    def text_digest(self) -> str:
        """Hash of the words alone, whatever stands between them: the same for a copy under another name.

        So few words that they could be anybody's ("For subscribers only.") are a copy only under the same title.
        """
        words = self.text.split()
        return _hashed(" ".join(words if len(words) >= FEW_WORDS else (self.title, *words)))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Copy:
    """Another place where an article's story stands: under another name, at another address."""

    id: str
    origin: str
    title: str = ""
    source: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ArticleEntry:
    """What the index knows of an article without reading its text.

    `copies` are the other places of the same text; articles of one `duplicate_group` are near duplicates. `added` is
    when it was first indexed, in UTC; None where the index was filled by a version that did not record it.
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
        """Every place where it stands."""
        return (self.origin, *(copy.origin for copy in self.copies))


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of whole sentences: `article.text[start:end] == text`, and an article's passages join to its text.

    `sentences` are the spans (in the article's text) that may be quoted; `digest` is that of the article's
    version the passage belongs to, `duplicate_group` as in ArticleEntry.
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

    @property
    def indexed_text(self) -> str:
        """What is embedded and searched: title and date give the text its context; they are not part of a quote."""
        return f"{self._heading}\n{self.text.strip()}"

    @property
    def indexed_sentences(self) -> tuple[Span, ...]:
        """Where in `indexed_text` the sentences stand."""
        ahead = len(self._heading) + 1 - self.start - (len(self.text) - len(self.text.lstrip()))
        return tuple((start + ahead, end + ahead) for start, end in self.sentences)

    @property
    def _heading(self) -> str:
        return f"{self.title} ({self.published:%d %B %Y})" if self.published else self.title

    def slice(self, span: Span) -> str:
        """The passage's characters at a span of the article's text."""
        return self.text[span[0] - self.start : span[1] - self.start]


NOTHING = "\0"
"""What no article has for its source or id: filters that contradict each other allow nothing."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which articles may be found; what is empty allows all.

    `published_after` and `published_before` include their own day, and leave out articles without a date.
    `sources` are compared as the index spells them; `article_ids` are ids.
    """

    published_after: date | None = None
    published_before: date | None = None
    sources: tuple[str, ...] = ()
    article_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != NO_FILTERS

    def and_also(self, others: Filters) -> Filters:
        """Both at once: the narrower of two dates; of sources and of ids, those in both lists."""
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
    """A filter that was read out of a question; `words` are those of the question that say it.

    `spans` is where they stand in the question: several, where the names of sources stand apart.
    """

    words: str
    filters: Filters
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it is searched for.

    What the conversation adds counts with `weight`, 0–1: `carried` are its words, `articles` are preferred, and what
    was `said` need not be said again.
    """

    question: str
    filters: Filters = NO_FILTERS
    weight: float = 0.0
    carried: str = ""
    articles: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. Lists of hits are best-first.

    For each of `passage.sentences`: `similarities`, its cosine to the question, and `fit`, its score in all.
    `duplicates` are near-duplicate passages of other articles. `sub_question_fits` is `fit` for each sub-question.
    """

    passage: Passage
    score: float
    similarities: tuple[float, ...] = ()
    fit: tuple[float, ...] = ()
    duplicates: tuple[Passage, ...] = ()
    sub_question_fits: tuple[tuple[float, ...], ...] = ()


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
    """One sentence of an answer and the quotes it stands on.

    `emphasis` are the spans of its text that say what was asked for: the date, the number, the name. `support` says how
    well the quotes bear it out, 0–1; without any it is 0.
    """

    text: str
    quotes: tuple[Quote, ...]
    emphasis: tuple[Span, ...] = ()
    support: float = 1.0


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer as far as it is made.

    `pending` is the beginning of its next sentence, which nobody has checked; `doing` says what is being done;
    `written_by` names the language model, if it is one's. `unanswered` is True if its writer found no answer.
    """

    statements: tuple[Statement, ...] = ()
    pending: str = ""
    doing: str = ""
    notice: str = ""
    written_by: str = ""
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Citation:
    """What `[number]` in an answer refers to: `article.text[start:end] == quote`.

    `duplicates` are copies and near duplicates of its article: no independent confirmation. `extra` is as in Article.
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
    """One sentence of an answer: its span in the answer's text without its markers, and its citations' numbers.

    `support` is as in Statement: 0 if no passage supports it.
    """

    start: int
    end: int
    citations: tuple[int, ...]
    support: float


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
    `stages` says what of it went where. `emphasis` are the spans of `text` that say what was asked for; `read` are
    the filters that were read out of the question and held to. `sentences` are those of `text`, in order; a language
    model's answer that is not complete goes on behind them. `written_by` is that model's name, `searched` what was
    looked up instead of the question, and `doing` what is being done as long as the answer is not there.
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
    """One question of a conversation, the answer's text, and the ids of the articles it cited."""

    question: str
    answer: str
    articles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A source, or an article of it, that could not be ingested, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know of a source that was ingested: what of it is not in the index, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did. The counts are of articles (`passages`: of those embedded).

    `moved` ones stand where another name or address was before, `duplicates` are copies of an article that was there.
    `others` are files of no kind that can be read, which were passed over, counted by the end of their name. `notices`
    say what of the sources that were read is not in the index, though nothing failed.
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
        """Articles read, whether or not there was anything to do."""
        return self.added + self.updated + self.unchanged + self.moved + self.duplicates
