# `make run` and `make test` do all the set-up on a machine that has a Python from 3.11 on. `make help` lists the rest.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/pytest -n 2 --dist worksteal

.PHONY: help run test check check-full lint types install python clean

help:
	@echo 'make run         set up, and train on CIFAR-10, or on drawn shapes where it cannot be downloaded'
	@echo 'make test        set up, and run the tests'
	@echo 'make check       ruff, mypy and the tests; a skipped test fails unless its reason is on the list of skip_rule.py'
	@echo 'make check-full  make check with the slow tests too'
	@echo 'make lint        ruff: rules and format'
	@echo 'make types       mypy'
	@echo 'make install     set up only: $(VENV) with Tenfold, its dependencies and the tools of its developers'
	@echo 'make python      print the Python that a new $(VENV) is made with; PYTHON=/path/to/python chooses another'
	@echo 'make clean       remove $(VENV) and what was built'

run: $(INSTALLED)
	$(BIN)/tenfold train --data auto

test: $(INSTALLED)
	$(PYTEST)

check: lint types
	$(PYTEST) --strict-skips

check-full: lint types
	$(PYTEST) --strict-skips -m ''

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

install: $(INSTALLED)

python:
	@sh .ci/find-python $(PYTHON)

# torch goes first and by its pinned number: a resolver that is left to choose takes the CUDA build.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { python=$$(sh .ci/find-python $(PYTHON)) && "$$python" -m venv $(VENV); }
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build dist
