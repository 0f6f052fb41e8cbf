# What there is to do with a checkout. It needs make and Python 3.11 or newer; nothing else.

.DEFAULT_GOAL := help
.PHONY: help demo install test proof check bench clean

# A test of a command starts Python anew: what was compiled once is kept.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
# Tests wait for daemons, servers and disks for a third of their time, proofs for half of it: three
# workers to two cores, and two to one. Each has a PostgreSQL of its own.
WORKERS := import os, sys; print(min(int(os.cpu_count() * float(sys.argv[1])), 4))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The first Python that is new enough; `make PYTHON=/path/to/python demo` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c "$(NEW_ENOUGH)" 2>/dev/null && echo $$python && break; done)

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/.demo  ## run the whole product on a made-up company: no keys, no GPU, a minute
	@$(BIN)/crossover demo

install: $(VENV)/.dev  ## make .venv with everything that developing needs

test: $(VENV)/.dev  ## run every test
	$(BIN)/pytest -n $$($(BIN)/python -c "$(WORKERS)" 1.5) --dist worksteal

proof: $(VENV)/.dev  ## run the claims at their full counts, with a line for each
	CROSSOVER_PROOF=full $(BIN)/pytest -m proof -q --timeout 3000 \
		-o faulthandler_timeout=3300 -n $$($(BIN)/python -c "$(WORKERS)" 2) --dist worksteal

check: $(VENV)/.dev  ## format, lint, types, the arrows between modules, the deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/test_house.py tests/integration/test_compose.py

bench: $(VENV)/.dev  ## measure what the design promises about speed
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove .venv, caches and what the demo left
	rm -rf $(VENV) .*_cache .hypothesis .coverage dist crossover-demo
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp is renewed only when pyproject.toml changed, so that a second call costs nothing. The
# demo needs half of what developing needs, so it comes first.
$(VENV)/.demo: pyproject.toml
	@$(or $(PYTHON),false) -c "$(NEW_ENOUGH)" || \
		{ echo "Crossover needs Python 3.11 or newer: install it, or name it with PYTHON=" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --editable '.[dev]'
	@touch $@
