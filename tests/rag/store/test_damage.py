"""Damaged files of every part of an index: an answer or one clear line, never a crash or a wrong quote."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from tests.support.cli_server import Commands, Done, commands

pytestmark = pytest.mark.slow

ARTICLES = 50
EVERY = int(os.environ.get("TEST_DAMAGE_EVERY", "9"))
"""Of all combinations, one in so many is tried."""


def text(number: int) -> str:
    return " ".join(
        f"In story{number} the count{number}x{k} of hives fell again in valley number{k}." for k in range(150)
    )


TEXTS = {f"a{n}": text(n) for n in range(ARTICLES)}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    return data[: len(data) // 3] + bytes(len(data) - len(data) // 3)


def scattered(data: bytes) -> bytes:
    drawn, damaged = random.Random(len(data)), bytearray(data)
    for _ in range(20):
        at = drawn.randrange(max(1, len(data)))
        damaged[at : at + 40] = drawn.randbytes(len(damaged[at : at + 40]))
    return bytes(damaged)


HOW: dict[str, Callable[[bytes], bytes] | None] = {
    "missing": None,
    "empty": lambda _: b"",
    "cut": cut,
    "zeros": lambda data: bytes(len(data)),
    "zeros at the end": zeroed,
    "random": lambda data: random.Random(1).randbytes(len(data)),
    "scattered": scattered,
}
PARTS = (
    "pullquote-index.json",
    "store-1/catalog.sqlite3",
    "store-1/catalog.sqlite3-wal",
    "store-1/vectors/passages.i8",
    "store-1/vectors/articles.i8",
    "store-1/vectors/passages.columns",
    "store-1/fulltext/state.json",
    "store-1/fulltext/meta.json",
    "store-1/fulltext/*.idx",
    "store-1/fulltext/*.term",
    "store-1/fulltext/*.store",
    "store-1/fulltext/*.fast",
    "store-1/fulltext/*.fieldnorm",
    "store-1/chroma/state.json",
    "store-1/chroma/files.json",
    "store-1/chroma/chroma.sqlite3",
    "store-1/chroma/*/header.bin",
    "store-1/chroma/*/data_level0.bin",
    "store-1/chroma/*/length.bin",
    "store-1/chroma/*/link_lists.bin",
    "store-1/chroma/*/index_metadata.pickle",
)
CASES = [case for number, case in enumerate(product(PARTS, HOW)) if number % EVERY == 0]


@pytest.fixture(scope="module")
def server() -> Iterator[Commands]:
    with commands() as server:
        yield server


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = tmp_path_factory.mktemp("damage") / "corpus.jsonl"
    records = ({"id": i, "title": f"Story {i}", "source": "Bay", "text": own} for i, own in TEXTS.items())
    corpus.write_text("\n".join(map(json.dumps, records)))
    return corpus


@pytest.fixture(scope="module")
def whole(corpus: Path, server: Commands) -> Path:
    """An index, with a write that is only in the catalogue's log."""
    index = corpus.with_name("whole")
    assert server.run("ingest", corpus, "--index", index).status == 0
    assert list(index.glob("store-1/chroma/*/index_metadata.pickle")), "there are too few passages for Chroma's files"
    with closing(sqlite3.connect(index / "store-1" / "catalog.sqlite3")) as database:
        database.execute("UPDATE state SET splitter = 'other'")
        database.commit()
        shutil.copytree(index, index.with_name("with log"))
    return index.with_name("with log")


def clear(done: Done, *, statuses: tuple[int, ...] = (0, 1)) -> str:
    """What a command printed, which is no traceback and no crash."""
    assert done.status in statuses, (done.status, done.out, done.err)
    assert "Traceback" not in done.err, done.err
    assert "panicked" not in done.err, done.err
    if done.status:
        assert done.err.count("\n") <= 4, done.err
    return done.out


@pytest.mark.parametrize(("part", "how"), CASES, ids=[f"{part}-{how}" for part, how in CASES])
def test_a_damaged_file(whole: Path, corpus: Path, server: Commands, tmp_path: Path, part: str, how: str) -> None:
    index, change = tmp_path / "index", HOW[how]
    shutil.copytree(whole, index)
    found = sorted(index.glob(part))
    assert found
    for file in found:
        file.unlink() if change is None else file.write_bytes(change(file.read_bytes()))
    where = ("--index", index)
    answered = server.run("ask", "How did the count7x3 of hives fall in story7?", "--json", *where)
    if clear(answered):
        for citation in json.loads(answered.out)["citations"]:
            assert citation["quote"] in TEXTS[citation["article_id"]], citation
    else:
        assert "pullquote" in answered.err
    clear(server.run("articles", *where))
    is_catalog = "catalog" in part
    if not is_catalog:
        assert answered.status == 0, "the catalogue has everything that an answer needs"
    checked = server.run("check", *where)
    clear(checked)
    fixed = server.run("check", "--fix", *where)
    if checked.status:
        clear(fixed, statuses=(0,) if not is_catalog else (0, 1))
    ingested = server.run("ingest", corpus, *where)
    if fixed.status and is_catalog:
        assert "make a new one" in fixed.err + ingested.err
        return
    assert clear(ingested, statuses=(0,))
    assert "nothing wrong" in clear(server.run("check", *where), statuses=(0,))
    listed = server.run("articles", "--json", *where)
    assert {entry["id"] for entry in json.loads(listed.out)} == set(TEXTS)
