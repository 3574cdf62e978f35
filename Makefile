# restyle: what a developer types. `make` alone lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
# Nothing is compiled at its installation: most of what is installed is never imported. The lists of requirements are
# complete, so that nothing has to be resolved.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCKED := install --no-compile --no-deps --require-hashes --requirement
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --strip-extras --allow-unsafe
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
WANTED := pyproject.toml requirements/old-python.in
# Several processes of pytest import the same thousand modules: they are compiled once, whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
PYTHON ?=
CHECKS := check-types check-lint check-layers check-docs check-house
.PHONY: help install demo check $(CHECKS) collected test lowest acceptance chaos matrix soak containers bench bench-quick docs dist audit format lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.dev  ## Make .venv with everything for development, once

demo: $(VENV)/.local  ## Restyle the example catalog with the sandbox: no account, no Docker
	@$(BIN)/restyle demo

check: $(VENV)/.dev  ## Lint, format, types, layers, house rules
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS)
	@echo "check: all good"

# The longest first: the others take turns beside it.
check-types: $(VENV)/.dev
	@$(BIN)/mypy --no-error-summary

check-lint: $(VENV)/.dev
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check .

check-layers: $(VENV)/.dev
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

check-docs: $(VENV)/.dev
	@$(BIN)/python docs/make_schema.py --check
	@$(BIN)/python docs/make_metrics.py --check
	@$(BIN)/python docs/make_reference.py --check
	@$(BIN)/python docs/make_proved.py --check
	@$(SITE)

check-house: $(VENV)/.dev
	@$(BIN)/pytest --quiet tests/unit/test_house.py

test: $(VENV)/.dev  ## check, then every test that is not marked as long
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS) collected
	@$(BIN)/pytest --quiet --numprocesses 3 --dist worksteal --durations 10 --durations-min 10 --ignore tests/unit/test_house.py

# Reads and compiles every test once, beside the checks, rather than once in each process that runs them.
collected: $(VENV)/.dev
	@$(BIN)/pytest --quiet --collect-only > $(VENV)/collected.log || { cat $(VENV)/collected.log; exit 1; }

lowest:  ## Unit, integration and protocol tests with the lowest versions that pyproject.toml allows
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.dev
	@.venv-lowest/bin/python .ci/lowest
	@.venv-lowest/bin/pytest --quiet --numprocesses 3 --dist worksteal tests/unit tests/integration tests/protocol

acceptance: $(VENV)/.dev  ## Every proof with the real command and real workers, and whatever else is long (one to two hours)
	@RANDOM_EXAMPLES=yes $(BIN)/pytest --quiet tests/unit
	@$(BIN)/pytest -m "acceptance or long" tests

chaos: $(VENV)/.dev  ## Minutes of random faults over 1,000 jobs; CHAOS_SEEDS="1 2 3" chooses
	@$(BIN)/pytest -m long -s tests/acceptance/test_chaos.py

matrix: $(VENV)/.dev  ## The core of the proofs on each Redis and S3 at hand, into docs/reliability.md; CELLS="redis-server acl" chooses
	@code=0; $(BIN)/python -m tests.matrix $(CELLS) || code=$$?; $(BIN)/python docs/make_proved.py && exit $$code

soak: $(VENV)/.dev  ## A fleet struck for 20 minutes, into docs/reliability.md; SOAK="--minutes 1440 --workers 8" sizes it
	@$(BIN)/python -m tests.soak $(SOAK)

containers: $(VENV)/.dev  ## The image and the compose file's fleet, by Docker or Podman, into docs/reliability.md (10 minutes)
	@code=0; $(BIN)/python -m tests.containers || code=$$?; $(BIN)/python docs/make_proved.py && exit $$code

dist:  ## Build the wheel, test it on every supported Python at hand, write its bill of materials
	@.ci/dist

audit: $(VENV)/bin/python  ## Ask the advisory database about each locked package; says so where it cannot be reached
	@$(BIN)/python .ci/audit

docs: $(VENV)/.dev  ## Write the generated pages, and build the site into build/site
	@$(BIN)/python docs/make_schema.py
	@$(BIN)/python docs/make_metrics.py
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python docs/make_proved.py
	@$(BIN)/python docs/make_man.py build/man
	@$(SITE)
	@echo "docs: open build/site/index.html"

bench: $(VENV)/.dev bench/.venv/.ready  ## Measure restyle beside its peers, write docs/benchmarks.md (25 quiet minutes)
	@$(BIN)/python -m bench

bench-quick: $(VENV)/.dev bench/.venv/.ready  ## A look at the same in under 3 minutes; writes nothing
	@$(BIN)/python -m bench --quick

format: $(VENV)/.dev  ## Format, and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format --quiet .

lock: $(VENV)/.dev  ## Pin all dependencies anew, with hashes
	@$(PIP) install pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade --output-file requirements/base.txt $(WANTED)
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --extra otel \
		--constraint requirements/base.txt --output-file requirements/otel.txt $(WANTED)
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --extra local \
		--constraint requirements/base.txt --output-file requirements/local.txt $(WANTED)
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --extra local --extra otel --extra dev \
		--constraint requirements/local.txt --constraint requirements/otel.txt --output-file requirements/dev.txt $(WANTED)
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade --output-file requirements/dist.txt requirements/dist.in
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade --output-file bench/requirements.txt bench/requirements.in

# The first file of .restyle that a paid run left there: a picture, a record, a plan, or an answer not yet stored.
BUCKET := .restyle/s3/restyle-local
PAID = find $(BUCKET) .restyle/spool \( -path $(BUCKET)/sandbox -o -path $(BUCKET)/fleets \) -prune -o -type f -print \
	2> /dev/null | head -n 1

clean:  ## Remove .venv, caches, and the embedded stack's folder unless paid pictures are in it
	@[ ! -x $(BIN)/restyle ] || $(BIN)/restyle stop 2> /dev/null || true
	@rm -rf $(VENV) .venv-lowest bench/.venv .bench.json .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@if [ -z "$$($(PAID))" ]; then rm -rf .restyle; \
	elif [ -t 0 ] && printf '.restyle has pictures and records of paid runs. Remove them too? [y/N] ' \
		&& read -r answer && [ "$$answer" = y ]; then rm -rf .restyle; \
	else echo ".restyle stays: it has pictures and records of paid runs. To remove it all the same: rm -r .restyle"; fi

# -- the environment ----------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "restyle needs Python 3.11 or later: https://www.python.org/downloads/" >&2; exit 1; fi; \
	if ! $$found -c 'import ensurepip, venv' 2> /dev/null; then \
		echo "$$found has no venv module. On Debian and Ubuntu: sudo apt install $$($$found -c \
			'import sys; print("python3.%d-venv" % sys.version_info[1])')" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$found --version)"; $$found -m venv $(VENV)

$(VENV)/.local: requirements/local.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing restyle (once)"
	@$(PIP) $(LOCKED) requirements/local.txt
	@$(PIP) install --no-deps --editable .
	@touch $@

bench/.venv/.ready: bench/requirements.txt | $(VENV)/bin/python
	@echo "Installing what restyle is measured against (once)"
	@$(BIN)/python -m venv bench/.venv
	@bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement bench/requirements.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing restyle and what its developers use (once)"
	@$(PIP) $(LOCKED) requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.local $@
