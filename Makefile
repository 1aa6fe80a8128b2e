# Everything a contributor needs; `make` alone lists it. Only git, make and Python 3.11+ with venv
# have to be there: every locked package comes as a wheel, Node too where there is none. What
# compiles (gcc, headers) and what the tests of pages drive (browsers, a database) is installed by
# apt where this may be done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup compiler packages js demo test pytest compiled vitest uniapp browsers wheels smoke lint style types format
.PHONY: lock bench bench-full budget clean

BIN := .venv/bin
STAMP := .venv/.stamp
PYTEST_FLAGS ?= -n 2
COMPILED_FLAGS ?= -n 4
COMPILED_TESTS ?= tests/vectors tests/core tests/server tests/client/test_requests.py tests/client/test_subscriptions.py \
	tests/simulator tests/variants

# The first of these that runs and is new enough; `make setup PYTHON=...` overrides it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the locked tools and heartline itself, editable

$(STAMP): pyproject.toml hatch_build.py requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "heartline needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

NODE := scripts/with_node
JS_INSTALLED := js/node_modules/.stamp
JS_BUILT := js/dist/.stamp

js: $(JS_BUILT) ## build the TypeScript client, js/dist

$(JS_INSTALLED): js/package-lock.json | setup
	$(NODE) npm --prefix js ci --no-audit --no-fund --loglevel=error
	@touch $@

$(JS_BUILT): $(JS_INSTALLED) js/package.json $(wildcard js/tsconfig*.json) $(shell find js/src js/scripts protocol/dialects -type f)
	$(NODE) npm --prefix js run --silent build
	@touch $@

demo: setup js ## the gallery: five systems on a network that you break, http://127.0.0.1:8002/
	$(BIN)/heartline demo

test: ## everything a change has to pass: lint, types, the wheels, the tests
	$(MAKE) --jobs=2 --output-sync=target lint smoke vitest
	$(MAKE) compiled
	$(MAKE) pytest

compiler: setup ## install by apt what compiles heartline, where that may be done; else tell
	@PYTHON=$(BIN)/python scripts/system_packages compiler

packages: setup ## ... and what the tests drive
	@PYTHON=$(BIN)/python scripts/system_packages

uniapp: js ## build the uni-app project of the trades example, for H5 and for WeChat
	$(NODE) node examples/trades/uniapp/build.mjs h5 mp-weixin

pytest: setup js uniapp packages ## only the tests of Python, the examples and the pages, documentation included
	$(NODE) $(BIN)/python -m pytest $(PYTEST_FLAGS)

compiled: setup compiler ## the tests of what is compiled, with heartline compiled
	$(BIN)/python -m scripts.compiled -m pytest $(COMPILED_FLAGS) $(COMPILED_TESTS)

vitest: setup js uniapp ## only the tests of the TypeScript client and the mini programs
	cd js && ../$(NODE) npm run --silent types && ../$(NODE) npx vitest run

browsers: setup ## tell which of the browsers that tests drive are missing, and how to get them
	$(BIN)/python -m tests.browser.programs

wheels: setup js compiler ## both wheels and the source distribution of a release, dist/
	$(BIN)/python -m scripts.wheels

smoke: setup js compiler ## build the wheels and use both in a clean environment
	$(BIN)/python -m scripts.wheel_smoke

lint: style types ## style, types and the import rule

style: setup ## ruff and import-linter alone: a second or two
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## mypy, pyright, and how much of the public interface is typed
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python scripts/public_types.py

format: setup ## repair style and order of imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

UV_COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --no-config --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-build

lock: ## pin the newest fitting versions again: requirements/*.txt
	@test -x $(BIN)/uv || $(MAKE) setup
	$(UV_COMPILE) --upgrade --extra testing --extra demo pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(UV_COMPILE) --constraint requirements/dev.txt pyproject.toml -o requirements/runtime.txt

bench: setup compiler ## the benchmarks, short
	$(BIN)/python -m benchmarks.run --quick

bench-full: setup compiler ## the benchmarks as published; an idle machine and patience wanted
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.growth

budget: setup compiler ## instruction counts of the hot paths against benchmarks/budget.json
	$(BIN)/python -m benchmarks.budget

clean: ## remove .venv, caches and build results
	rm -rf .venv js/dist js/node_modules dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
