"""What readers add on the page, and what they remove: a real index, with vectors of words."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import ingest
from ingest.pipeline import Standing
from ingest.updater import Model
from rag.config import Config
from rag.errors import IndexLocked, QuestionError, ReadError, UnexpectedError
from rag.schema import IngestReport
from rag.store.index import Index
from rag.store.lock import locked
from tests.support.hashing import HashEmbedder
from ui.page.articles import _progress
from ui.services.uploads import LONGEST_NAME, MOST_FILES, Added, Pasted, Steps, Uploads, safe_name

pytestmark = pytest.mark.slow
FERRY = "The ferry to Dolm was late on Monday, and nobody on the quay knew why."
BREAD = "Bread became dearer in Tavrin on Friday, since the grain ships did not come."


@pytest.fixture
def uploads(config: Config, tmp_path: Path) -> Uploads:
    """Uploads to an index that holds one article, read from a folder."""
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "first.md").write_text("# First\n\nThe council met on Tuesday and agreed on nothing at all.", "utf-8")
    model = Model(config.embedding_model, HashEmbedder())
    ingest([folder], config, model=model)
    return Uploads(config, Index(config.index, config.embedding_model), model)


def upload(tmp_path: Path, name: str, content: str | bytes, place: str = "uploads") -> Path:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def done(steps: Steps) -> Added:
    *standings, last = steps
    assert all(isinstance(step, Standing) for step in standings)
    assert standings, "it tells how far it is"
    assert isinstance(last, Added)
    return last


def titles(uploads: Uploads) -> list[str]:
    return sorted(entry.title for entry in uploads.index.articles())


def kept(uploads: Uploads) -> list[str]:
    return sorted(file.name for file in uploads.folder.iterdir())


def results(added: Added) -> dict[str, str]:
    return {outcome.name: outcome.told for outcome in added.outcomes}


def test_files_become_articles_and_stay_beside_the_index(uploads: Uploads, tmp_path: Path) -> None:
    ferry, bread = upload(tmp_path, "ferry.md", f"# Ferry\n\n{FERRY}"), upload(tmp_path, "bread.txt", BREAD)
    added = done(uploads.files([ferry, bread]))
    assert results(added) == {"ferry.md": "1 article", "bread.txt": "1 article"}
    assert kept(uploads) == ["bread.txt", "ferry.md"]
    assert titles(uploads)[-2:] == ["First", "bread.txt"] or len(titles(uploads)) == 3
    assert uploads.index.article("ferry.md")
    ferry.unlink()
    again = done(uploads.files([upload(tmp_path, "ferry.md", f"# Ferry\n\n{FERRY}")]))
    assert again.report.unchanged == 1
    assert kept(uploads) == ["bread.txt", "ferry.md"], "the same file is kept once"


def test_another_file_of_the_same_name_replaces_nothing(uploads: Uploads, tmp_path: Path) -> None:
    done(uploads.files([upload(tmp_path, "story.md", f"# Ferry\n\n{FERRY}")]))
    done(uploads.files([upload(tmp_path, "story.md", f"# Bread\n\n{BREAD}", "others")]))
    assert titles(uploads) == ["Bread", "Ferry", "First"]
    assert kept(uploads) == ["story-2.md", "story.md"]


def test_an_unreadable_file_is_reported_and_not_kept(uploads: Uploads, tmp_path: Path) -> None:
    files = [
        upload(tmp_path, "good.md", f"# Ferry\n\n{FERRY}"),
        upload(tmp_path, "broken.json", '{"title": '),
        upload(tmp_path, "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        upload(tmp_path, "empty.txt", ""),
        tmp_path / "uploads" / "missing.txt",
    ]
    added = done(uploads.files(files))
    found = results(added)
    assert found["good.md"] == "1 article"
    assert found["broken.json"].startswith("holds no article")
    assert found["missing.txt"] == "was not taken: No such file or directory"
    assert [o.name for o in added.outcomes if not o.failed and "1 article" not in o.told] == []
    assert kept(uploads) == ["good.md"]


def test_an_archive_is_unpacked(uploads: Uploads, tmp_path: Path) -> None:
    archive = tmp_path / "news.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("ferry.md", f"# Ferry\n\n{FERRY}")
        zipped.writestr("../../first.md", f"# Out\n\n{BREAD} {FERRY}")
        zipped.writestr("deep/bread.md", f"# Bread\n\n{BREAD}")
    assert results(done(uploads.files([archive])))["news.zip"].startswith("2 articles; has a path that leads out")
    assert kept(uploads) == ["news.zip"]
    assert "Out" not in titles(uploads)
    ids = [entry.id for entry in uploads.index.articles() if "zip" in entry.id]
    assert uploads.remove(ids[:1]) == 1
    assert kept(uploads) == ["news.zip"], "another article is in it"
    assert uploads.remove(ids) == 1
    assert kept(uploads) == []
    assert titles(uploads) == ["First"]


def test_an_unpublished_entry_is_reported_and_is_no_failure(uploads: Uploads, tmp_path: Path) -> None:
    posts = [{"title": "Ferry", "text": FERRY}, {"title": "Bread", "text": BREAD, "status": "draft"}]
    added = done(uploads.files([upload(tmp_path, "posts.json", json.dumps(posts))]))
    assert results(added)["posts.json"].startswith("1 article; 1 entry that is not published was left out")
    assert not any(outcome.failed for outcome in added.outcomes)
    assert len(added.report.notices) == 1
    added = done(uploads.files([upload(tmp_path, "draft.md", f"---\ndraft: true\n---\n{BREAD}")]))
    assert results(added)["draft.md"].startswith("holds no article; 1 entry that is not published was left out")
    assert not any(outcome.failed for outcome in added.outcomes)


def test_a_duplicate_is_reported(uploads: Uploads, tmp_path: Path) -> None:
    text = "# First\n\nThe council met on Tuesday and agreed on nothing at all."
    assert results(done(uploads.files([upload(tmp_path, "again.md", text)]))) == {
        "again.md": "is in the index already, word for word"
    }
    assert titles(uploads) == ["First"]


def test_files_elsewhere_are_never_deleted(uploads: Uploads, tmp_path: Path) -> None:
    assert uploads.remove(["first.md", "nobody"]) == 1
    assert (tmp_path / "news" / "first.md").exists()
    assert titles(uploads) == []


@pytest.mark.parametrize(
    "pasted",
    [
        Pasted(FERRY, "Ferry: “late”", "The Wire", "2024-05-04", "https://wire.example/a?b=c"),
        Pasted(f"---\ntitle: no\n---\n# {FERRY}\n\n* one\n* two", '"}]', "'\n", "", "javascript:alert(1)"),
        Pasted(FERRY),
    ],
)
def test_a_text_is_pasted(uploads: Uploads, pasted: Pasted) -> None:
    added = done(uploads.text(pasted))
    assert [outcome.told for outcome in added.outcomes] == ["1 article"]
    [entry] = [entry for entry in uploads.index.articles() if entry.title != "First"]
    article = uploads.index.article(entry.id)
    assert article
    words = [word for word in pasted.text.split() if word != "---"]
    assert article.text.split() == words, "but for what only sets it off"
    assert entry.title == (pasted.title.strip() or entry.title)
    assert entry.url == pasted.url, "what is no link is shown as none"
    assert (entry.published.isoformat() if entry.published else "") == pasted.date


def test_missing_or_invalid_input_is_reported_with_the_fix(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="paste it"):
        list(uploads.text(Pasted("  \n")))
    with pytest.raises(QuestionError, match="YYYY-MM-DD"):
        list(uploads.text(Pasted(FERRY, date="4 May")))
    for lines in ("", "ferry", "https://a.example\nftp://b.example", "/etc/passwd"):
        with pytest.raises(ReadError, match="begins with https"):
            list(uploads.urls(lines))
    with pytest.raises(ReadError, match="pullquote ingest"):
        list(uploads.files([tmp_path] * (MOST_FILES + 1)))
    assert not uploads.folder.exists()


def test_an_address_on_this_machine_is_refused(uploads: Uploads) -> None:
    added = done(uploads.urls("http://127.0.0.1:9/feed\nhttp://localhost/"))
    assert len(added.outcomes) == 2
    assert all("private" in outcome.told or "machine" in outcome.told for outcome in added.outcomes)


def test_a_large_file_is_refused(uploads: Uploads, tmp_path: Path) -> None:
    large = upload(tmp_path, "large.txt", b"a" * (uploads.config.source_megabytes * 1_000_000 + 1))
    [outcome] = done(uploads.files([large, upload(tmp_path, "ferry.txt", FERRY)])).outcomes[:1]
    assert "larger than" in outcome.told
    assert kept(uploads) == ["ferry.txt"]


def test_a_link_is_not_followed(uploads: Uploads, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("Nobody may write over this.", "utf-8")
    uploads.folder.mkdir()
    (uploads.folder / "ferry.txt").symlink_to(secret)
    done(uploads.files([upload(tmp_path, "ferry.txt", FERRY)]))
    assert secret.read_text("utf-8") == "Nobody may write over this."
    assert kept(uploads) == ["ferry-2.txt", "ferry.txt"]


def test_two_readers_add_at_once(uploads: Uploads, tmp_path: Path) -> None:
    files = [[upload(tmp_path, f"{n}.md", f"# Ferry {n}\n\n{FERRY} It was number {n} of {n * 7}.")] for n in range(4)]
    barrier = threading.Barrier(4)

    def add(of_one: list[Path]) -> Added:
        barrier.wait()
        return done(uploads.files(of_one))

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(add, files))
    assert [a.report.added for a in added] == [1] * 4
    assert len(titles(uploads)) == 5


def test_another_process_that_writes_is_reported(uploads: Uploads, tmp_path: Path) -> None:
    with locked(uploads.config.index), pytest.raises(IndexLocked, match="wait until it is done"):
        list(uploads.files([upload(tmp_path, "ferry.md", FERRY)]))
    done(uploads.files([upload(tmp_path, "ferry.md", FERRY)]))


def ended() -> None:
    """Wait until nothing is being added any more."""
    for thread in threading.enumerate():
        if thread.name == "upload":
            thread.join(30)
            assert not thread.is_alive()


def test_an_addition_goes_on_after_its_page_is_closed(uploads: Uploads, tmp_path: Path) -> None:
    steps = uploads.files([upload(tmp_path, "ferry.md", f"# Ferry\n\n{FERRY}")])
    next(steps)
    steps.close()
    ended()
    assert titles(uploads) == ["Ferry", "First"]
    done(uploads.files([upload(tmp_path, "bread.md", f"# Bread\n\n{BREAD}")]))


@dataclass
class Gate:
    """Stands for `ingest`: waits in the middle of each ingest until `through` is set, and records them."""

    through: threading.Event = field(default_factory=threading.Event)
    begun: list[Sequence[Path | str]] = field(default_factory=list)

    def __call__(self, sources: Sequence[Path | str], config: Config, tell: Any, *more: Any) -> IngestReport:
        with locked(config.index):  # as an ingest has it
            self.begun.append(sources)
            tell(Standing(IngestReport(), "", 0.5))
            assert self.through.wait(30)
        return ingest(sources, config, tell, *more)


@pytest.mark.parametrize("closed", ["closed", "left alone"])
def test_after_a_closed_page_the_next_one_waits_until_its_articles_are_in(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    gate = Gate()
    monkeypatch.setattr("ui.services.uploads.ingest", gate)
    first = uploads.files([upload(tmp_path, "ferry.md", f"# Ferry\n\n{FERRY}")])
    next(first)
    if closed == "closed":
        first.close()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: done(uploads.text(Pasted(BREAD, "Bread"))))
        removed = threading.Thread(target=uploads.remove, args=(["first.md"],))
        removed.start()
        removed.join(0.2)
        assert removed.is_alive(), "a removal waits as well"
        assert len(gate.begun) == 1
        gate.through.set()
        assert second.result(30).report.added == 1
        removed.join(30)
    ended()
    assert titles(uploads) == ["Bread", "Ferry"]


def test_one_that_is_closed_before_its_turn_is_added_as_well(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = upload(tmp_path, "ferry.md", f"# Ferry\n\n{FERRY}")
    with ThreadPoolExecutor(1) as pool, uploads._turn:
        waiting = uploads.files([ferry], taken=True)
        first = pool.submit(next, waiting)
        while not any(thread.name == "upload" for thread in threading.enumerate()):
            assert not first.done()
    first.result(30)
    waiting.close()
    ended()
    assert titles(uploads) == ["Ferry", "First"]
    assert not ferry.exists(), "nobody else is left to delete it"


@pytest.mark.parametrize("error", [RuntimeError("the disk is on fire"), OSError(28, "no space left"), SystemExit(1)])
@pytest.mark.parametrize("closed", [False, True])
def test_an_unexpected_error_is_reported_and_logged_and_blocks_nobody(
    uploads: Uploads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    closed: bool,
) -> None:
    def broken(_sources: Any, _config: Config, tell: Any, *_: Any) -> IngestReport:
        tell(Standing(IngestReport(), "", 0.5))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("ui.services.uploads.ingest", broken)
        steps = uploads.files([upload(tmp_path, "ferry.md", FERRY)])
        next(steps)
        if closed:
            steps.close()
            ended()
        else:
            with pytest.raises(UnexpectedError, match="look it up in the server's log") as raised:
                next(steps)
            assert raised.value.__cause__ is error
            shown = [*_progress(uploads.text(Pasted(FERRY)))][-1]
            assert "look it up in the server's log" in unescape(shown)
    [record, *_] = [record for record in caplog.records if record.name == "ui.services.errors"]
    assert record.exc_info
    assert record.exc_info[1] is error
    assert done(uploads.text(Pasted(BREAD, "Bread"))).report.added >= 1


def test_uploads_that_may_be_taken_are_gone_however_it_ends(uploads: Uploads, tmp_path: Path) -> None:
    large = upload(tmp_path, "large.txt", b"a" * (uploads.config.source_megabytes * 1_000_000 + 1))
    files = [large, upload(tmp_path, "ferry.txt", FERRY)]
    done(uploads.files(files, taken=True))
    assert not any(file.exists() for file in files)
    again = upload(tmp_path, "ferry.txt", FERRY)
    with pytest.raises(ReadError, match="pullquote ingest"):
        list(uploads.files([again] * (MOST_FILES + 1), taken=True))
    assert not again.exists()
    assert kept(uploads) == ["ferry.txt"]


@given(
    st.one_of(st.text(max_size=300), st.sampled_from(["../../etc/passwd", "a\\b\\c.md", ".", "..", "CON.txt", "nul"]))
)
def test_a_name_leads_nowhere_else(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe == Path(safe).name
    assert not safe.startswith(".")
    assert len(safe.encode()) <= LONGEST_NAME + 2
    assert not set(safe) & set('/\\\0\n<>:"|?*')
    assert safe_name(safe) == safe


def test_names_stay_recognisable() -> None:
    names = ("Zoë’s report (final).PDF", "../a/b.md", "con.txt", "...", "x" * 300 + ".json", "a\u202efdp.exe")
    assert [safe_name(name)[:30] for name in names] == [
        "Zoë’s report (final).PDF",
        "b.md",
        "_con.txt",
        "article",
        "x" * 30,
        "a fdp.exe",
    ]
    assert safe_name("x" * 300 + ".json").endswith("x.json")
    assert json.dumps(safe_name("\ud800.md")) == '"article.md"'
