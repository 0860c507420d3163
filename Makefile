# Each target does everything it needs from a bare machine with Python >= 3.10.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is installed so far: the package and what the demo needs; that and the tools.
RUNS := $(VENV)/.installed-demo
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow lint docs clean

demo: $(RUNS)
	$(BIN)/sklearn-iqt demo --output demo_output --force

# Two workers with one thread each: threads of torch that wait for each other's cores crawl.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --doctest-modules tests sklearn_iqt

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent --cache-dir=.mypy_cache/user tests/user_script.py
	$(BIN)/lint-imports
	$(BIN)/python tests/check_docstrings.py

# Runs the examples too; a warning is an error.
docs: $(VENV)/.installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

$(VENV)/.installed-docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

$(INSTALLED): $(RUNS)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,lint]'
	touch $@

$(RUNS): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "sklearn_iqt needs Python >= 3.10; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo]'
	touch $@

clean:
	rm -rf $(VENV) demo_output docs/_build docs/api docs/auto_examples
