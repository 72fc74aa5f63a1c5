"""Runs commands of `pullquote` in forks of one process, which has imported everything: a crash costs one command.

Embeds without a model; Chroma saves its graph after few passages, and is searched however few there are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_START = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
from tests.support.cli_server import main
main()
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status, negative for a signal, and what it printed."""

    status: int
    out: str
    err: str


class Commands:
    """Runs commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *arguments: object) -> Done:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))


@contextmanager
def commands() -> Iterator[Commands]:
    """A process that runs commands one after the other."""
    environment = {**os.environ, "PULLQUOTE_EMBEDDING_MODEL": "hash", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Commands(process)
        assert process.stdin
        process.stdin.close()


def main() -> None:
    import chromadb  # noqa: F401 - imported once for all commands

    import ingest.check
    import ingest.pipeline
    import ingest.updater
    import rag.chain
    import rag.store.backup
    from rag.store.derived import chroma
    from rag.store.derived.dense import DenseIndex
    from tests.support.hashing import HashEmbedder

    ingest.updater.load_embedder = rag.chain.load_embedder = lambda name: HashEmbedder()  # type: ignore[attr-defined]
    chroma.HNSW["sync_threshold"] = 500
    DenseIndex.__init__.__defaults__ = (0,)  # type: ignore[attr-defined]
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(json.loads(line))) + "\n")
        sys.stdout.flush()


def _forked(arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        child = os.fork()
        if not child:
            _run(arguments, out, err)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), out.read_text(errors="replace"), err.read_text(errors="replace")


def _run(arguments: list[str], out: Path, err: Path) -> None:
    from ui.cli.main import app

    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    status = 0
    try:
        app(arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        status = 70
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
