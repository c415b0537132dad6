# On a fresh machine with Python 3.11 to 3.13 and make:
#   make demo    sets up and shows the pipeline at work
#   make test    sets up and runs all tests
# Another interpreter: make PYTHON=python3.12 test. Some tests: make test ARGS="tests/unit -k tracker".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/.installed
ARGS ?=

.PHONY: demo test check lint types imports format lock clean

demo: $(INSTALLED)
	$(BIN)/fbtasks demo

test: $(INSTALLED)
	@ops/install-test-packages || echo "Going on without them; the tests that need them are skipped and say so."
	$(BIN)/python -m pytest $(ARGS)

check: test lint types imports

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs uv. The comment on top of the file is kept.
lock:
	sed -n '/^#/p' requirements-dev.lock > requirements-dev.new
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev \
		--no-emit-index-url --no-header --no-annotate --upgrade --quiet >> requirements-dev.new
	mv requirements-dev.new requirements-dev.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Made last, so that an installation that broke off is taken up again.
$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
		"fbtasks needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12 ..." % v)'
	@echo "Setting up $(VENV); the first time this fetches about 500 MB."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt install python3-venv)"; exit 1; }
	@$(PIP) install --retries 10 --timeout 60 --requirement requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
