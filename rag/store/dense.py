"""Nearest passages by vector: Chroma for those its open client holds, exact search for all newer ones.

An open Chroma client does not see what is written later, and opening another one takes as long as reading all vectors.
So a reader never waits for it: a client opens in the background, and until then the matrix is searched.
Knows nothing of filters and articles.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.errors import StoreError
from rag.models.embedding import Vectors
from rag.store.files import CHROMA, DerivedState
from rag.store.matrix import Keys, Matrix, Scored, best
from rag.store.vectors import ChromaVectors

REOPEN_ROWS = 1_000
"""Passages that Chroma has and an open client has not, from which on another client is opened."""
OPENING_SHARE = 0.05
"""Of a process's time that may be spent on opening clients."""
ALWAYS_OPEN_ROWS = 200_000
"""With more passages, a client is opened for the first question; with fewer, for the second: one exact search takes
less time than importing Chroma."""
SPARE = 20
"""Results that are requested in addition, since some of them may have been removed."""

log = logging.getLogger(__name__)


class DenseIndex:
    """The vectors of one store's passages. Safe to share between threads."""

    def __init__(self, store: Path, identity: str, matrix: Matrix) -> None:
        self._folder, self._identity, self._matrix = store / CHROMA, identity, matrix
        self._lock = threading.Lock()
        self._opener: threading.Thread | None = None
        self._client: ChromaVectors | None = None
        self._searches = 0
        self._not_before = 0.0
        self._unusable: DerivedState | None = None

    def nearest(self, vector: Vectors, limit: int, end: int) -> Scored:
        """The passages with keys below `end` that are nearest to a vector of length 1, at most `limit`.

        Some may have been removed.
        """
        self._searches += 1
        if self._searches > 1 or end > ALWAYS_OPEN_ROWS:
            self.open_in_background()
        client = self._client
        if client:
            try:
                near = client.nearest(vector, limit + SPARE)
            except StoreError as error:
                log.warning("%s", error)
                self._unusable, self._client, client = client.state, None, None
        first = client.state.through + 1 if client else 1
        newer = self._matrix.nearest(vector, limit, np.array([[first, max(0, end - first)]], dtype=np.int64))
        if not client:
            return newer
        return best(np.concatenate([near[0], newer[0]]), np.concatenate([near[1], newer[1]]), limit + SPARE)

    def within(self, vector: Vectors, limit: int, ranges: npt.NDArray[np.int64]) -> Scored:
        """The passages in these ranges of keys (first, count) that are nearest to a vector, at most `limit`."""
        return self._matrix.nearest(vector, limit, ranges)

    def similarities(self, vector: Vectors, keys: Keys) -> npt.NDArray[np.float32]:
        """The cosines of these passages' vectors to a vector of length 1."""
        return self._matrix.similarities(vector, keys)

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
        return through > 0 if self._client is None else through >= self._client.state.through + REOPEN_ROWS

    def _open(self) -> None:
        started, state = time.monotonic(), DerivedState.read(self._folder)
        try:
            client = ChromaVectors.open_intact(self._folder, self._identity)
            if client:
                self._client = client  # the one before is closed when its last search ends
        except StoreError as error:
            log.warning("%s; they are compared one by one", error)
            self._unusable = state
        finally:
            ended = time.monotonic()
            self._not_before = ended + (ended - started) / OPENING_SHARE
            self._opener = None
