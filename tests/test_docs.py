"""README and docs: their commands print what they show, their Python runs, their links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from eval.pairs.reading import parse_pair
from eval.pairs.schema import QAPair
from ingest import ingest
from ingest.readers.registry import KINDS, PLACES
from ingest.updater import Model
from rag.chain import Chain
from rag.config import Config
from tests.conftest import ROOT, SAMPLE
from tests.ui.server.test_app import Service, _no_open_loops, served  # noqa: F401
from ui.cli.main import app
from ui.page.app import build_app
from ui.page.view import Stores
from ui.services.uploads import Uploads

pytestmark = pytest.mark.slow
PAGES = {path: path.read_text("utf-8") for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}
README, DOCS = PAGES[ROOT / "README.md"], ROOT / "docs"
TEXT = "\n".join([README, *(text for path, text in PAGES.items() if path.parent == DOCS)])


def test_the_real_answer_is_real(sample_index: Path) -> None:
    [(command, output)] = re.findall(r"```console\n\$ pullquote (ask [^\n]*)\n(.*?)```", TEXT, re.DOTALL)
    result = CliRunner().invoke(app, [*shlex.split(command), "--index", str(sample_index)])
    assert result.stdout.strip() == output.strip()


def test_the_python_runs(sample_index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".pullquote").symlink_to(sample_index)
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles" / "pier.txt").write_text("The council of Tolm closed the pier on Tuesday after a storm.")
    for page, count in ((ROOT / "README.md", 1), (DOCS / "python.md", 4)):
        blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
        assert len(blocks) == count
        names: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, page.name, "exec"), names)
        assert "Security Council" in capsys.readouterr().out


def test_a_program_that_asks_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(index=tmp_path / "index")
    ingest([SAMPLE], config)
    (tmp_path / "notes.md").write_text("# Notes\n\nThe council of Tolm closed the pier on Tuesday after a storm.")
    chain = Chain.from_config(config)
    uploads = Uploads(config, chain.index, Model(config.embedding_model, chain.retriever.embedder))
    [block] = re.findall(r"```python\n(.*?)```", PAGES[DOCS / "serving.md"], re.DOTALL)
    with served(build_app(chain, stores=Stores(uploads=uploads)), Service(megabytes=1)) as url:
        exec(compile(block.replace("http://127.0.0.1:7860/", url), "serving.md", "exec"), {})
    out = capsys.readouterr().out
    assert "'passage_id'" in out
    assert "'told': '1 article'" in out


def test_every_link_leads_to_a_file() -> None:
    for page, text in PAGES.items():
        for name in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (page.parent / name).exists(), (page.name, name)


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 180


def test_the_docs_build_as_a_site(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    built = {path.parent.name for path in (tmp_path / "site").glob("*/index.html")}
    assert built == {page.stem for page in DOCS.glob("*.md")} - {"index"}


def commands() -> dict[str, set[str]]:
    """Each command with its options, as `--help` lists them."""
    found = {"": typer.main.get_command(app)}
    for group in ("", "eval "):
        below = found[group.strip()]
        assert isinstance(below, typer.core.TyperGroup)
        found |= {f"{group}{name}": command for name, command in below.commands.items()}
    return {name: {option for p in one.params for option in p.opts} for name, one in found.items()}


def test_the_commands_and_options_it_names_exist() -> None:
    known = commands()
    for name in re.findall(r"^    pullquote ([a-z-]+)", TEXT, re.MULTILINE):
        assert name in known, name
    options = set().union(*known.values()) | {"--help", "--install-completion"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"make .*|htpasswd.*", "", TEXT)))
    assert named <= options


def figures(table: str) -> dict[str, tuple[float, int]]:
    """Value and number of questions by the figure's name."""
    rows = re.findall(r"^  (\S+) +([\d.]+)  [\d.]+–[\d.]+ +(\d+)  ", table, re.MULTILINE)
    return {name: (float(value), int(n)) for name, value, n in rows}


def test_the_sample_evaluation_is_real(sample_index: Path) -> None:
    [(command, shown)] = re.findall(r"```console\n\$ pullquote (eval [^\n]*)\n(.*?)```", TEXT, re.DOTALL)
    [name, pairs] = shlex.split(command)
    result = CliRunner().invoke(app, [name, str(ROOT / pairs), "--index", str(sample_index)])
    told, found = figures(shown), figures(result.stdout)
    assert len(told) > 10
    assert {name: n for name, (_, n) in told.items()} == {name: found[name][1] for name in told}
    for figure, (value, _) in told.items():
        # Processors differ in the last bits of a vector, so that a hit or two may change places.
        assert found[figure][0] == pytest.approx(value, rel=0.05, abs=0.05), figure


def test_the_pair_it_shows_is_one() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    pair = parse_pair("evaluation.md", json.loads(shown))
    assert isinstance(pair, QAPair)
    assert (pair.answerable, len(pair.evidence)) == (True, 1)


def test_the_table_of_kinds_is_what_can_be_read() -> None:
    table = [line for line in PAGES[DOCS / "sources.md"].splitlines() if line.startswith("| ")]
    for kind in KINDS:
        [row] = [line for line in table if line.startswith(f"| {kind.name} |")]
        assert f"| {' '.join(kind.suffixes)} | {kind.what}" in row
        assert (f"pullquote[{kind.extra}]" in row) == bool(kind.extra)
    for name, _, what in PLACES:
        assert any(line.startswith(f"| {name} |") and what in line for line in table)
