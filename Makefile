# `make bench` and `make test` do all the set-up on a machine with Python 3.11+ and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: bench smoke compare test lint docs lowest spu hooks clean clean-cache

COMPARE := $(BIN)/ppbench compare results/smoke -

# For pytest: make test ARGS='-k mpc'
ARGS ?=

bench: $(VENV)/.installed
	$(BIN)/ppbench run -m +experiment=quickstart

# Every scheme on few small digits, and whether one has become dearer, or answers worse, since results/smoke.
smoke: $(VENV)/.installed spu
	$(BIN)/ppbench run -m +experiment=smoke
	$(COMPARE)

# The newest results of one's own against those of results/smoke.
compare: $(VENV)/.installed
	$(COMPARE)

# What the tests need is made on one core while the other lints.
test: $(VENV)/.installed
	$(MAKE) --jobs=2 lint spu
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, with a page for each scheme: site/index.html. Without the variable, the theme says at
# length that its maintenance ends in May 2027.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Whether the lower bounds of pyproject.toml hold: some minutes, and a few hundred megabytes from the package index.
lowest: $(VENV)/.installed
	$(BIN)/python benchmarks/lowest.py

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --no-compile --constraint constraints.txt --editable '.[test]'
	$(BIN)/pip install --no-compile --constraint constraints.txt --no-deps crypten
	# pip would compile on one core; some packages carry files that no Python compiles.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

# SecretFlow SPU pins numpy below 2, so it has an environment of its own, shared by all checkouts.
spu: $(VENV)/.installed
	folder=$$($(BIN)/python -c "from ppbench.cache import cache_dir; print(cache_dir() / 'spu')") && \
	{ "$$folder/bin/python" -c "import spu" 2>/dev/null || \
	{ $(PYTHON) -m venv "$$folder" && "$$folder/bin/python" -m pip install spu==0.9.5 cryptography; }; }

# What `make lint` checks, before each commit.
hooks: $(VENV)/.installed
	$(BIN)/pip install pre-commit
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV)

# Data sets, trained models, what schemes prepared, and SPU's environment: all of it is made again when it is needed.
clean-cache: $(VENV)/.installed
	rm -rf "$$($(BIN)/python -c 'from ppbench.cache import cache_dir; print(cache_dir())')"
