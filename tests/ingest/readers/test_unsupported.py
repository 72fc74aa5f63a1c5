"""Unsupported formats: refused by their content, whatever the file is called."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content.types import Content, Item, Options
from ingest.readers.registry import TEXT, kind_of
from ingest.readers.unsupported import refusal
from ingest.sources.files import Source, find
from ingest.sources.opener import Opener
from rag.errors import ReadError
from rag.schema import Article, Failure, Notice
from tests.conftest import SAMPLE

PROSE = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off its planks.\n"


def content(name: str, data: bytes | str) -> Content:
    kept = data.encode() if isinstance(data, str) else data
    return Content(name, f"/{name}", lambda: io.BytesIO(kept), len(kept))


def problem(name: str, data: bytes | str) -> str:
    found = content(name, data)
    return refusal(found, kind_of(found))


def packed(*names: str, mimetype: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, PROSE)
    return file.getvalue()


REFERENCES = f"TY  - NEWS\nTI  - Storm closes the pier\nAB  - {PROSE}ER  - \n"
PYTHON = """import os
from pathlib import Path

def closed(pier):
    planks = [plank for plank in pier.planks if plank.lost]
    if len(planks) > 3:
        return True
    return False

print(closed(Path("pier")))
"""
SCRIPT = "function close(pier) {\n  pier.open = false;\n  return pier;\n}\n\nclose(bay.pier);\n"
LOG = "\n".join(f"2024-03-05 10:00:{n:02} INFO pier.planks Plank number {n} was lost to the storm." for n in range(20))
XML = '<?xml version="1.0"?>\n<!-- a wire -->\n<{0} version="3"><head><title>Pier</title></head><p>{1}</p></{0}>'

FORMATS: list[tuple[str, str, bytes | str]] = [
    ("RTF", ".rtf", r"{\rtf1\ansi\deff0 {\fonttbl {\f0 Times;}} " + PROSE + "}"),
    ("RIS", ".ris", REFERENCES),
    ("RIS", ".ris", "Provider: A library\nContent: text/plain\n\n\n" + REFERENCES),
    ("MEDLINE", ".nbib", f"PMID- 123456\nOWN - NLM\nTI  - The pier\nAB  - {PROSE}"),
    ("EndNote", ".enw", f"%0 Newspaper Article\n%T Storm closes the pier\n%X {PROSE}"),
    ("Web of Science", ".ciw", f"FN Clarivate Analytics Web of Science\nVR 1.0\nPT J\nAB {PROSE}"),
    ("BibTeX", ".bib", f"% Encoding: UTF-8\n\n@article{{pier2024,\n  title = {{Pier}},\n  abstract = {{{PROSE}}}\n}}"),
    ("LaTeX", ".tex", f"% !TEX root\n\\documentclass{{article}}\n\\begin{{document}}\n{PROSE}\\end{{document}}"),
    ("PostScript", ".ps", "%!PS-Adobe-3.0\n%%Title: Pier\n"),
    ("old or a protected Office", ".doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
    ("Excel", ".xlsx", packed("[Content_Types].xml", "xl/workbook.xml")),
    ("PowerPoint", ".pptx", packed("[Content_Types].xml", "ppt/presentation.xml")),
    ("OpenDocument", ".odt", packed("content.xml", mimetype="application/vnd.oasis.opendocument.text")),
    ("Pages", ".pages", packed("Index/Document.iwa", "preview.jpg")),
    ("PNG", ".png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("JPEG", ".jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
    ("HEIC", ".heic", b"\0\0\0\x18ftypheic\0\0\0\0"),
    ("SVG", ".svg", '<svg xmlns="http://www.w3.org/2000/svg"><text>Pier</text></svg>'),
    ("MPEG-4", ".mp4", b"\0\0\0\x18ftypisom\0\0\0\0"),
    ("MP3", ".mp3", b"ID3\3\0\0\0\0\0\0"),
    ("video", ".mkv", b"\x1aE\xdf\xa3\0\0"),
    ("SQLite", ".db", b"SQLite format 3\0" + bytes(100)),
    ("tar archive", ".tar", b"pier.txt".ljust(257, b"\0") + b"ustar\x0000" + bytes(250)),
    ("7z", ".7z", b"7z\xbc\xaf\x27\x1c\0\4"),
    ("RAR", ".rar", b"Rar!\x1a\7\1\0"),
    ("bzip2", ".bz2", b"BZh91AY&SY\0\0"),
    ("xz", ".xz", b"\xfd7zXZ\0\0\4"),
    ("WARC", ".warc", "WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\n"),
    ("MHTML", ".mhtml", "From: <Saved by Blink>\r\nSnapshot-Content-Location: https://bay.example/\r\nSubject: Pier\r\n"
     'MIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n\ttype="text/html";\r\n\tboundary="x"\r\n\r\n'),
    ("vCard", ".vcf", "BEGIN:VCARD\nVERSION:3.0\nFN:Ada\nEND:VCARD\n"),
    ("iCalendar", ".ics", f"BEGIN:VCALENDAR\nSUMMARY:{PROSE}END:VCALENDAR\n"),
    ("subtitles", ".srt", f"1\n00:00:01,000 --> 00:00:04,000\n{PROSE}\n2\n00:00:05,000 --> 00:00:06,000\nYes.\n"),
    ("subtitles", ".vtt", f"WEBVTT\n\n00:01.000 --> 00:04.000\n{PROSE}"),
    ("Jupyter", ".json", '{"cells": [{"cell_type": "markdown", "source": ["The pier."]}], "nbformat": 4}'),
    ("GeoJSON", ".json", '{"type": "FeatureCollection", "features": [{"name": "Pier", "description": "Closed."}]}'),
    ("program's settings", ".json", '{"name": "pier", "description": "A pier.", "dependencies": {"plank": "1"}}'),
    ("NITF", ".xml", XML.format("nitf", PROSE)),
    ("NewsML", ".xml", XML.format("newsMessage", PROSE)),
    ("TEI", ".xml", XML.format("TEI", PROSE)),
    ("<gazette>", ".xml", XML.format("gazette", PROSE)),
    ("<DOC>", ".sgml", f"<DOC>\n<DOCNO> 1 </DOCNO>\n<TEXT>\n{PROSE}</TEXT>\n</DOC>"),
    ("sitemap", ".xml", '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url></url></urlset>'),
    ("program's source", ".py", PYTHON),
    ("program's source", "", "#!/bin/sh\necho The pier was closed.\n"),
    ("program's source", ".js", SCRIPT),
    ("program's log", ".log", LOG),
    ("patch", ".diff", "diff --git a/pier b/pier\n--- a/pier\n+++ b/pier\n"),
    ("PGP", ".asc", f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{PROSE}"),
    ("encrypted", ".asc", "-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n"),
    ("Apple Mail", ".emlx", f"1234\nFrom: Ada <ada@bay.example>\nMessage-Id: <1@x>\n\n{PROSE}"),
    ("link to a page", ".url", "[InternetShortcut]\nURL=https://bay.example/\n"),
    ("dump", ".sql", "-- MySQL dump 10.13\nCREATE TABLE piers (id int);\n"),
    ("binary", ".bin", bytes(random.Random(1).choices(range(1, 256), k=2000))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "suffix", "data"), FORMATS, ids=[f"{n}{s}" for n, s, _ in FORMATS])
def test_unsupported_formats_are_named_whatever_the_file_is_called(name: str, suffix: str, data: bytes | str) -> None:
    names = {f"pier{suffix}", "pier.txt"} - ({"pier.txt"} if suffix == ".json" else set())
    for called in (*names, "pier"):
        told = problem(called, data)
        assert name in told, called
        assert "cannot be read yet; " in told


@pytest.mark.parametrize("name", ["pier.html", "pier.md", "pier.eml", "pier.csv", "pier.json", "pier.xml"])
def test_a_misleading_suffix_does_not_help(name: str) -> None:
    assert "RTF" in problem(name, r"{\rtf1\ansi " + PROSE + "}")


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE * 20,
        "<Redacted> was seen on the pier.\n" + PROSE,
        "<p>The pier was closed.</p>\n<p>It will open in spring.</p>",
        "<ada> the pier is closed\n<bob> again?\n" * 5,
        "@ada (of the Bay Times) said that x = y on the pier.\n" + PROSE,
        "1. The pier\n2. The harbour;\n3. The planks;\n4. The storm;\n5. The bay.\n",
        "10:15 The pier is closed.\n10:20 The storm is over.\n10:31 Planks are found.\n" * 3,
        "2024-03-05 The pier is closed.\n2024-03-06 The storm is over.\n" * 5,
        "Ada: Is the pier closed?\nBob: It is.\nAda: Since when?\nBob: Since Tuesday.\n" * 3,
        "From the pier; to the bay;\nover the planks, lost;\nwe walked;\nand the storm;\nwas gone.\n",
        "BREAKING: the pier is closed\n\n" + PROSE,
        "#pier #storm\n" + PROSE,
        "Title: Pier\nDate: 5 March 2024\n\n" + PROSE,
        "---\ntitle: Pier\n---\n" + PROSE,
        "100%\n" + PROSE,
        "",
        "x",
        "\ufeffPier",
        "Die Brücke über den Fluß. " * 9,
        "a\x0cb\x1a",
    ],
)
def test_prose_is_read(text: str) -> None:
    for name in ("pier.txt", "pier.text", "pier", "pier.log", "pier.md"):
        assert problem(name, text) == ""
    assert problem("pier.txt", text.encode("utf-16")) == ""


def test_no_sample_article_is_refused() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if problem(path.name, path.read_bytes())] == []


def read(place: Path) -> list[Item]:
    with Opener(Options()) as opener:
        return [item for source in find(place) if isinstance(source, Source) for item in opener.read(source)]


def test_a_file_is_refused_and_nothing_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "pier.txt").write_text(r"{\rtf1\ansi " + PROSE + "}")
    with pytest.raises(ReadError, match=r"is an RTF document, which cannot be read yet; save it as \.docx or \.txt"):
        read(tmp_path)
    (tmp_path / "code.py").write_text("import this")
    with pytest.raises(ReadError, match="a program's source"):
        read(tmp_path / "code.py")


def test_compressed_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "week.zip", "w") as archive:
        archive.writestr("pier.txt", PROSE)
        archive.writestr("refs.txt", REFERENCES)
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n")
        archive.writestr("b.png", b"\x89PNG\r\n\x1a\n")
    article, failure, notice = read(tmp_path)
    assert isinstance(article, Article)
    assert isinstance(failure, Failure)
    assert (failure.source, "RIS" in failure.reason) == ("week.zip/refs.txt", True)
    assert notice == Notice("week.zip", "holds files of kinds that cannot be read, which were passed over: 2 .png")
    (tmp_path / "week.zip").unlink()
    (tmp_path / "week.tar.gz").write_bytes(gzip.compress(b"pier.txt".ljust(257, b"\0") + b"ustar\x0000" + bytes(250)))
    [failure] = read(tmp_path)
    assert isinstance(failure, Failure)
    assert "a tar archive" in failure.reason


def is_refused(item: Content) -> bool:
    try:
        return not list(TEXT.read(item, Options()))
    except ReadError:
        return True


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), size=st.integers(64, 3000), suffix=st.sampled_from([".txt", ".md", "", ".text"]))
def test_random_bytes_become_no_article(seed: int, size: int, suffix: str) -> None:
    data = random.Random(seed).randbytes(size)
    for found in (data, data.replace(b"\0", b"\1")):
        item = content(f"x{suffix}", found)
        assert refusal(item, kind_of(item)) or is_refused(item)


@settings(max_examples=200)
@given(data=st.binary(max_size=400), name=st.sampled_from(["x.txt", "x", "x.json", "x.html", "x.zip", "x.xml"]))
def test_any_bytes_are_told_apart(data: bytes, name: str) -> None:
    assert isinstance(problem(name, data), str)


@pytest.mark.parametrize(
    "data",
    [
        b"\n" * 16_000,
        b" " * 16_000,
        b"% \n" * 5_000,
        b"@a{" * 5_000,
        b"content-type: multipart/related;" + b"x" * 16_000,
        b'{"cells' + b'"cell_type"' * 1_400,
        b"a(" * 8_000,
        (b"x = " * 120 + b"\n") * 30,
        b"<" * 16_000,
        b"<a:" * 5_000,
    ],
)
def test_every_beginning_is_recognized_quickly(data: bytes) -> None:
    assert isinstance(problem("x.txt", data), str)
