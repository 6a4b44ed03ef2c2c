PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
unexport PYTHONDONTWRITEBYTECODE  # with it, every process compiles all of its modules again

.PHONY: help setup train theory reproduce test test-next lint format docs links tensorboard bench

help: ## list the targets; ARGS="..." passes arguments on
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## create .venv and install the pinned versions

# To compile all that is installed takes a minute; what a command loads, some seconds.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -c "import hydra, matplotlib.pyplot, numba, polars, torch"
	@touch $@

train: setup ## train a run that blows up, or what ARGS="..." says
	$(BIN)/python -m hw2exp.train $(or $(ARGS),experiment=explosion_sgd)

theory: setup ## verify the write-up's answers
	$(BIN)/python -m hw2exp.theory $(ARGS)

reproduce: setup ## run the whole study and write its tables
	$(BIN)/python scripts/reproduce.py $(ARGS)

test: setup ## run the quick suite; ARGS="-m slow" runs the long tests
	$(BIN)/python -m pytest $(ARGS)

NEXT := .venv-next

test-next: ## run the quick suite on the next Hydra (a pre-release), with Optuna, other launchers, loggers
	test -x $(NEXT)/bin/python || $(PYTHON) -m venv $(NEXT)
	grep -Ev "^(hydra-core|importlib_metadata|omegaconf)==" constraints.txt > $(NEXT)/constraints.txt
	$(NEXT)/bin/python -m pip install --quiet --constraint $(NEXT)/constraints.txt --editable ".[dev,launchers,mlflow,optuna,pandas,wandb]"
	$(NEXT)/bin/python -m pytest $(ARGS)
	$(NEXT)/bin/python -m pytest -m slow tests/runs/test_run_loggers.py

lint: setup ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## repair style where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## build the documentation into docs/_build/html, and run its notebooks
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo docs/_build/html/index.html

links: setup ## check the documentation's links to other sites
	$(BIN)/python -m sphinx -b linkcheck -q -D nb_execution_mode=off docs docs/_build/linkcheck

tensorboard: setup ## serve outputs/ on this machine
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1 $(ARGS)

bench: setup ## time a training step against its peers
	$(BIN)/python scripts/bench_step.py $(ARGS)
