"""Values computed from an index: kept, and computed again in the background after the index has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rag.errors import PullquoteError
from rag.store.index import Index
from ui.services.errors import unexpected

COMPUTING_SHARE = 0.02
"""Of a process's time that may be spent on computing a value again, however often the index changes."""
PATIENCE_SECONDS = 1.0
"""For which a caller waits for a newer value before it takes the one there is."""

T = TypeVar("T")


@dataclass(slots=True)
class Refreshed(Generic[T]):
    """What `compute` returns, which takes long and depends on the index. Safe to share between threads.

    `failure` says what could not be done if an unexpected error is raised.
    """

    index: Index
    compute: Callable[[], T]
    failure: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _worker: threading.Thread | None = None
    _values: tuple[T, ...] = ()
    _generation: int = -1
    _not_before: float = 0.0
    _error: PullquoteError | None = None

    def __call__(self) -> T:
        """The latest value; the first one is waited for. Raises a PullquoteError if there is none yet."""
        generation = self.index.generation
        with self._lock:
            is_due = generation != self._generation and time.monotonic() >= self._not_before
            if is_due and not self._worker:
                self._worker = threading.Thread(target=self._compute, args=(generation,), daemon=True)
                self._worker.start()
            worker = self._worker
        if worker:
            worker.join(PATIENCE_SECONDS if self._values else None)
        if self._error and not self._values:
            raise self._error
        return self._values[0]

    def _compute(self, generation: int) -> None:
        started = time.monotonic()
        try:
            with unexpected(self.failure):
                self._values, self._generation = (self.compute(),), generation
        except PullquoteError as error:
            self._error = error
        finally:
            ended = time.monotonic()
            self._not_before = ended + (ended - started) / COMPUTING_SHARE
            self._worker = None
