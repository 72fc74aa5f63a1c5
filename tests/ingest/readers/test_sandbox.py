"""The sandbox: whatever happens in its process, the parent process goes on."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ingest.content.types import Content, Limits, Options
from ingest.readers.registry import ISOLATED_READERS, PDF
from ingest.readers.sandbox import ROOT, Sandbox
from rag.errors import ReadError
from rag.schema import Article, Failure

READERS = """
import os, signal, sys, time
from datetime import date
from rag.errors import ReadError
from rag.schema import Article, Failure

def echo(content, options):
    with content.open() as file:
        text = file.read().decode()
    said = (("title field", options.fields.get("title", "")), ("known", content.metadata.get("author", "")))
    day, captions = date(2024, 3, 5), ((0, 2),)
    yield Article(content.name, "Títle", text, "Bay Times", content.url, "Ada", day, "elsewhere", captions, "en", said)
    yield Failure("part", "is broken")

def hang(content, options):
    time.sleep(1000)
    yield

def crash(content, options):
    os.kill(os.getpid(), signal.SIGSEGV)
    yield

def mistake(content, options):
    yield Article(content.name, "One", "Text.")
    raise AttributeError("a mistake in the reader")

def refuse(content, options):
    raise ReadError("is no such thing; give another")
    yield

def devour(content, options):
    yield Article(content.name, "T", str(len(bytearray(40 << 30))))

def chatter(content, options):
    print("noise")
    os.write(1, b"noise")
    sys.stderr.write("noise")
    yield Article(content.name, "T", repr(os.read(0, 10)) + input.__name__)

def surrogate(content, options):
    yield Article(content.name, "T", "a" + chr(0xD800) + "b")

def environment(content, options):
    yield Article(content.name, "T", " ".join([*os.environ, os.getcwd(), *sys.path]))

def lie(content, options):
    os.write(max(int(fd) for fd in os.listdir("/proc/self/fd") if fd.isdigit() and is_pipe(int(fd))), b"x" * 100)
    os._exit(0)
    yield

def is_pipe(fd):
    import stat
    try:
        os.write(fd, b"")
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False

def large(content, options):
    yield Article(content.name, "T", "x" * 4_000)
"""
NAMES = "echo hang crash mistake refuse devour chatter surrogate environment lie large".split()


def content(text: str = "The pier is closed.", name: str = "a/pier.xyz") -> Content:
    data = text.encode()
    known = {"author": "Bob"}
    return Content(name, "/real/pier.xyz", lambda: io.BytesIO(data), len(data), "https://bay.example/pier", known)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "readers"
    path.mkdir()
    (path / "strange.py").write_text(READERS, "utf-8")
    return path


def sandbox(folder: Path, seconds: float = 30, size: int = 1_000_000) -> Sandbox:
    options = Options({"title": "headline"}, Limits(seconds, size))
    return Sandbox(options, {f"strange:{name}" for name in NAMES}, (ROOT, str(folder)))


@pytest.fixture
def strange(folder: Path) -> Iterator[Sandbox]:
    with sandbox(folder) as own:
        yield own


def assert_it_still_works(own: Sandbox) -> None:
    assert len(list(own.read("strange:echo", content()))) == 2


def test_items_come_back_unchanged(strange: Sandbox) -> None:
    for text in ("The pier is closed.", "Zażółć 港 \U0001f600 \u2028 end", "x" * 900_000):
        article, failure = strange.read("strange:echo", content(text))
        assert article == Article(
            "a/pier.xyz",
            "Títle",
            text,
            "Bay Times",
            "https://bay.example/pier",
            "Ada",
            date(2024, 3, 5),
            "/real/pier.xyz",  # what the other process says of where it was read is not believed
            ((0, 2),),
            "en",
            (("title field", "headline"), ("known", "Bob")),
        )
        assert failure == Failure("part", "is broken")


def test_an_error_of_a_reader_does_not_restart_the_process(strange: Sandbox) -> None:
    assert_it_still_works(strange)
    first = strange._process
    with pytest.raises(ReadError, match="is no such thing; give another"):
        list(strange.read("strange:refuse", content()))
    assert_it_still_works(strange)
    assert strange._process is first


def test_a_reader_that_hangs_is_killed(folder: Path) -> None:
    with sandbox(folder, seconds=0.7) as own:
        with pytest.raises(ReadError, match=r"took longer than 0\.7 s.*source_seconds"):
            list(own.read("strange:hang", content()))
        assert_it_still_works(own)


@pytest.mark.parametrize("name", ["crash", "mistake", "lie"])
def test_a_reader_that_crashes_costs_one_source(strange: Sandbox, name: str) -> None:
    assert_it_still_works(strange)
    with pytest.raises(ReadError, match="crashed"):
        list(strange.read(f"strange:{name}", content()))
    assert_it_still_works(strange)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_reader_that_takes_all_memory_costs_one_source(strange: Sandbox) -> None:
    with pytest.raises(ReadError, match="crashed"):
        list(strange.read("strange:devour", content()))
    assert_it_still_works(strange)


def test_a_process_that_was_killed_is_started_again(strange: Sandbox) -> None:
    assert_it_still_works(strange)
    assert strange._process
    os.kill(strange._process._popen.pid, signal.SIGKILL)
    strange._process._popen.wait()
    with pytest.raises(ReadError, match="crashed"):
        list(strange.read("strange:echo", content()))
    assert_it_still_works(strange)


def test_output_of_a_reader_is_discarded(strange: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    [article] = strange.read("strange:chatter", content())
    assert isinstance(article, Article)
    assert article.text == "b''input"
    assert_it_still_works(strange)
    assert capfd.readouterr() == ("", "")


def test_a_surrogate_keeps_its_place(strange: Sandbox) -> None:
    [article] = strange.read("strange:surrogate", content())
    assert isinstance(article, Article)
    assert article.text == "a?b"


def test_the_process_has_no_secrets_and_its_own_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULLQUOTE_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with sandbox(folder) as own:
        [article] = own.read("strange:environment", content())
        assert own._process
        place = own._process._folder.name
        assert Path(place).stat().st_mode & 0o077 == 0
    assert isinstance(article, Article)
    said = article.text.split(" ")
    assert "LC_ALL" in said
    assert not [word for word in said if "KEY" in word or "TOKEN" in word or "PROXY" in word]
    assert place in said
    assert str(tmp_path) not in said
    assert "" not in said
    assert not Path(place).exists()


def test_modules_in_the_current_folder_are_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "ingest.py", "queue.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with sandbox(folder) as own:
        assert_it_still_works(own)
    assert not (tmp_path / "imported").exists()


def test_only_listed_readers_run(strange: Sandbox) -> None:
    with pytest.raises(KeyError):
        list(strange.read("os:abort", content()))


def test_requests_and_replies_have_a_size_limit(folder: Path) -> None:
    with sandbox(folder, size=1_000) as own:
        with pytest.raises(ReadError, match="larger than 1,000 bytes"):
            list(own.read("strange:echo", content("x" * 1_001)))
        with pytest.raises(ReadError, match="crashed"):
            list(own.read("strange:large", content()))
        assert_it_still_works(own)


def test_closing_ends_the_process(folder: Path) -> None:
    own = sandbox(folder)
    own.close()
    assert_it_still_works(own)
    assert own._process
    popen = own._process._popen
    own.close()
    assert popen.returncode is not None
    assert_it_still_works(own)
    own.close()


def test_the_process_ends_with_its_parent(strange: Sandbox) -> None:
    assert_it_still_works(strange)
    assert strange._process
    strange._process._requests.close()
    assert strange._process._popen.wait(10) == 0


def test_ctrl_c_does_not_end_the_process(strange: Sandbox) -> None:
    assert_it_still_works(strange)
    first = strange._process
    assert first
    os.kill(first._popen.pid, signal.SIGINT)
    assert_it_still_works(strange)
    assert strange._process is first


def test_real_readers_are_found() -> None:
    with Sandbox(Options(), ISOLATED_READERS) as own, pytest.raises(ReadError, match="not a PDF"):
        list(own.read(PDF.reader, replace(content(), name="a.pdf")))
