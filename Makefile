# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test setup setup-litellm check bench bench-quick bench-peers bench-prose bench-detection clean

run: $(STAMP)
	$(BIN)/sigmaguard serve $(ARGS)

test: $(STAMP)-dev
	$(BIN)/python -m pytest $(ARGS)

setup: $(STAMP)-dev $(STAMP)-litellm

# LiteLLM's proxy in an environment of its own (it wants other versions of what we use), for the test that drives it.
setup-litellm: $(STAMP)-litellm

check: $(STAMP)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# Speed: everything against a bare forwarder in one run, into bench/results. `bench-quick` is its first table
# alone; `bench-peers` brings LiteLLM's proxy and Portkey's gateway to stand beside (left out otherwise).
# Portkey's 1.15.2 answers every stream with 500 under a newer @hono/node-server, hence the override.
BENCH := cd bench && PYTHONPATH=. ../$(BIN)/python -m
bench: $(STAMP)-bench
	$(BENCH) everything $(ARGS)

bench-quick: $(STAMP)-bench
	$(BENCH) gateway.run --no-peers $(ARGS)

bench-peers:
	$(PYTHON) -m venv bench/.peers/litellm
	bench/.peers/litellm/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.108.7'
	mkdir -p bench/.peers/portkey
	echo '{"overrides": {"@hono/node-server": "1.13.8"}}' > bench/.peers/portkey/package.json
	npm install --silent --no-audit --no-fund --no-package-lock --prefix bench/.peers/portkey @portkey-ai/gateway@1.15.2

# Prose that people wrote, for the harmless side of the training (bench/detection/corpus/prose.py): 490 MB of Debian
# packages, unpacked below build/, nothing installed. Without it, or elsewhere, the training does with less.
PROSE := build/prose
CAMPAIGNS := did dm dw ei httt l low nr sof sota sotbe thot trow tsg ttb utbs
bench-prose:
	mkdir -p $(PROSE)/packages
	cd $(PROSE)/packages && apt-get download debian-handbook freeciv-data anarchism gnome-user-docs \
	    fortunes fortunes-de fortunes-es fortunes-it wesnoth-1.16-data $(CAMPAIGNS:%=wesnoth-1.16-%)
	for each in $(PROSE)/packages/*.deb; do dpkg -x $$each $(PROSE); done

# Trains the injection classifier from nothing, judges and times it: hours on two cores, resumable.
# Without corpora in ../shared/data name their folder in SIGMAGUARD_CORPORA; `bench-prose` first brings what the
# shipped weights also read; ARGS=--sample takes a minute.
DETECTION := build/detection
bench-detection: $(STAMP)-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train]'
	SIGMAGUARD_PROSE=$${SIGMAGUARD_PROSE:-$$(test -d $(PROSE) && echo $(PROSE) || echo /)} \
	    PYTHONPATH=bench $(BIN)/python -m detection all --out $(DETECTION) $(ARGS)
	PYTHONPATH=bench $(BIN)/python -m detection.latency --model $(DETECTION)/model --out $(DETECTION)/report

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(STAMP)-dev: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,train]'
	bash tests/fetch_tools.sh $(abspath $(VENV))/tools
	touch $@

$(STAMP)-litellm: $(STAMP)
	$(PYTHON) -m venv $(VENV)/litellm
	$(VENV)/litellm/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.108.7'
	touch $@

$(STAMP)-bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build sigmaguard-data
