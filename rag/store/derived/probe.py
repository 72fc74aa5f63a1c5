"""Compares Chroma's vectors with the catalogue, in a process of its own: Chroma crashes on damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.store.catalog.reading import Catalog
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.chroma_files import has_checksums, is_intact
from rag.store.files import CATALOG, CHROMA

LIKE = 0.995
"""The least cosine of a vector to the same one in the catalogue, which has fewer digits."""
NEAREST, EQUAL = (20, 1000), 0.999
"""A passage is found if it, or another of an equal vector, is among so many nearest to its own vector: short passages
repeat. The search is approximate, most of all among many similar passages, hence the second, larger number."""
AT_ONCE = 500
SILENT_SECONDS = 600.0
"""After which a process that reports nothing is ended."""

Progress = Callable[[int, int], object]
"""Called with the number of passages checked, and of all."""

_START = """
import sys
sys.path[:0] = [path for path in sys.argv[3:] if path not in sys.path]
from rag.store.derived.probe import main
main(sys.argv[1], sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class ChromaFindings:
    """What is wrong with Chroma's vectors.

    `broken` is why they cannot be read. Passages: `missing` ones have no vector or another one, `outdated` ones no
    longer exist, `unfound` ones are not found by their own vector.
    """

    broken: str = ""
    missing: int = 0
    outdated: int = 0
    unfound: int = 0

    def __bool__(self) -> bool:
        return self != ChromaFindings()


def probe(store: Path, *, search: bool, progress: Progress = lambda *_: None) -> ChromaFindings:
    """Compare the vectors of a store; with `search`, also search for each by itself."""
    folder = store / CHROMA
    if has_checksums(folder) and not is_intact(folder):
        return ChromaFindings("its files are damaged")
    command = [sys.executable, "-P", "-c", _START, str(store), "search" if search else "", *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        for line in _lines(process):
            values = json.loads(line)
            if isinstance(values, dict):
                return ChromaFindings(**values)
            progress(*values)
    return ChromaFindings(f"Chroma ended with status {process.returncode}")


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    while process.stdout:
        timer = threading.Timer(SILENT_SECONDS, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            return
        yield line


def main(store: str, search: str) -> None:
    """The child process: write the progress, then the findings, as lines of JSON."""
    try:
        findings = _compare(Path(store), _write, search=bool(search))
    except StoreError as error:
        findings = ChromaFindings(str(error))
    _write(asdict(findings))


def _write(*values: object) -> None:
    sys.stdout.write(json.dumps(values[0] if len(values) == 1 else values) + "\n")
    sys.stdout.flush()


def _compare(store: Path, progress: Progress, *, search: bool) -> ChromaFindings:
    catalog = Catalog(store.parent, store / CATALOG)
    state = catalog.state()
    chroma = ChromaVectors.open(store / CHROMA, state.identity)
    if chroma is None:
        return ChromaFindings("it has no vectors of this index")
    known = chroma.state
    if known.generation > state.generation:
        return ChromaFindings("it is newer than the catalogue")
    left = set(chroma.keys())
    for removal in catalog.removals(known.generation):
        left.difference_update(range(removal.first_passage, removal.first_passage + removal.passages))
    missing = unfound = done = 0
    for keys, vectors in catalog.vector_pages():
        left.difference_update(keys)
        held = [i for i, key in enumerate(keys) if key <= known.through]
        own = [keys[i] for i in held]
        missing += _count_missing(chroma, own, vectors[held])
        unfound += _count_unfound(chroma, own, vectors[held]) if search else 0
        done += len(keys)
        progress(done, max(done, state.passages))
    return ChromaFindings("", missing, len(left), unfound)


def _count_missing(chroma: ChromaVectors, keys: Sequence[int], vectors: Vectors) -> int:
    found = chroma.vectors(keys)
    return sum(
        key not in found or not found[key] @ vector >= LIKE * float(np.linalg.norm(found[key]))
        for key, vector in zip(keys, vectors, strict=True)
    )


def _count_unfound(chroma: ChromaVectors, keys: Sequence[int], vectors: Vectors) -> int:
    left = np.arange(len(keys))
    for limit in NEAREST:
        found = list[int]()
        for first in range(0, len(left), AT_ONCE):
            part = left[first : first + AT_ONCE]
            near = chroma.nearest_to_each(vectors[part], limit)
            found += [
                i
                for i, (others, scores) in zip(part.tolist(), near, strict=True)
                if keys[i] in others or scores.max(initial=0) >= EQUAL
            ]
        left = np.setdiff1d(left, found)
    return len(left)
