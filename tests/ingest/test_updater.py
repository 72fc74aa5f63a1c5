"""New, changed, moved, vanished and the same again: what becomes of articles from one run to the next."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest import Options, ingest
from ingest.articles.passages import SPLITTER
from ingest.check import check
from ingest.pipeline import remove
from ingest.updater import Model
from rag.config import PACKAGED_MODEL, Config
from rag.models.embedding import Embedder
from rag.schema import ArticleEntry, IngestReport
from rag.store.index import Index
from rag.store.writer import open_for_writing

pytestmark = pytest.mark.slow

PIER = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off forty metres of its planks."
BUS = "A night bus will link the islands from May, the council decided, and it will cost two crowns a ride."
BEES = "Every third hive of the valley was lost this winter, the beekeepers counted, more than in any year before."

Ingest = Callable[..., dict[str, int]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    (folder / "bay").mkdir(parents=True)
    write(folder / "bay" / "pier.md", "Pier closed", PIER)
    write(folder / "bus.md", "Night bus", BUS)
    return folder


@pytest.fixture
def run(config: Config, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Ingest; returns the counts that are not zero. On a slow machine, too, all articles are in one batch."""
    monkeypatch.setattr("ingest.pipeline.BATCH_SECONDS", 600.0)

    def ran(*places: Path, **options: object) -> dict[str, int]:
        report = ingest(places, config, options=Options(**options), model=Model(PACKAGED_MODEL, embedder))  # type: ignore[arg-type]
        return nonzero_counts(report)

    return ran


def nonzero_counts(report: IngestReport) -> dict[str, int]:
    names = ("added", "updated", "unchanged", "moved", "duplicates", "removed", "passages")
    counts = {name: getattr(report, name) for name in names}
    assert not report.failed
    return {name: count for name, count in counts.items() if count}


def write(path: Path, title: str, text: str, **fields: str) -> None:
    front = "\n".join(f"{name}: {value}" for name, value in {"title": title, "source": "Bay Times", **fields}.items())
    path.write_text(f"---\n{front}\n---\n\n{text}\n", "utf-8")


def entries(config: Config) -> dict[str, ArticleEntry]:
    return {entry.id: entry for entry in Index(config.index, config.embedding_model).articles()}


def test_a_file_of_the_same_size_and_time_is_not_even_opened(folder: Path, run: Ingest) -> None:
    run(folder)
    path = folder / "bus.md"
    before = path.stat()
    path.write_text(path.read_text().replace("May", "Jun"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(folder) == {"unchanged": 2}
    path.touch()
    assert run(folder) == {"updated": 1, "unchanged": 1, "passages": 1}
    path.touch()
    assert run(folder) == {"unchanged": 2}


def test_other_fields_are_read_from_unchanged_files_too(tmp_path: Path, run: Ingest, config: Config) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps({"id": "1", "headline": "Night bus", "kicker": "Islands", "body": BUS}))
    run(dump)
    assert run(dump, fields={"title": "kicker"}) == {"updated": 1, "passages": 1}
    assert run(dump, fields={"title": "kicker"}) == {"unchanged": 1}
    dump.touch()
    assert run(dump) == {"unchanged": 1}, "what was mapped once need not be mapped again"
    assert entries(config)["1"].title == "Islands"


def test_a_changed_byline_is_stored_and_embeds_nothing(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    write(folder / "bus.md", "Night bus", BUS, author="Ada Moor")
    assert run(folder) == {"updated": 1, "unchanged": 1}
    assert entries(config)["bus.md"].author == "Ada Moor"
    assert Index(config.index, config.embedding_model).counts() == (2, 2)


def test_a_moved_file_is_known_by_its_content(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    (folder / "bay" / "pier.md").rename(folder / "jetty.md")
    assert run(folder) == {"unchanged": 1, "moved": 1}
    assert entries(config).keys() == {"jetty.md", "bus.md"}
    index = Index(config.index, config.embedding_model)
    article = index.article("jetty.md")
    assert article
    assert (article.text, index.counts()) == (PIER, (2, 2))
    assert run(folder) == {"unchanged": 2}


def test_the_same_story_under_two_names_is_indexed_once(folder: Path, run: Ingest, config: Config) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed at last", PIER, source="The Age", url="https://age.example/pier")
    assert run(folder) == {"added": 2, "duplicates": 1, "passages": 2}
    [copy] = entries(config)["bay/pier.md"].copies
    assert (copy.id, copy.source, copy.url) == ("bay/recopy.md", "The Age", "https://age.example/pier")
    assert run(folder) == {"unchanged": 3}
    (folder / "bay" / "recopy.md").touch()
    assert run(folder) == {"unchanged": 3}
    (folder / "bay" / "recopy.md").unlink()
    assert run(folder) == {"unchanged": 2}
    assert not entries(config)["bay/pier.md"].copies


def test_a_copy_replaces_an_original_that_vanished(folder: Path, run: Ingest, config: Config) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed at last", PIER, source="The Age")
    run(folder)
    (folder / "bay" / "pier.md").unlink()
    assert run(folder) == {"added": 1, "unchanged": 1, "removed": 1, "passages": 1}
    entry = entries(config)["bay/recopy.md"]
    assert (entry.source, entry.title, entry.copies) == ("The Age", "Pier closed at last", ())
    assert run(folder) == {"unchanged": 2}


def test_a_copy_that_changes_is_an_article_of_its_own(folder: Path, run: Ingest, config: Config) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed", PIER)
    run(folder)
    write(folder / "bay" / "recopy.md", "Hives lost", BEES)
    assert run(folder) == {"added": 1, "unchanged": 2, "passages": 1}
    assert not entries(config)["bay/pier.md"].copies
    write(folder / "bay" / "recopy.md", "Pier closed", PIER)
    assert run(folder) == {"unchanged": 2, "duplicates": 1}
    assert entries(config).keys() == {"bay/pier.md", "bus.md"}


def test_copies_are_read_again_when_the_original_changes(folder: Path, run: Ingest, config: Config) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed", PIER)
    run(folder)
    write(folder / "bay" / "pier.md", "Hives lost", BEES)
    assert run(folder) == {"added": 1, "updated": 1, "unchanged": 1, "passages": 2}
    assert entries(config).keys() == {"bay/pier.md", "bus.md", "bay/recopy.md"}


def test_two_exports_may_share_an_article(tmp_path: Path, run: Ingest, config: Config) -> None:
    weeks = [tmp_path / "week1.jsonl", tmp_path / "week2.jsonl"]
    shared = {"id": "7", "title": "Night bus", "text": BUS}
    weeks[0].write_text("\n".join(map(json.dumps, [shared, {"id": "1", "title": "Pier", "text": PIER}])))
    weeks[1].write_text("\n".join(map(json.dumps, [shared, {"id": "2", "title": "Bees", "text": BEES}])))
    assert run(*weeks) == {"added": 3, "duplicates": 1, "passages": 3}
    assert run(*weeks) == {"unchanged": 4}
    weeks[0].write_text(json.dumps({"id": "1", "title": "Pier", "text": PIER}))
    run(*weeks)
    assert entries(config)["7"].origin == str(weeks[1])
    assert entries(config).keys() == {"1", "2", "7"}


def test_files_of_one_name_in_two_folders(tmp_path: Path, run: Ingest, config: Config) -> None:
    for name, text in (("one", PIER), ("two", BUS)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "index.md", name, text)
    assert run(tmp_path / "one", tmp_path / "two") == {"added": 2, "passages": 2}
    assert entries(config).keys() == {"index.md", "two/index.md"}
    assert run(tmp_path / "two") == {"unchanged": 1}
    (tmp_path / "two" / "index.md").touch()
    assert run(tmp_path / "two" / "index.md") == {"unchanged": 1}
    assert entries(config).keys() == {"index.md", "two/index.md"}


def test_what_vanished_is_kept_if_asked(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    (folder / "bus.md").unlink()
    assert run(folder, keep=True) == {"unchanged": 1}
    assert run(folder) == {"unchanged": 1, "removed": 1}
    assert entries(config).keys() == {"bay/pier.md"}


def test_what_was_removed_by_hand_comes_back(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    remove(["bus.md"], config)
    assert run(folder) == {"added": 1, "unchanged": 1, "passages": 1}


def test_near_duplicates_form_a_group(folder: Path, run: Ingest, config: Config) -> None:
    long = f"{PIER} {BUS} {BEES}"
    write(folder / "wire.md", "Islands", long)
    write(folder / "edited.md", "Islands", long.replace("forty", "thirty"), source="The Age")
    run(folder)
    found = entries(config)
    assert found["wire.md"].duplicate_group == found["edited.md"].duplicate_group
    assert len({entry.duplicate_group for entry in found.values()}) == 3
    index = Index(config.index, config.embedding_model)
    assert [(copy.id, copy.source) for copy in index.elsewhere(found["wire.md"])] == [("edited.md", "The Age")]
    write(folder / "late.md", "Islands", long.replace("two crowns", "three crowns"))
    run(folder)
    assert entries(config)["late.md"].duplicate_group == found["wire.md"].duplicate_group


def forget_states(config: Config) -> None:
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        writer.states.drop([state.origin for state in writer.states.all()])


def test_without_states_everything_is_read_again(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    forget_states(config)
    assert run(folder) == {"unchanged": 2}
    with open_for_writing(config.index, config.embedding_model, SPLITTER) as writer:
        assert [Path(state.origin).name for state in writer.states.all()] == ["pier.md", "bus.md"]


def test_a_record_that_takes_the_text_of_one_that_is_no_longer_there(
    tmp_path: Path, run: Ingest, config: Config
) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"

    def records(**texts: str) -> str:
        return "\n".join(json.dumps({"id": name, "title": "T", "text": text}) for name, text in texts.items())

    one.write_text(records(a=PIER, b=BUS))
    run(one)
    one.write_text(records(a=BUS, b=BUS))
    two.write_text(records(a=BEES))
    run(one, two)
    for _ in range(2):
        run(one, two)
    texts = {entry.text_digest for entry in entries(config).values()}
    assert len(texts) == 2
    assert {origin for entry in entries(config).values() for origin in entry.origins} == {str(one), str(two)}


def test_a_file_that_takes_the_name_of_another(folder: Path, run: Ingest, config: Config) -> None:
    run(folder)
    (folder / "bus.md").rename(folder / "aaa.md")
    write(folder / "bus.md", "Hives lost", BEES)
    assert run(folder) == {"added": 1, "updated": 1, "unchanged": 1, "passages": 2}
    assert all(not entry.copies for entry in entries(config).values())
    assert run(folder) == {"unchanged": 3}


def test_the_next_run_completes_an_interrupted_one(
    folder: Path, run: Ingest, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed", PIER)
    run(folder)
    write(folder / "bay" / "pier.md", "Hives lost", BEES)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ingest.pipeline._Run._reread", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    run(folder)
    assert entries(config).keys() == {"bay/pier.md", "bus.md", "bay/recopy.md"}


def test_what_vanished_in_a_run_that_removed_nothing_is_removed_by_the_next(
    tmp_path: Path, run: Ingest, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = tmp_path / "dump.jsonl"
    dump.write_text("\n".join(json.dumps({"id": t[:8], "title": "T", "text": t}) for t in (PIER, BUS)))
    run(dump)
    dump.write_text(json.dumps({"id": PIER[:8], "title": "T", "text": PIER}))
    assert run(dump, keep=True) == {"unchanged": 1}
    assert run(dump) == {"unchanged": 1, "removed": 1}
    assert len(entries(config)) == 1


def test_names_are_known_without_states(tmp_path: Path, run: Ingest, config: Config) -> None:
    for name, text in (("one", PIER), ("two", BUS)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "index.md", name, text)
    run(tmp_path / "one", tmp_path / "two")
    forget_states(config)
    assert run(tmp_path / "two") == {"unchanged": 1}
    assert entries(config).keys() == {"index.md", "two/index.md"}


def test_a_pipe_is_not_waited_for(tmp_path: Path, config: Config) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    report = ingest([tmp_path / "pipe.txt"], config)
    assert "not a regular file" in report.failed[0].reason


def test_a_source_given_twice_is_read_once(folder: Path, run: Ingest, config: Config) -> None:
    (folder / "broken.jsonl").write_text(json.dumps({"id": "1", "title": "Bees", "text": BEES}) + "\n{")
    report = ingest([folder, folder / "broken.jsonl", folder], config)
    assert (report.added, len(report.failed)) == (3, 1)


def test_after_a_move_nothing_is_missing(folder: Path, run: Ingest, config: Config) -> None:
    write(folder / "bay" / "recopy.md", "Pier closed", PIER)
    run(folder)
    (folder / "bus.md").rename(folder / "night.md")
    (folder / "bay" / "recopy.md").unlink()
    run(folder)
    assert check(config, lambda *_: None).lines == []


def test_a_corrected_export_replaces_what_an_earlier_one_said(tmp_path: Path, run: Ingest, config: Config) -> None:
    weeks = [tmp_path / "week1.json", tmp_path / "week2.json"]
    for number, week in enumerate(weeks):
        week.write_text(json.dumps([{"id": "n4", "title": "Lock gate", "text": f"{PIER} Count {number}."}]))
        os.utime(week, (1_700_000_000 + number, 1_700_000_000 + number))
    run(weeks[0])
    assert run(weeks[1]) == {"updated": 1, "passages": 1}
    for places in (weeks, weeks[:1], weeks[::-1]):
        run(*places)
        assert entries(config)["n4"].origin == str(weeks[1])
    index = Index(config.index, config.embedding_model)
    article = index.article("n4")
    assert article
    assert article.text.endswith("Count 1.")
