"""Reader of web pages: the article with its metadata, without navigation, comments and other page furniture."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
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
from ingest.readers.html.metadata import call_trafilatura, json_ld, metadata_of
from ingest.readers.html.text import SPACE, SPACE_IN_LINE, bounded_markup, html_blocks, looks_like_html, parsed
from rag.errors import ReadError
from rag.schema import Notice

MOST_ELEMENTS, MOST_LEVELS = 60_000, 3_000_000
"""Limits of a page: its elements, and the sum of their depths. Extraction time grows faster than both."""
FEWEST_WORDS = 8
"""A page with fewer words holds no article; one sentence of news has more."""
ARTICLE_WORDS = 60
"""Words from which a further <article> element is an article of its own; a teaser or a comment has fewer."""
SHORT_WORDS = 80
"""A page with fewer words is no article if it mentions logging in, cookies or scripts."""
FEW_CHARACTERS = 400
"""If trafilatura finds fewer, it may have taken the whole page as one paragraph."""
NO_ARTICLE = "holds no article text (a login wall, or built by script?); save the page's text as .txt"

_FURNITURE = frozenset("aside figcaption figure footer header nav".split())
_FURNITURE_NAMES = frozenset(
    "ad ads advert advertisement author breadcrumb breadcrumbs byline caption comment comments consent cookie cookies "
    "dateline footer gdpr menu nav navigation newsletter promo recommended related share sharing sidebar signup social "
    "subscribe tags toolbar".split()
)
"""Words in the class or the id of page furniture."""
_CHARSET = re.compile(
    rb"<meta[^>]{1,200}charset\s*+=\s*+[\"']?+\s*+([\w.:-]{1,40})|<\?xml[^>]{1,80}encoding=[\"']([\w.:-]{1,40})",
    re.IGNORECASE,
)
_CODECS = re.compile(r"big5|cp\d|euc|gb|hz|iso2022|iso8859|johab|koi8|mac|shift_jis|tis")
_WIDER = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030",
          "shift_jis": "cp932", "euc_kr": "cp949"}  # fmt: skip
"""The supersets that browsers decode a declared encoding as."""
_WALL = re.compile(
    r"\b(?:log|sign)[ -]?(?:in|into|on)\b (?:to|or|with|below|here)|\bjavascript\b|\bcaptcha\b|\byou are (?:a )?human\b"
    r"|\bnot a robot\b|\baccess denied\b|\bsubscribe (?:now )?to (?:continue|read|keep)|\bchecking your browser\b"
    r"|\b(?:accept|all|enable|use|uses|using|utilise|utilisons|verwenden) (?:of )?(?:des )?cookies\b"
    r"|\bcookies? ?(?:polic|sett|prefer|notice|consent|richtlin|einstell)",
    re.IGNORECASE,
)
_BYLINE = re.compile(r"(?:by|von|par|por|published|updated|posted|written)\b", re.IGNORECASE)


def from_html(content: Content, options: Options) -> Read:
    """A web page as one article with the metadata that the page states; headings and menus are not quoted.

    Raises ReadError for a page without an article.
    """
    page = _page(_decoded(read_bytes(content, options)))
    stated = json_ld(page)
    blocks = _article_blocks(page, stated)
    fields, extra = metadata_of(page, stated, content)
    shown = join_blocks(block for block in blocks if not (block.unquotable and block.text == fields["title"]))
    if _is_wall(page, shown.text):
        raise ReadError(NO_ARTICLE)
    yield make_article(content, shown, fields, extra, captions_of(shown.text))
    yield from _losses(content.name, page, shown.text)


def _losses(name: str, page: Any, shown: str) -> Iterator[Notice]:
    """A notice if a page holds several articles, or if most of its prose is missing from the one that was made."""
    every = [block.text for block in blocks_of(page, SPACE_IN_LINE, is_unseen)]
    runs = word_runs(shown)
    documents = max(count_documents("\n".join(every)), _articles_on(page, runs))
    if documents > 1:
        yield several_documents_notice(name, documents)
    elif missing_paragraphs(every, runs):
        is_furniture = partial(_is_furniture, link_blocks=_link_blocks(page))
        left_out = missing_paragraphs((block.text for block in blocks_of(page, SPACE_IN_LINE, is_furniture)), runs)
        yield from dropped_text_notice(name, count_words(shown), sum(map(count_words, set(left_out))))


def _articles_on(page: Any, runs: WordRuns) -> int:
    """How many articles a page's markup declares; posts below a common title are parts of one."""
    declared = [*page.iter("article"), *page.findall(".//*[@itemprop='articleBody']")]
    elements = [element for element in declared if element.find(".//article") is None and not _is_teaser(element)]
    blocks = (blocks_of(element, SPACE_IN_LINE, is_unseen) for element in elements)
    texts = [[block.text for block in inside if not block.unquotable] for inside in blocks]
    lost = sum(sum(map(count_words, missing_paragraphs(text, runs))) >= ARTICLE_WORDS for text in texts)
    if any(set(heading.iterancestors()).isdisjoint(elements) for heading in page.iter("h1")):
        return 1 + lost
    titled = (any(element.find(f".//{tag}") is not None for tag in ("h1", "h2", "h3")) for element in elements)
    full = (sum(map(count_words, text)) >= ARTICLE_WORDS for text in texts)
    return max(1 + lost, sum(map(all, zip(titled, full, strict=True))))


def _is_teaser(article: Any) -> bool:
    """Whether an <article> element is a comment, or a teaser of another article."""
    names = (_names(element) for element in (article, *article.iterancestors()))
    return not {"comment", "comments", "related", "recommended", "teaser", "promo"}.isdisjoint(chain(*names))


def _names(element: Any) -> list[str]:
    """The words in an element's class and id."""
    return re.split(r"[\W_]+", f"{element.get('class') or ''} {element.get('id') or ''}".lower())


def _decoded(data: bytes) -> str:
    """A page's markup: by its byte-order mark, as UTF-8, by its declared charset, or by a guess.

    Not by charset-normalizer alone: it takes a charset that a script or a comment mentions for the declared one.
    """
    if 0 < data.count(b"\0") * 100 < len(data):
        data = data.replace(b"\0", b"")
    declared = _declared(data)
    if declared and (declared.startswith(("iso2022", "hz")) or not _is_unicode(data)):
        return data.decode(declared, "replace")
    return decode(data)


def _declared(data: bytes) -> str:
    """The encoding that a page declares, as browsers read it; empty for none, or no text encoding."""
    if declared := _CHARSET.search(data[:4096]):
        with suppress(LookupError, ValueError):
            name = codecs.lookup((declared[1] or declared[2]).decode("ascii", "ignore")).name
            return _WIDER.get(name, name) if _CODECS.match(_WIDER.get(name, name)) else ""
    return ""


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
        raise ReadError("is a page with too many elements to find an article in; save its text as .txt")
    return root


def _is_searchable(root: Any) -> bool:
    from lxml import etree

    elements = levels = level = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        level += 1 if event == "start" else -1
        if event == "start":
            elements, levels = elements + 1, levels + level
    return elements <= MOST_ELEMENTS and levels <= MOST_LEVELS


def _article_blocks(page: Any, stated: Iterable[Mapping[str, Any]]) -> list[Block]:
    """The paragraphs of a page's article; none if it has no article."""
    from trafilatura import bare_extraction

    # Built first: the tree that trafilatura returns has lost most of the markup.
    markup = _Markup.of(page, stated)
    document = call_trafilatura(lambda: bare_extraction(page, include_comments=False))
    if document is None:
        return []
    for heading in document.body.iter("head"):
        heading.tag = "h2"
    extracted = markup.applied_to(blocks_of(document.body, SPACE_IN_LINE, is_unseen))
    words = [word for block in extracted for word in block.text.split()]
    for body in (node.get("articleBody") for node in stated):
        # A text that trafilatura takes from the JSON-LD has lost its paragraphs.
        blocks = _blocks_in(body) if isinstance(body, str) else []
        if blocks and [word for block in blocks for word in block.text.split()] == words:
            return markup.applied_to(blocks)
    return _from_container(page, extracted) if _is_fallback(page, extracted) else extracted


@dataclass(frozen=True, slots=True)
class _Markup:
    """The marks that a page's markup gives its blocks, by their text without spaces."""

    blocks: Mapping[str, Block]

    @classmethod
    def of(cls, page: Any, stated: Iterable[Mapping[str, Any]]) -> Self:
        """Questions in the JSON-LD are marked; a text that occurs twice is marked only if both are."""
        blocks: dict[str, Block] = {}
        # In a page without a body tag, the parser leaves everything in the head.
        for block in blocks_of(page, SPACE, lambda element: element.tag != "head" and is_unseen(element)):
            before = blocks.get(key := _squeezed([block.text]))
            blocks[key] = block if before is None or before.unquotable else before
        for node in stated:
            question = one_line(node.get("name")) if node.get("@type") == "Question" else ""
            blocks |= {_squeezed([question]): Block(question, unquotable=True)} if question else {}
        return cls(blocks)

    def applied_to(self, blocks: Iterable[Block]) -> list[Block]:
        """The blocks of the page's article with the page's marks, unless those would mark all of it."""
        own = list(blocks)
        marked = [self._applied_to(block) for block in own]
        return own if all(block.unquotable for block in marked) else marked

    def _applied_to(self, block: Block) -> Block:
        on_page = self.blocks.get(_squeezed([block.text]))
        if on_page is None:
            return block
        same_lines = on_page.text.count("\n") == block.text.count("\n")
        marked, lines = block.unquotable or on_page.unquotable, on_page.unquotable_lines if same_lines else ()
        return replace(block, unquotable=marked, list_number=on_page.list_number, unquotable_lines=lines)


def _is_fallback(page: Any, extracted: list[Block]) -> bool:
    """Whether trafilatura may have found no article and taken everything on the page."""
    from trafilatura import baseline

    text = _squeezed(block.text for block in extracted)
    if len(extracted) == 1 or len(text) < FEW_CHARACTERS:
        return True
    with suppress(ReadError):
        return _squeezed([call_trafilatura(lambda: baseline(page))[1]]) == text
    return False


def _from_container(page: Any, extracted: list[Block]) -> list[Block]:
    """The extracted blocks without page furniture; all of them if nothing else would be left."""
    shown, link_blocks = _squeezed(block.text for block in extracted), _link_blocks(page)

    def held(root: Any) -> tuple[bool, int, list[Block]]:
        own = blocks_of(root, SPACE, lambda element: element is not root and _is_furniture(element, link_blocks))
        there = (block for block in own if _squeezed([block.text]) in shown)
        kept = [
            replace(block, unquotable=block.unquotable or (not block.list_number and _is_label(block.text)))
            for block in there
        ]
        words = sum(count_words(block.text) for block in kept if not block.unquotable)
        return words >= FEWEST_WORDS and root.find(".//h1") is not None, words, kept

    _, words, best = held(page)
    for path in (".//*[@itemprop='articleBody']", ".//article", ".//main"):
        # Only the first few: a page with many of them is a list of articles.
        titled, inner, kept = max(map(held, page.findall(path)[:10]), key=lambda item: item[:2], default=(False, 0, []))
        # Without a title, even the longest can be a teaser beside the article.
        if titled or 2 * inner >= words > 0:
            words, best = inner, kept
            break
    return best if words >= FEWEST_WORDS else extracted


def _squeezed(texts: Iterable[str]) -> str:
    return "".join("".join(texts).split())


def _is_furniture(element: Any, link_blocks: Collection[Any]) -> bool:
    """Whether an element is page furniture and no part of an article. `link_blocks` are those of its page."""
    tag = element.tag
    if tag == "head":
        # The parser can leave the whole page in it.
        return False
    if tag in UNSEEN or tag in _FURNITURE:
        return True
    if tag == "form":
        # A login form stays: it is how a login wall is recognized.
        return not _WALL.search(" ".join(element.itertext()))
    if not _FURNITURE_NAMES.isdisjoint(_names(element)):
        # A wrapper of the whole page is often named after something in it.
        return all(element.find(f".//{inner}") is None for inner in ("h1", "article", "main"))
    return element in link_blocks


@dataclass(slots=True)
class _Counts:
    """An element's letters and digits, those inside links, and whether it contains a link."""

    shown: int = 0
    linked: int = 0
    has_link: bool = False

    def add(self, text: str | None, in_link: bool) -> None:
        length = sum(map(str.isalnum, text or ""))
        self.shown += length
        self.linked += length if in_link else 0


def _link_blocks(page: Any) -> frozenset[Any]:
    """The block elements of a page whose text is all links; found in one walk, however they are nested."""
    from lxml import etree

    blocks, counts, links = list[Any](), [_Counts()], 0
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
            blocks.append(element)
        around.shown += own.shown
        around.linked += own.linked
        around.has_link |= own.has_link
        around.add(element.tail, links > 0)
    return frozenset(blocks)


def _is_label(text: str) -> bool:
    """Whether a paragraph is not a sentence but a name, a date or a byline."""
    if SENTENCE_END.search(text):
        return False
    return count_words(text) < FEWEST_WORDS or bool(_BYLINE.match(text))


def _blocks_in(value: str) -> list[Block]:
    return (
        html_blocks(value) if looks_like_html(value) else [*map(Block, unwrapped(clean(value)).split(PARAGRAPH_BREAK))]
    )


def _is_wall(page: Any, shown: str) -> bool:
    """Whether a page shows too little to be an article, or is a login, cookie or script wall."""
    words = count_words(shown)
    if words >= SHORT_WORDS:
        return False
    fields = (field.get("type") or "" for field in page.iter("input"))
    asks = page.find(".//article") is None and "password" in map(str.lower, fields)
    return words < FEWEST_WORDS or asks or bool(_WALL.search(shown))
