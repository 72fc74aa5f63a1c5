"""Killed, short of disk, or beside another one: an ingest loses nothing that it reported as done."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ingest import ingest
from ingest.articles.passages import SPLITTER
from ingest.check import check
from ingest.pipeline import Standing
from ingest.updater import Model
from rag.config import Config
from rag.errors import IndexLocked, PullquoteError
from rag.schema import IngestReport, Query
from rag.store import writer
from rag.store.index import Index
from rag.store.writer import open_for_writing
from tests.conftest import ROOT
from tests.support.hashing import HashEmbedder

pytestmark = pytest.mark.slow

ARTICLES, KILLS = 40, 20
CHILD = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.ingest.test_killed import ingest_in_small_steps
ingest_in_small_steps(*sys.argv[1:])
"""


def ingest_in_small_steps(corpus: str, index: str, limit: str = "") -> None:
    """The child process: print when it starts, and after each batch how many articles are stored."""
    import tantivy  # noqa: F401 - loaded before the clock runs
    from chromadb.api.client import Client

    from ingest import pipeline, updater

    pipeline.BATCH_ITEMS = 5
    updater.STEP_CHARACTERS = 3000
    writer.REMOVED_AT_ONCE = 3
    Client.get_max_batch_size = lambda _: 4  # type: ignore[method-assign]  # each write is many requests
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    print("ready", flush=True)

    def report(standing: Standing) -> None:
        print(standing.report.seen, flush=True)

    try:
        ingest([corpus], Config(index=Path(index)), report, model=Model("hash", HashEmbedder()))
    except PullquoteError as error:
        sys.exit(f"{type(error).__name__}: {error}")


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


def child(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(config: Config) -> dict[str, str]:
    """Every article's text by its id; each was found by its own text, in meaning and in words."""
    index, embedder = Index(config.index, config.embedding_model), HashEmbedder()
    found = {}
    for entry in index.articles():
        article = index.article(entry.id)
        assert article
        for passage in index.passages([c.passage_id for c in _near(index, embedder, article.text)]):
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


def test_killed_at_twenty_random_points(config: Config, tmp_path: Path) -> None:
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
    [found] = reader.passages([best.passage_id])
    assert "version1 of story7" in found.passage.text
