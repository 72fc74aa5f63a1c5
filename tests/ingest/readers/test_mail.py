"""Messages and mailboxes: what is read, and what is left out."""

from __future__ import annotations

import io
import mailbox
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content.blocks import Block
from ingest.content.types import Content, Options
from ingest.readers import mail
from ingest.readers.mail import from_eml, messages, plain_blocks
from rag.errors import ReadError
from rag.schema import Article, Failure

HEAD = """From: "Moor, Ada" <ada@bay.example>
To: readers@bay.example
Subject: The pier is closed
Date: Tue, 05 Mar 2024 23:30:00 -0800 (PST)
Message-ID: <one@bay.example>
Content-Language: en-GB
MIME-Version: 1.0
"""
WRAPPED = """The harbour council said on Tuesday that the talks about the pier had
ended without any agreement, and that it would meet again in one week
from now.

Nobody else was ready to comment on it.
"""
STORY = (
    "The harbour council said on Tuesday that the talks about the pier had ended without any agreement, and that it "
    "would meet again in one week from now.\n\nNobody else was ready to comment on it."
)


def content(data: bytes, name: str = "mails/pier.eml") -> Content:
    return Content(name, f"/home/{name}", lambda: io.BytesIO(data), len(data))


def eml(text: str | bytes) -> Article:
    [article] = from_eml(content(text.encode() if isinstance(text, str) else text), Options())
    assert isinstance(article, Article)
    return article


def mbox(text: str | bytes) -> list[Article | Failure]:
    return list(in_mbox(content(text.encode() if isinstance(text, str) else text, "news.mbox")))


def in_mbox(held: Content) -> Iterator[Article | Failure]:
    """What each message of an mbox is read as."""
    for message in messages(held):
        if isinstance(message, Failure):
            yield message
            continue
        try:
            yield from from_eml(message, Options())
        except ReadError as error:
            yield Failure(message.name, str(error))


def test_a_message_with_its_fields() -> None:
    article = eml(f"{HEAD}\n{WRAPPED}")
    assert (article.id, article.title, article.text) == ("one@bay.example", "The pier is closed", STORY)
    assert (article.author, article.source, article.language) == ("Moor, Ada", "Moor, Ada", "en")
    assert article.published == date(2024, 3, 5)  # the day that it states, whatever it is elsewhere
    assert article.origin == "/home/mails/pier.eml"


def test_a_message_of_a_list() -> None:
    fields = "List-Id: Harbour =?utf-8?q?N=C3=A9ws?= <news.bay.example>\nList-Post: <mailto:news@bay.example>\n"
    article = eml(f"{HEAD}{fields}Archived-At: <https://bay.example/1>\n\nText.")
    assert (article.source, article.url) == ("Harbour Néws", "https://bay.example/1")
    assert eml(f"{HEAD}List-Id: <news.bay.example>\n\nText.").source == "news.bay.example"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"=?iso-8859-1?q?caf=E9_=26?= bar", "café & bar"),
        (b"=?utf-8?B?Y2Fm?=\n =?utf-8?B?w6k=?= x", "café x"),
        (b"=?utf-8?b?Y2Fmw6k?=", "café"),
        (b"=?utf-8*en?q?caf=C3=A9?=", "café"),
        ("café".encode(), "café"),
        ("café".encode("latin-1"), "café"),
        (b"=?x-unknown?q?caf=C3=A9?=", "café"),
        (b"=?idna?q?abc?= =?hex?q?41?=", "abc41"),
        (b"=?utf-8?q?not ended", "=?utf-8?q?not ended"),
        (b"=?utf-8?q?=E2=82?= =?utf-8?q?=AC_5?=", "€ 5"),
        (b"Re:=?utf-8?q?caf=C3=A9_?=now", "Re:café now"),
        (b"folded\n\tover lines", "folded over lines"),
    ],
)
def test_titles_in_any_encoding(raw: bytes, shown: str) -> None:
    assert eml(b"From: a@b.example\nSubject: " + raw + b"\n\nText.").title == shown


@pytest.mark.parametrize(
    ("raw", "author"),
    [
        ("Ada Moor <ada@bay.example>", "Ada Moor"),
        ("=?utf-8?q?Moor=2C_Ad=C3=A1?= <ada@bay.example>", "Moor, Adá"),
        ("<ada@bay.example>", "ada@bay.example"),
        ("Moor, Ada <ada@bay.example>", "Moor, Ada"),
        ("Bay Times [Harbour] <ada@bay.example>", "Bay Times [Harbour]"),
        ("ada@bay.example (Ada Moor)", "ada@bay.example"),
        ("", "pier.eml"),
    ],
)
def test_authors(raw: str, author: str) -> None:
    article = eml(f"From: {raw}\nSubject: x\n\nText.")
    assert article.source == author
    assert article.author == ("" if not raw else author)


def test_a_long_hostile_header_takes_no_long_time() -> None:
    title = eml(f"From: a@b.example\nSubject: {'a=?x?q?' * 100_000}\n\nText.").title
    assert title.startswith("a=?x?q?")


def test_missing_fields_come_from_the_file_name() -> None:
    article = eml("From: a@b.example\nDate: yesterday\n\nText.")
    assert (article.id, article.title, article.published) == ("mails/pier.eml", "pier", None)


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "utf-16"])
def test_bodies_in_any_encoding(encoding: str, charset: str) -> None:
    if encoding == "8bit" and charset == "utf-16":
        return
    message = EmailMessage()
    message["From"] = "ada@bay.example"
    message.set_content("The café is closed – “so” say all.".encode(charset, "replace"), "text", "plain", cte=encoding)
    message.set_param("charset", charset)
    wanted = "The café is closed – “so” say all.".encode(charset, "replace").decode(charset)
    assert eml(message.as_bytes()).text == wanted


def test_an_unknown_charset_is_guessed() -> None:
    head = b"From: a@b.example\nContent-Type: text/plain; charset=%b\n\n"
    for charset in (b"x-unknown", b"us-ascii", b"\xff", b"idna", b"hex", b"unicode_escape"):
        assert eml(head % charset + "The café is closed.".encode()).text == "The café is closed."


def multipart(kind: str, *parts: str) -> str:
    body = "".join(f"--b\n{part}\n" for part in parts)
    return f'{HEAD}Content-Type: multipart/{kind}; boundary="b"\n\n{body}--b--\n'


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nThe pier is closed, said Ada Moor."
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>The <b>pier</b> is closed,<br>said Ada Moor &amp; co.</p>"


def test_the_plain_version_is_read_unless_it_only_points_to_the_html() -> None:
    assert eml(multipart("alternative", PLAIN, HTML)).text == "The pier is closed, said Ada Moor."
    hint = "Content-Type: text/plain\n\nSee HTML."
    assert "co." in eml(multipart("alternative", hint, HTML)).text
    assert "co." in eml(f"{HEAD}{HTML}").text
    assert "co." in eml(multipart("related", HTML, "Content-Type: image/png\n\nx")).text


def test_attachments_are_named_not_read() -> None:
    article = eml(
        multipart(
            "mixed",
            PLAIN,
            "Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''caf%C3%A9.pdf\n\n%PDF",
            'Content-Type: text/plain; name="list.txt"\nContent-Disposition: attachment\n\nSecret text.',
            "Content-Type: image/png\n\nx",
        )
    )
    assert article.text == "The pier is closed, said Ada Moor."
    assert article.extra == (("attachments", "café.pdf, list.txt, image/png"),)


def test_a_forwarded_message_is_read_with_its_subject_as_a_heading() -> None:
    inner = (
        f"Content-Type: message/rfc822\n\nSubject: Inner subject\n{HTML.split('<', maxsplit=1)[0]}<p>Inner text.</p>"
    )
    article = eml(multipart("mixed", PLAIN, inner))
    assert article.text == "The pier is closed, said Ada Moor.\n\nInner subject\n\nInner text."
    assert [article.text[start:end] for start, end in article.captions] == ["Inner subject"]


def test_signatures_and_quotes_are_left_out() -> None:
    reply = "Fine.\n\nOn 5 Mar 2024 at 10:00, Ada Moor <ada@bay.example>\nwrote:\n\n> Is it?\n>> Yes.\n\n"
    text = f"{reply}Indeed: no.\n> x\nEnd.\n-- \nBob"
    assert plain_blocks(text) == [Block("Fine."), Block("Indeed: no.\nEnd.")]
    assert plain_blocks("> All of it\n> is quoted.") == [Block("All of it\nis quoted.", unquotable=True)]
    assert plain_blocks("-- \nOnly this.") == [Block("--\nOnly this.")]
    assert plain_blocks("5 > 4\n\n--\nstays") == [Block("5 > 4"), Block("--\nstays")]


def test_flowed_text_is_joined() -> None:
    flowed = "The pier is \nclosed \ntoday.\n From here.\n\n> quoted \n> on\nEnd."
    assert plain_blocks(flowed, flowed=True) == [Block("The pier is closed today.\nFrom here."), Block("End.")]
    assert eml(f"{HEAD}Content-Type: text/plain; format=flowed\n\nThe pier is \nclosed.").text == "The pier is closed."


def test_files_that_are_not_messages_are_refused() -> None:
    for data in (b"", b"Text.", b"\x89PNG\r\n\x00", b"key: value\n\ntext"):
        with pytest.raises(ReadError, match="not an e-mail"):
            list(from_eml(content(data), Options()))


MBOX = f"""From ada@bay.example Tue Mar  5 10:00:00 2024
{HEAD}
First text.

>From the start it was clear.
>>From another.

From here on it is text as well.

From bob@bay.example Tue Mar  5 11:00:00 2024
From: Bob Hill <bob@bay.example>
Subject: Second

Second text.

From -
{HEAD}
The same once more.

From x
Subject: Second
From: Bob Hill <bob@bay.example>

Third text.

From x
Subject: Empty

"""


def test_an_mbox_message_by_message() -> None:
    found = mbox(MBOX)
    articles = [item for item in found if isinstance(item, Article)]
    ids = ["one@bay.example", "news.mbox, message 2", "one@bay.example", "news.mbox, message 4"]
    assert [article.id for article in articles] == ids
    assert articles[0].text == ("First text.\n\nFrom the start it was clear.\n\nFrom here on it is text as well.")
    assert articles[1].source == "Bob Hill"
    failures = {item.source: item.reason for item in found if isinstance(item, Failure)}
    assert list(failures) == ["news.mbox, message 5"]


def test_mailboxes_of_the_standard_library(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "x.mbox")
    for n in range(3):
        message = EmailMessage()
        message["From"], message["Subject"] = "ada@bay.example", f"Number {n}"
        message.set_content(f"From the pier, {n} times.\n\nFrom the sea.\n")
        box.add(message)
    box.close()
    found = mbox((tmp_path / "x.mbox").read_bytes())
    assert [(item.title, item.text) for item in found if isinstance(item, Article)] == [
        (f"Number {n}", f"From the pier, {n} times.\n\nFrom the sea.") for n in range(3)
    ]


def test_a_message_that_is_too_long_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "LONGEST_MESSAGE", 1000)
    monkeypatch.setattr(mail, "LONGEST_LINE", 100)
    found = mbox(f"From x\nSubject: Long\n\n{'x' * 5000}\n\nFrom y\nSubject: Short\n\nText.\n")
    assert [type(item) for item in found] == [Failure, Article]
    assert "larger than 1,000 bytes" in str(found[0])


def test_a_message_that_cannot_be_parsed_fails_alone() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(2000))
    odd = "Content-Type: multipart/mixed; boundary*1=a; boundary*=b\n"
    found = mbox(f"From x\nSubject: a\n{deep}\n\nFrom x\nSubject: b\n{odd}\nText.\n\nFrom x\nSubject: c\n\nText.\n")
    assert [type(item) for item in found] == [Failure, Failure, Article]
    assert [item.source for item in found[:2]] == ["news.mbox, message 1", "news.mbox, message 2"]
    assert "can be parsed" in str(found[0])


@pytest.mark.parametrize("data", ["", "Subject: x\n\ntext", "from x\n"])
def test_files_that_are_not_mailboxes_are_refused(data: str) -> None:
    with pytest.raises(ReadError, match="not an mbox"):
        mbox(data)


PIECES = [
    *(
        "*",
        "'",
        ";",
        '"',
        "=",
        "*0",
        "*1*=",
        "*99=",
        "\\",
        "%",
        "utf-8''",
        "=?",
        "?=",
        "boundary=",
        "charset*=",
        "<",
        ">",
        ",",
    ),
    *("(", "\r", "\n", "\0", "é", "\ud800", "multipart/mixed", "message/rfc822", "Content-Type: ", "message/partial"),
]
SEED = multipart("mixed", PLAIN, HTML, multipart("alternative", PLAIN, HTML).split("MIME-Version: 1.0\n")[1])


@settings(max_examples=400)
@given(st.integers(0, 10**9), st.lists(st.sampled_from(PIECES), max_size=12))
def test_broken_messages_fail_as_they_should(randomness: int, pieces: list[str]) -> None:
    draw = random.Random(randomness)
    data = bytearray(SEED.encode())
    for piece in pieces:
        place = draw.randrange(len(data))
        data[place : place + draw.choice([0, 0, 3])] = piece.encode("utf-8", "surrogatepass")
    found = list(in_mbox(content(b"From x\n" + data)))
    with suppress(ReadError):
        found += from_eml(content(bytes(data)), Options())
    for item in found:
        assert not isinstance(item, Article) or item.text.encode()


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    list(in_mbox(content(b"From " + data)))
    with suppress(ReadError):
        list(from_eml(content(data), Options()))


@given(st.text("ab >:-1\n", max_size=80), st.booleans())
def test_plain_text_keeps_its_own_words(text: str, flowed: bool) -> None:
    words = "".join(block.text for block in plain_blocks(text, flowed=flowed))
    assert set(words) <= set(text)


SERVICE = (
    "View this email in your browser: https://bay.example/1",
    "View in browser",
    "You are receiving this because you signed up at the harbour fair.",
    "You received this e-mail because you are a member.",
    "Unsubscribe: https://bay.example/out",
    "To unsubscribe, write to out@bay.example.",
    "Manage your preferences | Unsubscribe",
)


@pytest.mark.parametrize("line", SERVICE)
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_service_lines_of_newsletters_are_not_quoted(line: str, kind: str) -> None:
    body = f"{line}\n\n{WRAPPED}" if kind == "plain" else f"<p>{STORY}</p><p>{line}</p>"
    article = eml(f"{HEAD}Content-Type: text/{kind}\n\n{body}")
    assert [article.text[start:end] for start, end in article.captions] == [line]


def test_a_service_line_can_continue_on_the_next() -> None:
    lines = "You are receiving this because you signed up at\nthe harbour fair."
    article = eml(f"{HEAD}\nThe pier is closed.\n\n{lines}\nThe fair was fun.\n")
    assert "\n".join(article.text[start:end] for start, end in article.captions) == lines


@pytest.mark.parametrize(
    "line",
    [
        "Unsubscribe rates of the harbour letter rose to one in ten.",
        "Many readers unsubscribe from such letters in January.",
        "You are receiving visitors, said the harbour master.",
    ],
)
def test_sentences_about_newsletters_are_quoted(line: str) -> None:
    assert eml(f"{HEAD}\n{line}\n").captions == ()


def test_marked_blocks_of_a_message_are_not_quoted() -> None:
    menu = '<ul><li><a href="/a">All our letters</a></li><li><a href="/b">Write to us</a></li></ul>'
    page = f"{menu}<h2>The pier</h2><p>It is shut.<p>Bring:</p><ul><li>bread</ul><p><a href=/c>Read more</a></p>"
    article = eml(f"{HEAD}Content-Type: text/html\n\n{page}")
    marked = ["All our letters", "Write to us", "The pier", "Read more"]
    assert [article.text[start:end] for start, end in article.captions] == marked
    assert [article.text[start:end] for start, end in article.lists] == ["bread"]
