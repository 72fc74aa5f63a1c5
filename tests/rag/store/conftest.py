"""Fixtures of the store's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an index that is yet to be made."""
    return tmp_path / "index"
