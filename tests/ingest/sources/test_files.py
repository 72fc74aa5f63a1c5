"""Files and folders: what is found, what is decoded, what is refused."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content.encoding import decode
from ingest.content.types import Content, Limits, Options
from ingest.readers.registry import KINDS, SUFFIXES, Kind, kind_of
from ingest.readers.sandbox import ROOT, Sandbox
from ingest.sources.files import Source, find, url_source
from ingest.sources.opener import Opener
from rag.errors import ReadError
from rag.language.text import visible
from rag.schema import Article, Failure


def read(path: Path, *, asked: bool = True) -> list[Article | Failure]:
    """What a file holds; every file of a folder."""
    with Opener(Options()) as reader:
        sources = [source for source in find(path) if isinstance(source, Source)]
        return [item for source in sources for item in reader.read(replace(source, asked=asked))]


WESTERN = "The café owner in São Paulo said “no comment” about Müller’s façade."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WESTERN, "utf-8"),
        (WESTERN, "utf-8-sig"),
        (WESTERN, "utf-16"),
        (WESTERN, "utf-32"),
        (WESTERN, "cp1252"),
        ("El niño comió piñata en la mañana.", "latin-1"),
        ("Привет, мир. Это статья о зерне и хлебе в порту.", "cp1251"),
        ("Zażółć gęślą jaźń, to jest artykuł o porcie.", "cp1250"),
        ("日本語の記事です。港のストライキについて。", "shift_jis"),
    ],
)
def test_text_in_many_encodings(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03", b"\x89PNG\r\n\x1a\n\x00\x00", bytes(range(256)) * 8])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(ReadError, match="binary"):
        decode(data)


def test_a_few_broken_bytes_do_not_spoil_the_rest() -> None:
    text = "Der Müller fährt über die Brücke nach Köln. " * 40
    assert decode(text.encode()[:-1] + b"\xff").startswith(text[:-1])
    late = "Plain words only. " * 5000 + WESTERN
    assert decode(late.encode("cp1252")) == late


def test_line_ends_are_made_one_kind() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_json_lines_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_text('{"text": "Good text."}\n{"text": "More text."}\n', encoding="utf-16")
    assert [item.text for item in read(path) if isinstance(item, Article)] == ["Good text.", "More text."]


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReadError, match="not a regular file"):
        read(tmp_path / "pipe.txt")


def test_odd_names_are_refused_and_others_are_read(tmp_path: Path) -> None:
    for name in ("good name ☕.txt", "new\nline.txt", os.fsdecode(b"caf\xe9.txt"), "esc\x1b.txt"):
        (tmp_path / name).write_text("Text.")
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    found = list(find(tmp_path))
    assert [item.name for item in found if isinstance(item, Source)] == ["good name ☕.txt"]
    assert len([item for item in found if isinstance(item, Failure)]) == 4
    for failure in find(tmp_path / ("x" * 5000)):
        assert isinstance(failure, Failure)


def test_a_folder_is_read_in_order_and_without_what_is_hidden(tmp_path: Path) -> None:
    for name in (
        "b.txt",
        "a/z.md",
        "a/.hidden.txt",
        ".git/x.txt",
        "c.png",
        "B.JSONL",
        "old/chroma.sqlite3",
        "old/m.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    names = [found.name for found in find(tmp_path) if isinstance(found, Source)]
    assert names == ["B.JSONL", "b.txt", "a/z.md"]


@pytest.mark.parametrize("name", ["missing.txt", "empty"])
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "picture.png").write_bytes(b"x")
    [failure] = find(tmp_path / name)
    assert isinstance(failure, Failure)
    assert failure.source == str(tmp_path / name)


def test_a_symlink_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list(find(tmp_path))) == 1


def test_a_file_that_vanished_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gone.txt").write_text("x")
    [source] = find(tmp_path)
    (tmp_path / "gone.txt").unlink()
    assert isinstance(source, Source)
    with Opener(Options()) as reader, pytest.raises(ReadError, match="cannot be read"):
        list(reader.read(source))


def test_one_bad_line_of_json_lines_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_bytes(b'{"text": "Good text."}\n\xff\x00\xfe\n{"text": "Caf\xe9 text."}\n')
    assert [type(item) for item in read(path)] == [Article, Failure, Article]


PAGE = "<!doctype html><html><head><title>Pier</title></head><body><article><p>{}</p></article></body></html>"
TOLD = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off its planks."
MAIL = f"From: Ada <ada@bay.example>\nSubject: Pier\nMessage-ID: <1@bay.example>\n\n{TOLD}\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.txt", PAGE.format(TOLD)),
        ("page.php", PAGE.format(TOLD)),
        ("records.txt", json.dumps([{"title": "Pier", "text": TOLD}])),
        ("records.json", json.dumps({"title": "Pier", "text": TOLD}) + "\n" + json.dumps({"title": "B", "text": TOLD})),
        ("front.txt", f"---\ntitle: Pier\n---\n\n{TOLD}"),
        ("letter.txt", MAIL),
        ("letter", MAIL),
        ("box", f"From ada Tue Mar  5 10:00:00 2024\n{MAIL}"),
        (
            "feed.txt",
            f"<rss version='2.0'><channel><item><title>Pier</title><description>{TOLD}</description></item>"
            "</channel></rss>",
        ),
        ("records.tsv", f"title\ttext\nPier\t{TOLD}\n"),
    ],
)
def test_a_kind_is_known_by_its_content(tmp_path: Path, name: str, data: str) -> None:
    (tmp_path / name).write_text(data)
    for place in (tmp_path, tmp_path / name):
        first, *_ = read(place)
        assert isinstance(first, Article), first
        assert (first.title, first.text) == ("Pier", TOLD)


def test_other_files_are_passed_over_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import this")
    (tmp_path / "notes.log").write_text(TOLD)
    (tmp_path / "data.ipynb").write_text('{"cells": []}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "drawing.xml").write_text("<?xml version='1.0'?><svg/>")
    assert [source.name for source in find(tmp_path) if isinstance(source, Source)] == ["drawing.xml"]
    [article] = read(tmp_path / "notes.log")
    assert isinstance(article, Article)
    assert article.text == TOLD
    for name, format_name in (("picture.png", "a PNG picture"), ("drawing.xml", "an SVG picture")):
        with pytest.raises(ReadError, match=format_name):
            read(tmp_path / name)


def test_what_is_in_archives(tmp_path: Path) -> None:
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/bus.md", "# Bus\n\nA night bus will link the islands from May.")
    with zipfile.ZipFile(tmp_path / "week.zip", "w") as archive:
        archive.writestr("pier.html", PAGE.format(TOLD))
        archive.writestr("more.zip", inner.getvalue())
        archive.writestr("../../escape.txt", "Out of the archive.")
        archive.writestr("broken.json", "{")
        archive.writestr("code.py", "import this")
    (tmp_path / "wire.jsonl.gz").write_bytes(gzip.compress(json.dumps({"title": "Bees", "text": TOLD}).encode()))
    found = read(tmp_path)
    articles = {item.id: item for item in found if isinstance(item, Article)}
    assert articles.keys() == {"week.zip/pier.html", "week.zip/more.zip/deep/bus.md", "wire.jsonl#bees"}
    assert articles["week.zip/pier.html"].origin == str(tmp_path / "week.zip")
    failures = [item.source for item in found if isinstance(item, Failure)]
    assert len(failures) == 2
    assert any("escape" in name for name in failures)
    assert "week.zip/broken.json" in failures


def test_a_list_of_urls_is_only_followed_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# to read\nhttps://bay.example/a\n\nhttps://bay.example/b\n")
    with pytest.raises(ReadError, match=r"list of URLs \(2\)"):
        read(tmp_path)


def test_every_kind_says_what_is_read_of_it() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len(SUFFIXES) == len(set(SUFFIXES))
    for kind in KINDS:
        assert kind.what
        assert not kind.missing, "the tests need every extra"


@settings(max_examples=200)
@given(name=st.sampled_from([*SUFFIXES, ".zip", ".gz", ""]), data=st.binary(max_size=300))
def test_any_bytes_under_any_name(name: str, data: bytes) -> None:
    kind = kind_of(Content(f"x{name}", "/x", lambda: BytesIO(data), len(data)))
    assert kind is None or kind in KINDS
    if kind and not kind.isolated:
        content = Content(f"x{name}", "/x", lambda: BytesIO(data), len(data))
        with suppress(ReadError):
            assert all(isinstance(item, Article | Failure) for item in kind.read(content, Options()))


@pytest.mark.parametrize(
    "start",
    [b"<!---->" * 9000, b"---\n" + b":" * 60_000, b"---\n" + b":" * 30_000 + b"\n---x" * 7000, b"a: b\n" * 13_000],
)
def test_every_start_is_classified_quickly(start: bytes) -> None:
    assert kind_of(Content("x", "/x", lambda: BytesIO(start), len(start))) is None


@pytest.mark.parametrize("url", ["http://user:secret@bay.example/x", "http://bay.example/\udcff", "http://[bay/"])
def test_invalid_addresses_are_reported_without_the_password(url: str) -> None:
    found = url_source(url)
    assert isinstance(found, Failure)
    assert "secret" not in f"{found.source}{found.reason}"


def test_a_link_to_a_name_that_cannot_be_read(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.dat"))
    odd.write_text("x")
    (tmp_path / "ok.txt").symlink_to(odd)
    assert [type(item) for item in find(tmp_path)] == [Failure]


HIDING = (
    "The govern\u00adment of T\u200bolm c\u2060losed the old pier\ufeff on Tuesday, "
    "said \u202ethe harbor master\u202c of it."
)
SEEN = "The government of Tolm closed the old pier on Tuesday, said the harbor master of it."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"Pier\u00ads\n\n{HIDING}"),
        ("a.md", f"# Pier\u00ads\n\n{HIDING}"),
        (
            "a.html",
            f"<html><body><article><h1>Pier&shy;s</h1><p>{HIDING.replace(chr(0xAD), '&shy;')}</p></article></body>",
        ),
        ("a.json", json.dumps({"title": "Pier\u00ads", "text": HIDING})),
        ("a.csv", f'title,text\nPier\u00ads,"{HIDING}"\n'),
        (
            "a.eml",
            f"Subject: Piers\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{HIDING}\n",
        ),
    ],
)
def test_readers_remove_invisible_characters(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    [article] = read(tmp_path / name)
    assert isinstance(article, Article)
    assert SEEN in article.text
    assert article.title == ("a" if name == "a.txt" else "Piers")
    assert visible(article.text) == article.text


SLOW_MEMBERS = """
import time
from rag.schema import Article

def from_eml(content, options):
    with content.open() as file:
        data = file.read()
    if b"slow" in data:
        time.sleep(1000)
    yield Article(content.name, "T", data.decode().split("\\n\\n")[-1])
"""


def test_all_parts_of_a_source_share_one_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_members.py").write_text(SLOW_MEMBERS)
    name = "slow_members:from_eml"
    monkeypatch.setattr(Kind, "reader", name)
    letters = ["fine"] + ["slow"] * 40 + ["late"]
    box = "".join(f"From a@b\nFrom: a@b\nSubject: S\nDate: Tue, 5 Mar 2024\n\nIt is {said}.\n\n" for said in letters)
    file = tmp_path / "box.mbox"
    file.write_text(box)
    with Opener(Options(limits=Limits(seconds=0.5))) as opener:
        opener._sandbox = Sandbox(Options(limits=Limits(seconds=0.5)), {name}, [str(tmp_path), ROOT])
        [source] = find(file)
        assert isinstance(source, Source)
        read, problem = [], ""
        try:
            for item in opener.read(source):
                read.append(item)  # noqa: PERF402 - it ends with an error
        except ReadError as error:
            problem = str(error)
        opener._sandbox.close()
    assert "in all" in problem
    assert isinstance(read[0], Article)
    assert 1 < len(read) < 12  # of forty, each of which would have taken half a second


def test_markup_in_records_is_taken_apart_in_the_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"title": "<b>One</b>", "text": "<p>The pier is <i>closed</i>.</p><p>It leaks.</p>"}]
    lines += [{"text": "Plain words of a record."}, {"text": "&lt;p&gt;Ten &amp;amp; two crowns.&lt;/p&gt;"}]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr("ingest.readers.html.text.bounded_markup", lambda *_: pytest.fail("was parsed here"))
    with Opener(Options()) as opener:
        [source] = find(file)
        assert isinstance(source, Source)
        found = [item for item in opener.read(source) if isinstance(item, Article)]
    assert [(a.title, a.text) for a in found[:2]] == [
        ("One", "The pier is closed.\n\nIt leaks."),
        ("a", "Plain words of a record."),
    ]
    assert len(found) == 3


def test_plain_records_need_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"Story {n} says 1 < 2."}) for n in range(500)))
    monkeypatch.setattr(Sandbox, "blocks", lambda *_, **__: pytest.fail("was asked"))
    with Opener(Options()) as opener:
        [source] = find(file)
        assert isinstance(source, Source)
        assert len(list(opener.read(source))) == 500
