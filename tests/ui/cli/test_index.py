"""The commands that fill and keep an index: what they print, where, and with which status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ingest.pipeline import Standing
from ingest.readers.registry import KINDS, PLACES
from rag.schema import IngestReport
from rag.store.derived.chroma import open_client
from rag.store.index import Index
from tests.conftest import ROOT
from tests.support.hashing import HashEmbedder
from tests.support.old_index import old_pair
from tests.support.store import stored
from tests.ui.cli.test_main import run
from ui.cli import index
from ui.cli.terminal import status_bar

PIER = "The pier of Ostrava Bay was closed on Tuesday after a storm had torn off its planks."
BUS = "A night bus will link the islands from May, the council decided on Friday."
COMMAND = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ui.cli.main import app; app()"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model, whose loading is tested elsewhere."""
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())


def test_the_kinds_are_listed() -> None:
    status, out, _ = run("sources")
    assert status == 0
    for kind in KINDS:
        [line] = [line for line in out.splitlines() if line.startswith(f"{kind.name}  ")]
        assert kind.what in line
        assert all(suffix in line for suffix in kind.suffixes)
    listed = json.loads(run("sources", "--json")[1])
    assert len(listed) == len(KINDS) + len(PLACES)
    assert listed[0]["suffixes"] == [".txt", ".text"]


def test_a_kind_whose_package_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.readers.registry.find_spec", lambda name: None)
    out = run("sources")[1]
    [line] = [line for line in out.splitlines() if line.startswith("PDF")]
    assert "(first: pip install 'pullquote[documents]')" in line
    assert out.count("first:") == 2


@pytest.mark.parametrize("mapping", ["headline", "head=line", "title=", "=x"])
def test_a_mapping_that_is_none(mapping: str) -> None:
    status, out, err = run("ingest", ".", "--map", mapping)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "OURS=THEIRS" in err
    assert not Path(".pullquote").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_records_are_read_as_they_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_text(
        json.dumps({"kicker": "Islands", "headline": "Bus", "long": BUS, "mood": "calm"})
    )
    assert run("ingest", tmp_path / "dump.json", "--map", "title=kicker, text=long")[0] == 0
    [article] = json.loads(run("articles", "--json")[1])
    assert (article["title"], article["extra"]) == ("Islands", {"headline": "Bus", "mood": "calm"})


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_articles_are_listed_newest_first_up_to_a_limit(tmp_path: Path) -> None:
    dates = ("2024-05-01", "2024-07-01", "", "2024-06-01")
    records = [{"title": f"On {day}", "text": f"{BUS} {day}", "date": day} for day in dates]
    (tmp_path / "bus.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert run("ingest", tmp_path / "bus.jsonl")[0] == 0
    expected = sorted((f"On {day}".strip() for day in dates), reverse=True)
    assert [article["title"] for article in json.loads(run("articles", "--json")[1])] == expected
    assert [article["title"] for article in json.loads(run("articles", "--limit", "2", "--json")[1])] == expected[:2]
    assert len(run("articles", "--limit", "3")[1].splitlines()) == 3
    status, _, err = run("articles", "--limit", "0")
    assert status == 2
    assert "--limit" in err


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_failures_are_lines_and_the_status_says_if_all_failed(tmp_path: Path) -> None:
    (tmp_path / "pier.txt").write_text(PIER)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "scan\x1b[31m.txt").write_text("x")
    status, out, err = run("ingest", tmp_path)
    assert status == 0
    assert out.startswith("1 added, 0 updated, 0 unchanged, 0 removed, 2 failed: 1 passages in ")
    assert err.count("\n") == 2
    assert "broken.json: is not JSON" in err
    assert "\x1b" not in err
    status, out, err = run("ingest", tmp_path / "broken.json")
    assert (status, err.count("\n")) == (1, 1)
    assert run("ingest", tmp_path)[0] == 0, "what is unchanged is not a failure"


@pytest.mark.usefixtures("small")
def test_what_is_left_out_is_a_line_and_read_on_request(tmp_path: Path) -> None:
    posts = [{"title": "Pier", "text": PIER}, {"title": "Bus", "text": BUS, "status": "draft"}]
    (tmp_path / "posts.json").write_text(json.dumps(posts))
    (tmp_path / "only.md").write_text(f"---\ndraft: true\n---\n{BUS}")
    status, out, err = run("ingest", tmp_path / "only.md")
    assert (status, err.count("\n")) == (0, 1), "a draft is no failure"
    status, out, err = run("ingest", tmp_path / "posts.json")
    assert (status, err.count("\n")) == (0, 1)
    assert out.startswith("1 added, 0 updated, 0 unchanged, 0 removed, 0 failed, 1 notice: 1 passages in ")
    assert "posts.json: 1 entry that is not published was left out" in err
    assert "--include-drafts" in err
    status, out, err = run("ingest", tmp_path / "posts.json", "--include-drafts", "--json")
    assert (json.loads(out)["added"], json.loads(out)["notices"], err) == (1, [], "")
    [notice] = json.loads(run("ingest", tmp_path / "posts.json", "--json")[1])["notices"]
    assert notice["source"] == "posts.json"
    assert "Bus" not in run("articles")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_moved_and_copied_articles_are_told_where_there_are_any(tmp_path: Path) -> None:
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "pier.md").write_text(f"---\ntitle: Pier\nsource: Bay\n---\n{PIER}")
    run("ingest", folder)
    (folder / "pier.md").rename(folder / "jetty.md")
    (folder / "x.md").write_text((folder / "jetty.md").read_text())
    assert run("ingest", folder)[1].startswith("0 added, 0 updated, 0 unchanged, 1 moved, 1 duplicates, 0 removed, 0 f")
    (folder / "x.md").unlink()
    (folder / "jetty.md").unlink()
    (folder / "bus.txt").write_text(BUS)
    assert "0 removed" in run("ingest", folder, "--no-remove")[1]
    assert "1 removed" in run("ingest", folder)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_check_and_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pier.txt").write_text(PIER)
    run("ingest", tmp_path / "pier.txt")
    assert run("check") == (0, "1 articles, 1 passages\nnothing wrong\n", "")
    for file in Path(".pullquote/store-1/fulltext").glob("*"):
        file.unlink()
    status, out, err = run("check")
    assert (status, out) == (1, "1 passages that the full text does not have\n1 articles, 1 passages\n")
    assert "pullquote check --fix" in err
    assert run("check", "--fix")[:2] == (0, f"{out}repaired\n")
    assert run("check")[0] == 0
    status, out, err = run("rebuild", "--embedding-model", "other")
    assert (status, out) == (0, "1 passages embedded with other\n")
    assert "PULLQUOTE_EMBEDDING_MODEL=other" in err
    assert run("check")[0] == 1, "the settings still say the old model"
    monkeypatch.setenv("PULLQUOTE_EMBEDDING_MODEL", "other")
    assert run("check")[:2] == (0, "1 articles, 1 passages\nnothing wrong\n")


@pytest.mark.usefixtures("small")
def test_an_index_of_an_earlier_version_is_converted(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(open_client(folder)) as client:
        old_pair(client, [stored("a", 0, PIER), stored("b", 1, BUS)])
    status, _, err = run("articles", "--index", folder)
    assert (status, f"convert it: pullquote rebuild --index {folder}" in err) == (1, True)
    for _ in range(2):
        assert run("rebuild", "--index", folder) == (0, "2 passages in the format of this version\n", "")
    assert [path.name for path in folder.glob("*.sqlite3")] == []
    assert run("articles", "--index", folder)[0] == 1, "another model is configured"
    status, out, _ = run("rebuild", "--embedding-model", "other", "--index", folder)
    assert (status, out) == (0, "2 passages embedded with other\n")


@pytest.mark.usefixtures("small")
def test_an_index_of_an_earlier_version_is_embedded_with_another_model(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(open_client(folder)) as client:
        old_pair(client, [stored("a", 0, PIER)])
    status, out, _ = run("rebuild", "--embedding-model", "other", "--index", folder)
    assert (status, out) == (0, "1 passages embedded with other\n")
    assert Index(folder, "other").dimension == HashEmbedder().embed_questions([""]).shape[1]


@pytest.mark.parametrize("command", [["check"], ["rebuild"], ["rebuild", "--embedding-model", "x"]])
def test_no_index_is_told(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.updater.load_embedder", lambda name: HashEmbedder())
    status, out, err = run(*command, "--index", "none")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "pullquote ingest" in err
    assert not Path("none").exists()


def test_the_progress_is_one_line_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = IngestReport(added=1200, unchanged=34, passages=6000, seconds=100.0)

    def shown(source: str) -> str:
        with status_bar() as update:
            index._show_progress(update, Standing(report, source, 0.25))
        return capsys.readouterr().err

    assert shown("dump.jsonl") == "", "stderr is no terminal"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm")
    lines = shown("a\x1b[31m\n" + "long" * 40)
    assert "1,234 articles, 6,000 passages, 60/s" in lines
    assert "\x1b[31m" not in lines
    widest = max(len(re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line)) for line in re.split(r"[\r\n]", lines))
    assert widest <= 90
    assert lines.count("\n") <= 1, "the line is replaced, and cleared at the end"


@pytest.mark.slow
def test_ctrl_c_is_no_traceback(tmp_path: Path) -> None:
    """A real terminal, a real signal, the real model."""
    records = ({"id": str(n), "title": f"Hives {n}", "text": f"Hive number {n} was lost. " * 300} for n in range(300))
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, records)))
    controller, terminal = pty.openpty()
    command, shown = [sys.executable, "-c", COMMAND, "ingest", "many.jsonl"], ""
    with subprocess.Popen(command, cwd=tmp_path, stderr=terminal, stdout=subprocess.DEVNULL) as process:
        os.close(terminal)
        while not re.search(r"[1-9]\d* articles, ", shown):
            shown += os.read(controller, 4096).decode()
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # what Linux raises once the other end is closed
            while more := os.read(controller, 4096):
                shown += more.decode()
    os.close(controller)
    assert process.returncode == 130
    assert "interrupted; stored articles are kept" in shown
    assert "Traceback" not in shown
    assert "many.jsonl" in shown
    assert run("check", "--index", tmp_path / ".pullquote")[0] == 0


def test_a_backup_is_written_and_restored(small: None, tmp_path: Path) -> None:
    (tmp_path / "pier.txt").write_text(PIER)
    assert run("ingest", "pier.txt")[0] == 0
    assert run("backup", "copy.tar")[:2] == (0, "1 articles, 1 passages in copy.tar\n")
    status, out, err = run("restore", "copy.tar")
    assert (status, out) == (1, "")
    assert err.endswith(
        "already has an index; replace it: pullquote restore FILE --force --index .pullquote, or give another --index\n"
    )
    assert run("restore", "copy.tar", "--force")[:2] == (0, "1 articles, 1 passages restored to .pullquote\n")
    assert run("restore", "copy.tar", "--index", "other")[0] == 0
    assert "pier.txt" in run("articles", "--index", "other")[1]
    status, _, err = run("restore", "pier.txt", "--index", "third")
    assert (status, err.count("\n")) == (1, 1)
    assert "is no backup of Pullquote" in err
