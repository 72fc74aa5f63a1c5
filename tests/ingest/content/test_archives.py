"""Zip and gzip: members, limits and broken archives."""

from __future__ import annotations

import gzip
import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.content import archives
from ingest.content.archives import Parts, members, zip_file, zip_kind
from ingest.content.types import Content, Limits, Options, read_bytes
from rag.errors import ReadError
from rag.schema import Failure

SMALL = Options(limits=Limits(bytes=1000))
TEXT = b"The pier is closed. " * 20


def content(data: bytes, name: str = "a/dump.zip") -> Content:
    return Content(name, f"/home/{name}", lambda: io.BytesIO(data), len(data), metadata={"source": "Bay Times"})


def zipped(
    files: dict[str, bytes],
    packing: int = zipfile.ZIP_DEFLATED,
    change: Callable[[zipfile.ZipInfo], None] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as file:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            if change:
                change(info)
            file.writestr(info, data)
    return buffer.getvalue()


def read_all(data: bytes, options: Options = Options(), name: str = "a/dump.zip") -> dict[str, bytes | str]:  # noqa: B008
    """What each member holds, or why it is not read."""
    found: dict[str, bytes | str] = {}
    for member in members(content(data, name), options):
        if isinstance(member, Failure):
            found[member.source] = member.reason
            continue
        try:
            found[member.name] = read_bytes(member, options)
        except ReadError as error:
            found[member.name] = str(error)
    return found


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_a_zip_are_contents_of_their_own(packing: int) -> None:
    data = zipped({"one.txt": b"One.", "inner/": b"", "inner/two.md": b"Two."}, packing)
    assert read_all(data) == {"a/dump.zip/one.txt": b"One.", "a/dump.zip/inner/two.md": b"Two."}
    for member in members(content(data), Options()):
        assert isinstance(member, Content)
        assert member.origin == "/home/a/dump.zip"
        assert member.metadata == {"source": "Bay Times"}
        assert member.size == 4
        assert member.start(2) + member.start(1) in {b"OnO", b"TwT"}


def test_a_zip_of_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({"one.txt": TEXT}))
    [member] = members(Content("x.zip", str(path), lambda: path.open("rb"), path.stat().st_size), Options())
    assert isinstance(member, Content)
    with pytest.raises(ReadError, match="cannot be unpacked"):
        member.open()  # closed with its archive


def test_hidden_files_are_skipped() -> None:
    files = {"__MACOSX/one.txt": b"x", ".git/config": b"x", "a/.DS_Store": b"x", "./b/./c.txt": b"C."}
    assert read_all(zipped(files)) == {"a/dump.zip/b/c.txt": b"C."}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../etc/passwd", "leads out"),
        ("a/../../x.txt", "leads out"),
        ("/etc/passwd", "leads out"),
        ("..\\..\\x.txt", "leads out"),
        ("C:\\windows\\x.txt", "leads out"),
        ("a\nb.txt", "control characters"),
        ("a\x1b[31m.txt", "control characters"),
        ("a\u202etxt.exe", "control characters"),
    ],
)
def test_unsafe_names_are_failures(name: str, reason: str) -> None:
    found = read_all(zipped({name: b"x", "good.txt": b"Good."}))
    assert found.pop("a/dump.zip/good.txt") == b"Good."
    [(where, why)] = found.items()
    assert isinstance(why, str)
    assert reason in why
    assert where.isprintable()


def test_names_of_other_systems() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("inner\\two.txt", b"Two.")
        file.writestr("café.txt", b"UTF-8.")
    unmarked = bytearray(buffer.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = unmarked.index("café".encode(), 0 if offset == 6 else unmarked.index(b"PK\x01\x02"))
        unmarked[unmarked.rindex(mark, 0, at) + offset + 1] &= ~0x08  # as tools do that know of no mark for UTF-8
    assert list(read_all(bytes(unmarked))) == ["a/dump.zip/inner/two.txt", "a/dump.zip/café.txt"]


def test_links_are_not_followed() -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "is a link" in str(read_all(zipped({"x.txt": b"/etc/passwd"}, change=link))["a/dump.zip/x.txt"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x.txt", b"First.")
        file.writestr("x.txt", b"Second.")
    found = list(members(content(buffer.getvalue()), Options()))
    assert [type(item) for item in found] == [Content, Failure]


def test_a_broken_member_fails_alone() -> None:
    data = bytearray(zipped({"a.txt": TEXT, "b.txt": TEXT, "c.txt": TEXT}, zipfile.ZIP_STORED))
    data[data.index(TEXT) + 3] ^= 1  # a.txt has another checksum now
    listed = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[listed + 8] |= 1  # b.txt is marked as encrypted
    found = read_all(bytes(data))
    assert "CRC" in str(found["a/dump.zip/a.txt"])
    assert "encrypted" in str(found["a/dump.zip/b.txt"])
    assert found["a/dump.zip/c.txt"] == TEXT
    data[listed + 8] = 0
    data[listed + 10] = 99
    assert "method 99" in str(read_all(bytes(data))["a/dump.zip/b.txt"])


def test_a_member_unpacks_to_no_more_than_its_limit() -> None:
    data = bytearray(zipped({"big.txt": b"x y\n" * 300, "small.txt": b"Good."}))
    assert "more than 1,000 bytes" in str(read_all(bytes(data), SMALL)["a/dump.zip/big.txt"])
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 10)  # it says that it is small
    found = read_all(bytes(data), SMALL)
    assert isinstance(found["a/dump.zip/big.txt"], str) or len(found["a/dump.zip/big.txt"]) <= 10
    assert found["a/dump.zip/small.txt"] == b"Good."


def test_an_archive_unpacks_to_no_more_than_its_limit() -> None:
    data = zipped({f"{n}.txt": random.Random(n).randbytes(999) for n in range(60)})
    read = list[bytes]()
    with pytest.raises(ReadError, match="in all"):
        read.extend(
            read_bytes(member, SMALL) for member in members(content(data), SMALL) if isinstance(member, Content)
        )
    assert len(read) == 50


def test_a_member_that_is_read_again_counts_once() -> None:
    [member] = [item for item in members(content(zipped({"a.txt": TEXT})), SMALL) for _ in range(1)]
    for item in members(content(zipped({"a.txt": TEXT})), SMALL):
        assert isinstance(item, Content)
        assert all(read_bytes(item, SMALL) == TEXT for _ in range(300))
    assert isinstance(member, Content)


def test_a_zip_bomb_is_refused() -> None:
    bomb = b"\0" * 11_000_000
    assert "more than 10,000,000" in str(read_all(zipped({"a.txt": bomb}))["a/dump.zip/a.txt"])
    assert "more than 10,000,000" in str(read_all(gzip.compress(bomb), name="a.txt.gz")["a.txt"])


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({f"{n}.txt": b"" for n in range(20)})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 19)
    with pytest.raises(ReadError, match="more than"):
        read_all(data)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 20)
    assert len(read_all(data)) == 20
    monkeypatch.setattr(archives, "LONGEST_DIRECTORY", 500)
    with pytest.raises(ReadError, match="more than"):
        read_all(data)


def test_the_list_of_a_large_zip_is_measured_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    data = zipped({f"{n}.txt": b"" for n in range(20)})
    assert b"PK\x06\x06" in data
    patched = bytearray(data)
    struct.pack_into("<L", patched, patched.rindex(b"PK\x05\x06") + 12, 0xFFFFFFFF)
    assert len(read_all(bytes(patched))) == 20
    monkeypatch.setattr(archives, "LONGEST_DIRECTORY", 500)
    with pytest.raises(ReadError, match="more than"):
        read_all(bytes(patched))


def test_gzip_is_one_member_with_the_name_of_its_file() -> None:
    data = gzip.compress(b"One.\n") + gzip.compress(b"Two.\n")
    assert read_all(data, name="a/dump.jsonl.gz") == {"a/dump.jsonl": b"One.\nTwo.\n"}
    assert read_all(data, name="a/dump") == {"a/dump": b"One.\nTwo.\n"}
    [member] = members(content(data, "x.GZ"), Options())
    assert isinstance(member, Content)
    assert member.name == "x"
    with member.open() as file:
        assert list(file) == [b"One.\n", b"Two.\n"]


def test_gzip_streams_beyond_the_limit_of_one_file() -> None:
    lines = "".join(f"line {n} {hash(n * 7919)}\n" for n in range(400)).encode()
    [member] = members(content(gzip.compress(lines), "x.jsonl.gz"), SMALL)
    assert isinstance(member, Content)
    with member.open() as file:
        assert b"".join(file) == lines
    with pytest.raises(ReadError, match="larger than"):
        read_bytes(member, SMALL)
    [member] = members(content(gzip.compress(random.Random(1).randbytes(60_000)), "x.gz"), SMALL)
    assert isinstance(member, Content)
    with member.open() as file, pytest.raises(ReadError, match="more than 50,000 bytes in all"):
        file.read()


@pytest.mark.parametrize("cut", [3, 12, 40, -4])
def test_broken_gzip(cut: int) -> None:
    data = gzip.compress(random.Random(1).randbytes(500))
    assert "cannot be unpacked" in str(read_all(data[:cut], name="x.gz")["x"])


def test_other_data_is_no_archive() -> None:
    for data in (b"", b"Text.", b"\x1f", b"PK"):
        with pytest.raises(ReadError, match="is no archive"):
            read_all(data)
    with pytest.raises(ReadError, match="broken archive"):
        read_all(b"PK\x03\x04 and nothing more")
    assert read_all(zipped({})) == {}


def test_archives_in_archives_are_left_to_the_caller() -> None:
    inner = zipped({"deep.txt": TEXT, "more.txt": b"More."})
    outer = zipped({"inner.zip": inner, "inner.gz": gzip.compress(TEXT)})
    for member in members(content(outer), Options()):
        assert isinstance(member, Content)
        found = [
            (item.name, read_bytes(item, Options())) for item in members(member, Options()) if isinstance(item, Content)
        ]
        if member.name.endswith(".zip"):
            assert found == [("a/dump.zip/inner.zip/deep.txt", TEXT), ("a/dump.zip/inner.zip/more.txt", b"More.")]
        else:
            assert found == [("a/dump.zip/inner", TEXT)]


@given(st.lists(st.tuples(st.sampled_from(["seek", "end", "here", "read"]), st.integers(0, 700)), max_size=8))
def test_a_member_can_be_read_from_anywhere(steps: list[tuple[str, int]]) -> None:
    for data, name in ((zipped({"a": TEXT}), "a.zip"), (gzip.compress(TEXT), "a.gz")):
        for member in members(content(data, name), Options()):
            assert isinstance(member, Content)
            plain = io.BytesIO(TEXT)
            with member.open() as file:
                for step, number in steps:
                    if step == "read":
                        assert file.read(number) == plain.read(number)
                    elif step == "seek":
                        assert file.seek(number) == plain.seek(number)
                    elif step == "end":
                        back = -min(number, len(TEXT))
                        assert file.seek(back, io.SEEK_END) == plain.seek(back, io.SEEK_END)
                    else:
                        assert file.seek(0, io.SEEK_CUR) == plain.seek(0, io.SEEK_CUR)
                    assert file.tell() == plain.tell()


def test_kinds_of_zip() -> None:
    epub = zipped({"mimetype": b"application/epub+zip", "x": b""}, zipfile.ZIP_STORED)
    assert zip_kind(io.BytesIO(epub)) == "epub"
    assert zip_kind(io.BytesIO(zipped({"word/document.xml": b""}))) == "docx"
    assert zip_kind(io.BytesIO(zipped({"mimetype": b"application/x-other"}))) == ""
    assert zip_kind(io.BytesIO(zipped({"a.txt": b""}))) == ""
    assert zip_kind(io.BytesIO(zipped({"mimetype": b"x" * 5000}))) == ""
    assert zip_kind(io.BytesIO(b"PK\x03\x04")) == zip_kind(io.BytesIO(b"")) == ""


def test_parts_of_a_document_are_bounded_together() -> None:
    with zip_file(io.BytesIO(zipped({"a": b"x" * 600, "b": b"y" * 600}))) as file:
        parts = Parts(file, 1000)
        assert "a" in parts
        assert "c" not in parts
        with pytest.raises(ReadError, match="missing"):
            parts.read("c")
        assert parts.read("a") == b"x" * 600
        with pytest.raises(ReadError, match="more than 1,000"):
            parts.read("b")


SEEDS = (
    zipped({"a.txt": TEXT, "b/c.txt": b"Text."}),
    zipped({"mimetype": b"application/epub+zip"}, zipfile.ZIP_STORED),
    zipped({"a.txt": TEXT}, zipfile.ZIP_LZMA),
    zipped({"a.txt": TEXT}, zipfile.ZIP_BZIP2),
    gzip.compress(TEXT),
)


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.integers(0, 10**6), st.integers(0, 400))
def test_broken_archives_raise_read_errors(seed: bytes, randomness: int, cut: int) -> None:
    draw = random.Random(randomness)
    data = bytearray(seed[: len(seed) - cut] if cut % 4 == 0 and cut < len(seed) else seed)
    for _ in range(draw.choice([0, 1, 2, 8])):
        data[draw.randrange(len(data))] = draw.choice([0, 1, 255, draw.randrange(256)])
    with suppress(ReadError):
        read_all(bytes(data))
    zip_kind(io.BytesIO(bytes(data)))


def directory_of(count: int, *, marks: bytes = b"") -> bytes:
    """A zip of nothing but a central directory with so many entries."""
    entry = struct.pack("<4s4B4H3L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    entries = entry * count
    if len(marks) <= 4:
        # The offset of the list holds the mark that the record itself begins with.
        where = int.from_bytes((marks + bytes(4))[:4], "little")
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, len(entries), where, 0)
        return b"PK\x03\x04" + entries + end
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entries), 0, len(marks))
    return b"PK\x03\x04" + entries + end + marks


@pytest.mark.parametrize("marks", [b"", b"PK\x05\x06", b"in a comment PK\x05\x06"])
def test_members_are_counted_wherever_the_list_is_said_to_be(marks: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    class Counted(zipfile.ZipInfo):
        def __init__(self, *args: object, **kwargs: object) -> None:
            nonlocal made
            made += 1
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile, "ZipInfo", Counted)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 50)
    data = directory_of(1000, marks=marks)
    with pytest.raises(ReadError, match=r"more than|broken"), zip_file(io.BytesIO(data)):
        pass
    assert made <= 50


def test_the_list_of_a_large_zip_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 50)
    data = directory_of(1000)
    list_length = 1000 * 47
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1000, 1000, list_length, 4)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    # The plain record says that the list is empty; the one for large files is what zipfile believes.
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ReadError, match="more than"), zip_file(io.BytesIO(data[:-22] + end_64 + locator + end)):
        pass
