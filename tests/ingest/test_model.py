"""Whatever happens to the files between two runs: the index holds what a first ingest of them would hold."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest import ingest
from ingest.check import check
from ingest.updater import Model
from rag.config import Config
from rag.store.index import Index
from tests.support.hashing import HashEmbedder

pytestmark = pytest.mark.slow
RUNS = 15
TEXTS = [
    f"The {who} of Kelm went to the {where} on Monday and said nothing about it to anybody else."
    for who in ("mayor", "baker", "doctor")
    for where in ("market", "harbour")
]
NAMES = [f"{folder}{name}" for folder in ("", "b/", "c/") for name in ("x.txt", "y.txt")]
DUMPS = ["one.jsonl", "b/two.jsonl"]


def places(folder: Path) -> dict[str, list[str]]:
    """Where each text stands, by the files themselves."""
    found: dict[str, list[str]] = {}
    for file in folder.rglob("*"):
        if file.suffix == ".txt":
            found.setdefault(file.read_text(), []).append(str(file))
        elif file.suffix == ".jsonl":
            for line in file.read_text().splitlines():
                found.setdefault(json.loads(line)["text"], []).append(str(file))
    return {text: sorted(origins) for text, origins in found.items()}


def indexed(config: Config) -> dict[str, list[str]]:
    """Where each text stands, by the index."""
    index, found = Index(config.index, config.embedding_model), dict[str, list[str]]()
    for entry in index.articles():
        article = index.article(entry.id)
        assert article
        assert article.text not in found, "one text is one article"
        found[article.text] = sorted(entry.origins)
    return found


def changed(folder: Path, drawn: random.Random) -> None:
    """One change as people make them."""
    files = sorted(file for file in folder.rglob("*.txt"))
    target = folder / drawn.choice(NAMES)
    change: Callable[[], object] = drawn.choice(
        [
            lambda: target.write_text(drawn.choice(TEXTS)),
            lambda: target.write_text(drawn.choice(TEXTS)),
            lambda: drawn.choice(files).unlink() if len(files) > 1 else None,
            lambda: drawn.choice(files).replace(target) if files else None,
            lambda: _swapped(*drawn.sample(files, 2)) if len(files) > 1 else None,
            lambda: _dumped(folder / drawn.choice(DUMPS), drawn),
        ]
    )
    change()


def _swapped(a: Path, b: Path) -> None:
    aside = a.with_suffix(".aside")
    a.replace(aside)
    b.replace(a)
    aside.replace(b)


def _dumped(dump: Path, drawn: random.Random) -> None:
    """A dump of records whose ids are its own: one id in two dumps would be a mistake of theirs."""
    texts = drawn.sample(TEXTS, drawn.randint(1, 3))
    ids = drawn.sample(range(4), len(texts))
    records = ({"id": f"{dump.stem}{i}", "title": "Kelm", "text": t} for i, t in zip(ids, texts, strict=True))
    dump.write_text("\n".join(map(json.dumps, records)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_index_keeps_in_step(tmp_path: Path, seed: int) -> None:
    folder, drawn, model = tmp_path / "articles", random.Random(seed), Model("hash", HashEmbedder())
    for sub in ("b", "c"):
        (folder / sub).mkdir(parents=True)
    config = Config(index=tmp_path / "index", embedding_model="hash")
    (folder / "x.txt").write_text(TEXTS[0])
    for _ in range(RUNS):
        for _ in range(drawn.randint(1, 4)):
            changed(folder, drawn)
        report = ingest([folder], config, model=model)
        assert not report.failed
        # What only shows once another file was read is set right by the run after.
        if indexed(config) != places(folder):
            ingest([folder], config, model=model)
        assert indexed(config) == places(folder)
    assert check(config, lambda *_: None).lines == []
