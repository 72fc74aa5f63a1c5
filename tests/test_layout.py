"""What no linter checks: which modules import which library, that ARCHITECTURE.md is true, and what the wheel holds."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import ROOT

PACKAGES = ("rag", "ingest", "ui", "eval")
ALLOWED_IMPORTERS = {
    "chromadb": {"rag/store/convert.py", "rag/store/derived/chroma.py"},
    "tantivy": {"rag/store/derived/fulltext.py"},
    "openvino": {"rag/models/openvino_bert.py"},
    "openvino_telemetry": set(),
    "sentence_transformers": {"rag/models/cross_encoders.py", "rag/models/sentence_transformer.py"},
    "tokenizers": {"rag/models/minilm.py"},
    "transformers": {"rag/models/model_files.py"},
    "torch": {
        "rag/models/cross_encoders.py",
        "rag/models/sentence_transformer.py",
        "rag/models/torch_threads.py",
    },
    "llama_index": {
        "rag/llama.py",
        "rag/models/llm.py",
        "rag/models/servers.py",
        "eval/bench/baseline.py",
        "eval/judge.py",
    },
    "ollama": {"rag/models/llm.py", "rag/models/llm_errors.py", "rag/models/servers.py"},
    "openai": {"rag/models/llm.py", "rag/models/llm_errors.py", "rag/models/servers.py"},
    "gradio": {"ui/page/*.py", "ui/server/app.py", "ui/server/sessions.py"},
    "bcrypt": {"ui/server/accounts.py"},
    "mcp": {"ui/server/mcp.py"},
    "fastapi": {"ui/server/app.py"},
    "uvicorn": {"ui/server/app.py"},
    "jinja2": {"ui/html/templating.py"},
    "markupsafe": {"ui/html/templating.py"},
    "typer": {"ui/cli/*.py"},
    "sentencex": {"rag/language/segment.py"},
    "sklearn": {"ui/services/overview.py"},
    "scipy": {"eval/statistics.py", "eval/train/confidence.py"},
    "dateparser": {"rag/language/dates.py"},
    "feedparser": {"ingest/readers/feeds.py"},
    "httpcore": {"ingest/sources/fetch.py", "ingest/sources/network.py"},
    "httpx": {
        "ingest/sources/fetch.py",
        "ingest/sources/network.py",
        "rag/models/llm_errors.py",
        "rag/models/responses.py",
        "rag/models/servers.py",
    },
    "kreuzberg": {"ingest/readers/documents/pdf.py"},
    "lxml": {
        "ingest/readers/documents/docx.py",
        "ingest/readers/documents/epub.py",
        "ingest/readers/feeds.py",
        "ingest/readers/html/*.py",
    },
    "pyarrow": {"ingest/readers/records/tabular.py"},
    "sqlalchemy": {
        "rag/store/catalog/reading.py",
        "rag/store/catalog/writing.py",
        "rag/store/catalog/listing.py",
        "rag/store/catalog/rows.py",
        "rag/store/catalog/salvage.py",
        "rag/store/catalog/source_states.py",
        "rag/store/catalog/tables.py",
        "rag/store/verify.py",
    },
    "sqlite3": {
        "rag/store/backup.py",
        "rag/store/catalog/reading.py",
        "rag/store/catalog/writing.py",
        "rag/store/convert.py",
        "rag/store/derived/chroma.py",
        "ui/services/history.py",
    },
    "subprocess": {"ingest/readers/sandbox.py", "rag/store/derived/probe.py"},
    "trafilatura": {"ingest/readers/html/metadata.py", "ingest/readers/html/page.py"},
    "watchfiles": {"ingest/watch.py"},
    "dotenv": set(),
}
"""Library → the files that may import it."""


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("library", ALLOWED_IMPORTERS)
def test_a_library_is_imported_only_where_it_may_be(library: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in modules() if library in imported(path)}
    assert not {
        user for user in users if not any(PurePosixPath(user).match(door) for door in ALLOWED_IMPORTERS[library])
    }


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        path.name
        for path in modules()
        if re.search(r"os\.(environ\b(?!\.setdefault)|getenv)|from os import", path.read_text())
    }
    assert readers == {"config.py", "sandbox.py"}, "the sandbox passes on what its process may know, and no key"


def test_architecture_has_a_row_for_every_module() -> None:
    """A table for each folder, a row for each file; that of a module repeats the first sentence of its docstring."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rows: dict[str, str] = {}
    for folder, section in re.findall(r"^### `((?:rag|ingest|eval|ui)[\w/]*)/`[^\n]*\n(.*?)(?=^##)", page, re.M | re.S):
        found = re.findall(r"^\| `([\w./]+)` \| (.*) \|$", section, re.M)
        rows |= {f"{folder}/{name}": text for name, text in found}
    paths = {path.relative_to(ROOT).as_posix(): path for path in modules() if path.name != "__init__.py"}
    kinds = ("css", "js", "json", "html")
    kept = {
        p.relative_to(ROOT).as_posix()
        for kind in kinds
        for top in ("rag", "ui")
        for p in (ROOT / top).rglob(f"*.{kind}")
    }
    assert set(rows) == {*paths, *kept}
    for name, path in paths.items():
        first = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0]
        assert rows[name] == " ".join(first.split()).rstrip(".").replace("|", "\\|"), name


def test_every_module_says_what_it_is_for() -> None:
    for path in modules():
        assert (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").strip(), path


LONGEST_FILE, LONGEST_FUNCTION = 450, 45


def test_no_file_and_no_function_is_too_long_to_read_at_once() -> None:
    for path in modules():
        text = path.read_text("utf-8")
        assert text.count("\n") <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                assert (node.end_lineno or 0) - first < LONGEST_FUNCTION, (path, node.name)


def test_tests_lie_where_what_they_test_lies() -> None:
    """`tests/rag/store/test_index.py` tests `rag/store/index.py`; some test several modules, or a whole folder."""
    broad = {
        "test_killed",
        "test_model",
        "test_injections",
        "test_real_llm",
        "test_links",
        "test_browser",
        "test_session",
    }
    broad |= {"test_changing", "test_damage", "test_hostile"}
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        assert folder.is_dir(), path
        assert path.stem in broad or (folder / f"{path.stem.removeprefix('test_')}.py").exists(), path


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    from rag import errors

    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or ""))
    there = {name for name, thing in vars(errors).items() if isinstance(thing, type)} - {"PullquoteError"}
    assert drawn == there


LIGHT = {
    "rag": "chromadb tantivy numpy openvino tokenizers torch dateparser pydantic asyncio llama_index typer httpx",
    "rag.chain": "torch openvino tokenizers sentence_transformers transformers scipy sklearn pandas dateparser "
    "llama_index httpx",
    "ingest": "torch openvino sentence_transformers chromadb gradio llama_index typer trafilatura lxml httpx",
}
"""Module → libraries that importing it does not load."""


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {LIGHT[module].split()} if name in sys.modules])"
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
    wanted |= {"rag/models/minilm_vectors.json", "rag/retrieval/confidence.json", "rag/py.typed"}
    wanted |= {
        p.relative_to(ROOT).as_posix() for kind in ("assets", "templates") for p in (ROOT / "ui/html" / kind).iterdir()
    }
    assert names == wanted
