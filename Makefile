# Python 3.11 or newer and make are all that a bare machine needs: each target makes .venv, or adds
# to it what it lacks, once and again when the pins change.

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)
# -qq: errors only
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install

.PHONY: help demo serve test lint audit bench docs pins clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    generate a log with known tastes, train on it, compare lists by context'
	@echo 'make serve   answer over HTTP from the demo run, with a page; ARGS="--port 8080"'
	@echo 'make test    run the tests; ARGS="-k loss" chooses some'
	@echo 'make lint    style, types, and which module may import which'
	@echo 'make audit   ask the package index for known vulnerabilities of what is pinned'
	@echo 'make bench   measure speed, write docs/performance.md: 15 minutes; ARGS=--quick for a glance'
	@echo 'make docs    write the generated pages of docs/ anew'
	@echo 'make pins    choose versions anew; ARGS=--upgrade for the newest (needs uv)'
	@echo 'make clean   remove .venv and caches; runs and data stay'

demo: $(VENV)/.demo
	$(BIN)/antiphon demo $(ARGS)

serve: $(VENV)/.demo
	$(BIN)/antiphon serve runs/demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

audit: $(VENV)/.audit
	PATH="$(CURDIR)/$(BIN):$$PATH" python scripts/audit.py $(ARGS)

bench: $(VENV)/.bench
	$(BIN)/python scripts/bench.py $(ARGS)

docs: $(VENV)/.dev
	$(BIN)/python scripts/configuration_page.py

pins:
	scripts/pin.sh $(ARGS)

clean:
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.python:
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo 'Antiphon needs Python 3.11 or newer; $(or $(PYTHON),python3) is:' \
			"$$("$(or $(PYTHON),python3)" --version 2>&1 || echo missing)" >&2; \
		echo 'Install a newer one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; \
		exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

# .demo, .dev, .audit and .bench are stamps: what requirements/NAME.txt pins is installed, and Antiphon
# itself in editable form.
$(VENV)/.%: requirements/%.txt pyproject.toml | $(VENV)/.python
	@echo 'installing requirements/$*.txt; the first time takes a minute or two'
	@$(PIP) --require-hashes -r requirements/$*.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
