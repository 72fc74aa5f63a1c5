"""Files and folders: what is found, what is decoded, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.encoding import decode
from ingest.read import Source, find, read
from rag.errors import ReadError
from rag.schema import Article, Failure

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
def test_binary_is_no_text(data: bytes) -> None:
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
    assert [item.text for item in read(Source(path, "wire.jsonl")) if isinstance(item, Article)] == [
        "Good text.",
        "More text.",
    ]


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReadError, match="no regular file"):
        list(read(Source(tmp_path / "pipe.txt", "pipe.txt")))


def test_odd_names_are_refused_and_others_are_read(tmp_path: Path) -> None:
    for name in ("good name ☕.txt", "new\nline.txt", os.fsdecode(b"caf\xe9.txt"), "esc\x1b.txt"):
        (tmp_path / name).write_text("Text.")
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    found = list(find(tmp_path))
    assert [item.name for item in found if isinstance(item, Source)] == ["good name ☕.txt", "self.txt"]
    assert len([item for item in found if isinstance(item, Failure)]) == 3
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


@pytest.mark.parametrize("name", ["missing.txt", "picture.png", "empty"])
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    [failure] = find(tmp_path / name)
    assert isinstance(failure, Failure)
    assert failure.source == str(tmp_path / name)


def test_a_symlink_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list(find(tmp_path))) == 1


def test_a_file_that_vanished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be read"):
        list(read(Source(tmp_path / "gone.txt", "gone.txt")))


def test_one_bad_line_of_json_lines_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_bytes(b'{"text": "Good text."}\n\xff\x00\xfe\n{"text": "Caf\xe9 text."}\n')
    found = list(read(Source(path, "wire.jsonl")))
    assert [type(item) for item in found] == [Article, Failure, Article]
