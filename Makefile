# The commands of this project. `make run` and `make test` work in a fresh clone with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH ?=
SAMPLE := PERSONALIZER_GEO_CITY=sample PERSONALIZER_GEO_ASN=sample PERSONALIZER_GEO_CONNECTION=sample \
	PERSONALIZER_GEO_ANONYMOUS=sample PERSONALIZER_COMPANIES=sample PERSONALIZER_TRUSTED_PROXIES=127.0.0.0/8

.PHONY: run test check fmt bench soak clean

run: $(VENV)/installed ## serve the example workspace on http://127.0.0.1:8080 and print links to click
	@$(BIN)/personalizer check .
	@$(SAMPLE) $(BIN)/personalizer serve

test: $(VENV)/installed-test tests/.system ## the whole test suite, in a few minutes
	@$(BIN)/python -m pytest

check: $(VENV)/installed-test ## style, types, and the example workspace
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/personalizer check .

fmt: $(VENV)/installed-test ## put the code in its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/installed-bench build/compiled/made tests/.system ## side-by-side measurements; wants a quiet machine; BENCH='--rows 1,3'
	@PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. $(BIN)/python -m benchmarks $(BENCH)

soak: $(VENV)/installed-test tests/.system ## the slow tests at their full figures
	@PERSONALIZER_SOAK=1 $(BIN)/python -m pytest -m "slow or fault"

clean:
	@rm -rf $(VENV) tests/.system

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "personalizer needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make $(VENV). On Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: $(BIN)/python pyproject.toml
	@echo "Installing personalizer into $(VENV) (a minute or two) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-test: $(BIN)/python pyproject.toml
	@echo "Installing personalizer and its tools into $(VENV) (a minute or two) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[test,dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-bench: $(VENV)/installed-test
	@echo "Installing what the comparisons need into $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[test,dev,bench]'
	@touch $@

# What `pip install` of a wheel gives: the request path compiled to C. A source tree runs the same code uncompiled.
SOURCES := $(shell find personalizer templates variants -type f -not -name '*.pyc') hatch_build.py pyproject.toml
build/compiled/made: $(BIN)/python $(SOURCES)
	@echo "Compiling the request path …"
	@rm -rf build/compiled
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --target build/compiled .
	@touch $@

# Chromium and its driver, through the system's package manager where they are missing.
tests/.system:
	@sh tests/system.sh
	@touch $@
