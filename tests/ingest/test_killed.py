"""Killed, short of disk, or beside another one: what was reported as done is not lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ingest import ingest
from ingest.articles.passages import SPLITTER
from ingest.check import Findings, check, rebuild, repair
from ingest.pipeline import Standing, remove
from ingest.updater import Model
from rag.config import Config
from rag.errors import IndexLocked, PullquoteError
from rag.schema import IngestReport, Query
from rag.store import rebuild as rebuild_module
from rag.store.index import Index
from rag.store.verify import Problems
from rag.store.writer import open_for_writing
from tests.conftest import ROOT
from tests.support.hashing import HashEmbedder

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(index=tmp_path / "index", embedding_model="hash")


ARTICLES = 40
KILLS = int(os.environ.get("TEST_KILLS", "20"))
"""Of ingests; of other commands half as many."""
CHILD = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.ingest import test_killed
getattr(test_killed, sys.argv[1])(*sys.argv[2:])
"""


def ingest_in_small_steps(corpus: str, index: str, limit: str = "") -> None:
    """The child process: print when it starts, and after each batch how many articles are stored."""
    in_small_steps()
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    print("ready", flush=True)

    def report(standing: Standing) -> None:
        print(standing.report.seen, flush=True)

    try:
        ingest([corpus], Config(index=Path(index), embedding_model="hash"), report, model=Model("hash", HashEmbedder()))
    except PullquoteError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def in_small_steps() -> None:
    """Let each command make many writes, each of many requests; load what takes time."""
    import chromadb  # noqa: F401
    import tantivy  # noqa: F401

    from ingest import pipeline, updater
    from rag.store import writer
    from rag.store.derived import chroma, sync

    pipeline.BATCH_ITEMS = 5
    updater.STEP_CHARACTERS = 3000
    updater.load_embedder = lambda name: HashEmbedder()  # type: ignore[attr-defined]
    writer.REMOVED_AT_ONCE = 3
    rebuild_module.ARTICLES_AT_ONCE = 3
    sync.COMMIT_PASSAGES, sync.CHROMA_BATCH, sync.MOST_BEHIND, chroma.BATCH = 8, 12, 0, 4


def run_in_small_steps(command: str, index: str, *ids: str) -> None:
    """The child process: remove articles, embed all again, or check and repair."""
    in_small_steps()
    config = Config(index=Path(index), embedding_model="hash")
    print("ready", flush=True)
    if command == "remove":
        remove(ids, config)
    elif command == "rebuild":
        rebuild(config, "hash", lambda *_: None)
    else:
        repair(config, Findings(Problems(matrix=1, unsearchable=1, stray=1)), lambda *_: None)
    print("done", flush=True)


def text(number: int, version: int) -> str:
    """A text of its own words for each article and version: three passages."""
    sentences = (
        f"In version{version} of story{number} the count{number}x{k} of hives fell again in the valley number{k}."
        for k in range(16)
    )
    return " ".join(sentences)


def write(corpus: Path, version: int, numbers: Iterable[int] = range(ARTICLES), letter: str = "a") -> None:
    records = ({"id": f"{letter}{n}", "title": f"Story {n}", "text": text(n, version)} for n in numbers)
    corpus.write_text("\n".join(map(json.dumps, records)))


def present(version: int) -> list[int]:
    """The articles of a version of the corpus: some go, and some come back."""
    return [n for n in range(ARTICLES) if n % 6 != version % 6]


def copied(version: int) -> list[int]:
    """Those that stand under a second name as well, in every other version."""
    return [] if version % 2 else list(range(0, ARTICLES, 3))


def write_both(folder: Path, version: int) -> None:
    write(folder / "corpus.jsonl", version, present(version))
    write(folder / "later.jsonl", version, copied(version), "b")


def child(*arguments: str | Path | int) -> subprocess.Popen[str]:
    return start("ingest_in_small_steps", *arguments)


def start(*arguments: str | Path | int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(config: Config) -> dict[str, str]:
    """Every article's text by its id; each was found by its own text, in meaning and in words."""
    index, embedder = Index(config.index, config.embedding_model), HashEmbedder()
    found = {}
    for entry in index.articles():
        article = index.article(entry.id)
        assert article
        for passage in index.passages([c.key for c in _near(index, embedder, article.text)]):
            if passage.passage.article_id == entry.id:
                break
        else:
            pytest.fail(f"{entry.id} is not found by its own text")
        found[entry.id] = article.text
    return found


def _near(index: Index, embedder: HashEmbedder, own: str) -> list:  # type: ignore[type-arg]
    near = index.candidates(Query(own.partition(".")[0]), embedder.embed_questions([own])[0], 5)
    by_words = [c for c in near if c.bm25]
    assert by_words, "the full text knows nothing of it"
    return sorted(near, key=lambda c: -c.similarity)[:3]


def lines(process: subprocess.Popen[str]) -> Iterator[int]:
    assert process.stdout
    for line in process.stdout:
        yield int(line)


def test_an_ingest_that_is_killed(config: Config, tmp_path: Path) -> None:
    """While articles are added, replaced, and removed, and copies are noted and forgotten."""
    corpus, drawn = tmp_path / "corpus", random.Random(5)
    corpus.mkdir()
    write_both(corpus, 0)
    whole = _seconds_of_a_run(corpus, config)
    killed, before = 0, stored(config)
    for version in range(1, KILLS + 1):
        write_both(corpus, version)
        process = child(corpus, config.index)
        assert process.stdout
        assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        time.sleep(drawn.uniform(0, whole))
        process.kill()
        reported = max(lines(process), default=0)
        process.communicate()
        killed += process.returncode < 0
        found = stored(config)
        numbers, names = present(version), {article_id[1:] for article_id in found}
        assert {i[1:] for i in before} & {str(n) for n in numbers} <= names, "an article is lost"
        for article_id, own in found.items():
            assert own in {text(int(article_id[1:]), v) for v in range(version + 1)}, (
                "an article is half of one version"
            )
        done = sum(text(n, version) in (found.get(f"a{n}"), found.get(f"b{n}")) for n in numbers)
        assert done >= min(reported, len(numbers)), "more was reported than is stored"
        before = found
    assert killed > KILLS / 2, "the kills came too late to prove anything"
    write_both(corpus, KILLS + 2)
    report = ingest([corpus], config, model=Model("hash", HashEmbedder()))
    assert_in_step(config, KILLS + 2)
    assert report.failed == ()


def assert_in_step(config: Config, version: int) -> None:
    """The index holds what the corpus does, and nothing else.

    Of two names of one text, the article has the one that was there first, which depends on when a run was killed.
    """
    numbers, twice = present(version), copied(version)
    found = stored(config)
    assert sorted(found.values()) == sorted(text(n, version) for n in {*numbers, *twice})
    assert all(own == text(int(article_id[1:]), version) for article_id, own in found.items())
    names = [
        {entry.id, *(copy.id for copy in entry.copies)}
        for entry in Index(config.index, config.embedding_model).articles()
    ]
    given = [f"a{n}" for n in numbers] + [f"b{n}" for n in twice]
    assert sorted(map(sorted, names)) == sorted(sorted(i for i in given if i[1:] == str(n)) for n in {*numbers, *twice})
    assert check(config, lambda *_: None).lines == []


def _seconds_of_a_run(corpus: Path, config: Config) -> float:
    process = child(corpus, config.index)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    assert max(lines(process)) > len(present(0))
    process.communicate()
    return time.monotonic() - started


def test_a_removal_that_is_killed(config: Config, tmp_path: Path) -> None:
    """Each article is there or gone as a whole; those of a removal that ended are gone."""
    corpus, drawn = tmp_path / "corpus.jsonl", random.Random(7)
    write(corpus, 0)
    for _ in range(KILLS // 2):
        ingest([corpus], config, model=Model("hash", HashEmbedder()))
        ids = [f"a{n}" for n in drawn.sample(range(ARTICLES), 15)]
        ended = killed_after(drawn.uniform(0, 1.5), "remove", config.index, *ids)
        found = stored(config)
        assert found == {i: text(int(i[1:]), 0) for i in found}
        kept = {f"a{n}" for n in range(ARTICLES)} - set(ids)
        assert kept <= found.keys()
        assert not ended or found.keys() == kept
    ingest([corpus], config, model=Model("hash", HashEmbedder()))
    assert len(stored(config)) == ARTICLES
    assert check(config, lambda *_: None).lines == []


@pytest.mark.parametrize("command", ["rebuild", "repair"])
def test_a_rebuild_that_is_killed(config: Config, tmp_path: Path, command: str) -> None:
    corpus, drawn = tmp_path / "corpus.jsonl", random.Random(9)
    write(corpus, 0)
    ingest([corpus], config, model=Model("hash", HashEmbedder()))
    before = stored(config)
    for _ in range(KILLS // 2):
        killed_after(drawn.uniform(0, 2.5), command, config.index)
        assert stored(config) == before
    assert ingest([corpus], config, model=Model("hash", HashEmbedder())).unchanged == ARTICLES
    assert check(config, lambda *_: None).lines == []
    assert len(list(config.index.glob("store-*"))) == 1


def killed_after(seconds: float, *arguments: str | Path) -> bool:
    """Run a command, and kill it; whether it had ended."""
    process = start("run_in_small_steps", *arguments)
    assert process.stdout
    assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    time.sleep(seconds)
    process.kill()
    return "done" in process.communicate()[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_a_full_disk_is_reported_and_what_was_stored_stays(config: Config, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    write(corpus, 1)
    ingest([corpus], config, model=Model("hash", HashEmbedder()))
    write(corpus, 2)
    size = max(file.stat().st_size for file in config.index.rglob("*") if file.is_file())
    process = child(corpus, config.index, size + 20_000)
    assert process.stdout
    process.stdout.readline()
    reported = max(lines(process), default=0)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("StoreError: ")
    assert "disk" in errors
    found = stored(config)
    assert len(found) == ARTICLES
    assert all(found[f"a{n}"] in (text(n, 1), text(n, 2)) for n in range(ARTICLES))
    assert all(found[f"a{n}"] == text(n, 2) for n in range(reported))
    assert articles_seen(ingest([corpus], config, model=Model("hash", HashEmbedder()))) == ARTICLES
    assert stored(config) == {f"a{n}": text(n, 2) for n in range(ARTICLES)}


def articles_seen(report: IngestReport) -> int:
    assert not report.failed
    return report.seen


def test_two_ingests_at_once_lose_nothing(config: Config, tmp_path: Path) -> None:
    """Four processes on one index, each until it was its turn: a row that two wrote at once would not be found."""
    corpora = []
    for part in range(4):
        records = [{"id": f"a{n}", "title": f"Story {n}", "text": text(n, 0)} for n in range(part * 10, part * 10 + 10)]
        corpora.append(tmp_path / f"part{part}.jsonl")
        corpora[-1].write_text("\n".join(map(json.dumps, records)))
    with open_for_writing(config.index, config.embedding_model, SPLITTER):
        assert _left_over(corpora, config) == corpora, "while this process writes, all others are refused"
    waiting = corpora
    while waiting:
        waiting = _left_over(waiting, config)
    assert stored(config) == {f"a{n}": text(n, 0) for n in range(40)}
    assert check(config, lambda *_: None).lines == []


def _left_over(corpora: list[Path], config: Config) -> list[Path]:
    """Ingest all of these at once, each by a process of its own; those that were refused."""
    running = [(corpus, child(corpus, config.index)) for corpus in corpora]
    refused = []
    for corpus, process in running:
        _, errors = process.communicate()
        if process.returncode:
            assert errors.startswith(f"{IndexLocked.__name__}: process "), errors
            assert ", since " in errors
            refused.append(corpus)
    return refused


def test_an_open_reader_sees_what_another_process_ingests(config: Config, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    write(corpus, 0)
    ingest([corpus], config, model=Model("hash", HashEmbedder()))
    reader = Index(config.index, config.embedding_model)
    write(corpus, 1)
    process = child(corpus, config.index)
    process.communicate()
    vector = HashEmbedder().embed_questions([text(7, 1)])[0]
    [best, *_] = sorted(reader.candidates(Query("version1 story7"), vector, 5), key=lambda c: -c.similarity)
    [found] = reader.passages([best.key])
    assert "version1 of story7" in found.passage.text
