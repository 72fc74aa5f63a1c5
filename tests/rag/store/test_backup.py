"""A copy of an index in one file: consistent while others write, checked before it takes an index's place."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.articles.passages import split
from rag.errors import IndexLocked, IndexMismatch, IndexMissing, StoreError
from rag.schema import Article, Query
from rag.store.backup import MANIFEST, back_up, restore
from rag.store.catalog.rows import StoredArticle
from rag.store.files import CATALOG, POINTER, store_in_use
from rag.store.index import Index
from rag.store.verify import Problems, verify
from rag.store.writer import IndexWriter, open_for_writing
from tests.support.hashing import HashEmbedder

pytestmark = pytest.mark.slow


def text(number: int) -> str:
    return " ".join(f"Hive {number}x{k} of valley {k} was lost in winter {number}." for k in range(20))


def put(writer: IndexWriter, *numbers: int) -> None:
    for number in numbers:
        article = Article(f"a{number}", f"Hives {number}", text(number))
        passages = split(article)
        texts, spans = [p.indexed_text for p in passages], [p.indexed_sentences for p in passages]
        writer.put([StoredArticle(article, passages, *HashEmbedder().embed_texts(texts, spans))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    with open_for_writing(folder, "hash", "splitter") as writer:
        put(writer, *range(10))
    return folder


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    file = tmp_path / "copy.pullquote"
    back_up(folder, file)
    return file


def texts(folder: Path) -> dict[str, str]:
    index = Index(folder, "hash")
    return {entry.id: article.text for entry in index.articles() if (article := index.article(entry.id))}


def test_a_restored_index_is_the_one_that_was_copied(folder: Path, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    counts = restore(other, file)
    assert (counts.articles, counts.passages) == Index(folder, "hash").counts()
    assert texts(other) == texts(folder)
    problems = verify(other, store_in_use(other), lambda *_: None)
    assert problems == Problems(*Index(folder, "hash").counts())
    vector = HashEmbedder().embed_questions([text(3)])[0]
    assert Index(other, "hash").candidates(Query("winter 3"), vector, 3)
    with open_for_writing(other, "hash", "splitter") as writer:
        put(writer, 11)
    assert len(texts(other)) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.pullquote", "index", "other"]


def test_a_copy_is_consistent_while_another_process_writes(folder: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with open_for_writing(folder, "hash", "splitter") as writer:
            number = 10
            while not stop.is_set():
                put(writer, number)
                writer.remove([f"a{number - 5}"])
                number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(4):
            counts = back_up(folder, tmp_path / f"{number}.backup")
            other = tmp_path / f"other{number}"
            assert restore(other, tmp_path / f"{number}.backup") == counts
            assert Index(other, "hash").counts() == (counts.articles, counts.passages)
            assert not verify(other, store_in_use(other), lambda *_: None).is_catalog_damaged
    finally:
        stop.set()
        thread.join()


def test_an_index_is_replaced_only_if_asked(folder: Path, file: Path) -> None:
    with open_for_writing(folder, "hash", "splitter") as writer:
        writer.remove(["a1"])
    reader = Index(folder, "hash")
    with pytest.raises(StoreError, match="already has an index; replace it: pullquote restore FILE --force"):
        restore(folder, file)
    assert reader.counts()[0] == 9
    restore(folder, file, force=True)
    assert reader.counts()[0] == 10
    assert [path.name for path in folder.glob("store-*")] == ["store-2"]
    with open_for_writing(folder, "hash", "splitter"), pytest.raises(IndexLocked):
        restore(folder, file, force=True)


def changed(file: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Pack a backup again with other members."""
    with tarfile.open(file) as archive:
        members = {m.name: content.read() for m in archive if (content := archive.extractfile(m))}
    change(members)
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))


def manifest(members: dict[str, bytes], **values: object) -> None:
    members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | values).encode()


def in_another_order(members: dict[str, bytes]) -> None:
    members[MANIFEST] = members.pop(MANIFEST)


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop(MANIFEST),
        lambda members: members.pop(CATALOG),
        in_another_order,
        lambda members: manifest(members, size=10),
        lambda members: manifest(members, sha256="0" * 64),
        lambda members: manifest(members, size="much"),
        lambda members: members.update({MANIFEST: b"{"}),
        lambda members: members.update({CATALOG: members[CATALOG][:-1]}),
        lambda members: members.update({f"../{CATALOG}": members.pop(CATALOG)}),
        lambda members: members.update({f"/{CATALOG}": members.pop(CATALOG)}),
    ],
)
def test_a_file_that_was_changed_is_refused(
    folder: Path, file: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object]
) -> None:
    changed(file, change)
    pointer = (folder / POINTER).read_bytes()
    with pytest.raises(StoreError, match="no backup of Pullquote, or a damaged one"):
        restore(folder, file, force=True)
    assert (folder / POINTER).read_bytes() == pointer
    assert [path.name for path in folder.glob("store-*")] == ["store-1"]
    with pytest.raises(StoreError, match="no backup of Pullquote"):
        restore(tmp_path / "other", file)
    assert not list((tmp_path / "other").glob("store-*"))


def rubbish(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    yield from (b"", b"rubbish" * 1000, data[:100], data[: len(data) // 2], data[:-20_000], bytes(len(data)))


def test_rubbish_is_one_line(file: Path, tmp_path: Path) -> None:
    for data in list(rubbish(file)):
        file.write_bytes(data)
        with pytest.raises(StoreError, match="no backup of Pullquote"):
            restore(tmp_path / "other", file)
    for name in ("none", "index"):
        with pytest.raises(StoreError, match="cannot be read"):
            restore(tmp_path / "other", tmp_path / name)


def test_a_link_in_the_place_of_the_catalogue_is_not_followed(file: Path, tmp_path: Path) -> None:
    with tarfile.open(file) as archive:
        content = archive.extractfile(MANIFEST)
        assert content
        data = content.read()
    with tarfile.open(file, "w") as archive:
        header = tarfile.TarInfo(MANIFEST)
        header.size = len(data)
        archive.addfile(header, io.BytesIO(data))
        link = tarfile.TarInfo(CATALOG)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(StoreError, match="no backup of Pullquote"):
        restore(tmp_path / "other", file)


def test_a_backup_of_another_format(file: Path, tmp_path: Path) -> None:
    changed(file, lambda members: manifest(members, format=99))
    with pytest.raises(IndexMismatch, match="format 99"):
        restore(tmp_path / "other", file)


def test_what_cannot_be_copied(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        back_up(tmp_path / "none", tmp_path / "copy")
    with pytest.raises(StoreError, match="cannot be written"):
        back_up(folder, tmp_path / "no folder" / "copy")
    with closing(sqlite3.connect(store_in_use(folder) / CATALOG)) as database, database:
        database.execute("DELETE FROM state")
    with pytest.raises(StoreError):
        back_up(folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
