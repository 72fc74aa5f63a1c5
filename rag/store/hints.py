"""The commands that the store's error messages recommend."""

from __future__ import annotations

import shlex
from pathlib import Path


def ingest_command(folder: Path) -> str:
    """The command that fills an index."""
    return f"pullquote ingest PATH --index {shlex.quote(str(folder))}"


def new_index_hint(folder: Path) -> str:
    """What to do about an index that cannot be used."""
    return f"make a new one: {ingest_command(Path(f'{folder}-new'))}"


def repair_hint(folder: Path) -> str:
    """What to do about an index whose parts do not fit together."""
    return f"repair it: pullquote check --fix --index {shlex.quote(str(folder))}"


def rebuild_command(folder: Path, embedding_model: str) -> str:
    """The command that embeds an index again with another model."""
    return f"pullquote rebuild --embedding-model {shlex.quote(embedding_model)} --index {shlex.quote(str(folder))}"


def convert_command(folder: Path) -> str:
    """The command that converts an index of an earlier version."""
    return f"pullquote rebuild --index {shlex.quote(str(folder))}"


def restore_command(folder: Path) -> str:
    """The command that puts a backup in the place of an index."""
    return f"pullquote restore FILE --force --index {shlex.quote(str(folder))}"
