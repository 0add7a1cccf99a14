# Needs make and Python 3.11 or later; everything else goes into .venv.
PY := .venv/bin/python
WORKERS ?= 2
QUICK := $(wildcard tests/house tests/core)

.DEFAULT_GOAL := help
.PHONY: help demo fast check test test-postgresql bench bench-full serve services lock clean runtime dev

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: runtime  ## run the example flow on real data and verify its record
	@test -f examples/demo.py || { echo "examples/demo.py is missing from this tree" >&2; exit 1; }
	@$(PY) examples/demo.py

fast: dev  ## style, architecture and the tests of core and house: seconds
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m pytest -q -n $(WORKERS) $(QUICK)

check: fast  ## fast, and the types
	@$(PY) -m mypy

test: check services  ## everything
	@$(PY) -m pytest -q -n $(WORKERS)

test-postgresql: dev services  ## everything again, with every home in a PostgreSQL that is started for it
	@$(PY) -m tests.database $(PY) -m pytest -q -n $(WORKERS)

bench: dev  ## measure; prints ratios side by side
	@$(PY) -m bench

bench-full: dev  ## the same with a million runs
	@$(PY) -m bench --full

serve: runtime  ## the server with its pages on http://127.0.0.1:8765
	@.venv/bin/runnotary up

services:  ## programs outside Python that the tests need (Chromium; installed if root on Debian)
	@tools/services.sh

lock:  ## resolve the dependencies anew (needs uv)
	uv lock --default-index https://pypi.org/simple
	uv export --quiet --frozen --no-emit-project --no-annotate --no-header --no-default-groups --output-file requirements.lock >/dev/null
	uv export --quiet --frozen --no-emit-project --no-annotate --no-header --output-file requirements-dev.lock >/dev/null

clean:  ## remove .venv, caches and build results; .runnotary stays
	rm -rf .venv dist demo-out .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime dev:
	@tools/venv.sh $@
