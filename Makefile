# make setup | train | theory | reproduce | test | lint | tensorboard | bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: setup train theory reproduce test lint tensorboard bench

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

train: setup
	$(BIN)/python -m hw2exp.train $(ARGS)

theory: setup
	$(BIN)/python -m hw2exp.theory $(ARGS)

reproduce: setup
	$(BIN)/python scripts/reproduce.py $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tensorboard: setup
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1 $(ARGS)

bench: setup
	$(BIN)/python scripts/bench_step.py $(ARGS)
