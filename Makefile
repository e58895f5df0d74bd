# Each target makes .venv here when it is missing or stale; PYTHON=/path/to/python3.12 chooses the Python.
SHELL := /bin/bash
PYTHON ?=
BIN := .venv/bin
# One process a core, four at most (each holds TensorFlow, a gigabyte); a file stays in one, for what its tests share.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint bench clean

help:  ## say what there is
	@echo "keras_ds2: make TARGET [PYTHON=/path/to/python3.12]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1|/' \
	  | while IFS='|' read -r target what; do printf '  %-9s %s\n' "$$target" "$$what"; done

setup:  ## make .venv, or bring it up to date with pyproject.toml
	@.ci/set_up_venv

demo: setup  ## made-up speech in, trained model, transcripts and a picture out: runs/demo
	@$(BIN)/keras-ds2 demo --output runs/demo

test: setup  ## all tests but the slow ones
	@$(BIN)/python -m pytest -q -m "not slow" $(PARALLEL)

test-all: setup  ## all tests
	@$(BIN)/python -m pytest -q

lint: setup  ## ruff (rules and format), import-linter (who may import whom)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

bench: setup  ## every script in benchmarks/, one JSON object a line; ARGS="--quick --threads 1" hands options on
	@.ci/set_up_venv bench
	@status=0; for script in benchmarks/[a-z]*.py; do \
	  module="$${script%.py}"; echo "$$module" >&2; $(BIN)/python -m "$${module//\//.}" $(ARGS) || status=1; \
	done; exit $$status

clean:  ## remove builds and caches; .venv and runs/ stay
	@rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
