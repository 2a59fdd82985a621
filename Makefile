# One way in. `make up` boots examples/hello; `make test` runs every test; `make check` reads the code.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Debian's own interpreter where it will do: an unprivileged test user can reach it.
PYTHON ?= $(shell for python in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
FILE ?= examples/hello/bootseal.yaml
ARGS ?=

.PHONY: help up test unit integration containers check format bench fuzz image clean engine tools

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(VENV)/.installed ## boot FILE (examples/hello) to READY; Ctrl-C stops. ARGS=--until-ready stops by itself
	@$(BIN)/bootseal up $(FILE) $(ARGS)

test: $(VENV)/.tested engine tools ## every test: unit, integration with a real supervisord, the real image under podman
	@$(BIN)/python tests/twice.py tests/unit tests/integration tests/container $(ARGS)

unit: $(VENV)/.tested tools ## only the tests that start nothing
	@$(BIN)/python -m pytest tests/unit $(ARGS)

integration: $(VENV)/.tested tools ## only the tests with a real supervisord
	@$(BIN)/python -m pytest tests/integration $(ARGS)

containers: $(VENV)/.tested engine ## only the tests of the real image
	@$(BIN)/python -m pytest tests/container $(ARGS)

check: $(VENV)/.checked ## format, lint, strict types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports

format: $(VENV)/.checked ## format the code in place
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.tested ## the measures, printed
	@PYTHONPATH=.:tests/integration $(BIN)/python tests/bench $(ARGS)

fuzz: $(VENV)/.fuzzed ## coverage-guided fuzzing of every parser, a minute each; ARGS='lock --seconds 600'
	@PYTHONPATH=. $(BIN)/python -m tests.fuzz $(ARGS)

image: $(VENV)/.installed engine ## build the images of examples/hello and examples/shop
	@container/image hello
	@container/image shop

engine: ## install the container engine the tests need (root on Debian; elsewhere it is named and left to you)
	@container/install-engine

tools: ## install what some tests look through: Chromium, promtool, shells (root on Debian; elsewhere they are named and left to you)
	@tests/install-tools

clean: ## remove what make made here
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/pip: # the last thing that venv makes: an interrupted one is made again
	@PYTHON="$(PYTHON)" VENV="$(VENV)" container/make-venv

$(VENV)/.installed: $(BIN)/pip setup.cfg pyproject.toml
	@$(BIN)/pip install --quiet --editable . --config-settings editable_mode=compat
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@$(BIN)/pip install --quiet --editable '.[test]' --config-settings editable_mode=compat
	@touch $@

$(VENV)/.fuzzed: $(VENV)/.tested
	@$(BIN)/pip install --quiet --editable '.[test,fuzz]' --config-settings editable_mode=compat
	@touch $@

$(VENV)/.checked: $(VENV)/.tested
	@$(BIN)/pip install --quiet --editable '.[test,check]' --config-settings editable_mode=compat
	@touch $@
