"""Nearest passages by vector: a scan of all vectors, or Chroma's graph where there are so many that it is faster.

An open Chroma client does not see what is written later, and opening another one takes as long as reading all vectors.
So a reader never waits for it: a client opens in the background, and what it does not have is scanned.
Knows nothing of filters and articles.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import numpy as np

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.store.catalog.quantization import Keys
from rag.store.derived.chroma import ChromaVectors
from rag.store.derived.matrix import Matrix, Scored, Scores, best
from rag.store.derived.scan import Mask, Scan
from rag.store.files import CHROMA, DerivedState

GRAPH_PASSAGES = 400_000
"""Passages from which on Chroma's graph is searched: below, a scan takes no longer, finds more, and needs no memory."""
REOPEN_PASSAGES = 20_000
"""Passages that Chroma has and an open client has not, from which on another client is opened."""
OPENING_SHARE = 0.05
"""Of a process's time that may be spent on opening clients."""
SPARE = 20
"""Results that are requested in addition, since some of them may have been removed."""

log = logging.getLogger(__name__)


class DenseIndex:
    """The vectors of one store's passages. Safe to share between threads."""

    def __init__(self, store: Path, identity: str, matrix: Matrix, graph_passages: int = GRAPH_PASSAGES) -> None:
        self._folder, self._identity, self._graph_passages = store / CHROMA, identity, graph_passages
        self._scan = Scan(matrix)
        self._lock = threading.Lock()
        self._opener: threading.Thread | None = None
        self._client: ChromaVectors | None = None
        self._not_before = 0.0
        self._unusable: DerivedState | None = None

    def nearest(self, vector: Vectors, limit: int, end: int, mask: Mask | None = None) -> Scored:
        """The passages with keys below `end` that are nearest to a vector of length 1, at most `limit`, best first.

        Some may have been removed. With a mask, only those that it allows.
        """
        if mask is not None or end < self._graph_passages:
            return self._scan.nearest(vector, limit, 1, end, mask)
        self.open_in_background()
        client = self._client
        if client is None:
            return self._scan.nearest(vector, limit, 1, end)
        try:
            keys, scores = client.nearest(vector, limit + SPARE)
        except StoreError as error:
            log.warning("%s", error)
            self._client, self._unusable = None, client.state
            return self._scan.nearest(vector, limit, 1, end)
        newer = self._scan.nearest(vector, limit, client.state.through + 1, end)
        return best(np.concatenate([keys, newer[0]]), np.concatenate([scores, newer[1]]), limit + SPARE)

    def among(self, vector: Vectors, limit: int, keys: Keys) -> Scored:
        """Those of these passages that are nearest to a vector, at most `limit`, best first."""
        return self._scan.matrix.nearest(vector, limit, keys)

    def similarities(self, vector: Vectors, keys: Keys) -> Scores:
        """The cosines of these passages' vectors to a vector of length 1."""
        return self._scan.matrix.similarities(vector, keys)

    def open_in_background(self) -> None:
        """Open a client that sees more, if there is more to see, unless one is being opened."""
        if self._opener or time.monotonic() < self._not_before or not self._is_behind():
            return
        with self._lock:
            if not self._opener:
                self._opener = threading.Thread(target=self._open, name="vectors")
                self._opener.start()

    def wait_until_open(self) -> None:
        """Wait until the client that is being opened is in use."""
        opener = self._opener
        if opener:
            opener.join()

    def _is_behind(self) -> bool:
        state = DerivedState.read(self._folder)
        through = 0 if state == self._unusable else state.through
        return through > 0 if self._client is None else through >= self._client.state.through + REOPEN_PASSAGES

    def _open(self) -> None:
        started, state = time.monotonic(), DerivedState.read(self._folder)
        self._client = None  # its memory is released before the next one takes as much
        try:
            self._client = ChromaVectors.open_intact(self._folder, self._identity)
        except StoreError as error:
            log.warning("%s; the vectors are compared one by one", error)
            self._unusable = state
        finally:
            ended = time.monotonic()
            self._not_before = ended + (ended - started) / OPENING_SHARE
            self._opener = None
