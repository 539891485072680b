# Dokuei: the two commands that matter are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LONG := attack_long or deploy_long or docs_long or full_size or phantoms_full or viewers_long or full_matrix
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test peers demo test test-full check lint types imports models chaos bench soak attack docs viewers fuzz conformance lock wheel bundle audit install-test deploy-test clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/dokuei: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Dokuei needs Python 3.11 or 3.12; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[cpu]'
	@touch $@

$(VENV)/.test: $(BIN)/dokuei pyproject.toml
	$(BIN)/pip install --quiet --editable '.[cpu,train,test]'
	@touch $@

setup: $(BIN)/dokuei ## make the virtual environment with the node (CPU)

setup-test: $(VENV)/.test ## add what tests and training need

peers: ## install the real peers of the tests (Orthanc, DCMTK, dicom3tools, Chromium; Debian, needs root) and OHIF (npm)
	@bash tests/install_peers.sh
	@bash tests/viewers/install.sh

demo: setup ## send phantom studies through the node into a small archive; pictures in build/demo/previews
	$(BIN)/python -m models.phantoms.samples build/demo/studies
	$(BIN)/dokuei demo build/demo

test: setup-test peers check ## everything that CI runs: style, types, import rules, unit, contract, integration
	$(BIN)/python -m pytest -n 4 --dist worksteal --reruns 1 -raR

test-full: setup-test peers ## the tests with every combination that `make test` covers in pairs alone
	$(BIN)/python -m pytest -n 4 --dist worksteal --reruns 1 -raR -m "full_matrix or not ($(LONG))"

check: lint types imports

lint: setup-test ## style and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell service models tests docs deploy README.md ARCHITECTURE.md CHANGELOG.md

types: setup-test ## strict types
	$(BIN)/mypy

imports: setup-test ## import rules (.importlinter)
	$(BIN)/lint-imports

models: setup-test ## train the demonstration packages again; pneumoconiosis needs public films in build/films (docs/models.md)
	$(BIN)/python -m models.train models/recipes/pneumoconiosis.yaml --out models/packages
	$(BIN)/python -m models.train models/recipes/diffuse_lung.yaml --out models/packages
	$(BIN)/python -m models.train models/recipes/mammography.yaml --out models/packages
	$(BIN)/python -m models.repack --out models/packages
	for package in models/packages/*/*/; do $(BIN)/python -m models.drift $$package || exit 1; done
	for package in models/packages/*/*/; do $(BIN)/python -m models.audit $$package --write || [ $$? = 1 ] || exit 1; done

chaos: setup-test peers ## kill, cut, fill, drain and starve the node (hours; CHAOS="--quick --only cut"); writes build/chaos.json
	$(BIN)/python -m tests.chaos --out build/chaos.json $(CHAOS)

attack: setup-test peers ## every attack of tests/attack, the long ones too (some need root)
	$(BIN)/python -m pytest tests/attack -m "attack_long or not attack_long"

docs: setup-test peers ## execute every command of the documents, the long ones too
	$(BIN)/python -m pytest tests/docs -m "docs_long or not docs_long"

viewers: setup-test peers ## every page of tests/viewers: OHIF in Chromium before Orthanc, and Orthanc's previews
	$(BIN)/python -m pytest tests/viewers -m "viewers_long or not viewers_long"

VARIANT ?= cpu
SIGN ?=
lock: setup-test ## write the lock files (deploy/locks) anew from pyproject.toml, with the newest allowed versions
	@for variant in cpu gpu openvino; do \
	  $(BIN)/uv pip compile --quiet --upgrade $(LOCK_OPTIONS) --extra $$variant --extra otel pyproject.toml \
	    --output-file deploy/locks/$$variant.txt || exit; \
	done
	@echo pip | $(BIN)/uv pip compile --quiet --upgrade $(LOCK_OPTIONS) - --output-file deploy/locks/bootstrap.txt
	@printf 'hatchling\npip\n' | $(BIN)/uv pip compile --quiet --upgrade $(LOCK_OPTIONS) - --output-file deploy/locks/build.txt
LOCK_OPTIONS := --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate

wheel: setup-test ## the wheel, the same bytes wherever it is built; in build/wheel
	@rm -rf build/wheel
	@$(BIN)/python -m deploy.wheel build/wheel

bundle: setup-test ## the bundle that installs without a network (VARIANT=cpu|gpu|openvino, SIGN=key.pem); in build/bundle
	@$(BIN)/python -m deploy.bundle --variant $(VARIANT) $(if $(SIGN),--sign $(SIGN))

audit: setup-test ## the lock files against the advisories of deploy/audit, and its exceptions against the calendar
	@$(BIN)/python -m deploy.audit

install-test: setup-test ## from a bare Debian to the first report by the commands of docs/installation.md (root; Debian)
	@bash tests/deploy/install.sh
	$(BIN)/python -m pytest tests/deploy/test_first_report.py -m deploy_long

deploy-test: setup-test peers ## whole installations: bare Debian, without a network, container image (root; Debian; 20 minutes)
	@bash tests/deploy/install.sh
	$(BIN)/python -m pytest tests/deploy -m "deploy_long or not deploy_long"

FUZZ_SECONDS ?= 7200
fuzz: setup-test ## fuzz the parsers of a peer's bytes for FUZZ_SECONDS (2 h); finds in build/fuzz/finds
	$(BIN)/pip install --quiet --editable '.[cpu,fuzz]'
	PYTHONPATH=tests:. $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

bench: setup-test peers ## benchmarks against named peers (BENCH="--quick --only send"); writes build/benchmarks.json
	$(BIN)/python -m tests.benchmarks --out build/benchmarks.json $(BENCH)

conformance: setup-test ## write the tables of the conformance statement anew from the code
	$(BIN)/python -m tests.conformance

soak: setup-test peers ## half an hour of steady work under observation; writes build/soak.json
	$(BIN)/python -m tests.soak.run_node --out build/soak.json

clean: ## remove what was built (not the virtual environment)
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
