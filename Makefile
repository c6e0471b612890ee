# `make demo` runs the main job on the embedded sandbox; `make test` checks everything.
# Each installs what it needs into $(VENV), once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo

.PHONY: help demo lab dashboard test browser check format bench offline audit reliability soak clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.sandbox ## the main job end to end, into $(OUT)/
	$(BIN)/python -m llama_batches_nb demo --out $(OUT)

lab: $(VENV)/.lab ## the tour in JupyterLab, on the sandbox
	$(BIN)/python -m jupyterlab notebooks/tour.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

dashboard: $(VENV)/.lab ## the dashboard as a web page, at the address it prints; with a key, of the service
	cd notebooks && ../$(BIN)/python -m voila dashboard.ipynb --no-browser --Voila.ip=127.0.0.1

test: check browser ## all checks, tests, examples and notebooks
	$(BIN)/python -m pytest -n auto --dist loadgroup --cov --cov-report=term-missing:skip-covered

browser: $(VENV)/.test ## a browser for the tests, where none is found
	$(BIN)/python -m tests.browser.installing

check: $(VENV)/.test ## style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test ## ours beside the official SDK and the raw bytes
	$(BIN)/python -m tests.benchmarks.fetching
	$(BIN)/python -m tests.benchmarks.patterns
	$(BIN)/python -m tests.benchmarks.syncing

offline: ## built, installed from a folder of wheels alone, and the main job done with it
	rm -rf dist
	$(PYTHON) -m venv dist/online
	dist/online/bin/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir dist/wheels '.[sandbox]'
	$(PYTHON) -m venv dist/offline
	dist/offline/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links dist/wheels 'llama_batches_nb[sandbox]'
	cd dist && offline/bin/python -m llama_batches_nb demo --out demo

audit: $(VENV)/.test ## all that is installed here, against the advisories that are known
	$(PYTHON) -m venv dist/audit
	dist/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > dist/audit/installed.txt
	dist/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement dist/audit/installed.txt

reliability: $(VENV)/.test ## every call under every fault, into the README's table
	$(BIN)/python -m tests.reliability

soak: $(VENV)/.test ## ten million rows, and 200 clients of a limited server
	$(BIN)/python -m tests.reliability.soak

clean: ## remove what was made here
	rm -rf $(VENV) $(OUT) dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
