"""Notices: several documents in one article, and text that is missing from its article."""

from __future__ import annotations

import io
import time

import pytest

from ingest.articles.coverage import count_documents, missing_paragraphs, word_runs
from ingest.content.types import Content, Item, Options, Reader
from ingest.readers.html.page import _losses, _page, from_html
from ingest.readers.mail import from_eml
from ingest.readers.registry import kind_of
from rag.errors import ReadError
from rag.schema import Article, Notice
from tests.conftest import SAMPLE

WORDS = (
    "harbour pier storm council planks ships mayor boats tide repairs money winter spring office union ferry".split()
)


def sentence(number: int, words: int = 14) -> str:
    """A sentence that is unique."""
    return f"{' '.join(WORDS[(number * 7 + n * (number % 5 + 1)) % len(WORDS)] + str(number) for n in range(words))}."


def paragraphs(first: int, count: int, cls: str = "") -> str:
    return "".join(
        f"<p{cls}>{' '.join(sentence(1000 * first + 10 * n + m) for m in range(3))}</p>" for n in range(count)
    )


def content(name: str, data: str) -> Content:
    return Content(name, f"/{name}", lambda: io.BytesIO(data.encode()), len(data.encode()))


def read(reader: Reader, name: str, data: str) -> tuple[int, list[str]]:
    """The number of articles made of it, and the notices."""
    items: list[Item] = list(reader(content(name, data), Options()))
    made = sum(isinstance(item, Article) for item in items)
    return made, [item.reason for item in items if isinstance(item, Notice)]


def read_text(name: str, data: str) -> tuple[int, list[str]]:
    kind = kind_of(content(name, data))
    assert kind
    return read(kind.read, name, data)


STORY = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off its planks, said the harbour master."
NEXIS = "\n\n".join(
    f"                 {n} of 3 DOCUMENTS\n\nThe Bay Times\n\nMarch {n}, 2023 Tuesday\n\nStorm number {n} closes the"
    f" pier\n\nBYLINE: Ada Moor\n\nLENGTH: 10{n} words\n\n{STORY} {sentence(n)}\n\nLOAD-DATE: March {n}, 2023"
    for n in (1, 2, 3)
)
FACTIVA = "\n\n".join(
    f"HD Storm number {n} closes the pier\nWC 30{n} words\nPD {n} March 2023\n{STORY} {sentence(n)}\n"
    f"Document BAYTIM00202303{n:02}ej3e0000{n}"
    for n in range(1, 6)
)
PROQUEST = "\n\n".join(f"Document {n} of 4\n\nStorm closes the pier\n\n{STORY} {sentence(n)}" for n in range(1, 5))
MAILS = "\n\n".join(
    f"From: Ada <ada@bay.example>\nSent: Tuesday\nTo: Bob\nSubject: Pier {n}\n\n{STORY} {sentence(n)}" for n in (1, 2)
)
DATED = "\n\n".join(f"Storm number {n} closes the pier\n{n} March 2023\n\n{STORY} {sentence(n)}" for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "documents"), [(NEXIS, 3), (FACTIVA, 5), (PROQUEST, 4), (MAILS, 2), (DATED, 3)], ids=range(5)
)
def test_lines_between_documents_are_counted(text: str, documents: int) -> None:
    assert count_documents(text) == documents
    made, told = read_text("export.txt", text)
    if made < documents:
        assert told == [
            f"seems to hold {documents} documents, but {'one article was' if made == 1 else f'{made} articles were'} "
            "made of it; save each as its own file"
        ]


@pytest.mark.parametrize(
    "text",
    [
        STORY,
        f"{STORY}\n\n" * 30,
        f"Photo 1 of 12\n\n{STORY}\n\nPage 2 of 12\n\n{STORY}\n\n3 of 12",
        f"Title: Pier\nDate: 5 March 2024\n\n{STORY}",
        f"From: Ada\nSubject: Pier\n\n{STORY}",
        f"Timeline\n\n5 March 2024\n\n{STORY}\n\n6 March 2024\n\n{STORY}\n\n7 March 2024\n\n{STORY}",
        f"{STORY}\n\n300 words",
        "",
    ],
)
def test_one_document_is_one(text: str) -> None:
    assert count_documents(text) <= 1
    assert read_text("story.txt", text)[1] == []


def test_no_sample_article_is_taken_for_several() -> None:
    found = []
    for path in sorted(SAMPLE.rglob("*")):
        if path.suffix in (".txt", ".md"):
            found += read_text(path.name, path.read_text("utf-8"))[1]
    assert found == []


def news(count: int, *, related: int = 10, comments: int = 30) -> str:
    """An ordinary page: menus, a request for consent, teasers with summaries, readers' comments, legal words."""
    menu = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in WORDS * 3)
    teasers = "".join(
        f'<li><a href="/{n}"><h3>{sentence(n, 8)}</h3></a><p>{sentence(n, 22)}</p></li>' for n in range(related)
    )
    said = "".join(f'<li class="comment"><div>{paragraphs(n + 50, 1)}</div></li>' for n in range(comments))
    said += "".join(f'<article class="comment-body">{paragraphs(n + 90, 2)}</article>' for n in range(comments))
    return f"""<html><head><title>Storm closes the pier</title></head><body><header><nav><ul>{menu}</ul></nav></header>
        <div class="banner" id="cookie-consent">{paragraphs(40, 3)}</div><main><article><h1>Storm closes the pier</h1>
        <p class="byline">By Ada Moor</p>{paragraphs(1, count)}</article>
        <section><h2>More</h2><ul>{teasers}</ul></section><section id="comments">{said}</section></main>
        <footer>{paragraphs(41, 2)}</footer></body></html>"""


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_an_ordinary_page_gives_no_notice(count: int) -> None:
    assert read(from_html, "news.html", news(count)) == (1, [])
    assert read(from_html, "news.html", news(count, related=40, comments=0)) == (1, [])


def test_a_live_blog_is_one_article() -> None:
    posts = "".join(
        f"<article><time>10:{n}</time><h2>{sentence(n, 8)}</h2>{paragraphs(n, 2)}</article>" for n in range(12)
    )
    assert read(from_html, "live.html", f"<main><h1>Live: the storm</h1>{posts}</main>") == (1, [])


def story(n: int, count: int) -> str:
    return f"<h2>{sentence(n, 8)}</h2>{paragraphs(n, count, ' class=articleParagraph')}"


@pytest.mark.parametrize(("count", "paragraph_count"), [(3, 4), (20, 12), (100, 5)])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<article>", "</article>"),
        ("<article><header><h1>Pier</h1></header><div class='entry-content'>", "</div></article>"),
        ("<div class='article enArticle'><div>300 words</div>", "<p>Document BAYTIM0020230310ej3e00000</p></div>"),
        ("<div itemprop='articleBody'>", "</div>"),
    ],
)
def test_a_page_of_several_articles_gives_a_notice(count: int, paragraph_count: int, before: str, after: str) -> None:
    page = "".join(f"{before}{story(n, paragraph_count)}{after}" for n in range(1, count + 1))
    made, told = read(from_html, "factiva.html", f"<html><body><div id='content'>{page}</div></body></html>")
    assert (made, len(told)) == (1, 1)
    assert told[0].startswith(f"seems to hold {count} documents, but one article was made of it; ")


def test_a_page_whose_text_is_mostly_dropped_gives_a_notice() -> None:
    posts = "".join(f"<div class='post'><div class='post-content'>{story(n, 12)}</div></div>" for n in range(1, 21))
    made, [told] = read(from_html, "blog.html", f"<html><body><div id='main'>{posts}</div></body></html>")
    assert made == 1
    assert told.startswith("about 95 % of its text is not in its article; ")


def test_a_digest_of_letters_gives_a_notice() -> None:
    letters = "".join(
        f"--x\nContent-Type: message/rfc822\n\nFrom: Ada\nSubject: Pier {n}\n\n{sentence(n)}\n" for n in (1, 2, 3)
    )
    head = "From: list@bay.example\nSubject: Digest\nMIME-Version: 1.0\nContent-Type: multipart/digest; boundary=x\n\n"
    made, [told] = read(from_eml, "digest.eml", f"{head}{letters}--x--\n")
    assert (made, "3 documents" in told) == (1, True)


def test_paragraphs_are_recognized_however_they_are_broken() -> None:
    texts = [f"{sentence(n, 30)}" for n in range(5)]
    assert missing_paragraphs(texts, word_runs(" ".join(texts[1:]))) == texts[:1]
    assert missing_paragraphs(texts, word_runs("\n".join(texts).replace(" ", "\n"))) == []
    japanese = "港は火曜日に閉鎖されたと市の担当者が記者会見で述べた。" * 3
    assert missing_paragraphs([japanese], word_runs("別の記事です。")) == [japanese]
    assert missing_paragraphs([japanese], word_runs(japanese)) == []


def test_the_time_is_linear_in_the_page() -> None:
    def spent(count: int) -> float:
        page = _page(
            f"<body>{''.join(f'<article><h2>A</h2>{paragraphs(n, 2)}</article>' for n in range(count))}</body>"
        )
        times = []
        for _ in range(3):
            start = time.process_time()
            list(_losses("x", page, "Nothing."))
            times.append(time.process_time() - start)
        return min(times)

    assert spent(1600) < 12 * spent(400)


def test_many_document_lines_are_counted_in_linear_time() -> None:
    for text in ("From: a\n" * 50_000, "1 of 3\n" * 50_000, "Document " * 50_000, " " * 300_000, "-" * 300_000):
        assert count_documents(text) <= 50_000
    with pytest.raises(ReadError):
        read(from_html, "x.html", "<p>")
