"""HTML → its text; a web page → its article, without what stands around it."""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import Any, Self

from ingest.article import article_of
from ingest.coverage import Runs, documents_in, dropped, missing, runs_of, several, words_in
from ingest.dump import captions_of, unwrapped
from ingest.encoding import decode
from ingest.fields import clean, one_line, parse_date
from ingest.markup import BLOCKS, BREAKS, SENTENCE_END, UNSEEN, blocks_of, is_unseen
from ingest.paragraphs import BETWEEN, Block, joined
from ingest.source import Content, Options, Read, is_own, whole
from rag.errors import ReadError
from rag.schema import Notice

LONGEST_TAG = 4_000
"""Characters of a tag: a longer one loses its attributes, for the parser's time grows with their square."""
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
FIRST_YEAR = 1500
"""Dates before are no dates of publication but some program's zero."""
NO_ARTICLE = "holds no article text (a login wall, or built by script?); save the page's text instead"

_AROUND = frozenset("aside figcaption figure footer header nav".split())
_AROUND_NAMES = frozenset(
    "ad ads advert advertisement author breadcrumb breadcrumbs byline caption comment comments consent cookie cookies "
    "dateline footer gdpr menu nav navigation newsletter promo recommended related share sharing sidebar signup social "
    "subscribe tags toolbar".split()
)
"""Words in the class or the id of what stands around an article."""
_INLINE = "a abbr b bdi bdo big cite code del dfn em font i img ins kbd mark q s small span strike strong sub sup u var"

_MARKUP = re.compile(
    rf"<!doctype html|</?(?:{'|'.join(sorted(BLOCKS | set(_INLINE.split())))}|br|head|link|meta|script|style|title)"
    r"(?:\s*+/?>|\s[^<>=]*+=[^<>]*+>)",
    re.IGNORECASE,
)
_PARTED = re.compile(r"<(?:p|br|div|li|pre|td|tr)\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?P<raw>script|style|template)(?=[\s/>])(?P<attributes>[^>]*+)(?:>|\Z)(?P<inside>.*?)"
    r"(?:</(?P=raw)(?=[\s/>])[^>]*+(?:>|\Z)|\Z)"
    r"|<(?P<tag>/?[a-z][^\s/<>]*+)(?:[^>=]++|=\s*+\"[^\"]*+(?:\"|\Z)|=\s*+'[^']*+(?:'|\Z)|=)*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
_SPACE, _SPACE_IN_LINE = re.compile(r"\s+"), re.compile(r"[^\S\n]+")
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
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,30});", re.IGNORECASE)
_BYLINE = re.compile(r"(?:by|von|par|por|published|updated|posted|written)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"[\W_]+")
_STORY_TYPE = re.compile(r"article|posting|report|review|story", re.IGNORECASE)
_CHANGED = re.compile(r"modif|updat|comment|relat|teaser", re.IGNORECASE)
_DATE_METAS = (
    "articlepublishedtime ogarticlepublishedtime articlepublished datepublished parselypubdate sailthrudate "
    "citationpublicationdate citationonlinedate citationdate dcdateissued dctermsissued dcdate dctermsdate "
    "dctermscreated dcdatecreated originalpublicationdate publicationdate publisheddate publishdate publishtime "
    "pubdate date datecreated"
).split()


def html_text(markup: str) -> str:
    """What a page or a fragment shows, as clean text: a blank line between paragraphs, items and rows."""
    return BETWEEN.join(block.text for block in html_blocks(markup))


def html_blocks(markup: str) -> list[Block]:
    """The paragraphs, headings, items and rows of a page or a fragment, each as clean text that is not empty."""
    if not _PARTED.search(markup):
        # Only words are marked up in it: its line ends are all that parts its paragraphs.
        markup = markup.replace("\r\n", "\n").replace("\n", "<br>\n")
    tamed = _tamed(markup)
    root, complete = _parsed(tamed)
    if not complete:
        root, _ = _parsed(_flat(tamed))
    return blocks_of(root, _SPACE, is_unseen) if root is not None else []


def looks_like_html(text: str) -> bool:
    """Does a text hold markup: a tag of HTML, not only "a < b"?"""
    return "<" in text and _MARKUP.search(text) is not None


def unescaped(text: str) -> str:
    """A text with the characters that its entities ("&rsquo;", "&#8217;") stand for."""
    return _ENTITY.sub(lambda entity: _character(entity[0]), text)


@lru_cache(1_024)
def _character(entity: str) -> str:
    root, _ = _parsed(f"<p>{entity}")
    return "".join(root.itertext())


def from_html(content: Content, options: Options) -> Read:
    """A web page: its article, with what the page states of it; headings, menus and the like are not quoted.

    The date is one that the page states, never a guess. Raises ReadError for a page without an article.
    """
    page = _page(_decoded(whole(content, options)))
    stated = _json_ld(page)
    blocks = _story(page, stated)
    fields, extra = _metadata(page, stated, content)
    shown = joined(block for block in blocks if not (block.marked and block.text == fields["title"]))
    if _is_wall(page, shown.text):
        raise ReadError(NO_ARTICLE)
    yield article_of(content, shown, fields, extra, captions_of(shown.text))
    yield from _losses(content.name, page, shown.text)


def _losses(name: str, page: Any, shown: str) -> Iterator[Notice]:
    """A notice if a page holds several documents, or if most of its prose is missing from its article."""
    every = [block.text for block in blocks_of(page, _SPACE_IN_LINE, is_unseen)]
    runs = runs_of(shown)
    documents = max(documents_in("\n".join(every)), _stories_on(page, runs))
    if documents > 1:
        yield several(name, documents)
    elif missing(every, runs):
        is_around = partial(_is_around, all_links=_all_links(page))
        left_out = missing((block.text for block in blocks_of(page, _SPACE_IN_LINE, is_around)), runs)
        yield from dropped(name, words_in(shown), sum(map(words_in, set(left_out))))


def _stories_on(page: Any, runs: Runs) -> int:
    """How many articles a page marks as such; the posts of one that has a title above them are parts of it."""
    marked = [*page.iter("article"), *page.findall(".//*[@itemprop='articleBody']")]
    stories = [one for one in marked if one.find(".//article") is None and not _is_beside(one)]
    blocks = (blocks_of(story, _SPACE_IN_LINE, is_unseen) for story in stories)
    texts = [[block.text for block in of_story if not block.marked] for of_story in blocks]
    lost = sum(sum(map(words_in, missing(text, runs))) >= STORY_WORDS for text in texts)
    if any(set(heading.iterancestors()).isdisjoint(stories) for heading in page.iter("h1")):
        return 1 + lost
    titled = (any(story.find(f".//{tag}") is not None for tag in ("h1", "h2", "h3")) for story in stories)
    full = (sum(map(words_in, text)) >= STORY_WORDS for text in texts)
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


def _tamed(markup: str) -> str:
    """The markup without what is not shown, and without what takes a parser too long."""
    return _TOKEN.sub(_tame, _CONTROL.sub("", markup))


def _tame(token: re.Match[str]) -> str:
    if token["raw"]:
        is_data = "ld+json" in token["attributes"][:LONGEST_TAG].lower()
        return f'<script type="application/ld+json">{token["inside"]}</script>' if is_data else ""
    if not token["tag"]:
        return ""
    return token[0] if token.end() - token.start() <= LONGEST_TAG else f"<{token['tag'][:20]}>"


def _flat(tamed: str) -> str:
    """Markup that is nested too deeply for any parser, as a row of paragraphs."""

    def flatten(token: re.Match[str]) -> str:
        name = (token["tag"] or "").strip("/").lower()
        return "<p>" if name in BLOCKS or name in BREAKS else ""

    return _TOKEN.sub(flatten, tamed)


def _parsed(markup: str, whole_page: bool = False) -> tuple[Any, bool]:
    """The root of the markup's tree, None if nothing is in it, and whether all of the markup is."""
    from lxml import etree, html

    # The elements of lxml.html can more, and take longer.
    make = html.HTMLParser if whole_page else etree.HTMLParser
    parser = make(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = etree.fromstring(markup.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None, True
    limit = etree.ErrorTypes.ERR_RESOURCE_LIMIT
    return root, all(entry.type != limit for entry in parser.error_log)


def _page(markup: str) -> Any:
    root, complete = _parsed(_tamed(markup), whole_page=True)
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

    _hush()
    # The library's own tree has lost most of what the page says of its parts.
    said = _Said.of(page, stated)
    document = _tried(lambda: bare_extraction(page, include_comments=False))
    if document is None:
        return []
    for heading in document.body.iter("head"):
        heading.tag = "h2"
    found = said.marked(blocks_of(document.body, _SPACE_IN_LINE, is_unseen))
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
        for block in blocks_of(page, _SPACE, lambda element: element.tag != "head" and is_unseen(element)):
            before = found.get(key := _squeezed([block.text]))
            found[key] = block if before is None or before.marked else before
        for node in stated:
            question = one_line(node.get("name")) if node.get("@type") == "Question" else ""
            found |= {_squeezed([question]): Block(question, marked=True)} if question else {}
        return cls(found)

    def marked(self, blocks: Iterable[Block]) -> list[Block]:
        """Blocks of the page's article, with what the page says of them; only headings are, if it marks all."""
        own = list(blocks)
        found = [self._marked(block) for block in own]
        return own if all(block.marked for block in found) else found

    def _marked(self, block: Block) -> Block:
        said = self.blocks.get(_squeezed([block.text]))
        if said is None:
            return block
        same_lines = said.text.count("\n") == block.text.count("\n")
        marked, lines = block.marked or said.marked, said.marked_lines if same_lines else ()
        return replace(block, marked=marked, listed=said.listed, marked_lines=lines)


def _is_fallback(page: Any, found: list[Block]) -> bool:
    """Can it be that trafilatura found no article, and took whatever the page shows?"""
    from trafilatura import baseline

    text = _squeezed(block.text for block in found)
    if len(found) == 1 or len(text) < LITTLE:
        return True
    with suppress(ReadError):
        return _squeezed([_tried(lambda: baseline(page))[1]]) == text
    return False


def _from_container(page: Any, found: list[Block]) -> list[Block]:
    """What was found on a page, without what stands around its article; all of it if nothing else would be left."""
    shown, all_links = _squeezed(block.text for block in found), _all_links(page)

    def held(root: Any) -> tuple[bool, int, list[Block]]:
        own = blocks_of(root, _SPACE, lambda element: element is not root and _is_around(element, all_links))
        there = (block for block in own if _squeezed([block.text]) in shown)
        kept = [replace(block, marked=block.marked or (not block.listed and _is_label(block.text))) for block in there]
        words = sum(words_in(block.text) for block in kept if not block.marked)
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
        length = len(_NOT_PLAIN.sub("", text)) if text else 0
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
    return words_in(text) < FEWEST_WORDS or bool(_BYLINE.match(text))


def _blocks_in(value: str) -> list[Block]:
    return html_blocks(value) if looks_like_html(value) else [*map(Block, unwrapped(clean(value)).split(BETWEEN))]


def _tried(extract: Callable[[], Any]) -> Any:
    """What trafilatura makes of a page. Raises ReadError where it fails on one; an error of our own is not caught."""
    from lxml import etree

    odd = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
    try:
        return extract()
    except (*odd, etree.LxmlError) as error:
        if is_own(error):
            raise
        problem = one_line(f"{type(error).__name__}: {error}")[:120]
        raise ReadError(f"is a page on which trafilatura fails ({problem}); save its text instead") from error


def _hush() -> None:
    """What these libraries have to say of a page goes to a log that nobody reads, or else to the terminal."""
    for name in ("trafilatura", "htmldate", "courlan"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _metadata(page: Any, stated: list[Mapping[str, Any]], content: Content) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a page states of its article, by the names of Article's fields, and what else it states."""
    from trafilatura.metadata import Document, extract_metadata

    # It guesses a date if none is stated; given no format for one, it does not.
    found = Document()
    with suppress(ReadError):
        found = _tried(lambda: extract_metadata(page, date_config={"outputformat": ""})) or found
    metas = _metas(page)
    url = _canonical(page, metas)
    site = one_line(found.sitename)
    host = url.split("//", 1)[-1].split("/", 1)[0].lower().removeprefix("www.")
    if not site or site.lower() in one_line(found.url).lower():
        # No name, but a part of its address: a feed's name for it says more.
        site = "" if content.url or content.known.get("source") else host
    fields = {
        "title": _title(page, one_line(found.title), site),
        "author": one_line(found.author).replace(";", ","),
        "date": _published(page, stated, metas),
        "source": site,
        "url": url,
        "language": _language(page, metas, stated),
    }
    return fields, {"description": found.description, "categories": found.categories, "tags": found.tags}


def _title(page: Any, title: str, site: str) -> str:
    """The title without the site's name."""
    headings = [one_line(" ".join(heading.itertext())) for heading in page.iter("h1")]
    for shorter in (*headings, title.removesuffix(site).rstrip(" |–—·•»:-")):
        rest = title.removeprefix(shorter)
        if len(shorter) > 1 and rest != title and re.match(r" [|–—·•»:-] ", rest):
            return shorter
    return title


def _metas(page: Any) -> dict[str, str]:
    """The page's meta elements: the first content of each name, in lower case without signs."""
    found: dict[str, str] = {}
    for meta in page.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv") or ""
        if value := one_line(meta.get("content") or ""):
            found.setdefault(_NOT_PLAIN.sub("", name).lower(), value)
    return found


def _canonical(page: Any, metas: Mapping[str, str]) -> str:
    links = (link.get("href") for link in page.iter("link") if "canonical" in (link.get("rel") or "").lower().split())
    return next((url for url in map(one_line, (*links, metas.get("ogurl"))) if _ADDRESS.fullmatch(url)), "")


def _language(page: Any, metas: Mapping[str, str], stated: Iterable[Mapping[str, Any]]) -> str:
    told = (node.get("inLanguage") for node in stated if isinstance(node.get("inLanguage"), str))
    marked = (element.get("lang") or element.get("xml:lang") for element in page.iter("html", "body"))
    candidates = (*marked, metas.get("contentlanguage"), metas.get("oglocale"), *told)
    return next((one_line(value) for value in candidates if value), "")


def _json_ld(page: Any) -> list[Mapping[str, Any]]:
    """The things that a page describes in its data (https://schema.org), stories first."""
    found: list[Mapping[str, Any]] = []
    for script in page.iter("script"):
        try:
            waiting = [json.loads(script.text or "", strict=False)]
        except (ValueError, RecursionError):
            continue
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting.extend(reversed(node))
            elif isinstance(node, Mapping):
                found.append(node)
                waiting.extend(node[key] for key in ("mainEntity", "@graph") if key in node)
    return sorted(found, key=lambda node: not _STORY_TYPE.search(str(node.get("@type"))))


def _published(page: Any, stated: Iterable[Mapping[str, Any]], metas: Mapping[str, str]) -> date | None:
    """The day of publication that a page states; not one that lies ahead."""
    values = [*(node.get("datePublished") for node in stated), *(metas.get(name) for name in _DATE_METAS)]
    days = map(parse_date, (*values, *_times(page)))
    latest = date.today() + timedelta(days=1)
    return next((day for day in days if day and day.year >= FIRST_YEAR and day <= latest), None)


def _times(page: Any) -> Iterator[str]:
    """Times that the page's markup says are the article's: named so, first in it, or the page's only one."""
    times = list(page.iter("time"))
    named = [element for element in page.xpath("//*[@itemprop]") if "datepublished" in element.get("itemprop").lower()]
    named += [time for time in times if time.get("pubdate") is not None]
    stories = [*page.iter("article"), *page.iter("main")]
    inside = [time for story in stories[:1] for time in story.iter("time") if not _is_aside(time)]
    only = times if len({_time(time) for time in times}) == 1 and not _is_aside(times[0]) else []
    for element in (*named, *inside, *only):
        yield _time(element)


def _is_aside(time: Any) -> bool:
    """Does it belong to something else on the page, or say when the article was changed?"""
    around = [time, *time.iterancestors()]
    if any(element.tag in ("aside", "footer", "nav") for element in around):
        return True
    marks = [f"{element.get('class') or ''} {element.get('id') or ''}" for element in around[:4]]
    return "publi" not in marks[0].lower() and any(map(_CHANGED.search, marks))


def _time(element: Any) -> str:
    return one_line(element.get("datetime") or element.get("content") or " ".join(element.itertext()))


def _is_wall(page: Any, shown: str) -> bool:
    """Is what a page shows too little to be an article, or only a request to log in, or to allow something?"""
    words = words_in(shown)
    if words >= SHORT_WORDS:
        return False
    fields = (field.get("type") or "" for field in page.iter("input"))
    asks = page.find(".//article") is None and "password" in map(str.lower, fields)
    return words < FEWEST_WORDS or asks or bool(_WALL.search(shown))
