"""The README's answer is what the command prints, and its Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from ui.cli import app

pytestmark = pytest.mark.slow
README = (ROOT / "README.md").read_text("utf-8")


def test_the_real_answer_is_real(sample_index: Path) -> None:
    [(command, output)] = re.findall(r"```console\n\$ pullquote ([^\n]*)\n(.*?)```", README, re.DOTALL)
    result = CliRunner().invoke(app, [*shlex.split(command), "--index", str(sample_index)])
    assert result.stdout.strip() == output.strip()


def test_the_python_runs(sample_index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".pullquote").symlink_to(sample_index)
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles" / "pier.txt").write_text("The council of Tolm closed the pier on Tuesday after a storm.")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Security Council" in capsys.readouterr().out


def test_every_file_it_names_is_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name
