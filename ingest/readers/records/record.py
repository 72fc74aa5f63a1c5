"""Records of any format → articles, under any field names. Knows no file format."""

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
"""How deep in a record's text its paragraphs may be nested."""
MOST_FIELDS = 100
"""Extra fields of a record that are looked at."""
LONGEST_MARKUP = 4_000
"""Characters of a field other than the text in which markup is looked for."""
BATCH_CHARACTERS, BATCH_RECORDS = 2_000_000, 200
"""Limits of a batch of records whose markup is parsed in one request."""
MOST_NAMED = 10
"""Field names that a message lists."""
MOST_REPORTED = 3
"""Entries without a text that are reported one by one."""
SUMMARIES = frozenset(
    "description summary abstract excerpt lead leadparagraph snippet teaser standfirst trailtext intro "
    "metadescription".split()
)
"""Fields that stand in for a missing text; the longest is taken."""
NO_TEXT = 'is not an object with a text; give each article as {"title": …, "text": …}'
SAY_WHICH = "say which field it is with --map text=NAME; it has: "

_TEXT_FIELDS = ("title", "author", "source")
"""Fields in which markup is shown as text."""
_BLOCK_TEXTS = ("text", "content", "body", "rendered", "html", "value", "paragraph", "bodyhtml", "bodytext",
                "bodytextsummary", "paragraphs", "blocks", "children")  # fmt: skip
"""Where a block of a text ({"type": "paragraph", "text": …}) holds its words."""


@dataclass(frozen=True, slots=True)
class _NoText:
    """Why an entry has no text."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A record's text, the summary that stands in where that shows nothing, and its other fields."""

    text: str
    summary: str
    fields: dict[str, Any]
    extra: dict[str, Any]
    record: Mapping[str, Any]

    def markup(self) -> list[str]:
        """All its markup, as _Rendered will be asked for it."""
        parts = [text for text in (self.text, self.summary) if looks_like_html(text)]

        def collect(markup: Sequence[str]) -> list[list[Block]]:
            parts.extend(markup)
            return [[]]

        for value in (*map(self.fields.get, _TEXT_FIELDS), *islice(self.extra.values(), MOST_FIELDS)):
            _plain(value, _Rendered(collect))
        return parts


class _Rendered:
    """The blocks of markup, parsed for many records in one request, as the sandbox needs it."""

    def __init__(self, parse_markup: ParseMarkup) -> None:
        self._take_apart = parse_markup
        self._blocks: dict[str, list[Block]] = {}

    def prepare(self, records: Iterable[_Parsed]) -> None:
        """Parses the markup of these records; if one makes that fail, each is tried alone later."""
        markup = list(dict.fromkeys(chain.from_iterable(record.markup() for record in records)))
        self._blocks.clear()
        if markup:
            with suppress(ReadError):
                self._blocks.update(zip(markup, self._take_apart(markup), strict=True))

    def blocks(self, markup: str) -> list[Block]:
        """The blocks of markup. Raises ReadError."""
        if markup not in self._blocks:
            [self._blocks[markup]] = self._take_apart([markup])
        return self._blocks[markup]

    def text(self, markup: str) -> str:
        return PARAGRAPH_BREAK.join(block.text for block in self.blocks(markup))


def blocks_here(markup: Sequence[str]) -> list[list[Block]]:
    """A `ParseMarkup` that parses in this process, not in the sandbox."""
    return [html_blocks(text) for text in markup]


class RecordReader(Protocol):
    """A Reader that is also given what parses the markup in its records."""

    def __call__(self, content: Content, options: Options, parse_markup: ParseMarkup, /) -> Read: ...


Numbered = Iterable[tuple[str, Any]]
"""Records, or the failures in their place, each with the name that messages give it."""


def no_field(field: str, path: str, names: Iterable[Any]) -> str:
    """The message that a field named by --map is missing."""
    return f"has no field {one_line(path)[:60]!r} to take its {field} from; name one of those it has: {listed(names)}"


def listed(names: Iterable[Any]) -> str:
    """The first names, as a message lists them."""
    return ", ".join(one_line(name)[:60] for name in islice(names, MOST_NAMED)) or "none"


def articles_of(records: Numbered, content: Content, options: Options, parse_markup: ParseMarkup) -> Read:
    """The articles that records make, and why others make none."""
    taken: set[str] = set()
    missing = dict(options.fields)
    last: Mapping[Any, Any] = {}
    without = 0
    rendered = _Rendered(parse_markup)
    for batch in _in_batches(_published(records, content, options), options.fields):
        rendered.prepare(parsed for _, _, parsed in batch if isinstance(parsed, _Parsed))
        for where, record, parsed in batch:
            if isinstance(parsed, Notice | Unpublished):
                yield parsed
                continue
            if missing and isinstance(record, Mapping):
                missing = {field: path for field, path in missing.items() if not _has(record, path)}
                last = record
            result = (
                _article(parsed, content, options.fields, taken, rendered) if isinstance(parsed, _Parsed) else parsed
            )
            without += isinstance(result, _NoText)
            if isinstance(result, Article):
                yield result
            elif not isinstance(result, _NoText) or without <= MOST_REPORTED:
                yield Failure(where, result.reason)
    if without > MOST_REPORTED:
        more = without - MOST_REPORTED
        yield Failure(content.name, f"{more:,} more {'entry has' if more == 1 else 'entries have'} no text either")
    for field, path in missing.items():
        if field != "text" and last:
            yield Failure(content.name, no_field(field, path, last))


def _published(records: Numbered, content: Content, options: Options) -> Numbered:
    """The records that may be articles, with Unpublished in place of drafts, private and deleted ones."""
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
    """The id that a record has, or would get, as an article."""
    fields, _ = flattened(record, mapping)
    return as_line(fields.get("id")) or f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}"


def _in_batches(
    records: Numbered, mapping: Mapping[str, str]
) -> Iterator[list[tuple[str, Any, _Parsed | Failure | Notice | Unpublished | _NoText]]]:
    """Batches of records, each with its parsed form."""
    batch, size = [], 0
    for where, record in records:
        parsed = record if isinstance(record, Failure | Notice | Unpublished) else _parsed(record, mapping)
        batch.append((where, record, parsed))
        size += len(parsed.text) if isinstance(parsed, _Parsed) else 0
        if size > BATCH_CHARACTERS or len(batch) == BATCH_RECORDS:
            yield batch
            batch, size = [], 0
    yield batch


def _parsed(record: Any, mapping: Mapping[str, str]) -> _Parsed | _NoText:
    if not isinstance(record, Mapping):
        return _NoText(NO_TEXT)
    if "text" in mapping and not _has(record, mapping["text"]):
        return _NoText(no_field("text", mapping["text"], record))
    fields, extra = flattened(record, mapping)
    text, key = _unescaped(words_of(fields.pop("text", None))), ""
    if not text.strip() or looks_like_html(text):
        key = summary_of(extra)
    return _Parsed(text, _unescaped(words_of(extra.get(key))) if key else "", fields, extra, record)


def _article(
    parsed: _Parsed, content: Content, mapping: Mapping[str, str], taken: set[str], rendered: _Rendered
) -> Article | Failure | _NoText:
    try:
        return _made(parsed, content, mapping, taken, rendered)
    except OutOfTime:
        raise
    except ReadError as error:
        return Failure("", f"has markup that {error}")


def _made(
    parsed: _Parsed, content: Content, mapping: Mapping[str, str], taken: set[str], rendered: _Rendered
) -> Article | Failure | _NoText:
    fields, extra = dict(parsed.fields), dict(parsed.extra)
    story = _story(parsed.text, rendered)
    if not story.text and (key := summary_of(extra)):
        story = _story(_unescaped(words_of(extra.pop(key))), rendered)
    if not story.text:
        return _NoText(_no_text(parsed.record, mapping))
    fields |= {name: _plain(fields[name], rendered) for name in _TEXT_FIELDS if name in fields}
    given = as_line(fields.get("id"), LONGEST_ID + 1)
    if given in taken or len(given) > LONGEST_ID:
        problem = "was used by an earlier entry" if given in taken else f"is over {LONGEST_ID} characters"
        return Failure("", f"its id {given[:60]!r} {problem}; give each article a short id of its own")
    fields["id"] = given or unique_id(f"{content.name}#{slug(as_line(fields.get('title'))) or 'article'}", taken)
    taken.add(fields["id"])
    if isinstance(fields.get("date"), (Mapping, list)):
        fields["date"] = as_line(fields["date"])
    plain = {key: _plain(value, rendered) for key, value in islice(extra.items(), MOST_FIELDS)}
    if len(story.text) > LONGEST_ARTICLE:
        return make_article(content, story.text, fields, plain)
    return make_article(content, story, fields, plain, captions_of(story.text))


def _no_text(record: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    named = mapping.get("text") or next((key for key in record if "text" in pick_fields({key: "x"}, {})[0]), "")
    problem = f"has nothing in its field {one_line(named)[:60]!r}" if named else "has no text under a known name"
    return f"{problem}; {SAY_WHICH}{listed(record)}" if record else NO_TEXT


def _has(record: Mapping[str, Any], path: str) -> bool:
    """Whether a record has this field, or an empty place for it."""
    value: Any = record if path not in record else None
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return value is None
        if name not in value:
            return False
        value = value[name]
    return True


def flattened(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `pick`, where the article's fields may stand in an object inside the record ({"_source": {…}})."""
    fields, extra = pick_fields(record, mapping)
    text = fields.get("text")
    if "text" in mapping or isinstance(text, (str, list)):
        return fields, extra
    if isinstance(text, Mapping):
        inside = text if {"title", "text"} <= pick_fields(text, {})[0].keys() else None
    else:
        objects = (value for value in record.values() if isinstance(value, Mapping))
        inside = next((inner for inner in objects if words_of(pick_fields(inner, {})[0].get("text"))), None)
    if inside is None:
        return fields, extra
    return pick_fields({**{key: value for key, value in record.items() if value is not inside}, **inside}, mapping)


def _story(text: str, rendered: _Rendered) -> JoinedText:
    """A record's text as it is shown, with the spans of what is not quoted and of its lists."""
    if looks_like_html(text):
        return join_blocks(rendered.blocks(text))
    text = clean(text)
    return JoinedText(unwrapped(text) if len(text) <= LONGEST_ARTICLE else text)


def _unescaped(text: str) -> str:
    return unescaped(text) if "&" in text and "<" not in text else text


def words_of(value: Any) -> str:
    """A text, whatever it is given as; of one too long for an article, enough to show that it is."""
    if isinstance(value, str):
        return value
    paragraphs, size = list[str](), 0
    for paragraph in _paragraphs(value):
        paragraphs.append(paragraph)
        size += len(paragraph) + len(PARAGRAPH_BREAK)
        if size > LONGEST_ARTICLE + len(PARAGRAPH_BREAK):
            break
    return PARAGRAPH_BREAK.join(paragraphs)


def _paragraphs(value: Any, levels: int = BLOCK_LEVELS) -> Iterator[str]:
    """The texts in nested lists of paragraphs or blocks."""
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
    """The name of the longest field that can stand in for a missing text; empty if there is none."""
    names = [key for key, value in fields.items() if plain_name(key) in SUMMARIES and words_of(value).strip()]
    return max(names, key=lambda key: len(words_of(fields[key])), default="")


def _plain(value: Any, rendered: _Rendered, levels: int = LEVELS) -> Any:
    """A value with its markup as plain text, and dates and decimals as they are written."""
    if isinstance(value, str) and ("&" in value or "<" in value):
        text = value[:LONGEST_MARKUP]
        return rendered.text(text) if looks_like_html(text) else unescaped(text)
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, (Mapping, list)) and not levels:
        return None
    if isinstance(value, Mapping):
        inside = islice(value.items(), MOST_ITEMS)
        return {key: _plain(item, rendered) if isinstance(item, str) else item for key, item in inside}
    return [_plain(item, rendered, levels - 1) for item in value[:MOST_ITEMS]] if isinstance(value, list) else value
