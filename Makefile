# One command from clone to green, the same here and in CI. `make help` says what there is.

PYTHON ?= python3
# The version that writes the lock files; nothing else uses it.
UV_VERSION := 0.13.9

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CHECKED := src tests bench

.DEFAULT_GOAL := help
.PHONY: help setup check format test soak bench demo docs lock clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv with the locked tools and this package in it (again only where something changed)

check: setup ## Lint, formatting and types: ruff, mypy, pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/pyright $(CHECKED)

format: setup ## Mend what the linter can mend by itself, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## The whole test suite, without the soak
	@sh tests/servers/prepare.sh
	$(BIN)/python -m tests.whole

soak: setup ## Steady load for twenty minutes on each store, workers killed on the way, 400 power cuts, every version of a server
	$(BIN)/python -m pytest -m soak --timeout=0 -s tests/soak tests/stores

bench: setup ## The benchmarks, with figures for this machine
	$(BIN)/python -m bench

demo: setup ## Real jobs on an SQLite file: they run, fail, are killed, and finish
	$(BIN)/millrace demo

docs: .venv-docs/.locked ## The documentation as a site, in site/
	.venv-docs/bin/zensical build --clean --strict

lock: .venv-lock/.made ## Write the lock files anew from requirements/*.in
	cd requirements && for name in runtime dev docs; do \
	  ../.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade $$name.in --output-file $$name.lock || exit 1; \
	done

clean: ## Remove what the targets above have made
	rm -rf .venv .venv-docs .venv-lock site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Three stamps, one for each step that can become stale by itself: the environment, the locked tools, this package.
.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Millrace needs Python 3.11 or newer; '$(PYTHON)' is older. Name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv \
	  || { echo "'$(PYTHON)' cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/.locked: requirements/dev.lock .venv/.made
	$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

.venv/.installed: pyproject.toml .venv/.locked
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv-docs/.locked: requirements/docs.lock
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/docs.lock
	@touch $@

.venv-lock/.made: Makefile
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip --quiet --disable-pip-version-check install uv==$(UV_VERSION)
	@touch $@
