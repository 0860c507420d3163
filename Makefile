# Each target needs only Python >= 3.10, and installs everything else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Files that record what is installed: the package and the demo; also the tools for tests and lint.
RUNS := $(VENV)/.installed-demo
INSTALLED := $(VENV)/.installed
# One thread in each of two workers. With more threads, torch is very slow if cores are busy.
PYTEST := -m pytest -n 2 --dist worksteal --doctest-modules tests sklearn_iqt

.PHONY: demo test test-slow test-minimum wheel-smoke lint docs clean

# Simulate, learn, enhance, measure and draw, on brains made from a template.
demo: $(RUNS)
	$(BIN)/sklearn-iqt demo --output demo_output --force

# Run the tests and the examples of docstrings; fail if the branch coverage is too low.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --cov --cov-fail-under=95

# Run the tests that take minutes.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# Run the tests with the oldest releases that pyproject.toml allows; PYTHON should be 3.10.
# The oldest torch comes with gigabytes of CUDA.
test-minimum: .venv-minimum/.installed
	OMP_NUM_THREADS=1 .venv-minimum/bin/python $(PYTEST)

# Build the wheel, install it without torch, and use it outside the checkout with no compiler.
wheel-smoke: $(INSTALLED)
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/smoke .
	$(BIN)/python -m venv build/smoke/venv
	build/smoke/venv/bin/python -m pip install --quiet build/smoke/*.whl
	cd build/smoke && PATH=$$PWD/venv/bin CC=/bin/false venv/bin/python -I ../../tests/check_wheel.py

# Check style, types, the direction of imports, docstrings, spelling and plain English.
lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent --cache-dir=.mypy_cache/user tests/user_script.py
	$(BIN)/lint-imports
	$(BIN)/python tests/check_docstrings.py
	$(BIN)/codespell
	$(BIN)/python tests/check_prose.py

# Build the documentation, which runs the examples too; a warning is an error.
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

.venv-minimum/.installed: pyproject.toml constraints-minimum.txt
	$(PYTHON) -m venv .venv-minimum
	.venv-minimum/bin/python -m pip install --quiet --upgrade pip
	.venv-minimum/bin/python -m pip install --quiet -c constraints-minimum.txt -e '.[test]'
	touch $@

# Remove everything that the other targets create.
clean:
	rm -rf $(VENV) .venv-minimum build demo_output docs/_build docs/api docs/auto_examples
