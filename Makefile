# Koyomi. `make help` lists what there is. Works with GNU make 3.81 and newer.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Folder with the conformance suite and the load harness
SHARED ?= ../shared
# Folder that `make run` keeps its data in
DATA ?= $(or $(KOYOMI_STORAGE_DATA),var)
# Further arguments for pytest, the conformance run or the benchmark
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export SHARED

.PHONY: help run run-full install test soak lint conformance bench docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: .venv/installed ## Serve on http://127.0.0.1:5232 (first with a demo organisation), data under ./var
	@[ -e "$(DATA)" ] || $(BIN)/koyomi demo --data "$(DATA)" $(ARGS)
	@exec $(BIN)/koyomi serve --data "$(DATA)" $(ARGS)

run-full: .venv/installed-test ## As run, with Apache Kafka beside it (needs Maven and Java 17), data under ./var
	@[ -e "$(DATA)" ] || $(BIN)/koyomi demo --data "$(DATA)" $(ARGS)
	@exec $(BIN)/python -m tests.services.run_full --data "$(DATA)" $(ARGS)

install: .venv/installed ## Make .venv and install Koyomi's core

test: .venv/installed-test ## Run all tests against a real PostgreSQL; ARGS="-k name"
	$(BIN)/python -m pytest $(ARGS)

soak: .venv/installed-test ## Play a million scheduling conversations, meetings and the bus while processes are killed, the journal beside an open snapshot; ARGS="--conversations 10000 --first 5"
	KOYOMI_TEST_BUS_SECONDS=60 $(BIN)/python -m pytest -q -s tests/integration/test_bus_processes.py
	KOYOMI_MEETING_SECONDS=60 $(BIN)/python -m pytest -q tests/e2e/test_meetings_of_killed_workers.py
	$(BIN)/python -m benchmarks.sequencer_lag
	$(BIN)/python -m tests.unit.itip.soak $(ARGS)

lint: .venv/installed-test .venv/installed-lint ## Check style, types, imports and documents
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.settings_reference --check
	$(BIN)/python -m docs.policy_reference --check
	$(BIN)/python -m docs.event_schemas --check
	$(BIN)/python -m docs.api_reference --check

conformance: .venv/installed-test ## Run the conformance suite; SCOPE=scheduling SUITE= FILES= FEATURES= EXCUSED= BASELINE= RECORD=1
	$(BIN)/python tests/conformance/run.py \
	    $(if $(SCOPE),--scope "$(SCOPE)") $(if $(SUITE),--suite "$(SUITE)") $(if $(FILES),--files "$(FILES)") \
	    $(if $(FEATURES),--features "$(FEATURES)") $(if $(EXCUSED),--excused "$(EXCUSED)") \
	    $(if $(BASELINE),--baseline "$(BASELINE)") $(if $(RECORD),--record tests/conformance/passed.txt) $(ARGS)

bench: .venv/installed-test ## Measure beside Cyrus, Radicale and Xandikos, scheduling beside Cyrus, finding rooms; ARGS="--repeat 3 --duration 3"
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: .venv/installed ## Write the references of settings, policies and the API, config/koyomi.toml and docs/events/ from the code
	$(BIN)/python -m docs.settings_reference
	$(BIN)/python -m docs.policy_reference
	$(BIN)/python -m docs.event_schemas
	$(BIN)/python -m docs.api_reference

clean: ## Remove .venv and what was built (not the data)
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The environment: made once, installed into again only when pyproject.toml has changed.

.venv/python:
	@sh .ci/make-venv

.venv/installed: pyproject.toml .venv/python
	@echo "Installing Koyomi"
	@$(PIP) install --quiet --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@echo "Installing what the tests need"
	@$(PIP) install --quiet --editable '.[test]'
	@touch $@

.venv/installed-lint: .venv/installed
	@echo "Installing what the checks need"
	@$(PIP) install --quiet --editable '.[lint]'
	@touch $@
