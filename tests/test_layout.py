"""The house's rules that no linter knows: one door for each library, a picture that is true, a wheel that is whole."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGES = ("rag", "ingest", "ui", "eval")
DOORS = {
    "chromadb": {"rag/chroma.py"},
    "tantivy": {"rag/lexical.py"},
    "sentence_transformers": {"rag/models.py"},
    "transformers": {"rag/models.py"},
    "torch": {"rag/models.py"},
    "llama_index": {"rag/llama.py", "rag/llm.py", "rag/models.py", "eval/baseline.py", "eval/judge.py"},
    "ollama": {"rag/llm.py", "rag/models.py"},
    "openai": {"rag/llm.py", "rag/models.py"},
    "gradio": {
        "ui/app.py",
        "ui/desk.py",
        "ui/endpoints.py",
        "ui/gate.py",
        "ui/label.py",
        "ui/server.py",
        "ui/sessions.py",
        "ui/views.py",
    },
    "bcrypt": {"ui/accounts.py"},
    "mcp": {"ui/mcp.py"},
    "fastapi": {"ui/server.py"},
    "uvicorn": {"ui/server.py"},
    "html": {"ui/render.py"},
    "typer": {"ui/chat_cli.py", "ui/cli.py", "ui/eval_cli.py", "ui/index_cli.py", "ui/terminal.py"},
    "sentencex": {"rag/segment.py"},
    "sklearn": {"ui/overview.py"},
    "scipy": {"eval/fit.py", "eval/statistics.py"},
    "dateparser": {"rag/filters.py"},
    "datasketch": {"ingest/stories.py"},
    "feedparser": {"ingest/feeds.py"},
    "httpcore": {"ingest/web.py"},
    "httpx": {"ingest/web.py", "rag/llm.py", "rag/models.py", "rag/wire.py"},
    "kreuzberg": {"ingest/pdf.py"},
    "lxml": {"ingest/docx.py", "ingest/epub.py", "ingest/feeds.py", "ingest/html.py", "ingest/markup.py"},
    "pyarrow": {"ingest/records.py"},
    "sqlite3": {"ingest/stamps.py", "rag/chroma.py"},
    "subprocess": {"ingest/worker.py"},
    "trafilatura": {"ingest/html.py"},
    "watchfiles": {"ingest/watch.py"},
    "dotenv": set(),
}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_one_door(library: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in modules() if library in imported(path)}
    assert users <= DOORS[library]


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        path.name
        for path in modules()
        if re.search(r"os\.(environ\b(?!\.setdefault)|getenv)|from os import", path.read_text())
    }
    assert readers == {"config.py", "worker.py"}, "the worker passes on what its process may know, and no key"


def test_architecture_names_every_module_and_no_other() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"\b((?:rag|ingest|ui|eval)/\w+\.(?:py|css|js|json))\b", picture))
    there = {path.relative_to(ROOT).as_posix() for path in modules() if path.name != "__init__.py"}
    there |= {p.relative_to(ROOT).as_posix() for kind in ("css", "js") for p in (ROOT / "ui").glob(f"*.{kind}")}
    there |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "rag").glob("*.json")}
    assert named == there


def test_tests_are_flat_and_named_after_what_they_test() -> None:
    assert not list((ROOT / "tests").glob("*/test_*.py"))
    assert not (ROOT / "tests" / "__init__.py").exists(), "it would shadow the packages"
    tested = {f"test_{path.parent.name}_{path.stem}" for path in modules()} | {"test_layout", "test_readme"}
    named = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    others = {"test_ingest_killed", "test_ingest_model", "test_rag_injections", "test_rag_llm_model"}
    assert named <= tested | others | {
        "test_ingest_links",
        "test_patterns",
        "test_ui_browser",
        "test_ui_changing",
        "test_ui_hostile",
        "test_ui_session",
    }


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    from rag import errors

    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or ""))
    there = {name for name, thing in vars(errors).items() if isinstance(thing, type)} - {"PullquoteError"}
    assert drawn == there


def test_importing_rag_is_light() -> None:
    heavy = [
        "torch",
        "sentence_transformers",
        "chromadb",
        "gradio",
        "llama_index",
        "typer",
        "trafilatura",
        "lxml",
        "httpx",
    ]
    code = f"import sys, rag, ingest; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_wheel_holds_what_runs_and_nothing_else(tmp_path: Path) -> None:
    clean = tmp_path / "source"
    shutil.copytree(
        ROOT, clean, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "docs", "*.index")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(clean)]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == set(PACKAGES)
    wanted = {path.relative_to(ROOT).as_posix() for path in modules()}
    wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "eval" / "data").rglob("*") if p.is_file()}
    wanted |= {"rag/confidence.json", "rag/py.typed", "ui/style.css", "ui/login.css", "ui/report.css", "ui/page.js"}
    assert names == wanted
