"""Values that are kept: the first is waited for, a newer one comes when it is there, and none is computed in vain."""

from __future__ import annotations

import threading
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from rag.errors import PullquoteError, StoreError, UnexpectedError
from ui.services import refreshed
from ui.services.refreshed import Refreshed


@pytest.fixture
def index() -> Any:
    """Stands for an index, of which the generation counts."""
    return SimpleNamespace(generation=1)


def test_a_value_is_computed_once_for_each_state_of_the_index(index: Any) -> None:
    numbers = count()
    value = Refreshed(index, lambda: next(numbers), "it failed")
    assert [value(), value()] == [0, 0]
    index.generation = 2
    value._not_before = 0.0
    assert [value(), value()] == [1, 1]


def test_the_latest_value_is_shown_while_the_next_is_computed(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshed, "PATIENCE_SECONDS", 0.01)
    numbers, go_on = count(), threading.Event()
    go_on.set()
    value = Refreshed(index, lambda: (go_on.wait(60), next(numbers))[1], "it failed")
    assert value() == 0
    go_on.clear()
    index.generation, value._not_before = 2, 0.0
    assert [value(), value()] == [0, 0]
    worker = value._worker
    assert worker
    go_on.set()
    worker.join()
    assert value() == 1


def test_a_busy_index_is_not_computed_over_and_over(index: Any) -> None:
    numbers = count()
    value = Refreshed(index, lambda: next(numbers), "it failed")
    assert value() == 0
    index.generation, value._not_before = 2, float("inf")
    assert value() == 0


def test_a_failure_is_raised_until_there_is_a_value(index: Any) -> None:
    failures: list[Exception] = [StoreError("no disk"), ValueError("a bug")]

    def compute() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    value = Refreshed(index, compute, "it failed")
    expected: list[type[PullquoteError]] = [StoreError, UnexpectedError]
    for error in expected:
        with pytest.raises(error):
            value()
        value._not_before = 0.0
    assert value() == "done"
