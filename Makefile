# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test setup check bench bench-detection clean

run: $(STAMP)
	$(BIN)/sigmaguard serve $(ARGS)

test: $(STAMP)-dev
	$(BIN)/python -m pytest $(ARGS)

setup: $(STAMP)-dev

check: $(STAMP)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# Trains the injection classifier from nothing, judges and times it: two hours on two cores, resumable.
# Without corpora in ../shared/data name their folder in SIGMAGUARD_CORPORA; ARGS=--sample takes a minute.
DETECTION := build/detection
bench-detection: $(STAMP)-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train]'
	PYTHONPATH=bench $(BIN)/python -m detection all --out $(DETECTION) $(ARGS)
	PYTHONPATH=bench $(BIN)/python -m detection.latency --model $(DETECTION)/model --out $(DETECTION)/report

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(STAMP)-dev: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
