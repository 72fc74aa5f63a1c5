"""PDF, Word and EPUB files made by hand: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content.types import Content, Limits, Options
from ingest.readers.documents.article import stated_title
from ingest.readers.documents.epub import page_blocks
from ingest.readers.documents.pdf import Hints, Words, paragraphs, without_furniture
from ingest.readers.documents.reader import document_kind, from_document
from ingest.readers.registry import ISOLATED_READERS, PDF
from ingest.readers.sandbox import Sandbox
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice
from tests.conftest import ROOT

STORY = [
    "The harbour council said on Tuesday that the inter-",
    "national talks about the pier had ended without any",
    "agreement. The dockers left the town hall after the",
    "meeting. “We are not pleased,” said Ada Moor, who is",
    "their leader. Forty-two ships waited outside.",
]
TEXT = (
    "The harbour council said on Tuesday that the international talks about the pier had ended without any agreement. "
    "The dockers left the town hall after the meeting. “We are not pleased,” said Ada Moor, who is their leader. "
    "Forty-two ships waited outside."
)
PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
INFO = {"Title": "The pier: closed", "Author": "Ada Moor", "CreationDate": "D:20240305101112+01'00'"}


def rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i, j, out = 0, 0, bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def pdf(pages: Sequence[Sequence[str]], info: Mapping[str, str] = INFO, password: bytes | None = None) -> bytes:
    """A PDF of these lines in Helvetica; a line that starts with "# " is large. A password encrypts it."""
    user = ((password or b"") + PADDING)[:32]
    owner = rc4(hashlib.md5(user).digest()[:5], user)
    key = hashlib.md5(user + owner + b"\xfc\xff\xff\xff" + b"identity").digest()[:5]

    def sealed(number: int, data: bytes) -> bytes:
        own = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
        return data if password is None else rc4(own, data)

    def drawn(line: str) -> bytes:
        plain = line.removeprefix("# ").encode("cp1252")
        escaped = plain.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        return b"/F1 %d Tf (%s) Tj T*" % (24 if line.startswith("# ") else 12, escaped)

    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for lines in pages:
        number = len(objects) + 1
        page = f"/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents {number + 1} 0 R"
        text = sealed(number + 1, b"BT 72 720 Td 28 TL\n" + b"\n".join(map(drawn, lines)) + b"\nET")
        objects += [f"<</Type/Page{page}>>".encode(), b"<</Length %d>>stream\n%s\nendstream" % (len(text), text)]
    number = len(objects) + 1
    told = "".join(f"/{name}<{sealed(number, value.encode('latin-1')).hex()}>" for name, value in info.items())
    objects.append(f"<<{told}>>".encode())
    trailer = f"/Root 1 0 R/Info {number} 0 R"
    if password is not None:
        locked = f"<</Filter/Standard/V 1/R 2/P -4/O<{owner.hex()}>/U<{rc4(key, PADDING).hex()}>>>"
        objects.append(locked.encode())
        trailer += f"/Encrypt {number + 1} 0 R/ID[<{b'identity'.hex()}><{b'identity'.hex()}>]"
    out, places = bytearray(b"%PDF-1.4\n"), list[int]()
    for count, thing in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (count, thing)
    listed = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{listed}trailer\n<</Size {len(objects) + 1}{trailer}>>"
    return bytes(out) + f"{end}\nstartxref\n{len(out)}\n%%EOF\n".encode()


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(zipfile.ZipInfo(name), text.encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CORE = """<c:coreProperties xmlns:c="urn:c" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:t="http://purl.org/dc/terms/">
<dc:title>{title}</dc:title><dc:creator>Ada Moor</dc:creator><dc:language>en-GB</dc:language>
<dc:subject>Piers</dc:subject><t:created>2024-03-05T10:00:00Z</t:created></c:coreProperties>"""
STYLES = f"""<w:styles xmlns:w="{WORD}"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="V1"><w:name w:val="toc 1"/></w:style></w:styles>"""


def docx(body: str, title: str = "Pier report", **more: str) -> bytes:
    parts = {
        "word/document.xml": f'<w:document xmlns:w="{WORD}" xmlns:mc="urn:mc"><w:body>{body}</w:body></w:document>',
        "word/styles.xml": STYLES,
        "docProps/core.xml": CORE.format(title=title),
    }
    return zipped({**parts, **more})


def p(text: str, style: str = "") -> str:
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{styled}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def epub(chapters: Sequence[str], told: str = "", **more: str) -> bytes:
    items = "".join(
        f'<item id="c{i}" href="text/chapter%20{i}.xhtml" media-type="application/xhtml+xml"/>'
        for i in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    nav = '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:opf="urn:opf">{told}</metadata><manifest>{nav}{items}</manifest>'
        f'<spine><itemref idref="nav"/>{spine}</spine></package>'
    )
    pages = {f"OEBPS/text/chapter {i}.xhtml": page for i, page in enumerate(chapters)}
    container = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OEBPS/book.opf": package}
    return zipped({**parts, "OEBPS/nav.xhtml": "<p>Contents</p>", **pages, **more})


def xhtml(body: str) -> str:
    head = '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
    return f"{head}<head><title/><style>p {{color: red}}</style></head><body>{body}</body></html>"


def content(data: bytes, name: str = "books/my_report-2.bin") -> Content:
    return Content(name, f"/home/{name}", lambda: io.BytesIO(data), len(data))


def read(data: bytes, options: Options = Options()) -> Article:  # noqa: B008
    [article] = from_document(content(data), options)
    assert isinstance(article, Article)
    return article


def captions(article: Article) -> list[str]:
    return [article.text[start:end] for start, end in article.captions]


def test_a_pdf_is_read_as_paragraphs() -> None:
    pages = [
        ["The Bay Review 1", "# The strike", *STORY, "Another paragraph begins with this line and goes on"],
        ["The Bay Review 2", "with this one, on the second page. It has an end.", "# What it costs", "Ten crowns."],
        ["The Bay Review 3", "Nothing more is said."],
    ]
    article = read(pdf(pages))
    assert article.text.split("\n\n") == [
        "The strike",
        TEXT,
        "Another paragraph begins with this line and goes on with this one, on the second page. It has an end.",
        "What it costs",
        "Ten crowns.",
        "Nothing more is said.",
    ]
    assert captions(article) == ["The strike", "What it costs"]
    assert (article.title, article.author, article.published) == ("The pier: closed", "Ada Moor", date(2024, 3, 5))
    assert (article.id, article.source) == ("books/my_report-2.bin", "my_report-2.bin")
    assert article.extra == (("pages", "3"),)


@pytest.mark.parametrize("title", ["Microsoft Word - draft.doc", "untitled", "", "draft-3.pdf", "---", "Document1"])
def test_a_title_filled_in_by_a_program_is_dropped(title: str) -> None:
    assert read(pdf([["Text of a page."]], {"Title": title})).title == "my report 2"


@pytest.mark.parametrize("title", ["Word on the street", "Title fight", "1984: a year", "Web 2.0", "Tide"])
def test_a_title_written_by_a_person_stays(title: str) -> None:
    assert stated_title(title, "a.pdf") == title


def test_a_pdf_without_text_is_refused() -> None:
    for pages in ([[], []], [[" "]]):
        with pytest.raises(ReadError, match="OCR"):
            read(pdf(pages))


def notices(data: bytes) -> list[str]:
    return [item.reason for item in from_document(content(data), Options()) if isinstance(item, Notice)]


def test_a_document_of_several_articles_is_noticed() -> None:
    page = ["Text of a page, which goes on for a while and has an end."]
    assert notices(pdf([page, page, []])) == []
    [told] = notices(pdf([page, [], [], []]))
    assert told == "3 of its 4 pages hold no text (scans?); run it through OCR first"
    export = "".join(p(f"{n} of 3 DOCUMENTS") + p(f"Storm number {n} closes the pier.") for n in (1, 2, 3))
    assert notices(docx(export))[0].startswith("seems to hold 3 documents, but one article was made of it")
    assert notices(docx(p("Storm closes the pier."))) == []


def test_a_pdf_with_a_password_is_refused_and_one_with_an_empty_one_is_read() -> None:
    with pytest.raises(ReadError, match="with a password; save"):
        read(pdf([["Text of a page."]], password=b"secret"))
    article = read(pdf([["Text of a page."]], password=b""))
    assert (article.text, article.title) == ("Text of a page.", "The pier: closed")


@pytest.mark.parametrize("data", [b"%PDF-", b"%PDF-1.7\nnothing", pdf([STORY])[:300], pdf([])])
def test_a_broken_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(ReadError, match="broken PDF"):
        read(data)


def test_the_error_without_kreuzberg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kreuzberg", None)
    with pytest.raises(ReadError, match=r"is a PDF.*pip install 'pullquote\[documents\]'"):
        read(pdf([STORY]))
    assert read(docx(p("Needs no package."))).text == "Needs no package."


def test_reading_a_pdf_leaves_no_files_and_no_noise(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    (tmp_path / "a.pdf").write_bytes(pdf([STORY]))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\nfrom ingest.content.types import *\n"
        "from ingest.readers.documents.reader import from_document\n"
        "[a] = from_document(Content('a', 'a', lambda: open('a.pdf', 'rb'), 1), Options())\nassert a.text\n"
    )
    environment = {"HOME": str(home), "TMPDIR": str(temporary), "RUST_LOG": "trace", "RUST_BACKTRACE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code, ROOT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not list(home.rglob("*"))
    # PDFium is unpacked here; the sandbox gives a folder of its own for it.
    assert {path.name for path in temporary.iterdir()} <= {"kreuzberg-pdfium"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "temporary", "a.pdf"}


def test_hyphenated_words_are_rejoined() -> None:
    words = Words.of(["This is well-known and commonly re-used, a common cause. The news paper"])
    for broken, whole in {
        "inter\x02national": "international",
        "inter-\nnational": "international",
        "com\x02monly": "commonly",
        "well\x02known": "well-known",
        "com\x02mon cause": "common cause",
        "news\x02paper": "news-paper",
        "forty\x02two": "forty-two",
        "pre-\nand post-war": "pre- and post-war",
        "well-known": "well-known",
        "pre- and post-war": "pre- and post-war",
        "2020-\n2024": "2020- 2024",
        "A\nline": "A line",
    }.items():
        assert words.rejoined(broken) == whole


def test_running_heads_and_page_numbers_are_dropped() -> None:
    bodies = [["First page says this."], ["The second says that."], ["On the third it ends.", "In 1999."]]
    framed = [[f"Chapter {n}: The tide {n + 7}", "The Bay Review", *body, f"– {n} –"] for n, body in enumerate(bodies)]
    assert without_furniture(framed, ()) == bodies
    assert without_furniture(bodies, ()) == bodies
    # A head with a number is known by two pages, if the number is that of the page.
    assert without_furniture([["Tides 3", "a"], ["Tides 4", "b"], ["Years 7", "c"], ["Years 7", "d"]], ()) == [
        ["a"],
        ["b"],
        ["Years 7", "c"],
        ["Years 7", "d"],
    ]
    # A title that heads the pages of a book stays on its first.
    book = [["The Tide", "a b c"], ["The Tide", "d e f"], ["The Tide", "g h i"]]
    assert without_furniture(book, {"thetide"}) == [["The Tide", "a b c"], ["d e f"], ["g h i"]]
    assert without_furniture([["Same."], ["Same."]], ()) == [["Same."], ["Same."]]


def test_paragraphs_are_never_cut_within_a_sentence() -> None:
    lines = ["A line of some length that is full", "and goes on", "with small letters.", "Then comes", "The End"]
    hints = Hints.of("# Then\n\nand goes on\n\nwith small letters.")
    assert next(block.text for block in paragraphs([lines], hints)) == "\n".join(lines[:3])


@settings(max_examples=50)
@given(st.lists(st.lists(st.text("ab. \x02-1A", min_size=1), max_size=6), max_size=5), st.text("ab #*\n"))
def test_no_line_is_lost(pages: list[list[str]], markdown: str) -> None:
    pages = [[line.strip() or "x" for line in page] for page in pages]
    found = list(paragraphs(pages, Hints.of(markdown)))
    assert " ".join(block.text.replace("\n", " ") for block in found) == " ".join(
        line for page in pages for line in page
    )


def test_a_word_document_is_read_as_word_shows_it() -> None:
    run = (
        "<w:p><w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr><w:r><w:t>Name:</w:t><w:tab/>"
        "<w:t>Ada</w:t><w:br/><w:t>co</w:t><w:noBreakHyphen/><w:t>op</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> new</w:t></w:r></w:ins><w:r><w:instrText> PAGE </w:instrText></w:r></w:p>"
    )
    rows = (("Year", "Ships"), ("2023", "14"))
    table = "".join(f"<w:tr><w:tc>{p(one)}</w:tc><w:tc>{p(two)}</w:tc></w:tr>" for one, two in rows)
    layout = f"<w:tbl><w:tr><w:tc>{p('Left one.')}{p('Left two.')}</w:tc><w:tc>{p('Right.')}</w:tc></w:tr></w:tbl>"
    box = (
        f"<w:p><mc:AlternateContent><mc:Choice><w:txbxContent>{p('In a box.')}</w:txbxContent></mc:Choice>"
        f"<mc:Fallback><w:txbxContent>{p('In a box.')}</w:txbxContent></mc:Fallback></mc:AlternateContent></w:p>"
    )
    body = p("What it costs", "berschrift1") + p("AT&amp;T said it&#8217;s 5 &lt; 6 *.") + run
    article = read(
        docx(
            p("Contents 1", "V1") + body + f"<w:tbl>{table}</w:tbl>" + layout + box + "<w:p/>" + p("Soft\u00adhyphen.")
        )
    )
    assert article.text.split("\n\n") == [
        "What it costs",
        "AT&T said it’s 5 < 6 *.",
        "Name: Ada\nco-op new",
        "Year | Ships",
        "2023 | 14",
        "Left one.",
        "Left two.",
        "Right.",
        "In a box.",
        "Softhyphen.",
    ]
    assert captions(article) == ["What it costs"]
    assert (article.title, article.author, article.language) == ("Pier report", "Ada Moor", "en")
    assert article.published == date(2024, 3, 5)
    assert article.extra == (("subject", "Piers"),)


def test_a_word_document_without_a_title_has_that_of_its_first_heading() -> None:
    article = read(docx(p("The pier", "berschrift1") + p("Text."), title=""))
    assert (article.title, article.text) == ("The pier", "Text.")
    assert read(docx(p("Text."), title="Document1")).title == "my report 2"


def test_a_word_document_whose_text_stands_elsewhere() -> None:
    relations = '<Relationships><Relationship Type="x/officeDocument" Target="/word/document2.xml"/></Relationships>'
    text = f'<w:document xmlns:w="{WORD}"><w:body>{p("Elsewhere.")}</w:body></w:document>'
    assert read(docx("", **{"_rels/.rels": relations, "word/document2.xml": text})).text == "Elsewhere."


def test_an_e_book_is_read_in_its_order() -> None:
    one = xhtml(
        "<div><h1>Chapter<br/>One</h1><p><span class='dropcap'>I</span>t was a “bright” day —\n  it’s true<i>ish</i>"
        "<a epub:type='noteref' href='#n'>1</a>.<a id='x'/></p>"
        "<p>Roses &amp; thorns&nbsp;&mdash;<br/>5 &lt; 6. a_b *c*</p></div>"
    )
    two = xhtml(
        "<p>Second chapter.</p><div>Loose <p>inner</p> tail</div><ul><li><p>One.</p><p>Two.</p></li><li>Deep<ul><li>"
        "Deeper</li></ul></li></ul><table><tr><td>a</td><td>b</td></tr></table><figure><img src='x.png' alt='no'/>"
        "<figcaption>A picture.</figcaption></figure><script>alert(1)</script><pre>x\n  y</pre><p/><h2/>"
        "End<!-- note -->ing."
    )
    told = (
        "<dc:title>The Tide</dc:title><dc:creator>Ada Moor</dc:creator><dc:creator>Bob Hill</dc:creator>"
        "<dc:language>en-GB</dc:language><dc:publisher>Bay Press</dc:publisher>"
        "<dc:identifier>urn:isbn:1</dc:identifier>"
        "<dc:date opf:event='creation'>2020-01-01</dc:date><dc:date opf:event='publication'>1999-05-06</dc:date>"
        "<dc:description>&lt;p&gt;About &lt;b&gt;tides&lt;/b&gt;.&lt;/p&gt;</dc:description>"
    )
    article = read(epub([one, two], told))
    assert article.text.split("\n\n") == [
        "Chapter One",
        "It was a “bright” day — it’s trueish.",
        "Roses & thorns —\n5 < 6. a_b *c*",
        "Second chapter.",
        *("Loose", "inner", "tail", "One.", "Two.", "Deep", "Deeper", "a | b", "A picture.", "x\ny", "Ending."),
    ]
    assert captions(article) == ["Chapter One", "A picture."]
    assert (article.title, article.author, article.source) == ("The Tide", "Ada Moor, Bob Hill", "Bay Press")
    assert (article.published, article.language) == (date(1999, 5, 6), "en")
    assert article.extra == (("description", "About tides."), ("identifier", "urn:isbn:1"))


def test_a_long_book_is_one_article() -> None:
    chapter = xhtml("<h1>Chapter</h1>" + "<p>It was a dark and stormy night, and the rain fell in torrents.</p>" * 200)
    article = read(epub([chapter] * 50))
    assert len(article.text) > 600_000
    assert article.text.count("Chapter") == 50


def test_a_protected_book_is_refused() -> None:
    locked = "<encryption><CipherReference URI='{}'/></encryption>"
    with pytest.raises(ReadError, match="DRM"):
        read(epub(["<p>x</p>"], **{"META-INF/encryption.xml": locked.format("OEBPS/text/chapter%200.xhtml")}))
    assert read(epub(["<p>x</p>"], **{"META-INF/encryption.xml": locked.format("OEBPS/a.otf")})).text == "x"


ENTITIES = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'><!ENTITY f SYSTEM 'file:///etc/passwd'>]>"


def test_entities_are_neither_resolved_nor_loaded() -> None:
    text = f'{ENTITIES}<w:document xmlns:w="{WORD}"><w:body>{p("one &b; &f; two")}</w:body></w:document>'
    assert read(docx("", **{"word/document.xml": text})).text.split() in (["one", "two"], ["one"])
    found = read(epub([f"{ENTITIES}<html><p>one &b; &f; two</p></html>"])).text
    assert "haha" not in found
    assert "root:" not in found


@pytest.mark.parametrize("maker", [lambda text: docx(p(text)), lambda text: epub([xhtml(f"<p>{text}</p>")])])
def test_a_document_that_unpacks_to_too_much_is_refused(maker: object) -> None:
    data = maker("x" * 50_000)  # type: ignore[operator]
    with pytest.raises(ReadError, match="unpacks to more than 40,000 bytes"):
        read(data, Options(limits=Limits(bytes=40_000)))
    with pytest.raises(ReadError, match="larger than 100 bytes"):
        read(data, Options(limits=Limits(bytes=100)))


@pytest.mark.parametrize(
    "data",
    [
        docx("<w:p><w:r>"),
        docx("", **{"word/document.xml": ""}),
        docx("", **{"word/styles.xml": "<a>"}),
        epub([], **{"META-INF/container.xml": "<container/>"}),
        epub([], **{"OEBPS/book.opf": "no XML"}),
        epub(["\0\1\2"]),
    ],
)
def test_a_broken_document_is_refused(data: bytes) -> None:
    with pytest.raises(ReadError, match="is broken"):
        read(data)


def test_a_document_without_text_is_a_failure() -> None:
    for data in (docx(""), docx(p(" ")), epub([]), epub([xhtml("")]), epub([""])):
        [failure] = from_document(content(data), Options())
        assert isinstance(failure, Failure)


def test_pages_nested_to_any_depth() -> None:
    assert list(page_blocks("")) == []
    assert list(page_blocks("<!-- nothing -->")) == []
    assert "deep" in str(list(page_blocks("<div>" * 200 + "deep")))
    list(page_blocks("<div>" * 50_000 + "too deep"))


OLD_WORD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize("data", [b"", b"Text.", b"PK\x03\x04", zipped({"a.txt": "x"}), OLD_WORD])
def test_files_that_are_not_documents_are_refused(data: bytes) -> None:
    assert document_kind(content(data), data) == ""
    with pytest.raises(ReadError, match=r"save it as \.docx"):
        read(data)


SEEDS = (
    pdf([["# The strike", *STORY], STORY]),
    pdf([STORY], password=b""),
    docx(p("What it costs", "berschrift1") + p("Text of it.")),
    epub([xhtml("<h1>One</h1><p>Text of it.</p>")], "<dc:title>The Tide</dc:title>"),
)


@pytest.fixture(scope="module")
def sandbox() -> object:
    with Sandbox(Options(limits=Limits(seconds=20)), ISOLATED_READERS) as own:
        yield own


def test_a_pdf_that_makes_the_library_panic_costs_one_source(sandbox: Sandbox) -> None:
    # Its lock stays poisoned: the process that it happened in can read no PDF any more.
    with pytest.raises(ReadError, match="crashed"):
        list(sandbox.read(PDF.reader, content(pdf([STORY], {"CreationDate": "D:202é0305"}))))
    assert len(list(sandbox.read(PDF.reader, content(pdf([STORY]))))) == 1


@settings(max_examples=250)
@given(seed=st.sampled_from(SEEDS), randomness=st.integers(0, 10**9))
def test_broken_documents_fail_as_they_should(sandbox: Sandbox, seed: bytes, randomness: int) -> None:
    draw = random.Random(randomness)
    data = bytearray(seed[: draw.randrange(len(seed))] if draw.random() < 0.3 else seed)
    for _ in range(draw.choice([0, 1, 3, 20])):
        if data:
            data[draw.randrange(len(data))] = draw.randrange(256)
    found, problem = list[Article | Failure](), ""
    try:
        found = list(sandbox.read(PDF.reader, content(bytes(data))))
    except ReadError as error:
        problem = str(error)
    assert "took longer" not in problem
    for item in found:
        assert not isinstance(item, Article) or all(item.text[start:end] for start, end in item.captions)


@settings(max_examples=150)
@given(st.text("<>/&;# abcdiv\"'=!-[]", max_size=60), st.text("<>/&;w:ptrbc ", max_size=60))
def test_any_markup_is_text_or_refused(page: str, body: str) -> None:
    for data in (epub([xhtml(page)]), docx(body)):
        try:
            found = list(from_document(content(data), Options()))
        except ReadError:
            continue
        assert len(found) == 1


HEADINGS = f"""<w:styles xmlns:w="{WORD}"><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Own"><w:name w:val="Our part"/><w:basedOn w:val="H1"/></w:style>
<w:style w:styleId="Outlined"><w:name w:val="x"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
<w:style w:styleId="Points"><w:name w:val="y"/><w:pPr><w:numPr/></w:pPr></w:style></w:styles>"""


def set_in(text: str, how: str) -> str:
    return f"<w:p><w:r><w:rPr>{how}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


@pytest.mark.parametrize(
    ("body", "marked"),
    [
        (p("What it costs", "Own"), True),
        (p("What it costs", "Outlined"), True),
        (set_in("What it costs", "<w:b/>"), True),
        (set_in("What it costs", '<w:b w:val="0"/>'), False),
        (set_in("What it costs", "<w:i/>"), False),
        (set_in("It costs ten.", "<w:b/>"), False),
        (set_in("It costs this:", "<w:b/>"), False),
        (set_in("What does it cost?", "<w:i/>"), True),
        (p("What does it cost?"), False),
        ("<w:p><w:pPr><w:rPr><w:b/></w:rPr></w:pPr><w:r><w:t>What it costs</w:t></w:r></w:p>", False),
        ("<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>What</w:t></w:r><w:r><w:t> it costs</w:t></w:r></w:p>", False),
        ("<w:p><w:hyperlink><w:r><w:t>Read the whole story</w:t></w:r></w:hyperlink></w:p>", True),
        ("<w:p><w:r><w:t>He </w:t></w:r><w:hyperlink><w:r><w:t>said</w:t></w:r></w:hyperlink></w:p>", False),
    ],
)
def test_marked_blocks_of_a_word_document_are_not_quoted(body: str, *, marked: bool) -> None:
    article = read(docx(p("It is closed.") + body + p("It opens in May."), **{"word/styles.xml": HEADINGS}))
    assert captions(article) == (article.text.split("\n\n")[1:2] if marked else [])


def test_the_header_row_of_a_word_table_is_not_quoted() -> None:
    def row(one: str, two: str, more: str = "") -> str:
        return f"<w:tr><w:trPr>{more}</w:trPr><w:tc>{p(one)}</w:tc><w:tc>{p(two)}</w:tc></w:tr>"

    table = f"<w:tbl>{row('Day', 'No .', '<w:tblHeader/>')}{row('Monday', '7')}</w:tbl>"
    article = read(docx(p("It is open:") + table + p("It is closed.")))
    assert captions(article) == ["Day | No ."]
    assert [article.text[start:end] for start, end in article.lists] == ["Day | No .\n\nMonday | 7"]


def test_a_list_of_a_word_document_goes_with_its_colon() -> None:
    item = '<w:p><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>bread</w:t></w:r></w:p>'
    body = p("Bring:") + item + p("salt", "Points") + p("It is closed.")
    article = read(docx(body, **{"word/styles.xml": HEADINGS}))
    assert [article.text[start:end] for start, end in article.lists] == ["bread\n\nsalt"]


def test_marked_blocks_of_a_book_are_not_quoted() -> None:
    links = "<ol><li><a href='a'>One</a></li><li><a href='b'>Two</a></li></ol>"
    page = (
        f"<p>It is closed.</p>{links}<p><b>And why?</b></p><p>Bring:</p><ul><li>bread</li></ul>"
        "<table><tr><th>Day</th><th>Open</th></tr><tr><td>Monday</td><td>No</td></tr></table><hd>A part</hd><p>End.</p>"
    )
    article = read(epub([xhtml(page)]))
    assert captions(article) == ["One", "Two", "And why?", "Day | Open", "A part"]
    assert [article.text[start:end] for start, end in article.lists] == ["bread"]


def test_bold_lines_of_a_pdf_are_headings() -> None:
    found = list(
        paragraphs(
            [["Who will pay for it", "The council will pay for all of it."]], Hints.of("**Who will pay for it**")
        )
    )
    assert next((block.text, block.unquotable) for block in found) == ("Who will pay for it", True)
