# `make run` and `make test` need Debian, Python 3.11 to 3.13 with venv and pip, and nothing else: they set up .venv themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint format types isolation check bench changelog clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements-dev.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Runtara needs Python 3.11 or later: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	touch $@

run: $(VENV)/.ready ## run the order example to its result: real HTTP calls from a process of its own
	$(BIN)/python examples/order_processing

test: $(VENV)/.ready ## prove the kernel, every plugin and the whole, in one environment
	$(BIN)/python -m pytest

lint: $(VENV)/.ready ## check format, lint and layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

format: $(VENV)/.ready ## format and mend what a tool can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

types: $(VENV)/.ready ## check the types, strictly
	$(BIN)/mypy

isolation: $(VENV)/.ready ## prove the kernel without plugins, and each plugin alone, from built wheels
	$(BIN)/tox run-parallel --parallel-no-spinner --parallel 2 -m isolation

check: lint types isolation test ## everything that .ci/run checks, except the installation of Debian packages

bench: $(VENV)/.ready ## measure, and print a table of medians
	$(BIN)/python -m benchmarks

changelog: $(VENV)/.ready ## show what the fragments in changelog.d/ would add to CHANGELOG.md
	$(BIN)/towncrier build --draft

clean: ## remove environments, caches and local data
	rm -rf $(VENV) .tox .data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
