# One verb a target; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo services test test-unit test-services test-cluster test-e2e kubernetes lint types layers generate check bench accuracy clean

PYTHON ?= python3
BIN := .venv/bin
# The tests and the demo fix the number of threads themselves; this keeps libraries from starting more.
export OMP_NUM_THREADS ?= 1
export FLWR_TELEMETRY_ENABLED := 0
export HF_HUB_OFFLINE ?= 1

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'gptfl needs Python 3.11 or newer; set PYTHON=python3.11'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo 'no venv module: apt-get install python3-venv'; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null  # one made by uv has none
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo 'Installing into .venv (3 GB the first time, from a cache afterwards) …'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/installed  ## GPT-FL on real data: from label names to a model that answers
	@$(BIN)/gptfl run examples/digits.yaml

services:  ## Redis, Prometheus and MinIO for test-services: apt-get, and Go for MinIO
	@tools/services/install

kubernetes:  ## etcd, and an API server of Kubernetes built by Go, for test-cluster
	@tools/cluster/install

test: .venv/installed test-unit test-services test-e2e  ## all tests

test-unit: .venv/installed  ## what each part promises
	$(BIN)/pytest tests/unit --numprocesses 2

test-services: .venv/installed  ## on real servers: S3, Redis, Prometheus, processes that are killed
	$(BIN)/pytest tests/services

test-cluster: .venv/installed  ## the operator on a real API server
	$(BIN)/pytest tests/cluster

test-e2e: .venv/installed  ## whole runs: killed, resumed, repeated, looked at
	$(BIN)/pytest tests/e2e

lint: .venv/installed  ## format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed  ## strict types
	$(BIN)/mypy

layers: .venv/installed  ## imports go one way
	$(BIN)/lint-imports

generate: .venv/installed  ## writes what is derived: CRD, reference pages
	$(BIN)/python -m gptfl.derived

check: lint types layers  ## all of the above, and whether derived files are fresh
	$(BIN)/python -m gptfl.derived --check

bench: .venv/installed  ## ratios to bare PyTorch and to the reference way
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/generation_queue.py
	$(BIN)/python benchmarks/federation.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/store.py

accuracy: .venv/installed  ## the demo over three seeds
	$(BIN)/python benchmarks/accuracy.py

clean:  ## removes the environment and everything drawn and trained
	rm -rf .venv .gptfl
