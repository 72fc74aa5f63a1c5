"""HTML → its text; a web page → its article, without what stands around it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from ingest.articles.coverage import (
    WordRuns,
    count_documents,
    count_words,
    dropped_text_notice,
    missing_paragraphs,
    several_documents_notice,
    word_runs,
)
from ingest.articles.fields import make_article
from ingest.content.blocks import PARAGRAPH_BREAK, SENTENCE_END, Block, join_blocks
from ingest.content.encoding import decode
from ingest.content.types import Content, Options, Read, read_bytes
from ingest.content.values import clean, one_line
from ingest.readers.dump import captions_of, unwrapped
from ingest.readers.html.elements import BLOCKS, UNSEEN, blocks_of, is_unseen
from ingest.readers.html.metadata import NOT_PLAIN, json_ld, metadata_of, silence_trafilatura, tried
from ingest.readers.html.text import SPACE, SPACE_IN_LINE, bounded_markup, html_blocks, looks_like_html, parsed
from rag.errors import ReadError
from rag.schema import Notice

MOST_ELEMENTS, MOST_LEVELS = 60_000, 3_000_000
"""Elements of a page in which an article is looked for, and the sum of the levels they stand at: the time of that
grows faster than they do."""
FEWEST_WORDS = 8
"""A page with fewer holds no article; one sentence of news has more."""
STORY_WORDS = 60
"""Words of a page's further article elements that are articles of their own; a teaser or a comment has fewer."""
SHORT_WORDS = 80
"""A page with fewer is no article either if it speaks of logging in, of cookies or of scripts."""
LITTLE = 400
"""Characters: of a page where trafilatura finds fewer, it may have taken all that stands on it, as one paragraph."""
NO_ARTICLE = "holds no article text (a login wall, or built by script?); save the page's text instead"

_AROUND = frozenset("aside figcaption figure footer header nav".split())
_AROUND_NAMES = frozenset(
    "ad ads advert advertisement author breadcrumb breadcrumbs byline caption comment comments consent cookie cookies "
    "dateline footer gdpr menu nav navigation newsletter promo recommended related share sharing sidebar signup social "
    "subscribe tags toolbar".split()
)
"""Words in the class or the id of what stands around an article."""
_CHARSET = re.compile(
    rb"<meta[^>]{1,200}charset\s*+=\s*+[\"']?+\s*+([\w.:-]{1,40})|<\?xml[^>]{1,80}encoding=[\"']([\w.:-]{1,40})",
    re.IGNORECASE,
)
_CODECS = re.compile(r"big5|cp\d|euc|gb|hz|iso2022|iso8859|johab|koi8|mac|shift_jis|tis")
_WIDER = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030",
          "shift_jis": "cp932", "euc_kr": "cp949"}  # fmt: skip
"""What browsers read a declared encoding as."""
_WALL = re.compile(
    r"\b(?:log|sign)[ -]?(?:in|into|on)\b (?:to|or|with|below|here)|\bjavascript\b|\bcaptcha\b|\byou are (?:a )?human\b"
    r"|\bnot a robot\b|\baccess denied\b|\bsubscribe (?:now )?to (?:continue|read|keep)|\bchecking your browser\b"
    r"|\b(?:accept|all|enable|use|uses|using|utilise|utilisons|verwenden) (?:of )?(?:des )?cookies\b"
    r"|\bcookies? ?(?:polic|sett|prefer|notice|consent|richtlin|einstell)",
    re.IGNORECASE,
)
_BYLINE = re.compile(r"(?:by|von|par|por|published|updated|posted|written)\b", re.IGNORECASE)


def from_html(content: Content, options: Options) -> Read:
    """A web page: its article, with what the page states of it; headings, menus and the like are not quoted.

    The date is one that the page states, never a guess. Raises ReadError for a page without an article.
    """
    page = _page(_decoded(read_bytes(content, options)))
    stated = json_ld(page)
    blocks = _story(page, stated)
    fields, extra = metadata_of(page, stated, content)
    shown = join_blocks(block for block in blocks if not (block.unquotable and block.text == fields["title"]))
    if _is_wall(page, shown.text):
        raise ReadError(NO_ARTICLE)
    yield make_article(content, shown, fields, extra, captions_of(shown.text))
    yield from _losses(content.name, page, shown.text)


def _losses(name: str, page: Any, shown: str) -> Iterator[Notice]:
    """A notice if a page holds several documents, or if most of its prose is missing from its article."""
    every = [block.text for block in blocks_of(page, SPACE_IN_LINE, is_unseen)]
    runs = word_runs(shown)
    documents = max(count_documents("\n".join(every)), _stories_on(page, runs))
    if documents > 1:
        yield several_documents_notice(name, documents)
    elif missing_paragraphs(every, runs):
        is_around = partial(_is_around, all_links=_all_links(page))
        left_out = missing_paragraphs((block.text for block in blocks_of(page, SPACE_IN_LINE, is_around)), runs)
        yield from dropped_text_notice(name, count_words(shown), sum(map(count_words, set(left_out))))


def _stories_on(page: Any, runs: WordRuns) -> int:
    """How many articles a page marks as such; the posts of one that has a title above them are parts of it."""
    marked = [*page.iter("article"), *page.findall(".//*[@itemprop='articleBody']")]
    stories = [one for one in marked if one.find(".//article") is None and not _is_beside(one)]
    blocks = (blocks_of(story, SPACE_IN_LINE, is_unseen) for story in stories)
    texts = [[block.text for block in of_story if not block.unquotable] for of_story in blocks]
    lost = sum(sum(map(count_words, missing_paragraphs(text, runs))) >= STORY_WORDS for text in texts)
    if any(set(heading.iterancestors()).isdisjoint(stories) for heading in page.iter("h1")):
        return 1 + lost
    titled = (any(story.find(f".//{tag}") is not None for tag in ("h1", "h2", "h3")) for story in stories)
    full = (sum(map(count_words, text)) >= STORY_WORDS for text in texts)
    return max(1 + lost, sum(map(all, zip(titled, full, strict=True))))


def _is_beside(story: Any) -> bool:
    """Is an article element a comment, or a teaser of another story?"""
    names = (f"{one.get('class') or ''} {one.get('id') or ''}" for one in (story, *story.iterancestors()))
    beside = ("comment", "comments", "related", "recommended", "teaser", "promo")
    return not set(beside).isdisjoint(re.split(r"[\W_]+", " ".join(names).lower()))


def _decoded(data: bytes) -> str:
    """A page's text: by its byte-order mark, as UTF-8, as it declares itself, or by a guess."""
    if 0 < data.count(b"\0") * 100 < len(data):
        data = data.replace(b"\0", b"")
    declared = _declared(data)
    if declared and (declared.startswith(("iso2022", "hz")) or not _is_unicode(data)):
        return data.decode(declared, "replace")
    return decode(data)


def _declared(data: bytes) -> str:
    found = _CHARSET.search(data[:4096])
    if not found:
        return ""
    try:
        name = codecs.lookup((found[1] or found[2]).decode("ascii", "ignore")).name
    except (LookupError, ValueError):
        return ""
    name = _WIDER.get(name, name)
    return name if _CODECS.match(name) else ""


def _is_unicode(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return True


def _page(markup: str) -> Any:
    root, complete = parsed(bounded_markup(markup), whole_page=True)
    if root is None:
        raise ReadError(NO_ARTICLE)
    if not complete or not _is_searchable(root):
        raise ReadError("is a page of too many elements to find an article in; save its text instead")
    return root


def _is_searchable(root: Any) -> bool:
    from lxml import etree

    elements = levels = level = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        level += 1 if event == "start" else -1
        if event == "start":
            elements, levels = elements + 1, levels + level
    return elements <= MOST_ELEMENTS and levels <= MOST_LEVELS


def _story(page: Any, stated: Iterable[Mapping[str, Any]]) -> list[Block]:
    """The paragraphs of a page's article; none if it has no article."""
    from trafilatura import bare_extraction

    silence_trafilatura()
    # The library's own tree has lost most of what the page says of its parts.
    said = _Said.of(page, stated)
    document = tried(lambda: bare_extraction(page, include_comments=False))
    if document is None:
        return []
    for heading in document.body.iter("head"):
        heading.tag = "h2"
    found = said.marked(blocks_of(document.body, SPACE_IN_LINE, is_unseen))
    words = [word for block in found for word in block.text.split()]
    for body in (node.get("articleBody") for node in stated):
        # What it takes out of a page's data has lost its paragraphs.
        blocks = _blocks_in(body) if isinstance(body, str) else []
        if blocks and [word for block in blocks for word in block.text.split()] == words:
            return said.marked(blocks)
    return _from_container(page, found) if _is_fallback(page, found) else found


@dataclass(frozen=True, slots=True)
class _Said:
    """What a page's markup says of its blocks, by their text without spaces."""

    blocks: Mapping[str, Block]

    @classmethod
    def of(cls, page: Any, stated: Iterable[Mapping[str, Any]]) -> Self:
        """The questions that the page's data names are marked; what stands twice only if it is marked both times."""
        found: dict[str, Block] = {}
        # Where a page has no tag for its body, the parser leaves all of it in its head.
        for block in blocks_of(page, SPACE, lambda element: element.tag != "head" and is_unseen(element)):
            before = found.get(key := _squeezed([block.text]))
            found[key] = block if before is None or before.unquotable else before
        for node in stated:
            question = one_line(node.get("name")) if node.get("@type") == "Question" else ""
            found |= {_squeezed([question]): Block(question, unquotable=True)} if question else {}
        return cls(found)

    def marked(self, blocks: Iterable[Block]) -> list[Block]:
        """Blocks of the page's article, with what the page says of them; only headings are, if it marks all."""
        own = list(blocks)
        found = [self._marked(block) for block in own]
        return own if all(block.unquotable for block in found) else found

    def _marked(self, block: Block) -> Block:
        said = self.blocks.get(_squeezed([block.text]))
        if said is None:
            return block
        same_lines = said.text.count("\n") == block.text.count("\n")
        marked, lines = block.unquotable or said.unquotable, said.unquotable_lines if same_lines else ()
        return replace(block, unquotable=marked, list_number=said.list_number, unquotable_lines=lines)


def _is_fallback(page: Any, found: list[Block]) -> bool:
    """Can it be that trafilatura found no article, and took whatever the page shows?"""
    from trafilatura import baseline

    text = _squeezed(block.text for block in found)
    if len(found) == 1 or len(text) < LITTLE:
        return True
    with suppress(ReadError):
        return _squeezed([tried(lambda: baseline(page))[1]]) == text
    return False


def _from_container(page: Any, found: list[Block]) -> list[Block]:
    """What was found on a page, without what stands around its article; all of it if nothing else would be left."""
    shown, all_links = _squeezed(block.text for block in found), _all_links(page)

    def held(root: Any) -> tuple[bool, int, list[Block]]:
        own = blocks_of(root, SPACE, lambda element: element is not root and _is_around(element, all_links))
        there = (block for block in own if _squeezed([block.text]) in shown)
        kept = [
            replace(block, unquotable=block.unquotable or (not block.list_number and _is_label(block.text)))
            for block in there
        ]
        words = sum(count_words(block.text) for block in kept if not block.unquotable)
        return words >= FEWEST_WORDS and root.find(".//h1") is not None, words, kept

    _, words, best = held(page)
    for path in (".//*[@itemprop='articleBody']", ".//article", ".//main"):
        # The first few: a page of many of them is a list.
        titled, inner, kept = max(map(held, page.findall(path)[:10]), key=lambda item: item[:2], default=(False, 0, []))
        # Without a title, the longest of an article's kind can still be a teaser beside the story.
        if titled or 2 * inner >= words > 0:
            words, best = inner, kept
            break
    return best if words >= FEWEST_WORDS else found


def _squeezed(texts: Iterable[str]) -> str:
    return "".join("".join(texts).split())


def _is_around(element: Any, all_links: Collection[Any]) -> bool:
    """Is an element something that stands around an article, not a part of it? `all_links` is that of its page."""
    tag = element.tag
    if tag == "head":
        # All of a page can be in it.
        return False
    if tag in UNSEEN or tag in _AROUND:
        return True
    if tag == "form":
        # What asks to log in tells that the page is no article.
        return not _WALL.search(" ".join(element.itertext()))
    names = re.split(r"[\W_]+", f"{element.get('class') or ''} {element.get('id') or ''}".lower())
    if not _AROUND_NAMES.isdisjoint(names):
        # A wrapper of the whole page is often named after something in it.
        return all(element.find(f".//{inner}") is None for inner in ("h1", "article", "main"))
    return element in all_links


@dataclass(slots=True)
class _Counts:
    """Letters and digits in an element, how many of them stand in links, and whether it has a link in it."""

    shown: int = 0
    linked: int = 0
    has_link: bool = False

    def add(self, text: str | None, in_link: bool) -> None:
        length = len(NOT_PLAIN.sub("", text)) if text else 0
        self.shown += length
        self.linked += length if in_link else 0


def _all_links(page: Any) -> frozenset[Any]:
    """The blocks of a page that have links, and no text outside of them; found in one walk, however they are nested."""
    from lxml import etree

    found, counts, links = list[Any](), [_Counts()], 0
    for event, element in etree.iterwalk(page, events=("start", "end")):
        is_link = element.tag == "a"
        if event == "start":
            links += is_link
            counts.append(_Counts(has_link=is_link))
            counts[-1].add(element.text, links > 0)
            continue
        links -= is_link
        own, around = counts.pop(), counts[-1]
        if element.tag in BLOCKS and own.has_link and own.linked == own.shown:
            found.append(element)
        around.shown += own.shown
        around.linked += own.linked
        around.has_link |= own.has_link
        around.add(element.tail, links > 0)
    return frozenset(found)


def _is_label(text: str) -> bool:
    """Is a paragraph no sentence, but a name, a day, a byline?"""
    if SENTENCE_END.search(text):
        return False
    return count_words(text) < FEWEST_WORDS or bool(_BYLINE.match(text))


def _blocks_in(value: str) -> list[Block]:
    return (
        html_blocks(value) if looks_like_html(value) else [*map(Block, unwrapped(clean(value)).split(PARAGRAPH_BREAK))]
    )


def _is_wall(page: Any, shown: str) -> bool:
    """Is what a page shows too little to be an article, or only a request to log in, or to allow something?"""
    words = count_words(shown)
    if words >= SHORT_WORDS:
        return False
    fields = (field.get("type") or "" for field in page.iter("input"))
    asks = page.find(".//article") is None and "password" in map(str.lower, fields)
    return words < FEWEST_WORDS or asks or bool(_WALL.search(shown))
