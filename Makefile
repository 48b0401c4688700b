# `make bench` and `make test` do all the set-up on a machine with Python 3.11+ and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: bench test lint clean

bench: $(VENV)/.installed
	$(BIN)/ppbench run -m +experiment=quickstart

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt torch
	$(BIN)/pip install --constraint constraints.txt --editable '.[test]'
	$(BIN)/pip install --constraint constraints.txt --no-deps crypten
	touch $@

clean:
	rm -rf $(VENV)
