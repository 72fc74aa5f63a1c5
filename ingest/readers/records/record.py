"""Records → articles: JSON, JSON Lines, CSV and Parquet, by whatever names their fields have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Protocol

from ingest.articles.fields import LEVELS, LONGEST_ARTICLE, MOST_ITEMS, as_line, make_article, pick_fields, plain_name
from ingest.articles.unpublished import is_not_an_article, is_unpublished, non_article_notice
from ingest.content.blocks import PARAGRAPH_BREAK, Block, JoinedText, join_blocks
from ingest.content.types import Content, Options, OutOfTime, ParseMarkup, Read, Unpublished
from ingest.content.values import LONGEST_ID, clean, one_line, slug, unique_id
from ingest.readers.dump import captions_of, unwrapped
from ingest.readers.html.text import html_blocks, looks_like_html, unescaped
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice

BLOCK_LEVELS = 5
"""How deep in a record's text its paragraphs may stand."""
MOST_FIELDS = 100
"""Fields of a record that are looked at as extra ones."""
LONGEST_MARKUP = 4_000
"""Characters of a field other than the text in which markup is looked for."""
BATCH_CHARACTERS, BATCH_RECORDS = 2_000_000, 200
"""Records whose markup is taken apart at once."""
MOST_NAMED = 10
"""How many names of fields a message tells."""
MOST_TOLD = 3
"""How many entries without a text are told one by one."""
SUMMARIES = frozenset(
    "description summary abstract excerpt lead leadparagraph snippet teaser standfirst trailtext intro "
    "metadescription".split()
)
"""Fields that stand in for a text that is missing: the longest counts."""
NO_TEXT = 'is no object with a text; give each article as {"title": …, "text": …}'
SAY_WHICH = "say which field it is with --map text=NAME; it has: "

_SHOWN = ("title", "author", "source")
_BLOCK_TEXTS = ("text", "content", "body", "rendered", "html", "value", "paragraph", "bodyhtml", "bodytext",
                "bodytextsummary", "paragraphs", "blocks", "children")  # fmt: skip
"""Where a block of a text ({"type": "paragraph", "text": …}) has its words."""


@dataclass(frozen=True, slots=True)
class _NoText:
    """Why an entry has no text."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Raw:
    """What a record says: its text, or the field that stands in where that shows none, and its other fields."""

    text: str
    summary: str
    fields: dict[str, Any]
    extra: dict[str, Any]
    record: Mapping[str, Any]

    def markup(self) -> Iterator[str]:
        """All of it that is markup, as it will be asked for."""
        yield from filter(looks_like_html, (self.text, self.summary))
        others = islice(self.extra.values(), MOST_FIELDS)
        for value in (*(self.fields[name] for name in _SHOWN if name in self.fields), *others):
            yield from _markup_in(value)


class _Shown:
    """What markup shows, of many records at once, so that it can be asked for elsewhere."""

    def __init__(self, parse_markup: ParseMarkup) -> None:
        self._parse_markup = parse_markup
        self._known: dict[str, list[Block]] = {}

    def prepare(self, raws: Iterable[_Raw]) -> None:
        """Take the markup of these records apart; where one of them makes that fail, each is tried alone later."""
        markup = list(dict.fromkeys(chain.from_iterable(raw.markup() for raw in raws)))
        self._known.clear()
        if markup:
            with suppress(ReadError):
                self._known.update(zip(markup, self._parse_markup(markup), strict=True))

    def blocks(self, markup: str) -> list[Block]:
        """Raises ReadError."""
        if markup not in self._known:
            [self._known[markup]] = self._parse_markup([markup])
        return self._known[markup]

    def text(self, markup: str) -> str:
        return PARAGRAPH_BREAK.join(block.text for block in self.blocks(markup))


def blocks_here(markup: Sequence[str]) -> list[list[Block]]:
    """The blocks of texts with markup, without a process that could be ended."""
    return [html_blocks(text) for text in markup]


class RecordReader(Protocol):
    """As a Reader; `parse_markup` takes apart the markup in records."""

    def __call__(self, content: Content, options: Options, parse_markup: ParseMarkup, /) -> Read: ...


Numbered = Iterable[tuple[str, Any]]
"""Records, or what failed in their place, each with what it is called in a message."""


def no_field(field: str, path: str, names: Iterable[Any]) -> str:
    return f"has no field {one_line(path)[:60]!r} to take its {field} from; name one of those it has: {listed(names)}"


def listed(names: Iterable[Any]) -> str:
    return ", ".join(one_line(name)[:60] for name in islice(names, MOST_NAMED)) or "none"


def articles_of(records: Numbered, content: Content, options: Options, parse_markup: ParseMarkup) -> Read:
    taken: set[str] = set()
    missing = dict(options.fields)
    last: Mapping[Any, Any] = {}
    without = 0
    shown = _Shown(parse_markup)
    for batch in _in_batches(_published(records, content, options), options.fields):
        shown.prepare(raw for _, _, raw in batch if isinstance(raw, _Raw))
        for where, record, raw in batch:
            if isinstance(raw, Notice | Unpublished):
                yield raw
                continue
            if missing and isinstance(record, Mapping):
                missing = {field: path for field, path in missing.items() if not _has(record, path)}
                last = record
            found = _article(raw, content, options.fields, taken, shown) if isinstance(raw, _Raw) else raw
            without += isinstance(found, _NoText)
            if isinstance(found, Article):
                yield found
            elif not isinstance(found, _NoText) or without <= MOST_TOLD:
                yield Failure(where, found.reason)
    if without > MOST_TOLD:
        more = without - MOST_TOLD
        yield Failure(content.name, f"{more:,} more {'entry has' if more == 1 else 'entries have'} no text either")
    for field, path in missing.items():
        if field != "text" and last:
            yield Failure(content.name, no_field(field, path, last))


def _published(records: Numbered, content: Content, options: Options) -> Numbered:
    """The records without those that are no articles, and with a mark in the place of one that is not published."""
    others = 0
    for where, record in records:
        if not isinstance(record, Mapping):
            yield where, record
        elif is_not_an_article(record):
            others += 1
        elif is_unpublished(record) and not options.include_drafts:
            yield where, Unpublished(_own_id(record, content, options.fields))
        else:
            yield where, record
    if others:
        yield content.name, non_article_notice(content.name, others)


def _own_id(record: Mapping[str, Any], content: Content, mapping: Mapping[str, str]) -> str:
    """The id that a record would have as an article."""
    fields, _ = flattened(record, mapping)
    return as_line(fields.get("id")) or f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}"


def _in_batches(
    records: Numbered, mapping: Mapping[str, str]
) -> Iterator[list[tuple[str, Any, _Raw | Failure | Notice | Unpublished | _NoText]]]:
    """Records with what they say, some at a time."""
    batch, size = [], 0
    for where, record in records:
        raw = record if isinstance(record, Failure | Notice | Unpublished) else _raw(record, mapping)
        batch.append((where, record, raw))
        size += len(raw.text) if isinstance(raw, _Raw) else 0
        if size > BATCH_CHARACTERS or len(batch) == BATCH_RECORDS:
            yield batch
            batch, size = [], 0
    yield batch


def _raw(record: Any, mapping: Mapping[str, str]) -> _Raw | _NoText:
    if not isinstance(record, Mapping):
        return _NoText(NO_TEXT)
    if "text" in mapping and not _has(record, mapping["text"]):
        return _NoText(no_field("text", mapping["text"], record))
    fields, extra = flattened(record, mapping)
    text, key = _unescaped(words_of(fields.pop("text", None))), ""
    if not text.strip() or looks_like_html(text):
        key = summary_of(extra)
    return _Raw(text, _unescaped(words_of(extra.get(key))) if key else "", fields, extra, record)


def _article(
    raw: _Raw, content: Content, mapping: Mapping[str, str], taken: set[str], shown: _Shown
) -> Article | Failure | _NoText:
    try:
        return _made(raw, content, mapping, taken, shown)
    except OutOfTime:
        raise
    except ReadError as error:
        return Failure("", f"has markup that {error}")


def _made(
    raw: _Raw, content: Content, mapping: Mapping[str, str], taken: set[str], shown: _Shown
) -> Article | Failure | _NoText:
    fields, extra = dict(raw.fields), dict(raw.extra)
    story = _story(raw.text, shown)
    if not story.text and (key := summary_of(extra)):
        story = _story(_unescaped(words_of(extra.pop(key))), shown)
    if not story.text:
        return _NoText(_no_text(raw.record, mapping))
    fields |= {name: _plain(fields[name], shown) for name in _SHOWN if name in fields}
    given = as_line(fields.get("id"), LONGEST_ID + 1)
    if given in taken or len(given) > LONGEST_ID:
        problem = "was used by an earlier entry" if given in taken else f"is over {LONGEST_ID} characters"
        return Failure("", f"its id {given[:60]!r} {problem}; give each article a short id of its own")
    fields["id"] = given or unique_id(f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}", taken)
    taken.add(fields["id"])
    if isinstance(fields.get("date"), (Mapping, list)):
        fields["date"] = as_line(fields["date"])
    plain = {key: _plain(value, shown) for key, value in islice(extra.items(), MOST_FIELDS)}
    if len(story.text) > LONGEST_ARTICLE:
        return make_article(content, story.text, fields, plain)
    return make_article(content, story, fields, plain, captions_of(story.text))


def _no_text(record: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    named = mapping.get("text") or next((key for key in record if "text" in pick_fields({key: "x"}, {})[0]), "")
    problem = (
        f"has nothing in its field {one_line(named)[:60]!r}" if named else "has no text under a name that is known"
    )
    return f"{problem}; {SAY_WHICH}{listed(record)}" if record else NO_TEXT


def _has(record: Mapping[str, Any], path: str) -> bool:
    """Has a record this field, or an empty place for it?"""
    value: Any = record if path not in record else None
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return value is None
        if name not in value:
            return False
        value = value[name]
    return True


def flattened(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `pick`; what stands in an object of its own inside the record ({"_source": {…}}) counts as the record's."""
    fields, extra = pick_fields(record, mapping)
    text = fields.get("text")
    if "text" in mapping or isinstance(text, (str, list)):
        return fields, extra
    if isinstance(text, Mapping):
        inside = text if {"title", "text"} <= pick_fields(text, {})[0].keys() else None
    else:
        things = (value for value in record.values() if isinstance(value, Mapping))
        inside = next((thing for thing in things if words_of(pick_fields(thing, {})[0].get("text"))), None)
    if inside is None:
        return fields, extra
    return pick_fields({**{key: value for key, value in record.items() if value is not inside}, **inside}, mapping)


def _story(text: str, shown: _Shown) -> JoinedText:
    """What a text shows, with the spans that are not quoted, and those of its lists."""
    if looks_like_html(text):
        return join_blocks(shown.blocks(text))
    text = clean(text)
    return JoinedText(unwrapped(text) if len(text) <= LONGEST_ARTICLE else text)


def _unescaped(text: str) -> str:
    return unescaped(text) if "&" in text and "<" not in text else text


def words_of(value: Any) -> str:
    """The words of a text, whatever it is given as; of one that is too long for an article, so many as show it."""
    if isinstance(value, str):
        return value
    found, size = list[str](), 0
    for paragraph in _paragraphs(value):
        found.append(paragraph)
        size += len(paragraph) + len(PARAGRAPH_BREAK)
        if size > LONGEST_ARTICLE + len(PARAGRAPH_BREAK):
            break
    return PARAGRAPH_BREAK.join(found)


def _paragraphs(value: Any, levels: int = BLOCK_LEVELS) -> Iterator[str]:
    """The texts in a list of paragraphs, or of blocks that have them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and levels:
        for item in value:
            yield from _paragraphs(item, levels - 1)
    elif isinstance(value, Mapping) and levels:
        plain = {plain_name(key): inside for key, inside in value.items()}
        for name in _BLOCK_TEXTS:
            inside = _paragraphs(plain[name], levels - 1) if name in plain else iter(())
            if (first := next(inside, None)) is not None:
                yield first
                yield from inside
                break


def summary_of(fields: Mapping[str, Any]) -> str:
    """The name of the longest field that can stand in for a text; empty if there is none."""
    names = [key for key, value in fields.items() if plain_name(key) in SUMMARIES and words_of(value).strip()]
    return max(names, key=lambda key: len(words_of(fields[key])), default="")


def _plain(value: Any, shown: _Shown, levels: int = LEVELS) -> Any:
    """A value as text: markup as what it shows, a day as it is written."""
    if isinstance(value, str) and ("&" in value or "<" in value):
        text = value[:LONGEST_MARKUP]
        return shown.text(text) if looks_like_html(text) else unescaped(text)
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, (Mapping, list)) and not levels:
        return None
    if isinstance(value, Mapping):
        inside = islice(value.items(), MOST_ITEMS)
        return {key: _plain(item, shown) if isinstance(item, str) else item for key, item in inside}
    return [_plain(item, shown, levels - 1) for item in value[:MOST_ITEMS]] if isinstance(value, list) else value


def _markup_in(value: Any, levels: int = LEVELS) -> Iterator[str]:
    """The markup that _plain finds in a value."""
    if isinstance(value, str):
        if "<" in value and looks_like_html(text := value[:LONGEST_MARKUP]):
            yield text
    elif isinstance(value, Mapping) and levels:
        yield from (text for item in islice(value.values(), MOST_ITEMS) for text in _markup_in(item, 0))
    elif isinstance(value, list) and levels:
        yield from (text for item in value[:MOST_ITEMS] for text in _markup_in(item, levels - 1))
