# make demo   all set-up, then a real workflow across three centres
# make test   all set-up, then every test
# make help   the rest
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
PARTS := federation pilots matcher snakemake_executor containers containers/issuer

.PHONY: help demo test lint docs unit parts integration bench lock down clean machine

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

machine:
	@containers/setup-machine.sh

.venv/.ready: requirements/install requirements/index.sh requirements/dev.txt $(PARTS:%=%/pyproject.toml) | machine
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or later is needed; name one: make PYTHON=python3.12 …")'
	echo "setup: Python environment in .venv" >&2
	$(PYTHON) -m venv --clear .venv
	requirements/install $(PARTS)
	touch $@

demo: .venv/.ready ## run a variant-calling workflow across three centres on this machine
	@$(BIN)/fallow testbed demo

test: lint parts integration ## everything that CI checks

lint: .venv/.ready ## ruff, mypy --strict, and the documentation with every link
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PARTS:%=%/src) tests docs/site.py
	$(BIN)/python docs/site.py

docs: .venv/.ready ## the documentation as a site in build/site
	@$(BIN)/python docs/site.py

unit: .venv/.ready ## the tests of all parts, from the source tree, in one go
	@$(BIN)/pytest --ignore tests/integration --ignore tests/benchmarks

parts: .venv/.ready ## each part's wheel, installed alone in its own environment, with its tests
	@$(BIN)/python tests/parts.py

integration: .venv/.ready ## the tests against real HTCondor, Slurm, Apptainer and S3
	@$(BIN)/pytest tests/integration/test_testbed.py # it looks at the whole machine, so it is alone
	@$(BIN)/pytest -n 2 --dist loadfile --tb=short --durations 40 tests/integration --ignore tests/integration/test_testbed.py

bench: .venv/.ready ## the benchmarks; ONLY=name for one
	@containers/setup-machine.sh rclone
	$(BIN)/python -m tests.benchmarks $(ONLY)

lock: .venv/.ready ## renew the pinned requirements
	@requirements/lock

down: ## take the demo's testbed down
	@test ! -x $(BIN)/fallow || $(BIN)/fallow testbed down

clean: down ## remove what was built in this folder
	@rm -rf .venv build demo
